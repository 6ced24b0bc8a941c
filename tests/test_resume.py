"""Finished slides are never redone without need and never stale."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from command import read_csv, tiler
from PIL import Image

from tiler.runner.store.fingerprint import file_state, fingerprint
from tiler.storage.companions import companions

NAME = "CMU-1-Small-Region"


SEVERAL = tuple(f"s{number}" for number in range(6))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, shared_slides: Path) -> Path:
    """A folder with a slide and a run over it, made once."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copy(shared_slides / f"{NAME}.svs", folder)
    assert len(run(folder)) == 1
    return folder


@pytest.fixture
def slide(made: Path, tmp_path: Path) -> Path:
    """Return the slide of a copy of ``made``."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / f"{NAME}.svs"


@pytest.fixture(scope="module")
def made_of_several(tmp_path_factory: pytest.TempPathFactory, shared_slides: Path) -> Path:
    """A folder with several slides of equal content, and a run over them, made once."""
    folder = tmp_path_factory.mktemp("several")
    for name in SEVERAL:
        shutil.copy(shared_slides / f"{NAME}.svs", folder / f"{name}.svs")
    run(folder, ALL_OF_THEM)
    return folder


ALL_OF_THEM = f"slides.paths=[{','.join(f'{name}.svs' for name in SEVERAL)}]"


@pytest.fixture
def several(made_of_several: Path, tmp_path: Path) -> Path:
    """A copy of ``made_of_several``."""
    shutil.copytree(made_of_several, tmp_path, dirs_exist_ok=True)
    return tmp_path


def run(folder: Path, *arguments: str, code: int = 0) -> list[str]:
    """Run with small images; return the lines about redone and finished slides."""
    result = tiler(
        "slides=files", f"slides.paths={NAME}.svs", "resolution.value=2", "tile.size=64",
        "exporter=[csv,images]", "out=out", *arguments, cwd=folder,
    )  # fmt: skip
    assert result.returncode == code, result.stderr
    return [line for line in result.stderr.splitlines() if "redone" in line or "/1]" in line]


def rows(folder: Path) -> dict[str, dict[str, str]]:
    """Return the rows of ``slides.csv`` by slide id."""
    return {row["slide_id"]: row for row in read_csv(folder / "out/slides.csv")}


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return every file of the slides with its bytes and mtime."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted((folder / "out/slides").rglob("*"))
        if path.is_file()
    }


def contents(files: dict[str, tuple[bytes, int]]) -> dict[str, bytes]:
    return {name: content for name, (content, _) in files.items()}


def test_a_second_run_does_nothing(tmp_path: Path, slide: Path) -> None:
    before = tree(tmp_path)
    assert len(before) > 20
    assert run(tmp_path) == []
    assert tree(tmp_path) == before
    assert rows(tmp_path)[NAME]["status"] == "done"
    assert json.loads((tmp_path / "out/run.json").read_text())["reused"] == 1


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("threshold=0.3", "threshold was 0.5, now 0.3"),
        pytest.param(*("tile.size=50", "tile.size was 64, now 50"), marks=pytest.mark.slow),
        pytest.param(
            *("reader.mpp=0.5", "reader.mpp was not set, now 0.5"), marks=pytest.mark.slow
        ),
        pytest.param(
            *("exporter.images.extension=jpg", "exporter.images.extension was png, now jpg"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("mask=none", "mask._target_ was tiler.masks.OtsuMask, now tiler.masks.AllTissue"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_setting_that_shapes_output_redoes_and_reports_the_reason(
    tmp_path: Path, slide: Path, setting: str, words: str
) -> None:
    lines = run(tmp_path, setting)
    assert len(lines) == 2
    assert words in lines[0]
    assert "not set" in words or "not set" not in lines[0], "keys of another class of mask"
    assert run(tmp_path, setting) == []


def test_the_folder_is_never_a_mixture(tmp_path: Path, slide: Path) -> None:
    run(tmp_path, "tile.size=50")
    names = [path.name for path in (tmp_path / f"out/slides/{NAME}/tiles").iterdir()]
    assert names
    assert all("_w50_h50_" in name for name in names)


def test_settings_that_do_not_shape_output_redo_nothing(tmp_path: Path, slide: Path) -> None:
    settings = ["engine=processes", "engine.workers=1", "exporter.images.threads=1", "name=x"]
    limits = [f"reader.{key}=99999999" for key in ("cache_bytes", "max_pixels", "max_tile_bytes")]
    assert run(tmp_path, *settings, *limits) == []


HARMS = {
    "gone": None,
    "empty": lambda whole: b"",
    "cut": lambda whole: whole[:1000],
    "no slide": lambda whole: b"words",
}


@pytest.mark.slow
@pytest.mark.parametrize("settings", [(), ("threshold=0.3",)])
def test_a_slide_that_cannot_be_redone_keeps_its_output(
    several: Path, settings: tuple[str, ...]
) -> None:
    before, paths = tree(several), {name: several / f"{name}.svs" for name in SEVERAL}
    harmed = dict(zip(SEVERAL, HARMS.values(), strict=False))
    whole = paths["s0"].read_bytes()
    for name, harm in harmed.items():
        if harm is None:
            paths[name].unlink()
        else:
            paths[name].write_bytes(harm(whole))
    of = "threshold=0.5" if settings else "these settings"
    for _ in range(2):
        run(several, ALL_OF_THEM, *settings, code=3)
        after, found = tree(several), rows(several)
        for name in harmed:
            assert found[name]["status"] == "failed"
            assert found[name]["reason"].startswith(f"E_OPEN slide={name}: ")
            assert found[name]["reason"].endswith(f"; the finished output of {of} is kept")
            assert found[name]["output"] == "earlier"
            kept, old = (
                {k: v for k, v in files.items() if k.startswith(f"out/slides/{name}/")}
                for files in (after, before)
            )
            assert kept == old
            assert len(kept) > 20
        assert {found[name]["output"] for name in found if name not in harmed} == {"current"}
    assert not list((several / "out").glob(".*stale*"))
    for name in harmed:
        paths[name].write_bytes(whole)
    run(several, ALL_OF_THEM, *settings)
    assert {row["output"] for row in rows(several).values()} == {"current"}


def test_refuse_names_the_setting_and_keeps_everything(tmp_path: Path, slide: Path) -> None:
    before = tree(tmp_path)
    result = tiler(
        "slides=files", f"slides.paths={NAME}.svs", "resolution.value=2", "tile.size=256",
        "exporter=[csv,images]", "out=out", "on_change=refuse", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 5
    assert "tile.size was 64, now 256" in result.stderr
    assert "on_change=redo" in result.stderr
    assert "to be redone" not in result.stderr
    assert tree(tmp_path) == before


def tile(folder: Path) -> Path:
    return sorted((folder / f"out/slides/{NAME}/tiles").iterdir())[3]


def test_a_deleted_file_redoes_the_slide(tmp_path: Path, slide: Path) -> None:
    before = contents(tree(tmp_path))
    path = tile(tmp_path)
    path.unlink()
    lines = run(tmp_path)
    assert f"{path.name} is missing" in lines[0]
    assert contents(tree(tmp_path)) == before


@pytest.mark.slow
def test_a_file_of_another_size_stops_the_slide(tmp_path: Path, slide: Path) -> None:
    before = contents(tree(tmp_path))
    path = tile(tmp_path)
    os.truncate(path, 10)
    run(tmp_path, code=3)
    (row,) = read_csv(tmp_path / "out/slides.csv")
    assert row["reason"].startswith("E_OCCUPIED")
    assert f"{path.name} has 10 bytes, was written with" in row["reason"]
    assert path.stat().st_size == 10
    path.unlink()
    assert f"{path.name} is missing" in run(tmp_path)[0]
    assert contents(tree(tmp_path)) == before


@pytest.mark.slow
def test_only_the_hash_detects_a_flipped_byte(tmp_path: Path, slide: Path) -> None:
    before = contents(tree(tmp_path))
    path = tile(tmp_path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert run(tmp_path) == []
    assert "sha256" in run(tmp_path, "verify=hash")[0]
    assert contents(tree(tmp_path)) == before


def test_verify_none_checks_no_file(tmp_path: Path, slide: Path) -> None:
    tile(tmp_path).unlink()
    assert run(tmp_path, "verify=none") == []


GARBAGE = (b"", b"{", b"null", b'{"slide_id": 1}', b"\xff\xfe", None)


def test_without_a_valid_record_nothing_is_removed(several: Path) -> None:
    whole = contents(tree(several))
    for name, garbage in zip(SEVERAL, GARBAGE, strict=True):
        record = several / f"out/slides/{name}/record.json"
        if garbage is None:
            record.unlink()
        else:
            record.write_bytes(garbage)
    before = tree(several)
    run(several, ALL_OF_THEM, code=3)
    found = rows(several)
    for name, garbage in zip(SEVERAL, GARBAGE, strict=True):
        missing = "is in a folder without record.json"
        words = missing if garbage is None else "record.json is damaged"
        assert words in found[name]["reason"]
        assert "move the folder away" in found[name]["reason"]
    assert tree(several) == before
    (several / "out/slides").rename(several / "away")
    run(several, ALL_OF_THEM)
    assert contents(tree(several)) == whole


def test_a_replaced_slide_is_redone(tmp_path: Path, slide: Path) -> None:
    facts = slide.stat()
    data = bytearray(slide.read_bytes())
    data[-2000] ^= 1  # in the last piece, which the fingerprint covers
    slide.write_bytes(data)
    os.utime(slide, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert "fingerprint differs" in run(tmp_path)[0]


@pytest.mark.slow
def test_a_changed_mask_file_is_noticed(tmp_path: Path, slide: Path) -> None:
    mask = Image.new("1", (222, 297), 1)
    mask.save(tmp_path / f"{NAME}.png")
    arguments = ["mask=file", "mask.path='{slide}.png'"]
    run(tmp_path, *arguments)
    assert run(tmp_path, *arguments) == []
    mask.paste(0, (0, 0, 100, 297))
    mask.save(tmp_path / f"{NAME}.png")
    assert "mask file differs" in run(tmp_path, *arguments)[0]


@pytest.mark.slow
def test_a_missing_mask_file_is_named(tmp_path: Path, slide: Path) -> None:
    mask = tmp_path / f"{NAME}.png"
    Image.new("1", (222, 297), 1).save(mask)
    words = [
        "slides=files",
        f"slides.paths={slide}",
        "mask=file",
        "mask.path='{slide}.png'",
        "out=out",
    ]
    assert tiler(*words, cwd=tmp_path).returncode == 0
    mask.unlink()
    result = tiler(*words, cwd=tmp_path)
    assert result.returncode == 3
    assert "mask file differs" in result.stderr
    (row,) = read_csv(tmp_path / "out/slides.csv")
    assert row["reason"].startswith(f"E_MASK slide={NAME}: the mask {NAME}.png does not exist")


def test_a_wrong_hash_of_the_slide_is_named(tmp_path: Path, slide: Path) -> None:
    (tmp_path / "t.csv").write_text(f"path,expected_sha256\n{NAME}.svs,{'0' * 64}\n")
    result = tiler("slides=table", "slides.table=t.csv", "out=new", cwd=tmp_path)
    assert result.returncode == 3
    (row,) = read_csv(tmp_path / "new/slides.csv")
    assert "sha256" in row["reason"]
    assert not list((tmp_path / "new/slides").iterdir())


def test_the_record_accounts_for_every_tile_and_file(tmp_path: Path, slide: Path) -> None:
    folder = tmp_path / f"out/slides/{NAME}"
    record = json.loads((folder / "record.json").read_text())
    counts = record["counts"]
    assert counts["planned"] == counts["written"] + counts["filtered"] + counts["failed"]
    assert counts["written"] == len(list((folder / "tiles").iterdir()))
    files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert {file["name"] for file in record["files"]} == files - {"record.json"}


def test_events_record_each_step(tmp_path: Path, slide: Path) -> None:
    run(tmp_path, "threshold=0.3")
    lines = (tmp_path / "out/events.jsonl").read_text().splitlines()
    events = [json.loads(line)["event"] for line in lines]
    first, second = events[:3], events[3:]
    assert first == ["started", "slide", "ended"]
    assert second == ["redo", "started", "replaces", "slide", "ended"]


@pytest.mark.parametrize("change", ["touched", "aged", "grown", "gone", "added", "shut"])
def test_a_slides_other_files_are_part_of_it(
    tmp_path: Path, shared_slides: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    for number in range(2):
        shutil.copy2(shared_slides / f"boxes_{number}.dcm", tmp_path)
    (tmp_path / "other_slide.dcm").write_bytes(b"\0" * 128 + b"DICM, but of no series")
    level = tmp_path / "boxes_1.dcm"
    os.utime(level, ns=(0, 10**9))  # older than the file that names the slide
    before, state = fingerprint(tmp_path / "boxes_0.dcm"), file_state(tmp_path / "boxes_0.dcm")
    match change:
        case "touched":
            os.utime(level, ns=(0, before.mtime_ns + 1))
        case "aged":
            os.utime(level, ns=(0, 1))
        case "grown":
            with level.open("ab") as file:
                file.write(b"\0")
            os.utime(level, ns=(0, 0))
        case "gone":
            level.unlink()
        case "added":
            shutil.copy2(level, tmp_path / "boxes_2.dcm")
        case "shut":  # root can read all files
            monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != level)
    assert fingerprint(tmp_path / "boxes_0.dcm") != before
    assert (file_state(tmp_path / "boxes_0.dcm") != state) == (change != "shut")


def test_files_of_other_slides_are_no_part_of_it(tmp_path: Path, shared_slides: Path) -> None:
    names = ("a.mrxs", "a/Slidedat.ini", "a/Data0000.dat", "b.mrxs", "b/Slidedat.ini", "a.vms",
             "a-map.jpg", "b-map.jpg", "a.svs", "a.tiff")  # fmt: skip
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    shutil.copy(shared_slides / "boxes_0.dcm", tmp_path)
    (tmp_path / "c.dcm").touch()
    found = {name: [str(p.relative_to(tmp_path)) for p in companions(tmp_path / name)]
             for name in ("a.mrxs", "a.vms", "boxes_0.dcm", "a.svs")}  # fmt: skip
    assert found == {
        "a.mrxs": ["a/Data0000.dat", "a/Slidedat.ini"],
        "a.vms": ["a-map.jpg"],
        "boxes_0.dcm": [],
        "a.svs": [],
    }
