"""A run never begins in a folder with its sources, or with foreign files under names of a run."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command import a_third_quick, tiler
from PIL import Image

from tiler.files import append_line
from tiler.runner.guard import refuse_foreign_files

WORDS = ["resolution=level", "tile.size=100", "mask=none"]


def contents(folder: Path) -> dict[str, bytes | str]:
    """Return every file, link and folder below a folder."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else "folder"
        for path in folder.rglob("*")
    }


def complaint(result: subprocess.CompletedProcess[str]) -> str:
    """Return the one error of a refused command."""
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("E_"))
    return line


@pytest.fixture
def folder(tmp_path: Path, shared_slides: Path) -> Path:
    """Slides, each in its own folder with notes, and links to all of them."""
    for name in ("A", "B"):
        (tmp_path / "slides" / name).mkdir(parents=True)
        shutil.copy(shared_slides / "boxes.tiff", tmp_path / f"slides/{name}/{name}.tiff")
        (tmp_path / f"slides/{name}/notes.txt").write_text("mine")
    (tmp_path / "elsewhere").symlink_to("slides")
    (tmp_path / "A.tiff").symlink_to("slides/A/A.tiff")
    return tmp_path


@pytest.mark.parametrize(
    ("paths", "out"),
    a_third_quick(
        [
            ("slides", "."),
            ("slides", "slides"),
            ("elsewhere", "slides"),
            ("slides", "elsewhere"),
            ("elsewhere/A/A.tiff", "slides/A"),
            ("A.tiff", "slides/A"),
            ("A.tiff", "."),
            ("slides/B", "slides/../slides/B"),
        ]
    ),
)
@pytest.mark.parametrize("more", [[], ["dry_run=true"]])
def test_a_source_inside_out_is_refused_and_nothing_is_written(
    folder: Path, paths: str, out: str, more: list[str]
) -> None:
    before = contents(folder)
    result = tiler("slides=files", f"slides.paths={paths}", *WORDS, f"out={out}", *more, cwd=folder)
    assert result.returncode == 2, result.stderr
    assert "is a source inside out=" in complaint(result)
    assert ".tiff" in complaint(result)
    assert contents(folder) == before


def test_a_source_that_a_slides_folder_is_a_link_to_is_refused(folder: Path) -> None:
    (folder / "out/slides").mkdir(parents=True)
    (folder / "out/slides/A").symlink_to(folder / "slides/A")
    before = contents(folder)
    result = tiler("slides=files", "slides.paths=slides", *WORDS, "out=out", cwd=folder)
    assert result.returncode == 2
    assert "A.tiff is a source inside out=" in complaint(result)
    assert contents(folder) == before


def mirax(folder: Path) -> list[str]:
    """A slide whose data are behind a link into the run's folder."""
    (folder / "out/data").mkdir(parents=True)
    (folder / "out/data/Slidedat.ini").touch()
    (folder / "m.mrxs").touch()
    (folder / "m").symlink_to("out/data")
    return ["slides.paths=m.mrxs"]


def dicom(folder: Path) -> list[str]:
    (folder / "out").mkdir()
    (folder / "d").mkdir()
    for number in range(2):
        shutil.copy(SHARED / f"boxes_{number}.dcm", folder / "d")
    shutil.move(folder / "d/boxes_1.dcm", folder / "out/level.dcm")
    (folder / "d/boxes_1.dcm").symlink_to("../out/level.dcm")
    return ["slides.paths=d/boxes_0.dcm"]


def mask(folder: Path) -> list[str]:
    (folder / "out").mkdir()
    (folder / "out/A.png").touch()
    return ["slides.paths=slides/A", "mask=file", "mask.path='out/{slide}.png'"]


SHARED = Path(__file__).resolve().parents[2] / "shared" / "slides"


@pytest.mark.parametrize("kind", [mirax, dicom, mask])
def test_the_other_files_of_a_slide_are_sources_too(
    folder: Path, kind: Callable[[Path], list[str]]
) -> None:
    words = kind(folder)
    before = contents(folder)
    result = tiler("slides=files", *WORDS, *words, "out=out", cwd=folder)
    assert result.returncode == 2, result.stderr
    assert "is a source inside out=" in complaint(result)
    assert contents(folder) == before


@pytest.mark.slow
def test_sources_beside_out_are_allowed(folder: Path, demo_svs: Path) -> None:
    (folder / "out").symlink_to("real")
    (folder / "real").mkdir()
    for out in ("out", "slides-out", "real/deeper"):
        words = ["slides=files", "slides.paths=[slides,A.tiff]", f"out={out}"]
        result = tiler(*words, *WORDS, cwd=folder)
        assert result.returncode == 0, result.stderr
    (folder / "outputs/demo-slide").mkdir(parents=True)
    shutil.copy(demo_svs, folder / "outputs/demo-slide")
    assert "inside out=" in complaint(tiler("out=outputs", cwd=folder)), "the slide of the demo"


