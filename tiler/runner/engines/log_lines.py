"""Log lines of work on a slide: they name the slide, and those of workers reach the run's log."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

_OURS = "tiler"
_SENT = ("name", "levelno", "levelname", "created", "msecs")


@contextmanager
def slide_named(slide_id: str) -> Iterator[None]:
    """Make the lines that this process logs name a slide while the context is open."""
    names, handlers = _NamesSlide(slide_id), list(logging.getLogger().handlers)
    for handler in handlers:
        handler.addFilter(names)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(names)


def log_levels() -> dict[str, int]:
    """Return the lowest levels that this process logs, by loggers: its workers log the same."""
    return {name: logging.getLogger(name).getEffectiveLevel() for name in ("", _OURS)}


@contextmanager
def sent(
    slide_id: str, levels: Mapping[str, int], send: Callable[[logging.LogRecord], None]
) -> Iterator[None]:
    """Send the log records of this worker about a slide to the run, instead of printing them.

    Parameters
    ----------
    slide_id
        The slide that the lines name.
    levels
        The lowest levels that the run logs, by loggers.
    send
        Sends a record that can be pickled.
    """
    root, handler = logging.getLogger(), _Sender(send)
    handlers = list(root.handlers)
    before = {name: logging.getLogger(name).level for name in levels}
    for other in handlers:  # a component's: the run would print its lines again
        root.removeHandler(other)
    root.addHandler(handler)
    _set(levels)
    try:
        with slide_named(slide_id):
            yield
    finally:
        root.removeHandler(handler)
        _set(before)
        for other in handlers:
            root.addHandler(other)


def _set(levels: Mapping[str, int]) -> None:
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def log_again(record: logging.LogRecord) -> None:
    """Log a record of a worker in this process."""
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


class _NamesSlide(logging.Filter):
    """Puts a slide's name before lines that lack it.

    Other threads of tiler may log lines about other slides at the same time.
    """

    def __init__(self, slide_id: str) -> None:
        super().__init__()
        self._name, self._thread = f"slide={slide_id}", threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass every record."""
        of_slide = record.name != _OURS or record.thread == self._thread
        text = record.getMessage()
        if of_slide and self._name not in text:
            record.msg, record.args = f"{self._name} {text}", None
        return True


class _Sender(logging.Handler):
    """Sends records with their text alone: arguments and tracebacks may not survive pickling."""

    def __init__(self, send: Callable[[logging.LogRecord], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record."""
        facts = {name: getattr(record, name) for name in _SENT}
        self._send(logging.makeLogRecord({**facts, "msg": self.format(record)}))
