"""The definition of a sweep: swept keys, expected jobs and the folders of jobs."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from tiler.config.checks.validate import leaves
from tiler.config.command.naming import default_name
from tiler.config.home import at_home
from tiler.errors import ConfigError

if TYPE_CHECKING:
    from tiler.runner.reporting.tracking import Guarded

EXCLUDED = "hydra.job.config.override_dirname.exclude_keys"
"""The keys that are not part of a job's folder name."""

_MAX_NAME = 120


@dataclass(frozen=True)
class SweepContext:
    """Facts about a sweep that each job needs; pickles to the processes of launchers.

    Attributes
    ----------
    sweep_id
        The id of the sweep, which is unique.
    keys
        The swept keys.
    parent_run
        The id of the sweep's own run, if a tracker gave one.
    folder
        The absolute folder of the sweep.
    lowest_threshold
        The lowest of the thresholds that it sweeps, from which all its jobs measure scores; None
        if it sweeps none.
    """

    sweep_id: str
    keys: tuple[str, ...]
    parent_run: str | None
    folder: Path
    lowest_threshold: float | None = None


@dataclass(frozen=True)
class Sweep:
    """A sweep that this process launches.

    Attributes
    ----------
    context
        The facts that jobs need.
    folder
        The folder of the sweep as the configuration spells it.
    tracker
        The tracker of the sweep's own run.
    overrides
        The overrides that define the sweep.
    jobs
        The swept values of each job, in the order of their numbers; None if a sweeper chooses them.
    reported
        True if it ends with a report.
    charts
        The formats in which the charts of the report are written as files.
    """

    context: SweepContext
    folder: Path
    tracker: Guarded
    overrides: tuple[str, ...]
    jobs: tuple[dict[str, str], ...] | None
    reported: bool = False
    charts: tuple[str, ...] = ()


def swept_values(sweep: SweepContext, overrides: list[str]) -> dict[str, str]:
    """Return a job's value of each swept key."""
    found = map(parsed, overrides)
    values = {override.key_or_group: override.get_value_element_as_str() for override in found}
    return {key: values[key] for key in sweep.keys if key in values}


def swept_keys(sweep: SweepContext, overrides: list[str]) -> set[str]:
    """Return the dotted keys that the sweep sets in a job, including those inside mappings."""
    keys: set[str] = set()
    for override in map(parsed, overrides):
        if (key := override.key_or_group) in sweep.keys:
            value = override.value()
            keys |= {key for key, _ in leaves({key: value})} if isinstance(value, dict) else {key}
    return keys


@cache
def parsed(override: str) -> Override:
    """Parse an override; jobs of a sweep share most of theirs."""
    return OverridesParser.create().parse_overrides([override])[0]


def register_resolvers() -> None:
    """Register the resolvers of the configuration: a job's folder, a run's name, a home folder."""
    OmegaConf.register_new_resolver("tiler_job_folder", job_folder, replace=True)
    # The cache gives jobs of a sweep in other processes the sweep's name.
    OmegaConf.register_new_resolver("tiler_name", default_name, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("tiler_home", at_home, replace=True)


def job_folder(overrides: str) -> str:
    """Return a safe, short folder name made of a job's swept overrides."""
    name = re.sub(r"[^\w.,=+@\-\[\] ]", "_", overrides)
    if len(name) > _MAX_NAME:
        name = f"{name[:_MAX_NAME]}-{sha256(overrides.encode()).hexdigest()[:8]}"
    return name.strip(". ") or "job"


def begin_sweep(config: DictConfig, lines: Sequence[Override], folder: Path) -> Sweep:
    """Begin a sweep and its own run, so that its jobs find the tracker's database and parent.

    The page of an earlier sweep in its folder is removed.

    Parameters
    ----------
    config
        The configuration as Hydra composed it, with its own node.
    lines
        The overrides of the sweep.
    folder
        The working folder of the command.

    Raises
    ------
    ConfigError
        If its tracker cannot be created, or something is in the way of its report.
    """
    from tiler.config.build import build_report, build_tracker
    from tiler.config.groups.tracking import parameters
    from tiler.config.literal import resolved
    from tiler.runner.products.report_files import withdraw_page
    from tiler.runner.reporting.tracking import Guarded

    swept = swept_by(lines)
    place = Path(config.hydra.sweep.dir)
    if report := build_report(config):
        report.check(place)
    tracker = Guarded(build_tracker(config))
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    try:
        plain = resolved(own)
    except ConfigError:  # values that only a job can resolve stay as written
        plain = cast("dict[str, Any]", OmegaConf.to_container(own, enum_to_str=True))
    parent = tracker.start(str(plain["name"]), parameters(plain, swept), None)
    jobs = expected_jobs(config, lines)
    if not config.dry_run:
        withdraw_page(place)  # until it is written again, it would be about other jobs
    context = SweepContext(
        uuid.uuid4().hex[:12],
        tuple(swept),
        parent or None,
        folder / place,
        _lowest([job["threshold"] for job in jobs or () if "threshold" in job]),
    )
    overrides = tuple(str(line.input_line) for line in lines)
    charts = tuple(getattr(report, "charts", ()))
    return Sweep(context, place, tracker, overrides, jobs, report is not None, charts)


def named_after_swept_keys(lines: Sequence[Override]) -> str:
    """Return the override that makes Hydra name jobs after swept keys only."""
    return f"{EXCLUDED}=[{','.join(map(_quoted, fixed_keys(lines)))}]"


def fixed_keys(lines: Sequence[Override]) -> list[str]:
    """Return the keys that a sweep sets but does not sweep."""
    swept = swept_by(lines)
    return [key for key in dict.fromkeys(line.key_or_group for line in lines) if key not in swept]


def _lowest(values: Sequence[str]) -> float | None:
    """Return the lowest of some numbers in Hydra's grammar; None if one is not a number."""
    try:
        return min(map(float, values), default=None)
    except ValueError:
        return None


def swept_by(lines: Sequence[Override]) -> dict[str, str]:
    """Return the swept keys, each with its values as written."""
    return {
        override.key_or_group: str(override.input_line).partition("=")[2]
        for override in _effective(lines)
        if override.is_sweep_override()
    }


def _effective(lines: Sequence[Override]) -> list[Override]:
    """Return the last override of each key, in the order of the first ones, as Hydra takes them."""
    return list({override.key_or_group: override for override in lines}.values())


def expected_jobs(
    config: DictConfig, lines: Sequence[Override]
) -> tuple[dict[str, str], ...] | None:
    """Return the swept values of each job, in the order of their numbers; None if unknown.

    Hydra's own sweeper runs every combination, the last key fastest. Others choose as they go, and
    ``shuffle`` gives another order each time.
    """
    sweeper = str(OmegaConf.select(config, "hydra.sweeper._target_"))
    last = {line.get_key_element(): line for line in lines}  # of a key that is set twice
    swept = [line for line in last.values() if line.is_sweep_override()]
    ordered = [x.is_discrete_sweep() and not getattr(x.value(), "shuffle", False) for x in swept]
    if not sweeper.endswith(".BasicSweeper") or not all(ordered):
        return None
    keys = [line.key_or_group for line in swept]
    values = product(*(line.sweep_string_iterator() for line in swept))
    return tuple(dict(zip(keys, chosen, strict=True)) for chosen in values)


def _quoted(text: str) -> str:
    """Quote a text as a value of Hydra's grammar."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
