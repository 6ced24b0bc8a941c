"""Errors that tiler raises on purpose, and the exit codes of its commands."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple


class ExitCode(IntEnum):
    """Exit codes of a command."""

    DONE = 0
    BUG = 1
    CONFIG = 2
    SLIDE_FAILED = 3
    DESTINATION = 4
    FOLDER_IN_USE = 5
    ENVIRONMENT = 6
    DIFFERENT = 7
    HANGUP = 129
    INTERRUPTED = 130
    TERMINATED = 143


STOPPED = (ExitCode.HANGUP, ExitCode.INTERRUPTED, ExitCode.TERMINATED)
"""Exit codes of a command that a signal ended."""

_WORST_FIRST = (
    *STOPPED,
    ExitCode.BUG,
    ExitCode.DESTINATION,
    ExitCode.ENVIRONMENT,
    ExitCode.FOLDER_IN_USE,
    ExitCode.CONFIG,
    ExitCode.SLIDE_FAILED,
)


def worst(codes: Iterable[int]) -> int:
    """Return the most severe of some exit codes, ``DONE`` for none.

    A command that was stopped is incomplete, whatever else happened. Codes that are not tiler's
    own, such as those of a launcher, are less severe than its own.
    """
    present = set(codes)
    return next((code for code in _WORST_FIRST if code in present), max(present, default=0))


class Fix(NamedTuple):
    """The fix of an error, for a configuration and for a Python call."""

    config: str
    python: str


class TilerError(Exception):
    """Base of all errors that tiler raises on purpose.

    Parameters
    ----------
    *args
        The problem; with the fix if configurations and Python share it.
    fix
        The fix, if a configuration and Python need different ones. ``str`` contains Python's; the
        command prints ``in_config``.
    """

    code = "E_TILER"
    exit_code = ExitCode.BUG

    def __init__(self, *args: object, fix: Fix | None = None) -> None:
        super().__init__(*args)
        self.fix = fix

    def __str__(self) -> str:
        return f"{self._problem()}; {self.fix.python}" if self.fix else self._problem()

    def in_config(self) -> str:
        """Return the error with the fix for a configuration."""
        return f"{self._problem()}; {self.fix.config}" if self.fix else str(self)

    def _problem(self) -> str:
        return " ".join(map(str, self.args))


class _RunError(TilerError):
    """An error that stops a run. Its text begins with its code."""

    def _problem(self) -> str:
        return f"{self.code}: {super()._problem()}"


class ConfigError(TilerError, ValueError):
    """An invalid setting: nothing has been written yet."""

    code = "E_CONFIG"
    exit_code = ExitCode.CONFIG


class ArgumentError(ConfigError, TypeError):
    """An argument of a Python call that has the wrong type."""


class RegionError(ConfigError, RuntimeError):
    """A region that does not belong to the slide: nothing has been written yet."""


class SlideError(TilerError):
    """A slide cannot be tiled; the run continues with the others.

    Parameters
    ----------
    slide
        The slide's name.
    what
        The problem with its cause and its fix, in one sentence.
    fix
        The fix, if a configuration and Python need different ones.
    """

    code = "E_SLIDE"
    exit_code = ExitCode.SLIDE_FAILED

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
    """The file contains pixels that are not 8-bit grey or RGB in one image, or not upright."""

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
    """The requested resolution is not available for this slide."""

    code = "E_MPP"


class MaskError(SlideError):
    """The tissue mask cannot be computed or does not fit the slide."""

    code = "E_MASK"


class LabelError(SlideError):
    """The labels of the slide's tiles cannot be computed."""

    code = "E_LABEL"


class TransformError(SlideError):
    """A transform cannot be fitted to the slide."""

    code = "E_TRANSFORM"


class ChangedError(SlideError):
    """The slide's file is not the expected one, or changed while it was read."""

    code = "E_CHANGED"


class OccupiedError(SlideError):
    """The slide's folder has to be replaced, but contains something that tiler did not write."""

    code = "E_OCCUPIED"


class WorkerError(SlideError):
    """The process that worked on the slide died, or did nothing for too long."""

    code = "E_WORKER"


class JobError(TilerError):
    """A job of a sweep died before its run recorded how it ended."""

    code = "E_WORKER"
    exit_code = ExitCode.SLIDE_FAILED


class ComponentError(SlideError):
    """A component of the user's (reader, mask, exporter) failed, or broke its protocol."""

    code = "E_COMPONENT"


class UnforeseenError(SlideError):
    """An error that is a bug in tiler; its last detail is the traceback."""

    code = "E_BUG"
    exit_code = ExitCode.BUG


class DestinationError(_RunError, RuntimeError):
    """The output cannot be written (disk full, quota, read-only): a run stops."""

    code = "E_DEST"
    exit_code = ExitCode.DESTINATION


class LockedError(_RunError):
    """Another run uses the output folder."""

    code = "E_LOCKED"
    exit_code = ExitCode.FOLDER_IN_USE


class OtherSettingsError(LockedError):
    """The output folder was made with other settings, and ``on_change`` is ``refuse``."""

    code = "E_CONFIG"


class EnvironmentRefusedError(_RunError):
    """A library returns wrong results, a worker differs, or the machine can tile no slide."""

    code = "E_ENV"
    exit_code = ExitCode.ENVIRONMENT
