"""What a sweep must not be: checked before anything is written for it."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tiler.config.checks.validate import check_folder
from tiler.config.sweeps.multirun import swept_by
from tiler.errors import ConfigError

_UNSWEPT = ("out", "name", "tracker")
_POOLS = ("ProcessEngine", "DaskEngine")


def check_sweep(config: DictConfig, lines: Sequence[Override]) -> None:
    """Refuse a sweep before anything is written for it.

    Parameters
    ----------
    config
        As Hydra composed it, with its own node.
    lines
        The overrides of the sweep.

    Raises
    ------
    ConfigError
        When it sweeps what it must not, or its jobs would lie where nobody looks for them.
    """
    _check(config, swept_by(lines))


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
