"""Sources of a run's slides: the options of the ``slides`` group."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiler.slides.demo import demo_slide
    from tiler.slides.files import find_slides
    from tiler.slides.table import read_table

_HOMES = {
    "demo_slide": "tiler.slides.demo",
    "find_slides": "tiler.slides.files",
    "read_table": "tiler.slides.table",
}

__all__ = ["demo_slide", "find_slides", "read_table"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tiler.slides' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
