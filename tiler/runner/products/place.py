"""Make and remove links and files below a run's folder; files of others stay."""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path

from tiler.errors import SlideError
from tiler.files import sync_folder, write_chunks
from tiler.runner.products.copies import File, Link, copies
from tiler.runner.products.listed import (
    Listed,
    ListedFile,
    Written,
    is_one_of,
    own_file,
    own_link,
    target_of,
    write_listed,
)
from tiler.runner.products.occupied import Occupied, line_of, remove_others
from tiler.storage.destinations import destination_error, make_folder


class Placer:
    """Brings the products of a run's folder up to date.

    Parameters
    ----------
    out
        The run's folder.
    listed
        The products of the last run.
    work
        An empty folder for unfinished files, on the same file system.

    Attributes
    ----------
    problems
        A line for each product that could not be made.
    """

    def __init__(self, out: Path, listed: Listed, work: Path) -> None:
        self._out, self._listed, self._work = out, listed, work
        self._occupied = Occupied(out)
        self._changed: set[str] = set()
        self.problems = self._occupied.problems

    def place(
        self, links: Mapping[str, Link], files: Mapping[str, File], kept: Listed, verify: str
    ) -> Listed:
        """Make links and files, and remove all others of the last run except ``kept``.

        A run that is killed in between leaves a list of the old and the new products, so that the
        next run can continue.

        Returns
        -------
        Listed
            The products that are there now.

        Raises
        ------
        DestinationError
            If the destination cannot be written.
        """
        if links and not self._can_link():
            files = {**files, **dict(copies(self._out, links))}
            links = {}
        self._occupied.leaving = self._listed.links.keys() - links.keys() - kept.links.keys()
        ready = dict(self._ready(files, verify))
        new = {path: file for path, (file, _) in ready.items()}
        names = {path: link.exporter for path, link in links.items()}
        now = Listed({**kept.links, **names}, {**kept.files, **new})
        if now != self._listed:
            write_listed(self._out, self._listed.and_also(now))
        remove_others(self._out, self._listed, now)
        self._occupied.forget()
        there = {path for path, link in links.items() if self._linked(path, link)}
        for path, (_, partial) in ready.items():
            if partial is not None:
                self._rename(partial, path)
        for folder in sorted(self._changed):
            sync_folder(self._out / folder)
        done = Listed(
            {path: name for path, name in now.links.items() if path in there or path in kept.links},
            now.files,
        )
        if done != self._listed or done != now:
            write_listed(self._out, done)
        return done

    def _can_link(self) -> bool:
        """Return whether symbolic links can be made: some systems and shares have none."""
        probe = self._work / "probe"
        try:
            probe.symlink_to("slides")
            probe.unlink()
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise destination_error(error, probe) from error
            return False
        except NotImplementedError:  # raised by pathlib where the system has no symbolic links
            return False
        return True

    def _ready(
        self, files: Mapping[str, File], verify: str
    ) -> Iterator[tuple[str, tuple[ListedFile, Path | None]]]:
        """Yield the files that can be there: what to list, and the new content, if any."""
        for number, (path, file) in enumerate(files.items()):
            if not self._free(path, file.slide_id):
                continue
            listed = self._listed.files.get(path)
            if listed and self._up_to_date(path, file, listed, verify):
                yield path, (listed, None)
                continue
            partial = self._work / str(number)
            try:
                written = Written(*write_chunks(partial, file.content, durable=not file.slide_id))
            except SlideError as error:
                self.problems.append(line_of(error))
                continue
            entry = ListedFile(file.exporter, (written,), file.key)
            if listed and written in listed.versions and is_one_of(self._out / path, [written]):
                partial.unlink()
                yield path, (entry, None)
            else:
                yield path, (entry, partial)

    def _up_to_date(self, path: str, file: File, listed: ListedFile, verify: str) -> bool:
        """Return whether a file was made of the same slides, and is as it was written."""
        same = (listed.exporter, listed.key) == (file.exporter, file.key)
        if file.slide_id or not same or len(listed.versions) > 1:  # the run that replaced it died
            return False
        return own_file(self._out, path, self._listed, by_hash=verify == "hash")

    def _free(self, path: str, slide_id: str) -> bool:
        """Return whether a file may be written to a path; report the obstacle if not."""
        if self._occupied.above(path, slide_id):
            return False
        if self._occupied.leaves(path):  # the file there is the slide's own
            return True
        if not os.path.lexists(self._out / path) or own_file(self._out, path, self._listed):
            return True
        if own_link(self._out, path):
            return True
        self._occupied.report(path, slide_id)
        return False

    def _linked(self, path: str, link: Link) -> bool:
        """Make a link unless it is there; report an obstacle and return False."""
        if self._occupied.above(path, link.slide_id):
            return False
        place = self._out / path
        if os.path.lexists(place):
            if target_of(self._out, path) == link.target:
                return True
            if not own_link(self._out, path) and not own_file(self._out, path, self._listed):
                self._occupied.report(path, link.slide_id)
                return False
        text = posixpath.relpath(link.target, posixpath.dirname(path) or ".")
        self._make_parents(path)
        try:
            if os.path.lexists(place):
                partial = self._work / "link"
                partial.symlink_to(text)
                partial.replace(place)
            else:
                place.symlink_to(text)
        except FileExistsError:
            self._occupied.report(path, link.slide_id)
            return False
        except OSError as error:
            raise destination_error(error, place) from error
        self._changed.add(posixpath.dirname(path))
        return True

    def _rename(self, partial: Path, path: str) -> None:
        self._make_parents(path)
        try:
            partial.replace(self._out / path)
        except OSError as error:
            raise destination_error(error, self._out / path) from error
        self._changed.add(posixpath.dirname(path))

    def _make_parents(self, path: str) -> None:
        folder = posixpath.dirname(path)
        if folder not in self._changed:
            make_folder(self._out / folder)
