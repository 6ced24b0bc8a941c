"""Expressions on columns: their grammar, against Python's own, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiler.dataset.where.expression import parse
from tiler.errors import ConfigError

COLUMNS = {
    "ratio": np.array([0.0, 0.25, 0.5, 1.0, np.nan]),
    "row": np.array([3, -1, 0, 7, 2]),
    "label": np.array(["tumor", "stroma", "", "it's", "tumor"], object),
    "odd": np.array([True, False, True, True, False]),
    "label_T-1": np.array([0.1, 0.2, 0.3, 0.4, 0.5]),
}
NUMBERS = st.sampled_from(["0", "1", "0.25", "-1", "5e-1", ".5", "7."])
NUMERIC = st.sampled_from(["ratio", "row"])
MARKS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
TEXTS = st.sampled_from(["'tumor'", '"it\'s"', "''", r"'it\'s'"])

CONDITIONS = st.one_of(
    st.tuples(NUMERIC, MARKS, NUMBERS | NUMERIC).map(" ".join),
    st.tuples(NUMBERS, MARKS, NUMERIC, MARKS, NUMBERS).map(" ".join),
    st.tuples(st.just("label"), MARKS, TEXTS).map(" ".join),
    st.tuples(st.just("label"), st.sampled_from(["in", "not in"]), st.lists(TEXTS, max_size=3)).map(
        lambda found: f"{found[0]} {found[1]} [{', '.join(found[2])}]"
    ),
    st.just("odd"),
)
EXPRESSIONS = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join),
        inner.map("not {}".format),
        inner.map("({})".format),
    ),
    max_leaves=6,
)


@given(text=EXPRESSIONS)
def test_an_expression_means_what_python_means(text: str) -> None:
    cells = zip(*(column.tolist() for column in COLUMNS.values()), strict=True)
    rows = [dict(zip(COLUMNS, values, strict=True)) for values in cells]
    expected = [bool(eval(text, {"__builtins__": {}}, row)) for row in rows]
    assert parse(text)(COLUMNS).tolist() == expected


def test_a_column_with_any_name_is_quoted() -> None:
    found = parse("`label_T-1` > 0.25 and ratio<1")
    assert found.names == ("label_T-1", "ratio")
    assert found(COLUMNS).tolist() == [False, False, True, False, False]
    for name in ("a`b", "``", "`", "a ` `b"):
        found = parse("`" + name.replace("`", "``") + "` > 0 and `ratio` > 0")
        assert found.names == (name, "ratio")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "ends too early"),
        ("ratio >", "ends too early"),
        ("ratio", "column 'ratio' is not a comparison"),
        ("3", "3 is not a comparison"),
        ("1 < 2", "names no column"),
        ("ratio > 'a'", "compares text and number"),
        ("label == 3", "compares text and number"),
        ("ratio > 1 ratio", "'ratio' is not expected"),
        ("(ratio > 1", r"'\)' is missing"),
        ("row in 3", "needs a list"),
        ("row in [ratio]", "has the column 'ratio'"),
        ("row - 1 > 3", "is not expected"),
        ("__import__('os').system('x')", "is not expected"),
        ("row.real > 1", "is not expected"),
        ("row > (lambda: 1)()", "is not expected"),
        ("[x for x in row]", "is not expected"),
        ("label == f'{row}'", "is not expected"),
        ("ratio = 1", "use =="),
        ("odd && odd", "use and"),
        ("odd | odd", "use or"),
        ("odd and !odd", "use not"),
        ("odd AND odd", "use and"),
        ("ratio Not in [1]", "use not"),
        ("label_T-1 > 0", "in backticks"),
        ("label_a/b > 0", "in backticks"),
        ("(" * 60 + "odd" + ")" * 60, "nested too deeply"),
        ("not " * 60 + "odd", "nested too deeply"),
        ("odd or " * 3000 + "odd", "characters"),
        (3, "is not a text"),
    ],
)
def test_everything_else_is_refused(text: Any, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        parse(text)(COLUMNS)


def test_long_numbers_and_chains_are_no_problem() -> None:
    assert not parse("row > " + "9" * 5000)(COLUMNS).any()
    assert parse(" or ".join(["odd"] * 1000))(COLUMNS).tolist() == COLUMNS["odd"].tolist()


@given(text=st.text(alphabet="ratiowdlbe_ 01.'\"()[]<>=!-,&|`\\\n", max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        found = parse(text)
        assert found({**COLUMNS, **dict.fromkeys(found.names, COLUMNS["ratio"])}).dtype == bool
    except ConfigError:
        pass
