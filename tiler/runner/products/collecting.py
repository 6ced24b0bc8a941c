"""The exporters of a run that have products, and whether its folder has some."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from tiler.errors import ExitCode
from tiler.protocols import CollectsRun
from tiler.runner.products.listed import LIST
from tiler.runner.work.job import SlideJob


@dataclass(frozen=True)
class Products:
    """The products of a run: how many links and files, and a line for each that is missing."""

    links: int = 0
    files: int = 0
    problems: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of a run in which nothing else failed."""
        return ExitCode.SLIDE_FAILED if self.problems else ExitCode.DONE


def collects(exporter: object) -> TypeGuard[CollectsRun]:
    """Return whether an exporter has products of a run."""
    # The protocol is asked last, because its check is slow.
    return hasattr(exporter, "run_links") and isinstance(exporter, CollectsRun)


def collecting(jobs: Iterable[SlideJob]) -> dict[str, list[CollectsRun]]:
    """Return the exporters with products by their names in the configuration.

    One name may have several exporters: a table may set their options for each slide.
    """
    found: dict[str, dict[tuple[str, ...], CollectsRun]] = {}
    for job in jobs:
        for name, exporter in job.exporters.items():
            if collects(exporter) and (names := exporter.run_names):
                found.setdefault(name, {}).setdefault(names, exporter)
    return {name: list(some.values()) for name, some in found.items()}


def refuse_products(jobs: Iterable[SlideJob], out: Path) -> None:
    """Refuse a run whose products would be in the way of the user's files.

    Raises
    ------
    ConfigError
        If a name in the run's folder is not tiler's own; the error names the first one.
    """
    if exporters := collecting(jobs):
        from tiler.runner.products.make import refuse_exporters

        refuse_exporters(exporters, out)


def has_products(jobs: Iterable[SlideJob], out: Path) -> bool:
    """Return whether a run has products, or an earlier run in its folder had some.

    Most runs have none, and then the code that makes them, 10 ms, need not be loaded.
    """
    return bool(collecting(jobs)) or os.path.lexists(out / LIST)
