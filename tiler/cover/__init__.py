"""Covers: exact parts of a slide, as rasters, polygons, and combinations of both."""

from tiler.cover.terms import Cover, everything, nothing, of_mask, of_polygons

__all__ = ["Cover", "everything", "nothing", "of_mask", "of_polygons"]
