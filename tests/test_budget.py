"""A dry run predicts the output of a run; limits stop a run that would write more."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from command import complaint, read_csv, tiler

from tiler.runner.limits import size_text

NAME = "CMU-1-Small-Region"
HERE = Path(__file__).parent
JPEG = ("exporter=[csv,json,images,overview]", "exporter.images.extension=jpg")


@pytest.fixture
def folder(tmp_path: Path, shared_slides: Path) -> Path:
    (tmp_path / "in").mkdir()
    shutil.copy(shared_slides / f"{NAME}.svs", tmp_path / f"in/{NAME}.svs")
    return tmp_path


def run(folder: Path, *arguments: str, code: int = 0, env: dict[str, str] | None = None) -> str:
    """Run on the folder's slides and return the output."""
    result = tiler(
        *arguments, "slides=files", "slides.paths=in", "resolution=level", "out=out",
        cwd=folder, env=env,
    )  # fmt: skip
    assert result.returncode == code, result.stderr
    return result.stdout


def budget(folder: Path, *arguments: str, code: int = 0, env: dict[str, str] | None = None) -> dict:
    """Return the budget that a dry run writes."""
    printed = run(folder, *arguments, "dry_run=true", code=code, env=env)
    found = json.loads((folder / "out/budget.json").read_text())
    assert found["exit_code"] == code
    total = printed.splitlines()[-1].split()
    assert total[:2] == ["total", str(found["total"]["tiles"])]
    return found


