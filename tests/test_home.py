"""``~`` is a home folder in every key that is a path, with and without quotes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command import a_third_quick, read_csv, tiler
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tracked import COMMON, TILES, picture

from tiler.config.home import at_home, quoted_homes
from tiler.storage.destinations import expanded

SETTINGS = COMMON[2:5]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder with a slide, its mask and a table."""
    folder = tmp_path / "home"
    (folder / "masks").mkdir(parents=True)
    picture(folder)
    mask = np.zeros((64, 96), np.uint8)
    mask[:32] = 255
    Image.fromarray(mask).save(folder / "masks/pic.png")
    (folder / "t.csv").write_text("path,mask.path\npic.png,masks/pic.png\n")
    (folder / "u.csv").write_text("path,mask.path\n~/pic.png,~/masks/{slide}.png\n")
    (tmp_path / "cwd").mkdir()
    return folder


FILES = ["slides=files", "slides.paths={q}~/pic.png{q}", "mask=none"]
MASKED = [*FILES[:2], "mask=file"]
TABLE = ["slides=table", "mask=file"]


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize(
    ("words", "left", "kept"),
    a_third_quick([
        ([*FILES, "out=run"], [], TILES),
        ([*FILES, "out={q}~/run{q}"], ["run"], TILES),
        ([*FILES, "out={q}~/a b/run{q}"], ["a b"], TILES),
        ([*FILES, "cache={q}~/cache{q}", "out=run"], ["cache"], TILES),
        ([*MASKED, "mask.path={q}~/masks/pic.png{q}", "out=run"], [], TILES // 2),
        ([*TABLE, "slides.table={q}~/t.csv{q}", "out=run"], [], TILES // 2),
        ([*TABLE, "slides.table={q}~/u.csv{q}", "out=run"], [], TILES // 2),
        (["slides=files", "slides.paths=[{q}~/pic.png{q}]", "mask=none", "out=run"], [], TILES),
        ([*FILES, "tracker=jsonl", "tracker.path={q}~/t/track.jsonl{q}", "out=run"], ["t"], TILES),
        ([*FILES, "tracker=jsonl", "out={q}~/run{q}"], ["run"], TILES),
        ([*FILES, "dry_run=true", "out={q}~/run{q}"], ["run"], None),
    ]),
    ids=["paths", "out", "blank", "cache", "mask", "table", "cells", "list", "tracker", "jsonl",
         "dry"],
)  # fmt: skip
def test_tilde_is_the_home_folder_in_every_path(
    home: Path, words: list[str], left: list[str], kept: int | None, quote: str
) -> None:
    if " " in "".join(words) and not quote:
        pytest.skip("Hydra takes blanks in quotes alone")
    cwd, before = home.parent / "cwd", set(home.iterdir())
    given = [word.format(q=quote) for word in words]
    done = tiler(*given, *SETTINGS, cwd=cwd, env={"HOME": str(home)})
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in set(home.iterdir()) - before) == left
    out = home / given[-1][4:].strip("\"'").removeprefix("~/")
    if given[-1] == "out=run":
        out = cwd / "run"
    assert {path.name for path in cwd.iterdir()} <= {"run"}, "no folder called ~"
    if kept is not None:
        (row,) = read_csv(out / "slides.csv")
        assert int(row["kept"]) == kept
        run = (out / "run.json").read_text()
        assert str(home) not in run, "nothing that the user did not write"
        assert json.loads(run)["config"]["out"] == given[-1][4:].strip("\"'")


@pytest.mark.slow
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_sweep_expands_the_home_folder(home: Path, quote: str) -> None:
    cwd = home.parent / "cwd"
    words = [word.format(q=quote) for word in [*FILES, "out={q}~/sweep{q}"]]
    done = tiler("-m", *words, *SETTINGS, "threshold=0,1", "tracker=jsonl", cwd=cwd,
                 env={"HOME": str(home)})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(cwd.iterdir()) == []
    assert {path.name for path in (home / "sweep").iterdir()} >= {
        "threshold=0", "threshold=1", "sweep.csv", "sweep.json", "tracking.jsonl", ".cache",
    }  # fmt: skip
    assert len(read_csv(home / "sweep/sweep.csv")) == 2


@pytest.mark.slow
def test_an_old_run_in_the_home_folder_is_run_again(home: Path) -> None:
    cwd, env = home.parent / "cwd", {"HOME": str(home)}
    words = [word.format(q="") for word in FILES]
    assert tiler(*words, *SETTINGS, "out=~/run", cwd=cwd, env=env).returncode == 0
    for again in (["--rerun=~/run"], ["--rerun", f"{home}/run", "out=~/run"]):
        done = tiler(*again, cwd=cwd, env=env)
        assert done.returncode == 0, done.stderr
        assert "1 of 1 slides are done already" in done.stderr
    assert list(cwd.iterdir()) == []


def test_a_folder_called_tilde_is_named_relative_to_the_working_folder(home: Path) -> None:
    cwd = home.parent / "cwd"
    (cwd / "~").mkdir()
    for name in ("pic.png", "t.csv"):
        (home / name).rename(cwd / "~" / name)
    (home / "masks").rename(cwd / "~/masks")
    words = [*TABLE, "slides.table='./~/t.csv'", "out='./~/run'", *SETTINGS]
    done = tiler("-m", *words, "threshold=0,1", cwd=cwd, env={"HOME": str(home)})
    assert done.returncode == 0, done.stderr
    assert [path.name for path in home.iterdir()] == ["u.csv"]
    assert len(read_csv(cwd / "~/run/sweep.csv")) == 2


def test_tilde_is_the_home_folder_in_the_uri_of_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert at_home({"uri": "sqlite:///~/x/m.db", "more": ["~/a", 3, None, "a~", "x/~"]}) == {
        "uri": "sqlite:////home/me/x/m.db", "more": ["/home/me/a", 3, None, "a~", "x/~"],
    }  # fmt: skip
    for text in ("https://host/~me/db", "sqlite:///m.db", "sqlite:////a/~/m.db", "./~/a", "~no/a"):
        assert at_home(text) == text
    assert expanded("./~/a") == "./~/a"


@given(st.lists(st.sampled_from([*"~/a.,=[]{}:'\" \\-", "~/x", "key=", "a=~/b"]), max_size=12))
def test_quotes_do_not_change_the_values_that_hydra_reads(parts: list[str]) -> None:
    word = "".join(parts)
    (quoted,) = quoted_homes([word])
    try:
        (before,) = OverridesParser.create().parse_overrides([word])
    except Exception:  # text that Hydra refuses may become a path
        return
    (after,) = OverridesParser.create().parse_overrides([quoted])
    assert after.value() == before.value()
    assert after.get_key_element() == before.get_key_element()


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("out=~/a", "~/a"),
        ("slides.paths=[~/a/*.svs,b.svs, ~/c.svs]", ["~/a/*.svs", "b.svs", "~/c.svs"]),
        ("out=~", "~"),
        ("+exporter.x={path:~/a,n:1}", {"path": "~/a", "n": 1}),
        ("out='~/it\\'s'", "~/it's"),
        ("out='a,~/b'", "a,~/b"),
    ],
)
def test_values_that_begin_with_tilde_need_no_quotes(word: str, value: object) -> None:
    (override,) = OverridesParser.create().parse_overrides(quoted_homes([word]))
    assert override.value() == value


