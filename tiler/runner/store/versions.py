"""The versions of packages that shape the output, and of the user's git repository."""

from __future__ import annotations

from functools import cache

import tiler

_PACKAGES = (
    "numpy",
    "openslide-python",
    "openslide-bin",
    "opencv-python-headless",
    "pillow",
    "shapely",
    "tifffile",
    "imagecodecs",
    "simplejpeg",
    "isal",
    "onnxruntime",
    "hydra-core",
)


@cache
def versions() -> dict[str, str]:
    """Return the version of Python, of tiler and of each installed package that shapes output."""
    import platform

    known = {name: found for name in _PACKAGES if (found := _installed(name))}
    return {"python": platform.python_version(), "tiler": tiler.__version__, **known}


def _installed(package: str) -> str | None:
    from importlib import metadata  # loads the parser of e-mails: 0.02 s in each worker

    try:
        found = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return None
    header = found.read_text("METADATA") or ""
    version = header.partition("\nVersion: ")[2].partition("\n")[0].strip()
    return version or found.version  # which parses all of METADATA as an e-mail: 0.5 ms


def git_state() -> dict[str, object] | None:
    """Return the commit of the working folder's repository, and whether files were changed.

    None if there is no repository, or no git.
    """
    import subprocess

    def said(*words: str) -> str:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return {"commit": said("rev-parse", "HEAD"), "changed": bool(said("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None
