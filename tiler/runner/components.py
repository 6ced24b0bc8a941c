"""Errors and results of a user's own components."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeGuard, TypeVar

from tiler.checks.components import callable_name, shown
from tiler.checks.error_places import foreign_packages, is_tilers, raised_at, said
from tiler.checks.pixels import read_only
from tiler.errors import ComponentError, ConfigError, SlideError, TilerError
from tiler.exporters.names import file_names
from tiler.protocols import (
    Exported,
    Exporter,
    LinksFiles,
    Mask,
    PacksTiles,
    Pixels,
    ShowsCandidates,
    ShowsLeftOut,
    ShowsSettings,
    TableExporter,
    TileExporter,
    WritesParents,
    WritesTiles,
    WSIReader,
)
from tiler.regions import Regions
from tiler.runner.store.settings import shared
from tiler.runner.work.job import SlideJob

_E = TypeVar("_E", bound=Exporter)


def component_error(error: BaseException, job: SlideJob) -> ComponentError | None:
    """Describe an error that a component of a job's user raised; None for any other error.

    Errors of tiler keep their own text, except those about wrong settings of a component.
    """
    if isinstance(error, TilerError) and not isinstance(error, ConfigError):
        return None
    extractor = job.extractor
    components = (
        job.open_reader,
        extractor.mask_provider,
        extractor.labels,
        extractor.sampler,
        *(extractor.filters or {}).values(),
        *job.transforms.values(),
        *job.exporters.values(),
    )
    place = raised_at(error, foreign_packages(components, job.settings))
    return None if place is None else ComponentError(job.slide_id, said(error, place))


def is_ours(component: object) -> bool:
    """Return whether a component is tiler's own, and not one that a user brings."""
    return is_tilers(type(component).__module__)


def links(exporter: object) -> TypeGuard[LinksFiles]:
    """Return whether an exporter links tiles of other jobs."""
    # The protocol is checked last, because its check is slow.
    return bool(getattr(exporter, "link", False)) and isinstance(exporter, LinksFiles)


def encodes_tiles(exporter: Exporter) -> TypeGuard[TileExporter]:
    """Return whether an exporter gets the pixels of tiles."""
    return exporter.per_tile


def packs(exporter: Exporter) -> TypeGuard[PacksTiles]:
    """Return whether an exporter packs the tiles of a slide into few files."""
    return exporter.per_tile and hasattr(exporter, "pack")


def writes_tiles(exporter: Exporter) -> TypeGuard[WritesTiles]:
    """Return whether an exporter has one file per tile."""
    return exporter.per_tile and not hasattr(exporter, "pack")


def is_table(exporter: Exporter) -> TypeGuard[TableExporter]:
    """Return whether an exporter gets all regions of a slide at once."""
    return not exporter.per_tile


def with_settings(exporter: _E, job: SlideJob) -> _E:
    """Return an exporter that knows the settings of its slide, if its files contain them."""
    # The protocol is checked last, because its check is slow.
    if hasattr(exporter, "with_settings") and isinstance(exporter, ShowsSettings):
        return exporter.with_settings(shared(job.settings))
    return exporter


def export(
    exporter: TableExporter,
    source: WSIReader,
    regions: Regions,
    mask: Mask,
    folder: Path,
    candidates: Callable[[], Regions] | None = None,
    parents: Sequence[Regions] = (),
) -> Exported:
    """Call an exporter and return its result; ``candidates`` is called only if it shows them.

    ``parents`` are for the exporter that writes them.

    Raises
    ------
    ComponentError
        If the result is not an ``Exported``.
    """
    done: object
    # The protocols are checked last, because their checks are slow.
    if candidates and hasattr(exporter, "export_all") and isinstance(exporter, ShowsLeftOut):
        left_out = _left_out(candidates())
        done = exporter.export_all(source, regions, left_out, mask, folder)
    elif (
        candidates
        and hasattr(exporter, "export_candidates")
        and isinstance(exporter, ShowsCandidates)
    ):
        done = exporter.export_candidates(source, regions, candidates(), mask, folder)
    elif hasattr(exporter, "export_parents") and isinstance(exporter, WritesParents):
        done = exporter.export_parents(source, parents, folder)
    else:
        done = exporter.export(source, regions, mask, folder)
    return _checked(exporter, source, "export", done)