NAMES = {
    "run.json": '{"tilers": "of roofs"}',
    "slides.csv": "path,slide_id\na.svs,1\n",
    "events.jsonl": '{"what": "a party"}\n',
    "budget.json": "",
    "refused.json": "[]",
    ".lock": "yarn",
    ".lock-holder.json": "{}",
    "run.log": "my own words",
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *a_third_quick([("file", name) for name in NAMES]),
        *((kind, "run.json") for kind in ("link", "pipe")),
        *(
            pytest.param(kind, name, marks=pytest.mark.slow)  # a table of 24 commands
            for kind in ("link", "pipe")
            for name in NAMES
            if name != "run.json"
        ),
    ],
)
def test_a_foreign_file_with_a_name_of_a_run_is_never_replaced(
    folder: Path, name: str, kind: str
) -> None:
    place = folder / "out" / name
    place.parent.mkdir()
    match kind:
        case "file":
            place.write_text(NAMES[name])
        case "link":
            (folder / "mine").write_text(NAMES[name])
            place.symlink_to(folder / "mine")
        case "pipe":
            os.mkfifo(place)
    before = contents(folder) if kind != "pipe" else None
    result = tiler("slides=files", "slides.paths=slides", *WORDS, "out=out", cwd=folder, timeout=30)
    code, what = {
        "file": (2, "not a file that tiler wrote"),
        "link": (4, "a symbolic link"),
        "pipe": (4, "a FIFO"),
    }[kind]
    assert result.returncode == code, result.stderr
    assert f"out/{name} is {what}" in complaint(result)
    if before is not None:
        assert contents(folder) == before
    assert [path.name for path in (folder / "out").iterdir()] == [name]


@pytest.mark.parametrize("name", ["events.jsonl", "run.log"])
def test_a_log_that_a_killed_run_left_empty_is_in_no_runs_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if not (child := os.fork()):
        monkeypatch.setattr(os, "write", lambda handle, data: os._exit(9))
        append_line(tmp_path / name, b"a line")
    os.waitpid(child, 0)
    assert (tmp_path / name).read_bytes() == b""
    refuse_foreign_files(tmp_path)


@pytest.mark.parametrize(
    ("more", "name", "text"),
    [
        ([], "slides.csv", "slide_id,status,reason\nA,exclude,blurred\n"),
        (["-m", "threshold=0.1,0.2"], "sweep.csv", "job,accuracy\n1,0.5\n"),
        (["-m", "threshold=0.1,0.2"], "sweep.csv", "job,slide_id,status,reason\n1,A,bad,dark\n"),
    ],
)
def test_a_users_table_with_some_columns_of_tilers_is_the_users(
    folder: Path, more: list[str], name: str, text: str
) -> None:
    (folder / "out").mkdir()
    (folder / "out" / name).write_text(text)
    result = tiler("slides=files", "slides.paths=slides", *WORDS, "out=out", *more, cwd=folder)
    assert result.returncode == 2, result.stderr
    assert f"out/{name} is not a file that tiler wrote" in complaint(result)
    assert (folder / "out" / name).read_text() == text


