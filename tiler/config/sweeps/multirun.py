"""A sweep: what it varies, where its jobs go, and the tables that it ends with."""

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

_MAX_NAME = 120


@dataclass(frozen=True)
class SweepContext:
    """What each job of a sweep has to know of it; pickles to the processes of launchers.

    Attributes
    ----------
    sweep_id
        Unique.
    keys
        What it sweeps.
    parent_run
        Its own run's id, where a tracker gave one.
    folder
        Where its jobs go, absolute.
    """

    sweep_id: str
    keys: tuple[str, ...]
    parent_run: str | None
    folder: Path


@dataclass(frozen=True)
class Sweep:
    """A sweep that this process launches.

    Attributes
    ----------
    context
        What its jobs have to know.
    folder
        Where its jobs go, as the configuration says it.
    tracker
        Is told of it.
    overrides
        They define it.
    fixed
        The keys that are set but not swept: jobs are not named after them.
    jobs
        What each job varies, in the order of their numbers; None where a sweeper decides.
    """

    context: SweepContext
    folder: Path
    tracker: Guarded
    overrides: tuple[str, ...]
    fixed: tuple[str, ...]
    jobs: tuple[dict[str, str], ...] | None

    def naming(self) -> str:
        """An override by which Hydra names the folders of jobs after what is swept alone."""
        keys = ",".join(map(_quoted, self.fixed))
        return f"hydra.job.config.override_dirname.exclude_keys=[{keys}]"


def swept_values(sweep: SweepContext, overrides: list[str]) -> dict[str, str]:
    """The value that a job has for each swept key."""
    words = map(parsed, overrides)
    values = {override.key_or_group: override.get_value_element_as_str() for override in words}
    return {key: values[key] for key in sweep.keys if key in values}


def swept_keys(sweep: SweepContext, overrides: list[str]) -> set[str]:
    """The dotted keys that a job has from the sweep: of a mapping those in it."""
    keys: set[str] = set()
    for override in map(parsed, overrides):
        if (key := override.key_or_group) in sweep.keys:
            value = override.value()
            keys |= {key for key, _ in leaves({key: value})} if isinstance(value, dict) else {key}
    return keys


@cache
def parsed(word: str) -> Override:
    """A word of the command line by Hydra's grammar: jobs of a sweep share most of theirs."""
    return OverridesParser.create().parse_overrides([word])[0]


def register_resolvers() -> None:
    """Make known to OmegaConf what the configuration asks for: a job's folder, and the help."""
    OmegaConf.register_new_resolver("tiler_job_folder", job_folder, replace=True)
    # Cached, for jobs of a sweep in other processes have the sweep's name.
    OmegaConf.register_new_resolver("tiler_name", default_name, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("tiler_home", at_home, replace=True)


def job_folder(overrides: str) -> str:
    """A folder name that says what was swept, safe and not too long."""
    name = re.sub(r"[^\w.,=+@\-\[\] ]", "_", overrides)
    if len(name) > _MAX_NAME:
        name = f"{name[:_MAX_NAME]}-{sha256(overrides.encode()).hexdigest()[:8]}"
    return name.strip(". ") or "job"


def begin_sweep(config: DictConfig, lines: Sequence[Override], folder: Path) -> Sweep:
    """Begin a sweep, and its own run: its jobs find database and parent ready.

    Parameters
    ----------
    config
        As Hydra composed it, with its own node.
    lines
        The overrides of the sweep.
    folder
        Where the command was given.

    Raises
    ------
    ConfigError
        When its tracker cannot be made.
    """
    from tiler.config.build import build_tracker
    from tiler.config.literal import resolved
    from tiler.config.tracking import parameters
    from tiler.runner.reporting.tracking import Guarded

    swept = swept_by(lines)
    tracker = Guarded(build_tracker(config))
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    try:
        plain = resolved(own)
    except ConfigError:  # what only a job can resolve stays as it is written
        plain = cast("dict[str, Any]", OmegaConf.to_container(own, enum_to_str=True))
    parent = tracker.start(str(plain["name"]), parameters(plain, swept), None)
    place = Path(config.hydra.sweep.dir)
    context = SweepContext(uuid.uuid4().hex[:12], tuple(swept), parent or None, folder / place)
    keys = dict.fromkeys(line.key_or_group for line in lines)
    fixed = tuple(key for key in keys if key not in swept)
    words = tuple(str(line.input_line) for line in lines)
    return Sweep(context, place, tracker, words, fixed, _jobs(config, lines))


def swept_by(lines: Sequence[Override]) -> dict[str, str]:
    """The keys that a sweep varies, each with its values as they are written."""
    known = {override.key_or_group: override for override in lines}
    return {
        key: str(override.input_line).partition("=")[2]
        for key, override in known.items()
        if override.is_sweep_override()
    }


def _jobs(config: DictConfig, lines: Sequence[Override]) -> tuple[dict[str, str], ...] | None:
    """What each job is going to vary, in the order of their numbers; None where that is open.

    Hydra's own sweeper runs every combination, the last key fastest; others choose as they go.
    """
    sweeper = str(OmegaConf.select(config, "hydra.sweeper._target_"))
    swept = [line for line in lines if line.is_sweep_override()]
    if not sweeper.endswith(".BasicSweeper") or not all(x.is_discrete_sweep() for x in swept):
        return None
    keys = [line.key_or_group for line in swept]
    values = product(*(line.sweep_string_iterator() for line in swept))
    return tuple(dict(zip(keys, chosen, strict=True)) for chosen in values)


def _quoted(text: str) -> str:
    """Text as a quoted value of Hydra's grammar."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
