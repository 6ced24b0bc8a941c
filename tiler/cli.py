"""The command: compose, have it run, end the sweep, exit code. No logic of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from tiler.config.composition import share_compositions
from tiler.config.folder import conf_folder
from tiler.config.home import quoted_homes
from tiler.config.job import complain, do_job, remove_if_empty, say, went_through_a_run
from tiler.config.multirun import Refused, Sweep, launched_sweep, register_resolvers
from tiler.config.schema import register_schema
from tiler.errors import TilerError


def run_command(started: float) -> int:
    """Compose the configuration of the command line, run it and give back the exit code.

    Parameters
    ----------
    started
        ``time.perf_counter()`` when the command began: what came before a run is part of its time.
    """
    sys.argv[1:] = quoted_homes(sys.argv[1:])
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
            say(stop.code)
    sweep = launched_sweep()
    if sweep is None or sweep.folder is None:
        return code
    try:
        return _end_sweep(sweep, sweep.folder, code)
    except TilerError as error:
        return complain(error)


def _end_sweep(sweep: Sweep, folder: Path, code: int) -> int:
    """Write what a sweep comes to; the worst exit code of its jobs."""
    from tiler.config.thumbnails import thumbnail
    from tiler.runner.contact_sheet import write_contact_sheet
    from tiler.runner.parquet import write_parquet
    from tiler.runner.report import REFUSED
    from tiler.runner.sweep import read_jobs, worst, write_definition, write_sweep
    from tiler.runner.tracking import end_sweep

    jobs = read_jobs(folder, sweep.sweep_id, "run.json", REFUSED, tell=say)
    budgets = read_jobs(folder, sweep.sweep_id, "budget.json", tell=say)
    if jobs:
        table = write_sweep(folder, jobs, sweep.keys)
        write_definition(folder, sweep.sweep_id, sweep.overrides, jobs)
        written = [table, write_parquet(table), write_contact_sheet(folder, jobs, thumbnail)]
        for job in jobs:
            if job.run["exit_code"]:
                say(f"job {job.name} ended with exit code {job.run['exit_code']}")
        count = "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
        say(f"{count}; the sweep comes to {', '.join(str(p) for p in written if p)}")
    if not jobs and not budgets:
        remove_if_empty(folder, "multirun.yaml")
        if not code:
            say(f"E_CONFIG: no job of the sweep left a record below {folder}: where did it go?")
            code = 2
    code = worst([code, *(job.run["exit_code"] for job in jobs + budgets)])
    if sweep.tracker:
        end_sweep(sweep.tracker, folder, jobs, code)
    return code


def _compose_and_run(started: float) -> int:
    def job(config: DictConfig) -> None:
        do_job(config, started)

    try:
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")(job)()
    except TilerError as error:
        return complain(error)
    except Refused as refusal:
        return complain(refusal.error)
    except (HydraException, OmegaConfBaseException) as error:
        from tiler.config.explain import all_keys, explain

        say(f"E_CONFIG: {explain(error, all_keys())}")
        return 2
    except Exception as error:
        if not went_through_a_run(error):
            from tiler.config.explain import explain_other
            from tiler.files import destination_error

            if isinstance(error, OSError) and error.filename:  # Hydra makes the folders of runs
                return complain(destination_error(error, Path(error.filename)))
            if line := explain_other(error):
                say(f"E_CONFIG: {line}")
                return 2
        if not type(error).__module__.startswith("submitit."):
            raise
        what = " ".join(str(error).splitlines()[:2]).rstrip("- ")
        say(
            f"E_WORKER: a job of the sweep died, others may still run: {what}; what jobs say is in"
            " .submitit of the sweep's folder; run again to resume"
        )
        return 3
    return 0
