"""Work in several threads whose results keep their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

_T = TypeVar("_T")
_R = TypeVar("_R")


def in_order(
    work: Callable[[_T], _R], items: Iterable[_T], threads: int, waiting_each: int = 4
) -> Generator[_R, None, None]:
    """Yield results of ``work`` in the order of ``items``, with few in progress at a time.

    Parameters
    ----------
    work
        A function that may run in several threads at once.
    items
        Its arguments.
    threads
        The number of threads; 1 works in this thread.
    waiting_each
        Results and arguments in memory at once, for each thread.
    """
    if threads == 1:  # a thread per tile would add a tenth of the time
        yield from map(work, items)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[_R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= waiting_each * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
