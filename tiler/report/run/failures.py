"""Slides of a run grouped by the reason of their status, most frequent reason first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SHOWN = 200
"""Slides that a page lists below one reason; the table has the others."""

_TITLES = {
    "E_COMPONENT": "A component of your own raised an error",
    "E_OPEN": "The file cannot be opened as a slide",
    "E_DEPTH": "The file has pixels that tiler does not read",
    "E_READ": "Pixels of the slide are damaged or unreadable",
    "E_LIMIT": "The slide is larger than a limit",
    "E_MPP": "The requested resolution is not available",
    "E_MASK": "The mask is missing or does not fit the slide",
    "E_LABEL": "The annotation for labels cannot be used",
    "E_TRANSFORM": "A transform cannot be fitted to the slide",
    "E_CHANGED": "The slide's file changed",
    "E_OCCUPIED": "Files of others are in the way of the output",
    "E_WORKER": "The process that worked on the slide died",
    "E_SLIDE": "Another problem of the slide",
    "E_DEST": "The destination cannot be written",
    "E_ENV": "A library or the machine does not work as it must",
}
_CODE = re.compile(r"(E_[A-Z]+)(?: slide=.*?)?: ")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Line:
    """One slide of a group.

    Attributes
    ----------
    n
        The slide's number in ``slides.csv``, from 0.
    slide_id
        Its name in outputs.
    text
        Its own reason, where the reasons of the group differ; else empty.
    """

    n: int
    slide_id: str
    text: str


@dataclass(frozen=True)
class Group:
    """Slides whose reasons differ at most in names and numbers.

    Attributes
    ----------
    code
        The error code, or empty.
    title
        The kind of problem in words.
    text
        The reason that all slides share; empty if each line has its own.
    count
        The number of slides.
    lines
        The first ``SHOWN`` of them.
    """

    code: str
    title: str
    text: str
    count: int
    lines: tuple[Line, ...]


def grouped(rows: Iterable[tuple[int, Mapping[str, object]]]) -> list[Group]:
    """Group slides by the reason of their status.

    Parameters
    ----------
    rows
        The number of each slide, and its row of ``slides.csv`` (``slide_id`` and ``reason``).
    """
    found: dict[tuple[str, str], list[Line]] = {}
    for n, row in rows:
        slide_id, reason = str(row["slide_id"]), str(row.get("reason") or "")
        code, text = split_reason(reason, slide_id)
        found.setdefault((code, _shape(text, slide_id)), []).append(Line(n, slide_id, text))
    groups = [_group(*key, lines) for key, lines in found.items()]
    return sorted(groups, key=lambda group: -group.count)


def split_reason(reason: str, slide_id: str) -> tuple[str, str]:
    """Return the code of a reason, or "", and its text without code and slide.

    Parameters
    ----------
    reason
        The column ``reason`` of ``slides.csv``.
    slide_id
        The slide that it belongs to.
    """
    begun = _CODE.match(reason)
    if begun is None:
        return "", reason
    code = begun[1]
    own = f"{code} slide={slide_id}: "  # the id may contain a colon itself
    return code, reason.removeprefix(own) if reason.startswith(own) else reason[begun.end() :]


def _shape(text: str, slide_id: str) -> str:
    """Return a text without the slide's name and without numbers."""
    name = rf"(?<!\w){re.escape(slide_id)}(?!\w)"  # whole: "small" is not in "smaller"
    return _NUMBER.sub("…", re.sub(name, "…", text) if slide_id else text)


def _group(code: str, shape: str, lines: list[Line]) -> Group:
    texts = {line.text for line in lines}
    shared = lines[0].text if len(texts) == 1 else ""
    shown = [Line(line.n, line.slide_id, "" if shared else line.text) for line in lines[:SHOWN]]
    if code:
        return Group(code, _TITLES.get(code, "Another problem"), shared, len(lines), tuple(shown))
    title = shared or shape or "no reason given"
    return Group("", title[0].upper() + title[1:], "", len(lines), tuple(shown))