def test_a_sweep_of_paths_with_tilde_needs_no_quotes() -> None:
    (override,) = OverridesParser.create().parse_overrides(quoted_homes(["a=~/b,c,~/d"]))
    assert list(override.sweep_string_iterator()) == ["'~/b'", "c", "'~/d'"]


def test_other_overrides_stay_unchanged() -> None:
    words = ["~mask", "~exporter.csv=1", "a=b~c", "-m", "--config-dir=x", "--rerun", "x~"]
    assert quoted_homes(words) == words


@pytest.mark.parametrize("key", ["out", "cache", "tracker.path"])
def test_a_home_of_an_unknown_user_is_refused_where_tiler_writes(key: str, tmp_path: Path) -> None:
    picture(tmp_path)
    tracker = ["tracker=jsonl"] if key == "tracker.path" else []
    words = ["slides=files", "slides.paths=pic.png", *SETTINGS, *tracker]
    out = [] if key == "out" else ["out=run"]
    done = tiler(*words, *out, f"{key}=~no_such_user/x.jsonl", cwd=tmp_path)
    assert done.returncode == 2
    assert f"{key}=~no_such_user/x.jsonl: there is no user 'no_such_user'" in done.stderr
    assert f"write {key}=./~no_such_user/x.jsonl" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["pic.png"]
