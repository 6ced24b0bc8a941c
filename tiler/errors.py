"""What can go wrong, said for people: what happened, why, and the way out.

Every error carries the exit code that the command ends with when it is the worst of a run.
"""

from __future__ import annotations

from typing import NamedTuple


class Fix(NamedTuple):
    """The fix of an error, as a configuration spells it and as a Python call does."""

    config: str
    python: str


class TilerError(Exception):
    """Base of all errors that tiler raises on purpose.

    Parameters
    ----------
    *args
        The problem; with the fix where everybody spells that in the same way.
    fix
        The fix, where a configuration and Python spell it differently. ``str`` gives Python's;
        the command prints ``in_config``.
    """

    code = "E_TILER"
    exit_code = 1

    def __init__(self, *args: object, fix: Fix | None = None) -> None:
        super().__init__(*args)
        self.fix = fix

    def __str__(self) -> str:
        return f"{self._problem()}; {self.fix.python}" if self.fix else self._problem()

    def in_config(self) -> str:
        """Return the error with the fix that a configuration needs."""
        return f"{self._problem()}; {self.fix.config}" if self.fix else str(self)

    def _problem(self) -> str:
        return " ".join(str(part) for part in self.args)


class ConfigError(TilerError, ValueError):
    """A setting that makes no sense: nothing has been written yet."""

    code = "E_CONFIG"
    exit_code = 2


class ArgumentError(ConfigError, TypeError):
    """An argument of a Python call that has the wrong type."""


class RegionError(ConfigError, RuntimeError):
    """A region that does not belong to the slide: nothing has been written yet."""


class SlideError(TilerError):
    """One slide cannot be tiled; the run goes on with the others.

    Parameters
    ----------
    slide
        The slide's name.
    what
        What happened, why, and what to do about it, in one sentence.
    fix
        What to do about it, where a configuration and Python spell it differently.
    """

    code = "E_SLIDE"
    exit_code = 3

    def __init__(self, slide: str, what: str, *details: object, fix: Fix | None = None) -> None:
        super().__init__(slide, what, *details, fix=fix)  # all of them in args, so that it pickles
        self.slide = slide
        self.what = what

    def _problem(self) -> str:
        return f"{self.code} slide={self.slide}: {self.what}"


class OpenError(SlideError):
    """The file cannot be opened as a slide."""

    code = "E_OPEN"


class DepthError(OpenError):
    """The file holds pixels that are not 8-bit grey or RGB in one image, or not upright."""

    code = "E_DEPTH"


class ReadError(SlideError):
    """Pixels cannot be read: ``level``, and ``x``, ``y`` in pixels of that level."""

    code = "E_READ"

    def __init__(self, slide: str, what: str, level: int = 0, x: int = 0, y: int = 0) -> None:
        super().__init__(slide, what, level, x, y)
        self.level, self.x, self.y = level, x, y


class LimitError(SlideError):
    """The slide, a tile or a mask is larger than the configuration allows."""

    code = "E_LIMIT"


class ResolutionError(SlideError):
    """The wanted resolution cannot be had from this slide."""

    code = "E_MPP"


class MaskError(SlideError):
    """The tissue mask cannot be made or does not fit the slide."""

    code = "E_MASK"


class ChangedError(SlideError):
    """The slide's file is not the one it should be, or changed while it was read."""

    code = "E_CHANGED"


class OccupiedError(SlideError):
    """The slide's folder has to be replaced, but contains something that tiler did not write."""

    code = "E_OCCUPIED"


class WorkerError(SlideError):
    """The process that worked on the slide died, or did nothing for too long."""

    code = "E_WORKER"


class JobError(TilerError):
    """A job of a sweep died: its own run could not say how it ended."""

    code = "E_WORKER"
    exit_code = 3


class ComponentError(SlideError):
    """A component that a user brings (reader, mask, exporter) failed, or broke its protocol."""

    code = "E_COMPONENT"


class DestinationError(TilerError, RuntimeError):
    """The output cannot be written (disk full, quota, read-only): a run stops."""

    code = "E_DEST"
    exit_code = 4


class LockedError(TilerError):
    """The output folder is in use, or was made with other settings."""

    code = "E_LOCKED"
    exit_code = 5


class EnvironmentRefusedError(TilerError):
    """A library that tiler stands on gives wrong results here, or a worker is unlike the run."""

    code = "E_ENV"
    exit_code = 6
