"""Transforms in runs: what they change, what is recorded, and slides that cannot be fitted."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from command import read_csv, tiler
from PIL import Image
from profiles import scanner_profile

from tiler import TileDataset
from tiler.transforms.icc import FittedIcc
from tiler.transforms.macenko import FittedMacenko
from tiler.transforms.reinhard import FittedReinhard
from tiler.transforms.stains import Colours, Stains

SLOW = pytest.mark.slow

SIZE = (320, 448)
"""Height and width of the slides: lopsided."""


def stained(seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Tissue of two stains on glass, uint8 (h, w, 3)."""
    rng = np.random.default_rng(seed)
    vectors = np.array([[0.65, 0.7, 0.29], [0.25, 0.8, 0.54]])
    amounts = rng.uniform(0.2, 1.2, (*size, 2)) * (rng.random((*size, 2)) < 0.7)
    amounts[:, : size[1] // 4] = 0
    return np.rint(240 * np.exp(-amounts @ vectors) - 1).astype(np.uint8)


def slide(path: Path, pixels: np.ndarray, profile: bytes | None = None) -> Path:
    tifffile.imwrite(path, pixels, tile=(64, 64), photometric="rgb", iccprofile=profile)
    return path


PLAIN = ["slides=files", "reader.mpp=1", "resolution=mpp", "resolution.value=1", "mask=none",
         "tile.size=64", "exporter=[csv,images]"]  # fmt: skip


def run(folder: Path, *words: str, path: str = "s.tiff", out: str = "out") -> Any:
    return tiler(*PLAIN, f"slides.paths=[{path}]", f"out={out}", *words, cwd=folder)


def record(folder: Path, slide_id: str = "s", out: str = "out") -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        (folder / f"{out}/slides/{slide_id}/record.json").read_text()
    )
    return content


def tiles(folder: Path, slide_id: str = "s", out: str = "out") -> dict[str, bytes]:
    found = sorted((folder / f"{out}/slides/{slide_id}/tiles").glob("*.png"))
    return {file.name: file.read_bytes() for file in found}


def row(folder: Path, out: str = "out") -> dict[str, str]:
    (only,) = read_csv(folder / f"{out}/slides.csv")
    return only


@pytest.mark.slow
def test_the_record_states_the_fit_and_the_profile(tmp_path: Path) -> None:
    slide(tmp_path / "s.tiff", stained(), scanner_profile())
    assert run(tmp_path, "transform=[icc,macenko,reinhard]").returncode == 0
    made = record(tmp_path)
    assert made["transforms"].keys() == {"images"}
    fits = made["transforms"]["images"]
    assert list(fits) == ["icc", "macenko", "reinhard"]
    assert fits["icc"]["profile"] == "a scanner"
    assert len(fits["macenko"]["stains"]) == 2
    assert made["settings"]["exporter"]["images"]["transform"]["order"] == list(fits)
    assert "transform" not in made["settings"]["exporter"]["csv"]
    plain = tmp_path / "plain.tiff"
    slide(plain, stained())
    assert run(tmp_path, "transform=[icc]", path="plain.tiff", out="without").returncode == 0
    assert record(tmp_path, "plain", "without")["transforms"]["images"]["icc"] == {"profile": None}
    assert "icc: the slide has no ICC profile" in row(tmp_path, "without")["notes"]


def fitted(record: dict[str, Any], exporter: str = "images") -> list[Any]:
    """Return the transforms that a record describes."""
    made: list[Any] = []
    for name, facts in record["transforms"][exporter].items():
        if name == "icc":
            made.append(FittedIcc(scanner_profile()))
        elif name == "macenko":
            own, target = (
                Stains(tuple(map(tuple, one["stains"])), tuple(one["max"]))
                for one in (facts, facts["reference"])
            )
            made.append(FittedMacenko(own, target, 0))
        else:
            own, target = (
                Colours(tuple(one["mean"]), tuple(one["std"]))
                for one in (facts, facts["reference"])
            )
            made.append(FittedReinhard(own, target, 0))
    return made


