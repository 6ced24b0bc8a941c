"""A process that has imported what every command imports, and forks one process per command.

``command.tiler`` sends commands here. Each runs in a process, folder and environment of its own.
docs/decisions/0010-commands-of-tests.md says what this saves.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import os
import pickle
import runpy
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

from omegaconf import OmegaConf

IMPORTED = (
    "concurrent.futures.thread",
    "cv2",
    "email.parser",
    "filelock",
    "gzip",
    "imagecodecs._deflate",
    "imagecodecs._imcd",
    "imagecodecs._zlib",
    "isal.isal_zlib",
    "jinja2",
    "numpy.ma",
    "openslide",
    "PIL.ImageDraw",
    "PIL.ImageFilter",
    "PIL.ImageOps",
    "pyarrow.parquet",
    "simplejpeg",
    "tiler.annotations.slide_file",
    "tiler.compare.main",
    "tiler.config.build",
    "tiler.config.command.explain",
    "tiler.config.command.rerun",
    "tiler.config.rebuilt",
    "tiler.config.sweeps.decided",
    "tiler.config.sweeps.end",
    "tiler.config.sweeps.submitit_jobs",
    "tiler.config.sweeps.submitted",
    "tiler.config.sweeps.thumbnails",
    "tiler.config.groups.tracking",
    "tiler.exporters",
    "tiler.exporters.tables.candidates",
    "tiler.exporters.tiles.images",
    "tiler.exporters.pictures.mask",
    "tiler.exporters.pictures.overview",
    "tiler.exporters.tables.parquet",
    "tiler.labels",
    "tiler.labels.annotation",
    "tiler.labels.none",
    "tiler.masks",
    "tiler.masks.all_tissue",
    "tiler.masks.otsu",
    "tiler.readers.auto",
    "tiler.readers.image",
    "tiler.readers.openslide.reader",
    "tiler.readers.tiff.reader",
    "tiler.report.html",
    "tiler.runner.budget",
    "tiler.runner.engines.processes",
    "tiler.runner.engines.serial",
    "tiler.runner.run",
    "tiler.samplers.every",
    "tiler.scores.blur",
    "tiler.scores.measure",
    "tiler.sweep.contact_sheet",
    "tiler.sweep.parquet",
    "tiler.sweep.tracking",
    "tiler.trackers.jsonl",
)
"""Modules that commands import when they first need them."""

_ended: list[int] = []
"""The exit code of the command, once it has ended in order."""


def leave() -> None:
    """End a command's process without the tear-down of all imported modules.

    Exit handlers run last in, first out. This one is registered first, so it runs last.
    """
    if _ended:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_ended[0])


def serve() -> dict | None:
    """Fork for every line of standard input, and print the exit code of each child.

    A line may ask for a child's number instead, and a later line for the exit code of this child.

    Returns
    -------
    dict or None
        In a child its command; in this process None, at the end of the input.
    """
    for line in sys.stdin:
        request = json.loads(line)
        child = request.pop("child", None)
        tracer, waits = request.pop("tracer", ()), request.pop("waits", True)
        if child is None:
            child = os.fork()
        if not child:
            if tracer:
                await_tracer()
            return request
        if tracer:
            subprocess.run([*tracer, "-p", str(child)], check=False)
        status = os.waitpid(child, 0)[1] if waits else None
        print(child if status is None else os.waitstatus_to_exitcode(status), flush=True)
    return None


def await_tracer() -> None:
    """Wait until another program traces this process."""
    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1))  # PR_SET_PTRACER: allow any process
    while "TracerPid:\t0\n" in Path("/proc/self/status").read_text():
        time.sleep(0.005)


def parse_once(folder: Path) -> None:
    """Let OmegaConf parse each file of a folder once for this process and its children.

    Copies are unpickled, in a quarter of the time of a deep copy.
    """
    load = OmegaConf.load
    parsed = {str(path): pickle.dumps(load(path)) for path in folder.rglob("*.yaml")}

    def load_copy(file: object) -> object:
        known = parsed.get(str(file if isinstance(file, Path) else getattr(file, "name", "")))
        return load(file) if known is None else pickle.loads(known)

    OmegaConf.load = load_copy


def become(
    module: str, words: list[str], cwd: str, env: dict[str, str], output: str, umask: int
) -> None:
    """Run ``python -m module words``, which prints into the files output.out and output.err."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    files = (
        (os.devnull, os.O_RDONLY),
        (f"{output}.out", os.O_WRONLY),
        (f"{output}.err", os.O_WRONLY),
    )
    for stream, (path, mode) in enumerate(files):
        os.dup2(os.open(path, mode | os.O_CREAT), stream)
    if umask >= 0:
        os.umask(umask)
    added = env.get("PYTHONPATH")
    sys.path[:1] = [cwd, *(added.split(os.pathsep) if added else [])]
    sys.argv[1:] = words
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        _ended.append(end.code)
    else:
        _ended.append(0)


if __name__ == "__main__":
    atexit.register(leave)
    import hydra
    from PIL import Image

    import tiler.cli
    from tiler.config.command.folder import conf_folder
    from tiler.runner.store.code import code_version

    for name in IMPORTED:
        import_module(name)
    Image.preinit()
    code_version()  # of the installed libraries, and of tiler's own files
    # Hydra finds its plugins, and builds the parser of its grammar, once per process.
    tiler.cli.register_schema()
    tiler.cli.register_resolvers()
    parse_once(conf_folder())
    parse_once(Path(hydra.__file__).with_name("conf"))
    words = ["exporter=[csv,json]", "out=a", "threshold=0.1", "tile.size=[6,4]", "name='a b'"]
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        hydra.compose("config", words, return_hydra_config=True)
    gc.freeze()  # a collection in a child would copy all memory pages
    others = list(Path("/proc/self/task").glob("*"))[1:]
    assert not others, "a process with threads cannot be forked safely"
    command = serve()
    if command is not None:
        become(**command)
