"""The command's entry point: --help, --version, --rerun, then Hydra."""

from __future__ import annotations

import gc
import os
import sys
import time

from tiler.checks.machine import machine_limit
from tiler.errors import EnvironmentRefusedError
from tiler.streams import end_streams, open_streams


def main() -> None:
    """Run the command and end the process with its exit code."""
    started = time.perf_counter()
    open_streams()
    gc.disable()  # what start-up makes stays; looking for what does not costs a tenth of it
    # numpy's threads for linear algebra, which tiler has no use for, take as long as numpy itself.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come back to us, to be said in one line
    try:
        code = _command(sys.argv[1:], started)
    except Exception as error:
        if (limit := machine_limit(error)) is None:
            raise
        refused = EnvironmentRefusedError(limit)
        print(refused, file=sys.stderr)
        code = refused.exit_code
    sys.exit(end_streams(code))


def _command(words: list[str], started: float) -> int:
    match words:
        case ["--version"]:
            from tiler import __version__

            print(f"tiler {__version__}")
            return 0
        case ["--help" | "-h"]:
            from tiler.config.command.folder import help_text

            print(help_text())
            return 0
        case _ if any(word.split("=")[0] == "--rerun" for word in words):
            return _rerun(words, started)
        case _:
            from tiler.runner.signals import leave_at_once

            leave_at_once()
            from tiler.cli import run_command

            return run_command(started)


def _rerun(words: list[str], started: float) -> int:
    """Run an old run's configuration again, with some keys set anew."""
    import tempfile
    from pathlib import Path

    from tiler.cli import run_command
    from tiler.config.command.rerun import rerun_of, write_rerun
    from tiler.config.job import complain
    from tiler.errors import ConfigError

    with tempfile.TemporaryDirectory() as folder:
        try:
            old, anew = rerun_of(words)
            sys.argv[1:] = [*write_rerun(old, anew, Path(folder)), *anew]
        except ConfigError as error:
            return complain(error)
        return run_command(started)
