"""Run the command as a user does, in its own process and in any folder."""

from __future__ import annotations

import csv
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

_WITHOUT_THREADS = {
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""Settings of libraries that would start a thread when they are imported."""


def fresh_tiler(
    *words: str,
    cwd: Path,
    env: dict[str, str] | None = None,
    timeout: float = 120,
    module: str = "tiler",
    umask: int = -1,
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m tiler`` in a new process, as a user does, and wait."""
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        umask=umask,
    )


def tiler(
    *words: str,
    cwd: Path,
    env: dict[str, str] | None = None,
    timeout: float = 120,
    module: str = "tiler",
    tracer: Sequence[str] = (),
    umask: int = -1,
) -> subprocess.CompletedProcess[str]:
    """Run ``tiler`` in a process that is forked after all imports, and wait: see ``forks.py``.

    Parameters
    ----------
    module
        The module to run.
    tracer
        A command that watches the process, such as strace.
    umask
        Of the process; as in ``subprocess.run``.
    """
    if not hasattr(os, "fork"):
        return fresh_tiler(*words, cwd=cwd, env=env, timeout=timeout, module=module, umask=umask)
    with TemporaryDirectory() as folder:
        output = Path(folder) / "printed"
        request = _request(words, cwd, env, output, module, umask)
        code = _asked({**request, "tracer": tracer}, timeout)
        printed = [output.with_suffix(f".{what}").read_text() for what in ("out", "err")]
    return subprocess.CompletedProcess([module, *words], code, *printed)


class Started:
    """A forked command that still runs. What it prints as errors goes to a file."""

    def __init__(self, *words: str, cwd: Path, env: dict[str, str] | None = None) -> None:
        self._folder = TemporaryDirectory()
        output = Path(self._folder.name) / "printed"
        self._errors = output.with_suffix(".err")
        self.pid = _asked({**_request(words, cwd, env, output), "waits": False}, 120)

    def wait_for(self, text: str) -> None:
        """Wait until the command has printed a text."""
        deadline = time.monotonic() + 60
        while text not in (said := self._errors.read_text() if self._errors.exists() else ""):
            assert time.monotonic() < deadline, f"no {text!r} in {said}"
            time.sleep(0.02)

    def send_signal(self, number: int) -> None:
        """Send a signal to the command."""
        os.kill(self.pid, number)

    def end(self, timeout: float = 60) -> tuple[int, str]:
        """Wait for the end of the command; return its exit code and its errors."""
        code = _asked({"child": self.pid}, timeout)
        return code, self._errors.read_text()


def _request(
    words: Sequence[str],
    cwd: Path,
    env: dict[str, str] | None,
    output: Path,
    module: str = "tiler",
    umask: int = -1,
) -> dict[str, object]:
    return {
        "module": module,
        "words": words,
        "cwd": str(cwd),
        "umask": umask,
        "env": {**os.environ, **(env or {})},
        "output": str(output),
    }


def _asked(request: dict[str, object], timeout: float) -> int:
    """Send a request to the process that forks, and return the number that it answers."""
    if _forks(os.getpid()).poll() is not None:
        _forks.cache_clear()
    server = _forks(os.getpid())
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    if not select.select([server.stdout], [], [], timeout)[0]:
        _forks.cache_clear()
        os.killpg(server.pid, signal.SIGKILL)  # the command as well
        raise subprocess.TimeoutExpired([str(request.get("words"))], timeout)
    return int(server.stdout.readline())


@cache
def _forks(pid: int) -> subprocess.Popen[str]:
    """Return the process from which commands of this process are forked."""
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("forks.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **_WITHOUT_THREADS},
        start_new_session=True,
    )


def a_third_quick(cases: Iterable[object]) -> list[object]:
    """Return the cases of a table of many commands, two of three with the mark ``slow``."""
    return [
        case
        if number % 3 == 0
        else pytest.param(*(case if isinstance(case, tuple) else [case]), marks=pytest.mark.slow)
        for number, case in enumerate(cases)
    ]


def alive(marker: Path) -> list[int]:
    """Return processes with the command or folder of a run in ``marker``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve() == marker and process.name != str(os.getpid()):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def patience(seconds: float) -> float:
    """Return the seconds for a loaded machine, from the seconds of an idle one."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table."""
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def complaint(result: subprocess.CompletedProcess[str]) -> str:
    """Return the one line that a refused command prints."""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]
