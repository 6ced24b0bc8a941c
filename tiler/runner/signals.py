"""Signals that end a run, as exceptions; the second one ends the process."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from tiler.errors import ExitCode

log = logging.getLogger("tiler")

_LAUNCHERS = getattr(signal, "SIGUSR2", None)
"""Submitit's signal to a job that is nearly out of time, or is preempted."""

_noted: list[int] = []
"""Deferred signals, and those of the launcher; ``pass_on`` gives the latter to the launcher."""


class Interrupted(BaseException):
    """A signal ended the run; ``exit_code`` is that of the command."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


def raise_interruption(error: BaseException) -> None:
    """Raise the interruption that an error hides, because code failed while it was handled.

    Raises
    ------
    Interrupted, KeyboardInterrupt
        If the error was raised while one of them was handled.
    """
    seen: set[BaseException] = {error}  # causes may form a circle
    hidden = error.__cause__ or error.__context__
    while hidden is not None and hidden not in seen:
        if isinstance(hidden, (Interrupted, KeyboardInterrupt)):
            raise hidden
        seen.add(hidden)
        hidden = hidden.__cause__ or hidden.__context__


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn the first signal that ends a run into ``Interrupted``; a second one ends the process.

    The launcher's signal counts if the launcher handles it; see ``pass_on``. One that was deferred
    counts at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def first(number: int, frame: FrameType | None) -> None:
        for name in before:
            signal.signal(name, second)
        if number == _LAUNCHERS:
            _noted.append(number)
        raise Interrupted(ExitCode.TERMINATED if number == _LAUNCHERS else 128 + number)

    def second(number: int, frame: FrameType | None) -> None:
        if number == _LAUNCHERS:
            _noted.append(number)
        elif _LAUNCHERS not in _noted or number != signal.SIGTERM:  # Slurm sends both
            os._exit(128 + number)

    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    hangup = getattr(signal, "SIGHUP", None)
    if hangup and signal.getsignal(hangup) != signal.SIG_IGN:  # nohup ignores it
        before[hangup] = signal.getsignal(hangup)
    if _LAUNCHERS and callable(handler := signal.getsignal(_LAUNCHERS)):
        before[_LAUNCHERS] = handler
    for name in before:
        signal.signal(name, first)
    try:
        if _noted:
            raise Interrupted(ExitCode.TERMINATED)
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


@contextmanager
def complete() -> Iterator[None]:
    """Complete a step, such as the start of a process, before a signal that ends the run counts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    met: list[int] = []
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in numbers}
    before = {number: handler for number, handler in handlers.items() if callable(handler)}
    try:
        for number in before:
            signal.signal(number, lambda number, frame: met.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in met:
        signal.raise_signal(number)


@contextmanager
def launcher_deferred() -> Iterator[None]:
    """Defer the launcher's signal and SIGTERM until a run can end in order, or has ended.

    The launcher's handler raises an exception, which other code may take for an error of its own.
    Submitit ignores SIGTERM: a job that is cancelled as it starts would run until it is killed.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not _LAUNCHERS or not in_main or not callable(handler := signal.getsignal(_LAUNCHERS)):
        yield
        return

    def defer(number: int, frame: FrameType | None) -> None:
        _noted.append(number)

    _noted.clear()
    before = {_LAUNCHERS: handler, signal.SIGTERM: signal.getsignal(signal.SIGTERM)}
    for number in before:
        signal.signal(number, defer)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def pass_on() -> bool:
    """Raise the launcher's signal again, after the run that it ended has written its tables.

    The launcher's handler queues the job again and exits, or gives it up by an exception that it
    logs. By then ``run.json`` has the status ``interrupted``.

    Returns
    -------
    bool
        Whether there was such a signal.

    Raises
    ------
    SystemExit
        If the job is queued again. Slurm then ends all processes of the job, sometimes also the
        handler's ``scontrol requeue`` before it has reported its success.
    """
    launchers = [number for number in _noted if number == _LAUNCHERS]
    _noted.clear()
    if not launchers:
        return False
    import subprocess

    with suppress(Exception):
        try:
            signal.raise_signal(launchers[0])
        except subprocess.CalledProcessError as error:
            if error.returncode < 0:
                sys.exit(ExitCode.TERMINATED)
            log.warning("The job is not queued again: %s", error)
    return True


def leave_at_once() -> None:
    """Let Ctrl-C end the process: code before a run may swallow a KeyboardInterrupt."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def leave_in_order() -> None:
    """Let Ctrl-C raise a KeyboardInterrupt again: from here on there are tables to write."""
    ours = signal.getsignal(signal.SIGINT) is _leave
    if ours and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"interrupted before the run began\n")
    os._exit(ExitCode.INTERRUPTED)
