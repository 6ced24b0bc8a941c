"""From a composed configuration to the jobs of a run."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tiler.config.checks.validate import check_out, leaves, nearest, problems_in
from tiler.config.components import SHAPES_OUTPUT, cache_folder, job_parts, made_anew
from tiler.config.schema import Config
from tiler.errors import ConfigError
from tiler.protocols import SlideEntry, Tracker
from tiler.runner.engines.base import Engine
from tiler.runner.identity import assign_ids
from tiler.runner.limits import Limits
from tiler.runner.run import Policy
from tiler.runner.work.job import SlideJob
from tiler.storage.companions import one_per_series

_FINDS_SLIDES = ("tiler.slides.find_slides", "tiler.slides.read_table")
"""Targets that only look."""


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
    """What a configuration asks for; ``base`` is the folder that paths of slides count from."""

    jobs: list[SlideJob]
    engine: Engine
    policy: Policy
    tracker: Tracker
    limits: Limits
    plain: dict[str, Any]
    base: str | None


def build(config: DictConfig, root: Path | None = None, swept: Collection[str] = ()) -> Plan:
    """Validate a configuration, find its slides and make a job for each.

    Parameters
    ----------
    config
        As Hydra composed it.
    root
        The folder of the run, or of the sweep that it is part of: the place of its cache.
    swept
        The dotted keys that a job has from that sweep.

    Raises
    ------
    ConfigError
        With a line for every mistake.
    """
    plain = resolved(config)
    early, given = _said_by_table(plain)
    problems = problems_in(plain, [field.name for field in fields(Config)], given)
    if problems:
        raise ConfigError("\n".join(problems))
    check_out(plain)
    limits = Limits(**plain["limits"])
    common = {} if given else job_parts(plain)  # what is left open can only be made slide by slide
    engine: Engine = made_anew(plain, "engine")
    tracker: Tracker = made_anew(plain, "tracker")
    entries = early or _found(plain)
    ids = assign_ids(entries)
    parts = _parts_of(entries, common, config, plain, swept)
    cache = cache_folder(plain["cache"], root)
    jobs = [
        SlideJob(
            entry.path,
            slide_id,
            expected_sha256=entry.expected_sha256,
            cache=cache,
            given=entry.given,
            columns=entry.columns,
            problem=entry.problem,
            **own,
        )
        for entry, slide_id, own in zip(entries, ids, parts, strict=True)
    ]
    policy = Policy(plain["verify"], plain["on_change"])
    return Plan(jobs, engine, policy, tracker, limits, plain, _base(entries))


def _base(entries: Sequence[SlideEntry]) -> str | None:
    """The folder that the paths of slides count from; None where that is not one."""
    bases = {entry.base for entry in entries}
    return bases.pop() if len(bases) == 1 else None


def _said_by_table(plain: Mapping[str, Any]) -> tuple[list[SlideEntry], set[str]]:
    """The slides of a table that are to say what the configuration does not, and what they all say.

    Neither where the configuration leaves nothing open, for slides are looked for last.
    """
    unset = {key for key, value in _settable(plain).items() if value == "???"}
    slides = {"slides": plain.get("slides")}
    if not unset or problems_in(slides, slides) or "table" not in plain["slides"]:
        return [], set()
    entries = _found(plain)
    return entries, unset.intersection(*(entry.overrides for entry in entries))


def named_slides(config: DictConfig) -> list[Path]:
    """The files of a configuration's slides, where finding them changes nothing.

    A component of the user's own and the demo are asked by a job alone; what makes no sense is
    refused by it.
    """
    try:
        plain = {"slides": resolved(config.slides)}
        known = plain["slides"].get("_target_") in _FINDS_SLIDES
        if problems_in(plain, plain) or not known:
            return []
        return [entry.path for entry in _found(plain)]
    except ConfigError:
        return []


def _found(plain: Mapping[str, Any]) -> list[SlideEntry]:
    return one_per_series(made_anew(plain, "slides"))


def _parts_of(
    entries: Sequence[SlideEntry],
    common: Mapping[str, Any],
    config: DictConfig,
    plain: Mapping[str, Any],
    swept: Collection[str],
) -> list[Mapping[str, Any]]:
    """What each slide's job is made of, the mistakes of all of them told at once."""
    keys = _settable(plain)
    # Takes half the time of OmegaConf's own copy, once for all that need one.
    copied = pickle.dumps(config) if any(entry.overrides for entry in entries) else b""
    places: dict[str, list[str]] = {}  # by what is wrong there
    parts: list[Mapping[str, Any]] = []
    for entry in entries:
        try:
            own = _overridden(copied, keys, entry.overrides, swept) if entry.overrides else {}
        except ConfigError as error:
            place = f"line {entry.line} ({entry.path.name})" if entry.line else entry.path.name
            for what in str(error).splitlines():
                places.setdefault(what, []).append(place)
            continue
        parts.append({**common, **own})
    problems = [
        f"slides.table: {there[0]}{f' and {len(there) - 1} more' if there[1:] else ''}: {what}"
        for what, there in places.items()
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    return parts


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
    tracker: Tracker = made_anew(plain, "tracker")
    return tracker


def _overridden(
    config: bytes, keys: Collection[str], overrides: Mapping[str, str], swept: Collection[str]
) -> dict[str, Any]:
    """What a job is made of by a pickled configuration with some of the ``keys`` set from text.

    Raises
    ------
    ConfigError
        When a key does not exist, may not differ between slides, is swept, or has the wrong type:
        with a line for every mistake.
    """
    own: DictConfig = pickle.loads(config)
    problems = []
    for key, text in overrides.items():
        if key not in keys:
            problems.append(
                f"column {key!r} is no key that a slide may set{nearest(key, keys)}"
                " (begin its name with _ to have it ignored)"
            )
            continue
        if key in swept:
            problems.append(f"{key}={text}: the sweep sets {key}, too; leave it out of one of them")
        try:
            OmegaConf.update(own, key, yaml.safe_load(text))
        except (OmegaConfBaseException, yaml.YAMLError) as error:
            problems.append(f"{key}={text}: {str(error).splitlines()[0]}")
    changed = resolved(own)
    problems += problems_in(changed, list(changed))
    if problems:
        raise ConfigError("\n".join(problems))
    return job_parts(changed)


def _settable(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that a slide may set: single values, but for Hydra's own."""
    shaping = {key: plain[key] for key in SHAPES_OUTPUT if key in plain}
    return {
        key: value
        for key, value in leaves(shaping)
        if not isinstance(value, Mapping) and not key.rpartition(".")[2].startswith("_")
    }
