"""The pixel spacing of each level of a DICOM slide; OpenSlide reports only that of level 0."""

from __future__ import annotations

import math
import re
import struct
from pathlib import Path

from tiler.geometry import Size
from tiler.storage.companions import companions

_HEAD_BYTES = 1 << 22  # the attributes before the pixels, ICC profiles included

# With or without the value representation: PS3.5, 7.1.
_COLUMNS = re.compile(rb"\x48\x00\x06\x00(?:UL\x04\x00|\x04\x00\x00\x00)(.{4})", re.DOTALL)
_ROWS = re.compile(rb"\x48\x00\x07\x00(?:UL\x04\x00|\x04\x00\x00\x00)(.{4})", re.DOTALL)
_SHARED = b"\x00\x52\x29\x92"
"""SharedFunctionalGroupsSequence (5200,9229), which contains the spacing."""

_SPACING = re.compile(
    rb"\x28\x00\x30\x00(?:DS.\x00|.\x00\x00\x00)([0-9.eE+-]{1,16}) ?\\ ?([0-9.eE+-]{1,16})",
    re.DOTALL,
)


def stated_downsamples(path: Path) -> dict[Size, float]:
    """Return the downsample of each level from its pixel spacing, keyed by the level's size.

    Parameters
    ----------
    path
        Any file of the slide; the other files of its series are in the same folder.
    """
    spacings = {}
    for file in (path, *companions(path)):
        try:
            with file.open("rb") as stream:
                size, spacing = _size_and_spacing(stream.read(_HEAD_BYTES))
        except (OSError, ValueError):
            continue
        spacings[size] = spacing
    if not spacings:
        return {}
    finest = spacings[max(spacings)]
    return {size: spacing / finest for size, spacing in spacings.items()}


def _size_and_spacing(head: bytes) -> tuple[Size, float]:
    """Return the size of the level in a file, and the mean of its spacings in mm."""
    columns, rows = _COLUMNS.search(head), _ROWS.search(head)
    spacing = _SPACING.search(head, max(0, head.find(_SHARED)))
    if not (columns and rows and spacing):
        raise ValueError("not a whole-slide image, or without spacing")
    width, height = (struct.unpack("<I", found.group(1))[0] for found in (columns, rows))
    down, across = (float(number) for number in spacing.groups())
    mean = (down + across) / 2
    if not 0 < mean < math.inf:
        raise ValueError(f"a spacing of {mean}")
    return Size(width, height), mean
