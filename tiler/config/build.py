"""From a composed configuration to the jobs of a run."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tiler.config.schema import Config
from tiler.config.validate import check_out, leaves, nearest, nodes, out_of_range, problems_in
from tiler.errors import ConfigError, TilerError
from tiler.extractor import TileExtractor
from tiler.protocols import SlideEntry, Tracker
from tiler.resolution import Level
from tiler.runner.engine import Engine
from tiler.runner.identity import assign_ids
from tiler.runner.job import SlideJob
from tiler.runner.limits import Limits
from tiler.runner.run import Policy
from tiler.runner.twins import one_per_series

SHAPES_OUTPUT = (
    "threshold",
    "on_bad_tile",
    "max_bad_fraction",
    "reader",
    "resolution",
    "tile",
    "mask",
    "exporter",
)
"""The keys that decide what is written for a slide; a table may set them slide by slide."""


def resolved(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain values.

    Raises
    ------
    ConfigError
        When an interpolation leads nowhere.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True, enum_to_str=True)
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0]) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


@dataclass(frozen=True)
class Plan:
    """What a configuration asks for."""

    jobs: list[SlideJob]
    engine: Engine
    policy: Policy
    tracker: Tracker
    limits: Limits
    plain: dict[str, Any]


def build(config: DictConfig, root: Path | None = None) -> Plan:
    """Validate a configuration, find its slides and make a job for each.

    Parameters
    ----------
    config
        As Hydra composed it.
    root
        The folder of the run, or of the sweep that it is part of: the place of its cache.

    Raises
    ------
    ConfigError
        With a line for every mistake.
    """
    plain = resolved(config)
    known = [field.name for field in fields(Config)]
    problems = problems_in(plain, known)
    if problems:
        raise ConfigError("\n".join(problems))
    check_out(plain)
    limits = Limits(**plain["limits"])
    common = {**_parts(plain), "cache": _cache_folder(plain["cache"], root)}
    engine: Engine = _anew(plain, "engine")
    tracker: Tracker = _anew(plain, "tracker")
    entries: list[SlideEntry] = one_per_series(_anew(plain, "slides"))
    ids = assign_ids(entries)
    keys = _settable({key: plain[key] for key in SHAPES_OUTPUT})
    # Takes half the time of OmegaConf's own copy, once for all that need one.
    copied = pickle.dumps(config) if any(entry.overrides for entry in entries) else b""
    jobs = [
        _job(entry, slide_id, copied, keys, common)
        for entry, slide_id in zip(entries, ids, strict=True)
    ]
    return Plan(jobs, engine, Policy(plain["verify"], plain["on_change"]), tracker, limits, plain)


def build_tracker(config: DictConfig) -> Tracker:
    """The tracker alone, for the run of a sweep that has no slides of its own.

    Raises
    ------
    ConfigError
        With a line for every mistake in it.
    """
    plain = {"tracker": resolved(config.tracker)}
    problems = problems_in(plain, list(plain))
    if problems:
        raise ConfigError("\n".join(problems))
    tracker: Tracker = _anew(plain, "tracker")
    return tracker


def _job(
    entry: SlideEntry,
    slide_id: str,
    config: bytes,
    keys: Sequence[str],
    common: dict[str, Any],
) -> SlideJob:
    parts = common
    if entry.overrides:
        try:
            parts = {**common, **_parts(_overridden(config, keys, entry.overrides))}
        except ConfigError as error:
            raise ConfigError(f"slides.table: {entry.path.name}: {error}") from error
    return SlideJob(
        path=entry.path, slide_id=slide_id, expected_sha256=entry.expected_sha256, **parts
    )


def _parts(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The objects of a job, all problems of their values listed at once."""
    made: dict[str, Any] = {}
    problems: list[str] = []
    for key in ("reader", "resolution", "mask", "exporter"):
        try:
            made[key] = _kept(plain, key)
        except ConfigError as error:
            problems.append(str(error))
    try:
        # A stand-in, so that a wrong resolution does not hide what is wrong with the tile.
        resolution = made.get("resolution") or Level(0)
        spec = _kept(plain, "tile", _partial_=True)(resolution=resolution)
        extractor = TileExtractor(
            spec, mask_provider=made.get("mask"), mask_threshold=plain["threshold"]
        )
    except ConfigError as error:
        problems.append(str(error))
    problems += out_of_range(plain["reader"])
    if not 0 <= plain["max_bad_fraction"] <= 1:
        problems.append(f"max_bad_fraction={plain['max_bad_fraction']}: must lie between 0 and 1")
    if not problems and not made["exporter"]:
        problems.append("exporter=[]: choose at least one of csv, json, images, overview")
    linking = (plain["exporter"].get("images") or {}).get("link")
    if linking and _cache_folder(plain["cache"], Path()) is None:
        problems.append("exporter.images.link=true finds tiles through the cache: set cache=null")
    if problems:
        raise ConfigError("\n".join(problems))
    return {
        "open_reader": _plain_partial(made["reader"]),
        "extractor": extractor,
        "exporters": dict(made["exporter"]),
        "settings": _shaping(plain),
        "on_bad_tile": plain["on_bad_tile"],
        "max_bad_fraction": plain["max_bad_fraction"],
    }


