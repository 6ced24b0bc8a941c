"""Settings of a whole process: threads, garbage collection and memory allocation.

All such settings are here. Each comment gives the gain, measured on 6,510 PNG tiles of 256 pixels.
"""

from __future__ import annotations

import gc
import os

VARIABLE = "TILER_THREADS"
"""Environment variable: the number of threads that an engine allows each of its workers."""


def default_threads() -> int:
    """Return the number that the engine allows, else one per core."""
    return max(1, int(os.environ.get(VARIABLE) or os.cpu_count() or 1))


# Allocator of glibc in workers: a tile's buffers are reused, and not returned to the system and
# mapped again for each tile. Gain: 8.5 s of processor time instead of 11.6 s with two workers; no
# gain was visible on a machine with six times as many processes as cores.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(64 << 20), "MALLOC_TRIM_THRESHOLD_": str(256 << 20)}


def prepare_process() -> None:
    """Apply the settings of a process, before it loads NumPy."""
    # A run makes few cycles of references. Gain: 2 to 5 % of the processor time.
    gc.set_threshold(20_000)
    # OpenBLAS starts a thread per core in each worker, and tiler uses no linear algebra. Gain:
    # 0.03 s of processor time per process on two cores; with N cores N * N threads less.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def keep_loaded() -> None:
    """Leave the objects made so far out of later searches for cycles of references.

    Most of them are modules, which live as long as the process. Gain: 0.1 s of processor time per
    command, most of it in the search at its end. Objects that are made later are still found then:
    dask-jobqueue removes its TLS keys when they are.
    """
    gc.freeze()
