"""Every option of every group that shapes output holds the contract of a run.

Options are found by glob. Each has a slide of its own in one run: so engines, resuming,
interruptions, dry runs and comparisons are tested for all of them at the price of one.
Hydra takes longest, with a configuration for each option: ``make test`` tests a third of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command import read_csv, tiler
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from networks import per_pixel
from PIL import Image
from profiles import scanner_profile

from tiler.config.build import build
from tiler.config.command.folder import conf_folder
from tiler.config.components import SHAPES_OUTPUT
from tiler.config.schema import register_schema
from tiler.config.sweeps.multirun import register_resolvers
from tiler.runner.engines import ProcessEngine, SerialEngine
from tiler.runner.guard import NAMES
from tiler.runner.run import dry_run, run
from tiler.runner.signals import Interrupted
from tiler.runner.work.job import SlideJob

OPTIONS = sorted(
    (file.parent.name, file.stem)
    for file in conf_folder().glob("*/*.yaml")
    if file.parent.name in SHAPES_OUTPUT
)
NEEDED = {
    ("mask", "annotation"): ["mask.path=drawn.geojson"],
    ("mask", "combine"): ["+mask@mask.all.tissue=otsu"],
    ("mask", "file"): ["mask.path=mask.png"],
    ("mask", "onnx"): ["mask.path=net.onnx", "mask.mpp=8", "mask.tile=48", "mask.threshold=0.3"],
    ("mask", "tissue_in_annotation"): ["mask.all.annotation.path=drawn.geojson"],
    ("label", "annotation"): ["label.path=drawn.geojson"],
    ("exporter", "hdf5"): [
        "exporter.hdf5.layout=[trident,clam,mussel,atlaspatch]",
        "exporter.hdf5.images=true",
    ],
    **{("sampler", name): ["sampler.n=5"] for name in ("random", "spread", "top")},
    ("resolution", "magnification"): ["resolution.value=20"],
    ("resolution", "mpp"): ["resolution.value=4"],
    ("tile", "um"): ["tile.size=128"],
}
"""What an option needs, besides its name."""

ACROSS_SLIDES = {"parquet": "tiles.parquet", "webdataset": "shards.json"}
"""Exporters that make a file of all slides, which is outside the folders of slides."""

PLAIN = ["slides=files", "reader.mpp=4", "reader.magnification=20", "tile.size=32",
         "resolution=mpp", "resolution.value=4", "mask=none", "threshold=0.4",
         "exporter=[csv]"]  # fmt: skip


def words_of(group: str, option: str) -> list[str]:
    """Return the overrides of a job with an option, on the slide of its name."""
    suffix = "png" if (group, option) == ("reader", "image") else "tiff"
    slide = f"slides.paths=[{group}-{option}.{suffix}]"
    choice = f"exporter=[csv,{option}]" if group == "exporter" else f"{group}={option}"
    words = [word for word in PLAIN if not word.startswith((f"{group}=", f"{group}.value="))]
    if group == "exporter" and option == "csv":
        choice = "exporter=[csv]"
    if group == "transform":
        words = [word for word in words if not word.startswith("exporter=")]
        choice = f"transform=[{option}]"
        words.append("exporter=[csv,images]")
    if group == "filter":
        choice = f"filter=[{option}]"
        words.append(f"filter.{option}.mpp=null")  # the slide is too coarse for some defaults
    return [*words, slide, choice, *NEEDED.get((group, option), [])]


def picture() -> np.ndarray:
    """Tissue and a line of green pen on bright glass: uint8 (160, 224, 3), lopsided."""
    noise = np.random.default_rng(0).integers(0, 40, (160, 224, 3))
    pixels = np.full((160, 224, 3), (215, 214, 215)) + noise
    pixels[20:130, 30:180] = (150, 60, 140) + noise[20:130, 30:180]
    pixels[136:152, 10:200] = (20, 150, 70)
    return pixels.astype(np.uint8)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(OPTIONS[::3], id="a third"),
        pytest.param([*OPTIONS[1::3], *OPTIONS[2::3]], id="the others", marks=pytest.mark.slow),
    ],
)
def options(request: pytest.FixtureRequest) -> list[tuple[str, str]]:
    """The options of a run, as group and name."""
    return request.param


@pytest.fixture(scope="module")
def jobs(
    options: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory, parsed_conf: None
) -> Iterator[list[SlideJob]]:
    """A job for each option; the folder of their files is the working folder."""
    folder = tmp_path_factory.mktemp("contract")
    pixels = picture()
    for group, option in options:
        tifffile.imwrite(
            folder / f"{group}-{option}.tiff",
            pixels,
            tile=(64, 64),
            photometric="rgb",
            iccprofile=scanner_profile() if option == "icc" else None,
        )
    Image.fromarray(pixels).save(folder / "reader-image.png")
    tissue = np.zeros((80, 112), np.uint8)
    tissue[10:65, 15:90] = 255
    Image.fromarray(tissue).save(folder / "mask.png")
    per_pixel(folder / "net.onnx", np.array([[-0.5, -1.0, 0.2]]), np.array([0.9]))
    ring = [[30, 20], [180, 25], [170, 130], [35, 120], [30, 20]]
    drawn = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"classification": {"name": "tumor"}},
    }
    (folder / "drawn.geojson").write_text(json.dumps(drawn))
    GlobalHydra.instance().clear()
    register_schema()
    register_resolvers()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with initialize_config_dir(str(conf_folder()), version_base="1.3"):
            made = [build(compose("config", words_of(*one))).jobs for one in options]
        yield [job for (job,) in made]
    GlobalHydra.instance().clear()


FACTS = {"config": {}, "slides": {"base": "."}}


def tree(out: Path) -> dict[str, bytes]:
    """Return all files of slides."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted((out / "slides").rglob("*"))
        if path.is_file()
    }


