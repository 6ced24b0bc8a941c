"""The versions of what shapes the output, and of the folder that configurations come from."""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

import tiler

_PACKAGES = (
    "numpy",
    "openslide-python",
    "openslide-bin",
    "opencv-python-headless",
    "pillow",
    "tifffile",
    "imagecodecs",
    "simplejpeg",
    "isal",
    "hydra-core",
)


@cache
def versions() -> dict[str, str]:
    """The version of Python and of every package that is installed of those that matter.

    Read off the names of the packages' ``.dist-info`` folders (PEP 427): importlib.metadata takes
    as long to load as a slide's coordinates take to find.
    """
    found: dict[str, str] = {}
    for folder in sys.path:
        for path in Path(folder).glob("*.dist-info"):
            package, _, version = path.stem.rpartition("-")
            found.setdefault(package.replace("_", "-").lower(), version)
    known = {name: found[name] for name in _PACKAGES if name in found}
    return {"python": platform.python_version(), "tiler": tiler.__version__, **known}


def git_state() -> dict[str, object] | None:
    """The commit of the repository that the command was given in, and whether it was changed.

    None where there is no repository, or no git.
    """

    def said(*words: str) -> str:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return {"commit": said("rev-parse", "HEAD"), "changed": bool(said("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None
