"""Tiles while a model is trained: TileDataset and TileStream against other ways to read them.

Two processes read batches of 64 tiles, as the workers of a ``DataLoader`` do. They are started and
have read a batch before the time is taken. Each case has the same tiles of 256 pixels at 0.5 µm.
"""

from __future__ import annotations

import csv
import multiprocessing
import shutil
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import openslide
from commands import PNG, TWO, seconds, tiler
from PIL import Image

from tiler import TileDataset, TileStream

WORKERS = 2
BATCH = 64
SIZE = 256


class Peer:
    """A dataset as many write it: it reads level 0 of an open slide, and resizes."""

    def __init__(self, slide: Path, rows: list[dict[str, str]]) -> None:
        self.slide, self.rows, self.opened = slide, rows, None

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
    """The same tiles as PNG files, which an earlier run wrote."""

    def __init__(self, folder: Path, rows: list[dict[str, str]]) -> None:
        self.folder, self.rows = folder, rows

    def __getitem__(self, index: int) -> np.ndarray:
        with Image.open(self.folder / self.rows[index]["file"]) as image:
            return np.asarray(image.convert("RGB"))


def batches_of(found: object, order: list[int]) -> Callable[[], None]:
    """Return the work of a process that reads tiles in an order, batch by batch."""

    def read() -> None:
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            if isinstance(found, TileDataset):
                np.stack([item["image"] for item in found.__getitems__(some)])
            else:
                np.stack([found[index] for index in some])

    return read


def opened_stream(found: TileStream) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return what opens the slide of a stream, and the work of a process that reads all of it."""

    def read() -> None:
        for batch in found:
            assert batch["image"].dtype == np.uint8

    return lambda: next(iter(found)) and None, read


def _process(first: Callable[[], None], read: Callable[[], None], ready, start) -> None:
    first()
    ready.wait()
    start.wait()
    read()


def timed(works: list[tuple[Callable[[], None], Callable[[], None]]]) -> float:
    """Return the seconds that processes take together, after what each does first."""
    context = multiprocessing.get_context("fork")
    ready, start = context.Barrier(len(works) + 1), context.Event()
    children = [context.Process(target=_process, args=(*one, ready, start)) for one in works]
    for child in children:
        child.start()
    ready.wait()
    began = time.perf_counter()
    start.set()
    for child in children:
        child.join()
    elapsed = time.perf_counter() - began
    if any(child.exitcode for child in children):
        raise SystemExit("a process that reads tiles failed")
    return elapsed


def dataset(slide: Path, folder: Path, rounds: int, most: int = 4096) -> dict[str, object]:
    """The tiles per second of each way, and ratios of the medians; the cases take turns."""
    out = folder / "dataset"
    wish = ["resolution=mpp", "resolution.value=0.5", f"tile.size={SIZE}", *TWO]
    seconds(tiler(slide, out, *wish, *PNG, "exporter.csv.file=true"), out)
    (table,) = (out / "slides").glob("*/*.csv")
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    count = min(most, len(rows))
    chosen = np.random.default_rng(0).permutation(len(rows))[:count].tolist()
    peers = {"openslide": OpenSlidePeer(slide, rows), "png": PngPeer(table.parent, rows)}
    if find_spec("cucim"):
        peers["cucim"] = CuCimPeer(slide, rows)

    def split(found: object, order: list[int]) -> list:
        parts = [order[number::WORKERS] for number in range(WORKERS)]
        return [(batches_of(found, part[:BATCH]), batches_of(found, part)) for part in parts]

    def halves(order: list[int]) -> list[list[int]]:
        return [order[: len(order) // 2], order[len(order) // 2 :]]

    cases = {
        **{f"{name}, random": lambda peer=peer: split(peer, chosen) for name, peer in peers.items()},
        "TileDataset, random": lambda: split(TileDataset(out, columns=()), chosen),
        "openslide, in order": lambda: [
            (batches_of(peers["openslide"], part[:BATCH]), batches_of(peers["openslide"], part))
            for part in halves(list(range(count)))
        ],
        "TileStream": lambda: [
            opened_stream(TileStream(out, batch=BATCH, columns=(), workers=1, rank=rank,
                                     world=WORKERS))
            for rank in range(WORKERS)
        ],
    }  # fmt: skip
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, make in cases.items():
            times[name].append(timed(make()))
    tiles = {name: len(rows) if name == "TileStream" else count for name in cases}
    speed = {name: tiles[name] / statistics.median(found) for name, found in times.items()}
    shutil.rmtree(out)
    ours, stream = speed["TileDataset, random"], speed["TileStream"]
    results: dict[str, object] = {
        "tiles": count,
        "tiles per second": speed,
        "times faster than openslide": ours / speed["openslide, random"],
        "stream, times faster than openslide": stream / speed["openslide, in order"],
        "times faster than png": ours / speed["png, random"],
    }
    if "cucim" in peers:
        results["times faster than cucim"] = ours / speed["cucim, random"]
    return results
