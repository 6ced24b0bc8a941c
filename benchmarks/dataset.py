"""Tiles while a model is trained: TileDataset and TileStream against other ways to read them.

Two processes read batches of 64 tiles, as the workers of a ``DataLoader`` do: the same tiles of 256
pixels at 0.5 µm, which are 512 pixels of level 0. Each has opened its slide and read a batch before
the time is taken. It reads whole epochs for at least ten seconds: glass is read faster than tissue,
so the first tiles do not stand for all of them. Files are in the page cache.
Ratios are medians of those of the rounds, in which all cases take turns.
"""

from __future__ import annotations

import csv
import itertools
import multiprocessing
import resource
import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import openslide
from commands import TWO, seconds, tiler
from PIL import Image

from tiler import TileDataset, TileStream

WORKERS = 2
BATCH = 64
SIZE = 256
SECONDS = 10.0

Epoch = Callable[[int], Iterable[int]]
"""Read the tiles of an epoch, and yield the number of tiles in each batch."""


class Peer:
    """A dataset as many write it: it reads level 0 of an open slide, and resizes."""

    def __init__(self, slide: Path, rows: list[dict[str, str]]) -> None:
        self.slide, self.rows, self.opened = slide, rows, None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> np.ndarray:
        if self.opened is None:
            self.opened = self.open()
        row = self.rows[index]
        x, y, width, height = (int(row[name]) for name in ("x0", "y0", "width0", "height0"))
        image = self.read(x, y, width, height)
        return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX))


class OpenSlidePeer(Peer):
    def open(self):
        return openslide.OpenSlide(self.slide)

    def read(self, x: int, y: int, width: int, height: int) -> Image.Image:
        return self.opened.read_region((x, y), 0, (width, height)).convert("RGB")


class CuCimPeer(Peer):
    def open(self):
        from cucim import CuImage

        return CuImage(str(self.slide))

    def read(self, x: int, y: int, width: int, height: int) -> Image.Image:
        return Image.fromarray(np.asarray(self.opened.read_region((x, y), (width, height), 0)))


