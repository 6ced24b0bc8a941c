"""The files that Hydra itself writes: they contain the configuration, and so its secrets."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from tiler.errors import DestinationError
from tiler.files import write_whole
from tiler.storage.safe_text import masked

log = logging.getLogger("tiler")

_MULTIRUN = "multirun.yaml"


def mask_hydras_files(out: Path, sweep: Path | None) -> None:
    """Mask the secrets in the files that Hydra wrote before it started a job.

    Parameters
    ----------
    out
        The job's folder, with Hydra's ``output_subdir`` in it.
    sweep
        The folder of the sweep that the job is part of; None without a sweep.
    """
    from tiler.runner.guard import HYDRAS

    subdir = HydraConfig.get().output_subdir
    files = [out / subdir / name for name in HYDRAS] if subdir else []
    if sweep is not None:
        files.append(sweep / _MULTIRUN)
    for path in files:
        if path.is_symlink() or not path.is_file():
            continue
        with suppress(OSError, UnicodeDecodeError):
            text = path.read_text(encoding="utf-8")
            if (safe := masked(text)) != text:
                _replace(path, safe)


def _replace(path: Path, text: str) -> None:
    try:
        write_whole(path, text.encode())
    except DestinationError as error:
        log.warning("%s; it contains secrets of the configuration", error)
