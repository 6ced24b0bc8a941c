"""Sweeps as files, their tables and pictures, and --rerun."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from command import Started, complaint, read_csv, tiler
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from PIL import Image
from special_files import plant

from tiler import open_slide
from tiler.config.sweeps.end import end_sweep
from tiler.config.sweeps.multirun import Sweep, SweepContext, expected_jobs, parsed
from tiler.config.sweeps.thumbnails import thumbnail
from tiler.geometry import Size
from tiler.grid import Cells, coverage
from tiler.runner.reporting.tracking import Guarded
from tiler.slides.demo import write_demo_slide
from tiler.sweep.contact_sheet import FRAME, Drawing, _kept, draw, drawing
from tiler.sweep.lettering import LINE, SIDE, letters, wrapped
from tiler.sweep.table import JobRecord, read_jobs
from tiler.trackers import NoTracker


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return overrides for two small painted slides."""
    folder = tmp_path_factory.mktemp("slides")
    for name, size in (("007", Size(1300, 900)), ("b", Size(900, 1100))):
        write_demo_slide(folder / f"{name}.tiff", size)
    return ["slides=files", f"slides.paths={folder}"]


def outputs(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in (folder / "slides").rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_a_sweep_is_a_file(slides: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/ours.yaml").write_text(
        "# @package _global_\nname: ours\nout: res\ntile:\n  size: 100\nresolution:\n  value: 1.0\n"
        "hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      threshold: 0.2,0.6\n"
        "      mask: none,otsu\n"
    )
    done = tiler("--config-dir", "mine", *slides, "experiment=ours", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = read_csv(tmp_path / "res/sweep.csv")
    assert len(rows) == 8
    assert [(row["threshold"], row["mask"]) for row in rows[::2]] == [
        ("0.2", "none"), ("0.2", "otsu"), ("0.6", "none"), ("0.6", "otsu"),
    ]  # fmt: skip
    for row in rows:
        assert row["slide_id"] in ("007", "b")
        counts = (int(row[key]) for key in ("kept", "below_threshold", "dropped"))
        assert sum(counts) == int(row["candidates"]) > 0
        assert float(row["tissue_mm2"]) > 0
        assert row["effective_mpp"] == "1.0"
        folder = tmp_path / "res" / row["job"] / "slides" / row["slide_id"]
        record = json.loads((folder / "record.json").read_text())
        assert int(row["bytes"]) == sum(file["size"] for file in record["files"]) > 0


@pytest.mark.slow
def test_a_sweep_writes_a_definition_a_table_and_a_picture(
    slides: list[str], tmp_path: Path
) -> None:
    for words in (["init", "-q"], ["add", "-A"],
                  ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t"]):  # fmt: skip
        (tmp_path / "notes").touch()
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    words = [*slides, "resolution=level", "tile.size=90,120", "threshold=0.5", "out=res"]
    done = tiler("-m", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    definition = json.loads((tmp_path / "res/sweep.json").read_text())
    assert definition["overrides"] == words
    assert definition["git"]["changed"] is True
    assert len(definition["git"]["commit"]) == 40
    assert definition["shared"] == {
        "masks made": 2, "masks reused": 2, "grids made": 4,
    }  # fmt: skip
    assert [job["settings"] for job in definition["jobs"]] == [
        {"tile.size": "90"},
        {"tile.size": "120"},
    ]
    with Image.open(tmp_path / "res/sweep.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    frames = (pixels == FRAME.bright).all(axis=2)
    for half, framed in zip(
        np.array_split(pixels, 2, axis=1), np.array_split(frames, 2, axis=1), strict=True
    ):
        assert framed.sum() > 500
        assert len(np.unique(half.reshape(-1, 3), axis=0)) > 2000, "the slide is seen beneath"


@pytest.mark.slow
def test_parquet_keeps_names_as_text_and_numbers_as_numbers(
    slides: list[str], tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="tiler[parquet] is not installed")
    words = [*slides, "resolution=level", "tile.size=150", "threshold=0.2,0.9", "out=res"]
    assert tiler("-m", *words, cwd=tmp_path).returncode == 0
    table = parquet.read_table(tmp_path / "res/sweep.parquet").to_pylist()
    assert [row["slide_id"] for row in table] == ["007", "b", "007", "b"]
    assert [row["threshold"] for row in table] == [0.2, 0.2, 0.9, 0.9]
    kept = [int(row["kept"]) for row in read_csv(tmp_path / "res/sweep.csv")]
    assert [row["kept"] for row in table] == kept


def test_the_picture_shows_mask_and_kept_cells() -> None:
    mask = np.zeros((100, 200), bool)
    mask[:, 120:] = True
    edges = np.array([[0.0, 50.0], [50.0, 100.0], [100.0, 150.0], [150.0, 200.0]])
    rows = edges[:2]
    cells = Cells(
        np.arange(4), np.arange(2), edges, rows, Size(1, 1), 1.0, coverage(mask, edges, rows)
    )
    picture = draw(drawing(mask, cells, cells.ratios >= 0.8, Size(200, 100)), None)
    assert picture.shape == (110, 220, 3)
    glass, tissue, kept = (picture[50, x].tolist() for x in (30, 140, 200))
    assert glass == [255, 255, 255]
    assert tissue != kept
    everything = draw(drawing(mask, cells, cells.ratios >= 0.0, Size(200, 100)), None)
    assert everything[50, 200].tolist() == kept
    assert everything[50, 30].tolist() not in (glass, tissue, kept)


@pytest.mark.parametrize("base", [None, "folder"])
def test_the_slide_is_read_once_more_for_its_picture(
    slides: list[str], tmp_path: Path, base: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(slides[1].partition("=")[2]) / "007.tiff"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a slide.tiff").symlink_to(source)
    monkeypatch.chdir(tmp_path)
    job = JobRecord("job", {"slides": {"base": base}}, [])
    path = "a slide.tiff" if base else "folder/a slide.tiff"
    reader = {"_target_": "tiler.readers.open_slide", "_partial_": True, "mpp": 0.5}

    def seen(row: dict[str, str], settings: object):
        record = SimpleNamespace(settings=settings, slide_id="s")
        return thumbnail(job, row, record, Size(220, 152))

    with open_slide(source) as slide:
        expected = slide.thumbnail(Size(220, 152))
    assert np.array_equal(seen({"path": path}, {"reader": reader}), expected)
    assert seen({"path": "gone.tiff"}, {"reader": reader}) is None
    assert seen({}, {"reader": reader}) is None
    assert seen({"path": path}, {}) is None
    for target in ("os.remove", "tiler.files.append_line", 5, None):
        assert seen({"path": path}, {"reader": {**reader, "_target_": target}}) is None
    assert source.is_file()
    monkeypatch.setattr("tiler.config.sweeps.thumbnails.MAX_PIXELS", 1000)
    assert seen({"path": path}, {"reader": reader}) is None, "too much to read for a picture"


def test_empty_bounds_give_a_picture_of_one_pixel() -> None:
    nothing = np.zeros((0, 2))
    cells = Cells(np.arange(0), np.arange(0), nothing, nothing, Size(1, 1), 1.0, np.zeros((0, 0)))
    point = drawing(np.ones((1, 1), bool), cells, cells.ratios >= 0.5, Size(0, 0))
    assert draw(point, None).shape == draw(point, np.zeros((1, 1, 3), np.uint8)).shape == (1, 1, 3)


@pytest.mark.slow
def test_a_refused_job_keeps_existing_files(slides: list[str], tmp_path: Path) -> None:
    words = ["-m", *slides, "resolution=level", "tile.size=150", "threshold=0.2,0.9", "out=res"]
    assert tiler(*words, cwd=tmp_path).returncode == 0
    job = tmp_path / "res/threshold=0.2"
    before = outputs(job), (job / "run.json").read_bytes(), (job / "slides.csv").read_bytes()
    refused = tiler(*words, "tile.size=100", "on_change=refuse", cwd=tmp_path)
    assert refused.returncode == 5
    assert "2 jobs; wrote " in refused.stderr
    rows = read_csv(tmp_path / "res/sweep.csv")
    assert [row["status"] for row in rows] == ["failed", "failed"]
    assert "was made with other settings" in rows[0]["reason"]
    after = outputs(job), (job / "run.json").read_bytes(), (job / "slides.csv").read_bytes()
    assert after == before
    again = tiler("--rerun", str(job), "out=again", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert outputs(tmp_path / "again") == outputs(job)
    assert tiler(*words, cwd=tmp_path).returncode == 0
    assert not list((tmp_path / "res").glob("*/refused.json"))


@given(data=st.data())
def test_the_picture_shows_every_kept_cell_also_with_overlap(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 220), st.integers(1, 220)))
    size = tuple(max(1, round(side * 220 / max(shape))) for side in shape)
    edges = st.tuples(st.floats(-20, 240), st.floats(0, 90)).map(lambda e: (e[0], e[0] + e[1]))
    rows, columns = (
        np.array(data.draw(st.lists(edges, max_size=5))).reshape(-1, 2) for _ in range(2)
    )
    count = len(rows), len(columns)
    ratios = np.array(data.draw(st.lists(st.floats(0, 1), min_size=25, max_size=25)))
    ratios = ratios[: count[0] * count[1]].reshape(count)
    cells = Cells(np.arange(count[1]), np.arange(count[0]), columns, rows, Size(1, 1), 1.0, ratios)
    expected = np.zeros(size, bool)
    for row, column in np.argwhere(ratios >= 0.5):
        place = []
        for (start, end), side, pixels in zip(
            (rows[row], columns[column]), shape, size, strict=True
        ):
            first = min(round(start * pixels / side), pixels - 1)
            last = max(round(end * pixels / side), first + 1)  # one line is visible, even if thin
            place.append(slice(max(0, first), max(0, last)))
        expected[*place] = True
    drawn = drawing(np.zeros(shape, bool), cells, cells.ratios >= 0.5, Size(*shape[::-1]))
    assert np.array_equal(drawn.kept, expected)
    beneath = np.full((*size, 3), 40, np.uint8)
    on_slide = draw(drawn, beneath)
    assert (on_slide[~expected] == round(40 * 0.4)).all(), "dark slides are darker outside"
    framed = (on_slide == FRAME.dark).all(axis=2)
    assert (framed | (on_slide == 40).all(axis=2))[expected].all(), "the slide, or its frame"
    assert not framed[~expected].any()


FOREIGN = {
    "list": b"[]",
    "half": b'{"sweep": {"id": "',
    "other types": b'{"sweep": ["id"], "exit_code": null}',
    "deep": b'{"sweep": ' * 10**5,
    "huge number": b'{"sweep": ' + b"9" * 5000 + b"}",
    "binary": bytes(range(256)),
    "empty": b"",
}


@pytest.mark.slow
def test_foreign_files_below_a_sweeps_folder_never_end_it(
    slides: list[str], tmp_path: Path
) -> None:
    names = "run.json", "refused.json", "budget.json"
    for name in names:
        for kind, content in FOREIGN.items():
            (tmp_path / "res" / kind).mkdir(parents=True, exist_ok=True)
            (tmp_path / "res" / kind / name).write_bytes(content)
        for kind in ("fifo", "link", "device", "folder"):
            (tmp_path / "res" / kind).mkdir(exist_ok=True)
            plant(tmp_path / "res" / kind / name, kind)
    done = tiler("-m", *slides, "resolution=level", "threshold=0.2,0.9", "out=res", cwd=tmp_path,
                 timeout=60)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(read_csv(tmp_path / "res/sweep.csv")) == 4
    passed_over = [line for line in done.stderr.splitlines() if "passed over" in line]
    assert len(passed_over) == len(set(passed_over)) == 3 * 9


@pytest.mark.parametrize(
    "harm",
    [{"exit_code": "0"}, {"exit_code": True}, {"counts": {"kept": "1"}},
     {"cache": []}, {"cache": {"folder": ["x"]}}, {"error": 5}, {"sweep": {"id": "s"}},
     {"sweep": {"id": "s", "number": "0", "settings": {}}},
     {"sweep": {"id": "s", "number": 0, "settings": {"a": 1}}}],
)  # fmt: skip
def test_a_manipulated_job_is_skipped(
    tmp_path: Path, harm: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    good = {"sweep": {"id": "s", "number": 0, "settings": {"a": "1"}}, "exit_code": 0}
    (tmp_path / "job").mkdir()
    (tmp_path / "job/run.json").write_text(json.dumps(good))
    assert [job.name for job in read_jobs(tmp_path, "s", "run.json")] == ["job"]
    (tmp_path / "job/slides.csv").write_text("slide_id,status\n")
    (tmp_path / "job/run.json").write_text(json.dumps({**good, **harm}))
    assert read_jobs(tmp_path, "s", "run.json") == []
    assert "job/run.json is damaged: " in caplog.text
    (tmp_path / "job/run.json").write_text(json.dumps(good))
    (tmp_path / "job/slides.csv").write_text("slide_id,status\na\n")
    assert read_jobs(tmp_path, "s", "run.json") == []


@pytest.mark.slow
def test_job_folders_may_be_nested(slides: list[str], tmp_path: Path) -> None:
    words = ["-m", *slides, "resolution=level", "threshold=0.2,2", "out=res"]
    done = tiler(*words, "hydra.sweep.subdir=at/t${threshold}", cwd=tmp_path)
    assert done.returncode == 2  # of the second, which is no threshold
    same = tiler("res", "res", cwd=tmp_path, module="tiler.compare")
    assert "at/t0.2" in same.stdout, same.stderr
    rows = read_csv(tmp_path / "res/sweep.csv")
    assert {(row["job"], row["status"]) for row in rows} == {
        ("at/t0.2", "done"), ("at/t2.0", "failed"),
    }  # fmt: skip
    assert (tmp_path / "res/sweep.png").is_file()


def test_job_folders_may_be_as_deep_as_their_values(slides: list[str], tmp_path: Path) -> None:
    folder = Path(slides[1].partition("=")[2])
    (tmp_path / "007.tiff").symlink_to(folder / "007.tiff")
    both = f"slides.paths=007.tiff,{folder}/b.tiff"
    done = tiler("-m", "slides=files", both, "resolution=level", "threshold=0", "out=res",
                 "hydra.sweep.subdir='${hydra.job.override_dirname}'", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = read_csv(tmp_path / "res/sweep.csv")
    assert [row["slide_id"] for row in rows] == ["007", "b"]


def test_two_jobs_of_a_sweep_in_one_folder_are_refused(slides: list[str], tmp_path: Path) -> None:
    words = ["-m", *slides, "resolution=level", "threshold=0.2,0.4", "out=res"]
    done = tiler(*words, "hydra.sweep.subdir='in_${name}'", cwd=tmp_path)
    assert done.returncode == 2
    reasons = [row["reason"] for row in read_csv(tmp_path / "res/sweep.csv")]
    assert reasons[:2] == ["", ""]
    assert "another job of the sweep writes there" in reasons[2]


@pytest.mark.parametrize("subdir", ["same", "", ".", "../${threshold}", "/tmp/t${threshold}"])
def test_jobs_that_would_be_lost_are_refused(tmp_path: Path, subdir: str) -> None:
    done = tiler(
        "-m", "threshold=0.2,0.4", "out=res", f"hydra.sweep.subdir='{subdir}'", cwd=tmp_path
    )
    assert done.returncode == 2
    line = complaint(done)
    assert line.partition("subdir=")[2].startswith((f"{subdir}: ", f"{subdir} is not a path below"))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_picture_of_an_earlier_sweep_is_removed(slides: list[str], tmp_path: Path) -> None:
    words = ["-m", *slides, "resolution=level", "out=res"]
    assert tiler(*words, "threshold=0.2,0.4", cwd=tmp_path).returncode == 0
    assert (tmp_path / "res/sweep.png").is_file()
    assert tiler(*words, "threshold=0.3,0.5", "cache=off", cwd=tmp_path).returncode == 0
    assert not (tmp_path / "res/sweep.png").is_file()


ENDINGS = {"Seven": "7", "Zero": "0", "Text": "'no licence'", "Nothing": ""}


@pytest.mark.slow
def test_a_component_that_ends_the_process_fails_its_job(slides: list[str], tmp_path: Path) -> None:
    (tmp_path / "ending.py").write_text(
        "".join(
            f"class {name}:\n    def __init__(self):\n        raise SystemExit({code})\n"
            for name, code in ENDINGS.items()
        )
    )
    env = {"TILER_TARGETS": "ending", "PYTHONPATH": f"{tmp_path}:{Path(__file__).parent.parent}"}
    for name, code in ENDINGS.items():
        words = [*slides, "mask=none", f"mask._target_=ending.{name}", f"out={name}"]
        alone = tiler(*words, cwd=tmp_path, env=env)
        assert alone.returncode == 2
        assert f"sys.exit({code or None})" in alone.stderr
    masks = ",".join([*(f"ending.{name}" for name in ENDINGS), "tiler.masks.AllTissue"])
    words = ["-m", *slides, "mask=none", f"mask._target_={masks}", "out=res"]
    assert tiler(*words, cwd=tmp_path, env=env).returncode == 2
    rows = {row["mask._target_"]: row["status"] for row in read_csv(tmp_path / "res/sweep.csv")}
    failed = {f"ending.{name}": "failed" for name in ENDINGS}
    assert rows == {**failed, "tiler.masks.AllTissue": "done"}


@pytest.mark.slow
def test_an_override_that_only_a_job_can_resolve(slides: list[str], tmp_path: Path) -> None:
    words = ["-m", *slides, "threshold=0.2,0.6"]
    done = tiler(*words, "name=number_${hydra:job.num}", "out=jobs", cwd=tmp_path)
    assert (done.returncode, "Warning" in done.stderr) == (0, False), done.stderr
    names = [
        json.loads((tmp_path / f"jobs/threshold={t}/run.json").read_text())["config"]["name"]
        for t in (0.2, 0.6)
    ]
    assert names == ["number_0", "number_1"]
    assert len(read_csv(tmp_path / "jobs/sweep.csv")) == 4
    refused = tiler(*words, "name=${nowhere}", "out=none", cwd=tmp_path)
    assert refused.returncode == 2
    assert "E_CONFIG: Interpolation key 'nowhere' not found" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["threshold_sweep", "resolution_sweep"])
def test_presets_that_sweep(slides: list[str], tmp_path: Path, preset: str) -> None:
    done = tiler(*slides, f"experiment={preset}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = read_csv(tmp_path / f"outputs/{preset}/sweep.csv")
    assert len(rows) == 2 * len({row["job"] for row in rows}) >= 6
    assert {row["status"] for row in rows} <= {"done", "done_empty"}
    definition = json.loads((tmp_path / f"outputs/{preset}/sweep.json").read_text())
    assert definition["shared"]["masks made"] == 2


@pytest.mark.slow
def test_an_old_run_is_run_again_from_its_record(slides: list[str], tmp_path: Path) -> None:
    common = [*slides, "resolution=level", "tile.size=110", "mask=hsv", "threshold=0.3"]
    common.append(r"name='a\${b}'")
    assert tiler(*common, "out=first", cwd=tmp_path).returncode == 0
    assert json.loads((tmp_path / "first/run.json").read_text())["config"]["name"] == "a${b}"
    again = tiler("--rerun", "first", cwd=tmp_path)
    assert again.returncode == 0
    assert "2 of 2 slides are done already" in again.stderr
    assert tiler("--rerun", "first/run.json", "out=second", cwd=tmp_path).returncode == 0
    assert outputs(tmp_path / "second") == outputs(tmp_path / "first")
    for words in (["out=third", "--rerun", "first"], ["--rerun=first", "out=fourth"]):
        assert tiler(*words, cwd=tmp_path).returncode == 0
    assert (
        outputs(tmp_path / "third") == outputs(tmp_path / "fourth") == outputs(tmp_path / "second")
    )
    assert "give the folder" in complaint(tiler("out=fifth", "--rerun", cwd=tmp_path))
    for words in (["--config-name", "config"], ["--config-dir=."], ["+experiment=mil_512_20x"]):
        refused = tiler(*words, "--rerun", "first", cwd=tmp_path)
        assert refused.returncode == 2
        assert "chooses another configuration" in complaint(refused)
    changed = tiler("--rerun", "first", "threshold=0.9", cwd=tmp_path)
    assert changed.returncode == 0
    assert "threshold was 0.3, now 0.9" in changed.stderr
    refused = tiler("--rerun", "first", "treshold=0.9", cwd=tmp_path)
    assert refused.returncode == 2
    assert "treshold" in complaint(refused)


@pytest.mark.slow
def test_an_old_run_is_run_again_with_other_options_of_its_groups(
    slides: list[str], tmp_path: Path
) -> None:
    common = [*slides, "resolution=level", "tile.size=110", "threshold=0.3"]
    assert tiler(*common, "mask.median=9", "out=old", cwd=tmp_path).returncode == 0
    new = ["mask=hsv", "mask.mpp=9", "exporter=[csv,json]", "exporter.json.indent=0"]
    for name, words in {"again": ["--rerun", "old", *new], "fresh": [*common, *new]}.items():
        done = tiler(*words, f"out={name}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert outputs(tmp_path / "again") == outputs(tmp_path / "fresh")
    done = tiler("--rerun", "old", "-m", "mask=none,otsu", "out=swept", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    configs = [json.loads(run.read_text())["config"] for run in tmp_path.glob("swept/*/run.json")]
    assert {config["mask"].get("median") for config in configs} == {None, 5}
    assert {config["tile"]["size"] for config in configs} == {110}
    refused = tiler("--rerun", "old", "experiment=mil_512_20x", cwd=tmp_path)
    assert refused.returncode == 2
    assert "experiment=mil_512_20x" in complaint(refused)


@pytest.mark.slow
def test_one_job_of_a_sweep_can_be_run_again(slides: list[str], tmp_path: Path) -> None:
    words = [*slides, "resolution=level", "tile.size=150", "threshold=0.2,0.9", "out=res"]
    assert tiler("-m", *words, cwd=tmp_path).returncode == 0
    job = tmp_path / "res/threshold=0.9"
    before = outputs(job)
    again = tiler("--rerun", "res/threshold=0.9", cwd=tmp_path)
    assert "2 of 2 slides are done already" in again.stderr
    assert tiler("--rerun", "res/threshold=0.9", "out=alone", cwd=tmp_path).returncode == 0
    assert outputs(tmp_path / "alone") == before == outputs(job)


@pytest.mark.parametrize(
    "content", [None, "", "{}", "[1]", '{"config": 3}', '{"config": []}', '{"config": {}}']
)
def test_a_path_without_a_run_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    refused = tiler("--rerun", "." if content is not None else "nowhere", cwd=tmp_path)
    assert refused.returncode == 2
    assert "--rerun" in complaint(refused)
    assert "Error" not in complaint(refused)


def test_a_sweep_table_that_cannot_be_written_is_reported(
    slides: list[str], tmp_path: Path
) -> None:
    (tmp_path / "res/sweep.csv").mkdir(parents=True)
    words = [*slides, "resolution=level", "tile.size=150", "threshold=0.2,0.9", "out=res"]
    done = tiler("-m", *words, cwd=tmp_path)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert "E_DEST" in done.stderr
    assert "sweep.csv" in done.stderr


def test_two_sweeps_in_one_folder_do_not_mix(slides: list[str], tmp_path: Path) -> None:
    words = ["-m", *slides, "resolution=level", "tile.size=150", "exporter=[csv,images]", "out=res"]
    both = ("threshold=0.1,0.2,0.3", "threshold=0.7,0.8")
    running = [Started(*words, thresholds, cwd=tmp_path) for thresholds in both]
    codes, said = zip(*(command.end(timeout=120) for command in running), strict=True)
    rows = len(read_csv(tmp_path / "res/sweep.csv"))
    if codes == [0, 0]:  # one after the other
        assert rows in (4, 6)
        return
    assert sorted(codes) == [0, 5], said
    assert said[codes.index(5)].startswith("E_LOCKED: res is in use, held by pid ")
    assert rows == (6 if codes[0] == 0 else 4)  # two slides, and none of the other sweep's jobs


@pytest.mark.slow
def test_a_job_that_left_no_record_is_named(slides: list[str], tmp_path: Path) -> None:
    words = ["-m", *slides, "resolution=level", "threshold=0.2,0.9", "out=res"]
    done = tiler(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    records = sorted((tmp_path / "res").glob("threshold*/run.json"))
    facts = json.loads(records[1].read_text())
    sweep_id = facts["sweep"]["id"]
    records[1].unlink()
    found = read_jobs(tmp_path / "res", sweep_id, "run.json")
    context = SweepContext(sweep_id, ("threshold",), None, tmp_path / "res")
    jobs = ({"threshold": "0.2"}, {"threshold": "0.9"})
    sweep = Sweep(context, tmp_path / "res", Guarded(NoTracker()), (), jobs)
    assert [job.name for job in found] == ["threshold=0.2"]
    assert end_sweep(sweep, 0) == 3
    rows = read_csv(tmp_path / "res/sweep.csv")
    assert [row["status"] for row in rows] == ["done", "done", "failed"]
    assert rows[2]["reason"] == "job 1 (threshold=0.9) left no record"
    assert rows[2]["threshold"] == "0.9"


@pytest.mark.parametrize(
    ("overrides", "jobs"),
    [
        (["a=1,2", "b=x"], [{"a": "1"}, {"a": "2"}]),
        (["b=range(0,2)", "a='1,0',2"], [{"b": b, "a": a} for b in "01" for a in ("'1,0'", "2")]),
        (["a=1,2", "b=x,y", "a=3,4"], [{"a": a, "b": b} for a in "34" for b in "xy"]),
        (["a=1,2", "b=x,y", "a=3"], [{"b": "x"}, {"b": "y"}]),
        (["a=shuffle(1,2)"], None),
        (["a=interval(1,2)"], None),
    ],
)
def test_jobs_are_expected_where_their_order_is_known(
    overrides: list[str], jobs: list[dict[str, str]] | None
) -> None:
    sweeper = {"_target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"}
    config = OmegaConf.create({"hydra": {"sweeper": sweeper}})
    found = expected_jobs(config, [parsed(override) for override in overrides])
    assert found == (None if jobs is None else tuple(jobs))
    config.hydra.sweeper._target_ = "mine.RandomSweeper"
    assert expected_jobs(config, [parsed(override) for override in overrides]) is None


@pytest.mark.slow
@pytest.mark.parametrize("error", ["AttributeError", "tiler.errors.ConfigError"])
def test_a_signal_that_an_error_hides_still_ends_the_sweep(
    slides: list[str], tmp_path: Path, error: str
) -> None:
    """OmegaConf failed as it cleaned up after a signal; the sweep went on with the next job."""
    (tmp_path / "hides.py").write_text(
        "import os, signal, time, tiler.errors\n"
        "class Mask:\n"
        "    def __init__(self, stop=False):\n"
        "        try:\n"
        "            if stop:\n"
        "                os.kill(os.getpid(), signal.SIGTERM)\n"
        "                time.sleep(9)\n"
        "        except BaseException:\n"
        f"            raise {error}('hides it')\n"
        "    def __call__(self, slide):\n"
        "        raise ValueError\n"
    )
    env = {"TILER_TARGETS": "hides", "PYTHONPATH": f"{tmp_path}:{Path(__file__).parent.parent}"}
    words = ["-m", *slides, "mask=none", "mask._target_=hides.Mask", "+mask.stop=true,false"]
    done = tiler(*words, "out=res", cwd=tmp_path, env=env)
    assert done.returncode == 143, done.stderr
    assert "hides it" not in done.stderr
    assert not (tmp_path / "res/mask.stop=false").exists()


def test_the_picture_shows_only_tiles_that_filters_and_samplers_keep(
    slides: list[str], tmp_path: Path
) -> None:
    words = ["-m", *slides, "resolution=level", "tile.size=90", "threshold=0.2", "out=res",
             "filter=[white]", "filter.white.mpp=null", "filter.white.max=1,-1",
             "sampler=random", "sampler.n=3"]  # fmt: skip
    done = tiler(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    kept = [int(row["kept"]) for row in read_csv(tmp_path / "res/sweep.csv")]
    assert kept == [3, 3, 0, 0]
    with Image.open(tmp_path / "res/sweep.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))[:400]  # without the legend
    framed = (pixels == FRAME.bright).all(axis=2) | (pixels == FRAME.dark).all(axis=2)
    left, right = np.array_split(framed, 2, axis=1)
    assert left.sum() > 100
    assert not right.any(), "no tile is kept, so none is drawn"


def test_tiles_that_are_not_known_are_not_drawn() -> None:
    row = {"kept": "3", "dropped": "1"}
    grid = SimpleNamespace(ratios=np.array([[0.2, 0.6, 0.7], [0.8, 0.9, 1.0]]))
    record = SimpleNamespace(settings={"threshold": 0.7})
    reached = grid.ratios >= 0.7
    assert np.array_equal(_kept(grid, record, row, None), reached)
    other = SimpleNamespace(settings={"threshold": 0.5})
    assert _kept(grid, other, row, None) is None
    assert _kept(grid, other, row, lambda: None) is None
    assert _kept(grid, other, row, lambda: grid.ratios > 0.1) is None
    assert _kept(grid, other, row, lambda: reached.ravel()) is None
    assert np.array_equal(_kept(grid, other, row, lambda: reached), reached)
    assert _kept(grid, record, {"kept": ""}, None) is None


def test_a_dark_slide_is_darker_outside_its_kept_tiles() -> None:
    for grey, darker in ((20, True), (230, False)):
        beneath = np.full((80, 100, 3), grey, np.uint8)
        kept = np.zeros((80, 100), bool)
        kept[20:60, 20:60] = True
        seen = draw(Drawing(np.zeros((80, 100), bool), kept), beneath).astype(int)
        assert (seen[40, 40] == grey).all()
        assert (seen[5, 5].mean() < seen[40, 40].mean()) == darker
        assert tuple(seen[20, 40]) == (FRAME.dark if darker else FRAME.bright)


@given(st.text(st.characters(), max_size=300))
def test_settings_are_wrapped_to_the_width_of_a_picture(text: str) -> None:
    lines = wrapped(text)
    plain = text.encode("ascii", "backslashreplace").decode()
    assert 1 <= len(lines) <= 3
    assert lines[0] + "".join(line[2:] for line in lines[1:]) == plain
    for line in lines:
        assert letters(line).shape == (LINE, SIDE, 3)
