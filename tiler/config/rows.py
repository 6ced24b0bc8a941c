"""The components of each slide, with the overrides of its row in a table."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tiler.config.cells import cell_value, cut
from tiler.config.checks.validate import leaves, nearest, problems_in
from tiler.config.components import SHAPES_OUTPUT, job_parts
from tiler.config.literal import literal, resolved_keys
from tiler.errors import ConfigError
from tiler.protocols import SlideEntry

_MOST_PROBLEMS = 50
_LONGEST_TEXT = 60


def components_of(
    entries: Sequence[SlideEntry],
    common: Mapping[str, Any],
    config: DictConfig,
    plain: Mapping[str, Any],
    swept: Collection[str],
) -> list[Mapping[str, Any]]:
    """Return the components of each slide's job; list the mistakes of all rows at once.

    Slides with the same settings share components: tables have many rows and few settings.
    """
    keys = settable(plain)
    # One pickle for all copies takes half the time of OmegaConf's copy.
    copied = pickle.dumps(config) if any(entry.overrides for entry in entries) else b""
    known: dict[tuple[tuple[str, str], ...], Mapping[str, Any] | str] = {(): common}
    places: dict[str, list[str]] = {}  # line numbers by mistake
    parts: list[Mapping[str, Any]] = []
    for entry in entries:
        settings = tuple(entry.overrides.items())
        if settings not in known:
            try:
                own = _overridden(copied, plain, keys, entry.overrides, swept)
                known[settings] = {**common, **own}
            except ConfigError as error:
                known[settings] = str(error)
        found = known[settings]
        if isinstance(found, str):
            name = entry.path.name[:_LONGEST_TEXT]
            place = f"line {entry.line} ({name})" if entry.line else name
            for what in found.splitlines():
                places.setdefault(what, []).append(place)
        else:
            parts.append(found)
    problems = [
        f"slides.table: {there[0]}{f' and {len(there) - 1} more' if there[1:] else ''}: {what}"
        for what, there in places.items()
    ]
    if problems:
        more = len(problems) - _MOST_PROBLEMS
        told = [*problems[:_MOST_PROBLEMS], *([f"slides.table: {more} more mistakes"] * (more > 0))]
        raise ConfigError("\n".join(told))
    return parts


def _overridden(
    config: bytes,
    plain: Mapping[str, Any],
    keys: Collection[str],
    overrides: Mapping[str, str],
    swept: Collection[str],
) -> dict[str, Any]:
    """Build the components of a pickled configuration with some ``keys`` set from text.

    Only keys that affect output are resolved and checked again, which saves half of the time.

    Raises
    ------
    ConfigError
        If a key does not exist, may not differ between slides, is swept, or has the wrong type;
        the error has a line for every mistake.
    """
    own: DictConfig = pickle.loads(config)
    shaping = [key for key in SHAPES_OUTPUT if key in plain]
    problems = []
    for key, text in overrides.items():
        if key not in keys:
            problems.append(
                f"column {key!r} is not a key that a slide may set{nearest(key, keys)}"
                " (begin its name with _ to have it ignored)"
            )
            continue
        if key in swept:
            problems.append(f"{key}={text}: the sweep sets {key}, too; remove it from one of them")
        try:
            OmegaConf.update(own, key, literal(cell_value(text)))
        except (OmegaConfBaseException, ValueError) as error:
            problems.append(f"{key}={text[:_LONGEST_TEXT]}: {str(error).splitlines()[0]}")
    changed = resolved_keys(own, shaping)
    problems += problems_in(changed, shaping)
    if problems:
        raise ConfigError("\n".join(map(cut, problems)))
    return job_parts({**plain, **changed})


def settable(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that a slide may set: all single values except Hydra's."""
    shaping = {key: plain[key] for key in SHAPES_OUTPUT if key in plain}
    return {
        key: value
        for key, value in leaves(shaping)
        if not isinstance(value, Mapping) and not key.rpartition(".")[2].startswith("_")
    }