def written(folder: Path) -> int:
    files = (path for path in (folder / "out/slides").rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("slide", "settings"),
    [
        (f"{NAME}.svs", ["tile.size=80", "threshold=0.3", *JPEG]),
        (
            f"{NAME}.svs",
            ["tile.size=144", "tile.stride=108", "tile.edge=pad", "threshold=0", *JPEG],
        ),
        ("TCGA-CR-7395-01A-01-TS1.svs", ["resolution.value=1", "tile.size=64", *JPEG]),
        ("test3-DAPI-2-(387).ndpi", ["resolution.value=1", "tile.size=64", "mask=none", *JPEG]),
    ],
)
def test_tiles_are_exact_and_bytes_are_near(
    tmp_path: Path, shared_slides: Path, slide: str, settings: list[str]
) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(shared_slides / slide, tmp_path / "in" / slide)
    found = budget(tmp_path, *settings)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "budget.json",
        ".cache",
        ".lock",
    }
    run(tmp_path, *settings)
    (row,) = read_csv(tmp_path / "out/slides.csv")
    assert found["total"]["tiles"] == int(row["kept"]) > 300
    assert found["total"]["bytes"] == pytest.approx(written(tmp_path), rel=0.3)
    assert found["total"]["seconds"] > found["slides"][0]["seconds"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("exporter", ["[csv]", "[csv,json,overview]", "[csv,images]"])
def test_the_bytes_of_a_small_slide_are_exact(folder: Path, exporter: str) -> None:
    settings = ["tile.size=300", "tile.edge=pad", f"exporter={exporter}"]
    if "images" in exporter:
        settings.append("exporter.images.extension=jpg")
    found = budget(folder, *settings)
    run(folder, *settings)
    assert 20 < found["total"]["tiles"] <= 72, "all of them fit into the sample"
    assert found["total"]["bytes"] == written(folder)


@pytest.mark.slow
def test_engines_agree(folder: Path, shared_slides: Path) -> None:
    (folder / f"in/{NAME}.svs").unlink()
    for name in ("boxes", "other"):
        shutil.copy(shared_slides / "boxes.tiff", folder / f"in/{name}.tiff")
    settings = ["tile.size=20", "mask=none", *JPEG]  # 180 tiles each, of which 72 are sampled
    one = budget(folder, *settings)
    two = budget(folder, *settings, "engine=processes", "engine.workers=2")
    names = ("slide_id", "status", "tiles", "bytes")
    assert [[s[name] for name in names] for s in one["slides"]] == [
        [s[name] for name in names] for s in two["slides"]
    ]
    assert [cost["tiles"] for cost in one["slides"]] == [180, 180]


def test_bad_slides_are_named(folder: Path) -> None:
    (folder / "in/broken.svs").write_bytes(b"no slide")
    printed = run(folder, "tile.size=200", "dry_run=true", code=3)
    (line,) = (line for line in printed.splitlines() if line.startswith("broken"))
    assert line.split()[1] == "failed"
    assert "E_OPEN slide=broken" in line
    found = json.loads((folder / "out/budget.json").read_text())
    assert {s["slide_id"]: s["status"] for s in found["slides"]} == {
        NAME: "to do",
        "broken": "failed",
    }
    assert found["total"]["tiles"] > 0


@pytest.mark.slow
def test_a_budget_leaves_out_bad_tiles(folder: Path) -> None:
    slide = folder / f"in/{NAME}.svs"
    data = bytearray(slide.read_bytes())
    data[600_000:604_096] = bytes(4096)  # in one tile of 108, which the sample contains
    slide.write_bytes(data)
    words = [
        "tile.size=240",
        "mask=none",
        "threshold=0",
        "exporter=[csv,images]",
        "on_bad_tile=drop",
    ]
    found = budget(folder, *words, code=3)
    (cost,) = found["slides"]
    assert cost["status"] == "failed"
    assert "1 of 108 tiles unreadable" in cost["reason"]
    for limit in ("limits.max_tiles=106", "limits.max_bytes=1 MB"):
        run(folder, *words, limit, code=2)
        assert not (folder / "out/slides").exists()
    run(folder, *words, "limits.max_tiles=107", code=3)
    (row,) = read_csv(folder / "out/slides.csv")
    assert int(row["kept"]) == cost["tiles"] == 107
    assert written(folder) == pytest.approx(cost["bytes"], rel=0.1)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX systems")
def test_a_dry_run_retries_after_a_dead_worker_like_a_run(
    folder: Path, shared_slides: Path
) -> None:
    (folder / f"in/{NAME}.svs").unlink()
    for name in ("boxes", "killed"):
        shutil.copy(shared_slides / "boxes.tiff", folder / f"in/{name}.tiff")
    env = {
        "TILER_TARGETS": "faulty",
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)]),
        "DIED_ALREADY": str(folder / "mark"),
    }
    common = ["reader=openslide", "engine=processes", "engine.workers=2", "tile.size=100",
              "mask=none", "exporter=[csv,images]"]  # fmt: skip
    found = budget(folder, "reader._target_=faulty.FaultyReader", *common, code=3, env=env)
    reasons = {s["slide_id"]: s["reason"] for s in found["slides"] if s["status"] == "failed"}
    assert list(reasons) == ["killed"]
    assert "signal 9" in reasons["killed"]
    found = budget(folder, "reader._target_=faulty.DiesOnceReader", *common, env=env)
    assert {s["status"] for s in found["slides"]} == {"to do"}


def files(out: Path) -> dict[Path, bytes]:
    """Return the bytes in a run's folder, without its cache."""
    return {
        path: path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".cache" not in path.parts
    }


@pytest.mark.slow
def test_finished_slides_need_no_budget(folder: Path) -> None:
    settings = ["tile.size=300", "exporter=[csv,images]"]
    run(folder, *settings)
    run(folder, *settings, "limits.max_tiles=1")  # no remaining tile can exceed it
    before = files(folder / "out")
    found = budget(folder, *settings)
    assert [(s["status"], s["tiles"], s["bytes"]) for s in found["slides"]] == [("done", 0, 0)]
    shutil.copy(folder / f"in/{NAME}.svs", folder / "in/new.svs")
    found = budget(folder, *settings)
    assert {s["slide_id"]: s["status"] for s in found["slides"]} == {NAME: "done", "new": "to do"}
    found = budget(folder, *settings, "threshold=0.1")
    assert {s["status"] for s in found["slides"]} == {"to do"}
    after = files(folder / "out")
    assert after.pop(folder / "out/budget.json")
    assert after == before
    result = tiler("slides=files", "slides.paths=in", "resolution=level", "out=out", *settings,
                   "threshold=0.1", "on_change=refuse", "dry_run=true", cwd=folder)  # fmt: skip
    assert result.returncode == 5


