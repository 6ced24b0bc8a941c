"""Finding slides, reading tables of them, and naming them."""

from __future__ import annotations

import errno
import glob
import logging
import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlparse

import pytest
from command import read_csv, tiler
from conftest import SLIDES
from hypothesis import given
from hypothesis import strategies as st

from tiler.errors import ConfigError
from tiler.protocols import SlideEntry
from tiler.runner.identity import assign_ids, safe_name
from tiler.slides import find_slides, read_table
from tiler.slides.search import matches


def made(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def found(*paths: str) -> list[str]:
    return [entry.path.name for entry in find_slides(list(paths))]


def test_a_folder_is_searched_with_its_subfolders_for_slides_only(tmp_path: Path) -> None:
    made(tmp_path, "b.svs", "a/c.NDPI", "a/notes.txt", "thumb.png", "d.tiff", "._b.svs", ".x/e.svs")
    assert sorted(found(str(tmp_path))) == ["b.svs", "c.NDPI", "d.tiff"]
    assert found(str(tmp_path / "._b.svs"), str(tmp_path / ".x")) == ["._b.svs", "e.svs"]


def test_tiles_of_an_earlier_run_are_no_slides(tmp_path: Path) -> None:
    made(tmp_path, "b.svs", "out/slides/b/tiles/b_x0.tiff", "out/sweep/job/slides/b/b.tif")
    made(tmp_path, "slides/c/c.svs", "slides/d/d.svs", "mine/slide/e.svs")
    for name in ("out/slides/b", "out/sweep/job/slides/b", "mine/slide"):
        (tmp_path / name / "record.json").write_text('{"slide_id": "b", "row": {}}')
    (tmp_path / "slides/d/record.json").write_text('{"taken": "today"}')
    assert sorted(found(str(tmp_path))) == ["b.svs", "c.svs", "d.svs", "e.svs"]


def test_files_are_taken_unchanged_and_once(tmp_path: Path) -> None:
    made(tmp_path, "b.svs", "thumb.png")
    one, other = str(tmp_path / "thumb.png"), str(tmp_path / "missing.svs")
    assert found(one, other, one) == ["thumb.png", "missing.svs"]


def test_globs_and_names_with_glob_characters(tmp_path: Path) -> None:
    made(tmp_path, "s1.svs", "s2.svs", "x/s3.svs", "s[1].svs")
    assert found(f"{tmp_path}/s?.svs") == ["s1.svs", "s2.svs"]
    assert sorted(found(f"{tmp_path}/**/s?.svs")) == ["s1.svs", "s2.svs", "s3.svs"]
    assert found(f"{tmp_path}/s[1].svs") == ["s[1].svs"]


@pytest.mark.parametrize("pattern", ["*.svs", "."])
def test_nothing_found_names_the_pattern(
    tmp_path: Path, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no slide found") as caught:
        find_slides(pattern)
    assert pattern in str(caught.value)


TREE_NAMES = st.sampled_from(["a", "b", "c.svs", "d.tif", "e.txt", "f.1", ".g"])
TREE_PATHS = st.lists(TREE_NAMES, min_size=1, max_size=4).map(lambda parts: "/".join(parts))


def planted(folder: Path, files: list[str], links: dict[str, str] | None = None) -> Path:
    """Create files and links in a folder; skip those whose place is taken."""
    for name in files:
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        except OSError:
            continue
    for name, target in (links or {}).items():
        path = folder / name
        if path.parent.is_dir() and not os.path.lexists(path):
            path.symlink_to(folder / target)
    return folder


def reachable(folder: str, seen: set[str]) -> set[str]:
    """Return the real paths of all files in a folder, its subfolders, and linked folders."""
    real = os.path.realpath(folder)
    if real in seen:
        return set()
    seen.add(real)
    files: set[str] = set()
    for entry in os.scandir(real):
        if entry.is_dir():
            if not entry.name.startswith("."):
                files |= reachable(entry.path, seen)
        elif entry.is_file() and entry.name.endswith((".svs", ".tif")):
            files.add(os.path.realpath(entry.path))
    return files


@given(
    st.lists(TREE_PATHS, max_size=8),
    st.dictionaries(TREE_PATHS, TREE_PATHS | st.sampled_from([".", "..", "a"]), max_size=6),
)
def test_links_to_folders_are_followed_and_each_file_is_found_once(
    files: list[str], links: dict[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "root")
        planted(folder, ["z.svs", "../beside/y.svs", *files], links)
        links_that_work = {n: t for n, t in links.items() if (folder / n).exists()}
        for link in set(links) - set(links_that_work):
            if (folder / link).is_symlink():
                (folder / link).unlink()
        entries = find_slides(str(folder))
        real = [os.path.realpath(entry.path) for entry in entries]
        assert len(set(real)) == len(real)
        assert set(real) == reachable(str(folder), set())
        assert [entry.path for entry in entries] == sorted(entry.path for entry in entries)
        # Files that need no links are found by their own names.
        for entry in entries:
            if os.path.realpath(entry.path).startswith(f"{os.path.realpath(folder)}{os.sep}"):
                own = Path(os.path.realpath(entry.path)).relative_to(os.path.realpath(folder))
                hidden = any(part.startswith(".") for part in own.parts[:-1])
                if own.suffix in (".svs", ".tif") and not hidden:
                    assert entry.path == folder / own


@given(
    st.lists(TREE_PATHS, max_size=8),
    st.lists(st.sampled_from(["*", "**", "?", "a", "[!a]*", "*.*", ".*", "c.svs"]), max_size=4),
)
def test_a_glob_finds_what_the_standard_library_finds(files: list[str], parts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = planted(Path(name), ["z.svs", *files])
        pattern = f"{glob.escape(name)}/{'/'.join([*parts, '*.svs'])}"
        expected = {path for path in glob.glob(pattern, recursive=True) if Path(path).is_file()}
        found = {
            os.path.normpath(hit.path)
            for hit in matches(folder, [*parts, "*.svs"])
            if hit.path.is_file()
        }
        assert found == {os.path.normpath(path) for path in expected}


def test_a_links_own_name_counts_and_loops_end(tmp_path: Path) -> None:
    made(tmp_path, "store/a/one.svs", "store/b/two.svs", "cohort/three.svs")
    cohort = tmp_path / "cohort"
    for name, target in {
        "a": "../store/a",
        "renamed.svs": "../store/b/two.svs",
        "up": "..",
    }.items():
        (cohort / name).symlink_to(target)
    assert sorted(found(str(cohort))) == ["one.svs", "renamed.svs", "three.svs"]
    assert sorted(found(f"{cohort}/**/*.svs")) == ["one.svs", "renamed.svs", "three.svs"]
    assert found(f"{cohort}/a*/*.svs", f"{tmp_path}/store") == ["one.svs", "two.svs"]
    assert found(str(cohort / "a"), str(tmp_path / "store/a/one.svs")) == ["one.svs"]


def test_many_links_to_one_another_are_searched_once(tmp_path: Path) -> None:
    folders = [tmp_path / f"f{n}" for n in range(12)]
    for folder in folders:
        folder.mkdir()
        (folder / f"{folder.name}.svs").touch()
        for other in folders:
            (folder / f"to-{other.name}").symlink_to(other)  # 12! ways to walk
    assert len(found(str(tmp_path))) == len(found(f"{tmp_path}/**/*.svs")) == 12


def test_a_folder_that_a_glob_finds_is_searched(tmp_path: Path) -> None:
    made(tmp_path, "batch1/a.svs", "batch1/a.xml", "batch2/x/b.tiff", "other/c.svs")
    assert found(f"{tmp_path}/batch*") == ["a.svs", "b.tiff"]
    assert found(f"{tmp_path}/batch*/**") == ["a.svs", "b.tiff"]


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that cannot be listed, also for root."""
    made(tmp_path, "in/a.svs", "in/locked/b.svs", "in/sub/locked/c.svs")
    real = os.scandir

    def scandir(path: str | os.PathLike[str]) -> object:
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return tmp_path / "in"


@pytest.mark.parametrize("below", ["", "/*", "/**/*.svs", "/**"])
def test_a_folder_that_cannot_be_listed_is_named(locked: Path, below: str) -> None:
    entries = find_slides([f"{locked}{below}"])
    problems = {str(entry.path.relative_to(locked)): entry.problem for entry in entries}
    assert set(problems) == {"a.svs", "locked", "sub/locked"}
    assert problems["a.svs"] == ""
    for name in ("locked", "sub/locked"):
        assert problems[name] == f"{locked / name} cannot be read: Permission denied"
    ids = assign_ids(entries)
    assert ids[0] == "a"
    assert len(set(ids)) == 3
    with pytest.raises(ConfigError, match=r"slides\.strict=true: .*sub/locked.*Permission denied"):
        find_slides([f"{locked}{below}"], strict=True)


def test_an_unreadable_folder_changes_no_slide_id(locked: Path) -> None:
    made(locked, "locked.svs", "sub/locked.tiff.svs")
    names = dict(zip((e.path.name for e in find_slides(str(locked))),
                     assign_ids(find_slides(str(locked))), strict=False))  # fmt: skip
    assert names["locked.svs"] == "locked"


@pytest.mark.parametrize("what", ["loop", "gone"])
def test_a_broken_link_is_named(tmp_path: Path, what: str) -> None:
    made(tmp_path, "in/a.svs")
    (tmp_path / "in/batch.2").symlink_to("batch.2" if what == "loop" else "/nowhere/batch")
    (tmp_path / "in/notes.txt").symlink_to("/nowhere/notes.txt")  # a file, by its type
    for pattern in (str(tmp_path / "in"), f"{tmp_path}/in/*/**/*.svs"):
        problems = {entry.path.name: entry.problem for entry in find_slides([pattern, pattern])}
        assert "batch.2 cannot be read: " in problems["batch.2"]
        assert "notes.txt" not in problems


@pytest.mark.parametrize("name", ["x" * 300, "loop/a.svs", "loop", "a.svs/b.svs", "gone.svs"])
def test_an_entry_that_cannot_be_examined_is_a_row(tmp_path: Path, name: str) -> None:
    shutil.copy(SLIDES / "boxes.tiff", tmp_path / "good.tiff")
    made(tmp_path, "a.svs")
    (tmp_path / "loop").symlink_to("loop")
    words = ["slides=files", "resolution=level", "tile.size=16", "mask=none", "out=out"]
    done = tiler(f"slides.paths=['{name}',good.tiff]", *words, cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    bad, good = read_csv(tmp_path / "out/slides.csv")
    assert (bad["status"], good["status"]) == ("failed", "done")
    assert bad["reason"].startswith("E_OPEN")
    assert Path(name).name[:100] in bad["reason"]
    strict = tiler(f"slides.paths=['{name}',good.tiff]", "slides.strict=true", *words, cwd=tmp_path)
    assert strict.returncode == 2
    assert name[:50] in strict.stderr


def test_an_unreadable_path_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(SLIDES / "boxes.tiff", tmp_path / "in/good.tiff")
    (tmp_path / "in/share").symlink_to("/nowhere/share")
    words = ["slides=files", "slides.paths=in", "resolution=level", "tile.size=16", "mask=none"]
    done = tiler(*words, "out=out", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    good, bad = read_csv(tmp_path / "out/slides.csv")
    assert (good["slide_id"], good["status"], bad["status"]) == ("good", "done", "failed")
    assert "in/share cannot be read: No such file or directory" in bad["reason"]
    strict = tiler(*words, "slides.strict=true", "out=strict", cwd=tmp_path)
    assert strict.returncode == 2
    assert "in/share cannot be read" in strict.stderr
    assert not (tmp_path / "strict").exists()


def test_a_strict_table_names_what_is_missing(tmp_path: Path) -> None:
    made(tmp_path, "a.svs")
    table = written(tmp_path, "path\na.svs\ngone.svs\n")
    assert len(read_table(table)) == 2
    with pytest.raises(ConfigError, match=r"slides\.strict=true: gone\.svs: No such file"):
        read_table(table, strict=True)


@pytest.mark.parametrize(
    "suffix",
    [".svs", ".avs", ".dcm", ".ndpi", ".vms", ".vmu", ".tif", ".scn", ".mrxs", ".tiff", ".svslide",
     ".bif", ".czi", ".qptiff", ".btf", ".tf2", ".tf8", ".ome.tif", ".ome.btf", ".ptif", ".QPTIFF"],
)  # fmt: skip
def test_all_types_of_slides_are_found_in_a_folder(tmp_path: Path, suffix: str) -> None:
    made(tmp_path, f"a{suffix}", "a.txt")
    assert found(str(tmp_path)) == [f"a{suffix}"]


def test_skipped_files_are_counted_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made(tmp_path, "a.svs", *(f"x{n}.XML" for n in range(9)), "1.jpg", "2.jpg", "sub/3.jpg")
    made(tmp_path, "._a.svs", ".DS_Store", "slide.mrxs", "slide/Slidedat.ini", "slide/Data1.dat")
    made(tmp_path, "h.vms", "h(1,1).jpg", "h_map2.jpg")
    with caplog.at_level(logging.INFO, "tiler"):
        assert found(str(tmp_path), str(tmp_path / "1.jpg")) == [
            "a.svs",
            "h.vms",
            "slide.mrxs",
            "1.jpg",
        ]
    assert [record.getMessage() for record in caplog.records] == [
        "11 files skipped: 9 .xml, 2 .jpg"
    ]
    caplog.clear()
    made(tmp_path, "README", "1.2.3", *(f"f.t{n}" for n in range(20)))
    with caplog.at_level(logging.INFO, "tiler"):
        found(str(tmp_path))
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("34 files skipped: 9 .xml, 3 .jpg, 2 without a type, 1 .t0, ")
    assert line.endswith(", 17 of other types")


def test_the_path_is_reported_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, "in/a.svs", "in/sub/b.svs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for pattern, names in {
        "in": ["in/a.svs", "in/sub/b.svs"],
        "./in/": ["in/a.svs", "in/sub/b.svs"],
        "in/**/b.svs": ["in/sub/b.svs"],
        "~/in": ["~/in/a.svs", "~/in/sub/b.svs"],
        "~/in/*.svs": ["~/in/a.svs"],
        f"{tmp_path}/in/a.svs": [f"{tmp_path}/in/a.svs"],
    }.items():
        entries = find_slides(pattern)
        assert [(entry.given, entry.base) for entry in entries] == [(name, ".") for name in names]
        assert all(entry.path.is_file() for entry in entries)
    for table, base in {"in/t.csv": "in", "~/in/t.csv": "~/in", "./in/t.csv": "in"}.items():
        (tmp_path / "in/t.csv").write_text(
            "path,_who,threshold,_ note\na.svs,me,,\n~/in/a.svs,,1,x\n"
        )
        entries = read_table(table)
        assert [(entry.given, entry.base) for entry in entries] == [
            ("a.svs", base), ("~/in/a.svs", base),
        ]  # fmt: skip
        assert all(entry.path.is_file() for entry in entries)
        assert [entry.columns for entry in entries] == [
            {"_who": "me", "_ note": ""}, {"_who": "", "_ note": "x"},
        ]  # fmt: skip


def test_a_path_with_a_nul_is_refused() -> None:
    with pytest.raises(ConfigError, match="NUL"):
        find_slides(["a.svs", "b\0.svs"])


def written(folder: Path, text: str, encoding: str = "utf-8") -> str:
    path = folder / "slides.csv"
    path.write_bytes(text.encode(encoding))
    return str(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_reads_the_same_with_mark_and_line_ends(
    tmp_path: Path, encoding: str, end: str
) -> None:
    text = end.join(["path,slide_id,threshold,_note", 'a.svs,,0.3,"x,y"', "", "sub/b.svs,B,,", ""])
    entries = read_table(written(tmp_path, text, encoding))
    assert entries == [
        SlideEntry(tmp_path / "a.svs", None, None, {"threshold": "0.3"}),
        SlideEntry(tmp_path / "sub/b.svs", "B", None, {}),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,slide_id\na.svs,A\n", ["path"]),
        ("path,path\na.svs,b.svs\n", ["twice"]),
        ("path,threshold\na.svs\n", ["line 2", "1 cells"]),
        ("path,threshold\n\n,0.3\n", ["line 3", "no path"]),
        ("path\na.svs\nb.svs\na.svs\n", ["line 4", "line 2"]),
        ("path\n", ["no slide"]),
        ("", ["path"]),
        ('path\n"a.svs\n', ["line 2"]),
    ],
)
def test_a_bad_table_names_its_lines(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read_table(written(tmp_path, text))
    for word in [*words, "slides.csv"]:
        assert word in str(caught.value)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.csv: there is no such file; check the path$"):
        read_table(str(tmp_path / "nowhere.csv"))
    with pytest.raises(ConfigError, match=r": this is a folder; give a CSV file, or use slides=f"):
        read_table(str(tmp_path))
    (tmp_path / "latin.csv").write_bytes(b"path\n\xe9.svs\n")
    with pytest.raises(ConfigError, match=r"latin\.csv: byte 5 is not UTF-8; save it as CSV in "):
        read_table(str(tmp_path / "latin.csv"))


def ids(*paths: str) -> list[str]:
    return assign_ids([SlideEntry(Path(path)) for path in paths])


def test_an_id_is_the_stem() -> None:
    assert ids("a/S1.svs", "b/S2.svs") == ["S1", "S2"]


@pytest.mark.parametrize(
    ("one", "other"),
    [("a/S1.svs", "b/S1.svs"), ("S1.svs", "S1.tiff"), ("S1.svs", "s1.svs"),
     ("caf\u00e9.svs", "cafe\u0301.svs")],
)  # fmt: skip
def test_clashing_stems_all_get_a_hash(one: str, other: str) -> None:
    first, second, third = ids(one, other, "T.svs")
    assert first.casefold() != second.casefold()
    assert "-" in first
    assert "-" in second
    assert third == "T"
    assert ids(other, one, "T.svs") == [second, first, third]  # whatever the order


def test_given_ids_must_be_unique_and_safe() -> None:
    with pytest.raises(ConfigError, match="more than one"):
        assign_ids([SlideEntry(Path("a"), "X"), SlideEntry(Path("b"), "x")])
    with pytest.raises(ConfigError, match="not safe"):
        assign_ids([SlideEntry(Path("a"), "../x")])


@given(st.lists(st.text(min_size=1).filter(lambda s: "/" not in s and "\0" not in s), min_size=1))
def test_ids_are_safe_and_never_clash(names: list[str]) -> None:
    entries = [SlideEntry(Path(str(i), name + ".svs")) for i, name in enumerate(names)]
    made_ids = assign_ids(entries)
    assert len({name.casefold() for name in made_ids}) == len(names)
    for name in made_ids:
        assert len(name.encode()) <= 120
        assert name[0] not in "=+-@."
        assert name[-1] not in ". "
        assert not set(name) & set("/\\:*?\"<>|\0\n\t'${}%")
        assert urlparse(f"s/{name}/{name}-0.tar").path == f"s/{name}/{name}-0.tar"  # webdataset's


@pytest.mark.parametrize("stem", ["CON", "#1", "nul", "com1", "=cmd", "-x", ".", "a\nb", "x" * 255])
def test_awkward_stems_are_changed(stem: str) -> None:
    assert safe_name(stem) != stem


@pytest.mark.parametrize("stem", ["test3-DAPI-2-(387)", "a b", "caf\u00e9", "TCGA-CR-7395_01.A"])
def test_ordinary_stems_stay(stem: str) -> None:
    assert safe_name(stem) == stem
