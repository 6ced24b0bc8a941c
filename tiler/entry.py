"""The command's entry point: --help, --version, --rerun, then Hydra."""

import os
import sys
import time


def main() -> None:
    """Run the command and end the process with its exit code."""
    started = time.perf_counter()
    try:
        sys.exit(_ended(sys.argv[1:], started))
    except KeyboardInterrupt:  # in the imports below, or after a run
        os.write(2, b"interrupted\n")
        os._exit(130)


def _ended(arguments: list[str], started: float) -> int:
    """Run the command and return its exit code."""
    from tiler.checks.machine import machine_limit
    from tiler.errors import EnvironmentRefusedError
    from tiler.process.startup import prepare_process
    from tiler.process.streams import end_streams, open_streams

    open_streams()
    prepare_process()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises errors; run_command prints each in one line
    try:
        code = _command(arguments, started)
    except Exception as error:
        if (limit := machine_limit(error)) is None:
            raise
        refused = EnvironmentRefusedError(limit)
        print(refused, file=sys.stderr)
        code = refused.exit_code
    return end_streams(code)


def _command(arguments: list[str], started: float) -> int:
    match arguments:
        case ["--version"]:
            from tiler import __version__

            print(f"tiler {__version__}")
            return 0
        case ["--help" | "-h"]:
            from tiler.config.command.folder import help_text

            print(help_text())
            return 0
        case _ if any(one.split("=")[0] == "--rerun" for one in arguments):
            return _rerun(arguments, started)
        case _:
            from tiler.runner.signals import leave_at_once

            leave_at_once()
            from tiler.cli import run_command

            return run_command(started)


def _rerun(arguments: list[str], started: float) -> int:
    """Run an earlier run's configuration again, with some overrides."""
    import tempfile
    from pathlib import Path

    from tiler.cli import run_command
    from tiler.config.command.rerun import rerun_of, write_rerun
    from tiler.config.job import complain
    from tiler.errors import ConfigError

    with tempfile.TemporaryDirectory() as folder:
        try:
            old, others = rerun_of(arguments)
            sys.argv[1:] = [*write_rerun(old, others, Path(folder)), *others]
        except ConfigError as error:
            return complain(error)
        return run_command(started)
