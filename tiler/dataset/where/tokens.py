"""Tokens of the expressions of ``expression.py``, and errors about such expressions."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

from tiler.errors import ConfigError

_MAX_LENGTH = 10_000

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<quoted>`(?:[^`]|``)+`)
      | (?P<name>[^\W\d]\w*)
      | (?P<mark>[<>=!]=|[<>()\[\],-])
    )""",
    re.VERBOSE,
)


_EXAMPLE = "write comparisons of columns, such as \"label_tumor > 0.5 and slide != 'a'\""

_JOINS = ("and", "or", "not", "in")

_FIXES = {"=": "use ==", "&": "use and", "|": "use or", "!": "use not"} | dict.fromkeys(
    "-./:#%+*@~", "put a name that contains this character in backticks, such as `label_T-1`"
)
"""What to write instead of an operator of another language, by its first character."""


def tokens(text: object) -> list[tuple[str, str]]:
    """Return the kind and the text of each token: ``number``, ``text``, ``quoted``, ….

    Raises
    ------
    ConfigError
        If the expression is no text, is too long, or has something else in it.
    """
    if not isinstance(text, str):
        raise ConfigError(f"where={text!r} is not a text; use one such as 'ratio > 0.8'")
    if len(text) > _MAX_LENGTH:
        raise ConfigError(f"where has {len(text):,} characters; use at most {_MAX_LENGTH:,}")
    found: list[tuple[str, str]] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        token = _TOKEN.match(text, at)
        if token is None:
            raise unexpected(text, text[at:].lstrip()[:10])
        kind = str(token.lastgroup)
        found.append((kind, token[kind]))
        at = token.end()
    return found


def number(token: str) -> int | float:
    """Return a number; whole ones of more than 64 bits as floats."""
    return int(token) if token.isdigit() and len(token) <= 18 else float(token)


def unexpected(text: str, token: str) -> ConfigError:
    """Return the error for a token, or the rest of an expression, that cannot be where it is."""
    word = token.lower()
    fix = f"use {word}" if word in _JOINS and word != token else _FIXES.get(token[:1], _EXAMPLE)
    return invalid(text, f"{token!r} is not expected here", fix)


def invalid(text: str, problem: str, fix: str = _EXAMPLE) -> ConfigError:
    """Return the error for an invalid expression."""
    short = text if len(text) <= 80 else text[:77] + "…"
    return ConfigError(f"where={short!r}: {problem}; {fix}")


def unknown_column(what: str, name: str, known: Collection[str]) -> ConfigError:
    """Return the error for a column that no table has."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    fix = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(sorted(known))}"
    return ConfigError(f"{what}: no table has a column {name!r}; {fix}")
