"""Run a configuration that Hydra has composed: a run of its own or a job of a sweep."""

from __future__ import annotations

import logging
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from tiler.checks.error_places import raised_at, said
from tiler.checks.machine import machine_limit
from tiler.checks.targets import user_packages
from tiler.config.hydra_files import mask_hydras_files
from tiler.config.sweeps.checks import check_launcher
from tiler.config.sweeps.multirun import SweepContext, swept_keys, swept_values
from tiler.errors import (
    STOPPED,
    ComponentError,
    ConfigError,
    EnvironmentRefusedError,
    ExitCode,
    TilerError,
)
from tiler.runner.reporting.log_records import clean_log_records
from tiler.runner.signals import launcher_deferred, leave_in_order, pass_on, raise_interruption
from tiler.storage.safe_text import json_text, shown

if TYPE_CHECKING:
    from tiler.config.build import Plan

log = logging.getLogger("tiler")

_HERE = (".InProcessLauncher", ".BasicLauncher")
"""Launchers that run jobs in the process of the command."""

_REQUEUES = ".SlurmLauncher"
"""The launcher whose queue may start a job again that SIGTERM ended."""


@dataclass(frozen=True)
class Command:
    """The command that started a job; pickles to the processes of launchers.

    Attributes
    ----------
    folder
        The absolute working folder of the command.
    started
        ``time.perf_counter()`` when it began.
    typed
        The keys that the command line sets.
    sweep
        The sweep that the command runs; None for a single run.
    """

    folder: Path
    started: float
    typed: frozenset[str] = frozenset()
    sweep: SweepContext | None = None


def do_job(config: DictConfig, command: Command) -> int:
    """Run a configuration; for a job of a sweep, record why it was refused.

    Parameters
    ----------
    config
        The configuration as Hydra composed it.
    command
        The command that started it.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    SystemExit
        With the exit code, when a signal ends a whole sweep, or ends a job in Slurm. Such a job
        leaves no result: it is either in the queue again, or reported as dead.
    """
    leave_in_order()
    clean_log_records()
    hydras = HydraConfig.get()
    mask_hydras_files(_folder(command), command.sweep.folder if command.sweep else None)
    with launcher_deferred():
        code, error = _run(config, command)
    given_up = pass_on()
    if command.sweep is None:
        return code
    launcher = hydras.launcher["_target_"]
    if code in STOPPED and launcher.endswith(_HERE):
        sys.exit(code)  # else the next jobs would start
    if code in STOPPED and launcher.endswith(_REQUEUES) and not given_up:
        sys.exit(code)  # else the sweep would end, and Slurm may start the job again
    if error:
        _record_refusal(command, code, error)  # the other jobs of the sweep still run
    return code


def _run(config: DictConfig, command: Command) -> tuple[int, str]:
    """Return the exit code of a run, and the error if it ended before its slides."""
    started = time.perf_counter() if command.sweep else command.started
    out = _folder(command)
    try:
        return _result(config, command, out, started), ""
    except TilerError as error:
        if isinstance(error, ConfigError):  # other errors name the problem after the signal
            raise_interruption(error)
        remove_if_empty(out)
        return complain(error), error.in_config()
    except SystemExit as stop:
        if stop.code in STOPPED:
            raise
        what = f"a component called sys.exit({stop.code!r}); raise an error instead"
        return complain(ConfigError(what)), what
    except Exception as error:
        raise_interruption(error)
        if limit := machine_limit(error):
            return complain(EnvironmentRefusedError(limit)), limit
        if place := raised_at(error, user_packages()):  # such as an engine, outside any slide
            say(f"{ComponentError.code}: {said(error, place)}")
            return ComponentError.exit_code, said(error, place)
        log.exception("a bug in tiler; please report it with this text")
        return ExitCode.BUG, repr(error)


