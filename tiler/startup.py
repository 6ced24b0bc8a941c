"""How many threads a process may use: fewer where several processes share the machine."""

from __future__ import annotations

import os

VARIABLE = "TILER_THREADS"
"""Environment variable: what an engine allows each of its worker processes."""


def default_threads() -> int:
    """What the engine allows, else one per core."""
    return max(1, int(os.environ.get(VARIABLE) or os.cpu_count() or 1))