def _left_out(candidates: Regions) -> dict[str, Regions]:
    """Return the cells with tissue that are not kept, by their decision."""
    decision = candidates.columns["decision"]
    found = {
        reason: candidates.take((decision == reason) & (candidates.ratios > 0))
        for reason in dict.fromkeys(decision.tolist())
        if reason != "kept"
    }
    return {reason: cells for reason, cells in found.items() if cells}


def pack(
    exporter: PacksTiles,
    source: WSIReader,
    regions: Regions,
    tiles: Iterable[bytes],
    folder: Path,
) -> Exported:
    """Call an exporter to pack the tiles of a slide, and return its result.

    Raises
    ------
    ComponentError
        If the result is not an ``Exported``.
    """
    done: object = exporter.pack(source, regions, tiles, folder)
    return _checked(exporter, source, "pack", done)


def encode(exporter: TileExporter, source: WSIReader, pixels: Pixels) -> bytes:
    """Call an exporter to encode a tile, and return its bytes.

    Raises
    ------
    ComponentError
        If the result is not ``bytes``.
    SlideError
        If one of tiler's own formats cannot express a tile of this size.
    """
    try:
        data: object = exporter.encoded(read_only(pixels))
    except ConfigError as error:
        if not is_ours(exporter):
            raise
        raise SlideError(source.name, str(error)) from error
    if not isinstance(data, bytes):
        what = f"{callable_name(exporter)}.encoded returned {shown(data)}"
        raise ComponentError(source.name, f"{what}; return bytes")
    return data


def names_of_tiles(exporter: WritesTiles, source: WSIReader, regions: Regions) -> list[str]:
    """Return the path of each tile's file, relative to the slide's folder.

    Raises
    ------
    ComponentError
        If an exporter of the user's returns anything except paths below it that differ.
    """
    names = file_names(exporter, source.name, regions)
    if is_ours(exporter):  # the check would take a tenth of a passthrough job
        return names
    where = f"{callable_name(exporter)}.file_name returned"
    bad = [name for name in names if not _is_below(name)]
    if bad:
        fix = "return a path below the slide's folder, such as raw/1.rgb"
        raise ComponentError(source.name, f"{where} {shown(bad[0])}; {fix}")
    if len(names) != len(regions):
        what = f"{callable_name(exporter)}.file_names returned {len(names)} names"
        raise ComponentError(source.name, f"{what} of {len(regions)} tiles; return one for each")
    twice, times = Counter(names).most_common(1)[0] if names else ("", 0)
    if times > 1:
        fix = "return a different path for each, for example with x and y of the tile"
        raise ComponentError(source.name, f"{where} {twice!r} for {times} tiles; {fix}")
    return names


def _is_below(name: object) -> bool:
    if not isinstance(name, str) or "\\" in name or "\0" in name:
        return False
    return not {"", ".", ".."} & {*name.split("/")}


def _checked(exporter: Exporter, source: WSIReader, method: str, done: object) -> Exported:
    if not isinstance(done, Exported):
        what = f"{callable_name(exporter)}.{method} returned {shown(done)}"
        raise ComponentError(source.name, f"{what}; return tiler.protocols.Exported")
    return done


def unpicklable(error: Exception) -> str:
    """Describe a component that cannot be sent to workers."""
    message = " ".join(str(error).split())
    return (
        f"it does not pickle ({type(error).__name__}: {message}); keep plain values in a component"
        " and open files in the method that uses them, or use engine=serial"
    )
