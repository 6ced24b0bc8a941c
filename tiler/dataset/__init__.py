"""Pixels of a run's tiles, read from the slides while a model is trained or applied."""
