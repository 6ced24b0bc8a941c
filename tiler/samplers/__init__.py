"""Samplers: they choose from the tiles that passed all other rules."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiler.samplers.every import All
    from tiler.samplers.random import Random
    from tiler.samplers.spread import Spread
    from tiler.samplers.top import Top

_HOMES = {
    "All": "tiler.samplers.every",
    "Random": "tiler.samplers.random",
    "Spread": "tiler.samplers.spread",
    "Top": "tiler.samplers.top",
}

__all__ = ["All", "Random", "Spread", "Top"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tiler.samplers' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
