"""Datasets in torch's ``DataLoader``; ``test_stream.py`` tests processes without torch."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_stream import key, keys

from tiler import TileDataset, TileStream

torch = pytest.importorskip(
    "torch", reason="DataLoader is NOT tested, because torch is missing: pip install torch"
)
from torch.utils.data import DataLoader  # noqa: E402  it is there from here on

pytestmark = pytest.mark.slow  # importing torch alone takes seconds

METHODS = [(0, None, False), (2, "fork", False), (2, "fork", True)]
"""Numbers of workers, how they start, and whether they persist."""


def spawned(*more: Any, persistent: bool) -> tuple[Any, ...]:
    """Return the case of workers that import torch again: some ten seconds of processor time."""
    return (*more, 2, "spawn", persistent)


def loader(found: Any, workers: int, method: str | None, persistent: bool, **more: Any) -> Any:
    return DataLoader(found, num_workers=workers, multiprocessing_context=method,
                      persistent_workers=persistent, **more)  # fmt: skip


@pytest.mark.parametrize(("workers", "method", "persistent"), [*METHODS, spawned(persistent=False)])
def test_a_dataset_is_shuffled_by_the_seed_alone(
    streamed: Path,
    workers: int,
    method: str | None,
    persistent: bool,
) -> None:
    found = TileDataset(streamed / "out", slide_root=streamed)
    every = [found[number] for number in range(len(found))]
    order = torch.randperm(len(found), generator=torch.Generator().manual_seed(5)).tolist()
    sampler = [order[start : start + 7] for start in range(0, len(order), 7)]
    batches = loader(found, workers, method, persistent, batch_sampler=sampler)
    for _ in range(2):
        got = list(batches)
        assert keys(got) == [key(every[number]) for number in order]
        np.testing.assert_array_equal(got[0]["image"][3], every[order[3]]["image"])


@pytest.mark.parametrize(
    ("batch", "workers", "method", "persistent"),
    [*((batch, *method) for method in METHODS for batch in (None, 6)), spawned(6, persistent=True)],
)
def test_a_stream_has_each_tile_once_in_each_epoch(
    streamed: Path,
    batch: int | None,
    workers: int,
    method: str | None,
    persistent: bool,
) -> None:
    found = TileStream(streamed / "out", slide_root=streamed, shuffle=9, batch=batch)
    every = sorted(keys(TileStream(streamed / "out", slide_root=streamed)))
    batches = loader(found, workers, method, persistent, batch_size=None if batch else 6)
    epochs = []
    for epoch in range(2):
        found.set_epoch(epoch)
        got = list(batches)
        if batch:
            assert len(got) == len(batches)
        epochs.append(keys(got))
        assert sorted(epochs[-1]) == every
    assert epochs[0] != epochs[1]


def kill_worker(pixels: np.ndarray) -> np.ndarray:
    if torch.utils.data.get_worker_info().id == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return pixels


@pytest.mark.parametrize("kind", [TileDataset, TileStream])
def test_a_killed_worker_ends_in_the_loaders_own_error(streamed: Path, kind: Any) -> None:
    before = sorted(streamed.rglob("*"))
    found = kind(streamed / "out", slide_root=streamed, transform=kill_worker)
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        list(loader(found, 2, "fork", False, batch_size=4))
    assert sorted(streamed.rglob("*")) == before
