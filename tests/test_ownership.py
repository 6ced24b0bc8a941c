"""tiler removes only files that it wrote, with notice; all other files in its folders stay."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from command import read_csv, tiler
from PIL import Image
from tracked import COMMON, picture

from tiler.runner.work.folders import new_work

NAME = "CMU-1-Small-Region"
HERE = Path(__file__).parent
FOLDER = f"out/slides/{NAME}"


@pytest.fixture
def folder(tmp_path: Path, shared_slides: Path) -> Path:
    shutil.copy(shared_slides / f"{NAME}.svs", tmp_path)
    return tmp_path


def run(folder: Path, *words: str, code: int = 0, env: dict[str, str] | None = None) -> str:
    """Run with small images; return the output."""
    result = tiler(
        "slides=files", f"slides.paths={NAME}.svs", "resolution.value=2", "tile.size=64",
        "out=out", *words, cwd=folder, env=env,
    )  # fmt: skip
    assert result.returncode == code, result.stderr
    return result.stderr


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return every file in the slide's folder except its record: bytes and mtime."""
    return {
        path.relative_to(folder / FOLDER).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted((folder / FOLDER).rglob("*"))
        if path.is_file() and path.name != "record.json"
    }


def record(folder: Path) -> dict:
    return json.loads((folder / FOLDER / "record.json").read_text())


def row(folder: Path) -> dict[str, str]:
    (found,) = read_csv(folder / "out/slides.csv")
    return found


def pngs(folder: Path) -> int:
    return sum(name.endswith(".png") for name in files(folder))


def check_vouched(folder: Path) -> None:
    """Check that the record lists the existing files, and that the row counts them."""
    there = files(folder)
    listed = {file["name"]: file["size"] for file in record(folder)["files"]}
    assert listed == {name: len(content) for name, (content, _) in there.items()}
    assert int(row(folder)["bytes"]) == sum(listed.values())
    assert sum(record(folder)["exporters"].values()) == len(listed)


@pytest.mark.slow
def test_exporters_of_later_runs_keep_the_files_of_earlier_ones(folder: Path) -> None:
    plain = ["exporter.csv.file=false", "exporter.json.file=false"]
    run(folder, "exporter=[csv,json,images,overview]", *plain)
    whole = {name: content for name, (content, _) in files(folder).items()}
    shutil.rmtree(folder / "out")

    seen: dict[str, tuple[bytes, int]] = {}
    for exporter in ("images", "json", "overview", "csv"):
        said = run(folder, f"exporter=[{exporter}]")
        assert "replaces" not in said
        assert "redone" not in said
        now = files(folder)
        assert seen.items() < now.items()
        seen = now
        check_vouched(folder)
    assert {name: content for name, (content, _) in seen.items()} == whole
    for some in ("images", "csv,json", "overview,images"):
        assert "1 of 1 slides are done already" in run(folder, f"exporter=[{some}]")
        assert files(folder) == seen
    assert (row(folder)["status"], row(folder)["output"]) == ("done", "current")


@pytest.mark.slow
def test_adding_an_exporter_reuses_mask_and_grid_and_writes_only_its_files(folder: Path) -> None:
    run(folder, "exporter=[images]")
    said = run(folder, "exporter=[images,json]")
    assert "masks: 0 made, 1 reused; grids: 0 made, 1 reused" in said
    events = [json.loads(line) for line in (folder / "out/events.jsonl").read_text().splitlines()]
    assert not {"redo", "replaces"} & {event["event"] for event in events}


@pytest.mark.slow
def test_settings_of_one_exporter_replace_only_its_files(folder: Path) -> None:
    run(folder, "exporter=[csv,json,images]", "exporter.images.compression=1")
    before = files(folder)
    said = run(folder, "exporter=[csv,json,images]", "exporter.json.indent=0")
    tiles = row(folder)["kept"]
    assert f"replaces {tiles} tiles of 1 slide: exporter.json.indent was 2, now 0" in said
    after = files(folder)
    assert {name for name in before if before[name] != after[name]} == {f"{NAME}.json"}
    said = run(folder, "exporter=[images]", "exporter.images.compression=0")
    assert f"replaces {tiles} tiles of 1 slide: exporter.images.compression was 1, now 0" in said
    last = files(folder)
    assert last.keys() == after.keys()
    assert {name for name in after if after[name] != last[name]} == {
        name for name in after if name.startswith("tiles/")
    }
    check_vouched(folder)


