"""The command: compose, build, run, exit code. No logic of its own."""

from __future__ import annotations

import gc
import logging
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from tiler.config.composition import share_compositions
from tiler.config.folder import conf_folder
from tiler.config.multirun import (
    Refused,
    Sweep,
    check_launcher,
    current_sweep,
    launched_sweep,
    register_resolvers,
    swept_keys,
    swept_values,
)
from tiler.config.schema import register_schema
from tiler.errors import ConfigError, TilerError
from tiler.runner.signals import leave_in_order

if TYPE_CHECKING:
    from tiler.config.build import Plan

log = logging.getLogger("tiler")

_STOPPED = (130, 143)
"""The exit codes of a run that a signal ended."""


def run_command(started: float) -> int:
    """Compose the configuration of the command line, run it and give back the exit code.

    Parameters
    ----------
    started
        ``time.perf_counter()`` when the command began: what came before a run is part of its time.
    """
    register_schema()
    register_resolvers()
    share_compositions()
    try:
        code = _compose_and_run(started)
    except KeyboardInterrupt:
        code = 130
    except SystemExit as stop:  # a run's own code, or that of a job that ended its sweep
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            _say(stop.code)
    sweep = launched_sweep()
    if sweep is None or sweep.folder is None:
        return code
    try:
        return _end_sweep(sweep, sweep.folder, code)
    except TilerError as error:
        return _complain(error)


def _end_sweep(sweep: Sweep, folder: Path, code: int) -> int:
    """Write what a sweep comes to; the worst exit code of its jobs."""
    from tiler.runner.contact_sheet import write_contact_sheet
    from tiler.runner.report import REFUSED
    from tiler.runner.sweep import read_jobs, worst, write_definition, write_parquet, write_sweep
    from tiler.runner.tracking import end_sweep

    jobs = read_jobs(folder, sweep.sweep_id, "run.json", REFUSED)
    budgets = read_jobs(folder, sweep.sweep_id, "budget.json")
    if jobs:
        table = write_sweep(folder, jobs, sweep.keys)
        write_definition(folder, sweep.sweep_id, sweep.overrides, jobs)
        written = [table, write_parquet(table), write_contact_sheet(folder, jobs)]
        for job in jobs:
            if job.run["exit_code"]:
                _say(f"job {job.name} ended with exit code {job.run['exit_code']}")
        count = "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
        _say(f"{count}; the sweep comes to {', '.join(str(p) for p in written if p)}")
    if not jobs and not budgets:
        _remove_if_empty(folder, "multirun.yaml")
        if not code:
            _say(f"E_CONFIG: no job of the sweep left a record below {folder}: where did it go?")
            code = 2
    code = worst([code, *(job.run["exit_code"] for job in jobs + budgets)])
    if sweep.tracker:
        end_sweep(sweep.tracker, folder, jobs, code)
    return code


def _compose_and_run(started: float) -> int:
    def job(config: DictConfig) -> None:
        _job(config, started)

    try:
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")(job)()
    except TilerError as error:
        return _complain(error)
    except Refused as refusal:
        return _complain(refusal.error)
    except (HydraException, OmegaConfBaseException) as error:
        from tiler.config.explain import all_keys, explain

        _say(f"E_CONFIG: {explain(error, all_keys())}")
        return 2
    except Exception as error:
        if not _went_through_a_run(error):
            from tiler.config.explain import explain_other
            from tiler.files import destination_error

            if isinstance(error, OSError) and error.filename:  # Hydra makes the folders of runs
                return _complain(destination_error(error, Path(error.filename)))
            if line := explain_other(error):
                _say(f"E_CONFIG: {line}")
                return 2
        if not type(error).__module__.startswith("submitit."):
            raise
        what = " ".join(str(error).splitlines()[:2]).rstrip("- ")
        _say(
            f"E_WORKER: a job of the sweep died, others may still run: {what}; what jobs say is in"
            " .submitit of the sweep's folder; run again to resume"
        )
        return 3
    return 0


def _went_through_a_run(error: Exception) -> bool:
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code is _run.__code__ for frame, _ in frames)


def _job(config: DictConfig, started: float) -> None:
    leave_in_order()
    alone = HydraConfig.get().mode is RunMode.RUN
    code, error = _run(config, started if alone else time.perf_counter())
    if alone:
        if code:
            sys.exit(code)
    elif code in _STOPPED and HydraConfig.get().launcher._target_.endswith(".BasicLauncher"):
        sys.exit(code)  # the jobs to come would be others to stop
    elif error:
        _record_refusal(code, error)  # the other jobs of the sweep still run


