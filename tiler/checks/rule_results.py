"""Checks of what labels and samplers return, which may be a user's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.checks.components import callable_name
from tiler.errors import ComponentError
from tiler.protocols import Mask

_DUST = 1e-9
"""The error that float arithmetic may add to a share."""


def checked_shares(
    labels: object, shares: object, shape: tuple[int, ...], slide: str
) -> dict[str, npt.NDArray[np.float64]]:
    """Return shares of classes, float64 (ny, nx) each.

    Raises
    ------
    ComponentError
        If they are anything except numbers from 0 to 1 by class, of this shape.
    """
    if not isinstance(shares, Mapping):
        fix = "return arrays by class"
        raise _broken(labels, "shares", f"a {type(shares).__name__}", fix, slide)
    found: dict[str, npt.NDArray[np.float64]] = {}
    for name, share in shares.items():
        array = np.asarray(share)
        if not isinstance(name, str) or array.dtype.kind not in "biuf" or array.shape != shape:
            what = f"{array.dtype} of shape {array.shape} for the class {name!r}"
            fix = f"return numbers of shape {shape} by names"
            raise _broken(labels, "shares", what, fix, slide)
        if not ((array >= -_DUST) & (array <= 1 + _DUST)).all():  # NaN is neither
            what = f"shares out of range for the class {name!r}"
            raise _broken(labels, "shares", what, "return values from 0 to 1", slide)
        found[name] = array.astype(np.float64, copy=False)
    return found


def checked_labels(
    labels: object, assigned: object, shape: tuple[int, ...], slide: str
) -> npt.NDArray[Any]:
    """Return the labels of cells.

    Raises
    ------
    ComponentError
        If they are anything except texts of this shape.
    """
    array = np.asarray(assigned)
    texts = array.dtype.kind == "U" or all(isinstance(one, str) for one in array.ravel())
    if array.shape != shape or not texts:
        what = f"{array.dtype} of shape {array.shape}"
        raise _broken(labels, "assigned", what, f"return texts of shape {shape}", slide)
    return array


def checked_choice(sampler: object, chosen: object, count: int, slide: str) -> Mask:
    """Return which tiles a sampler chooses, bool (count,).

    Raises
    ------
    ComponentError
        If it is anything else.
    """
    array = np.asarray(chosen)
    if array.dtype != bool or array.shape != (count,):
        what = f"{array.dtype} of shape {array.shape}"
        raise _broken(sampler, "choose", what, f"return bool of shape ({count},)", slide)
    return array


def checked_notes(component: object, about: object, slide: str) -> tuple[str, ...]:
    """Return the remarks of a component for a slide's row, each in one line.

    There are none if it has no method ``notes``; ``about`` is the argument of that method.

    Raises
    ------
    ComponentError
        If they are anything except a list or tuple of texts.
    """
    method = getattr(component, "notes", None)
    notes: object = method(about) if method else ()
    if not isinstance(notes, list | tuple) or not all(isinstance(one, str) for one in notes):
        what = f"{notes!r:.60}"
        raise _broken(component, "notes", what, "return a list or tuple of texts", slide)
    return tuple(" ".join(one.split()) for one in notes)


def _broken(component: object, method: str, what: str, fix: str, slide: str) -> ComponentError:
    return ComponentError(slide, f"{callable_name(component)}.{method} returned {what}; {fix}")
