"""The versions of what shapes the output."""

from __future__ import annotations

import platform
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
