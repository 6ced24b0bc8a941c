"""Engines: where the pieces of work are done. The options of the ``engine`` group."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiler.runner.engines.dask_engine import DaskEngine
    from tiler.runner.engines.processes import ProcessEngine
    from tiler.runner.engines.serial import SerialEngine

_HOMES = {
    "SerialEngine": "tiler.runner.engines.serial",
    "ProcessEngine": "tiler.runner.engines.processes",
    "DaskEngine": "tiler.runner.engines.dask_engine",
}

__all__ = ["DaskEngine", "ProcessEngine", "SerialEngine"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tiler.runner.engines' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
