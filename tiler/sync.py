"""Flushing what was written to the disk."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

from tiler.files import destination_error, sync_one


def sync_tree(folder: Path) -> None:
    """Flush everything below a folder to the disk: in one call where the system has one.

    ``syncfs`` (Linux) flushes the folder's file system; a sync per file would cost more than
    writing them.
    """
    if not sys.platform.startswith("linux"):
        for path in folder.rglob("*"):
            if path.is_file():
                sync_one(path, os.O_RDWR)
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            if _libc().syncfs(handle) != 0:
                import ctypes

                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))
        finally:
            os.close(handle)
    except OSError as error:
        raise destination_error(error, folder) from error


@cache
def _libc() -> Any:
    import ctypes

    return ctypes.CDLL(None, use_errno=True)
