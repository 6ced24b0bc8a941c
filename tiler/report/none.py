"""The option of the group ``report`` for no report."""

from __future__ import annotations


def no_report() -> None:
    """Return None: there is no report."""