@pytest.mark.slow
def test_limits_stop_a_run_before_it_writes(folder: Path) -> None:
    settings = ["tile.size=200", "exporter=[csv,images]", "exporter.images.extension=jpg"]
    found = budget(folder, *settings)["total"]
    command = ["slides=files", "slides.paths=in", "resolution=level", "out=out", *settings]
    for limit, total in (
        (f"limits.max_tiles={found['tiles'] - 1}", f"{found['tiles']} tiles"),
        ("limits.max_bytes=10 kB", size_text(found["bytes"])),
    ):
        for dry in ("true", "false"):
            result = tiler(*command, limit, f"dry_run={dry}", cwd=folder)
            assert result.returncode == 2
            line = next(x for x in result.stderr.splitlines() if x.startswith("E_CONFIG"))
            for word in (f"would write {total}", limit, "raise limits.max_"):
                assert word in line
            assert ("total" in result.stdout) == (dry == "true")
    story = [json.loads(line) for line in (folder / "out/events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in story] == ["started", "refused"] * 2
    left = {path.name for path in (folder / "out").iterdir()}
    assert left == {"budget.json", ".cache", ".lock", "events.jsonl", "run.log"}
    run(folder, *settings, f"limits.max_tiles={found['tiles']}", "limits.max_bytes=1 GB")
    (row,) = read_csv(folder / "out/slides.csv")
    assert int(row["kept"]) == found["tiles"]


@pytest.mark.slow
def test_each_job_of_a_sweep_is_checked_by_itself(folder: Path) -> None:
    sweep = ["-m", "threshold=0,0.9", "tile.size=200"]
    printed = run(folder, *sweep, "dry_run=true")
    out = folder / "out"
    found = {
        path.parent.name: json.loads(path.read_text())["total"]["tiles"]
        for path in out.glob("*/budget.json")
    }
    assert found["threshold=0"] > found["threshold=0.9"] > 0
    assert [line for line in printed.splitlines() if line.startswith("/")] == [
        f"{out}/{job}" for job in ("threshold=0", "threshold=0.9")
    ]
    assert not list(out.rglob("run.json"))
    assert not (out / "sweep.csv").exists()
    run(folder, *sweep, f"limits.max_tiles={found['threshold=0.9']}", code=2)
    rows = {row["threshold"]: row for row in read_csv(out / "sweep.csv")}
    assert rows["0.9"]["status"] == "done"
    assert "limits.max_tiles" in rows["0"]["reason"]
    assert not (out / "threshold=0/slides").exists()
    (folder / "in/broken.svs").write_bytes(b"no slide")
    run(folder, *sweep, "dry_run=true", code=3)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("limits.max_tiles=0", ["limits.max_tiles=0", "use 1 or more"]),
        ("limits.max_tiles=many", ["limits.max_tiles", "many", "whole number"]),
        ("limits.max_tile=5", ["limits.max_tile", "did you mean 'limits.max_tiles'?"]),
        ("limits.max_bytes=lots", ["limits.max_bytes='lots'", "200 GB"]),
        ("dry_run=perhaps", ["dry_run", "perhaps"]),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, setting: str, words: list[str]) -> None:
    result = tiler(setting, "slides=files", "slides.paths=nowhere.svs", cwd=tmp_path)
    assert result.returncode == 2
    for word in words:
        assert word in complaint(result)
