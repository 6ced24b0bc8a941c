"""Checks of a sweep before anything is written for it."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tiler.config.checks.validate import check_folder, check_home
from tiler.config.sweeps.multirun import swept_by
from tiler.errors import ConfigError

_UNSWEPT = ("out", "name", "report", "tracker")
_POOLS = ("ProcessEngine", "DaskEngine")


def check_sweep(config: DictConfig, lines: Sequence[Override]) -> None:
    """Refuse a sweep before anything is written for it.

    Parameters
    ----------
    config
        The configuration as Hydra composed it, with its own node.
    lines
        The overrides of the sweep.

    Raises
    ------
    ConfigError
        If it sweeps a key that all jobs share, or its jobs would write outside its folder.
    """
    swept = swept_by(lines)
    unsweepable = [key for key in swept if key.split(".")[0] in _UNSWEPT]
    if unsweepable:
        raise ConfigError(f"{unsweepable[0]} cannot be swept: all jobs of a sweep share it")
    written = OmegaConf.to_container(config.hydra.sweep)
    assert isinstance(written, dict)
    _check_subdir(str(written["subdir"]), swept)
    with suppress(OmegaConfBaseException):  # only a job can resolve the values
        check_folder(config.out, config.hydra, of_sweep=True)
        _check_contents(Path(config.hydra.sweep.dir), config, swept)
    launcher, engine = (
        str(OmegaConf.select(config, f"{key}._target_")) for key in ("hydra.launcher", "engine")
    )
    if "engine" not in swept:
        check_launcher(launcher, engine)
    if launcher.endswith(".SlurmLauncher"):
        _check_slurm(config)


def _check_slurm(config: DictConfig) -> None:
    """Refuse jobs that end as they start, and a machine without Slurm."""
    minutes, delay = (
        OmegaConf.select(config, f"hydra.launcher.{key}", default=None)
        for key in ("timeout_min", "signal_delay_s")
    )
    if isinstance(minutes, int) and isinstance(delay, int) and 60 * minutes <= delay:
        raise ConfigError(
            f"hydra.launcher.timeout_min={minutes}: Slurm would end each job as it starts, because"
            f" its signal comes hydra.launcher.signal_delay_s={delay} seconds before the time is"
            " out; use more minutes or a shorter delay"
        )
    if shutil.which("srun") is None:
        raise ConfigError(
            "hydra/launcher=submitit_slurm: this machine has no Slurm (no srun); start on a machine"
            " of the cluster, or use hydra/launcher=submitit_local"
        )


def check_hydras_files(config: DictConfig, *, of_sweep: bool) -> None:
    """Refuse a command whose Hydra would write outside ``out``, or over files of others.

    Raises
    ------
    ConfigError, DestinationError
        If a file of Hydra would be outside ``out``, or replace a file of another program.
    """
    from tiler.runner.guard import refuse_foreign_hydra_files

    hydras = config.hydra
    with suppress(OmegaConfBaseException):  # only a job can resolve some values
        check_home("out", config.out)
        if not of_sweep:
            check_folder(config.out, hydras, of_sweep=False)
        if hydras.output_subdir is None:
            return
        folder = hydras.sweep.dir if of_sweep else hydras.run.dir
        refuse_foreign_hydra_files(Path(folder), hydras.output_subdir, of_sweep=of_sweep)


def check_launcher(launcher: str, engine: str) -> None:
    """Refuse a pool of processes in each of many parallel jobs.

    Parameters
    ----------
    launcher, engine
        Their ``_target_``.

    Raises
    ------
    ConfigError
        If launcher and engine each start a process on every core.
    """
    if launcher.endswith(".JoblibLauncher") and engine.endswith(_POOLS):
        raise ConfigError(
            f"hydra/launcher=joblib runs a job on every core, and {engine.rpartition('.')[2]} would"
            " start a pool of workers in each; use engine=serial or hydra/launcher=submitit_local"
        )


def _check_contents(folder: Path, config: DictConfig, swept: Collection[str]) -> None:
    """Refuse a folder that contains sources, or files of others under the sweep's names."""
    from tiler.config.build import named_slides
    from tiler.runner.guard import refuse_foreign_files, refuse_sources_inside

    refuse_foreign_files(folder, of_sweep=True)
    if not any(key.split(".")[0] == "slides" for key in swept):
        refuse_sources_inside(named_slides(config), folder)


def _check_subdir(subdir: str, swept: Collection[str]) -> None:
    """Refuse folders of jobs outside the sweep's folder, and one folder for all jobs.

    ``subdir`` is as written: each job resolves ${…} itself.
    """
    path = PurePath(subdir)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ConfigError(
            f"hydra.sweep.subdir={subdir} is not a path below the sweep's folder; use a"
            " relative path without .., or leave it out"
        )
    if swept and "${" not in subdir:
        raise ConfigError(
            f"hydra.sweep.subdir={subdir}: all jobs would write into one folder; include the swept"
            " keys, such as ${threshold}, or leave it out"
        )