def _cache_folder(wish: str | None, root: Path | None) -> Path | None:
    """Absolute, so that every worker finds it; None for none."""
    if wish is not None and wish.casefold() in ("off", "false"):  # YAML reads off as false
        return None
    folder = Path(wish) if wish else root / ".cache" if root else None
    return folder.absolute() if folder else None


def _plain_partial(made: Any) -> Any:
    """A partial without Hydra's wrapper, which would have every worker import Hydra."""
    return partial(made.func, *made.args, **made.keywords) if isinstance(made, partial) else made


def _shaping(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide what is written; the number of threads, for one, does not."""
    settings = copy.deepcopy({key: plain[key] for key in SHAPES_OUTPUT})
    for key in ("threads", "link"):
        settings["exporter"].get("images", {}).pop(key, None)
    return settings


def _kept(plain: Mapping[str, Any], key: str, **how: bool) -> Any:
    """What a group describes, made once: slides of a table and jobs of a sweep have much alike."""
    return _from_bytes(pickle.dumps({key: plain[key]}), key, **how)


def _anew(plain: Mapping[str, Any], key: str) -> Any:
    """What a group describes, each time another; what makes it is looked up once."""
    with _explained(key):
        if sum(1 for _ in nodes(plain[key], key)) > 1:  # its parts have to be others, too
            return instantiate({**plain[key], "_convert_": "all"})
        make = _plain_partial(_kept(plain, key, _partial_=True))
        return make.func(*copy.deepcopy(make.args), **copy.deepcopy(make.keywords))


@lru_cache(maxsize=64)
def _from_bytes(group: bytes, key: str, **how: bool) -> Any:
    with _explained(key):
        return instantiate({**pickle.loads(group)[key], **how, "_convert_": "all"})


@contextmanager
def _explained(key: str) -> Iterator[None]:
    """Say of an error of a part that is made which group it is about."""
    try:
        yield
    except TilerError:
        raise
    except Exception as error:  # whatever a part of the user's own raises
        cause = error.__cause__ if isinstance(error, InstantiationException) else error
        if isinstance(cause, TilerError):
            raise cause from None
        what = str(error).splitlines()[0] if cause is None else repr(cause)
        raise ConfigError(f"{key}: {what}") from error


def _overridden(config: bytes, keys: Sequence[str], overrides: Mapping[str, str]) -> dict[str, Any]:
    """The configuration of one slide: some of the ``keys`` of a pickled one set from text.

    Raises
    ------
    ConfigError
        When a key does not exist, may not differ between slides, or has the wrong type.
    """
    own: DictConfig = pickle.loads(config)
    for key, text in overrides.items():
        if key not in keys:
            raise ConfigError(
                f"column {key!r} is no key that a slide may set{nearest(key, keys)}"
                " (begin its name with _ to have it ignored)"
            )
        try:
            OmegaConf.update(own, key, yaml.safe_load(text))
        except (OmegaConfBaseException, yaml.YAMLError) as error:
            raise ConfigError(f"{key}={text}: {str(error).splitlines()[0]}") from error
    changed = resolved(own)
    problems = problems_in(changed, list(changed))
    if problems:
        raise ConfigError("; ".join(problems))
    return changed


def _settable(plain: Mapping[str, Any]) -> list[str]:
    """The keys of single values, but for Hydra's own."""
    return [
        key
        for key, value in leaves(plain)
        if not isinstance(value, Mapping) and not key.rpartition(".")[2].startswith("_")
    ]
