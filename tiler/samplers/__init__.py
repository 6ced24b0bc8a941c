"""Samplers: which of the tiles that passed are kept, where not all are wanted."""

from tiler.samplers.every import All
from tiler.samplers.random import Random
from tiler.samplers.spread import Spread
from tiler.samplers.top import Top

__all__ = ["All", "Random", "Spread", "Top"]
