"""Ranks and workers of torch, if the program imported it: tiler never imports it."""

from __future__ import annotations

import sys
from typing import Any


def register_iterable(kind: type) -> None:
    """Tell ``DataLoader`` that objects of a class are iterated, not indexed."""
    data: Any = sys.modules.get("torch.utils.data")
    if data is not None:
        data.IterableDataset.register(kind)


def worker() -> tuple[int, int]:
    """Return the number of this ``DataLoader`` worker, and how many there are; (0, 1) outside."""
    data: Any = sys.modules.get("torch.utils.data")
    info = None if data is None else data.get_worker_info()
    return (0, 1) if info is None else (int(info.id), int(info.num_workers))


def rank() -> tuple[int, int]:
    """Return rank and world size of ``torch.distributed``; (0, 1) if it is not initialized."""
    distributed: Any = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return 0, 1
    return int(distributed.get_rank()), int(distributed.get_world_size())
