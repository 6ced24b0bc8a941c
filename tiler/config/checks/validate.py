"""Check a whole configuration before anything is opened, and list every mistake."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from tiler.checks.hints import fits, spelled
from tiler.checks.targets import (
    ANY,
    GROUPS,
    LISTS,
    names_target,
    nodes,
    parameters,
    required,
    target_of,
)
from tiler.errors import ConfigError
from tiler.readers.limits import scale_problem
from tiler.spec import TileSpec
from tiler.storage.destinations import expanded, unknown_user

_HYDRA_KEYS = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")
_GIVEN_BY_TILER = {
    "tile": {"resolution"},
    "reader": {"path", "name"},
    "exporter.csv": {"tiles"},
    "exporter.json": {"tiles"},
    "exporter.images": {"context"},
    "exporter.hs2p": {"threshold"},
}
_SPEC = TileSpec | None
"""The type of a parameter that tiler sets: see ``tiler.protocols.NeedsTileSpec``."""


_EXAMPLES = {"exporter": "[csv,images]", "filter": "[blur,white]", "transform": "[icc,macenko]"}


def package_line(group: str) -> str:
    """Return the fix for a wrong first line of an option's file."""
    if group in LISTS:
        return f"the file of an option needs the first line '# @package {group}.NAME'"
    return "remove the line '# @package …' from the option's file"


def problems_in(
    config: Mapping[str, Any], known: Iterable[str], given: Container[str] = ()
) -> list[str]:
    """List unknown and missing keys, foreign targets and wrong types in plain values.

    Parameters
    ----------
    config
        Plain containers, interpolations resolved.
    known
        The keys of the top: these, and all of them.
    given
        Dotted keys that may be left open here, for every slide has its own.
    """
    known = list(known)
    problems = [f"unknown key {key!r}{nearest(key, known)}" for key in config if key not in known]
    problems += [needed(key) for key in known if key not in config]
    for key in (key for key in config if key in known and key not in given):
        if key in LISTS and names_target(config[key]):  # it hides the others' nodes
            problems += _unfit(key, config[key])
            continue
        below = (_problems_in_node(*found, given) for found in nodes(config[key], key))
        problems += list(chain(*below)) or _unfit(key, config[key])
    return problems


def needed(key: str) -> str:
    """Return the message for a removed top-level key."""
    return f"{key}: every run needs it; keep it, or set another value"


def _unfit(key: str, value: Any) -> Iterator[str]:
    """List the problems of a top-level key: not an option of its group, or not set."""
    if key in LISTS and names_target(value):
        yield f"{key}._target_={value['_target_']}: {package_line(key)}"
    elif key in LISTS and isinstance(value, Mapping):
        options = _EXAMPLES[key]
        for name, option in value.items():
            if not names_target(option):
                yield (
                    f"{key}.{name}={option!r} is not chosen; choose {LISTS[key]} as {key}={options}"
                )
    elif key not in GROUPS:
        for name, below in leaves({key: value}):
            if below == "???":
                yield f"{name} is not set: give {name}=…"
    elif value == "???":
        yield f"{key} is not set: choose an option of the group, {key}=…"
    elif isinstance(value, Mapping) and any(map(names_target, (value, *value.values()))):
        if not names_target(value):
            yield f"{key}={list(value)}: {package_line(key)}"
    else:
        yield (
            f"{key}={value!r} is not an option of the group; choose one as {key}=… in the"
            f" command, or by '- override /{key}: …' in the defaults of a file (_target_ says what"
            " it calls)"
        )


def nearest(word: str, words: Iterable[str]) -> str:
    """Return the hint ``; did you mean …?``, or nothing if no word is similar."""
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.7)
    return f"; did you mean {close[0]!r}?" if close else ""


def leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every dotted key of plain containers with its value; empty mappings are values."""
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _problems_in_node(key: str, node: Mapping[str, Any], given: Container[str]) -> list[str]:
    try:
        target = target_of(key, node)
    except ConfigError as error:
        return [str(error)]
    taken = parameters(target)
    ours = _GIVEN_BY_TILER.get(key, set()) | {name for name in taken if taken[name] == _SPEC}
    names = [name for name in taken if name not in ours and name != ANY]
    unset = {name for name, value in node.items() if value == "???" and name in names}
    if "_args_" not in node and (ours or not node.get("_partial_")):
        unset |= required(target) - ours - set(node)
    problems = [
        f"{key}.{name} is not set: give {key}.{name}=…"
        for name in names
        if name in unset and f"{key}.{name}" not in given
    ]
    problems += _ill_called(key, node)
    for name, value in node.items():
        if name in _HYDRA_KEYS or name in unset:
            continue
        if name not in names and ANY in taken:
            continue
        if name not in names:
            problems.append(f"unknown key '{key}.{name}'{nearest(name, names)}")
        elif not fits(value, taken[name]):
            wanted = spelled(taken[name])
            quotable = not isinstance(value, str | None) and fits(str(value), taken[name])
            how = f"; as text it is '{key}.{name}=\"{value}\"'" if quotable else ""
            shown = "null" if value is None else repr(value)
            problems.append(f"{key}.{name}={shown} is invalid; use {wanted}{how}")
    return problems


def _ill_called(key: str, node: Mapping[str, Any]) -> Iterator[str]:
    """List arguments that tiler's components do not take; only readers and tiles are partial."""
    if not str(node["_target_"]).startswith("tiler."):
        return
    if "_args_" in node:
        yield f"{key}._args_={node['_args_']}: give arguments by their names"
    if bool(node.get("_partial_", key == "tile")) is not (key in ("reader", "tile")):
        yield f"{key}._partial_={node.get('_partial_')}: leave it as the option of the group has it"


def check_out(plain: Mapping[str, Any]) -> None:
    """Refuse a run whose output folder, cache or table of slides cannot be used.

    Raises
    ------
    ConfigError
        If ``out`` is missing, the run would replace its table of slides, or a path begins with
        the home folder of an unknown user.
    """
    if not plain["out"]:
        raise ConfigError("out is empty: name a folder for the run (. is this one)")
    check_home("cache", plain.get("cache"))
    for name, value in plain["tracker"].items():
        check_home(f"tracker.{name}", value)
    check_table(plain["slides"].get("table"), Path(expanded(plain["out"])))


def check_home(key: str, value: object) -> None:
    """Refuse the home folder of a user that does not exist, where tiler would write.

    Raises
    ------
    ConfigError
        If the value is such a path.
    """
    if isinstance(value, str) and (user := unknown_user(value)):
        raise ConfigError(
            f"{key}={value}: there is no user {user!r} with a home folder; write"
            f" {key}=./{value} for a folder of that name"
        )


def check_table(table: str | None, folder: Path) -> None:
    """Refuse a table of slides that a run or a sweep into a folder would write over.

    Raises
    ------
    ConfigError
        If the table has the name of an output file in that folder.
    """
    from tiler.runner.guard import NAMES

    place = os.path.realpath(expanded(table)) if table else None  # a Path refuses loops of links
    for name in NAMES:
        if place == os.path.realpath(folder / name):
            raise ConfigError(
                f"slides.table={table}: the run would write its own {name} over it; choose another"
                " out, or give the table another name"
            )


def check_folder(out: str, hydras: Any, of_sweep: bool) -> None:
    """Refuse a run or a job whose Hydra output folder differs from ``out``.

    Raises
    ------
    ConfigError
        If the folders differ.
    """
    key, chosen = ("sweep", hydras.sweep.dir) if of_sweep else ("run", hydras.run.dir)
    if os.path.abspath(chosen) != os.path.abspath(expanded(out)):
        raise ConfigError(
            f"hydra.{key}.dir={chosen}: all files lie under out={out}; set that alone, and leave"
            f" hydra.{key}.dir out"
        )


def out_of_range(reader: Mapping[str, Any]) -> Iterator[str]:
    """List values that no reader of tiler accepts: readers check them only with a slide."""
    if not str(reader["_target_"]).startswith("tiler."):
        return
    for key in ("mpp", "magnification", "max_pixels", "max_tile_bytes"):
        if (value := reader.get(key)) is None:
            continue
        if not 0 < value < math.inf:
            yield f"reader.{key}={value} is out of range; use a positive number"
        elif key in ("mpp", "magnification") and (problem := scale_problem(key, value)):
            yield problem
    if not reader.get("cache_bytes", 0) >= 0:
        yield f"reader.cache_bytes={reader['cache_bytes']} is out of range; use 0 or more"
    if (reader.get("series") or 0) < 0:
        yield f"reader.series={reader['series']} is out of range; use 0 or more, or null"