def products(out: Path) -> dict[str, bytes | str]:
    """Return all links of a run, and all files about its slides."""
    tops = [path for path in out.iterdir() if path.name not in NAMES and path.name[0] != "."]
    below = [path for top in tops if top.name != "slides" for path in (top, *top.rglob("*"))]
    return {
        path.relative_to(out).as_posix(): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        for path in sorted(below)
        if path.is_symlink() or path.is_file()
    }


def in_folder(jobs: list[SlideJob], out: Path) -> list[SlideJob]:
    return [replace(job, cache=out / ".cache") for job in jobs]


@pytest.fixture(scope="module")
def done(jobs: list[SlideJob]) -> Path:
    """The folder of a finished run of all jobs, one after the other."""
    out = Path("serial").absolute()
    assert run(in_folder(jobs, out), out, SerialEngine(), FACTS).exit_code == 0
    return out


def test_every_option_is_found() -> None:
    assert {("mask", "onnx"), ("exporter", "mask"), ("reader", "tiff")} <= set(OPTIONS)
    assert {("exporter", name) for name in ACROSS_SLIDES} <= set(OPTIONS)


def test_every_option_keeps_tiles_and_every_mask_leaves_some_out(
    options: list[tuple[str, str]], done: Path
) -> None:
    rows = {row["slide_id"]: row for row in read_csv(done / "slides.csv")}
    assert set(rows) == {f"{group}-{option}" for group, option in options}
    for group, option in options:
        row = rows[f"{group}-{option}"]
        assert row["status"] == "done" or group == "filter", row
        if group in ("mask", "sampler") and option not in ("none", "all"):
            assert int(row["kept"]) < int(row["candidates"]), row


@pytest.fixture(scope="module")
def by_processes(jobs: list[SlideJob]) -> Path:
    """The folder of a finished run in another order, by two processes."""
    out = Path("processes").absolute()
    engine = ProcessEngine(workers=2)
    assert run(in_folder(jobs[::-1], out), out, engine, FACTS).exit_code == 0
    return out


def test_the_order_and_the_processes_change_no_byte(done: Path, by_processes: Path) -> None:
    assert tree(by_processes) == tree(done)


def test_no_folder_of_a_slide_is_empty(done: Path) -> None:
    folders = [path for path in (done / "slides").rglob("*") if path.is_dir()]
    assert folders
    assert not [path for path in folders if not any(path.iterdir())]


def test_a_second_run_does_nothing(jobs: list[SlideJob], done: Path) -> None:
    def times() -> list[int]:
        return [path.stat().st_mtime_ns for path in sorted(done.glob("slides/*/*"))]

    before = times()
    assert run(in_folder(jobs, done), done, SerialEngine(), FACTS).exit_code == 0
    assert times() == before


class Interrupting(SerialEngine):
    """An engine that is interrupted after a number of tasks."""

    after = 0

    def next(self):
        if not self.after:
            raise Interrupted(130)
        self.after -= 1
        return super().next()


def test_an_interrupted_run_is_finished_by_the_next(
    options: list[tuple[str, str]], jobs: list[SlideJob], done: Path
) -> None:
    out, expected = Path("interrupted").absolute(), tree(done)
    for after in (1, len(jobs), len(jobs) // 2):
        engine = Interrupting()
        engine.after = after
        assert run(in_folder(jobs, out), out, engine, FACTS).exit_code == 130
        found = tree(out)
        assert {name: expected[name] for name in found} == found, "finished slides are complete"
        assert len(found) < len(expected)
    assert not products(out), "an interrupted run makes none"
    assert run(in_folder(jobs, out), out, SerialEngine(), FACTS).exit_code == 0
    assert tree(out) == expected
    assert products(out) == products(done)
    made = {ACROSS_SLIDES[name] for _, name in options if name in ACROSS_SLIDES}
    assert made <= {*products(done)}


def test_a_dry_run_predicts_the_tiles_and_writes_none(jobs: list[SlideJob], done: Path) -> None:
    out = Path("dry").absolute()
    budget = dry_run(in_folder(jobs, out), out, SerialEngine(), FACTS)
    kept = {row["slide_id"]: int(row["kept"]) for row in read_csv(done / "slides.csv")}
    assert {cost.slide_id: cost.tiles for cost in budget.slides} == kept
    assert not (out / "slides").exists()


def test_two_runs_are_equal_for_tiler_compare(done: Path, by_processes: Path) -> None:
    same = tiler(str(done), str(by_processes), cwd=done.parent, module="tiler.compare")
    assert same.returncode == 0, same.stdout + same.stderr
