"""TileStream: nothing is lost or repeated, whatever the seed, ranks, workers and batches."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from command import tiler
from hypothesis import given, settings
from hypothesis import strategies as st
from test_dataset import BASE, inside, write_slide

from tiler import TileDataset, TileStream
from tiler.dataset.batches import batches
from tiler.dataset.order import segments, share, share_in_batches, shuffled
from tiler.errors import ConfigError, ReadError


def stream(streamed: Path, **more: Any) -> TileStream:
    return TileStream(streamed / "out", slide_root=streamed, **more)


def key(item: dict[str, Any]) -> tuple[str, int, int]:
    return item["slide_id"], item["x"], item["y"]


def keys(found: Any) -> list[tuple[str, int, int]]:
    """Return the tiles of items or batches, in order."""
    out = []
    for one in found:
        if isinstance(one["slide_id"], str):
            out.append(key(one))
        else:
            out += zip(one["slide_id"], one["x"].tolist(), one["y"].tolist(), strict=True)
    return out


@pytest.fixture(scope="module")
def every(streamed: Path) -> dict[tuple[str, int, int], np.ndarray]:
    """Return the pixels of all tiles, as ``TileDataset`` reads them."""
    found = TileDataset(streamed / "out", slide_root=streamed)
    return {key(item): item["image"] for item in found.__getitems__(range(len(found)))}


def in_worker(monkeypatch: Any, number: int, of: int) -> None:
    """Pretend that this process is a worker of a ``DataLoader``."""
    info = SimpleNamespace(id=number, num_workers=of)
    fake = SimpleNamespace(get_worker_info=lambda: info, IterableDataset=_Abc)
    monkeypatch.setitem(sys.modules, "torch.utils.data", fake)


class _Abc:
    @staticmethod
    def register(kind: type) -> None: ...


# --- laws


@given(
    world=st.integers(1, 4),
    workers=st.integers(1, 4),
    batch=st.none() | st.integers(1, 90),
    shuffle=st.sampled_from([0, 1, 7, 1000]),
    seed=st.integers(0, 9),
    epoch=st.integers(0, 9),
)
def test_ranks_and_workers_read_each_tile_once(
    streamed: Path, every: dict[Any, Any], **settings: int
) -> None:
    world, workers, batch = (settings[name] for name in ("world", "workers", "batch"))
    order = {name: settings[name] for name in ("shuffle", "seed", "epoch")}
    found: list[tuple[str, int, int]] = []
    for rank in range(world):
        one = stream(streamed, batch=batch, rank=rank, world=world, workers=2, **order)
        sizes = []
        for worker in range(workers):
            with pytest.MonkeyPatch.context() as patch:
                in_worker(patch, worker, workers)
                one.set_epoch(settings["epoch"])
                mine = list(one)
            found += keys(mine)
            sizes += [1 if batch is None else len(item["image"]) for item in mine]
            for item in mine[:1]:
                pixels = item["image"] if batch is None else item["image"][0]
                np.testing.assert_array_equal(pixels, every[keys([item])[0]])
        assert len(sizes) == len(one)
        assert sum(size != (batch or 1) for size in sizes) <= 1, "only the last one is short"
    assert sorted(found) == sorted(every)


@given(total=st.integers(0, 500), of=st.integers(1, 9), batch=st.integers(1, 40))
def test_shares_are_equal_and_complete(total: int, of: int, batch: int) -> None:
    parts = [share(total, number, of) for number in range(of)]
    sizes = [stop - start for start, stop in parts]
    assert sum(sizes) == total
    assert max(sizes) - min(sizes) <= 1
    some = [share_in_batches(3, 3 + total, batch, number, of) for number in range(of)]
    joined = [number for start, stop in some for number in range(start, stop)]
    assert joined == list(range(3, 3 + total))


@given(counts=st.lists(st.integers(0, 9), min_size=1, max_size=8), data=st.data())
def test_segments_are_a_range_of_the_sequence(counts: list[int], data: st.DataObject) -> None:
    slides = data.draw(st.permutations(range(len(counts))))
    stop = data.draw(st.integers(0, sum(counts)))
    start = data.draw(st.integers(0, stop))
    sequence = [(slide, tile) for slide in slides for tile in range(counts[slide])]
    found = segments(np.array(counts), np.array(slides), start, stop)
    assert [(s, n) for s, first, last in found for n in range(first, last)] == sequence[start:stop]


@given(size=st.integers(1, 30), count=st.integers(0, 60), seed=st.integers(0, 5))
def test_a_buffer_loses_and_repeats_nothing(size: int, count: int, seed: int) -> None:
    found = list(shuffled(range(count), size, np.random.default_rng(seed)))
    assert sorted(found) == list(range(count))
    assert all(item <= place + size for place, item in enumerate(found))
    items = [{"image": np.full((2, 1), one), "x": one, "slide_id": str(one)} for one in found]
    some = list(batches(items, size))
    assert [len(one["x"]) for one in some[:-1]] == [size] * (len(some) - 1)
    assert [number for one in some for number in one["x"].tolist()] == found
    assert [number for one in some for number in one["image"][:, 1, 0].tolist()] == found
    assert [name for one in some for name in one["slide_id"]] == [str(one) for one in found]


# --- order


def test_epochs_and_seeds_differ_and_cover_the_same(streamed: Path, every: dict[Any, Any]) -> None:
    one = stream(streamed, shuffle=50, seed=1)
    first, second = keys(one), keys(one)
    one.set_epoch(0)
    assert keys(one) == first
    assert keys(stream(streamed, shuffle=50, seed=1, epoch=1)) == second
    other = keys(stream(streamed, shuffle=50, seed=2))
    assert len({tuple(first), tuple(second), tuple(other)}) == 3
    assert sorted(first) == sorted(second) == sorted(other) == sorted(every)


def test_without_shuffle_slides_follow_each_other(streamed: Path, every: dict[Any, Any]) -> None:
    one = stream(streamed)
    found = keys(one)
    assert keys(one) == found
    names = [name for name, _, _ in found]
    assert names == sorted(names)
    assert sorted(found) == sorted(every)
    assert len(found) == len(one)


def test_the_order_is_the_same_with_any_number_of_threads(streamed: Path) -> None:
    found = [keys(stream(streamed, shuffle=20, workers=workers)) for workers in (1, 2, 5)]
    assert found[0] == found[1] == found[2]


def test_one_open_slide_is_enough_for_many_threads(streamed: Path, every: dict[Any, Any]) -> None:
    found = stream(streamed, max_open=1, workers=5, batch=3)
    assert sorted(keys(found)) == sorted(every)


def test_nothing_selected_is_an_empty_stream(streamed: Path) -> None:
    for batch in (None, 4):
        found = stream(streamed, where="ratio > 1", batch=batch, shuffle=3)
        assert len(found) == len(list(found)) == 0
    assert len(TileDataset(streamed / "out", where="ratio > 1")) == 0


def test_a_selection_and_a_table_are_streamed_once(streamed: Path, every: dict[Any, Any]) -> None:
    found = stream(streamed, where="y > 40 and x != 64", slides=["s2", "s0"], shuffle=5)
    expected = [one for one in every if one[2] > 40 and one[1] != 64 and one[0] in ("s0", "s2")]
    assert sorted(keys(found)) == sorted(expected)
    table = TileStream(streamed / "out/slides/s2/s2.csv", slide_root=streamed, where="y <= 40")
    assert sorted(keys(table)) == sorted(one for one in every if one[0] == "s2" and one[2] <= 40)


def until(found: Iterator[Any], kind: type[Exception]) -> list[Any]:
    """Return what is delivered before an error."""
    delivered = []
    try:
        while True:
            delivered.append(next(found))
    except kind:
        return delivered


@given(
    bad=st.integers(0, 200),
    batch=st.none() | st.integers(1, 40),
    shuffle=st.sampled_from([0, 1, 30, 1000]),
    workers=st.integers(1, 3),
)
@settings(max_examples=12)
def test_all_tiles_before_a_bad_one_are_delivered(
    streamed: Path,
    every: dict[Any, np.ndarray],
    bad: int,
    batch: int | None,
    shuffle: int,
    workers: int,
) -> None:
    order = keys(stream(streamed, shuffle=min(shuffle, 1), columns=()))
    bad %= len(order)
    torn = every[order[bad]]

    def read(pixels: np.ndarray) -> np.ndarray:
        if np.array_equal(pixels, torn):
            raise ReadError("s", "torn")
        return pixels

    found = iter(stream(streamed, shuffle=shuffle, batch=batch, workers=workers, transform=read))
    delivered = keys(until(found, ReadError))
    before = order[: next(at for at, one in enumerate(order) if np.array_equal(every[one], torn))]
    assert sorted(delivered) == sorted(before)
    if not shuffle:
        assert delivered == before
    assert next(found, None) is None


def test_a_damaged_table_ends_a_stream_after_the_tiles_of_other_slides(
    streamed: Path, tmp_path: Path
) -> None:
    shutil.copytree(streamed / "out", tmp_path / "out")
    found = TileStream(tmp_path / "out", slide_root=streamed, columns=())
    order = keys(stream(streamed, columns=()))
    (tmp_path / "out/slides/s1/s1.csv").write_text("slide,x\ns1,3\n")
    delivered = keys(until(iter(found), ConfigError))
    assert delivered == [one for one in order if one[0] == "s0"]


def test_a_batch_has_arrays_and_lists_of_texts(streamed: Path, every: dict[Any, Any]) -> None:
    first = next(iter(stream(streamed, batch=5)))
    assert type(first) is dict
    assert first["image"].shape == (5, 48, 64, 3)
    assert first["image"].dtype == np.uint8
    assert first["slide_id"] == ["s0"] * 5
    assert first["x"].dtype == np.int64
    assert first["ratio"].dtype == np.float64


def test_tiles_of_several_shapes_are_no_batch(streamed: Path, tmp_path: Path) -> None:
    write_slide(tmp_path / "t.tiff", 5)
    done = tiler(*BASE, "slides.paths=[t.tiff]", "resolution=level", "resolution.value=0",
                 "tile.size=32", "out=out", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    runs = [streamed / "out/slides/s3/s3.csv", tmp_path / "out"]
    with inside(tmp_path), pytest.raises(ConfigError, match="several shapes"):
        list(TileStream(runs, slide_root=streamed, batch=50, columns=()))


def test_pixels_of_several_types_are_no_batch() -> None:
    """Whole numbers would cut off what is behind the point."""
    items = [{"image": np.zeros((1, 1), kind)} for kind in (np.uint8, np.float32)]
    with pytest.raises(ConfigError, match="several dtypes"):
        list(batches(items, 2))


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"batch": 0}, "batch=0"),
        ({"shuffle": -1}, "shuffle=-1"),
        ({"seed": 1.5}, r"seed=1\.5"),
        ({"workers": 0}, "workers=0"),
        ({"rank": 1}, "give both"),
        ({"rank": 2, "world": 2}, "world=2"),
    ],
)
def test_invalid_arguments_of_a_stream_are_named(
    streamed: Path, arguments: dict[str, Any], what: str
) -> None:
    with pytest.raises(ConfigError, match=what):
        stream(streamed, **arguments)


# --- processes, as DataLoader uses them


def read_into(found: TileDataset | TileStream, indices: list[int], queue: Any) -> None:
    if isinstance(found, TileStream):
        queue.put(keys(found))
    else:
        queue.put([item["image"].sum() for item in found.__getitems__(indices)])


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_dataset_in_use_goes_to_other_processes(streamed: Path, method: str) -> None:
    """The parent has open slides, and threads that read, when a worker starts."""
    found = TileDataset(streamed / "out", slide_root=streamed)
    indices = [3, len(found) - 1, 0]
    expected = [item["image"].sum() for item in found.__getitems__(indices)]
    one = stream(streamed, shuffle=10, slides=["s1", "s3"])
    reading = iter(one)
    next(reading)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    for what in (found, one):
        child = context.Process(target=read_into, args=(what, indices, queue))
        child.start()
        got = queue.get(timeout=60)
        child.join(60)
        assert child.exitcode == 0
        assert got == (expected if what is found else keys(pickle.loads(pickle.dumps(one))))
    assert len(list(reading)) == len(one) - 1
    np.testing.assert_array_equal(found[0]["image"].sum(), expected[2])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are killed like this here")
def test_a_killed_worker_leaves_nothing(streamed: Path) -> None:
    before = sorted(streamed.rglob("*"))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=read_until_killed, args=(stream(streamed, shuffle=5), queue))
    child.start()
    queue.get(timeout=60)
    os.kill(child.pid, signal.SIGKILL)
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert sorted(streamed.rglob("*")) == before
    assert len(keys(stream(streamed, slides=["s3"]))) > 1


def read_until_killed(found: TileStream, queue: Any) -> None:
    while True:
        for _ in found:
            queue.put(1)
