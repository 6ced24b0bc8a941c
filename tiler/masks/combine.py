"""Combinations of masks: tissue in all of some, in any of others, in none of the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import reduce
from operator import and_, or_
from pathlib import Path

from tiler.checks.mask_arrays import provided_cover
from tiler.cover.rasters import TooManyPixelsError
from tiler.cover.terms import Cover, everything
from tiler.errors import ConfigError, LimitError, MaskError
from tiler.geometry import Extent
from tiler.protocols import FitsTiles, Mask, MaskProvider, ReadsFiles, WSIReader


@dataclass(frozen=True, kw_only=True, repr=False)
class CombineMask:
    """Tissue where all of some masks, any of others, and none of the rest have tissue.

    Masks may be rasters of any size and polygons. None is resampled, so coverage is the exact area
    of the combination.

    Parameters
    ----------
    all
        Masks by names of your choice: tissue lies in each of them.
    any
        Tissue lies in at least one of them; no condition if there are none.
    none
        Tissue lies in none of them.

    Raises
    ------
    ConfigError
        If there is no mask, or one has no method ``generate``.
    """

    all: Mapping[str, MaskProvider] = field(default_factory=dict)
    any: Mapping[str, MaskProvider] = field(default_factory=dict)
    none: Mapping[str, MaskProvider] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for group in ("all", "any", "none"):
            masks = dict(getattr(self, group) or {})
            object.__setattr__(self, group, masks)
            for name, mask in masks.items():
                if not hasattr(mask, "generate"):
                    place = f"mask.{group}.{name}"
                    raise ConfigError(
                        f"{place}={mask!r} is not a mask; choose one as mask@{place}=otsu"
                    )
        if not (self.all or self.any or self.none):
            raise ConfigError(
                "mask=combine has no masks; add one, such as +mask@mask.all.tissue=otsu"
            )

    def __repr__(self) -> str:
        """Return the masks; those of users by their class, unless they have a repr of their own."""
        groups = (
            f"{group}={{{', '.join(f'{name!r}: {_said(mask)}' for name, mask in masks.items())}}}"
            for group, masks in self._groups().items()
        )
        return f"CombineMask({', '.join(groups)})"

    def for_tiles(self, source: WSIReader, side: float) -> CombineMask:
        """Return the combination of its masks for tiles of a shorter side in level-0 pixels."""

        def fitted(mask: MaskProvider) -> MaskProvider:
            return mask.for_tiles(source, side) if isinstance(mask, FitsTiles) else mask

        groups = self._groups().items()
        return CombineMask(
            **{group: {name: fitted(one) for name, one in masks.items()} for group, masks in groups}
        )

    @property
    def thresholds(self) -> bool:
        """True if a mask of the whole slide, or an empty one, needs a warning."""
        found = (getattr(m, "thresholds", hasattr(m, "threshold")) for m in self._masks())
        return True in map(bool, found)

    def inputs(self, slide_name: str) -> tuple[Path, ...]:
        """Return the files that the masks read for a slide."""
        readers = (mask for mask in self._masks() if isinstance(mask, ReadsFiles))
        return tuple(path for mask in readers for path in mask.inputs(slide_name))

    def cover(self, source: WSIReader) -> Cover:
        """Return the area of a slide that the combination covers.

        Raises
        ------
        LimitError
            If masks of different sizes refine each other to too many pixels.
        SlideError
            If one of the masks cannot be made.
        """

        def covers(group: str) -> Iterator[Cover]:
            for name, mask in self._groups()[group].items():
                yield _cover_of(mask, f"mask.{group}.{name}", source)

        found = everything(Extent(float(source.bounds.width), float(source.bounds.height)))
        try:
            found = reduce(and_, covers("all"), found)
            if self.any:
                found = found & reduce(or_, covers("any"))
            for cover in covers("none"):
                found = found & ~cover
        except TooManyPixelsError as error:
            what = f"mask=combine: {error}; use masks of one mpp"
            raise LimitError(source.name, what) from None
        return found

    def generate(self, source: WSIReader) -> Mask:
        """Return a picture of the cover, bool (h, w)."""
        return self.cover(source).rendered()

    def why_empty(self, source: WSIReader) -> str:
        """Return the masks that have no tissue on their own, with their own reasons."""
        reasons = []
        for group, masks in {"all": self.all, "any": self.any}.items():
            for name, mask in masks.items():
                if not provided_cover(mask, source).terms:
                    explain = getattr(mask, "why_empty", None)
                    place = f"mask.{group}.{name}"
                    why = _keys_at(place, mask, explain(source)) if explain else ""
                    reasons.append(f"{place} is empty{why and f' ({why})'}")
        return "; ".join(reasons) or "the masks have no tissue in common"

    def _masks(self) -> Iterator[MaskProvider]:
        for masks in self._groups().values():
            yield from masks.values()

    def _groups(self) -> dict[str, Mapping[str, MaskProvider]]:
        return {"all": self.all, "any": self.any, "none": self.none}


def _cover_of(mask: MaskProvider, place: str, source: WSIReader) -> Cover:
    """Return the cover of a mask inside; its errors and notes name its keys by their place."""
    try:
        found = provided_cover(mask, source)
    except (MaskError, LimitError) as error:
        raise type(error)(error.slide, _keys_at(place, mask, error.what)) from error
    return replace(found, notes=tuple(_keys_at(place, mask, note) for note in found.notes))


def _keys_at(place: str, mask: MaskProvider, text: str) -> str:
    """Return a text about a mask with its keys (``mask.path``) below another place."""
    if not is_dataclass(mask):
        return text
    keys = "|".join(one.name for one in fields(mask))
    return re.sub(rf"(?<![\w./-])mask\.(?=(?:{keys})\b)", f"{place}.", text)


def _said(mask: MaskProvider) -> str:
    """Return the repr of a mask without an address in memory, which differs in every process."""
    kind = type(mask)
    plain = kind.__repr__ is object.__repr__
    return f"{kind.__module__}.{kind.__qualname__}" if plain else repr(mask)
