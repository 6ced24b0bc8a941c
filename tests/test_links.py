"""Tiles are found by their places and files by their names, as in a dictionary."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tiler.runner.work.tiles.links import _in_order, _sorted
from tiler.runner.work.tiles.places import find
from tiler.written import WrittenFile, WrittenFiles

PLACES = st.lists(st.tuples(st.integers(-3, 3), st.integers(-(2**40), 2**40) | st.integers(-3, 3)))


def columns(places: list[tuple[int, int]]) -> dict[str, np.ndarray]:
    rows = len(places)
    return {
        **{name: np.arange(rows) for name in ("paths", "sizes", "times", "sha256")},
        "locations": np.array(places, np.int64).reshape(rows, 2),
    }


@given(PLACES.map(lambda places: list(dict.fromkeys(places))), PLACES)
def test_a_tile_is_found_by_its_place(known: list, wanted: list) -> None:
    twins = _sorted(columns(known))
    there, rows = find(np.array(wanted, np.int64).reshape(-1, 2), twins["locations"])
    rank = {place: row for row, place in enumerate(known)}
    assert there.tolist() == [place in rank for place in wanted]
    found = [int(twins["sizes"][row]) for row in rows[there]]
    assert found == [rank[place] for place in wanted if place in rank]


@given(st.dictionaries(st.text(st.characters(exclude_characters="\0")), st.integers(0, 99)))
def test_a_file_is_found_by_its_name(sizes: dict[str, int]) -> None:
    files = [WrittenFile(name, size, "0f" * 32) for name, size in sizes.items()]
    wanted = sorted(files, key=lambda file: (file.size, file.name))[::2]
    assert list(_in_order(WrittenFiles.of(files), (file.name for file in wanted))) == wanted
