"""Exporters of the pixels of tiles."""
