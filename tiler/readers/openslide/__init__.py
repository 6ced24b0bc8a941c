"""Slides through OpenSlide: facts, levels, damage that it does not report, and a self-test."""
