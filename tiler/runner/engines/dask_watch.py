"""Workers of Dask that hang: none of their tasks ends for too long."""

from __future__ import annotations

from collections.abc import Collection, Mapping


class Watch:
    """Finds workers that finish none of their tasks for too long.

    Parameters
    ----------
    timeout
        Seconds that a worker may spend on one task.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._busy: dict[str, tuple[frozenset[str], float]] = {}

    def hung(
        self, processing: Mapping[str, Collection[str]], own: Collection[str], now: float
    ) -> str | None:
        """Return a worker that hangs; None if there is none.

        Parameters
        ----------
        processing
            The keys of the tasks that each worker has, as ``Client.processing`` returns them.
        own
            The keys of this run's tasks: a worker with tasks of others is never said to hang.
        now
            In ``time.monotonic()``.
        """
        busy = {}
        for worker, keys in processing.items():
            if keys:
                before, since = self._busy.get(worker, (frozenset(keys), now))
                busy[worker] = frozenset(keys), since if before <= set(keys) else now
        self._busy = busy
        for worker, (keys, since) in busy.items():
            if now - since >= self._timeout and keys <= set(own):
                del self._busy[worker]
                return worker
        return None
