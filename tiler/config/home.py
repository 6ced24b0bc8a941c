"""Expansion of ``~`` to a home folder in every value that is a path."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tiler.storage.destinations import expanded

_URL = ":///"

_QUOTED = r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\""""
_HOMES = re.compile(rf"(?P<quoted>{_QUOTED})|(?<=[=,\[{{(:\s])(?P<home>~[^\s,'\"()\[\]{{}}]*)")


def at_home(value: Any) -> Any:
    """Return plain values with ``~`` expanded at the start of texts, and of paths in URLs.

    Only paths begin with ``~``. Write ``./~`` for a folder with the name ``~``.
    """
    if isinstance(value, str):
        scheme, found, path = value.partition(_URL)
        return f"{scheme}{_URL}{expanded(path)}" if found else expanded(value)
    if isinstance(value, Mapping):
        return {key: at_home(item) for key, item in value.items()}
    if isinstance(value, list):
        return [at_home(item) for item in value]
    return value


def quoted_homes(words: Sequence[str]) -> list[str]:
    """Return a command's arguments with quotes around values that begin with ``~``.

    Hydra needs these quotes, and the shell does not expand ``out=~/tiles``. In flags, such as
    ``--config-dir=~/mine``, ``~`` is expanded.
    """
    return [_of_a_flag(word) if word[:1] == "-" else _HOMES.sub(_quoted, word) for word in words]


def _of_a_flag(word: str) -> str:
    name, found, value = word.partition("=")
    return f"{name}{found}{expanded(value)}"


def _quoted(found: re.Match[str]) -> str:
    return found["quoted"] or f"'{found['home']}'"
