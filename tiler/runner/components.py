"""Errors and results of a user's own components."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeGuard

from tiler.checks.error_places import foreign_packages, is_tilers, raised_at, said
from tiler.errors import ComponentError, ConfigError, TilerError
from tiler.protocols import (
    Exported,
    Exporter,
    FailedTile,
    LeftOut,
    LinksFiles,
    Mask,
    ShowsLeftOut,
    WritesTiles,
    WSIReader,
)
from tiler.regions import Regions, RegionSpec
from tiler.runner.work.job import SlideJob
from tiler.written import WrittenFile


def component_error(error: BaseException, job: SlideJob) -> ComponentError | None:
    """Describe an error that a component of a job's user raised; None for any other error.

    Errors of tiler keep their own words, except settings that a component got wrong.
    """
    if isinstance(error, TilerError) and not isinstance(error, ConfigError):
        return None
    components = job.open_reader, job.extractor.mask_provider, *job.exporters.values()
    place = raised_at(error, foreign_packages(components, job.settings))
    return None if place is None else ComponentError(job.slide_id, said(error, place))


def is_ours(component: object) -> bool:
    """Return whether a component is tiler's own, and not one that a user brings."""
    return is_tilers(type(component).__module__)


def links(exporter: object) -> TypeGuard[LinksFiles]:
    """Return whether an exporter links tiles of other jobs."""
    # The protocol is asked last, because its check is slow.
    return bool(getattr(exporter, "link", False)) and isinstance(exporter, LinksFiles)


def writes_tiles(exporter: object) -> TypeGuard[WritesTiles]:
    """Return whether an exporter reports each tile that it has written."""
    return hasattr(exporter, "export_each") and isinstance(exporter, WritesTiles)


def lacking(component: object, protocol: type) -> list[str]:
    """List the members of a protocol that a component does not have."""
    return [name for name in vars(protocol) if name[0] != "_" and not hasattr(component, name)]


def checked_reader(reader: WSIReader, job: SlideJob) -> WSIReader:
    """Return what a job's reader factory returned, if it is a reader.

    Raises
    ------
    ComponentError
        When it is something else.
    """
    if lacking(reader, WSIReader):
        what = f"{_name(job.open_reader)} returned {shown(reader)}; return a WSIReader"
        raise ComponentError(job.slide_id, f"{what} (see tiler.protocols)")
    return reader


def export(
    exporter: Exporter,
    source: WSIReader,
    regions: Regions,
    mask: Mask,
    folder: Path,
    left_out: Callable[[], Mapping[LeftOut, Sequence[RegionSpec]]] = dict,
) -> Exported:
    """Call an exporter and return its result; ``left_out`` is called only if the exporter needs it.

    Raises
    ------
    ComponentError
        When the result is not an ``Exported``.
    """
    done: object = (
        exporter.export_all(source, regions, left_out(), mask, folder)
        if hasattr(exporter, "export_all") and isinstance(exporter, ShowsLeftOut)
        else exporter.export(source, regions, mask, folder)
    )
    if not isinstance(done, Exported):
        what = f"{_name(exporter)}.export returned {shown(done)}; return tiler.protocols.Exported"
        raise ComponentError(source.name, what)
    return done


_RESULTS = (WrittenFile, FailedTile)


def export_each(
    exporter: WritesTiles, source: WSIReader, regions: Regions, folder: Path
) -> Iterator[WrittenFile | FailedTile]:
    """Have an exporter write tiles, and yield the result of each.

    Raises
    ------
    ComponentError
        When a result is neither a file nor a failed tile.
    """
    for item in exporter.export_each(source, regions, folder):
        found: object = item
        if not isinstance(found, _RESULTS):
            what = f"{_name(exporter)}.export_each yielded {shown(found)}"
            fix = "yield WrittenFile or FailedTile (see tiler.protocols)"
            raise ComponentError(source.name, f"{what}; {fix}")
        yield found


def unpicklable(error: Exception) -> str:
    """Describe a component that cannot be sent to workers."""
    message = " ".join(str(error).split())
    return (
        f"it does not pickle ({type(error).__name__}: {message}); keep plain values in a component"
        " and open files in the method that uses them, or use engine=serial"
    )


def shown(value: object) -> str:
    """Describe an unexpected value in a few words."""
    text = " ".join(repr(value).split())
    return f"{text if len(text) <= 80 else text[:77] + '...'} ({type(value).__name__})"


def _name(component: object) -> str:
    thing = component.func if isinstance(component, partial) else component
    thing = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{thing.__module__}.{thing.__qualname__}"