def pictures(folder: Path, out: str, pattern: str = "**/*.png") -> dict[str, np.ndarray]:
    place = folder / out / "slides/s"
    return {
        file.relative_to(place).as_posix(): np.asarray(Image.open(file))
        for file in sorted(place.glob(pattern))
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "chosen",
    ["icc,reinhard", *(pytest.param(one, marks=SLOW) for one in ("icc", "macenko", "macenko,icc"))],
)
def test_every_picture_is_the_recorded_fit_of_the_raw_one(tmp_path: Path, chosen: str) -> None:
    """Tiles, their context and their parents."""
    slide(tmp_path / "s.tiff", stained(), scanner_profile())
    scales = ["context=[2]", "pyramid=[4]"]
    assert run(tmp_path, *scales, out="raw").returncode == 0
    assert run(tmp_path, *scales, f"transform=[{chosen}]").returncode == 0
    raw, made, transforms = (
        pictures(tmp_path, "raw"), pictures(tmp_path, "out"), fitted(record(tmp_path)))  # fmt: skip
    assert raw.keys() == made.keys()
    assert len([name for name in raw if "pyramid" in name]) == 4
    assert len([name for name in raw if "_c2.0" in name]) == 35
    for name, pixels in raw.items():
        for one in transforms:
            pixels = one(pixels)
        np.testing.assert_array_equal(made[name], pixels, err_msg=name)
        assert raw[name].min() > 230 or not np.array_equal(raw[name], made[name]), "not glass"


@pytest.mark.slow
def test_the_transform_of_a_chain_is_fitted_on_what_comes_before(tmp_path: Path) -> None:
    slide(tmp_path / "s.tiff", stained(), scanner_profile())
    found = {}
    for number, chosen in enumerate(("macenko", "icc,macenko")):
        assert run(tmp_path, f"transform=[{chosen}]", out=f"o{number}").returncode == 0
        found[chosen] = record(tmp_path, out=f"o{number}")["transforms"]["images"]["macenko"]
    apart = np.subtract(found["macenko"]["stains"], found["icc,macenko"]["stains"])
    assert np.abs(apart).max() > 0.01


def test_exporters_that_pack_tiles_get_the_same_pixels(tmp_path: Path) -> None:
    h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")
    slide(tmp_path / "s.tiff", stained())
    packing = ["exporter=[images,webdataset,zarr,hdf5]", "exporter.hdf5.images=true"]
    done = run(tmp_path, "transform=[macenko]", *packing, "exporter.hdf5.layout=[clam]")
    assert done.returncode == 0, done.stderr
    place = tmp_path / "out/slides/s"
    expected = sorted(pixels.tobytes() for pixels in pictures(tmp_path, "out").values())
    assert len(expected) == 35
    (shard,) = place.glob("*.tar")
    with tarfile.open(shard) as packed:
        members = [one for one in packed.getmembers() if one.name.endswith(".png")]
        found = [packed.extractfile(one) for one in members]
        sharded = sorted(np.asarray(Image.open(one)).tobytes() for one in found)
    assert sharded == expected
    with h5py.File(place / "s.clam.h5") as file:
        assert sorted(tile.tobytes() for tile in file["images"][:]) == expected
    stored = zarr.open(place / "s.zarr", mode="r")
    (array,) = [one for _, one in stored.arrays() if one.ndim == 4]
    assert sorted(tile.tobytes() for tile in array[:]) == expected
    assert record(tmp_path)["transforms"].keys() == {"images", "webdataset", "zarr", "hdf5"}


@pytest.mark.slow
def test_tiles_of_another_fit_are_not_linked(tmp_path: Path) -> None:
    slide(tmp_path / "s.tiff", stained())
    mask = np.zeros((32, 45), np.uint8)
    mask[:9, 15:] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    words = ["transform=[macenko]", "threshold=0"]
    for number, some in enumerate((["mask=none"], ["mask=file", "mask.path=m.png"])):
        link = ["exporter.images.link=true", f"cache={tmp_path / 'cache'}"]
        assert run(tmp_path, *words, *some, *link, out=f"l{number}").returncode == 0
        assert run(tmp_path, *words, *some, out=f"o{number}").returncode == 0
        linked, own = (tiles(tmp_path, out=f"{kind}{number}") for kind in "lo")
        assert linked == own
    one, other = (list(pictures(tmp_path, out).values()) for out in ("l0", "l1"))
    assert not all(map(np.array_equal, one, other))


