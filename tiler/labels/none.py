"""The option of the group ``label`` for tiles without labels."""

from __future__ import annotations


def no_labels() -> None:
    """Return None: tiles have no labels."""
