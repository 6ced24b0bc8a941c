"""Labels: classes of tiles."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiler.labels.annotation import AnnotationLabels
    from tiler.labels.none import no_labels

_HOMES = {
    "AnnotationLabels": "tiler.labels.annotation",
    "no_labels": "tiler.labels.none",
}

__all__ = ["AnnotationLabels", "no_labels"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tiler.labels' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
