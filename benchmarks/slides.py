"""The slides that benchmarks run on: textured ones of any size, and huge ones of a few tiles."""

from __future__ import annotations

import itertools
import struct
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import simplejpeg

from tiler.geometry import Box, Size
from tiler.slides.demo import write_demo_slide
from tiler.slides.painter import paint

SHARED = Path(__file__).resolve().parents[2] / "shared"


def yardstick(folder: Path, size: Size) -> Path:
    """A slide of real texture where the shared script for it is there, else a painted one."""
    path = folder / f"yardstick_{size.width}x{size.height}.svs"
    script = SHARED / "bench/make_big_slide.py"
    source = SHARED / "slides/CMU-1-Small-Region.svs"
    if path.exists():
        return path
    if script.exists() and source.exists():
        partial = path.with_suffix(".partial")
        command = [sys.executable, script, source, partial, str(size.width), str(size.height)]
        subprocess.run(command, check=True)
        return partial.rename(path)
    return write_demo_slide(path, size)


def copies(slide: Path, count: int) -> Path:
    """A folder with so many names of one slide: a longer job on the same pixels."""
    folder = slide.with_name(f"{slide.stem}_{count}_times")
    folder.mkdir(exist_ok=True)
    for number in range(count):
        name = folder / f"{number}{slide.suffix}"
        if not name.exists():
            name.hardlink_to(slide)
    return folder


def repeated(folder: Path, size: Size) -> Path:
    """A slide of any size in a small file: all tiles of a level are one of four JPEG streams."""
    path = folder / f"repeated_{size.width}x{size.height}.tiff"
    if path.exists():
        return path
    canvas = Size(4864, 3584)
    corners = ((1200, 1600), (1900, 1900), (2300, 1400), (3900, 1500))
    streams = [
        simplejpeg.encode_jpeg(paint(Box(x, y, 256, 256), canvas), quality=80) for x, y in corners
    ]
    levels = [Size(size.width // d, size.height // d) for d in (1, 4, 16, 64)]
    at = 16
    places = []
    for stream in streams:
        places.append((at, len(stream)))
        at += len(stream)
    body, links = b"".join(streams), []
    for level in levels:
        columns, rows = -(-level.width // 256), -(-level.height // 256)
        chosen = [places[(3 * c + 5 * r) % 4] for r in range(rows) for c in range(columns)]
        offsets = struct.pack(f"<{len(chosen)}Q", *(place for place, _ in chosen))
        counts = struct.pack(f"<{len(chosen)}Q", *(count for _, count in chosen))
        offsets_at, counts_at = at, at + len(offsets)
        entries = [
            (254, 4, 1, 0 if level == levels[0] else 1), (256, 4, 1, level.width),
            (257, 4, 1, level.height), (258, 3, 3, 8 | 8 << 16 | 8 << 32), (259, 3, 1, 7),
            (262, 3, 1, 6), (277, 3, 1, 3), (282, 5, 1, 1 << 32 | 40_000), (283, 5, 1, 1 << 32 | 40_000),
            (296, 3, 1, 3), (322, 4, 1, 256), (323, 4, 1, 256), (324, 16, len(chosen), offsets_at),
            (325, 16, len(chosen), counts_at), (530, 3, 2, 2 | 2 << 16),
        ]  # fmt: skip
        directory = struct.pack("<Q", len(entries)) + b"".join(
            struct.pack("<HHQQ", *entry) for entry in entries
        )
        links.append(counts_at + len(counts))
        body += offsets + counts + directory + bytes(8)
        at = 16 + len(body)
    data = bytearray(struct.pack("<2sHHHQ", b"II", 43, 8, 0, links[0]) + body)
    for link, following in itertools.pairwise(links):
        struct.pack_into("<Q", data, link + 8 + 20 * 15, following)
    path.write_bytes(data)
    return path


def cohort(folder: Path, count: int) -> Path:
    """A folder of small slides, of which no two are alike: the painting scales with the size."""
    slides = folder / f"cohort_{count}"
    slides.mkdir(parents=True, exist_ok=True)
    sizes = [Size(768 + 8 * (n % 40), 512 + 8 * (n // 40)) for n in range(count)]
    paths = [slides / f"slide_{n:04}.svs" for n in range(count)]
    missing = [n for n in range(count) if not paths[n].exists()]
    with ProcessPoolExecutor() as pool:
        chosen = ([paths[n] for n in missing], [sizes[n] for n in missing], [2.0] * len(missing))
        list(pool.map(write_demo_slide, *chosen))  # at 2 µm per pixel: masks are at 8
    return slides
