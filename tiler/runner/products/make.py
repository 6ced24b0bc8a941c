"""Make the products of a run, and refuse a folder in which they would be in the user's way."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from tiler.checks.components import callable_name
from tiler.errors import ComponentError, ConfigError, ExitCode
from tiler.protocols import CollectsRun
from tiler.runner.products.gather import Gathered, gathered, key_of, others_key
from tiler.runner.products.listed import (
    SLIDES,
    Listed,
    is_product,
    own_file,
    read_listed,
    target_of,
)
from tiler.runner.products.place import File, Link, Placer
from tiler.runner.work.folders import new_work
from tiler.runner.work.job import SlideJob, SlideRow

log = logging.getLogger("tiler")

_SHOWN = 20
"""Maximum number of problems that are logged."""


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


def _collecting(jobs: Iterable[SlideJob]) -> dict[str, list[CollectsRun]]:
    """Return the exporters with products by their names in the configuration.

    One name may have several exporters: a table may set their options for each slide.
    """
    found: dict[str, dict[tuple[str, ...], CollectsRun]] = {}
    for job in jobs:
        for name, exporter in job.exporters.items():
            if collects(exporter) and (names := exporter.run_names):
                found.setdefault(name, {}).setdefault(names, exporter)
    return {name: list(some.values()) for name, some in found.items()}


def refuse_products(jobs: Sequence[SlideJob], out: Path) -> None:
    """Refuse a run whose products would be in the way of the user's files.

    Raises
    ------
    ConfigError
        Naming the first name in the run's folder that is not tiler's own.
    """
    used: dict[str, str] = {}
    for name, some in _collecting(jobs).items():
        for place in dict.fromkeys(place for exporter in some for place in exporter.run_names):
            top = place.removesuffix("/")
            other = used.setdefault(top, name)
            if other != name or "/" in top or not is_product(top):
                why = "every run" if other == name else f"exporter={other}"
                raise ConfigError(
                    f"exporter.{name}: {top!r} is a name of {why} in the run's folder; use another"
                    " name, or leave out this exporter"
                )
            _refuse_in_the_way(out, top, name, is_folder=place.endswith("/"))


def _refuse_in_the_way(out: Path, top: str, name: str, *, is_folder: bool) -> None:
    """Refuse what is at a product's name in the run's folder, unless it is tiler's own."""
    path = out / top
    if not os.path.lexists(path):
        return
    if path.is_symlink() or path.is_dir() != is_folder:
        kind = "a symbolic link" if path.is_symlink() else "a file" if is_folder else "a folder"
    elif is_folder or own_file(out, top, read_listed(out), by_hash=False):
        return
    else:
        kind = "not a file that tiler wrote"
    raise ConfigError(
        f"{path} is {kind}, and exporter={name} would write there; move it away, or use another out"
    )


def make_products(
    jobs: Sequence[SlideJob], rows: Mapping[str, SlideRow], out: Path, verify: str
) -> Products:
    """Make the products of a run, and remove those of an earlier run that are out of date.

    Parameters
    ----------
    jobs, out
        Of the run.
    rows
        The rows of slides that have ended, by slide id.
    verify
        As ``Policy.verify``: with ``hash``, unchanged files are read as well.

    Raises
    ------
    DestinationError
        If the destination cannot be written.
    """
    exporters, listed = _collecting(jobs), read_listed(out)
    names = exporters.keys() | listed.exporters
    if not names:
        return Products()
    slides = gathered(jobs, rows, out, names)
    links, files = dict[str, Link](), dict[str, File]()
    for name, some in exporters.items():
        own = [one for one in slides[name] if collects(one.job.exporters.get(name))]
        links |= _links(name, own)
        for exporter in some:
            files |= _files(name, exporter, own, jobs[0].tiler_code)
    left_out = listed.exporters - {name for job in jobs for name in job.exporters}
    kept = _kept(out, listed, {name: slides[name] for name in left_out})
    work = new_work(out, "products")
    try:
        placer = Placer(out, listed, work.slide)
        done = placer.place(links, files, kept, verify)
    finally:
        work.remove()
    for line in placer.problems[:_SHOWN]:
        log.error("%s", line)
    if (more := len(placer.problems) - _SHOWN) > 0:
        log.error("%d more products could not be made", more)
    return Products(len(done.links), len(done.files), tuple(placer.problems))


def _links(name: str, slides: Sequence[Gathered]) -> dict[str, Link]:
    """Return the links that an exporter wants, by their paths."""
    found: dict[str, Link] = {}
    for one in slides:
        exporter, slide = one.job.exporters[name], one.slide
        assert collects(exporter)
        entries = {*(file.name for file in slide.files), *slide.folders}
        for path, entry in exporter.run_links(slide).items():
            _check_path(exporter, path, slide.slide_id)
            if entry not in entries:
                what = f"{callable_name(exporter)}.run_links: the slide has no {entry!r}"
                raise ComponentError(slide.slide_id, f"{what}; return names of its own files")
            found[path] = Link(name, slide.slide_id, f"{SLIDES}/{slide.slide_id}/{entry}")
    return found


def _files(
    name: str, exporter: CollectsRun, slides: Sequence[Gathered], code: str
) -> dict[str, File]:
    """Return the files about all slides that an exporter wants, by their paths."""
    key = f"{key_of(slides)} {others_key(slides)} {code}"
    contents = exporter.run_files([one.slide for one in slides])
    for path in contents:
        _check_path(exporter, path, "")
    return {path: File(name, key, content) for path, content in contents.items()}


def _check_path(exporter: CollectsRun, path: str, slide_id: str) -> None:
    """Refuse a path of an exporter that is outside its names in the run's folder."""
    tops = [top.removesuffix("/") for top in exporter.run_names]
    if not is_product(path) or path.partition("/")[0] not in tops:
        what = f"{callable_name(exporter)}: {path!r} is not below its run_names {tops}"
        raise ComponentError(slide_id, f"{what}; return a path below one of them")


def _kept(out: Path, listed: Listed, slides: Mapping[str, Sequence[Gathered]]) -> Listed:
    """Return the products of exporters that a run leaves out, as far as they are up to date."""
    targets = {
        f"{SLIDES}/{one.slide.slide_id}/{entry}"
        for some in slides.values()
        for one in some
        for entry in (*(file.name for file in one.slide.files), *one.slide.folders)
    }
    hashes = {file.sha256 for some in slides.values() for one in some for file in one.slide.files}
    keys = {name: key_of(some) for name, some in slides.items()}
    return Listed(
        {
            path: name
            for path, name in listed.links.items()
            if name in slides and target_of(out, path) in targets
        },
        {
            path: file
            for path, file in listed.files.items()
            if file.exporter in slides
            and (
                file.key.partition(" ")[0] == keys[file.exporter]
                if file.key
                else any(one.sha256 in hashes for one in file.versions)
            )
        },
    )
