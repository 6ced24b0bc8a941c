"""Special files under a file's name: links, devices, FIFOs, folders and huge files."""

from __future__ import annotations

import os
import socket
from pathlib import Path

KINDS = ("fifo", "link", "device", "folder", "large")


def plant(path: Path, kind: str) -> None:
    """Put a special file in place of ``path``.

    Parameters
    ----------
    path
        A regular file that is there moves to ``NAME.other`` beside it.
    kind
        One of ``KINDS``, or ``socket``. A link leads to ``NAME.other``, which may not exist. The
        device reads as endless zeros, and a write to it fails as on a full disk.
    """
    other = path.with_name(f"{path.name}.other")
    if path.exists():
        path.rename(other)
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "link":
            path.symlink_to(other.name)
        case "device":
            path.symlink_to("/dev/full")
        case "folder":
            path.mkdir()
        case "large":
            path.touch()
            os.truncate(path, 1 << 40)
        case "socket":
            before = Path.cwd()
            os.chdir(path.parent)  # the path of a socket has at most 107 bytes
            try:
                with socket.socket(socket.AF_UNIX) as server:
                    server.bind(path.name)
            finally:
                os.chdir(before)
        case _:
            raise ValueError(kind)