def _run(config: DictConfig, started: float) -> tuple[int, str]:
    """The exit code of one run, and the error if it did not get to its slides."""
    from tiler.config.build import build
    from tiler.config.tracking import parameters
    from tiler.config.validate import check_folder
    from tiler.runner.run import run
    from tiler.runner.sweep import refuse_twice
    from tiler.runner.tracking import tracked

    try:
        sweep = current_sweep()
        out = Path(HydraConfig.get().runtime.output_dir)
        if sweep:
            refuse_twice(out, sweep.sweep_id, HydraConfig.get().job.num)
            root = Path(HydraConfig.get().runtime.cwd, HydraConfig.get().sweep.dir)
            swept = swept_keys(sweep, _overrides())
        else:
            check_folder(config.out, HydraConfig.get(), of_sweep=False)
            root, swept = out, set()
        plan = build(config, root, swept)
        if sweep:
            check_launcher(HydraConfig.get().launcher._target_, config.engine._target_)
        facts = {**_facts(), "config": plan.plain}
        gc.freeze()
        gc.set_threshold(20_000)  # a run makes few cycles; to look for them often costs 2 %
        gc.enable()
        if config.dry_run:
            return _estimate(plan, out, facts, time.perf_counter() - started), ""
        log.info("%d slide%s", len(plan.jobs), "" if len(plan.jobs) == 1 else "s")
        name, parent = (out.name, sweep.parent_run) if sweep else (config.name, None)
        with tracked(plan.tracker, name, parameters(plan.plain), parent, out) as tracking:
            result = run(plan.jobs, out, plan.engine, facts, plan.policy, plan.limits, tracking)
            tracking.exit_code = result.exit_code
        return result.exit_code, ""
    except TilerError as error:
        _remove_if_empty(Path(HydraConfig.get().runtime.output_dir))
        return _complain(error), str(error)
    except SystemExit as stop:
        if stop.code in _STOPPED:
            raise
        what = f"a part called sys.exit({stop.code!r}) instead of raising an error"
        return _complain(ConfigError(what)), what
    except Exception as error:
        if HydraConfig.get().mode is RunMode.RUN:
            raise
        log.exception("a bug in tiler: please report it with this text")
        return 1, repr(error)


def _estimate(plan: Plan, out: Path, facts: dict[str, Any], startup: float) -> int:
    """Print what a run would cost."""
    from tiler.runner.budget import table
    from tiler.runner.run import dry_run

    budget = dry_run(plan.jobs, out, plan.engine, facts, plan.policy, plan.limits, startup)
    if budget.slides:
        print(f"{out}\n{table(budget)}", flush=True)
    if budget.refusal:
        _say(f"E_CONFIG: {budget.refusal}")
    return budget.exit_code


def _remove_if_empty(folder: Path, *but: str) -> None:
    """Leave nothing behind: Hydra made the folder before the configuration was looked at.

    ``but`` names what Hydra may have left in it.
    """
    if not folder.is_dir() or any(path.name not in but for path in folder.iterdir()):
        return
    for name in but:
        (folder / name).unlink(missing_ok=True)
    if folder.resolve() != Path.cwd():
        folder.rmdir()


def _overrides() -> list[str]:
    return list(HydraConfig.get().overrides.task)


def _facts() -> dict[str, Any]:
    """What run.json says of how the run was started."""
    overrides = _overrides()
    facts: dict[str, Any] = {"overrides": overrides}
    sweep = current_sweep()
    if sweep:
        facts["sweep"] = {
            "id": sweep.sweep_id,
            "number": HydraConfig.get().job.num,
            "settings": swept_values(sweep, overrides),
        }
    return facts


def _record_refusal(code: int, error: str) -> None:
    import json

    from tiler.files import inside, make_folder, write_whole
    from tiler.runner.report import REFUSED

    text = json.dumps({**_facts(), "error": error, "exit_code": code}, indent=2)
    folder = make_folder(Path(HydraConfig.get().runtime.output_dir))
    write_whole(inside(folder, REFUSED), text.encode())


def _complain(error: TilerError) -> int:
    for line in str(error).splitlines():
        _say(line if line.startswith("E_") else f"{error.code}: {line}")
    return error.exit_code


def _say(line: str) -> None:
    print(line, file=sys.stderr)
