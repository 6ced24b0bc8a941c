"""Transforms fitted to a slide, on a sample of its tissue from the cache or from the slide."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tiler.checks.components import callable_name, lacking, shown
from tiler.checks.pixels import transformed
from tiler.checks.rule_results import checked_notes
from tiler.errors import ComponentError, ResolutionError, TransformError
from tiler.protocols import FittedTransform, Pixels, Transform, WSIReader
from tiler.runner.store.arrays import Arrays, key_of
from tiler.runner.store.settings import TRANSFORM, of_exporter
from tiler.runner.work.cached import Shared
from tiler.runner.work.job import SlideJob
from tiler.runner.work.shelf import Shelf


@dataclass(frozen=True)
class Fits:
    """The transforms of a slide's tiles.

    Attributes
    ----------
    transforms
        The fitted transforms in their order; empty for tiles that stay as they are.
    facts
        The facts of each transform by name, for the record. A transform that cannot be fitted has
        ``raw``, the reason.
    notes
        Remarks for the slide's row.
    raw
        The reason why tiles stay as they are, although there are transforms.
    """

    transforms: tuple[FittedTransform, ...] = ()
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    raw: str = ""


NO_FITS = Fits()
"""For a slide without tiles, or a job without transforms."""


def transformed_exporters(job: SlideJob) -> list[str]:
    """Return the names of a job's exporters that have transforms in their settings."""
    return [name for name in job.exporters if of_exporter(job.settings, name).get(TRANSFORM)]


def fit_transforms(job: SlideJob, shared: Shared, source: WSIReader, shelf: Shelf) -> Fits:
    """Fit a job's transforms to its slide, each to the pixels that the ones before it return.

    Raises
    ------
    TransformError
        If one cannot be fitted, and ``on_bad_fit`` is ``fail``.
    ReadError
        If the tissue cannot be read, and ``on_bad_tile`` is ``fail``.
    """
    if not transformed_exporters(job):
        return Fits()
    fitted: dict[str, FittedTransform] = {}
    notes: list[str] = []
    sample = _Sample(job, shared, source, shelf)
    for name, transform in job.transforms.items():
        before = tuple(fitted.values())

        @cache
        def tissue(
            mpp: float | None, name: str = name, before: tuple[FittedTransform, ...] = before
        ) -> Pixels:
            return transformed(source, sample.at(name, mpp), before)

        try:
            one = transform.fit(source, tissue)
        except TransformError as error:
            if job.on_bad_fit == "fail":
                fix = f"set on_bad_fit=raw to write such tiles as they are, or remove {name}"
                raise TransformError(job.slide_id, f"{error.what}; {fix}") from error
            raw = f"on_bad_fit=raw: the tiles are not transformed: {error.what}"
            return Fits((), {name: {"raw": error.what}}, (raw,), raw)
        fitted[name] = _checked(one, transform, job.slide_id)
        notes += checked_notes(one, source, job.slide_id)
    facts = {name: dict(one.facts) for name, one in fitted.items()}
    return Fits(tuple(fitted.values()), facts, (*notes, *sample.notes))


@dataclass
class _Sample:
    """The sample of a slide's tissue, read once for each resolution."""

    job: SlideJob
    shared: Shared
    source: WSIReader
    shelf: Shelf
    notes: list[str] = field(default_factory=list)

    def at(self, name: str, mpp: float | None) -> Pixels:
        """Return the tissue at a resolution, for the transform of this name."""
        from tiler.transforms.tissue import resolution_for

        tiles = self.job.extractor.tile_spec.resolution
        try:
            resolution = resolution_for(mpp, self.source, tiles)
        except ResolutionError as error:
            what = f"{name} cannot be fitted at mpp={mpp:g}: {error.what}"
            fix = f"set reader.mpp, or transform.{name}.mpp=null (the tiles' own resolution)"
            raise TransformError(self.job.slide_id, f"{what}; {fix}") from error
        mask_key, _ = self.shared.keys
        key = key_of({"mask": mask_key, "tissue": repr(resolution)})
        found = self.shelf.find("tissue sample", key, _tissue)
        return self._read(key, resolution) if found is None else found

    def _read(self, key: str, resolution: Any) -> Pixels:
        from tiler.transforms.tissue import tissue_pixels

        mask, drop = self.shared.slide_mask, self.job.on_bad_tile == "drop"
        pixels, bad = tissue_pixels(self.source, mask, resolution, skip_unreadable=drop)
        if bad:
            blocks = f"{bad} unreadable block{'s' if bad > 1 else ''}"
            self.notes.append(f"transforms are fitted without {blocks} of tissue")
        return _tissue(self.shelf.keep("tissue sample", key, {"pixels": pixels}, complete=not bad))


def _tissue(entry: Arrays) -> Pixels:
    pixels = entry.get("pixels")
    if pixels is None or pixels.dtype != "uint8" or pixels.ndim != 3 or pixels.shape[::2] != (1, 3):
        raise ValueError("contains no tissue")
    return pixels


def _checked(fitted: Any, transform: Transform, slide: str) -> FittedTransform:
    """Return the result of a transform's ``fit`` after a check.

    Raises
    ------
    ComponentError
        If it is no ``FittedTransform``, or cannot be sent to workers or recorded.
    """
    where = f"{callable_name(transform)}.fit returned {shown(fitted)}"
    if lacking(fitted, FittedTransform) or not callable(fitted):
        fix = "return a callable with facts (see tiler.protocols.FittedTransform)"
        raise ComponentError(slide, f"{where}; {fix}")
    made: FittedTransform = fitted
    try:
        pickle.dumps(made)
        json.dumps(made.facts, allow_nan=False)
    except Exception as error:  # a user's component may contain anything
        text = " ".join(str(error).split())
        what = f"{where}, which does not pickle or whose facts are not plain values: {text}"
        raise ComponentError(slide, f"{what}; use plain values") from error
    return made