@pytest.mark.slow
def test_another_transform_redoes_images_and_no_table(tmp_path: Path) -> None:
    slide(tmp_path / "s.tiff", stained())
    assert run(tmp_path).returncode == 0
    raw, table = tiles(tmp_path), tmp_path / "out/slides/s/s.csv"
    inode = table.stat().st_ino
    for words, changed in (
        (["transform=[macenko]"], "images.transform was not set, now [macenko]"),
        (["transform=[macenko]", "transform.macenko.mpp=2"], "transform.with.macenko.mpp was 1.0"),
        (["transform=[icc,macenko]"], "transform.order was ['macenko']"),
        (["transform=[macenko,icc]"], "transform.order was ['icc', 'macenko']"),
        (["transform=[]"], "transform was [macenko,icc], now not set"),
    ):
        done = run(tmp_path, *words)
        assert done.returncode == 0
        assert changed in done.stderr
        assert table.stat().st_ino == inode, "linked, not written again"
        again = run(tmp_path, *words)
        assert "1 of 1 slides are done already" in again.stderr
    assert tiles(tmp_path) == raw


@pytest.mark.slow
def test_a_changed_reference_redoes_the_images(tmp_path: Path) -> None:
    slide(tmp_path / "s.tiff", stained())
    Image.fromarray(stained(1)).save(tmp_path / "r.png")
    words = ["transform=[reinhard]", "transform.reinhard.reference=r.png"]
    assert run(tmp_path, *words).returncode == 0
    before = record(tmp_path)["transforms"]["images"]["reinhard"]["reference"]
    Image.fromarray(stained(1) // 2 + 90).save(tmp_path / "r.png")
    done = run(tmp_path, *words)
    assert "transform.files.reinhard.r.png was " in done.stderr
    assert record(tmp_path)["transforms"]["images"]["reinhard"]["reference"] != before


@pytest.mark.slow
def test_a_table_that_is_added_later_keeps_the_recorded_fit(tmp_path: Path) -> None:
    slide(tmp_path / "s.tiff", stained())
    assert run(tmp_path, "transform=[macenko]", "exporter=[images]").returncode == 0
    fits = record(tmp_path)["transforms"]
    assert run(tmp_path, "transform=[macenko]", "exporter=[csv,images]").returncode == 0
    assert record(tmp_path)["transforms"] == fits
    assert run(tmp_path, "transform=[]", "exporter=[json]").returncode == 0
    assert record(tmp_path)["transforms"] == fits, "of images that stay"


def dark() -> np.ndarray:
    return stained() // 8


def blank() -> np.ndarray:
    return np.random.default_rng(0).integers(238, 246, (*SIZE, 3)).astype(np.uint8)


def one_stain() -> np.ndarray:
    amounts = np.random.default_rng(0).uniform(0.3, 1.5, (*SIZE, 1))
    return np.rint(240 * np.exp(-amounts * np.array([0.65, 0.7, 0.29])) - 1).astype(np.uint8)


BAD = [
    pytest.param("macenko", dark, "the tissue is dark", marks=SLOW),
    ("reinhard", dark, "the tissue is dark"),
    pytest.param("macenko", blank, "pixels are stained", marks=SLOW),
    pytest.param("reinhard", blank, "pixels are stained", marks=SLOW),
    ("macenko", one_stain, "it has one stain"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "pixels", "reason"), BAD)
def test_a_slide_that_cannot_be_fitted_follows_the_policy(
    tmp_path: Path, name: str, pixels: Any, reason: str
) -> None:
    slide(tmp_path / "s.tiff", pixels())
    failed = run(tmp_path, f"transform=[{name}]")
    assert failed.returncode == 3
    assert row(tmp_path)["status"] == "failed"
    assert row(tmp_path)["reason"].startswith(f"E_TRANSFORM slide=s: {name} cannot be fitted: ")
    assert reason in row(tmp_path)["reason"]
    assert row(tmp_path)["reason"].endswith(
        f"; set on_bad_fit=raw to write such tiles as they are, or remove {name}"
    )
    assert not (tmp_path / "out/slides/s").exists()
    assert run(tmp_path, out="plain").returncode == 0
    kept = run(tmp_path, f"transform=[icc,{name}]", "on_bad_fit=raw")
    assert kept.returncode == 0
    lines = [line for line in kept.stderr.splitlines() if "are not transformed" in line]
    assert len(lines) == 1
    assert "WARNING slide=s" in lines[0]
    assert reason in row(tmp_path)["notes"]
    assert reason in record(tmp_path)["transforms"]["images"][name]["raw"]
    assert tiles(tmp_path) == tiles(tmp_path, out="plain")


def test_a_blank_slide_without_tissue_needs_no_fit(tmp_path: Path) -> None:
    slide(tmp_path / "s.tiff", blank())
    done = run(tmp_path, "transform=[macenko]", "mask=otsu", "threshold=0.5")
    assert done.returncode == 0
    assert row(tmp_path)["status"] == "done_empty"


@pytest.mark.slow
def test_a_damaged_profile_follows_the_policy(tmp_path: Path) -> None:
    slide(tmp_path / "s.tiff", stained(), b"no profile")
    failed = run(tmp_path, "transform=[icc]")
    assert failed.returncode == 3
    assert "icc: the slide's ICC profile, 10 bytes, cannot be used" in row(tmp_path)["reason"]
    assert run(tmp_path, "transform=[icc]", "on_bad_fit=raw").returncode == 0


@pytest.mark.slow
def test_raw_is_no_change_for_a_slide_that_was_fitted(tmp_path: Path) -> None:
    slide(tmp_path / "s.tiff", stained())
    slide(tmp_path / "bad.tiff", dark())
    both = "s.tiff,bad.tiff"
    assert run(tmp_path, "transform=[macenko]", path=both).returncode == 3
    before = (tmp_path / "out/slides/s/record.json").stat().st_mtime_ns
    assert run(tmp_path, "transform=[macenko]", "on_bad_fit=raw", path=both).returncode == 0
    assert (tmp_path / "out/slides/s/record.json").stat().st_mtime_ns == before
    assert run(tmp_path, "transform=[macenko]", path=both).returncode == 3, "fail is strict again"


@pytest.mark.slow
def test_a_slide_without_mpp_says_which_setting_helps(tmp_path: Path) -> None:
    slide(tmp_path / "s.tiff", stained())
    words = ["reader.mpp=null", "resolution=level", "resolution.value=0", "transform=[macenko]"]
    failed = run(tmp_path, *words)
    assert failed.returncode == 3
    reason = row(tmp_path)["reason"]
    assert "macenko cannot be fitted at mpp=1: a resolution in mpp needs the slide's mpp" in reason
    assert "transform.macenko.mpp=null" in reason
    assert run(tmp_path, *words, "transform.macenko.mpp=null").returncode == 0


def test_a_resolution_at_which_no_tissue_is_left_says_so(tmp_path: Path) -> None:
    slide(tmp_path / "s.tiff", stained())
    for out, chosen in ("one", "reinhard"), ("two", "macenko,reinhard"):
        failed = run(tmp_path, f"transform=[{chosen}]", "transform.reinhard.mpp=1e9", out=out)
        assert failed.returncode == 3
        assert "reinhard cannot be fitted: there is no tissue" in row(tmp_path, out)["reason"]


@pytest.mark.slow
def test_a_sweep_reads_the_tissue_once(tmp_path: Path) -> None:
    slide(tmp_path / "s.tiff", stained())
    done = run(tmp_path, "-m", "transform=[macenko],[reinhard]", "threshold=0,0.1")
    assert done.returncode == 0, done.stderr
    files = (tmp_path / "out").glob("*/run.json")
    counts = [json.loads(file.read_text())["cache"] for file in files]
    assert sorted(one.get("tissue samples made", 0) for one in counts) == [0, 0, 0, 1]
    assert sum(one.get("tissue samples reused", 0) for one in counts) == 3
    assert "tissue samples: 0 made, 1 reused" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["transform.macenko.reference=none.png"], "reference=none.png does not exist"),
        (["transform.macenko.reference=null"], "reference=null is invalid; use text"),
        (["transform.macenko.reference=text.png"], "is not a picture that Pillow reads"),
        (["transform.macenko.reference=white.png"], "cannot be fitted: only 0 of"),
        (["transform.macenko.mpp=0"], "transform.macenko.mpp=0 is invalid"),
        (["transform.macenko.mmp=1"], "did you mean 'transform.macenko.mpp'?"),
        (["on_bad_fit=keep"], "E_CONFIG: on_bad_fit=keep is invalid; use one of fail, raw"),
        (["exporter=[images]", "exporter.images.extension=jpg", "exporter.images.passthrough=true"],
         "exporter.images.passthrough=true writes the slide's own tiles undecoded, and"
         " transform=[macenko] changes their pixels"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_before_any_slide(
    tmp_path: Path, words: list[str], message: str
) -> None:
    slide(tmp_path / "s.tiff", stained())
    (tmp_path / "text.png").write_text("no picture")
    Image.fromarray(np.full((50, 50, 3), 255, np.uint8)).save(tmp_path / "white.png")
    done = run(tmp_path, "transform=[macenko]", *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_transform_without_pixels_warns(tmp_path: Path) -> None:
    slide(tmp_path / "s.tiff", stained())
    done = run(tmp_path, "transform=[icc]", "exporter=[geojson]")
    assert done.returncode == 0
    assert "transform=[icc] changes no file" in done.stderr
    assert "TileDataset" not in done.stderr
    assert record(tmp_path)["transforms"] == {}


def test_a_table_without_pixels_has_the_fit_for_datasets(tmp_path: Path) -> None:
    slide(tmp_path / "s.tiff", stained())
    done = run(tmp_path, "transform=[macenko]", "exporter=[csv]")
    assert done.returncode == 0
    assert "changes no file" in done.stderr
    assert "TileDataset applies it" in done.stderr
    alone = record(tmp_path)["transforms"]["csv"]
    assert alone["macenko"]["stains"]
    before = TileDataset(tmp_path / "out", slide_root=tmp_path)[-1]["image"]
    assert run(tmp_path, "transform=[macenko]", "exporter=[csv,images]").returncode == 0
    assert record(tmp_path)["transforms"] == {"images": alone}
    found = TileDataset(tmp_path / "out", slide_root=tmp_path, columns=["file"])
    for item in found.__getitems__(range(len(found))):
        written = np.asarray(Image.open(tmp_path / "out/slides/s" / item["file"]))
        np.testing.assert_array_equal(item["image"], written)
    np.testing.assert_array_equal(found[-1]["image"], before)
    assert (
        TileDataset(tmp_path / "out", slide_root=tmp_path, raw=True)[-1]["image"] != before
    ).any()


LAB = '''"""Transforms of a laboratory, one per way to fail."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Made:
    how: str = ""

    @property
    def facts(self):
        return {"x": np.zeros(2)} if self.how == "facts" else {"how": self.how}

    def notes(self, source):
        return ["how: " + self.how]

    def __call__(self, pixels):
        if self.how == "call":
            raise KeyError("no such colour")
        if self.how == "shape":
            return pixels[:-1]
        if self.how == "floats":
            return pixels / 2
        return 255 - pixels


@dataclass(frozen=True)
class Broken:
    how: str = ""

    def fit(self, source, tissue):
        if self.how == "fit":
            raise ValueError("no network")
        if self.how == "nothing":
            return None
        if self.how == "lambda":
            made = Made()
            object.__setattr__(made, "more", lambda: 0)
            return made
        return Made(self.how)


class NoFit:
    """A transform without the method."""
'''


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/__init__.py").write_text(LAB)
    option = tmp_path / "conf/transform"
    option.mkdir(parents=True)
    text = "# @package transform.{name}\n_target_: lab.{target}\n"
    (option / "broken.yaml").write_text(text.format(name="broken", target="Broken") + "how: ''\n")
    (option / "nofit.yaml").write_text(text.format(name="nofit", target="NoFit"))
    slide(tmp_path / "s.tiff", stained())
    return tmp_path


def run_lab(folder: Path, *words: str, out: str = "out") -> Any:
    env = {"TILER_TARGETS": "lab", "PYTHONPATH": f"{folder}:{Path(__file__).parents[1]}"}
    chosen = ["--config-dir", "conf", *PLAIN, "slides.paths=[s.tiff]", f"out={out}", *words]
    return tiler(*chosen, cwd=folder, env=env)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("fit", "ValueError: no network (lab/__init__.py:"),
        ("nothing", "lab.Broken.fit returned None (NoneType); return a callable with facts"),
        ("lambda", "which does not pickle or whose facts are not plain values"),
        ("facts", "which does not pickle or whose facts are not plain values"),
        ("call", "KeyError: 'no such colour' (lab/__init__.py:"),
        (
            "shape",
            "lab.Made returned an array of uint8 and shape (63, 64, 3); return uint8",
        ),
        ("floats", "lab.Made returned an array of float64 and shape (64, 64, 3)"),
    ],
)
def test_a_broken_transform_of_the_users_fails_its_slide(lab: Path, how: str, message: str) -> None:
    done = run_lab(lab, "transform=[broken]", f"transform.broken.how={how}", "on_bad_fit=raw")
    assert done.returncode == 3, done.stderr
    assert row(lab)["reason"].startswith("E_COMPONENT slide=s: ")
    assert message in row(lab)["reason"]
    assert "Traceback" not in done.stderr


