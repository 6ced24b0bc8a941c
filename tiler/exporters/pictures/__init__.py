"""Exporters of pictures of a whole slide."""
