"""The start of a command: it ends in order from its first line on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

INTERRUPTING = """
import signal, sys

awaited = sys.argv.pop(1)

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == awaited:
            signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupts())
from tiler.entry import main
main()
"""


def test_a_command_imports_nothing_before_it_ends_in_order_on_an_interruption() -> None:
    """Until then a Ctrl-C prints a traceback, as it does while Python itself starts."""
    source = """
import os, sys
before = set(sys.modules)
import tiler.entry
print(*sorted(set(sys.modules) - before))
"""
    command = [sys.executable, "-S", "-c", source]
    imported = subprocess.run(
        command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True
    )
    assert imported.stdout.split() == ["tiler", "tiler.entry"]


@pytest.mark.parametrize(
    "module",
    [
        "tiler.checks",
        "tiler.errors",
        "tiler.process.startup",
        "tiler.process.streams",
        "tiler.runner.signals",
        "tiler.cli",
        "hydra",
        "tiler.runner.run",
    ],
)
def test_an_early_interruption_is_one_line(tmp_path: Path, module: str) -> None:
    """It arrives at the import of a module."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTING, module, "threshold=0.1"],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr.startswith("interrupted")
    assert len(done.stderr.splitlines()) == 1
    assert not [path for path in tmp_path.rglob("*") if path.name != "demo" and path.is_file()]
