"""Tests that docs/reliability.md and docs/security.md name exist; each promise has a quick one.

Tests with the mark ``slow`` are not run by ``make test``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"
PAGES = ("reliability.md", "security.md")
ALWAYS_SLOW = ("Memory and open files do not grow with the number of slides",)
"""Promises whose tests need hundreds of slides."""


@cache
def quick_tests() -> dict[str, dict[str, bool]]:
    """Return the tests and classes of each file; False for those with the mark ``slow``."""
    return {path.name: dict(found_in(path)) for path in TESTS.glob("test_*.py")}


def found_in(path: Path) -> Iterator[tuple[str, bool]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name.lower()[:4] == "test":
            marks = map(ast.unparse, node.decorator_list)
            yield node.name, "pytest.mark.slow" not in marks


def named(text: str) -> Iterator[tuple[str, list[bool]]]:
    """Yield what a page names as tests, in code marks, with one bool for each test: is it quick?

    ``test_a.py`` is a file, ``test_a.py::test_b`` a test in it, ``test_b`` one in any file; a name
    that ends in ``…`` is the beginning of one or more.
    """
    for name in re.findall(r"`((?:test_\w+\.py(?:::)?)?(?:[Tt]est_?\w*…?(?:\w*…)?)?)`", text):
        file, _, test = name.rpartition("::") if "::" in name else ("", "", name)
        if test.endswith(".py"):
            file, test = test, "test_…"
        begins, cut, _ = test.partition("…")
        files = [quick_tests().get(file, {})] if file else quick_tests().values()
        found = [
            quick
            for tests in files
            for one, quick in tests.items()
            if (one.startswith(begins) if cut else one == test)
        ]
        if name:
            yield name, found


def missing(text: str) -> list[str]:
    """Return what a page names as a test that does not exist."""
    return [name for name, found in named(text) if not found]


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


@pytest.mark.parametrize("page", PAGES)
def test_every_promise_has_a_quick_test(page: str) -> None:
    rows = [line for line in (DOCS / page).read_text(encoding="utf-8").splitlines()
            if line.startswith("|") and "`test_" in line]  # fmt: skip
    assert len(rows) > 5
    slow = [row.split("|")[1].strip() for row in rows
            if not any(quick for _, found in named(row) for quick in found)]  # fmt: skip
    assert set(slow) <= set(ALWAYS_SLOW)


def test_a_promise_with_only_slow_tests_is_found() -> None:
    ((_, found),) = named("`test_crash.py::test_f13_killed_at_each_call…`")
    assert found == [False]
