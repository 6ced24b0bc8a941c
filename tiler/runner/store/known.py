"""What slides are, as this process found them when it opened them.

It is kept in memory alone: what anybody could write to a folder must not decide where a slide ends
or how large its pixels are. Jobs of a sweep, which share a process, open a slide once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from tiler.protocols import WSIReader
from tiler.readers.deferred import Known, known_of
from tiler.runner.store.arrays import key_of
from tiler.runner.store.code import code_of
from tiler.runner.store.fingerprint import Fingerprint, fingerprint
from tiler.runner.work.job import SlideJob

_MAX = 4096  # slides, of about a kilobyte each

_known: OrderedDict[str, Known] = OrderedDict()


def known_slide(job: SlideJob, source: Fingerprint, open_reader: Callable[[], WSIReader]) -> Known:
    """What a slide is; it is opened unless this process did so with the same reader before.

    Parameters
    ----------
    job
        What is done on the slide.
    source
        The slide's fingerprint.
    open_reader
        Opens it.

    Raises
    ------
    SlideError
        When it cannot be opened.
    """
    key = key_of(
        {
            "slide": vars(source),
            "reader": job.settings.get("reader"),
            "open": repr(job.open_reader),
            "code": code_of(job.open_reader),
        }
    )
    if key in _known:
        _known.move_to_end(key)
        return _known[key]
    found = known_of(open_reader())
    if fingerprint(job.path) == source:  # else it was replaced meanwhile
        _known[key] = found
        if len(_known) > _MAX:
            _known.popitem(last=False)
    return found
