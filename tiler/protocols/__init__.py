"""Protocols that components implement. No implementation here."""

from tiler.protocols.exporter import (
    EncodesTiles,
    Exported,
    Exporter,
    FailedTile,
    LeftOut,
    LinksFiles,
    ListsTiles,
    NamesManyTiles,
    NamesTiles,
    ShowsLeftOut,
    WritesTiles,
)
from tiler.protocols.mask_provider import FitsTiles, HasCover, MaskProvider, ReadsFiles
from tiler.protocols.reader import Mask, NativeTiles, Pixels, ReaderFactory, SlideEntry, WSIReader
from tiler.protocols.score import MapsPixels, Score, ScoresPixels
from tiler.protocols.tracker import RunStatus, Tracker

__all__ = [
    "EncodesTiles",
    "Exported",
    "Exporter",
    "FailedTile",
    "FitsTiles",
    "HasCover",
    "LeftOut",
    "LinksFiles",
    "ListsTiles",
    "MapsPixels",
    "Mask",
    "MaskProvider",
    "NamesManyTiles",
    "NamesTiles",
    "NativeTiles",
    "Pixels",
    "ReaderFactory",
    "ReadsFiles",
    "RunStatus",
    "Score",
    "ScoresPixels",
    "ShowsLeftOut",
    "SlideEntry",
    "Tracker",
    "WSIReader",
    "WritesTiles",
]
