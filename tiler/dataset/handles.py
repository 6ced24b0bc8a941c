"""A bounded number of open values in each process, shared by its threads."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

_T = TypeVar("_T")


class _Renewed(Protocol):
    def after_fork(self) -> None: ...


_renewed: weakref.WeakSet[_Renewed] = weakref.WeakSet()
_of_parents: list[object] = []
"""Values that a forked process inherits. They are never closed there, because a thread of the
parent may have been reading from them."""


@dataclass
class _Entry:
    value: Any = None
    users: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Handles(Generic[_T]):
    """Values that are opened on first use; those unused longest are closed first.

    Parameters
    ----------
    close_one
        Closes a value.
    most
        The largest number of open values. A thread waits until one can be closed.
    """

    def __init__(self, close_one: Callable[[_T], None], most: int) -> None:
        self._close, self._most = close_one, most
        self._begin()
        renew_after_fork(self)

    def _begin(self) -> None:
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._free = threading.Condition()
        self._finalizer = weakref.finalize(self, _close_all, self._entries, self._close)

    def after_fork(self) -> None:
        """Forget what the parent process has open."""
        self._finalizer.detach()
        _of_parents.append(self._entries)
        self._begin()

    @contextmanager
    def lease(self, key: int, open_one: Callable[[int], _T]) -> Iterator[_T]:
        """Open a value by its key, or find it open; it stays open inside the ``with``."""
        entry = self._taken(key)
        try:
            with entry.lock:
                if entry.value is None:
                    entry.value = open_one(key)
            yield entry.value
        finally:
            with self._free:
                entry.users -= 1
                if entry.value is None and not entry.users:
                    self._entries.pop(key, None)
                self._free.notify_all()

    def _taken(self, key: int) -> _Entry:
        with self._free:
            while key not in self._entries and len(self._entries) >= self._most:
                idle = next((one for one, it in self._entries.items() if not it.users), None)
                if idle is None:
                    self._free.wait()
                    continue
                self._close(self._entries.pop(idle).value)
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            entry.users += 1
            return entry

    def close(self) -> None:
        """Close all values, also those that a thread uses."""
        with self._free:
            _close_all(self._entries, self._close)


def _close_all(entries: OrderedDict[int, _Entry], close: Callable[[Any], None]) -> None:
    while entries:
        _, entry = entries.popitem()
        if entry.value is not None:
            close(entry.value)


def renew_after_fork(one: _Renewed) -> None:
    """Call ``after_fork`` of an object in each forked process, before anything else."""
    _renewed.add(one)


def _after_fork() -> None:
    for one in list(_renewed):
        one.after_fork()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)