class PngPeer:
    """The same tiles as PNG files."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        with Image.open(self.paths[index]) as image:
            return np.asarray(image.convert("RGB"))


def saved_by_pillow(paths: list[Path], folder: Path) -> list[Path]:
    """Write PNG files again with Pillow's own settings, as a script of one's own does."""
    folder.mkdir()
    for path in paths:
        with Image.open(path) as image:
            image.save(folder / path.name)
    return [folder / path.name for path in paths]


def in_batches(found: object, part: list[int], *, shuffle: bool) -> Epoch:
    """Return the work of a process that reads some tiles, in another random order each epoch."""

    def epoch(number: int) -> Iterator[int]:
        order = np.random.default_rng(number).permutation(part).tolist() if shuffle else part
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            if isinstance(found, TileDataset):
                images = [item["image"] for item in found.__getitems__(some)]
            else:
                images = [found[index] for index in some]
            yield len(np.stack(images))

    return epoch


def parts(found: Sized, *, mixed: bool) -> list[list[int]]:
    """Divide the tiles of a dataset between the processes."""
    count = len(found)
    order = np.random.default_rng(0).permutation(count) if mixed else np.arange(count)
    return [part.tolist() for part in np.array_split(order, WORKERS)]


def streamed(out: Path, rank: int) -> Epoch:
    """Return the work of a process that reads its part of a stream."""
    found = TileStream(out, batch=BATCH, columns=(), workers=1, rank=rank, world=WORKERS)
    return lambda _: (len(batch["image"]) for batch in found)


def sharded(shards: list[str]) -> Epoch:
    """Return the work of a process that reads tar shards of PNG tiles with webdataset."""

    def epoch(_: int) -> Iterator[int]:
        import webdataset

        found = iter(webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8"))
        while some := [one["png"] for one in itertools.islice(found, BATCH)]:
            yield len(np.stack(some))

    return epoch


def _process(epoch: Epoch, ready, pipe) -> None:
    next(iter(epoch(0)))
    ready.wait(timeout=120)
    tiles, number, began, used = 0, 0, time.perf_counter(), _processor_time()
    while time.perf_counter() - began < SECONDS:
        number += 1
        tiles += sum(epoch(number))
    pipe.send((tiles, time.perf_counter() - began, _processor_time() - used))


def _processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measured(epochs: list[Epoch]) -> tuple[float, float]:
    """Return tiles per second, and per second of a processor, of processes that read at once."""
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(len(epochs))
    pipes, children = [], []
    for epoch in epochs:
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_process, args=(epoch, ready, theirs))
        child.start()
        theirs.close()
        pipes.append(ours)
        children.append(child)
    found = [pipe.recv() for pipe in pipes]
    for child in children:
        child.join()
    tiles = sum(count for count, _, _ in found)
    return sum(count / elapsed for count, elapsed, _ in found), tiles / sum(
        used for *_, used in found
    )


RATIOS = {
    "random, times faster than openslide": ("TileDataset, random", "openslide, random"),
    "random, times faster than cucim": ("TileDataset, random", "cucim, random"),
    "random, times faster than png": ("TileDataset, random", "png, random"),
    "random, times faster than pillow's png": ("TileDataset, random", "pillow's png, random"),
    "random, scaled decode, times faster than png": (
        "TileDataset of scaled decode, random", "png of scaled decode, random"
    ),
    "stream, times faster than openslide": ("TileStream", "openslide, in order"),
    "stream, times faster than png": ("TileStream", "png, in order"),
    "stream, times faster than pillow's png": ("TileStream", "pillow's png, in order"),
    "stream, times faster than webdataset": ("TileStream", "webdataset, in order"),
    "stream, scaled decode, times faster than png": (
        "TileStream of scaled decode", "png of scaled decode, in order"
    ),
}  # fmt: skip


def written(slide: Path, out: Path, *words: str) -> tuple[list[dict[str, str]], list[Path]]:
    """Have tiler write the tiles, and return the rows of its table and its PNG files."""
    wish = ["resolution=mpp", "resolution.value=0.5", f"tile.size={SIZE}", *TWO]
    seconds(tiler(slide, out, *wish, *words, "exporter.csv.file=true"), out)
    (table,) = (out / "slides").glob("*/*.csv")
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return rows, [table.parent / row["file"] for row in rows]


def dataset(slide: Path, folder: Path, rounds: int) -> dict[str, object]:
    """The tiles per second of each way, and ratios; the cases take turns."""
    out, scaled = folder / "dataset", folder / "dataset_scaled"
    shards = ["exporter=[csv,images,webdataset]", f"exporter.webdataset.tiles_per_shard={BATCH}"]
    rows, files = written(slide, out, *shards)
    whole = ["exporter=[csv,images]", "mask=none", "threshold=0", "reader.scaled_decode=true"]
    _, scaled_files = written(slide, scaled, *whole)
    peers = {
        "openslide": OpenSlidePeer(slide, rows),
        "png": PngPeer(files),
        "pillow's png": PngPeer(saved_by_pillow(files, out / "pillow")),
        "png of scaled decode": PngPeer(scaled_files),
    }
    if find_spec("cucim"):
        peers["cucim"] = CuCimPeer(slide, rows)
    tiles = {
        "TileDataset": TileDataset(out, columns=()),
        "TileDataset of scaled decode": TileDataset(scaled, columns=()),
    }
    cases = {
        f"{name}, random": [in_batches(one, part, shuffle=True) for part in parts(one, mixed=True)]
        for name, one in {**peers, **tiles}.items()
    }
    for name in ("openslide", "png", "pillow's png", "png of scaled decode"):
        one = peers[name]
        cases[f"{name}, in order"] = [
            in_batches(one, part, shuffle=False) for part in parts(one, mixed=False)
        ]
    if find_spec("webdataset"):
        tars = sorted(map(str, out.rglob("*.tar")))
        cases["webdataset, in order"] = [
            sharded(tars[number::WORKERS]) for number in range(WORKERS)
        ]
    for name, run in (("TileStream", out), ("TileStream of scaled decode", scaled)):
        cases[name] = [streamed(run, rank) for rank in range(WORKERS)]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, epochs in cases.items():
            found[name].append(measured(epochs))
            print(f"  {name}: {found[name][-1][0]:.0f} tiles a second", flush=True)
    shutil.rmtree(out)
    shutil.rmtree(scaled)

    def ratios(which: int) -> dict[str, float]:
        return {
            name: statistics.median(
                a[which] / b[which] for a, b in zip(found[ours], found[other], strict=True)
            )
            for name, (ours, other) in RATIOS.items()
            if other in found
        }

    speed, used = (
        {name: statistics.median(one[which] for one in some) for name, some in found.items()}
        for which in (0, 1)
    )
    return {
        "tiles": len(rows),
        "seconds of each job": SECONDS,
        "tiles per second": speed,
        "milliseconds of a processor per tile": {name: 1000 / one for name, one in used.items()},
        **ratios(0),
        "by processor time": ratios(1),
    }
