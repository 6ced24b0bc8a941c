"""A worker process: reads tasks from its standard input, writes results to its standard output.

A fresh interpreter, never a fork: OpenSlide deadlocks in a child forked while a thread read.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from importlib import import_module
from typing import BinaryIO

from tiler.process.startup import prepare_process
from tiler.process.streams import open_streams
from tiler.runner.reporting.log_records import clean_log_records

_WANTED_SOON = (
    "tiler.readers.tiff.reader",
    "tiler.masks.otsu",
    "cv2",
    "simplejpeg",
)
"""Loaded while the first task is still being made, or the first worker finds the tiles."""


class NoRoom(str):
    """A worker's last words: the limit of the machine that it met outside of any task."""

    __slots__ = ()


def main(parent: int) -> None:
    """Serve tasks until the input ends, or the process ``parent``.

    The parent says who it is: one that died before this process could ask is no longer there to
    be followed.
    """
    for name in ("SIGINT", "SIGUSR2"):  # they reach the parent, too, which ends us
        if number := getattr(signal, name, None):
            signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    tasks = sys.stdin.buffer
    results = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a stray print must not garble results
    open_streams()
    clean_log_records()
    try:
        _serve(tasks, results)
    except BrokenPipeError:  # the parent was killed; to close the pipe would fail again
        os._exit(1)
    except Exception as error:
        from tiler.checks.machine import machine_limit

        if (limit := machine_limit(error)) is None:
            raise
        pickle.dump(NoRoom(limit), results)
        results.flush()


def _serve(tasks: BinaryIO, results: BinaryIO) -> None:
    prepare_process()
    from tiler.runner.engines.log_lines import sent
    from tiler.runner.work.attempt import attempt
    from tiler.runner.work.worker_state import WorkerState

    state = WorkerState()
    for name in _WANTED_SOON:
        import_module(name)
    one_at_a_time = threading.Lock()  # threads of an exporter may log while a result is sent

    def send(value: object) -> None:
        data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        with one_at_a_time:
            results.write(data)
            results.flush()

    while True:
        try:
            task, levels = pickle.load(tasks)
        except EOFError:
            break
        if task is None:  # the run has ended, the next one may be of other slides
            state.close()
            continue
        with sent(task.job.slide_id, levels, send):
            result = attempt(task, state)
        send(result)
    state.close()


def _follow(parent: int) -> None:
    """End this process soon after its parent, however that one ended."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
