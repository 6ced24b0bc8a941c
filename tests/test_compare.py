"""``tiler-compare`` as a regression test, on runs of the command."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from command import complaint, read_csv, tiler
from conftest import SLIDES
from PIL import Image

from tiler.storage.stored import sealed

SMALL = "CMU-1-Small-Region"
NAMES = [SMALL, "TCGA-CR-7395-01A-01-TS1", "test3-DAPI-2-(387)"]
LEVEL0 = ("resolution=level", "resolution.value=0", "tile.size=200")
BOX = ("resolution", "x", "y", "width", "height")
BOX0 = ("x0", "y0", "width0", "height0")


def compare(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run ``tiler-compare`` and wait."""
    return tiler(*map(str, arguments), cwd=cwd, module="tiler.compare")


def compared(a: Path, b: Path, *arguments: str, code: int) -> tuple[str, dict[str, dict[str, str]]]:
    """Return the text of a comparison, and the rows of its table by slide."""
    table = a.parent / "compared.csv"
    result = compare(a, b, "--csv", table, *arguments, cwd=a.parent)
    assert (result.returncode, result.stderr) == (code, ""), result.stdout + result.stderr
    return result.stdout, {row["slide_id"]: row for row in read_csv(table)}


def chosen() -> list[str]:
    """Return the slides to tile: real ones if they exist, else the demo slide."""
    if not SLIDES.is_dir():
        return ["slides=demo"]
    files = ",".join(
        f'"{path}"' for name in NAMES[::2] for path in sorted(SLIDES.glob(f"{name}.*"))
    )
    return ["slides=files", f"slides.paths=[{files}]"]


