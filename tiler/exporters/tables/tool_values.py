"""Checks and texts that exporters for other tools share."""

from __future__ import annotations

from tiler.errors import ConfigError
from tiler.protocols import WSIReader
from tiler.spec import TileSpec


def path_as_given(source: WSIReader) -> str:
    """Return the path of a slide as the user wrote it: files contain no other."""
    return getattr(source, "given", "") or str(source.path)


def another_area(read: float, wanted: float) -> str:
    """Return how a tool's square of level-0 pixels differs from a tile; empty if it does not."""
    if abs(read - wanted) <= 1e-6:
        return ""
    return f"{read:.8g} x {read:.8g} level-0 pixels for tiles of {wanted:.8g} x {wanted:.8g}"


def check_square(spec: TileSpec, where: str, stride: bool = True) -> None:
    """Refuse tiles that a format with one size, and one stride, cannot express.

    Raises
    ------
    ConfigError
        If width and height differ; the error begins with ``where``.
    """
    pairs = [("size", spec.size), *([("stride", spec.stride)] if stride else [])]
    for field, pair in pairs:
        if pair.width != pair.height:
            raise ConfigError(
                f"{where} has one {field} for width and height: tile.{field}={tuple(pair)} cannot"
                " be written; use equal numbers, or another format"
            )


def for_tool(spec: TileSpec | None, exporter: str) -> TileSpec:
    """Return the tile specification of an exporter, which a Python caller may have omitted.

    Raises
    ------
    ConfigError
        If ``spec`` is None.
    """
    if spec is None:
        raise ConfigError(f"exporter.{exporter}.spec=None; give the TileSpec of the regions")
    return spec
