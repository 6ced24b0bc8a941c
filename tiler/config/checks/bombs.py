"""Short texts that stand for more values than memory holds: refused before Hydra makes them."""

from __future__ import annotations

import math
import re
import stat
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

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
    """Refuse a folder of options with a file that stands for too many values or too much text.

    Hydra resolves a few of its own keys while it composes. So the interpolations of each file are
    checked here, and those of the whole configuration after Hydra composed it.

    Parameters
    ----------
    folder
        As ``--config-dir`` or ``--config-path`` names it.

    Raises
    ------
    ConfigError
        Naming the first such file, or the first that is no regular file, or is too large.
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
        if b"${" in data:
            _check_interpolations(path, path.relative_to(folder).parts[:-1], data)


def _check_interpolations(path: Path, group: Sequence[str], data: bytes) -> None:
    """Check the interpolations of a file whose keys lie in the package of its group, or its own."""
    try:
        plain = yaml.load(data, Loader=_LOADER)
    except (yaml.YAMLError, ValueError):  # Hydra names the line
        return
    if header := _PACKAGE.search(data):
        package = header[1].decode(errors="replace")
        group = () if package == "_global_" else package.split(".")
    for name in reversed(group):
        plain = {name: plain}
    try:
        check_values(plain)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


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
        When it has more than ``MAX_JOBS``.
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