@pytest.mark.slow
def test_files_of_a_run_are_its_own(folder: Path) -> None:
    words = ["slides=files", "slides.paths=slides", *WORDS, "out=out"]
    for more in (["dry_run=true"], [], ["threshold=0.1"], ["dry_run=true"]):
        result = tiler(*words, *more, cwd=folder)
        assert result.returncode == 0, result.stderr
    shutil.rmtree(folder / "out")
    (folder / "out").mkdir()
    (folder / "out/notes.txt").write_text("mine")
    assert tiler(*words, cwd=folder).returncode == 0
    assert (folder / "out/notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["config.yaml", "hydra.yaml", "a link"])
@pytest.mark.parametrize("of_sweep", [False, True])
def test_hydras_own_files_replace_no_foreign_files(folder: Path, name: str, of_sweep: bool) -> None:
    place = folder / ("out/threshold=0.1/.hydra" if of_sweep else "out/.hydra")
    if name == "a link":
        (folder / "mine").mkdir()
        place.parent.mkdir(parents=True)
        place.symlink_to(folder / "mine")
    else:
        place.mkdir(parents=True)
        (place / name).write_text("password: mine\n")
    before = contents(folder)
    words = [*(["-m", "threshold=0.1,0.2"] if of_sweep else []), "hydra.output_subdir=.hydra"]
    result = tiler("slides=files", "slides.paths=slides", *WORDS, "out=out", *words, cwd=folder)
    assert result.returncode in (2, 4), result.stderr
    assert ".hydra" in complaint(result)
    assert contents(folder) == before


@pytest.mark.slow
def test_hydras_own_files_may_be_replaced_by_it(folder: Path) -> None:
    (folder / "out/.hydra").mkdir(parents=True)
    (folder / "out/.hydra/mine.yaml").write_text("password: mine\n")
    words = ["slides=files", "slides.paths=slides", *WORDS, "hydra.output_subdir=.hydra"]
    for more in ([], ["threshold=0.1"], ["-m", "threshold=0.1,0.2"], ["-m", "threshold=0.1,0.2"]):
        result = tiler(*words, "out=out", *more, cwd=folder)
        assert result.returncode == 0, result.stderr
    assert (folder / "out/.hydra/mine.yaml").read_text() == "password: mine\n"


SWEEP = ["-m", "threshold=0.1,0.9", "slides=files", "slides.paths=slides", *WORDS]


@pytest.mark.parametrize("out", [".", "slides", "elsewhere"])
def test_a_sweep_into_a_folder_with_sources_is_refused(folder: Path, out: str) -> None:
    before = contents(folder)
    result = tiler(*SWEEP, f"out={out}", cwd=folder)
    assert result.returncode == 2
    assert "is a source inside out=" in complaint(result)
    assert contents(folder) == before


@pytest.mark.parametrize(
    "name", ["sweep.csv", "sweep.json", "sweep.png", "sweep.parquet", "multirun.yaml"]
)
def test_a_foreign_file_with_a_name_of_a_sweep_is_never_replaced(folder: Path, name: str) -> None:
    (folder / "out").mkdir()
    (folder / "out" / name).write_text("mine")
    before = contents(folder)
    result = tiler(*SWEEP, "out=out", cwd=folder)
    assert result.returncode == 2
    assert f"out/{name} is not a file that tiler wrote" in complaint(result)
    assert contents(folder) == before


@pytest.mark.slow
def test_files_of_a_sweep_are_its_own(folder: Path) -> None:
    for threshold in ("0.1,0.9", "0.1,0.5", "0.1,2"):
        result = tiler(*SWEEP, f"threshold={threshold}", "out=out", cwd=folder)
        assert result.returncode == (2 if "2" in threshold else 0), result.stderr
        assert "not a file that tiler wrote" not in result.stderr


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, shared_slides: Path) -> Path:
    """A folder with a slide and a sweep over it."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "slides").mkdir()
    shutil.copy(shared_slides / "boxes.tiff", folder / "slides/A.tiff")
    assert tiler(*SWEEP, "out=out", cwd=folder).returncode == 0
    return folder


@pytest.mark.parametrize("name", ["sweep.png", "sweep.parquet"])
@pytest.mark.parametrize("more", [[], ["cache=off"]])
def test_a_users_picture_or_table_beside_a_sweep_is_kept(
    swept: Path, tmp_path: Path, name: str, more: list[str]
) -> None:
    """The test makes files without tiler's mark from those of the sweep."""
    folder = Path(shutil.copytree(swept, tmp_path / "copy"))
    mine = folder / "out" / name
    if name == "sweep.png":
        with Image.open(mine) as drawn:
            assert drawn.info == {"Software": "tiler sweep"}
            drawn.convert("L").save(mine)
    else:
        parquet = pytest.importorskip("pyarrow.parquet", reason="tiler[parquet] is not installed")
        parquet.write_table(parquet.read_table(mine).replace_schema_metadata(), mine)
    before = mine.read_bytes()
    result = tiler(*SWEEP, "out=out", *more, cwd=folder)
    assert result.returncode == 2
    assert f"out/{name} is not a file that tiler wrote" in complaint(result)
    assert mine.read_bytes() == before


def test_a_sweep_that_is_refused_leaves_the_lock_of_another_one(folder: Path) -> None:
    (folder / "out").mkdir()
    with (folder / "out/.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        result = tiler(*SWEEP, "out=out", cwd=folder)
    assert result.returncode == 5, result.stderr
    assert (folder / "out/.lock").is_file()


@pytest.mark.slow
def test_a_refused_job_keeps_a_foreign_file(folder: Path) -> None:
    place = folder / "out/threshold=0.1/refused.json"
    place.parent.mkdir(parents=True)
    place.write_text('{"reason": "mine"}')
    result = tiler(*SWEEP, "out=out", cwd=folder)
    assert f"{place} is not a file that tiler wrote" in result.stderr
    assert place.read_text() == '{"reason": "mine"}'
    assert (folder / "out/threshold=0.9/slides.csv").is_file()
