"""Expressions that choose the tiles of a dataset."""
