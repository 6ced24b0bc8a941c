"""Make the components of a configuration, once if they may be shared."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from hydra.errors import HydraException, InstantiationException
from omegaconf.errors import OmegaConfBaseException

from tiler.checks.components import lacking
from tiler.checks.error_places import foreign_packages, raised_at, said
from tiler.checks.machine import machine_limit
from tiler.checks.targets import LISTS, nodes
from tiler.config.checks.validate import out_of_range
from tiler.config.groups.exporters import (
    file_settings,
    naming_files,
    protocol_of,
    scale_settings,
    with_context,
    with_pyramid,
    with_spec,
)
from tiler.config.groups.transforms import exporter_conflicts, with_transforms
from tiler.config.home import at_home
from tiler.config.instantiation import instantiated, plain_partial
from tiler.errors import ConfigError, EnvironmentRefusedError, TilerError
from tiler.extractor import TileExtractor
from tiler.protocols import Exporter, Labels, MaskProvider, ReaderFactory, Sampler, Score, Transform
from tiler.resolution import Level
from tiler.runner.components import unpicklable
from tiler.runner.signals import raise_interruption
from tiler.runner.store.code import users_codes
from tiler.scales.context import resolutions_like
from tiler.scales.pyramid import pyramid_resolutions
from tiler.storage.named import unusable_path

SHAPES_OUTPUT = (
    "threshold",
    "on_bad_tile",
    "max_bad_fraction",
    "reader",
    "resolution",
    "tile",
    "mask",
    "filter",
    "label",
    "sampler",
    "context",
    "pyramid",
    "transform",
    "on_bad_fit",
    "exporter",
)
"""The keys that affect a slide's output; a table may set them for each slide."""

_SCALES = ("context", "pyramid")
_OF_EXPORTERS = (*_SCALES, "transform", "on_bad_fit")
"""Keys that affect some exporters alone: see ``scale_settings`` and ``with_transforms``."""

_MADE = ("reader", "resolution", "mask", "filter", "label", "sampler", "transform", "exporter")

_SHAPES_NOTHING = {
    "reader": ("cache_bytes", "max_pixels", "max_tile_bytes"),
    "mask": ("max_pixels",),
    "exporter.images": ("threads", "link"),
}
"""Parameters of components in those groups that change no output: limits, memory, processors."""


