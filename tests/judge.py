"""Decisions of the report's pages, by their own code run in Node.js."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

PAGES = Path(__file__).parent.parent / "pages"

Judge = Callable[[Sequence[dict[str, Any]]], list[dict[str, Any]]]
"""Returns what ``pages/test/judge.ts`` finds for each ``{"slide": …, "rules": …}``."""


def make_judge(folder: Path) -> Judge:
    """Bundle the program into a folder; skip the test if Node.js is missing."""
    spec = importlib.util.spec_from_file_location("pages_build", PAGES / "build.py")
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    if build.programs() is None and not os.environ.get("CI"):
        pytest.skip("Node.js is missing")
    build.install()
    [node] = build.programs()["node"]
    program = str(folder / "judge.mjs")
    subprocess.run([node, "test/bundle.mjs", "test/judge.ts", program], cwd=PAGES, check=True)

    def judge(cases: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        done = subprocess.run(
            [node, program], input=json.dumps(cases), capture_output=True, text=True, check=True
        )
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    return judge
