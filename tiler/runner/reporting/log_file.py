"""``run.log``: the log of all runs in a folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tiler.errors import DestinationError
from tiler.files import append_line
from tiler.storage.destinations import check_writable

NAME = "run.log"


class _AppendingHandler(logging.Handler):
    """Appends each record to a file, as a line of its own."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")
        )
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        """Append a record. A full disk loses it; the next output file stops the run."""
        try:
            line = self.format(record).encode(errors="backslashreplace")
            append_line(self._path, line, durable=False)
        except DestinationError:
            return


@contextmanager
def log_kept(out: Path) -> Iterator[None]:
    """Append what tiler and its components log to ``run.log`` while the context is open.

    Raises
    ------
    DestinationError
        If ``run.log`` is a link, a folder, a FIFO or a device.
    """
    check_writable(out / NAME)
    handler, logger = _AppendingHandler(out / NAME), logging.getLogger()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
