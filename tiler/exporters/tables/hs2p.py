"""Coordinates in hs2p's format, for hs2p and slide2vec: an npz archive and its JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tiler.errors import ResolutionError
from tiler.exporters.tables.footprints import Footprint, coarsest_read, footprint
from tiler.exporters.tables.tool_values import another_area, check_square, for_tool, path_as_given
from tiler.files import write_whole
from tiler.protocols import Exported, FinishedSlide, Mask, WSIReader
from tiler.regions import RegionSpec, packed
from tiler.spec import TileSpec
from tiler.storage.destinations import inside, make_folder
from tiler.written import WrittenFile

NPZ = ".coordinates.npz"
META = ".meta.json"
"""Ends of the names of the two files, after the slide's. hs2p looks for the second with
``TOOL_META``."""
TOOL_META = ".coordinates.meta.json"

_BACKEND = "openslide"
"""The library that hs2p reads the slide with; the levels are numbered as it does."""


_SEGMENTATION = (
    *("tissue_method", "requested_seg_downsample", "seg_downsample", "seg_level"),
    *("seg_spacing_um", "sthresh", "sthresh_up", "mthresh", "close"),
    *("sam2_checkpoint_path", "sam2_config_path", "mask_path", "ref_tile_size_px"),
    *("tissue_mask_tissue_value", "mask_level", "mask_spacing_um"),
)
_FILTERS = ("filter_white", "filter_black", "filter_grayspace", "filter_blur")
_LIMITS = (
    *("a_t", "a_h", "white_threshold", "black_threshold", "fraction_threshold"),
    *("grayspace_saturation_threshold", "grayspace_fraction_threshold"),
    *("blur_threshold", "qc_spacing_um"),
)
"""Settings of hs2p's own segmentation and filters, which were not used."""


@dataclass(frozen=True)
class Hs2pExporter:
    """Writes ``<slide>.coordinates.npz`` and ``<slide>.meta.json``.

    A slide without tiles has no npz. Settings of hs2p's own segmentation and filters, which were
    not used, are null or false.

    Parameters
    ----------
    spec
        The tiles; tiler sets it.
    threshold
        The minimum coverage of a tile; tiler sets it.

    Raises
    ------
    ConfigError
        If width and height of the tiles differ.
    """

    spec: TileSpec | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.spec is not None:
            check_square(self.spec, "exporter.hs2p")

    @property
    def per_tile(self) -> bool:
        """False: one file lists all tiles."""
        return False

    def with_settings(self, settings: Mapping[str, Any]) -> Hs2pExporter:
        """Return the exporter for a slide with these settings."""
        return replace(self, threshold=settings.get("threshold"))

    def notes(self, source: WSIReader) -> list[str]:
        """Return a remark if hs2p reads another area than that of the tiles.

        Raises
        ------
        ResolutionError
            If the slide does not state its mpp.
        """
        found = self._footprint(source)
        wanted, read = found.size.width * found.downsample, coarsest_read(found, source)
        what = another_area(read.side0, wanted)
        return [f"hs2p reads {what}"] if what else []

    def export(
        self, source: WSIReader, regions: Sequence[RegionSpec], mask: Mask, folder: Path
    ) -> Exported:
        """Write both files, the tiles sorted by x, then y."""
        found = self._footprint(source)
        parts = packed(regions)
        chunks: dict[str, bytes] = {}
        if len(regions):
            corners = np.concatenate([part.boxes0()[:, :2] for part in parts])
            ratios = np.concatenate([part.ratios for part in parts])
            order = np.lexsort((corners[:, 1], corners[:, 0]))
            columns = {
                "tile_index": np.arange(len(order), dtype=np.int32),
                "x": corners[order, 0],
                "y": corners[order, 1],
                "tissue_fractions": ratios[order].astype(np.float32),
            }
            archive = io.BytesIO()
            np.savez_compressed(archive, allow_pickle=False, **columns)  # its entries have no time
            chunks[NPZ] = archive.getvalue()
        meta = _meta(found, source, len(regions), self)
        chunks[META] = (json.dumps(meta, indent=2, sort_keys=True) + "\n").encode()
        files = []
        for end, data in chunks.items():
            name = source.name + end
            path = inside(make_folder(folder), name)
            files.append(WrittenFile(name, *write_whole(path, data)))
        return Exported(tuple(files))

    @property
    def run_names(self) -> tuple[str, ...]:
        """Return the folder of hs2p's tree."""
        return ("hs2p/",)

    def run_links(self, slide: FinishedSlide) -> Mapping[str, str]:
        """Return links to the slide's files under the names that hs2p looks for."""
        names = {file.name for file in slide.files}
        ends = {NPZ: NPZ, META: TOOL_META}
        return {
            f"hs2p/tiles/{slide.slide_id}{tools}": name
            for own, tools in ends.items()
            if (name := slide.slide_id + own) in names
        }

    def run_files(self, slides: Sequence[FinishedSlide]) -> Mapping[str, Iterable[bytes]]:
        """Return no files: hs2p lists the folder."""
        return {}

    def _footprint(self, source: WSIReader) -> Footprint:
        found = footprint(for_tool(self.spec, "hs2p"), source)
        if found.mpp is None:
            raise ResolutionError(
                source.name,
                f"exporter=hs2p needs the slide's mpp, which is not usable:"
                f" {source.provenance.get('mpp', 'unknown')}; set reader.mpp=…, or leave hs2p out",
            )
        return found


def _meta(found: Footprint, source: WSIReader, count: int, own: Hs2pExporter) -> Mapping[str, Any]:
    """Return the content of the JSON: hs2p 6.1 refuses one with other keys."""
    read = coarsest_read(found, source)
    side, mpp = found.size.width, source.mpp
    assert mpp is not None, "the footprint was refused without"
    overlap = 1 - found.stride.width / side
    step = max(1, round(read.side * (1 - overlap)))
    return {
        "provenance": {
            "sample_id": source.name,
            "image_path": path_as_given(source),
            "backend": _BACKEND,
            "requested_backend": _BACKEND,
            **_nothing("mask_path", "spacing_at_level_0", "mask_backend", "requested_mask_backend"),
        },
        "slide": {
            "dimensions": [*map(int, source.dimensions)],
            "base_spacing_um": float(mpp),
            "level_downsamples": [*map(float, source.level_downsamples)],
        },
        "tiling": {
            "requested_tile_size_px": side,
            "requested_spacing_um": found.mpp,
            "read_level": read.level,
            "read_tile_size_px": read.side,
            "read_spacing_um": float(mpp * source.level_downsamples[read.level]),
            "tile_size_lv0": found.side0,
            "tolerance": getattr(for_tool(own.spec, "hs2p").resolution, "tolerance", 0.0),
            # hs2p computes the step in read pixels first and compares it with this one.
            "step_px_lv0": max(1, round(step * found.side0 / read.side)),
            "overlap": overlap,
            "min_tissue_fraction": own.threshold,
            "is_within_tolerance": read.side == side,
            "n_tiles": count,
        },
        "segmentation": _nothing(*_SEGMENTATION),
        "filtering": {**dict.fromkeys(_FILTERS, False), **_nothing(*_LIMITS)},
        "artifact": {
            "coordinate_space": "level0_px",
            "tile_order": "x_then_y",
            **_nothing("annotation", "selection_strategy", "output_mode"),
        },
    }


def _nothing(*names: str) -> dict[str, None]:
    return dict.fromkeys(names)
