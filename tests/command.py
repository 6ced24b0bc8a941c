"""Running the command as a user does: in a process of its own, in an empty folder."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path


def tiler(
    *arguments: str, cwd: Path, env: dict[str, str] | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run ``tiler`` and wait."""
    return subprocess.run(
        [sys.executable, "-m", "tiler", *arguments],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def read_csv(path: Path) -> list[dict[str, str]]:
    """A table's rows."""
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def complaint(result: subprocess.CompletedProcess[str]) -> str:
    """The one line that a refused command says."""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]
