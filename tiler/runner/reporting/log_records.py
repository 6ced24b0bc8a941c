"""Log records of any library without secrets and control characters."""

from __future__ import annotations

import logging
from collections.abc import Callable

from tiler.storage.safe_text import shown

_FORMATTER = logging.Formatter()


def clean_log_records() -> None:
    """Remove secrets and control characters from all later log records of this process.

    Names of slides, columns and classes come from strangers: in a log they must not move the
    cursor, set a terminal's title or begin a line.
    """
    made = logging.getLogRecordFactory()
    if not isinstance(made, _Cleaned):
        logging.setLogRecordFactory(_Cleaned(made))


class _Cleaned:
    """A factory of log records that cleans what another one makes."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: object, **more: object) -> logging.LogRecord:
        record = self._make(*args, **more)
        try:
            text = record.getMessage()
        except Exception:  # the message does not fit its arguments: logging reports it
            return record
        record.msg, record.args = _in_one_entry(text), None
        if record.exc_info and record.exc_info[0]:
            record.exc_text = _in_one_entry(_FORMATTER.formatException(record.exc_info))
        return record


def _in_one_entry(text: str) -> str:
    """Return a text with further lines indented, so that none looks like an entry of its own."""
    return shown(text).replace("\n", "\n  ")
