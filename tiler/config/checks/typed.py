"""Settings that only the command itself may set: they can run commands."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override

from tiler.config.checks.validate import leaves
from tiler.errors import ConfigError

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_RESOURCES = (
    "queue", "project", "account", "cores", "memory", "processes", "walltime", "job_cpu",
    "job_mem", "job_name", "interface", "death_timeout", "nanny",
)  # fmt: skip
"""Arguments of ``SLURMCluster`` that ask for resources. Others are commands, or lead to some."""
_PLAIN = re.compile(r"([\w.,:/+@%][\w.,:/+@%-]*)?")
"""One value: Dask writes it into a job script without quotes."""

_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?")
"""Addresses of this machine that other machines do not reach."""


def typed_keys(overrides: Sequence[Override]) -> frozenset[str]:
    """Return the dotted keys that overrides of the command set."""
    return frozenset(
        key
        for override in overrides
        for key, _ in leaves({override.key_or_group: override.value()})
    )


def untyped(key: str, value: Any, typed: Collection[str]) -> Iterator[str]:
    """List values below a key that can run commands, unless the command itself sets them."""
    for name, _ in leaves({key: value}):
        if name not in typed:
            yield f"{name}: can run any command; set it in the command itself, not in a file"


def control_characters(key: str, value: Any, typed: Collection[str]) -> Iterator[str]:
    """List texts with control characters: in a job script, a new line is a new command."""
    for name, text in leaves({key: value}):
        if name not in typed and _CONTROL.search(f"{name}{text}"):
            yield f"{name}={text!r}: contains a control character; leave it out"


def check_engine(engine: Mapping[str, Any], out: str, typed: Collection[str]) -> None:
    """Refuse an engine that would run commands, or obey a scheduler, that only a file names.

    Parameters
    ----------
    engine
        Its node, resolved.
    out
        The folder of the run.
    typed
        The keys that the command itself sets.

    Raises
    ------
    ConfigError
        If there are such settings; the error has a line for each.
    """
    problems: list[str] = []
    if engine.get("address"):
        problems += untyped("engine.address", engine["address"], typed)
    dashboard = str(engine.get("dashboard") or "127.0.0.1")
    if not _LOOPBACK.fullmatch(dashboard) and "engine.dashboard" not in typed:
        problems.append(
            f"engine.dashboard={dashboard}: other machines may open it; use 127.0.0.1:PORT, or set"
            " it in the command itself"
        )
    slurm = engine.get("slurm") or {}
    for name, value in leaves(slurm):
        key = f"engine.slurm.{name}"
        text = str(value).replace(" ", "") if name == "memory" else str(value)  # 4 GB
        if name not in _RESOURCES:
            problems += untyped(key, value, typed)
        elif key not in typed and not _PLAIN.fullmatch(text):
            problems.append(f"{key}={value!r}: is not a plain value; set it in the command itself")
    logs = engine.get("logs")
    if slurm and logs and logs != f"{out}/.dask":  # the keys to the scheduler lie there
        problems += untyped("engine.logs", logs, typed)
    if problems:
        raise ConfigError("\n".join(problems))
