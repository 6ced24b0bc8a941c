"""Make the products of a run, and refuse a folder in which they would be in the user's way."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tiler.errors import ConfigError, SlideError
from tiler.protocols import CollectsRun
from tiler.runner.products.collecting import Products, collecting, collects
from tiler.runner.products.copies import File, Link
from tiler.runner.products.gather import Gathered, gathered, key_of
from tiler.runner.products.listed import (
    LIST,
    SLIDES,
    Listed,
    is_product,
    is_sound,
    own_file,
    read_listed,
    target_of,
    write_listed,
)
from tiler.runner.products.occupied import line_of, remove_others
from tiler.runner.products.place import Placer
from tiler.runner.products.wanted import wanted_files, wanted_links
from tiler.runner.work.folders import new_work
from tiler.runner.work.job import SlideJob, SlideRow

log = logging.getLogger("tiler")

_SHOWN = 20
"""Maximum number of problems that are logged."""


def refuse_exporters(exporters: Mapping[str, Sequence[CollectsRun]], out: Path) -> None:
    """Refuse exporters whose products would be in the way of the user's files.

    Parameters
    ----------
    exporters
        By their names in the configuration: see ``collecting``.
    out
        The run's folder.

    Raises
    ------
    ConfigError
        If a name in the run's folder is not tiler's own; the error names the first one.
    """
    used: dict[str, str] = {}
    for name, some in exporters.items():
        for place in dict.fromkeys(place for exporter in some for place in exporter.run_names):
            top = place.removesuffix("/")
            other = used.setdefault(top, name)
            if other != name or "/" in top or not is_product(top):
                who = "every run" if other == name else f"exporter.{other}"
                raise ConfigError(
                    f"exporter.{name}: {who} writes {top!r} in the run's folder, too; use another"
                    f" name, or leave out exporter.{name}"
                )
            _refuse_in_the_way(out, top, name, is_folder=place.endswith("/"))


def _refuse_in_the_way(out: Path, top: str, name: str, *, is_folder: bool) -> None:
    """Refuse a file with a product's name in the run's folder, unless it is tiler's own."""
    path = out / top
    if not os.path.lexists(path):
        return
    if path.is_symlink() or path.is_dir() != is_folder:
        kind = "a symbolic link" if path.is_symlink() else "a file" if is_folder else "a folder"
    elif is_folder or own_file(out, top, read_listed(out), by_hash=False):
        return
    else:
        kind = "not a file that tiler wrote"
        if os.path.lexists(out / LIST) and not is_sound(out):
            kind = f"not known as a file that tiler wrote, because {LIST} is damaged"
    raise ConfigError(
        f"{path} is {kind}, but exporter={name} writes there; move it away, or use another out"
    )


def withdraw(out: Path, redo: Mapping[str, Sequence[str]]) -> None:
    """Remove the links to files that are replaced, and the files about all slides made from them.

    They would be wrong after a run that is killed before it makes its products.

    Parameters
    ----------
    out
        The run's folder.
    redo
        For each slide that is redone, at least one, the exporters whose files stay.
    """
    listed = read_listed(out)
    every = set.intersection(*(set(kept) for kept in redo.values()))

    def stays(path: str, exporter: str) -> bool:
        slide = target_of(out, path).split("/")[1:2]
        return not slide or exporter in redo.get(slide[0], (exporter,))

    now = Listed(
        {path: name for path, name in listed.links.items() if stays(path, name)},
        {path: file for path, file in listed.files.items() if file.exporter in every},
    )
    if now != listed:
        remove_others(out, listed, now)
        write_listed(out, now)


def make_products(
    jobs: Sequence[SlideJob], rows: Mapping[str, SlideRow], out: Path, verify: str
) -> Products:
    """Make the products of a run, and remove those of an earlier run that are out of date.

    Parameters
    ----------
    jobs, out
        The run's slides, and its folder.
    rows
        The rows of slides that have ended, by slide id.
    verify
        The same as ``Policy.verify``: with ``hash``, unchanged files are read as well.

    Raises
    ------
    DestinationError
        If the destination cannot be written.
    """
    exporters, listed = collecting(jobs), read_listed(out)
    names = exporters.keys() | listed.exporters
    if not names:
        return Products()
    slides = gathered(jobs, rows, out, names)
    links, files, problems = dict[str, Link](), dict[str, File](), list[str]()
    for name, some in exporters.items():
        own = [one for one in slides[name] if collects(one.job.exporters.get(name))]
        try:
            found = wanted_links(name, own)
            files |= {
                path: it
                for one in some
                for path, it in wanted_files(name, one, own, jobs[0].tiler_code).items()
            }
            links |= found
        except SlideError as error:
            problems.append(line_of(error))
    left_out = listed.exporters - {name for job in jobs for name in job.exporters}
    kept = _kept(out, listed, {name: slides[name] for name in left_out})
    work = new_work(out, "products")
    try:
        placer = Placer(out, listed, work.slide)
        done = placer.place(links, files, kept, verify)
    finally:
        work.remove()
    problems += placer.problems
    for line in problems[:_SHOWN]:
        log.error("%s", line)
    if (more := len(problems) - _SHOWN) > 0:
        log.error("%d more products could not be made", more)
    return Products(len(done.links), len(done.files), tuple(problems))


def _kept(out: Path, listed: Listed, slides: Mapping[str, Sequence[Gathered]]) -> Listed:
    """Return the products of exporters that a run leaves out, as far as they are up to date."""
    targets = {
        f"{SLIDES}/{one.slide.slide_id}/{entry}"
        for some in slides.values()
        for one in some
        for entry in (*(file.name for file in one.slide.files), *one.slide.folders)
    }
    keys = {name: {key_of(some), *(one.digest for one in some)} for name, some in slides.items()}
    return Listed(
        {
            path: name
            for path, name in listed.links.items()
            if name in slides and target_of(out, path) in targets
        },
        {
            path: file
            for path, file in listed.files.items()
            if file.key.partition(" ")[0] in keys.get(file.exporter, ())
        },
    )
