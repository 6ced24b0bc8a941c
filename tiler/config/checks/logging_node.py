"""Check a logging configuration, because ``logging.config.dictConfig`` calls and imports names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tiler.checks.targets import ImportBrokenError, trusted_target

_SECTIONS = {
    "formatters": "format datefmt style validate",
    "filters": "name",
    "handlers": (
        "level formatter filters stream filename mode encoding delay errors capacity flushLevel"
        " target"
    ),
    "loggers": "level handlers filters propagate",
}
"""The keys of the entries of each section, beside those that name code."""

_NAMES_CODE = ("class", "()")
_PLAIN = ("version", "disable_existing_loggers", "incremental", "root")
_HANDLERS = (
    "logging.StreamHandler",
    "logging.FileHandler",
    "logging.NullHandler",
    "logging.handlers.MemoryHandler",
)
"""Handlers that remove no file, because it may be the user's."""

_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
_IMPORTING = ("ext://", "cfg://")
_FOLDER = "${hydra.runtime.output_dir}/"
_NAME = "${hydra.job.name}"
_PLAIN_LOG = re.compile(r"[\w-][\w.-]*\.log")


def logging_problems(key: str, node: Any, job: str | None = None) -> Iterator[str]:
    """List the problems of a logging configuration.

    Parameters
    ----------
    key
        The key of the configuration, for messages.
    node
        The configuration, with interpolations as they are written.
    job
        The name of Hydra's job if log files may lie in a run's folder; None if they may not.
    """
    if node is None:
        return
    if not isinstance(node, Mapping):
        yield f"{key}={node}: write its keys out, not an interpolation"
        return
    for section, entries in node.items():
        place = f"{key}.{section}"
        if section in _PLAIN:
            root = entries if section == "root" and isinstance(entries, Mapping) else {}
            yield from _unknown(place, root, _SECTIONS["loggers"])
            yield from _importing(place, entries)
        elif section not in _SECTIONS:
            yield f"{place}: unknown key of a logging configuration"
        elif not isinstance(entries, Mapping):
            yield f"{place}={entries}: write its keys out, not an interpolation"
        else:
            for name, entry in entries.items():
                yield from _entry_problems(f"{place}.{name}", section, entry, job)


def _entry_problems(key: str, section: str, entry: Any, job: str | None) -> Iterator[str]:
    if not isinstance(entry, Mapping):
        yield f"{key}={entry}: write its keys out"
        return
    code = {name: entry[name] for name in _NAMES_CODE if name in entry}
    trusted = False
    for name, value in code.items():
        if section == "handlers" and name == "class" and value in _HANDLERS:
            continue
        try:
            trusted = trusted_target(str(value)) is not None
        except (ValueError, ImportBrokenError) as error:
            yield f"{key}.{name}={value}: {error}"
    rest = {name: value for name, value in entry.items() if name not in code}
    if not trusted:
        yield from _unknown(key, rest, _SECTIONS[section])
    for name, value in rest.items():
        if section == "handlers" and name == "stream" and value in _STREAMS:
            continue
        if section == "handlers" and name == "filename":
            if job is None or not _lies_in_the_run(value, job):
                yield (
                    f"{key}.filename={value}: a log lies in the folder of a run; name it as"
                    f" {_FOLDER}NAME.log, in hydra.job_logging"
                )
            continue
        if section == "handlers" and name == "mode" and value != "a":
            yield f"{key}.mode={value}: lines are added to a log; leave mode out"
        yield from _importing(f"{key}.{name}", value)


def _unknown(key: str, entry: Mapping[Any, Any], known: str) -> Iterator[str]:
    for name in entry:
        if name not in known.split():
            yield f"{key}.{name}: unknown key of a logging configuration"


def _lies_in_the_run(value: Any, job: str) -> bool:
    text = str(value)
    return text.startswith(_FOLDER) and bool(
        _PLAIN_LOG.fullmatch(text.removeprefix(_FOLDER).replace(_NAME, job))
    )


def _importing(key: str, value: Any) -> Iterator[str]:
    """List texts that logging, or an interpolation, may resolve to an object."""
    if isinstance(value, Mapping):
        for name, below in value.items():
            yield from _importing(f"{key}.{name}", below)
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from _importing(f"{key}[{number}]", below)
    elif isinstance(value, str):
        begins = value.partition("${")[0]
        if any(value.startswith(prefix) for prefix in _IMPORTING):
            yield f"{key}={value}: names an object; write a plain value"
        elif "${" in value and any(prefix.startswith(begins) for prefix in _IMPORTING):
            yield f"{key}={value}: write out how it begins; an interpolation there may name code"
