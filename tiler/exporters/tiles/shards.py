"""Tar shards of samples, and their index."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from tiler.exporters.tiles.tar import END, header, padding
from tiler.files import write_chunks
from tiler.storage.destinations import inside
from tiler.written import WrittenFile


class Sample(NamedTuple):
    """A tile in a shard: its key, and the content of its image and of its JSON file."""

    key: str
    image: bytes
    text: bytes


class _Packed(NamedTuple):
    """A sample as bytes of a tar; image and JSON begin at some places of them."""

    data: bytes
    image_at: int
    image_size: int
    json_at: int
    json_size: int


@dataclass(frozen=True)
class Shard:
    """A shard as it was written.

    Parameters
    ----------
    file
        The tar.
    places
        Four numbers per tile: where its image begins in the tar and its size, and the same of its
        JSON file.
    """

    file: WrittenFile
    places: array[int]


def written_shards(
    samples: Iterable[Sample],
    folder: Path,
    slide: str,
    extension: str,
    most_tiles: int | None,
    most_bytes: int | None,
) -> Iterator[Shard]:
    """Write samples into ``<slide>-000000.tar`` and the next ones, and yield each shard.

    From the millionth shard on, the number has more digits.

    Parameters
    ----------
    samples
        The tiles in their order; they are taken one by one.
    folder, slide
        The place and the beginning of the names.
    extension
        The extension of the images.
    most_tiles, most_bytes
        Limits of a shard; None for none. A sample that is larger gets a shard of its own.
    """
    packed = (_packed(sample, extension) for sample in samples)
    numbered = _numbered(packed, most_tiles, most_bytes)
    for number, group in groupby(numbered, key=itemgetter(0)):
        name, places = f"{slide}-{number:06d}.tar", array("q")
        content = _content((one for _, one in group), places)
        yield Shard(WrittenFile(name, *write_chunks(inside(folder, name), content)), places)


def _packed(sample: Sample, extension: str) -> _Packed:
    key, image, text = sample
    before = header(f"{key}.{extension}", len(image))
    between = padding(len(image)) + header(f"{key}.json", len(text))
    data = b"".join((before, image, between, text, padding(len(text))))
    json_at = len(before) + len(image) + len(between)
    return _Packed(data, len(before), len(image), json_at, len(text))


def _numbered(
    packed: Iterable[_Packed], most_tiles: int | None, most_bytes: int | None
) -> Iterator[tuple[int, _Packed]]:
    """Yield each sample with the number of its shard."""
    number, tiles, size = 0, 0, len(END)
    for one in packed:
        full = most_tiles is not None and tiles >= most_tiles
        large = most_bytes is not None and size + len(one.data) > most_bytes
        if tiles and (full or large):
            number, tiles, size = number + 1, 0, len(END)
        tiles, size = tiles + 1, size + len(one.data)
        yield number, one


def _content(samples: Iterable[_Packed], places: array[int]) -> Iterator[bytes]:
    """Yield the bytes of a tar; add the places of its samples to ``places``."""
    at = 0
    for one in samples:
        places.extend((at + one.image_at, one.image_size, at + one.json_at, one.json_size))
        at += len(one.data)
        yield one.data
    yield END


def index_parts(slide: str, extension: str, shards: Sequence[Shard]) -> Iterator[bytes]:
    """Yield the index of a slide's shards as JSON, a shard per line."""
    tiles = sum(len(shard.places) for shard in shards) // 4
    head = json.dumps({"slide": slide, "extension": extension, "tiles": tiles})
    yield f'{head[:-1]}, "shards": ['.encode()
    between = "\n"
    for shard in shards:
        facts = {
            "file": shard.file.name,
            "bytes": shard.file.size,
            "sha256": shard.file.sha256,
            "tiles": len(shard.places) // 4,
            "image_offsets": shard.places[0::4].tolist(),
            "image_sizes": shard.places[1::4].tolist(),
            "json_offsets": shard.places[2::4].tolist(),
            "json_sizes": shard.places[3::4].tolist(),
        }
        yield (between + json.dumps(facts, separators=(",", ":"))).encode()
        between = ",\n"
    yield b"\n]}\n"