def test_shared_settings_replace_everything_and_that_is_reported(folder: Path) -> None:
    run(folder, "exporter=[csv,images]")
    tiles = row(folder)["kept"]
    said = run(folder, "exporter=[csv]", "threshold=0.3")
    (line,) = (line for line in said.splitlines() if "replaces" in line)
    assert f"replaces {tiles} tiles of 1 slide: threshold was 0.5, now 0.3" in line
    assert line.endswith("; also removes the files of images, which this run leaves out")
    assert set(files(folder)) == {f"{NAME}.csv"}
    check_vouched(folder)


@pytest.mark.slow
def test_images_under_other_names_replace_the_tables_that_list_them(folder: Path) -> None:
    run(folder, "exporter=[csv,json,images]", "exporter.json.file=false")
    said = run(folder, "exporter=[images]", "exporter.images.extension=jpg")
    assert "also removes the files of csv, which this run leaves out" in said
    assert {name for name in files(folder) if "/" not in name} == {f"{NAME}.json"}
    check_vouched(folder)


@pytest.mark.slow
@pytest.mark.parametrize("dry", ["true", "false"])
def test_a_limit_on_what_is_replaced(folder: Path, dry: str) -> None:
    for name in ("b", "c"):
        os.link(folder / f"{NAME}.svs", folder / f"{name}.svs")
    words = ["slides.paths=.", "exporter=[csv,images]", f"dry_run={dry}"]
    run(folder, *words, "dry_run=false", "limits.max_replaced=0")
    rows = read_csv(folder / "out/slides.csv")
    total = sum(int(row["kept"]) for row in rows)
    (folder / "out/slides/b").rename(folder / "away")
    total -= int(rows[1]["kept"])
    before = {path: path.read_bytes() for path in (folder / "out/slides").rglob("*.*")}
    for limit in (0, total - 1):
        said = run(folder, *words, "threshold=0.4", f"limits.max_replaced={limit}", code=2)
        line = next(line for line in said.splitlines() if line.startswith("E_CONFIG"))
        assert f"replaces {total} tiles of 2 slides: threshold was 0.5, now 0.4" in line
        assert f"limits.max_replaced={limit}" in line
        assert {path: path.read_bytes() for path in before} == before
    said = run(folder, *words, "threshold=0.4", f"limits.max_replaced={total}")
    assert f"WARNING replaces {total} tiles of 2 slides: threshold was 0.5, now 0.4\n" in said
    if dry == "true":
        assert {path: path.read_bytes() for path in before} == before
        budget = json.loads((folder / "out/budget.json").read_text())
        assert budget["total"]["replaced"] == total
    assert run(folder, "limits.max_replaced=-1", code=2).count("\n") == 1


OBSTACLES = {
    "a file": lambda place: (place / "notes.txt").write_text("mine"),
    "a hidden file": lambda place: (place / ".notes").write_text("mine"),
    "a file among tiles": lambda place: (place / "tiles/features.pt").write_bytes(b"mine"),
    "a folder": lambda place: (place / "features").mkdir(),
    "a folder with a file": lambda place: (
        (place / "a/b").mkdir(parents=True),
        (place / "a/b/c").touch(),
    ),
    "a link": lambda place: (place / "link").symlink_to("/etc"),
    "a pipe": lambda place: os.mkfifo(place / "pipe"),
    "an edited table": lambda place: (place / f"{place.name}.csv").write_text("x,y\n"),
    "a link for a file": lambda place: (
        (place / f"{place.name}.csv").rename(place.parent / "mine"),
        (place / f"{place.name}.csv").symlink_to("../mine"),
    ),
    "no record": lambda place: (place / "record.json").unlink(),
    "a record of another slide": lambda place: other_record(place),
}


def other_record(place: Path) -> None:
    """A user may copy a slide's folder over another one."""
    from tiler.runner.store.record_file import load_record, write_record

    mine = load_record(place)
    write_record(place, type(mine)(**{**fields_of(mine), "slide_id": "other"}), {})


def fields_of(value: object) -> dict:
    found = {name: getattr(value, name) for name in value.__dataclass_fields__}
    return {**found, "row": replace(found["row"], slide_id="other")}


IDS = {what: f"s{number}" for number, what in enumerate(OBSTACLES)}
"""The slide that gets an obstacle."""

