"""Arguments that ``TileDataset`` and ``TileStream`` share, checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from tiler.checks.arguments import as_path
from tiler.dataset.index import Source, check_columns, index_of
from tiler.dataset.slides import VERIFY, Opening
from tiler.dataset.tables import PLACE
from tiler.dataset.tiles import BAD_TILE, ItemSettings, RunTiles
from tiler.errors import ArgumentError, ConfigError
from tiler.geometry import is_number
from tiler.protocols import Pixels
from tiler.storage.named import is_folder


def run_tiles(
    run: Source,
    *,
    slides: Sequence[str] | None,
    where: str | None,
    columns: Sequence[str] | None,
    slide_root: str | Path | None,
    transform: Callable[[Pixels], Any] | None,
    context: bool | Sequence[float],
    raw: bool,
    verify: str,
    on_bad_tile: str,
    max_open: int,
    cache_bytes: int | None,
) -> RunTiles:
    """Return the tiles of runs.

    Raises
    ------
    ConfigError
        If an argument is invalid; the error names it.
    """
    check_choice("verify", verify, VERIFY)
    check_choice("on_bad_tile", on_bad_tile, BAD_TILE)
    check_whole("max_open", max_open, 1)
    if transform is not None and not callable(transform):
        raise ArgumentError(f"transform={transform!r} is not callable; pass a function of an image")
    if isinstance(columns, str):
        raise ArgumentError(f"columns={columns!r} is a text; pass a list of names")
    root = None if slide_root is None else as_path(slide_root, "slide_root")
    if root is not None and not is_folder(root):
        raise ConfigError(f"slide_root={root} is no folder; check the path")
    names = None
    if columns is not None:
        always = ("image", "slide_id", *PLACE)
        names = tuple(dict.fromkeys(name for name in columns if name not in always))
    index = index_of(run, slides, where)
    if names:
        check_columns(index, names)
    opening = Opening(root and root.absolute(), verify, bool(raw), _context(context), cache_bytes)
    return RunTiles(index, opening, ItemSettings(names, transform, on_bad_tile), max_open)


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Refuse a value that is none of the choices."""
    if value not in choices:
        raise ConfigError(f"{name}={value!r} is invalid; use one of {', '.join(choices)}")


def check_whole(name: str, value: object, least: int) -> None:
    """Refuse anything except a whole number from ``least``, also one of NumPy."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name}={value!r} is invalid; use a whole number from {least}")


def _context(value: bool | Sequence[float]) -> bool | tuple[float, ...]:
    if isinstance(value, bool):
        return value
    values = tuple(value) if isinstance(value, Iterable) else ("",)
    if not all(map(is_number, values)):
        raise ArgumentError(f"context={value!r} is invalid; use True, False or a list of numbers")
    return tuple(map(float, values)) or False