def job_parts(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Make the components of a job; list all problems of their values at once."""
    made: dict[str, Any] = {}
    problems: list[str] = []
    for key in _MADE:
        try:
            made[key] = _kept(plain, key)
        except ConfigError as error:
            problems.append(error.in_config())
    problems += _without_protocol(made, plain)
    problems += _not_pickling(made, plain)
    try:
        # A stand-in, so that a wrong resolution does not hide mistakes in the tile.
        resolution = made.get("resolution") or Level(0)
        context, coarser = (plain[key] if "resolution" in made else [] for key in _SCALES)
        with _explained(plain, "tile"):
            spec = _kept(plain, "tile", _partial_=True)(resolution=resolution)
        extractor = TileExtractor(
            spec,
            mask_provider=made.get("mask"),
            mask_threshold=plain["threshold"],
            filters=made.get("filter"),
            labels=made.get("label"),
            sampler=made.get("sampler"),
            context=resolutions_like(context, resolution, "context"),
        )
        pyramid = pyramid_resolutions(coarser, resolution)
    except ConfigError as error:
        problems.append(error.in_config())
    problems += out_of_range(plain["reader"])
    problems += exporter_conflicts(plain, made.get("exporter", {}))
    if not 0 <= plain["max_bad_fraction"] <= 1:
        problems.append(f"max_bad_fraction={plain['max_bad_fraction']} is out of range; use 0 to 1")
    if not problems and not made["exporter"]:
        problems.append("exporter=[]: choose at least one, such as exporter=[csv]")
    if not problems:
        try:
            exporters = with_spec(naming_files(made["exporter"]), spec)
            exporters = with_context(exporters, extractor.context)
        except ConfigError as error:
            problems.append(error.in_config())
    if problems:
        raise ConfigError("\n".join(problems))
    exporters = with_pyramid(exporters, pyramid, plain["on_bad_tile"] == "drop")
    settings = _shaping(plain, exporters)
    own = scale_settings(settings["exporter"], exporters, extractor.context, pyramid)
    settings["exporter"] = with_transforms(own, exporters, plain, made["transform"])
    open_reader = plain_partial(made["reader"])
    return {
        "open_reader": open_reader,
        "extractor": extractor,
        "exporters": exporters,
        "settings": settings,
        "code": users_codes(settings, open_reader, extractor, exporters),
        "on_bad_tile": plain["on_bad_tile"],
        "max_bad_fraction": plain["max_bad_fraction"],
        "pyramid": pyramid,
        "transforms": made["transform"],
        "on_bad_fit": plain["on_bad_fit"],
    }


def _without_protocol(made: dict[str, Any], plain: Mapping[str, Any]) -> Iterator[str]:
    """Name and remove components that lack a member that tiler calls."""
    single = {"mask": MaskProvider, "label": Labels, "sampler": Sampler}
    found: list[tuple[str, dict[str, Any], str, Mapping[str, Any], type]] = [
        *((key, made, key, plain[key], protocol) for key, protocol in single.items()),
        *(
            (f"{group}.{name}", made[group], name, plain[group][name], protocol)
            for group, protocol in (("filter", Score), ("transform", Transform))
            for name in made.get(group, {})
        ),
        *(
            (f"exporter.{name}", made["exporter"], name, plain["exporter"][name], protocol_of(one))
            for name, one in made.get("exporter", {}).items()
        ),
    ]
    for place, parts, name, node, protocol in found:
        if parts.get(name) is not None and (missing := lacking(parts[name], protocol)):
            what, members = type(parts.pop(name)).__name__, ", ".join(missing)
            yield (
                f"E_COMPONENT: {place}: {node['_target_']} made a {what} without {members};"
                f" see tiler.protocols.{protocol.__name__}"
            )


def _not_pickling(made: Mapping[str, Any], plain: Mapping[str, Any]) -> Iterator[str]:
    """Name components that cannot be pickled, if the engine has workers."""
    if plain["engine"].get("_target_", "").endswith(".SerialEngine"):
        return
    keys = ("reader", "mask", "label", "sampler")
    parts = {key: (made[key], plain[key]) for key in keys if key in made}
    for group in LISTS:
        for name, component in made.get(group, {}).items():
            parts[f"{group}.{name}"] = component, plain[group][name]
    for place, (part, settings) in parts.items():
        if all(str(node["_target_"]).startswith("tiler.") for _, node in nodes(settings, place)):
            continue  # tiler's own components pickle, and a table may set thousands of them
        try:
            pickle.loads(pickle.dumps(plain_partial(part)))
        except Exception as error:  # a user's component may contain anything
            yield f"E_COMPONENT: {place}: {unpicklable(error)}"


def reader_factory(plain: Mapping[str, Any]) -> ReaderFactory:
    """Make the function that opens slides, from a configuration's group ``reader``."""
    made: ReaderFactory = plain_partial(_kept(plain, "reader"))
    return made


def made_again(plain: Mapping[str, Any], key: str) -> Any:
    """Make a new component of a group; its class is looked up once."""
    with _explained(plain, key):
        if sum(1 for _ in nodes(plain[key], key)) > 1:  # nested components must be new, too
            return instantiated(_with_homes(plain, key))
        make = plain_partial(_kept(plain, key, _partial_=True))
        return make.func(*copy.deepcopy(make.args), **copy.deepcopy(make.keywords))


def _shaping(plain: Mapping[str, Any], exporters: Mapping[str, Exporter]) -> dict[str, Any]:
    """Return the settings that affect the output; the number of threads, for one, does not."""
    keys = (key for key in SHAPES_OUTPUT if key not in _OF_EXPORTERS)
    settings = copy.deepcopy({key: plain[key] for key in keys})
    for path, names in _SHAPES_NOTHING.items():
        node = settings
        for key in path.split("."):
            node = node.get(key, {})
        if str(node.get("_target_")).startswith("tiler."):  # else they may mean anything
            for name in names:
                node.pop(name, None)
    for name, listed in file_settings(exporters).items():
        settings["exporter"][name]["file"] = listed
    return settings


def _kept(plain: Mapping[str, Any], key: str, **how: bool) -> Any:
    """Make the component of a group once: slides and jobs of a sweep share most settings."""
    return _from_bytes(pickle.dumps({key: _with_homes(plain, key)}), key, **how)


def _with_homes(plain: Mapping[str, Any], key: str) -> Any:
    """Expand ``~`` in a group's values; tiler's own ``slides`` keep paths as they are given."""
    ours = key == "slides" and str(plain[key]["_target_"]).startswith("tiler.")
    return plain[key] if ours else at_home(plain[key])


@lru_cache(maxsize=64)
def _from_bytes(group: bytes, key: str, **how: bool) -> Any:
    plain = pickle.loads(group)
    with _explained(plain, key):
        return instantiated(plain[key], **how)


@contextmanager
def _explained(plain: Mapping[str, Any], key: str) -> Iterator[None]:
    """Name the group of a component that cannot be made, and the line of the user's own code."""
    try:
        yield
    except TilerError as error:
        raise_interruption(error)
        raise
    except Exception as error:  # a user's component may raise anything
        raise_interruption(error)
        cause: BaseException = error
        while isinstance(cause, InstantiationException) and cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, TilerError):
            raise cause from None
        if limit := machine_limit(cause):
            raise EnvironmentRefusedError(limit) from error
        if place := raised_at(cause, foreign_packages((), plain[key])):
            raise ConfigError(f"E_COMPONENT: {key}: {said(cause, place)}") from error
        of_hydra = isinstance(cause, HydraException | OmegaConfBaseException)
        said_by = str(cause).splitlines()[0] if of_hydra else repr(cause)
        raise ConfigError(f"{key}: {unusable_path(cause) or said_by}") from error
