"""Slides that OpenSlide opens: its facts, levels, damage that it hides, and its self-test."""
