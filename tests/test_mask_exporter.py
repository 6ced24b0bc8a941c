"""The exported mask is the mask of the run, and as mask=file it gives the same tiles."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from command import read_csv, tiler
from conftest import ArrayReader
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_written import tampered
from tracked import COMMON, picture

from tiler.errors import MaskError
from tiler.exporters import MaskExporter
from tiler.masks import FileMask
from tiler.masks.thumbnail import MAX_PIXELS
from tiler.runner.store.record_file import load_record

HERE = Path(__file__).parent
FRAMED = '''\
"""A reader that gives a real slide other bounds."""

from dataclasses import replace

from tiler.geometry import Box
from tiler.readers import open_slide


def framed(path, name=None, box=(), **settings):
    slide = open_slide(path, name=name)
    slide.facts = replace(slide.facts, bounds=Box(*box))
    return slide
'''
BOX = (333, 150, 1701, 2477)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/framed.py").write_text(FRAMED)
    path = os.pathsep.join([str(tmp_path / "code"), str(HERE.parent)])
    return {"TILER_TARGETS": "framed", "PYTHONPATH": path}


def tables(out: Path) -> bytes:
    return (out / "slides/CMU-1-Small-Region/CMU-1-Small-Region.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("box", [None, BOX])
def test_a_real_slide_has_the_same_tiles_with_its_exported_mask(
    tmp_path: Path, shared_slides: Path, env: dict[str, str], box: tuple | None
) -> None:
    words = [
        "slides=files", f"slides.paths={shared_slides}/CMU-1-Small-Region.svs", "resolution=mpp",
        "resolution.value=0.75", "tile.size=173", "tile.edge=pad", "threshold=0.37",
    ]  # fmt: skip
    if box:
        words += ["reader._target_=framed.framed", f"+reader.box={list(box)}"]
    one = tiler(
        *words, "mask=otsu", "mask.mpp=7.3", "exporter=[csv,mask]", "out=a", cwd=tmp_path, env=env
    )
    assert one.returncode == 0, one.stderr
    path = "mask.path='a/slides/{slide}/{slide}_mask.png'"
    two = tiler(*words, "mask=file", path, "exporter=[csv,mask]", "out=b", cwd=tmp_path, env=env)
    assert two.returncode == 0, two.stderr
    (row,) = read_csv(tmp_path / "a/slides.csv")
    assert 0 < int(row["kept"]) < int(row["candidates"])
    assert tables(tmp_path / "a") == tables(tmp_path / "b")
    place = "slides/CMU-1-Small-Region/CMU-1-Small-Region_mask.png"
    assert (tmp_path / "a" / place).read_bytes() == (tmp_path / "b" / place).read_bytes()

    facts = json.loads((tmp_path / "a" / place).with_name("record.json").read_text())["mask"]
    with Image.open(tmp_path / "a" / place) as image:
        assert image.mode == "L"
        assert image.size == (facts["width"], facts["height"])
    assert facts["bounds"] == list(box or (0, 0, 2220, 2967))
    across, down = (n / of for n, of in zip(facts["bounds"][2:], image.size, strict=True))
    assert facts["mpp"] == pytest.approx([0.499 * across, 0.499 * down])
    assert facts["mpp"] == pytest.approx([7.3, 7.3], rel=0.01)


@given(st.data())
def test_every_mask_reads_back_unchanged(tmp_path_factory, data) -> None:
    width, height = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    bits = data.draw(st.binary(min_size=width * height, max_size=width * height))
    mask = (np.frombuffer(bits, np.uint8) & 1).astype(bool).reshape(height, width)
    slide = ArrayReader(np.zeros((7 * height, 7 * width, 3), np.uint8), name="s")
    folder = tmp_path_factory.mktemp("mask")
    (file,) = MaskExporter().export(slide, [], mask, folder).files
    assert file.name == "s_mask.png"
    assert file.size == (folder / file.name).stat().st_size
    assert np.array_equal(FileMask(f"{folder}/{{slide}}_mask.png").generate(slide), mask)


@settings(max_examples=30)
@given(
    width=st.integers(20, 3000), height=st.integers(20, 3000), downsample=st.floats(5, 40),
    refine=st.sampled_from([1, 4, 16]),
)  # fmt: skip
def test_a_refined_mask_of_a_small_slide_reads_back(
    tmp_path_factory, width: int, height: int, downsample: float, refine: int
) -> None:
    sides = [max(1, round(side / downsample)) * refine for side in (height, width)]
    mask = np.zeros(sides, bool)
    mask[0, -1] = True
    slide = ArrayReader(np.zeros((1, 1, 3), np.uint8), bounds=(0, 0, width, height), name="s")
    folder = tmp_path_factory.mktemp("mask")
    MaskExporter().export(slide, [], mask, folder)
    read = FileMask(str(folder / "s_mask.png"))
    assert np.array_equal(read.generate(slide), mask)
    other = ArrayReader(np.zeros((1, 1, 3), np.uint8), bounds=(0, 0, width, 2 * height), name="s")
    if min(sides) > 3 * refine:
        with pytest.raises(MaskError, match="aspect ratio"):
            read.generate(other)


def test_a_slide_without_tissue_or_mpp_has_a_mask_and_a_frame(tmp_path: Path) -> None:
    picture(tmp_path)
    Image.fromarray(np.zeros((8, 12), np.uint8)).save(tmp_path / "none.png")
    words = [word for word in COMMON if word != "mask=none"]
    done = tiler(
        *words, "mask=file", "mask.path=none.png", "exporter=mask", "out=out", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out/slides/pic"
    with Image.open(folder / "pic_mask.png") as image:
        assert image.size == (12, 8)
        assert image.getextrema() == (0, 0)
    facts = load_record(folder).mask
    assert (facts.bounds, facts.mpp) == ([0, 0, 96, 64], None)
    assert load_record(folder).row.status == "done_empty"


@pytest.mark.slow
def test_a_record_without_a_frame_still_counts(tmp_path: Path) -> None:
    """Records of earlier versions have none: their slides are not redone."""
    picture(tmp_path)
    assert tiler(*COMMON, "out=out", cwd=tmp_path).returncode == 0
    folder = tmp_path / "out/slides/pic"
    mask = json.loads((folder / "record.json").read_bytes())["mask"]
    older = {key: value for key, value in mask.items() if key not in ("bounds", "mpp")}
    assert len(older) + 2 == len(mask)
    tampered(folder, ("mask",), older)
    facts = load_record(folder).mask
    assert (facts.bounds, facts.mpp) == (None, None)
    before = (folder / "record.json").stat().st_mtime_ns
    assert tiler(*COMMON, "out=out", cwd=tmp_path).returncode == 0
    assert (folder / "record.json").stat().st_mtime_ns == before


def test_a_mask_may_be_the_only_output(tmp_path: Path) -> None:
    picture(tmp_path)
    assert tiler(*COMMON, "exporter=mask", "out=out", cwd=tmp_path).returncode == 0
    (row,) = read_csv(tmp_path / "out/slides.csv")
    size = (tmp_path / "out/slides/pic/pic_mask.png").stat().st_size
    assert (row["status"], int(row["bytes"])) == ("done", size)


def test_a_mask_of_the_largest_size_reads_back_by_default() -> None:
    node = yaml.safe_load((HERE.parent / "conf/mask/file.yaml").read_text())
    assert node["max_pixels"] == FileMask("m.png").max_pixels == MAX_PIXELS
