"""Commands with standard streams that are closed, full, or pipes without a reader."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import tiler
from tracked import COMMON, picture

COMMANDS = {
    "help": ["tiler", "--help"],
    "cfg": ["tiler", "--cfg", "job"],
    "run": ["tiler", *COMMON, "engine=processes", "engine.workers=1", "out=out"],
    "dry run": ["tiler", *COMMON, "dry_run=true", "out=dry"],
    "sweep": ["tiler", "-m", *COMMON, "threshold=0,0.1", "out=sweep"],
    "compare": ["tiler.compare", "a", "a"],
}
PRINTING = ["help", "cfg", "dry run", "compare"]
"""Those that print to standard output."""
LOGGING = ["run", "dry run"]
"""Those that write to standard error. A sweep's jobs are runs: it is tested less."""

EACH = [
    name if name in ("help", "compare") else pytest.param(name, marks=pytest.mark.slow)
    for name in COMMANDS
]
SIGPIPE = -13
"""``tiler-compare`` ends like ``diff`` when its reader is gone."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    picture(folder)
    assert tiler(*COMMON, "out=a", cwd=folder).returncode == 0
    return folder


def shell(command: str, cwd: Path, redirection: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell, with redirected streams."""
    words = [sys.executable, "-m", *COMMANDS[command]]
    quoted = " ".join(f"'{word}'" for word in words)
    return subprocess.run(
        ["bash", "-c", f"{quoted} {redirection}"], cwd=cwd, capture_output=True, text=True,
        timeout=120, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip


@pytest.mark.parametrize("command", EACH)
def test_closed_streams_change_only_the_printed_text(folder: Path, command: str) -> None:
    both = shell(command, folder, "<&- >&- 2>&-")
    assert (both.returncode, both.stdout, both.stderr) == (0, "", "")
    if command in PRINTING:
        out = shell(command, folder, ">&-")
        assert (out.returncode, out.stdout) == (0, "")
        assert "Error" not in out.stderr
    if command in LOGGING:
        err = shell(command, folder, "2>&-")
        assert (err.returncode, err.stderr) == (0, "")
        assert bool(err.stdout) == (command in PRINTING), "no message goes there instead"


@pytest.mark.parametrize("command", EACH)
def test_a_closed_pipe_does_not_fail_the_command(folder: Path, command: str) -> None:
    pipes = {"> >(true)": PRINTING, "2> >(true)": LOGGING, "> >(head -1) 2>&1": [*LOGGING, "sweep"]}
    for pipe in (pipe for pipe, commands in pipes.items() if command in commands):
        done = shell(command, folder, pipe)
        assert done.returncode == 0 or (command == "compare" and done.returncode in (SIGPIPE, 141))
        assert "Error" not in done.stderr + done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("command", PRINTING)
def test_a_full_standard_output_is_one_line(folder: Path, command: str) -> None:
    done = shell(command, folder, "> /dev/full")
    assert done.returncode == 4
    last = done.stderr.splitlines()[-1]
    assert last.startswith("E_DEST: cannot write to standard output (No space left on device)")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_an_error_with_standard_error_closed_keeps_its_exit_code(folder: Path) -> None:
    words = f"'{sys.executable}' -m tiler threshold=2 2>&-"
    done = subprocess.run(["bash", "-c", words], cwd=folder, capture_output=True, text=True,
                          timeout=60, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")


def test_a_flag_may_follow_the_overrides(folder: Path) -> None:
    words = [word for word in COMMON if word != "name=demo"]
    done = tiler("out=behind", *words, "-m", "threshold=0,0.1", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "behind/sweep.csv").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["${oops}", "${oc.env:HOME}", "$(x) {y} %s"])
def test_the_working_folders_name_and_inherited_variables_change_nothing(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    picture(folder)
    env = {"TILER_SWEEP": "x", "TILER_SWEEP_ID": "y", "HYDRA_FULL_ERROR": "0"}
    done = tiler(*COMMON, "out=out", cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    assert (folder / "out/slides/pic/pic.csv").is_file()
    done = tiler(*COMMON, "-m", "threshold=0,0.1", "out=sweep", cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    assert {place.name for place in folder.iterdir()} == {"pic.png", "out", "sweep"}
    assert tiler("--cfg", "job", cwd=folder, env=env).returncode == 0