def test_a_transform_without_fit_is_refused(lab: Path) -> None:
    done = run_lab(lab, "transform=[nofit]")
    assert done.returncode == 2
    expected = "E_COMPONENT: transform.nofit: lab.NoFit made a NoFit without fit"
    assert done.stderr.startswith(expected)


@pytest.mark.slow
def test_changed_code_of_a_transform_redoes_the_images_alone(lab: Path) -> None:
    assert run_lab(lab, "transform=[broken]").returncode == 0
    assert row(lab)["notes"] == "how:"
    inode = (lab / "out/slides/s/s.csv").stat().st_ino
    (lab / "lab/__init__.py").write_text(LAB.replace("255 - pixels", "254 - pixels // 2"))
    done = run_lab(lab, "transform=[broken]")
    assert "the code of exporter.images changed" in done.stderr
    assert (lab / "out/slides/s/s.csv").stat().st_ino == inode


def test_slides_of_a_table_have_transforms_of_their_own(tmp_path: Path) -> None:
    slide(tmp_path / "s.tiff", stained())
    slide(tmp_path / "dark.tiff", dark())
    (tmp_path / "t.csv").write_text(
        "path,transform.macenko.mpp,on_bad_fit\ns.tiff,4,fail\ndark.tiff,2,raw\n"
    )
    words = [word for word in PLAIN if not word.startswith("slides=")]
    table = ["slides=table", "slides.table=t.csv", "transform=[macenko]", "out=out"]
    assert tiler(*words, *table, cwd=tmp_path).returncode == 0
    assert record(tmp_path)["transforms"]["images"]["macenko"]["pixels"] == SIZE[0] * SIZE[1] / 16
    assert "raw" in record(tmp_path, "dark")["transforms"]["images"]["macenko"]


@pytest.mark.slow
def test_tissue_that_cannot_be_read_follows_on_bad_tile(tmp_path: Path) -> None:
    path = tmp_path / "s.tiff"
    options: dict[str, Any] = {"tile": (64, 64), "photometric": "rgb", "compression": "deflate"}
    tifffile.imwrite(path, stained(), **options)
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].dataoffsets[9]
    data = bytearray(path.read_bytes())
    data[offset : offset + 40] = bytes(40)
    path.write_bytes(data)
    failed = run(tmp_path, "transform=[macenko]")
    assert failed.returncode == 3
    assert row(tmp_path)["reason"].startswith("E_READ slide=s: ")
    dropping = ["on_bad_tile=drop", "max_bad_fraction=0.1"]
    for out in ("one", "two"):
        words = ["transform=[macenko]", *dropping, f"cache={tmp_path / 'cache'}"]
        assert run(tmp_path, *words, out=out).returncode == 0
        assert "fitted without 1 unreadable block of tissue" in row(tmp_path, out)["notes"]
        assert len(tiles(tmp_path, out=out)) == 34
    assert tiles(tmp_path, out="one") == tiles(tmp_path, out="two")
