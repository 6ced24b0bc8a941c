"""Tiled TIFF slides without OpenSlide: layout, native tiles, codecs and their cache."""