def made(folder: Path, *arguments: str) -> Path:
    """Run ``tiler`` in a folder, and return the folder of the run or sweep."""
    done = tiler(*arguments, f"out={folder / 'out'}", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four jobs: two masks and two thresholds."""
    folder = tmp_path_factory.mktemp("sweep")
    return made(folder, "-m", "threshold=0.3,0.6", "mask.mpp=8,20", *chosen(), *LEVEL0)


@pytest.fixture(scope="module")
def imaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one slide with tables and images."""
    folder = tmp_path_factory.mktemp("imaged")
    images = ("exporter=[csv,json,images]", "exporter.images.extension=jpg", "tile.size=400")
    one = [word.partition(",")[0] + "]" if "," in word else word for word in chosen()]
    return made(folder, *one, *LEVEL0[:2], *images)


@pytest.fixture
def pair(sweep: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two copies of one job."""
    for name in ("a", "b"):
        shutil.copytree(job(sweep, 8, 0.3), tmp_path / name)
    return tmp_path / "a", tmp_path / "b"


def job(sweep: Path, mpp: int, threshold: float) -> Path:
    return sweep / f"mask.mpp={mpp},threshold={threshold}"


def table_of(run: Path, slide: str, suffix: str = "csv") -> Path:
    return run / "slides" / slide / f"{slide}.{suffix}"


def a_slide(run: Path) -> str:
    """Return a slide of a run that has tiles."""
    return next(row["slide_id"] for row in read_csv(run / "slides.csv") if row["status"] == "done")


def change_row(table: Path, line: int, change: Callable[[dict[str, str]], None]) -> dict[str, str]:
    """Rewrite a row of a table and return the old row."""
    rows = read_csv(table)
    before = dict(rows[line])
    change(rows[line])
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(before), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return before


def change_json(path: Path, change: Callable[[dict], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    text = json.dumps(content)
    if content.pop("sha256", None):  # a record is sealed
        text = b"".join(sealed(iter([json.dumps(content)[:-1].encode()]))).decode()
    path.write_text(text)


def jobs_of(sweep: Path) -> Iterator[tuple[Path, Path]]:
    yield from combinations(sorted(path.parent for path in sweep.glob("*/run.json")), 2)


@pytest.mark.slow
def test_gained_and_lost_are_the_difference_of_the_tables(sweep: Path) -> None:
    seen = set()
    for a, b in jobs_of(sweep):
        wanted, codes = {}, set()
        for row in read_csv(a / "slides.csv"):
            slide = row["slide_id"]
            in_a, in_b = (
                {tuple(t[k] for k in BOX): float(t["ratio"]) for t in read_csv(table_of(r, slide))}
                for r in (a, b)
            )
            both = in_a.keys() & in_b.keys()
            change = max((abs(in_a[t] - in_b[t]) for t in both), default=None)
            counts = (len(both), len(in_b.keys() - both), len(in_a.keys() - both))
            wanted[slide] = (*counts, change)
            codes.add(7 if any(counts[1:]) or change else 0)
        text, rows = compared(a, b, code=max(codes))
        found = {
            slide: (
                *(int(row[key]) for key in ("kept", "gained", "lost")),
                float(row["max_ratio_change"]) if row["max_ratio_change"] else None,
            )
            for slide, row in rows.items()
        }
        assert found == wanted
        assert ("threshold was" in text) == (a.name.split("=")[-1] != b.name.split("=")[-1])
        seen.update(("gained", "lost")[i] for w in wanted.values() for i in (0, 1) if w[1 + i])
    assert seen == {"gained", "lost"}


def test_equal_runs_are_equal(pair: tuple[Path, Path]) -> None:
    text, rows = compared(*pair, code=0)
    assert "settings: equal" in text
    assert text.splitlines()[-1].startswith("equal: ")
    for row in rows.values():
        assert row["equal"] == "true"
        assert int(row["tiles_a"]) == int(row["tiles_b"]) == int(row["kept"])
        assert float(row["overlap"]) == float(row["mask_overlap"]) == 1
    assert sum(int(row["kept"]) for row in rows.values()) > 20


def test_an_off_by_one_in_one_tile_is_found_and_named(pair: tuple[Path, Path]) -> None:
    slide = a_slide(pair[1])

    def shifted(row: dict[str, str]) -> None:
        row["x"], row["x0"] = str(int(row["x"]) + 1), str(int(row["x0"]) + 1)

    was = change_row(table_of(pair[1], slide), 3, shifted)
    text, rows = compared(*pair, code=7)
    tile = f"_y{was['y']}_w{was['width']}_h{was['height']}_{was['resolution']}"
    assert f"  lost: x{was['x']}{tile}\n" in text
    assert f"  gained: x{int(was['x']) + 1}{tile}\n" in text
    assert f"B: {slide}.csv was changed" in text
    assert [row["slide_id"] for row in rows.values() if row["equal"] == "false"] == [slide]
    assert (rows[slide]["gained"], rows[slide]["lost"]) == ("1", "1")
    assert 0.9 < float(rows[slide]["overlap"]) < 1


def test_a_ratio_that_changed_is_a_difference(pair: tuple[Path, Path]) -> None:
    slide = a_slide(pair[1])
    was = change_row(table_of(pair[1], slide), 0, lambda row: row.update(ratio="0.9990001"))
    text, rows = compared(*pair, code=7)
    assert "ratios of tiles in both differ by up to" in text
    assert float(rows[slide]["max_ratio_change"]) == abs(0.9990001 - float(was["ratio"]))
    assert rows[slide]["gained"] == rows[slide]["lost"] == "0"


def test_masks_are_compared_by_their_cached_pixels(sweep: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(sweep, tmp_path / "sweep")
    fine, coarse = job(copy, 8, 0.3), job(copy, 20, 0.3)
    text, rows = compared(fine, coarse, code=7)
    overlaps = [float(row["mask_overlap"]) for row in rows.values()]
    assert 0.5 < min(overlaps) < 1
    assert "mask.mpp was 8, now 20" in text
    _, same = compared(fine, job(copy, 8, 0.6), code=7)
    assert {row["mask_overlap"] for row in same.values()} == {"1.0"}
    for entry in (copy / ".cache").iterdir():  # a damaged mask counts as missing
        entry.write_bytes(entry.read_bytes()[:-1])
    text, rows = compared(fine, coarse, code=7)
    assert "of masks unknown (the cache contains no such mask)" in text
    assert {row["mask_overlap"] for row in rows.values()} <= {"", "1.0"}
    for run in (fine, coarse):
        for record in run.glob("slides/*/record.json"):
            change_json(record, lambda content: content.pop("mask"))
    assert "of masks unknown (a record contains no mask)" in compared(fine, coarse, code=7)[0]


@pytest.mark.slow
def test_two_resolutions_are_compared_by_area(tmp_path: Path, shared_slides: Path) -> None:
    slide = f"slides.paths={shared_slides / f'{SMALL}.svs'}"
    swept = ("-m", "resolution.value=1,1.7", "threshold=0.4", "tile.size=90")
    out = made(tmp_path, *swept, "slides=files", slide)
    painted = []
    for value in ("1", "1.7"):
        canvas = np.zeros((2967, 2220), bool)
        for row in read_csv(table_of(out / f"resolution.value={value}", SMALL)):
            x, y, width, height = (int(row[key]) for key in BOX0)
            canvas[y : y + height, x : x + width] = True
        painted.append(canvas)
    _, rows = compared(out / "resolution.value=1", out / "resolution.value=1.7", code=7)
    share = (painted[0] & painted[1]).sum() / (painted[0] | painted[1]).sum()
    assert float(rows[SMALL]["overlap"]) == share
    assert 0.5 < share < 1
    assert rows[SMALL]["kept"] == "0"


def test_tiles_are_read_from_json_or_from_the_names_of_images(imaged: Path, tmp_path: Path) -> None:
    slide = a_slide(imaged)
    copy = shutil.copytree(imaged, tmp_path / "copy")
    table_of(copy, slide).unlink()
    text, rows = compared(copy, imaged, code=0)
    assert f"A: {slide}.csv is missing" in text
    assert int(rows[slide]["kept"]) > 3
    table_of(copy, slide, "json").unlink()
    text, by_name = compared(copy, imaged, code=0)
    assert "A: tiles read from the names of images; ratios have two decimals" in text
    for key in ("kept", "gained", "lost", "overlap"):
        assert by_name[slide][key] == rows[slide][key]

    def without_images(record: dict) -> None:
        record["files"] = [f for f in record["files"] if not f["name"].startswith("tiles/")]

    change_json(copy / "slides" / slide / "record.json", without_images)
    line = complaint(compare(copy, imaged, cwd=tmp_path))
    assert line.startswith("E_CONFIG: ")
    assert "contains no table" in line
    assert slide in line


DAMAGES = {
    "cut in a row": lambda text: text[: text.rindex(",")],
    "cut in a number": lambda text: text[:-2],
    "empty": lambda text: "",
    "no header": lambda text: text.partition("\n")[2],
    "no number": lambda text: text.replace(",200,200,", ",2oo,200,", 1),
    "no ratio": lambda text: text.replace(",l_0,", ",l_0,1", 1),
    "a tile twice": lambda text: text + text.splitlines()[-1] + "\n",
    "a quote": lambda text: text + '"a"b,',
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_table_is_named(pair: tuple[Path, Path], damage: str) -> None:
    table = table_of(pair[1], a_slide(pair[1]))
    before = table.read_text()
    table.write_text(DAMAGES[damage](before))
    assert table.read_text() != before
    result = compare(*pair, cwd=pair[0].parent)
    assert result.returncode == 2, result.stdout
    assert f"{table} is damaged: " in complaint(result)


@pytest.mark.parametrize("text", ["[", "{}", "[3]", '[{"x": 1}]', "[[]]"])
def test_a_damaged_json_is_named(imaged: Path, tmp_path: Path, text: str) -> None:
    copy = shutil.copytree(imaged, tmp_path / "copy")
    table_of(copy, a_slide(copy)).unlink()
    table = table_of(copy, a_slide(copy), "json")
    table.write_text(text)
    result = compare(imaged, copy, cwd=tmp_path)
    assert result.returncode == 2
    assert f"{table} is damaged: " in complaint(result)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda run: shutil.rmtree(run), "the folder is missing"),
        (lambda run: (run / "run.json").unlink(), "contains no run.json"),
        (lambda run: (run / "run.json").write_text("{"), "run.json is damaged"),
        (lambda run: (run / "run.json").write_text("[]"), "run.json is damaged"),
        (lambda run: (run / "slides.csv").unlink(), "slides.csv is missing"),
        (lambda run: (run / "slides.csv").write_text("slide_id,status\n"), "contains no slide"),
        (
            lambda run: (run / "slides.csv").write_text("slide_id,status\nx,done\n"),
            "no column 'reason'",
        ),
        (lambda run: next(run.glob("slides/*/record.json")).unlink(), "record.json is missing"),
        (lambda run: next(run.glob("slides/*/record.json")).write_text("{}"), "checksum"),
    ],
)
def test_a_path_without_a_run_is_refused_in_one_line(pair, harm, words: str) -> None:
    harm(pair[1])
    result = compare(*pair, cwd=pair[0].parent)
    assert result.returncode == 2
    assert words in complaint(result)
    assert str(pair[1]) in complaint(result)


def test_comparing_a_sweep_with_nothing_names_the_missing_run(pair) -> None:
    (pair[0] / "sweep.csv").touch()
    result = compare(pair[0], pair[0] / "nowhere", cwd=pair[0].parent)
    assert result.returncode == 2
    assert (
        complaint(result)
        == f"E_CONFIG: {pair[0] / 'nowhere'}: the folder is missing; check the path"
    )


@pytest.mark.slow
def test_a_slide_that_failed_in_one_run_or_is_missing_in_one(
    tmp_path: Path, shared_slides: Path
) -> None:
    files = [shared_slides / f"{name}.svs" for name in (*NAMES[:2], "small")]
    slides = ("slides=files", "slides.paths=[{}]".format(",".join(map(str, files))))
    failing = ("resolution=mpp", "resolution.value=2", "tile.size=100")
    assert tiler(*slides, *failing, "out=a", cwd=tmp_path).returncode == 3
    two = ("slides=files", f"slides.paths=[{files[0]},{files[1]}]")
    assert tiler(*two, *failing, "reader.mpp=0.499", "out=b", cwd=tmp_path).returncode == 0
    text, rows = compared(tmp_path / "a", tmp_path / "b", code=7)
    assert f"{NAMES[1]}: failed in A, done in B; no tiles to compare" in text
    assert f"reason in A: E_MPP slide={NAMES[1]}" in text
    assert "small: only in A, done_empty" in text
    assert "reader.mpp was not set, now 0.499" in text
    assert text.endswith("different: 2 of 3 slides\n")
    assert rows[NAMES[1]]["tiles_a"] == rows[NAMES[1]]["gained"] == ""
    assert (rows["small"]["status_a"], rows["small"]["status_b"]) == ("done_empty", "")
    assert rows[SMALL]["equal"] == "true"
    text, rows = compared(tmp_path / "a", tmp_path / "a", code=0)
    assert f"{NAMES[1]}: failed in both; no tiles to compare" in text


def test_an_interrupted_slide_equals_no_other(pair: tuple[Path, Path]) -> None:
    for run in pair:
        change_row(run / "slides.csv", 0, lambda row: row.update(status="interrupted"))
    assert "interrupted in both; no tiles to compare" in compared(*pair, code=7)[0]


def test_settings_of_one_slide_are_reported_with_it(pair: tuple[Path, Path]) -> None:
    def own(record: dict) -> None:
        record["settings"]["tile"]["stride"] = 170
        record["source"]["content"] = "0" * 64

    slide = a_slide(pair[1])
    change_json(pair[1] / "slides" / slide / "record.json", own)
    text, rows = compared(*pair, code=0)
    assert "settings: equal" in text
    assert "  tile.stride was not set, now 170\n" in text
    assert "A and B used different files for this slide" in rows[slide]["notes"]


def test_sweeps_are_compared_job_by_job(sweep: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(sweep, tmp_path / "copy")
    result = compare(sweep, copy, "--csv", "all.csv", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    rows = read_csv(tmp_path / "all.csv")
    assert len({row["job"] for row in rows}) == 4
    assert len(rows) == len(read_csv(sweep / "sweep.csv"))

    changed = job(copy, 20, 0.6)
    change_row(table_of(changed, a_slide(changed)), 0, lambda row: row.update(y="7", y0="7"))
    assert compare(sweep, copy, "--csv", "all.csv", cwd=tmp_path).returncode == 7
    wrong = [row["job"] for row in read_csv(tmp_path / "all.csv") if row["equal"] == "false"]
    assert wrong == [changed.name]

    line = complaint(compare(sweep, job(copy, 8, 0.3), cwd=tmp_path))
    assert "it contains a sweep: give one of its jobs" in line

    kept = [row for row in read_csv(sweep / "sweep.csv") if row["job"] != changed.name]
    text = "job\n" + "".join(f'"{row["job"]}"\n' for row in kept)
    (copy / "sweep.csv").write_text(text)
    both = shutil.copytree(sweep, tmp_path / "both")
    for a in (sweep, both):  # a job that did not begin is not a missing job
        result = compare(a, copy, cwd=tmp_path)
        assert result.returncode == 7
        assert "B stopped before its slides: the sweep has no job of this name" in result.stdout
        refuse(job(both, 20, 0.6))
    assert "A stopped before its slides: E_CONFIG: no" in result.stdout
    assert result.stdout.endswith("different: 0 of 9 slides\n".replace("9", str(len(kept))))


def refuse(job: Path) -> None:
    """Leave the files of a job that stopped before its slides."""
    (job / "run.json").unlink(missing_ok=True)
    (job / "refused.json").write_text(json.dumps({"error": "E_CONFIG: no", "exit_code": 2}))


def test_a_job_that_never_began_is_named(sweep: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(sweep, tmp_path / "copy")
    refuse(job(copy, 8, 0.3))
    result = compare(sweep, copy, cwd=tmp_path)
    assert result.returncode == 7
    assert "B stopped before its slides: E_CONFIG: no" in result.stdout
    again = compare(copy, copy, cwd=tmp_path)
    assert again.returncode == 0
    assert "A stopped before its slides: E_CONFIG: no" in again.stdout
    for record in copy.glob("*/run.json"):
        refuse(record.parent)
    nothing = compare(copy, copy, cwd=tmp_path)
    assert nothing.returncode == 2
    assert "no slide to compare" in complaint(nothing)


@pytest.mark.slow
def test_an_overlay_shows_the_slide_where_it_can_be_found(
    tmp_path: Path, shared_slides: Path
) -> None:
    slide = shutil.copy(shared_slides / f"{SMALL}.svs", tmp_path)
    swept = ("-m", "threshold=0.3,0.9", "slides=files", f"slides.paths={slide}")
    out = made(tmp_path, *swept, *LEVEL0)
    a, b = out / "threshold=0.3", out / "threshold=0.9"
    compared(a, b, "--overlay", str(tmp_path / "found"), code=7)
    Path(slide).rename(tmp_path / "elsewhere.svs")
    lost = compare(a, b, "--overlay", "blank", cwd=tmp_path)
    assert lost.returncode == 7
    assert complaint(lost) == (
        f"E_SLIDE slide={SMALL}: the slide's file is missing; give its folder with --slides;"
        " its picture has a white background"
    )
    where = ("--slides", str(tmp_path / "else*.svs"))
    compared(a, b, "--overlay", str(tmp_path / "again"), *where, code=7)
    name = f"{SMALL}.jpg"
    assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "found" / name).read_bytes()
    assert Image.open(tmp_path / "again" / name).size == (1197, 1600)

    assert compare(b, a, "--overlay", "back", cwd=tmp_path).returncode == 7
    blank, back = (np.asarray(Image.open(tmp_path / f / name), int) for f in ("blank", "back"))
    scale = 1600 / max(int(r["y0"]) + int(r["height0"]) for r in read_csv(table_of(a, SMALL)))
    after = {(r["x0"], r["y0"]) for r in read_csv(table_of(b, SMALL))}
    seen = set()
    for row in read_csv(table_of(a, SMALL)):
        x, y = (round((int(row[k]) + 100) * scale) for k in ("x0", "y0"))
        kept = (row["x0"], row["y0"]) in after
        strongest = blank[y, x].argmax(), back[y, x].argmax()
        assert strongest == ((2, 2) if kept else (0, 1))  # blue; red when lost, green when gained
        seen.add(kept)
    assert seen == {True, False}


def test_misuse_and_a_destination_that_cannot_be_written(pair: tuple[Path, Path]) -> None:
    folder = pair[0].parent
    assert compare(pair[0], cwd=folder).returncode == 2
    lone = compare(*pair, "--slides", "x", cwd=folder)
    assert lone.returncode == 2
    assert "--slides needs --overlay" in lone.stderr
    none = compare(*pair, "--overlay", "o", "--slides", "*.nothing", cwd=folder)
    assert none.returncode == 2
    assert "--slides *.nothing: no slide found" in complaint(none)
    (folder / "file").write_text("")
    for wish in (("--csv", "file/x.csv"), ("--overlay", "file/x")):
        refused = compare(*pair, *wish, cwd=folder)
        assert refused.returncode == 4
        assert complaint(refused).startswith("E_DEST")


def test_the_installed_command_is_the_module() -> None:
    scripts = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    home, _, name = scripts["project"]["scripts"]["tiler-compare"].partition(":")
    assert getattr(import_module(home), name) is import_module("tiler.compare.main").main
