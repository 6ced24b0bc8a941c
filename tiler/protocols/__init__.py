"""Protocols that components implement. No implementation here."""

from tiler.protocols.exporter import (
    EncodesTiles,
    Exported,
    Exporter,
    FailedTile,
    HasNotes,
    LinksFiles,
    ListsTiles,
    NamesManyTiles,
    NamesTiles,
    NeedsTileSpec,
    PacksTiles,
    PassesThrough,
    ReadsContext,
    ShowsCandidates,
    ShowsLeftOut,
    TileExporter,
    WritesContext,
    WritesParents,
    WritesTiles,
)
from tiler.protocols.labels import Labels
from tiler.protocols.mask_provider import FitsTiles, HasCover, MaskProvider, ReadsFiles
from tiler.protocols.reader import Mask, NativeTiles, Pixels, ReaderFactory, SlideEntry, WSIReader
from tiler.protocols.sampler import Sampler, Tiles
from tiler.protocols.score import MapsPixels, Score, ScoresPixels
from tiler.protocols.tracker import RunStatus, Tracker

__all__ = [
    "EncodesTiles",
    "Exported",
    "Exporter",
    "FailedTile",
    "FitsTiles",
    "HasCover",
    "HasNotes",
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
    "SlideEntry",
    "TileExporter",
    "Tiles",
    "Tracker",
    "WSIReader",
    "WritesContext",
    "WritesParents",
    "WritesTiles",
]
