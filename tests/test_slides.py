"""Finding slides, reading tables of them, and naming them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiler.errors import ConfigError
from tiler.protocols import SlideEntry
from tiler.runner.identity import assign_ids, safe_name
from tiler.slides import find_slides, read_table


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


def test_files_are_taken_as_they_are_and_once(tmp_path: Path) -> None:
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
    with pytest.raises(ConfigError, match=r"nowhere\.csv"):
        read_table(str(tmp_path / "nowhere.csv"))


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


@pytest.mark.parametrize("stem", ["CON", "nul", "com1", "=cmd", "-x", ".", "a\nb", "x" * 255])
def test_awkward_stems_are_changed(stem: str) -> None:
    assert safe_name(stem) != stem


@pytest.mark.parametrize("stem", ["test3-DAPI-2-(387)", "a b", "caf\u00e9", "TCGA-CR-7395_01.A"])
def test_ordinary_stems_stay(stem: str) -> None:
    assert safe_name(stem) == stem
