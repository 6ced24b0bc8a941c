"""The folder of the cache, as a configuration names it."""

from __future__ import annotations

from pathlib import Path

from tiler.errors import ConfigError, DestinationError
from tiler.storage.destinations import expanded, make_folder, own_folder


def is_off(wish: str | None) -> bool:
    """Return whether a configuration turns the cache off."""
    return wish is not None and wish.casefold() in ("off", "false")  # YAML reads off as false


def cache_folder(wish: str | None, root: Path | None) -> Path | None:
    """Return the absolute folder of cached masks and grids; None if the cache is off.

    Parameters
    ----------
    wish
        The value of ``cache`` in the configuration.
    root
        The folder of the run, or of the sweep that it is part of.

    Raises
    ------
    ConfigError
        If the named folder cannot be made, or the default one is a symbolic link.
    """
    if is_off(wish):
        return None
    if not wish:
        return own_folder((root / ".cache").absolute()) if root else None
    try:
        return make_folder(Path(expanded(wish)).absolute())
    except DestinationError as error:
        reason = getattr(error.__cause__, "strerror", None)
        raise ConfigError(
            f"cache={wish}: this folder cannot be made ({reason}); name another, or cache=off"
        ) from error
