"""Trees in a run's folder in which tools find their coordinate files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from tiler.exporters.tables.footprints import footprint_of, tool_folder
from tiler.protocols import FinishedSlide
from tiler.spec import TileSpec
from tiler.storage.csv_text import csv_text

CLAM_SLIDES = "clam/slides.csv"
"""CLAM's list of the slides that have a file."""


def layout_file(slide: str, layout: str) -> str:
    """Return the name of a slide's file in a layout."""
    return f"{slide}.{layout}.h5"


def layout_links(slide: FinishedSlide, layouts: Iterable[str], spec: TileSpec) -> Mapping[str, str]:
    """Return the links to a slide's files in some layouts, at the places of their tools.

    A layout in which the slide has no file is left out: CLAM has none for a slide without tiles.
    """
    there = {file.name for file in slide.files}
    files = {layout: layout_file(slide.slide_id, layout) for layout in layouts}
    return {_place(slide, layout, spec): file for layout, file in files.items() if file in there}


def _place(slide: FinishedSlide, layout: str, spec: TileSpec) -> str:
    if layout != "trident":
        return f"{layout}/patches/{slide.slide_id}.h5"
    assert slide.downsample is not None, "a finished slide has a resolution"
    found = footprint_of(spec, slide.mpp, slide.magnification, slide.downsample)
    return f"trident/{tool_folder(spec, found)}/patches/{slide.slide_id}_patches.h5"


def layout_tables(
    slides: Sequence[FinishedSlide], layouts: Collection[str]
) -> Mapping[str, Iterable[bytes]]:
    """Return the tables that tools want beside their files: for CLAM, the slides with a file."""
    if "clam" not in layouts:
        return {}
    rows = [
        {"slide_id": slide.slide_id}
        for slide in slides
        if layout_file(slide.slide_id, "clam") in {file.name for file in slide.files}
    ]
    text = csv_text(["slide_id"], rows)
    return {CLAM_SLIDES: [text.encode(errors="surrogateescape")]}
