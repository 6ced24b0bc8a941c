"""Expressions on the columns of a table: parsed here, never evaluated as Python."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.dataset.where.tokens import invalid, number, tokens, unexpected
from tiler.errors import ConfigError

Columns = Mapping[str, npt.NDArray[Any]]
_Mask = npt.NDArray[np.bool_]
_Value = bool | int | float | str

_MAX_DEPTH = 50
"""Maximum nesting, so that a long expression cannot exhaust the stack."""

_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_WORDS = ("and", "or", "not", "in", "True", "False")


@dataclass(frozen=True)
class _Column:
    """A column that an expression names."""

    name: str


_Operand = _Column | _Value
_Node = Callable[[Columns], _Mask]


@dataclass(frozen=True)
class Where:
    """A parsed expression.

    Attributes
    ----------
    text
        The expression as it was given.
    names
        The columns that it names, in order.
    """

    text: str
    names: tuple[str, ...]
    _node: _Node

    def __call__(self, columns: Columns) -> _Mask:
        """Return which rows fulfil the expression, for columns that contain all ``names``.

        Raises
        ------
        ConfigError
            If a text is compared with a number.
        """
        return np.asarray(self._node(columns), bool)


def parse(text: str) -> Where:
    """Parse an expression.

    Raises
    ------
    ConfigError
        If it is invalid; the error names the place.
    """
    parser = _Parser(text)
    node = parser.whole()
    return Where(text, tuple(dict.fromkeys(parser.names)), node)


class _Parser:
    """A parser by recursive descent; each method reads one rule of the grammar."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: list[str] = []
        self._tokens = tokens(text)
        self._at = 0
        self._depth = 0

    def whole(self) -> _Node:
        """Read the whole expression."""
        node = self._either()
        if self._at < len(self._tokens):
            raise unexpected(self.text, self._tokens[self._at][1])
        return node

    def _either(self) -> _Node:
        found = [self._both()]
        while self._take("or"):
            found.append(self._both())
        return found[0] if len(found) == 1 else _joined(np.logical_or, found)

    def _both(self) -> _Node:
        found = [self._negated()]
        while self._take("and"):
            found.append(self._negated())
        return found[0] if len(found) == 1 else _joined(np.logical_and, found)

    def _negated(self) -> _Node:
        if not self._take("not"):
            return self._condition()
        inner = self._deeper(self._negated)
        return lambda columns: ~inner(columns)

    def _condition(self) -> _Node:
        if self._take("("):
            inner = self._deeper(self._either)
            self._expect(")")
            return inner
        first = self._operand()
        if (negated := self._take("not")) or self._peek() == "in":
            self._expect("in")
            return self._membership(first, negated=negated)
        steps: list[_Node] = []
        left = first
        while (mark := self._peek()) in _COMPARISONS:
            self._at += 1
            right = self._operand()
            steps.append(self._comparison(mark, left, right))
            left = right
        if steps:
            return steps[0] if len(steps) == 1 else _joined(np.logical_and, steps)
        return self._alone(first)

    def _alone(self, operand: _Operand) -> _Node:
        if not isinstance(operand, _Column):
            raise self._error(f"{operand!r} is not a comparison")

        def node(columns: Columns) -> _Mask:
            values = columns[operand.name]
            if values.dtype != bool:
                raise self._error(f"column {operand.name!r} is not a comparison")
            return values

        return node

    def _membership(self, operand: _Operand, *, negated: bool) -> _Node:
        close = {"(": ")", "[": "]"}.get(self._peek())
        if close is None:
            raise self._error("'in' needs a list, such as ['a', 'b']")
        self._at += 1
        values: list[_Value] = []
        while not self._take(close):
            value = self._operand()
            if isinstance(value, _Column):
                raise self._error(f"the list after 'in' has the column {value.name!r}")
            values.append(value)
            if self._peek() != close:
                self._expect(",")
        options = [self._comparison("==", operand, value) for value in values]

        def node(columns: Columns) -> _Mask:
            size = len(next(iter(columns.values()), ()))
            found = np.zeros(size, bool)
            for option in options:
                found |= option(columns)
            return ~found if negated else found

        return node

    def _comparison(self, mark: str, left: _Operand, right: _Operand) -> _Node:
        compare = _COMPARISONS[mark]
        if not isinstance(left, _Column) and not isinstance(right, _Column):
            raise self._error(f"{left!r} {mark} {right!r} names no column")

        def node(columns: Columns) -> _Mask:
            sides = [columns[one.name] if isinstance(one, _Column) else one
                     for one in (left, right)]  # fmt: skip
            if _is_text(sides[0]) != _is_text(sides[1]):
                raise self._error(f"{_shown(left)} {mark} {_shown(right)} compares text and number")
            return np.asarray(compare(*sides), bool)

        return node

    def _operand(self) -> _Operand:
        if self._take("-"):
            kind, token = self._next()
            if kind != "number":
                raise self._error(f"- before {token!r}, which is not a number")
            return -number(token)
        kind, token = self._next()
        if kind == "number":
            return number(token)
        if kind == "text":
            return re.sub(r"\\(.)", r"\1", token[1:-1])
        if token in ("True", "False"):
            return token == "True"
        if kind not in ("name", "quoted") or token in _WORDS:
            raise unexpected(self.text, token)
        name = token if kind == "name" else token[1:-1].replace("``", "`")
        self.names.append(name)
        return _Column(name)

    def _peek(self) -> str:
        kind, token = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        return token if kind in ("mark", "name") else ""

    def _take(self, token: str) -> bool:
        self._at += (taken := self._peek() == token)
        return taken

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise self._error(f"{token!r} is missing")

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise self._error("it ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _deeper(self, rule: Callable[[], _Node]) -> _Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error("it is nested too deeply")
        found = rule()
        self._depth -= 1
        return found

    def _error(self, problem: str) -> ConfigError:
        return invalid(self.text, problem)


def _joined(join: Any, nodes: list[_Node]) -> _Node:
    return lambda columns: reduce(join, (node(columns) for node in nodes))


def _is_text(side: Any) -> bool:
    return isinstance(side, str) or (isinstance(side, np.ndarray) and side.dtype.kind in "OUT")


def _shown(operand: _Operand) -> str:
    return operand.name if isinstance(operand, _Column) else repr(operand)
