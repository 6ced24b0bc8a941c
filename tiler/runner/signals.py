"""Ctrl-C and SIGTERM as exceptions, the second one without ceremony."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """The run was told to stop; ``exit_code`` is 130 (SIGINT) or 143 (SIGTERM)."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into ``Interrupted``; a second one ends the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def first(number: int, frame: FrameType | None) -> None:
        for name in before:
            signal.signal(name, second)
        raise Interrupted(128 + number)

    def second(number: int, frame: FrameType | None) -> None:
        os._exit(128 + number)

    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    for name in before:
        signal.signal(name, first)
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def leave_at_once() -> None:
    """Have Ctrl-C end the process: what comes before a run may swallow a KeyboardInterrupt."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def leave_in_order() -> None:
    """Have Ctrl-C raise a KeyboardInterrupt again: from here on there is something to tell."""
    ours = signal.getsignal(signal.SIGINT) is _leave
    if ours and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"interrupted before it began\n")
    os._exit(130)
