"""The versions of what shapes the output, and of the folder that configurations come from."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = (
    "tiler",
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
    """The version of Python and of every package that is installed of those that matter."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


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
