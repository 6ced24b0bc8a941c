"""Protocols that components implement. No implementation here."""

from tiler.protocols.exporter import (
    Exported,
    Exporter,
    HasNotes,
    ListsTiles,
    NamesTiles,
    NeedsTileSpec,
    ShowsCandidates,
    ShowsLeftOut,
    TableExporter,
    WritesParents,
)
from tiler.protocols.labels import Labels
from tiler.protocols.mask_provider import FitsTiles, HasCover, MaskProvider, ReadsFiles
from tiler.protocols.products import CollectsRun, FinishedSlide, ShowsSettings
from tiler.protocols.reader import (
    HasProfile,
    Mask,
    NativeTiles,
    Pixels,
    ReaderFactory,
    SlideEntry,
    WSIReader,
)
from tiler.protocols.sampler import Sampler, Tiles
from tiler.protocols.score import MapsPixels, Score, ScoresPixels
from tiler.protocols.tile_exporter import (
    FailedTile,
    LinksFiles,
    NamesManyTiles,
    PacksTiles,
    PassesThrough,
    ReadsContext,
    TileExporter,
    WritesContext,
    WritesTiles,
)
from tiler.protocols.tracker import RunStatus, Tracker
from tiler.protocols.transform import FittedTransform, Tissue, Transform

__all__ = [
    "CollectsRun",
    "Exported",
    "Exporter",
    "FailedTile",
    "FinishedSlide",
    "FitsTiles",
    "FittedTransform",
    "HasCover",
    "HasNotes",
    "HasProfile",
    "Labels",
    "LinksFiles",
    "ListsTiles",
    "MapsPixels",
    "Mask",
    "MaskProvider",
    "NamesManyTiles",
    "NamesTiles",
    "NativeTiles",
    "NeedsTileSpec",
    "PacksTiles",
    "PassesThrough",
    "Pixels",
    "ReaderFactory",
    "ReadsContext",
    "ReadsFiles",
    "RunStatus",
    "Sampler",
    "Score",
    "ScoresPixels",
    "ShowsCandidates",
    "ShowsLeftOut",
    "ShowsSettings",
    "SlideEntry",
    "TableExporter",
    "TileExporter",
    "Tiles",
    "Tissue",
    "Tracker",
    "Transform",
    "WSIReader",
    "WritesContext",
    "WritesParents",
    "WritesTiles",
]
