"""Trackers of runs: the options of the ``tracker`` group."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiler.trackers.jsonl import JsonlTracker
    from tiler.trackers.mlflow import MlflowTracker
    from tiler.trackers.none import NoTracker

_HOMES = {
    "JsonlTracker": "tiler.trackers.jsonl",
    "MlflowTracker": "tiler.trackers.mlflow",
    "NoTracker": "tiler.trackers.none",
}

__all__ = ["JsonlTracker", "MlflowTracker", "NoTracker"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tiler.trackers' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
