"""Protocols that readers, masks, exporters and trackers implement. No implementation here."""

from tiler.protocols.exporter import (
    EncodesTiles,
    Exported,
    Exporter,
    FailedTile,
    LeftOut,
    LinksFiles,
    ListsTiles,
    NamesTiles,
    ShowsLeftOut,
    WritesTiles,
)
from tiler.protocols.mask_provider import MaskProvider, ReadsFiles
from tiler.protocols.reader import Mask, NativeTiles, Pixels, ReaderFactory, SlideEntry, WSIReader
from tiler.protocols.tracker import RunStatus, Tracker

__all__ = [
    "EncodesTiles",
    "Exported",
    "Exporter",
    "FailedTile",
    "LeftOut",
    "LinksFiles",
    "ListsTiles",
    "Mask",
    "MaskProvider",
    "NamesTiles",
    "NativeTiles",
    "Pixels",
    "ReaderFactory",
    "ReadsFiles",
    "RunStatus",
    "ShowsLeftOut",
    "SlideEntry",
    "Tracker",
    "WSIReader",
    "WritesTiles",
]
