"""The door: help and version at once, everything else through Hydra."""

from __future__ import annotations

import sys
import time


def main() -> None:
    """Run the command and end the process with its exit code."""
    started = time.perf_counter()
    match sys.argv[1:]:
        case ["--version"]:
            from tiler import __version__

            print(f"tiler {__version__}")
        case ["--help" | "-h"]:
            from tiler.config.folder import help_text

            print(help_text())
        case _:
            from tiler.cli import run_command

            sys.exit(run_command(started))
