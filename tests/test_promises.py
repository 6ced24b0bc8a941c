"""Every test that docs/reliability.md and docs/security.md name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"
PAGES = ("reliability.md", "security.md")
SOURCES = {path.name: path.read_text(encoding="utf-8") for path in TESTS.glob("test_*.py")}
NAMES = {
    name: set(re.findall(r"^ *(?:async )?def (test_\w+)|^class (Test\w+)", text, re.MULTILINE))
    for name, text in SOURCES.items()
}
FUNCTIONS = {name: {a or b for a, b in found} for name, found in NAMES.items()}


def missing(text: str) -> list[str]:
    """Return what a page names as a test, in code marks, that does not exist.

    ``test_a.py`` is a file, ``test_a.py::test_b`` a test in it, ``test_b`` one in any file; a name
    that ends in ``…`` is the beginning of one or more.
    """
    absent = []
    for name in re.findall(r"`((?:test_\w+\.py(?:::)?)?(?:[Tt]est_?\w*…?(?:\w*…)?)?)`", text):
        file, _, test = name.rpartition("::") if "::" in name else ("", "", name)
        if test.endswith(".py"):
            there = test in SOURCES
        else:
            known = FUNCTIONS.get(file, set()) if file else set().union(*FUNCTIONS.values())
            begins, cut, _ = test.partition("…")
            there = any(one.startswith(begins) if cut else one == test for one in known)
        if name and not there:
            absent.append(name)
    return absent


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_exists(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert len(re.findall(r"`test_\w+", text)) > 5
    assert missing(text) == []


def test_a_name_without_a_test_is_found() -> None:
    text = "`test_promises.py`, `test_promises.py::test_a_name_without_a_test_is_found`, `test_x…`"
    assert missing(text) == ["test_x…"]
    text = "`test_gone.py`, `test_promises.py::test_gone`, `test_every_test_that…`, `test_gone`"
    assert missing(text) == ["test_gone.py", "test_promises.py::test_gone", "test_gone"]