SEVERAL = f"slides.paths=[{','.join(f'{name}.svs' for name in IDS.values())}]"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, shared_slides: Path) -> Path:
    """A folder with several slides of equal content, and a run over them, made once."""
    folder = tmp_path_factory.mktemp("made")
    for name in IDS.values():
        shutil.copy(shared_slides / f"{NAME}.svs", folder / f"{name}.svs")
    run(folder, SEVERAL, "exporter=[csv,images]")
    return folder


@pytest.fixture
def several(made: Path, tmp_path: Path) -> Path:
    """A copy of ``made``."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.parametrize("words", [["threshold=0.3"], ["exporter=[json]"]], ids=["redo", "add"])
def test_foreign_files_stop_the_slide_and_stay(several: Path, words: list[str]) -> None:
    out = several / "out/slides"
    for what, name in IDS.items():
        OBSTACLES[what](out / name)
    before = everything(out)
    run(several, SEVERAL, *words, code=3)
    assert everything(out) == before
    rows = {row["slide_id"]: row for row in read_csv(several / "out/slides.csv")}
    for what, name in IDS.items():
        assert rows[name]["status"] == "failed", what
        assert rows[name]["reason"].startswith(f"E_OCCUPIED slide={name}: {out / name}/"), what
        assert "move " in rows[name]["reason"], what
        assert rows[name]["output"] == ("" if "record" in what else "earlier"), what


def test_foreign_files_do_not_matter_to_a_finished_slide(several: Path) -> None:
    for what in ("a file", "a folder", "a link", "a pipe"):
        OBSTACLES[what](several / "out/slides" / IDS[what])
    before = everything(several / "out/slides")
    count = len(IDS)
    said = run(several, SEVERAL, "exporter=[csv]")
    assert f"{count} of {count} slides are done already" in said
    assert everything(several / "out/slides") == before


@pytest.mark.parametrize("kind", ["file", "link", "folder", "empty"])
def test_a_users_file_with_a_slides_name_stays(folder: Path, kind: str) -> None:
    place = folder / FOLDER
    place.parent.mkdir(parents=True)
    if kind == "file":
        place.write_text("mine")
    elif kind == "link":
        (folder / "elsewhere").mkdir()
        place.symlink_to(folder / "elsewhere")
    else:
        place.mkdir()
        if kind == "folder":
            (place / f"{NAME}.csv").write_text("mine")
    before = everything(folder)
    if kind == "empty":
        run(folder)
        assert row(folder)["status"] == "done"
        return
    run(folder, code=3)
    after = everything(folder)
    assert before.items() <= after.items()
    assert row(folder)["reason"].startswith(f"E_OCCUPIED slide={NAME}: {place}")
    assert f"slides/{NAME}" in row(folder)["reason"]


def everything(folder: Path) -> dict[str, object]:
    """Every file, link and folder below one."""
    return {
        str(path.relative_to(folder)): path.readlink()
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else path.is_dir()
        for path in folder.rglob("*")
    }


MINE = """
from dataclasses import dataclass
from pathlib import Path
from mine.helper import text
from tiler.protocols import Exported
from tiler.files import write_whole
from tiler.written import WrittenFile
import numpy as np

@dataclass
class Notes:
    word: str = "a"
    unlisted: bool = False
    per_tile = False

    def export(self, source, regions, mask, folder):
        if self.unlisted:
            (folder / "more.txt").write_text("more")
        data = f"{text()} {self.word} {len(regions)}".encode()
        size, sha256 = write_whole(folder / "notes.txt", data)
        return Exported((WrittenFile("notes.txt", size, sha256),))

class Mask:
    def generate(self, source):
        return np.full((4, 4), text() != "")
"""


@pytest.fixture
def own(folder: Path) -> dict[str, str]:
    """A package of the user's with an exporter and a mask that import a helper."""
    (folder / "mine").mkdir()
    (folder / "mine/__init__.py").touch()
    (folder / "mine/parts.py").write_text(MINE)
    (folder / "mine/helper.py").write_text("def text():\n    return 'one'\n")
    (folder / "mine/unrelated.py").write_text("")
    path = os.pathsep.join([str(folder), str(HERE.parent)])
    return {"TILER_TARGETS": "mine", "PYTHONPATH": path}


MASK = ["mask=none", "mask._target_=mine.parts.Mask"]
NOTES = "+exporter.notes._target_=mine.parts.Notes"


