"""Samplers: they choose from the tiles that passed all other rules."""

from tiler.samplers.every import All
from tiler.samplers.random import Random
from tiler.samplers.spread import Spread
from tiler.samplers.top import Top

__all__ = ["All", "Random", "Spread", "Top"]
