"""The tiles of a slide: read, transformed, encoded and written, piece by piece."""
