"""Build the jobs of a run from a composed configuration."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from tiler.config.cache import cache_folder
from tiler.config.checks.typed import check_engine
from tiler.config.checks.validate import check_out, problems_in
from tiler.config.components import job_parts, made_again
from tiler.config.literal import resolved
from tiler.config.rows import components_of, settable
from tiler.config.schema import Config, mistyped
from tiler.errors import ConfigError
from tiler.protocols import SlideEntry, Tracker
from tiler.runner.engines.base import Engine
from tiler.runner.identity import assign_ids
from tiler.runner.limits import Limits
from tiler.runner.reporting.run_report import RunReport
from tiler.runner.stock import Policy
from tiler.runner.work.job import SlideJob
from tiler.storage.companions import one_per_series

_FINDS_SLIDES = ("tiler.slides.find_slides", "tiler.slides.read_table")
"""Targets that only read."""


@dataclass(frozen=True)
class Plan:
    """The jobs of a run and their context; paths of slides count from the folder ``base``."""

    jobs: list[SlideJob]
    engine: Engine
    policy: Policy
    tracker: Tracker
    report: RunReport | None
    limits: Limits
    plain: dict[str, Any]
    base: str | None


def build(
    config: DictConfig,
    root: Path | None = None,
    swept: Collection[str] = (),
    typed: Collection[str] = (),
    measure_from: float | None = None,
    entries: Sequence[SlideEntry] | None = None,
) -> Plan:
    """Validate a configuration, find its slides and make a job for each.

    Parameters
    ----------
    config
        The configuration as Hydra composed it.
    root
        The folder of the run, or of the sweep that it is part of: the place of its cache.
    swept
        The dotted keys that a job has from that sweep.
    typed
        The dotted keys that the command itself sets: only it may name commands to run.
    measure_from
        The lowest threshold of that sweep: see ``SlideJob``.
    entries
        The slides; None to find them as the configuration says.

    Raises
    ------
    ConfigError
        If there are mistakes; the error has a line for each.
    """
    plain = resolved(config)
    early, given = _said_by_table(plain, entries)
    problems = problems_in(plain, [field.name for field in fields(Config)], given)
    problems += mistyped(plain)
    if problems:
        raise ConfigError("\n".join(problems))
    check_out(plain)
    check_engine(plain["engine"], plain["out"], typed)
    limits = Limits(**plain["limits"])
    common = {} if given else job_parts(plain)  # keys left open are set slide by slide
    engine: Engine = made_again(plain, "engine")
    tracker: Tracker = made_again(plain, "tracker")
    report: RunReport | None = made_again(plain, "report")
    entries = (early or _found(plain)) if entries is None else entries
    ids = assign_ids(entries)
    parts = components_of(entries, common, config, plain, swept)
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
            measure_from=measure_from,
            from_table=tuple(entry.overrides),
            **own,
        )
        for entry, slide_id, own in zip(entries, ids, parts, strict=True)
    ]
    policy = Policy(plain["verify"], plain["on_change"])
    return Plan(jobs, engine, policy, tracker, report, limits, plain, _base(entries))


def _base(entries: Sequence[SlideEntry]) -> str | None:
    """Return the folder that the paths of slides count from; None if there are several."""
    bases = {entry.base for entry in entries}
    return bases.pop() if len(bases) == 1 else None


def _said_by_table(
    plain: Mapping[str, Any], entries: Sequence[SlideEntry] | None
) -> tuple[Sequence[SlideEntry], set[str]]:
    """Return the slides of a table that sets open keys, and the keys that all of its rows set.

    Return neither if the configuration leaves no key open: slides are searched last.
    """
    unset = {key for key, value in settable(plain).items() if value == "???"}
    slides = {"slides": plain.get("slides")}
    if not unset:
        return [], set()
    if entries is None:
        if problems_in(slides, slides) or "table" not in plain["slides"]:
            return [], set()
        entries = _found(plain)
    return entries, unset.intersection(*(entry.overrides for entry in entries))


def named_slides(config: DictConfig) -> list[Path]:
    """Return the files of a configuration's slides, if finding them changes nothing.

    Only a job calls the user's own components and the demo, and refuses invalid settings.
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
    return one_per_series(made_again(plain, "slides"))


def build_tracker(config: DictConfig) -> Tracker:
    """Build the tracker alone, for the parent run of a sweep.

    Raises
    ------
    ConfigError
        If there are mistakes in it; the error has a line for each.
    """
    tracker: Tracker = _alone(config, "tracker")
    return tracker


def build_report(config: DictConfig) -> RunReport | None:
    """Build the report alone, for a sweep; None if there is none.

    Raises
    ------
    ConfigError
        If there are mistakes in it; the error has a line for each.
    """
    report: RunReport | None = _alone(config, "report")
    return report


def _alone(config: DictConfig, key: str) -> Any:
    plain = {key: resolved(config[key])}
    problems = problems_in(plain, list(plain))
    if problems:
        raise ConfigError("\n".join(problems))
    return made_again(plain, key)
