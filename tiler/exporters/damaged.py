"""Errors of files that exporters wrote and that a file about all slides is made from."""

from __future__ import annotations

from tiler.errors import ReadError
from tiler.storage.stored import StoredError


def unreadable(slide_id: str, name: str, product: str, error: Exception) -> ReadError:
    """Return the error for a slide's file that cannot be read for a file about all slides."""
    known = isinstance(error, (OSError, StoredError))
    why = str(error) if known else "it is not as it was written"
    what = f"{name} cannot be read for {product} ({why}); run again with verify=hash"
    return ReadError(slide_id, what)
