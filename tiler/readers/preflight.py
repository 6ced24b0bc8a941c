"""The check of a slide's file before any reader opens it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tiler.errors import OpenError


def look(path: Path, name: str) -> None:
    """Check that a file exists, is not empty and is readable.

    Raises
    ------
    OpenError
        If the file is missing, a loop of links, a folder, empty, or not permitted; each reason
        has its own text.
    """
    try:
        facts = path.stat()
    except FileNotFoundError:
        link = path.is_symlink()
        what = "its link points to nothing" if link else "there is no such file or folder"
        raise OpenError(name, f"{path.name}: {what}; check the path") from None
    except OSError as error:
        raise OpenError(name, f"{path.name}: {error.strerror}; check the path") from error
    if stat.S_ISDIR(facts.st_mode):
        raise OpenError(name, f"{path.name} is a folder; give the slide's file inside it")
    if not stat.S_ISREG(facts.st_mode):
        raise OpenError(name, f"{path.name} is not a regular file; give the slide's file")
    if facts.st_size == 0:
        raise OpenError(name, f"{path.name}: the file is empty (0 bytes); copy it again")
    if not os.access(path, os.R_OK):
        raise OpenError(name, f"{path.name}: permission denied; make it readable for this user")
