"""``shards.json``: the tar shards of all slides of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from tiler.exporters.damaged import unreadable
from tiler.protocols import FinishedSlide
from tiler.storage.safe_text import visible_json
from tiler.storage.stored import MAX_TABLE, StoredError, read_json

RUN_SHARDS = "shards.json"


def index_name(slide: str) -> str:
    """Return the name of the index of a slide's shards."""
    return f"{slide}.shards.json"


def run_shards(slides: Sequence[FinishedSlide]) -> Iterator[bytes]:
    """Yield the list of all shards as JSON, a shard per line.

    The path of a shard counts from the folder of the list.
    """
    yield b'{"shards": ['
    between, tiles, size = "\n", 0, 0
    for slide in slides:
        counts = _counts(slide)
        for file in slide.files:
            if file.name not in counts:
                continue
            facts = {
                "path": f"slides/{slide.slide_id}/{file.name}",
                "slide": slide.slide_id,
                "tiles": counts[file.name],
                "bytes": file.size,
                "sha256": file.sha256,
            }
            text = visible_json(json.dumps(facts, ensure_ascii=False))
            yield (between + text).encode(errors="surrogateescape")
            between, tiles, size = ",\n", tiles + counts[file.name], size + file.size
    yield f'\n], "tiles": {tiles}, "bytes": {size}}}\n'.encode()


def _counts(slide: FinishedSlide) -> dict[str, int]:
    """Return the number of tiles of each shard of a slide, from its index.

    Raises
    ------
    ReadError
        If the index is damaged.
    """
    name = index_name(slide.slide_id)
    try:
        shards = read_json(slide.folder / name, MAX_TABLE)["shards"]
        return {str(shard["file"]): int(shard["tiles"]) for shard in shards}
    except (OSError, StoredError, KeyError, TypeError, ValueError) as error:
        raise unreadable(slide.slide_id, name, RUN_SHARDS, error) from error
