"""Exit codes and error codes: one order of severity, and no decision by the text of an error."""

from __future__ import annotations

import ast
import re
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiler
from tiler import errors
from tiler.errors import STOPPED, ExitCode, TilerError, worst
from tiler.runner.reporting.tables import COLUMNS
from tiler.runner.work.job import SlideRow

CODES = st.sampled_from(list(ExitCode))
DOCUMENTED = (1, 4, 6, 5, 2, 3, 0)
PACKAGE = Path(tiler.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
RUN_ERRORS = (
    errors.DestinationError,
    errors.EnvironmentRefusedError,
    errors.LockedError,
    errors.OtherSettingsError,
)


@given(st.lists(CODES))
def test_the_worst_code_is_one_of_them_in_any_order(codes: list[ExitCode]) -> None:
    assert worst(codes) == worst(reversed(codes)) == worst([worst(codes), *codes])
    assert worst(codes) in codes or not codes
    assert (worst(codes) == ExitCode.DONE) == (not any(codes))
    if stopped := [code for code in codes if code in STOPPED]:
        assert worst(codes) in stopped
    elif ExitCode.DIFFERENT not in codes:  # only of tiler-compare
        assert worst(codes) == next((code for code in DOCUMENTED if code in codes), 0)


def test_the_codes_of_signals_stop_a_sweep() -> None:
    assert {128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)} == {*STOPPED}


def test_foreign_exit_codes_are_less_severe() -> None:
    assert worst([17, 3]) == 3
    assert worst([17, 0]) == 17


@pytest.mark.parametrize("kind", RUN_ERRORS)
def test_an_error_that_stops_a_run_begins_with_its_code(kind: type[TilerError]) -> None:
    error = kind("out is full", fix=errors.Fix("make room", "choose another"))
    assert str(error) == f"{kind.code}: out is full; choose another"
    assert error.in_config() == f"{kind.code}: out is full; make room"


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [("failed", "E_BUG", 1), ("failed", "E_READ", 3), ("failed", "", 3), ("done_empty", "", 0)],
)
def test_a_slides_code_decides_the_exit_code_and_not_its_reason(
    status: str, code: str, exit_code: int
) -> None:
    row = SlideRow("a", status, "E_BUG is only a word here", code=code)
    assert row.exit_code == exit_code
    assert "code" not in [column.name for column in COLUMNS]


@pytest.mark.slow
def test_no_module_decides_by_the_code_in_a_text() -> None:
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "startswith":
                words = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
                found += [path.name for word in words if re.match("E_[A-Z]", str(word))]
    assert found == []


def test_only_lists_of_problems_have_codes_in_their_texts() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and re.match("E_[A-Z]+: ", str(node.value))
    }
    others = {place for place in found if not place.startswith("config/")}
    assert others <= {"checks/targets.py"}  # a line for each component
