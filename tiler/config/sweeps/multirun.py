"""A sweep: what it varies, where its jobs go, and the tables that it ends with."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tiler.config.checks.validate import check_folder, leaves
from tiler.config.command.naming import default_name
from tiler.config.home import at_home
from tiler.errors import ConfigError

if TYPE_CHECKING:
    from tiler.runner.reporting.tracking import Guarded

_MAX_NAME = 120
_UNSWEPT = ("out", "name", "tracker")
_POOLS = ("ProcessEngine", "DaskEngine")


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
    """

    context: SweepContext
    folder: Path
    tracker: Guarded
    overrides: tuple[str, ...]
    fixed: tuple[str, ...]

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


def check_launcher(launcher: str, engine: str) -> None:
    """Refuse processes that start processes that start processes.

    Parameters
    ----------
    launcher, engine
        What their ``_target_`` names.

    Raises
    ------
    ConfigError
        When the launcher fills the machine with jobs, and the engine would in each of them.
    """
    if launcher.endswith(".JoblibLauncher") and engine.endswith(_POOLS):
        raise ConfigError(
            f"hydra/launcher=joblib runs a job on every core, and {engine.rpartition('.')[2]} would"
            " open a pool of workers in each; take engine=serial with it, or"
            " hydra/launcher=submitit_local"
        )


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
        When it sweeps what it must not, or its jobs would lie where nobody looks for them.
    """
    from tiler.config.build import build_tracker, resolved
    from tiler.config.tracking import parameters
    from tiler.runner.reporting.tracking import Guarded

    known = {override.key_or_group: override for override in lines}
    swept = {
        key: str(override.input_line).partition("=")[2]
        for key, override in known.items()
        if override.is_sweep_override()
    }
    _check(config, swept)
    tracker = Guarded(build_tracker(config))
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    try:
        plain = resolved(own)
    except ConfigError:  # what only a job can resolve stays as it is written
        plain = cast("dict[str, Any]", OmegaConf.to_container(own, enum_to_str=True))
    parent = tracker.start(str(plain["name"]), parameters(plain, swept), None)
    place = Path(config.hydra.sweep.dir)
    context = SweepContext(uuid.uuid4().hex[:12], tuple(swept), parent or None, folder / place)
    fixed = tuple(key for key in known if key not in swept)
    return Sweep(context, place, tracker, tuple(str(line.input_line) for line in lines), fixed)


def _check(config: DictConfig, swept: Mapping[str, str]) -> None:
    unsweepable = [key for key in swept if key.split(".")[0] in _UNSWEPT]
    if unsweepable:
        raise ConfigError(f"{unsweepable[0]} cannot be swept: all jobs of a sweep share it")
    written = OmegaConf.to_container(config.hydra.sweep)
    assert isinstance(written, dict)
    _check_subdir(str(written["subdir"]), swept)
    with suppress(OmegaConfBaseException):  # what only a job can resolve
        check_folder(config.out, config.hydra, of_sweep=True)
        _check_contents(Path(config.hydra.sweep.dir), config, swept)
    launcher, engine = (
        str(OmegaConf.select(config, f"{key}._target_")) for key in ("hydra.launcher", "engine")
    )
    if "engine" not in swept:
        check_launcher(launcher, engine)
    if launcher.endswith(".SlurmLauncher") and shutil.which("srun") is None:
        raise ConfigError(
            "hydra/launcher=submitit_slurm: there is no Slurm here (no srun); start where there is,"
            " or take hydra/launcher=submitit_local"
        )


def _check_contents(folder: Path, config: DictConfig, swept: Collection[str]) -> None:
    """Refuse a sweep's folder with sources in it, or others' files where its own would be."""
    from tiler.config.build import named_slides
    from tiler.runner.guard import refuse_foreign_files, refuse_sources_inside

    refuse_foreign_files(folder, of_sweep=True)
    if not any(key.split(".")[0] == "slides" for key in swept):
        refuse_sources_inside(named_slides(config), folder)


def _check_subdir(subdir: str, swept: Collection[str]) -> None:
    """Refuse to put jobs where the sweep does not look for them, or all of them in one place.

    ``subdir`` is as it is written: what ${…} comes to is each job's own.
    """
    path = PurePath(subdir)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ConfigError(
            f"hydra.sweep.subdir={subdir}: jobs lie below the sweep's folder; give a path down from"
            " there, or leave it out"
        )
    if swept and "${" not in subdir:
        raise ConfigError(
            f"hydra.sweep.subdir={subdir}: all jobs would lie in one folder; name what is swept, as"
            " ${threshold}, or leave it out"
        )


def _quoted(text: str) -> str:
    """Text as a quoted value of Hydra's grammar."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
