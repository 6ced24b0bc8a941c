"""Taking stock: the finished slides of a run's folder, those to do, and files to be replaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tiler.runner.resume import FolderState, find_done
from tiler.runner.work.job import SlideJob, SlideRow

_REASONS = 3
"""Maximum number of reasons in a line; the others are counted."""


@dataclass(frozen=True)
class Policy:
    """Policy for output that is already in the folder.

    Attributes
    ----------
    verify
        The check of finished slides: ``size``, ``hash`` or ``none``.
    on_change
        For slides made with other settings: ``redo`` them, or ``refuse`` the run.
    """

    verify: str = "size"
    on_change: str = "redo"


DEFAULT_POLICY = Policy()


@dataclass(frozen=True)
class Replaced:
    """Tiles and slides of earlier runs that a run replaces.

    Attributes
    ----------
    tiles
        The number of tiles in the output that is replaced.
    slides
        The number of slides with such output.
    reasons
        For each reason the number of slides.
    removed
        For each exporter that this run leaves out, and whose files go, the number of slides.
    """

    tiles: int = 0
    slides: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return one line, such as ``replaces 31 tiles of 4 slides: threshold was 0.5, …``."""
        ranked = sorted(self.reasons.items(), key=lambda item: -item[1])
        shown = ranked[:_REASONS]
        words = [f"{why} ({_count(n, 'slide')})" if ranked[1:] else why for why, n in shown]
        words += [f"{len(ranked) - _REASONS} more reasons"] if ranked[_REASONS:] else []
        gone = f"; also removes the files of {', '.join(self.removed)}, which this run leaves out"
        of = f"{_count(self.tiles, 'tile')} of {_count(self.slides, 'slide')}"
        return f"replaces {of}: {'; '.join(words)}{gone if self.removed else ''}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class Stock:
    """State of a run's folder before the run.

    Attributes
    ----------
    done
        The rows of slides that are done, by slide id.
    left
        The rows of slides that cannot be done and stay as they are.
    todo
        The jobs of the other slides.
    redo
        For slides whose output is replaced, the reason.
    changed
        For slides that were made with other settings, slide and difference.
    replaced
        The output that is replaced, and the reasons.
    earlier
        The slides with finished output of an earlier run.
    """

    done: Mapping[str, SlideRow]
    left: tuple[SlideRow, ...]
    todo: tuple[SlideJob, ...]
    redo: Mapping[str, str]
    changed: tuple[str, ...]
    replaced: Replaced
    earlier: frozenset[str]


def take_stock(jobs: Sequence[SlideJob], out: Path, verify: str) -> Stock:
    """Compare every slide's folder with its job; change nothing.

    Parameters
    ----------
    jobs
        The jobs, one per slide.
    out
        The run's folder.
    verify
        See ``find_done``.
    """
    found = {job.slide_id: find_done(job, out, verify) for job in jobs}
    rows = {name: it.row for name, it in found.items() if it.row is not None}
    redo = {name: it for name, it in found.items() if it.job and it.why}
    return Stock(
        done={name: row for name, row in rows.items() if row.output == "current"},
        left=tuple(row for row in rows.values() if row.output != "current"),
        todo=tuple(it.job for it in found.values() if it.job is not None),
        redo={name: it.why for name, it in redo.items()},
        changed=tuple(f"{name}: {it.why}" for name, it in found.items() if it.settings_changed),
        replaced=_replaced(redo.values()),
        earlier=frozenset(name for name, it in found.items() if it.earlier),
    )


def _replaced(found: Iterable[FolderState]) -> Replaced:
    found = list(found)
    return Replaced(
        tiles=sum(it.tiles for it in found),
        slides=len(found),
        reasons=Counter(it.why for it in found),
        removed=Counter(name for it in found for name in it.removed),
    )
