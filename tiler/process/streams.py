"""Standard streams that may be closed, full, or a pipe that nobody reads any more."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from tiler.errors import DestinationError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def open_streams() -> None:
    """Make standard output and error safe to write to, however the command was started.

    A closed stream (``>&-``) becomes the null device: else the next file that is opened would take
    its number, and get the output of libraries. So does a pipe whose reader has ended
    (``| head -1``), so that the command ends with its own exit code.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            _to_null(number, mode)
    if sys.stdout is None or sys.stdout is sys.__stdout__:  # a test's own stays
        sys.stdout = _stream(1)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _stream(2)


def end_streams(code: int) -> int:
    """Flush standard output, and return the exit code of the command: 4 if that failed.

    Parameters
    ----------
    code
        The exit code that the command would end with.
    """
    with suppress(OSError):
        sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Stream) and raw.error is not None:
        what = f"cannot write to standard output ({raw.error.strerror})"
        error = DestinationError(f"{what}; redirect it to another file")
        print(error, file=sys.stderr)
        return code or error.exit_code
    return code


def _stream(number: int) -> io.TextIOWrapper:
    """Return a text stream of a file descriptor; names that are not text are escaped."""
    raw = _Stream(number, "w", closefd=False)
    buffer = io.BufferedWriter(raw)
    at_once = number == 2 or raw.isatty()
    return io.TextIOWrapper(buffer, errors="backslashreplace", line_buffering=at_once)


class _Stream(io.FileIO):
    """A file that becomes the null device when nothing more can be written to it.

    Attributes
    ----------
    error
        The error that stopped it; None for a pipe without a reader, which is no error.
    """

    error: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        """Write some bytes."""
        try:
            return super().write(data)
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self.error = error
            _to_null(self.fileno(), os.O_WRONLY)
            return memoryview(data).nbytes


def _to_null(number: int, mode: int) -> None:
    opened = os.open(os.devnull, mode)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
    os.set_inheritable(number, True)