def _result(config: DictConfig, command: Command, out: Path, started: float) -> int:
    """Run a configuration in a folder and return the exit code."""
    from tiler.config.build import build
    from tiler.config.checks.validate import check_folder, check_table
    from tiler.config.groups.tracking import parameters
    from tiler.runner.reporting.tracking import tracked
    from tiler.runner.run import run

    if sweep := command.sweep:
        from tiler.sweep.table import refuse_twice

        refuse_twice(out, sweep.sweep_id, HydraConfig.get().job.num)
        root, swept = sweep.folder, swept_keys(sweep, _overrides())
    else:
        check_folder(config.out, HydraConfig.get(), of_sweep=False)
        root, swept = out, set()
    lowest = sweep.lowest_threshold if sweep else None
    plan = build(config, root, swept, command.typed, lowest)
    if sweep:
        check_launcher(HydraConfig.get().launcher["_target_"], config.engine["_target_"])
    check_table(plan.plain["slides"].get("table"), out)
    facts = {**_facts(command), "config": plan.plain, "slides": {"base": plan.base}}
    report = None if sweep else plan.report  # the sweep has one about all its jobs
    if config.dry_run:
        if report:
            report.check(out)
        return _estimate(plan, out, facts, time.perf_counter() - started)
    log.info("%d slide%s", len(plan.jobs), "" if len(plan.jobs) == 1 else "s")
    name, parent = (out.name, sweep.parent_run) if sweep else (config.name, None)
    tracking = tracked(plan.tracker, name, parameters(plan.plain), parent, out)
    run_parts = plan.jobs, out, plan.engine, facts, plan.policy, plan.limits
    return run(*run_parts, tracking, report).exit_code


def _folder(command: Command) -> Path:
    """Return the absolute folder of the run, as Hydra made it."""
    hydras = HydraConfig.get()
    place = (hydras.sweep.dir, hydras.sweep.subdir) if command.sweep else (hydras.run.dir,)
    return Path(os.path.abspath(command.folder.joinpath(*place)))


def _estimate(plan: Plan, out: Path, facts: dict[str, Any], startup: float) -> int:
    """Print the predicted cost of a run."""
    from tiler.runner.reporting.budget_table import table
    from tiler.runner.run import dry_run

    budget = dry_run(plan.jobs, out, plan.engine, facts, plan.policy, plan.limits, startup)
    if budget.slides:
        print(shown(f"{out}\n{table(budget)}"), flush=True)
    if budget.refusal:
        say(f"{ConfigError.code}: {budget.refusal}")
    return budget.exit_code


def remove_if_empty(folder: Path, *but: str) -> None:
    """Remove an empty folder: Hydra makes it before the configuration is checked.

    ``but`` names files that Hydra or the lock may have left in it.
    """
    if not folder.is_dir() or any(path.name not in but for path in folder.iterdir()):
        return
    for name in but:
        (folder / name).unlink(missing_ok=True)
    if folder.resolve() != Path.cwd():
        folder.rmdir()


def _overrides() -> list[str]:
    return list(HydraConfig.get().overrides.task)


def _facts(command: Command) -> dict[str, Any]:
    """Return the facts about the start of the run for run.json."""
    overrides = _overrides()
    facts: dict[str, Any] = {"overrides": overrides}
    if sweep := command.sweep:
        facts["sweep"] = {
            "id": sweep.sweep_id,
            "number": HydraConfig.get().job.num,
            "settings": swept_values(sweep, overrides),
        }
    return facts


def _record_refusal(command: Command, code: int, error: str) -> None:
    from tiler.files import write_whole
    from tiler.runner.guard import is_own
    from tiler.runner.reporting.tables import REFUSED
    from tiler.storage.destinations import inside, make_folder

    text = json_text({**_facts(command), "error": error, "exit_code": code}, indent=2)
    path = inside(make_folder(_folder(command)), REFUSED)
    if is_own(path):
        write_whole(path, text.encode(errors="surrogateescape"))


def complain(error: TilerError) -> int:
    """Print an error, one line for each problem, and return its exit code."""
    for line in error.in_config().splitlines():
        say(line if line.startswith("E_") else f"{error.code}: {line}")
    return error.exit_code


def say(line: str) -> None:
    """Print a line for people on standard error, without secrets and control characters."""
    print(shown(line), file=sys.stderr)
