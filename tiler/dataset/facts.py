"""How a run read a slide: its reader, resolution, fingerprint and transforms, from the record.

A record is another person's file: it names only tiler's own components, or those that
``TILER_TARGETS`` allows, and its values are data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tiler.checks.hints import fits, made_of
from tiler.checks.targets import (
    ANY,
    ImportBrokenError,
    allowed_target,
    is_trusted,
    nodes,
    parameters,
)
from tiler.dataset.runs import Slide
from tiler.dataset.tables import Table
from tiler.errors import ChangedError, ConfigError, OpenError, SlideError, TransformError
from tiler.geometry import is_number
from tiler.protocols import FittedTransform, ReaderFactory, WSIReader
from tiler.resolution import Resolution
from tiler.runner.store.fingerprint import Fingerprint
from tiler.runner.store.record_file import record_content
from tiler.runner.store.settings import TRANSFORM, of_exporter
from tiler.scales.context import resolutions_like
from tiler.storage.stored import StoredError

_HOW = ("_target_", "_partial_")

_GIVEN = ("path", "name")
"""Arguments of a reader that no setting may have."""


@dataclass(frozen=True)
class SlideFacts:
    """How a run read a slide.

    Attributes
    ----------
    open_reader
        Opens it.
    resolution
        The resolution of its tiles.
    source
        Its fingerprint; None if it has no record.
    transforms
        The class and the facts of each fitted transform, by name.
    """

    open_reader: ReaderFactory
    resolution: Resolution
    source: Fingerprint | None
    transforms: Mapping[str, tuple[Any, Mapping[str, Any]]]

    def fitted(self, reader: WSIReader) -> tuple[FittedTransform, ...]:
        """Return the transforms of the slide, for its open reader."""
        return tuple(
            _fitted(name, made, facts, reader) for name, (made, facts) in self.transforms.items()
        )


def read_facts(
    slide: Slide, cache_bytes: int | None, *, raw: bool, needs_record: bool
) -> SlideFacts:
    """Return how a slide was read.

    Parameters
    ----------
    slide
        The slide.
    cache_bytes
        Memory for its decoded native tiles, for readers that have this setting; None for their own.
    raw
        Whether transforms are left out.
    needs_record
        Whether ``run.json`` is not enough.

    Raises
    ------
    SlideError
        If the record is missing or damaged, or names something that is not allowed.
    """
    try:
        content = record_content(slide.folder)
        settings, source = content["settings"], made_of(Fingerprint, content["source"])
    except FileNotFoundError as error:
        if needs_record:
            raise OpenError(
                slide.slide_id,
                f"{slide.folder} contains no record.json, so the slide's file and transforms cannot"
                " be checked; keep the run's folder slides, or set verify='none' and raw=True",
            ) from error
        content, settings, source = {}, slide.run.facts.get("config") or {}, None
        if not settings:
            what = f"{slide.folder} contains no record.json, and {slide.run.folder} no run.json"
            raise OpenError(slide.slide_id, f"{what}; keep the files of a run together") from error
    except (StoredError, ValueError) as error:
        what = f"record.json in {slide.folder} {error}; run tiler again"
        raise OpenError(slide.slide_id, what) from error
    try:
        resolution = _called(settings.get("resolution"), "resolution")()
        reader = _called(settings.get("reader"), "reader", cache_bytes)
        transforms = {} if raw else _transforms(slide, content)
    except (ConfigError, ValueError, TypeError, KeyError, AttributeError) as error:
        what = f"record.json in {slide.folder} cannot be used: {error}"
        raise OpenError(slide.slide_id, what) from error
    return SlideFacts(reader, resolution, source, transforms)


def resolution_of(slide: Slide, table: Table, own: Resolution) -> Resolution:
    """Return the resolution of a table: that of the run's tiles, or of their parents.

    Raises
    ------
    ChangedError
        If the run has no tiles at the table's resolution.
    """
    if table.token == own.token:
        return own
    values = slide.run.setting("pyramid")
    numbers = isinstance(values, list) and all(map(is_number, values))
    parents = resolutions_like(values if numbers else [], own, "pyramid")
    if found := [one for one in parents if one.token == table.token]:
        return found[0]
    known = " and ".join(one.token for one in (own, *parents))
    what = f"the table has tiles at {table.token}, and the run in {slide.run.folder} at {known}"
    raise ChangedError(slide.slide_id, f"{what}; give a table of this run")


def _called(node: Any, group: str, cache_bytes: int | None = None) -> Callable[..., Any]:
    """Return the component of a node with its arguments.

    Raises
    ------
    ValueError
        If it is not allowed.
    """
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
        raise ValueError(f"it has no settings of {group}")
    name = node["_target_"]
    values = {key: value for key, value in node.items() if key not in _HOW}
    made = _target(name, group)
    if any(True for _ in nodes(values, group)):
        raise ValueError(f"{group} has a nested component")
    known = parameters(made)
    if group == "reader" and (key := next((one for one in _GIVEN if one in values), None)):
        raise ValueError(f"reader.{key} is not a setting")
    for key, value in values.items() if not is_trusted(name) else ():
        if key not in known and ANY not in known:
            raise ValueError(f"{name} has no parameter {key!r}")
        if not fits(value, known.get(key, Any)):
            raise ValueError(f"{group}.{key}={value!r} is invalid")
    if cache_bytes is not None and "cache_bytes" in known:
        values["cache_bytes"] = cache_bytes
    return partial(made, **values)


def _target(name: str, group: str) -> Any:
    try:
        return allowed_target(name, group)
    except ImportBrokenError as error:
        raise ValueError(f"{name}: {error}") from error


def _transforms(
    slide: Slide, content: Mapping[str, Any]
) -> dict[str, tuple[Any, Mapping[str, Any]]]:
    """Return the class and the facts of each transform of a slide's tiles, in their order."""
    recorded = content.get("transforms") or {}
    settings = content["settings"]
    if not recorded:
        wanted = slide.run.setting("transform")
        if wanted:
            raise TransformError(
                slide.slide_id,
                f"transform=[{','.join(wanted)}] was not fitted, because the run wrote neither"
                " pixels nor a table; run tiler again with exporter=[csv], or set raw=True",
            )
        return {}
    fits_of = [(of_exporter(settings, name)[TRANSFORM], facts) for name, facts in recorded.items()]
    if any(one != fits_of[0] for one in fits_of):
        raise TransformError(
            slide.slide_id,
            f"its exporters ({', '.join(recorded)}) have different transforms; run tiler again for"
            " all of them, or set raw=True",
        )
    given, facts = fits_of[0]
    if any("raw" in one for one in facts.values()):  # on_bad_fit=raw
        return {}
    order: Sequence[str] = given["order"]
    if sorted(order) != sorted(facts):
        raise ValueError(f"it has transforms {order!r} and facts of {', '.join(facts)}")
    return {name: (_target(given["with"][name]["_target_"], "transform"), facts[name])
            for name in order}  # fmt: skip


def _fitted(name: str, made: Any, facts: Mapping[str, Any], reader: WSIReader) -> FittedTransform:
    build = getattr(made, "from_facts", None)
    if build is None:
        what = f"{name}: {made.__qualname__} has no from_facts(source, facts)"
        raise TransformError(reader.name, f"{what}; add it, or set raw=True")
    try:
        found: FittedTransform = build(reader, facts)
    except SlideError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{name}: its facts in record.json cannot be used: {error!r}"
        raise TransformError(reader.name, f"{what}; run tiler again, or set raw=True") from error
    return found
