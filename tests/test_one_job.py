"""A run that is composed once equals the run of the whole command."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from command import tiler, whole_tiler
from tracked import COMMON, picture

STAMPS = r"\d\d:\d\d:\d\d|\d+\.\d s"


def seen(run: Callable[..., CompletedProcess[str]], folder: Path, words: list[str]) -> tuple:
    """Run in a folder; return all results except times."""
    folder.mkdir()
    (folder / "bad.png").write_bytes(b"no picture")
    for path in (picture(folder), folder / "bad.png"):
        os.utime(path, (10**9, 10**9))
    done = run(*COMMON, *words, cwd=folder)
    paths = [path for path in folder.rglob("*") if path.is_file()]
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in paths
        if "slides" in path.parts
    }
    records = [json.loads(path.read_text()) for path in paths if path.name == "run.json"]
    kept = ("config", "overrides", "counts", "exit_code", "status", "cache")
    facts = [{key: str(record[key]).replace(str(folder), "") for key in kept} for record in records]
    names = {path.relative_to(folder).as_posix() for path in paths if path.suffix != ".arrays"}
    printed = [re.sub(STAMPS, "", text).replace(str(folder), "") for text in
               (done.stdout, done.stderr)]  # fmt: skip
    return done.returncode, printed, names, files, facts


@pytest.mark.parametrize(
    "words",
    [
        ["out=out", "exporter=[csv,json,images]", "cache=off"],
        ["out=out", "slides.paths=[pic.png,bad.png]"],
        ["name=mine", "threshold=0.3", "tracker=jsonl"],
        ["out=out", "threshold=high"],
        ["out=out", "treshold=0.3"],
        ["out=out", "tile.size=0"],
        ["out=out", "dry_run=true", "limits.max_tiles=1"],
        ["out=out", "hydra.run.dir=elsewhere"],
        ["--cfg=job", "threshold=0.3"],
        ["--help"],
        ["out=out", "mask=nothing"],
    ],
)
def test_one_job_equals_the_command(tmp_path: Path, words: list[str]) -> None:
    once, whole = (
        seen(run, tmp_path / name, words) for run, name in ((tiler, "once"), (whole_tiler, "whole"))
    )
    assert once == whole


@pytest.mark.parametrize(("end", "code"), [("0", 0), ("7", 7), ("'text'", 1), ("None", 0)])
def test_a_forked_command_ends_as_a_process_does(tmp_path: Path, end: str, code: int) -> None:
    """Its threads are waited for, its exit handlers run, and its output is complete."""
    (tmp_path / "ending.py").write_text(
        "import atexit, sys, threading, time\n"
        "atexit.register(print, 'handler', end='')\n"
        "threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()\n"
        f"sys.exit({end})\n"
    )
    done = tiler(cwd=tmp_path, module="ending")
    assert (done.returncode, done.stdout) == (code, "thread\nhandler")
    assert done.stderr == ("text\n" if "text" in end else "")