@pytest.mark.slow
def test_exporters_of_users_are_additive_too(folder: Path, own: dict[str, str]) -> None:
    run(folder, "exporter=[json]")
    before = files(folder)
    run(folder, "exporter=[json]", NOTES, env=own)
    assert files(folder).keys() == {*before, "notes.txt"}
    assert before.items() <= files(folder).items()
    said = run(folder, "exporter=[]", NOTES, "+exporter.notes.word=b", env=own)
    assert "1 slide: exporter.notes.word was not set, now b" in said
    assert before.items() <= files(folder).items()
    assert b"one b" in files(folder)["notes.txt"][0]
    assert "done already" in run(folder, "exporter=[json]")
    check_vouched(folder)


def test_a_file_that_no_exporter_lists_is_named(folder: Path, own: dict[str, str]) -> None:
    run(folder, "exporter=[json]", NOTES, "+exporter.notes.unlisted=true", env=own, code=3)
    assert "an exporter wrote more.txt, but does not list it" in row(folder)["reason"]
    assert not (folder / FOLDER).exists()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["exporter", "mask"])
def test_changed_code_of_the_users_redoes_what_depends_on_it(
    folder: Path, own: dict[str, str], what: str
) -> None:
    words = ["exporter=[json,images]", *([NOTES] if what == "exporter" else MASK)]
    key = "exporter.notes" if what == "exporter" else "mask"
    run(folder, *words, env=own)
    assert "done already" in run(folder, *words, env=own)
    for changed in ("unrelated", "helper", "parts"):
        before = files(folder)
        source = folder / f"mine/{changed}.py"
        source.write_text(source.read_text().replace("'one'", "'two'") + "# edited\n")
        said = run(folder, *words, env=own)
        after = files(folder)
        if changed == "unrelated":
            assert "done already" in said
            assert after == before
            continue
        assert f"the code of {key} changed" in said
        rewritten = {name for name in before if before[name][1] != after[name][1]}
        assert rewritten == ({"notes.txt"} if what == "exporter" else before.keys())
        if what == "mask":
            assert "masks: 1 made" in said
        elif changed == "helper":
            assert b"two" in after["notes.txt"][0]
    assert "done already" in run(folder, *words, env=own)


@pytest.mark.slow
def test_a_changed_mask_file_replaces_the_files_of_other_exporters(folder: Path) -> None:
    """An exporter is only added to files of the same tiles."""
    mask = Image.new("1", (222, 297), 1)
    mask.save(folder / "mask.png")
    words = ["mask=file", "mask.path=mask.png"]
    run(folder, *words, "exporter=[json]")
    mask.paste(0, (0, 0, 150, 297))
    mask.save(folder / "mask.png")
    said = run(folder, *words, "exporter=[images]")
    assert "its mask file differs; also removes the files of json" in said
    assert pngs(folder) == int(row(folder)["kept"]) == record(folder)["counts"]["written"]
    check_vouched(folder)


@pytest.mark.slow
def test_an_exporter_is_not_added_to_tiles_of_another_mask(
    folder: Path, own: dict[str, str]
) -> None:
    (folder / "mine/parts.py").write_text(
        "import os\nimport numpy as np\nclass Mask:\n    def generate(self, source):\n"
        "        return np.random.default_rng(int(os.environ['SEED'])).random((9, 9)) < 0.7\n"
    )
    words = [*MASK, "cache=off"]
    run(folder, *words, "exporter=[json]", env={**own, "SEED": "1"})
    before = everything(folder / FOLDER)
    run(folder, *words, "exporter=[images]", env={**own, "SEED": "2"}, code=3)
    assert row(folder)["reason"].startswith(f"E_CHANGED slide={NAME}: the mask differs")
    assert everything(folder / FOLDER) == before
    run(folder, *words, "exporter=[images]", env={**own, "SEED": "1"})
    assert pngs(folder) == int(row(folder)["kept"]) > 0
    check_vouched(folder)


def test_a_work_folder_restores_the_replaced_output(tmp_path: Path) -> None:
    picture(tmp_path)
    assert tiler(*COMMON, "out=out", cwd=tmp_path).returncode == 0
    out, final = tmp_path / "out", tmp_path / "out/slides/pic"
    before = {path.name: path.read_bytes() for path in final.iterdir()}
    work = new_work(out, "pic")
    final.rename(work.old)
    work.remove()
    assert {path.name: path.read_bytes() for path in final.iterdir()} == before
    assert not work.path.exists()
