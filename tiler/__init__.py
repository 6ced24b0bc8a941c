"""tiler: whole-slide images into exact grids of tiles.

Names are imported on first use, so that ``import tiler`` costs nothing: while a command imports
other modules here, a Ctrl-C ends it with a traceback.
"""

TYPE_CHECKING = False  # type checkers know the name; the module typing imports a dozen others
if TYPE_CHECKING:
    from typing import Any

    from tiler.dataset.mapped import TileDataset
    from tiler.dataset.stream import TileStream
    from tiler.extractor import TileExtractor
    from tiler.region_masks import RegionMaskSpec
    from tiler.regions import RegionSpec
    from tiler.resolution import MPP, Level, Magnification
    from tiler.spec import Edge, MeasurementUnit, TileSpec

__version__ = "0.2.0"

_HOMES = {
    "TileExtractor": "tiler.extractor",
    "TileSpec": "tiler.spec",
    "MeasurementUnit": "tiler.spec",
    "Edge": "tiler.spec",
    "MPP": "tiler.resolution",
    "Level": "tiler.resolution",
    "Magnification": "tiler.resolution",
    "RegionSpec": "tiler.regions",
    "RegionMaskSpec": "tiler.region_masks",
    "open_slide": "tiler.readers",
    "TileDataset": "tiler.dataset.mapped",
    "TileStream": "tiler.dataset.stream",
}

__all__ = [
    "MPP",
    "Edge",
    "Level",
    "Magnification",
    "MeasurementUnit",
    "RegionMaskSpec",
    "RegionSpec",
    "TileDataset",
    "TileExtractor",
    "TileSpec",
    "TileStream",
    "open_slide",
]


def __getattr__(name: str) -> "Any":
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'tiler' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
