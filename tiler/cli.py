"""The command: compose and check, let Hydra run it, end the sweep, return the exit code."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import hydra
from omegaconf import DictConfig

from tiler.checks.machine import machine_limit
from tiler.config.command.flags import CommandLine, read_command_line
from tiler.config.command.folder import help_text
from tiler.config.compose import SWEEPING, VERSION_BASE, Composed, compose
from tiler.config.composed_run import needs_hydra, run_composed, sweep_composed, sweeps_here
from tiler.config.home import quoted_homes
from tiler.config.job import Command, complain, do_job, remove_if_empty
from tiler.config.schema import register_schema
from tiler.config.sweeps.checks import check_hydras_files, check_sweep
from tiler.config.sweeps.multirun import (
    begin_sweep,
    named_after_swept_keys,
    register_resolvers,
)
from tiler.errors import (
    STOPPED,
    ConfigError,
    EnvironmentRefusedError,
    ExitCode,
    JobError,
    TilerError,
)
from tiler.process.startup import keep_loaded
from tiler.runner.reporting.log_records import clean_log_records
from tiler.runner.signals import Interrupted, interruptible, leave_in_order, raise_interruption
from tiler.storage.destinations import destination_error
from tiler.storage.safe_text import shown

_Made = TypeVar("_Made")


def run_command(started: float) -> int:
    """Compose the configuration of the command line, run it and return the exit code.

    Parameters
    ----------
    started
        ``time.perf_counter()`` when the command began; a run's time includes the start-up.
    """
    clean_log_records()
    sys.argv[1:] = quoted_homes(sys.argv[1:])
    register_schema()
    register_resolvers()
    try:
        line = read_command_line(sys.argv[1:])
        if "--help" in line.printing:
            print(help_text(line.config_dir))
            return ExitCode.DONE
        return _printed(line) if line.printing else _composed_and_run(line, started)
    except TilerError as error:
        return complain(error)
    except KeyboardInterrupt:
        return _interrupted()


def _interrupted() -> int:
    """Report a Ctrl-C before or after a run, and return the exit code."""
    print("interrupted", file=sys.stderr)
    return ExitCode.INTERRUPTED


def _printed(line: CommandLine) -> int:
    """Print the output of a flag. The configuration is checked first: it sets up logging."""
    arguments = [*line.printing, *line.overrides]
    if "--shell-completion" in line.printing:
        return _launched(lambda: _by_hydra(line, arguments, lambda config: None))
    _explained(lambda: compose(line))
    with redirect_stdout(io.StringIO()) as printed:
        code = _launched(lambda: _by_hydra(line, arguments, lambda config: None))
    print(shown(printed.getvalue()), end="")
    return code


def _composed_and_run(line: CommandLine, started: float) -> int:
    composed = _explained(lambda: compose(line))
    keep_loaded()
    command = Command(Path.cwd(), started, composed.typed)
    check_hydras_files(composed.config, of_sweep=composed.sweeps)
    if composed.sweeps:
        return _swept(line, composed, command)
    codes: list[int] = [ExitCode.DONE]

    def job(config: DictConfig) -> None:
        codes.append(do_job(config, command))

    def run() -> None:
        if needs_hydra(composed.config):
            _by_hydra(line, [*line.overrides, "hydra.mode=RUN"], job)
        else:
            run_composed(composed, job)

    return _launched(run) or codes[-1]


def _swept(line: CommandLine, composed: Composed, command: Command) -> int:
    """Run a sweep in its locked folder; after a signal cancel its jobs and write its tables."""
    from tiler.config.sweeps.end import end_sweep
    from tiler.config.sweeps.submitit_jobs import flat_folder, watch_slurm
    from tiler.config.sweeps.submitted import SubmittedJobs
    from tiler.runner.store.lock import LOCK, locked

    leave_in_order()
    config, lines = composed.config, composed.lines
    _explained(lambda: check_sweep(config, lines))
    place = Path(config.hydra.sweep.dir)
    with ExitStack() as after, locked(place):
        after.callback(remove_if_empty, place, LOCK, "multirun.yaml")
        sweep = _explained(lambda: begin_sweep(config, lines, command.folder))
        command = replace(command, sweep=sweep.context)

        def job(config: DictConfig) -> None:
            do_job(config, command)

        def launch() -> None:
            if sweeps_here(config) and not needs_hydra(config):
                return sweep_composed(composed, job)
            own = SWEEPING, named_after_swept_keys(lines), *flat_folder(config)
            return _by_hydra(line, [*line.overrides, *own], job)

        submitted, slurm_jobs = SubmittedJobs(config), watch_slurm(config, sweep.context.keys)
        try:
            with interruptible():
                code = _launched(launch)
                if slurm_jobs and code == JobError.exit_code:
                    slurm_jobs.wait()
        except Interrupted as stop:
            code = stop.exit_code
        if code in STOPPED:
            submitted.cancel()
        return end_sweep(sweep, code)


def _by_hydra(
    line: CommandLine, arguments: Sequence[str], task: Callable[[DictConfig], None]
) -> None:
    """Let Hydra run a task with some arguments."""
    sys.argv[1:] = arguments
    hydra.main(
        version_base=VERSION_BASE, config_path=str(line.config_path), config_name=line.config_name
    )(task)()


def _launched(launch: Callable[[], None]) -> int:
    """Launch jobs, and return the exit code of the failure, if any."""
    try:
        launch()
    except SystemExit as stop:  # raised by a job that ends its sweep, or by a flag that prints
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        return _interrupted()
    except TilerError as error:
        return complain(error)
    except Exception as error:  # raised by Hydra, a launcher or a sweeper: do_job raises none
        raise_interruption(error)
        if limit := machine_limit(error):
            return complain(EnvironmentRefusedError(limit))
        if isinstance(error, OSError) and error.filename:  # Hydra creates the folders of runs
            return complain(destination_error(error, Path(error.filename)))
        if type(error).__module__.split(".")[0] not in ("submitit", "joblib"):
            return complain(_explanation(error))
        from tiler.config.sweeps.submitit_jobs import launch_error

        reported = launch_error(error)
        return complain(reported) if reported else JobError.exit_code
    return ExitCode.DONE


def _explained(call: Callable[[], _Made]) -> _Made:
    """Return the result of a call that composes; turn what Hydra raises into an error of tiler."""
    try:
        return call()
    except TilerError:
        raise
    except Exception as error:
        raise_interruption(error)
        if limit := machine_limit(error):
            raise EnvironmentRefusedError(limit) from error
        raise _explanation(error) from error


def _explanation(error: Exception) -> ConfigError:
    """Return an error of tiler with the text for an error of Hydra."""
    from tiler.config.command.explain import explain

    return ConfigError(explain(error))
