"""``data/run.js``: the run, and a row for each of its slides."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tiler
from tiler.checks.hints import made_of
from tiler.report.pages import now
from tiler.report.run.failures import split_reason
from tiler.report.run.funnel import funnel
from tiler.report.run.rows import Row, text_of
from tiler.report.run.words import rule_labels, settings_in_words
from tiler.report.slide.data import limits_from_table, rules
from tiler.runner.work.job import SlideJob
from tiler.selection import BELOW_THRESHOLD, FILTER, LABEL, NOT_SAMPLED
from tiler.storage.safe_text import shown
from tiler.storage.stored import parse_json

VERSION = 1

_DATE = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d")


@dataclass(frozen=True)
class Card:
    """The facts that the run page shows about a slide beside its row.

    Attributes
    ----------
    picture, data
        The paths of its card's picture and of its data, below the report's folder; None if there
        are none.
    doubt
        A warning about its mask.
    stale
        Why its data may differ from what the run wrote.
    problems
        A line for each thing of the slide that the report lacks, with the reason.
    """

    picture: str | None = None
    data: str | None = None
    doubt: str = ""
    stale: str = ""
    problems: Sequence[str] = ()


@dataclass(frozen=True)
class _Facts:
    """The facts about a slide in the list of a report, beside the names of its files."""

    doubt: str = ""
    stale: str = ""
    problems: Sequence[str] = ()


def listed_facts(doubt: str, stale: str, problems: Sequence[str]) -> str:
    """Return what the list of a report keeps of a slide, for ``card_of``."""
    return json.dumps(vars(_Facts(shown(doubt), shown(stale), [*map(shown, problems)])))


def card_of(paths: Sequence[str], key: str, without: str) -> Card:
    """Return the card of a slide.

    Parameters
    ----------
    paths
        The paths of its files in the report.
    key
        A digest of what they were made from, a space, and the facts about them as JSON.
    without
        Why the slide has no data; empty if it has.
    """
    picture = next((path for path in paths if path.startswith("pictures/")), None)
    data = next((path for path in paths if path.startswith("data/")), None)
    text = key.partition(" ")[2] or "{}"
    try:
        facts = made_of(_Facts, parse_json(text.encode(errors="surrogateescape")))
    except ValueError:  # others changed the list
        facts = _Facts()
    problems = [*facts.problems, *([without] if without else [])]
    return Card(picture, data, facts.doubt, facts.stale, problems)


def run_data(
    jobs: Sequence[SlideJob],
    rows: Sequence[Row],
    cards: Sequence[Card],
    run: Mapping[str, Any],
    folder: str = "",
) -> dict[str, Any]:
    """Return the data of a run's page; ``pages/src/common/data.ts`` describes it.

    Parameters
    ----------
    jobs
        The jobs of the slides; none if they could not be built.
    rows, cards
        One per slide.
    run
        The content of ``run.json``.
    folder
        The name of the run's folder: the title of a run whose name is only a date.
    """
    config = run.get("config")
    plain: Mapping[str, Any] = config if isinstance(config, Mapping) else {}
    counts = run.get("counts")
    name = str(plain.get("name") or "")
    return {
        "version": VERSION,
        "name": shown(folder if folder and _DATE.match(name) else name),
        "words": shown("; ".join([settings_in_words(plain), *_words_of_table(jobs)])),
        "tiler": str(run.get("tiler") or tiler.__version__),
        "status": str(run.get("status") or ""),
        "exit_code": run.get("exit_code"),
        "made": now(),
        "counts": dict(counts) if isinstance(counts, Mapping) else {},
        "rules": _common_rules(jobs),
        "base": _base_rules(jobs),
        "set_by_table": Counter(key for job in jobs for key in limits_from_table(job)),
        "funnel": funnel(rows, _labels(plain, jobs)),
        "slides": _columns(rows, cards),
    }


def _words_of_table(jobs: Sequence[SlideJob]) -> list[str]:
    """Return what the table of slides sets, in words; nothing if it sets nothing."""
    keys = dict.fromkeys(key for job in jobs for key in job.from_table)
    slides = sum(bool(job.from_table) for job in jobs)
    found = f"the table of slides sets {', '.join(keys)} for {slides} of {len(jobs)} slides"
    return [found] if keys else []


def _labels(plain: Mapping[str, Any], jobs: Sequence[SlideJob]) -> dict[str, str]:
    """Return the rules in words, by reason, with a remark where a table sets some of them."""
    keys = {key for job in jobs for key in job.from_table}
    places = {BELOW_THRESHOLD: "threshold", LABEL: "label.", NOT_SAMPLED: "sampler."}

    def is_set(reason: str) -> bool:
        place = places.get(reason) or f"filter.{reason.removeprefix(FILTER)}."
        return any(key.startswith(place) for key in keys)

    return {
        reason: f"{label}, or as the table sets it" if is_set(reason) else label
        for reason, label in rule_labels(plain).items()
    }


def _common_rules(jobs: Sequence[SlideJob]) -> dict[str, Any] | None:
    """Return the rules that all slides share; None if they differ, or are not known."""
    found: list[dict[str, Any]] = []
    for job in {id(job.extractor): job for job in jobs}.values():
        own = {**rules(job, 0.0), "from_table": []}
        if own not in found:
            found.append(own)
    return found[0] if len(found) == 1 else None


def _base_rules(jobs: Sequence[SlideJob]) -> dict[str, Any] | None:
    """Return the rules that overrides change; None if they are not known.

    Each limit is that of slides for which no table sets it. Where a table sets it for all slides,
    it is that of the first one, and its key is in ``from_table``.
    """
    if not jobs:
        return None
    base = {**rules(jobs[0], 0.0), "from_table": []}
    for key in dict.fromkeys(key for job in jobs for key in limits_from_table(job)):
        own = next((rules(job, 0.0) for job in jobs if key not in job.from_table), None)
        if own is None:
            base["from_table"].append(key)
        elif key == "threshold":
            base[key] = own[key]
        else:
            name, _, bound = key.removeprefix("filter.").rpartition(".")
            for filter_, found in zip(base["filters"], own["filters"], strict=True):
                if filter_["name"] == name:
                    filter_[bound] = found[bound]
    return base


def _columns(rows: Sequence[Row], cards: Sequence[Card]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for row in rows for name in row)
    columns: dict[str, list[Any]] = {name: [row.get(name) for row in rows] for name in names}
    return {
        **columns,
        "picture": [card.picture for card in cards],
        "data": [card.data for card in cards],
        "code": [_code(row) for row in rows],
        "warnings": [_warnings(row, card) for row, card in zip(rows, cards, strict=True)],
        "doubt": [card.doubt for card in cards],
    }


def _code(row: Row) -> str:
    """Return the code of the error that a slide failed with; empty for other slides."""
    if row.get("status") != "failed":
        return ""
    return split_reason(text_of(row, "reason"), text_of(row, "slide_id"))[0]


def _warnings(row: Row, card: Card) -> str:
    parts = (text_of(row, "notes"), card.stale, *card.problems)
    return "; ".join(part for part in parts if part)
