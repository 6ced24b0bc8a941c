"""Calls of scores, which may be a user's own, and checks of their results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.checks.components import callable_name
from tiler.errors import ComponentError, ConfigError
from tiler.grid import Floats, Ints
from tiler.protocols import MapsPixels, Pixels, ScoresPixels


def score_of(name: str, score: object) -> ScoresPixels:
    """Return a score of whole cells.

    Raises
    ------
    ConfigError
        If ``score`` has no method ``score``.
    """
    if not isinstance(score, ScoresPixels):
        raise ConfigError(
            f"filter.{name}: {callable_name(score)} has neither maps(pixels) nor score(pixels); add"
            " one of these methods"
        )
    return score


def margin_of(score: MapsPixels) -> int:
    """Return the distance of the farthest neighbour that a score's maps depend on."""
    return int(getattr(score, "margin", 0))


def planes_of(
    name: str, score: MapsPixels, pixels: Pixels, slide: str
) -> Iterator[npt.NDArray[Any]]:
    """Yield a score's maps of some pixels, each checked.

    Raises
    ------
    ComponentError
        If a map is not an array of numbers of the shape of the pixels.
    """
    height, width = pixels.shape[:2]
    maps: object = score.maps(pixels)
    if not isinstance(maps, Iterable):
        raise _broken(name, score, "maps", slide, f"a {type(maps).__name__}", "yield arrays")
    for plane in maps:
        one: object = plane
        if not isinstance(one, np.ndarray):
            found = f"a {type(one).__name__}"
        elif one.shape != (height, width) or one.dtype.kind not in "biuf":
            found = f"an array of {one.dtype} and shape {one.shape}"
        else:
            yield one
            continue
        raise _broken(
            name, score, "maps", slide, found, f"yield numbers of shape {(height, width)}"
        )


def map_values(name: str, score: MapsPixels, colour: Pixels, slide: str) -> Floats:
    """Return the values of a score's maps where the slide has one colour, float64 (maps,)."""
    side = 2 * margin_of(score) + 1
    pixels = np.ascontiguousarray(np.broadcast_to(colour, (side, side, 3)))
    planes = planes_of(name, score, pixels, slide)
    return np.array([plane[side // 2, side // 2] for plane in planes], np.float64)


def scored(name: str, score: ScoresPixels, cells: Iterable[Pixels], slide: str) -> Floats:
    """Return the scores of cells, (n,), for their pixels.

    Raises
    ------
    ComponentError
        If one is not a number.
    """
    found: list[float] = []
    for pixels in cells:
        value: object = score.score(pixels)
        if not isinstance(value, int | float | np.bool_ | np.integer | np.floating):
            what = f"a {type(value).__name__}"
            raise _broken(name, score, "score", slide, what, "return a number")
        found.append(float(value))
    return np.array(found)


def called(name: str, score: MapsPixels, means: Floats, slide: str) -> Floats:
    """Return scores for the means of their maps, (maps, n)."""
    value = getattr(score, "value", None)
    if value is not None:
        returned: object = value(means)
        return _numbers(name, score, "value", returned, means.shape[1:], slide)
    if len(means) != 1:
        found = f"{len(means)} maps"
        raise _broken(name, score, "maps", slide, found, "yield one, or add value(means)")
    return np.asarray(means[0])


def checked(
    name: str, score: object, values: object, cells: tuple[int, Ints], slide: str
) -> Floats:
    """Return the scores of some cells of a row if they are finite numbers.

    Parameters
    ----------
    name, score
        The score and its name.
    values
        (n,).
    cells
        The row of the grid, and int64 (n,), its columns.
    slide
        The slide's name, for the error.

    Raises
    ------
    ComponentError
        If they are anything else; it names the first such cell.
    """
    row, columns = cells
    method = "score" if isinstance(score, ScoresPixels) else "value"
    numbers = _numbers(name, score, method, values, columns.shape, slide)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if wrong.size:
        place = f"for the cell in row {row}, column {columns[wrong[0]]} of the grid"
        found = f"{numbers[wrong[0]]} {place}"
        raise _broken(name, score, method, slide, found, "return a finite number")
    return numbers


def _numbers(
    name: str, score: object, method: str, values: object, shape: tuple[int, ...], slide: str
) -> Floats:
    if isinstance(values, np.ndarray) and values.shape == shape and values.dtype.kind in "biuf":
        return values.astype(np.float64, copy=False)
    if isinstance(values, np.ndarray):
        found = f"an array of {values.dtype} and shape {values.shape}"
    else:
        found = f"a {type(values).__name__}"
    raise _broken(name, score, method, slide, found, f"return numbers of shape {shape}")


def _broken(
    name: str, score: object, method: str, slide: str, found: str, fix: str
) -> ComponentError:
    what = f"filter.{name}: {callable_name(score)}.{method} returned {found}; {fix}"
    return ComponentError(slide, what)
