"""Limits on the output of a run."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tiler.errors import ConfigError

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)


@dataclass(frozen=True)
class Limits:
    """Limits on the output of a run; finished slides do not count.

    Parameters
    ----------
    max_tiles
        Tiles kept, of all slides together; None for any number.
    max_bytes
        Bytes below ``slides/``: a number, or text such as ``200 GB`` (10⁹) or ``200 GiB`` (2³⁰).
    max_replaced
        Tiles of earlier runs that may be replaced; 0 for none, None for any number.

    Raises
    ------
    ConfigError
        If a value is no such number, or too small.
    """

    max_tiles: int | None = None
    max_bytes: int | None = None
    max_replaced: int | None = None

    def __init__(
        self,
        max_tiles: int | None = None,
        max_bytes: object = None,
        max_replaced: int | None = None,
    ) -> None:
        if max_tiles is not None and max_tiles < 1:
            raise ConfigError(f"limits.max_tiles={max_tiles} is out of range; use 1 or more")
        if max_replaced is not None and max_replaced < 0:
            raise ConfigError(f"limits.max_replaced={max_replaced} is out of range; use 0 or more")
        object.__setattr__(self, "max_tiles", max_tiles)
        object.__setattr__(self, "max_replaced", max_replaced)
        object.__setattr__(self, "max_bytes", None if max_bytes is None else _bytes(max_bytes))

    @property
    def need_estimate(self) -> bool:
        """Return whether the limits need an estimate of the run."""
        return self.max_tiles is not None or self.max_bytes is not None

    def refusal(self, tiles: int, size: int) -> str:
        """Return why a run of so many tiles and bytes is refused; empty if it is not."""
        over = [
            (text(wanted) + unit, f"{key}={text(limit)}", key)
            for wanted, unit, limit, key, text in (
                (tiles, " tiles", self.max_tiles, "limits.max_tiles", str),
                (size, "", self.max_bytes, "limits.max_bytes", size_text),
            )
            if limit is not None and wanted > limit
        ]
        if not over:
            return ""
        wanted, limits, keys = (" and ".join(words) for words in zip(*over, strict=True))
        return (
            f"the run would write {wanted}, more than {limits}; raise {keys}, or see with"
            " dry_run=true what each slide would cost"
        )

    def refusal_to_replace(self, tiles: int, what: str) -> str:
        """Return why a run may not replace so many tiles; empty if it may.

        Parameters
        ----------
        tiles
            The number of tiles.
        what
            Words for the replacement, such as ``replaces 31 tiles of 4 slides``.
        """
        if self.max_replaced is None or tiles <= self.max_replaced:
            return ""
        return (
            f"the run {what}; that is more than limits.max_replaced={self.max_replaced}; raise it,"
            " or use another out"
        )


NO_LIMITS = Limits()


def size_text(size: float) -> str:
    """Return a number of bytes as text such as ``155.9 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.4g} {unit}"
        size /= 1000
    return f"{size:.4g} TB"


def _bytes(value: object) -> int:
    found = None if isinstance(value, bool) else _SIZE.fullmatch(str(value).strip())
    size = 0.0
    if isinstance(value, float):
        size = value
    elif found:
        number, unit, binary = found.groups()
        size = float(number) * (1024 if binary else 1000) ** _UNITS[unit.lower()]
    if not 1 <= size < float("inf"):
        raise ConfigError(
            f"limits.max_bytes={value!r} is invalid; use a number of bytes, 1 or more, or text"
            " such as 200 GB"
        )
    return int(size)
