"""Refuse short texts that stand for too many values, before Hydra fills the memory with them."""

from __future__ import annotations

import math
import re
import stat
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import Override, RangeSweep

from tiler.config.checks.interpolations import check_values
from tiler.errors import ConfigError

MAX_JOBS = 100_000
MAX_VALUES = 100_000
_MAX_BYTES = 16 << 20
_PACKAGE = re.compile(rb"^#\s*@package\s+(\S+)", re.MULTILINE)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the first is ten times as fast


def check_files(folder: Path) -> None:
    """Refuse a folder of options with a file that stands for too many values.

    Parameters
    ----------
    folder
        The folder as ``--config-dir`` or ``--config-path`` names it.

    Raises
    ------
    ConfigError
        If there is one, or a file that is not regular or too large; the error names the first one.
    """
    for path in sorted(folder.rglob("*.yaml")):
        try:
            facts = path.stat()
            if stat.S_ISDIR(facts.st_mode):
                continue
            if not stat.S_ISREG(facts.st_mode):
                raise ConfigError(f"{path}: is not a regular file; remove it")
            if facts.st_size > _MAX_BYTES:
                raise ConfigError(
                    f"{path}: has {facts.st_size:,} bytes; a configuration has at most"
                    f" {_MAX_BYTES:,}"
                )
            data = path.read_bytes()
        except OSError:  # Hydra reports it where the file is used
            continue
        if b"*" in data and _values(data) > MAX_VALUES:
            raise ConfigError(
                f"{path}: its YAML aliases (*) stand for more than {MAX_VALUES:,} values; write"
                " out fewer values"
            )


def check_early_keys(folders: Sequence[Path], overrides: Sequence[Override]) -> None:
    """Refuse interpolations that fill the memory in a key that Hydra resolves while it composes.

    These are keys of ``hydra.job``. Which files Hydra is going to use is not known yet. So all
    files count together, and all texts of a key.

    Parameters
    ----------
    folders
        The folders of options.
    overrides
        The overrides of the command.

    Raises
    ------
    ConfigError
        If there are; the error names the key with the longest text.
    """
    plains = [plain for folder in folders for plain in _contents(folder)]
    for override in overrides:
        text: Any = str(override.input_line).partition("=")[2]
        plains.append(_below(override.key_or_group.split("."), text))
    if any("${" in str(_job(plain)) for plain in plains):
        check_values(*plains)


def _job(plain: Any) -> Any:
    """Return ``hydra.job``, or the text that stands for it."""
    for name in ("hydra", "job"):
        plain = plain.get(name) if isinstance(plain, dict) else plain
    return plain


def _contents(folder: Path) -> Iterator[Any]:
    """Yield the values of each file of options, below the package of its group, or its own."""
    for path in sorted(folder.rglob("*.yaml")):
        try:
            data = path.read_bytes()
            plain = yaml.load(data, Loader=_LOADER)
        except (OSError, yaml.YAMLError, ValueError):  # Hydra names the file and the line
            continue
        group: Sequence[str] = path.relative_to(folder).parts[:-1]
        if header := _PACKAGE.search(data):
            package = header[1].decode(errors="replace")
            group = () if package == "_global_" else package.split(".")
        yield _below(group, plain)


def _below(names: Sequence[str], value: Any) -> Any:
    for name in reversed(names):
        value = {name: value}
    return value


def _values(data: bytes) -> float:
    """Return the number of values of a YAML text once its aliases are written out."""
    anchors: dict[str, float] = {}
    open_nodes: list[tuple[str | None, float]] = [(None, 0.0)]
    try:
        for event in yaml.parse(data, Loader=_LOADER):
            if isinstance(event, yaml.CollectionStartEvent):
                if event.anchor:
                    anchors[event.anchor] = math.inf  # an alias inside is a circle
                open_nodes.append((event.anchor, 1.0))
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, count = open_nodes.pop()
                _close(anchors, open_nodes, anchor, count)
            elif isinstance(event, yaml.ScalarEvent):
                _close(anchors, open_nodes, event.anchor, 1.0)
            elif isinstance(event, yaml.AliasEvent):
                _close(anchors, open_nodes, None, anchors.get(str(event.anchor), 1.0))
    except (yaml.YAMLError, UnicodeDecodeError):  # Hydra names the line
        return 0.0
    return open_nodes[0][1]


def _close(
    anchors: dict[str, float],
    open_nodes: list[tuple[str | None, float]],
    anchor: str | None,
    count: float,
) -> None:
    """Add the values of a node that has ended to those of the node around it."""
    if anchor:
        anchors[anchor] = count
    above, before = open_nodes[-1]
    open_nodes[-1] = above, before + count


def check_jobs(lines: Sequence[Override]) -> None:
    """Refuse a sweep of too many jobs, without listing them.

    Parameters
    ----------
    lines
        The overrides of the sweep.

    Raises
    ------
    ConfigError
        If it has more than ``MAX_JOBS``.
    """
    last = {line.get_key_element(): line for line in lines}  # of a key that is set twice
    swept = [line for line in last.values() if line.is_sweep_override()]
    number = math.prod(_length(line) for line in swept if line.is_discrete_sweep())
    if number > MAX_JOBS:
        names = ", ".join(str(line.input_line) for line in swept)
        raise ConfigError(
            f"{names}: the sweep has more than {MAX_JOBS:,} jobs; sweep over fewer values"
        )


def _length(override: Override) -> int:
    value = override.value()
    values: Iterator[object] = (
        iter(value.range()) if isinstance(value, RangeSweep) else override.sweep_string_iterator()
    )
    return sum(1 for _ in islice(values, MAX_JOBS + 1))
