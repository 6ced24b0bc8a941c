"""The data and the pictures of a slide in the report."""

from __future__ import annotations

import base64
import csv
import io
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tiler import Level, TileExtractor, TileSpec, open_slide
from tiler.exporters import CsvExporter
from tiler.exporters.tables.candidates import CandidatesExporter
from tiler.masks import OtsuMask
from tiler.report.slide_task import SlideReport, SlideReportTask
from tiler.runner.engines import SerialEngine
from tiler.runner.run import run
from tiler.runner.work.job import SlideJob
from tiler.runner.work.worker_state import WorkerState
from tiler.scores import Blur, White

SIDE = 64


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a slide with two pieces of tissue of different texture, 900 x 620 pixels."""
    path = tmp_path_factory.mktemp("report") / "a.tiff"
    noise = np.random.default_rng(3)
    pixels = np.full((620, 900, 3), 245, np.uint8)
    y, x = np.mgrid[:620, :900]
    left = (x - 260) ** 2 / 200**2 + (y - 250) ** 2 / 180**2 < 1
    right = (x - 690) ** 2 / 120**2 + (y - 420) ** 2 / 160**2 < 1
    pixels[left] = noise.integers(60, 200, (left.sum(), 3)) // [1, 2, 1]
    pixels[right] = [190, 90, 160]
    tifffile.imwrite(path, pixels, tile=(128, 128), photometric="rgb")
    return path


def job_of(path: Path, reader: Any = open_slide, **changed: Any) -> SlideJob:
    own: dict[str, Any] = {
        "mask_provider": OtsuMask(), "mask_threshold": 0.4,
        "filters": {"blur": Blur(min=5, mpp=None), "white": White(max=0.3, mpp=None)},
    }  # fmt: skip
    spec = changed.pop("spec", TileSpec(SIDE, resolution=Level(0)))
    rules = {key: changed.pop(key) for key in ("filters", "sampler", "labels") if key in changed}
    extractor = TileExtractor(spec, **{**own, **rules})
    exporters = changed.pop("exporters", {"csv": CsvExporter()})
    settings = {"filter": {name: {} for name in extractor.filters or {}}}
    return SlideJob(
        path, changed.pop("slide_id", "a"), reader, extractor, exporters, settings, **changed
    )


@dataclass
class Made:
    """A slide's part of a report, and its data as a page reads it."""

    report: SlideReport
    data: dict[str, Any]
    folder: Path

    def column(self, name: str) -> np.ndarray:
        return unpacked(self.data["columns"][name]).reshape(self.shape)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.data["y"]), len(self.data["x"])

    @property
    def decision(self) -> np.ndarray:
        codes = unpacked(self.data["decision"]).reshape(self.shape)
        return np.array(self.data["reasons"], object)[codes]


def unpacked(array: dict[str, Any]) -> np.ndarray:
    if array["type"] == "text":
        return np.array(array["values"], object)[unpacked(array["codes"])]
    return np.frombuffer(zlib.decompress(base64.b64decode(array["z"])), f"<{array['type']}")


def read_script(data: bytes) -> tuple[str, Any]:
    """Return the name and the data of a script file."""
    text = data.decode("ascii")
    assert text.startswith("tiler.data(")
    assert text.endswith(");\n")
    assert not set("<>&") & set(text)
    name, value = json.loads(f"[{text[11:-3]}]", parse_constant=pytest.fail)
    return name, value


def made(job: SlideJob, folder: Path, n: int = 12, **given: Any) -> Made:
    report = SlideReportTask(job, folder, n, **given).run(WorkerState())
    name, data = read_script((folder / report.data).read_bytes())
    assert name == f"slide/{n}"
    assert {file.name for file in report.files} == {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    }
    return Made(report, data, folder)


def decided(one: Made) -> np.ndarray:
    """Decide again about every cell, with the data of the page alone."""
    rules, ratio = one.data["rules"], one.column("ratio")
    found = np.full(one.shape, "kept", object)
    found[ratio < rules["threshold"]] = "below_threshold"
    for limits in rules["filters"]:
        bad = np.isnan(one.column(f"score_{limits['name']}"))
        found[(found == "kept") & bad] = "unreadable"
    for limits in rules["filters"]:
        scores = one.column(f"score_{limits['name']}")
        low = -np.inf if limits["min"] is None else limits["min"]
        high = np.inf if limits["max"] is None else limits["max"]
        found[(found == "kept") & ~((scores >= low) & (scores <= high))] = (
            f"filter:{limits['name']}"
        )
    if rules["sampler"] and rules["sampler"]["exact"]:
        rank, n = one.column("sampler_rank"), rules["sampler"]["n"]
        left = np.sort(rank[found == "kept"])[:n]
        found[(found == "kept") & ~np.isin(rank, left)] = "not_sampled"
    return found


def test_the_page_decides_as_the_run_does_and_has_its_boxes(slide: Path, tmp_path: Path) -> None:
    job = job_of(slide, exporters={"csv": CsvExporter(), "candidates": CandidatesExporter()})
    assert run([job], tmp_path / "out", SerialEngine(), {}).exit_code == 0
    one = made(job, tmp_path / "report")
    assert (decided(one) == one.decision).all()
    assert len(np.unique(one.decision)) > 3
    (path,) = (tmp_path / "out/slides/a").glob("*candidates.csv")
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert len(rows) == one.decision.size
    for line in rows:
        row, column = int(line["row"]), int(line["column"])
        for name, at in (("x", column), ("x0", column), ("width0", column),
                         ("y", row), ("y0", row), ("height0", row)):  # fmt: skip
            assert one.data[name][at] == int(line[name])
        assert one.decision[row, column] == line["decision"]
        assert one.column("ratio")[row, column] == float(line["ratio"])
        if line["decision"] != "below_threshold":
            assert one.column("score_blur")[row, column] == float(line["score_blur"])
