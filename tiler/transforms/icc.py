"""Colour management: from the slide's ICC profile to sRGB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from tiler.errors import SlideError, TransformError
from tiler.protocols import Pixels, Tissue, WSIReader
from tiler.transforms.planes import in_strips

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

_INTENTS = ("perceptual", "relative colorimetric", "saturation", "absolute colorimetric")


@dataclass(frozen=True)
class Icc:
    """Converts pixels from the slide's ICC profile to sRGB with LittleCMS, as Pillow calls it.

    The rendering intent is the one that the profile states, without black point compensation. A
    slide without profile stays as it is.
    """

    def fit(self, source: WSIReader, tissue: Tissue) -> FittedIcc:
        """Return the transform for one slide.

        Raises
        ------
        TransformError
            If the slide's profile is damaged, or is not one for RGB.
        """
        try:
            profile: bytes | None = getattr(source, "icc_profile", None)
        except SlideError as error:
            raise TransformError(source.name, f"icc: {error.what}") from error
        if profile is None:
            return FittedIcc(None)
        try:
            facts = _facts(profile)
            _built(profile)
        except (OSError, ValueError) as error:
            what = f"the slide's ICC profile, {len(profile):,} bytes, cannot be used: {error}"
            raise TransformError(source.name, f"icc: {what}") from error
        return FittedIcc(profile, *facts)

    @classmethod
    def from_facts(cls, source: WSIReader, facts: Mapping[str, Any]) -> FittedIcc:
        """Return the transform that has these facts.

        Raises
        ------
        TransformError
            If the slide has another profile now.
        """
        found = cls().fit(source, _no_tissue)
        if dict(found.facts) != dict(facts):
            what = f"its ICC profile is {found.facts}, and was {dict(facts)}; run tiler again"
            raise TransformError(source.name, f"icc: {what}")
        return found


@dataclass(frozen=True)
class FittedIcc:
    """The profile of a slide, and facts from it; None for a slide without."""

    profile: bytes | None
    description: str = ""
    intent: str = ""

    def __repr__(self) -> str:
        return f"FittedIcc({self.facts})"

    @property
    def facts(self) -> Mapping[str, Any]:
        """Return the profile's description and SHA-256."""
        if self.profile is None:
            return {"profile": None}
        return {
            "profile": self.description,
            "sha256": sha256(self.profile).hexdigest(),
            "intent": self.intent,
            "black_point_compensation": False,
        }

    def notes(self, source: WSIReader) -> Sequence[str]:
        """Return a remark for a slide without profile."""
        return () if self.profile else ("icc: the slide has no ICC profile; its pixels stay",)

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return pixels in sRGB."""
        if self.profile is None:
            return pixels
        return in_strips(partial(_converted, _built(self.profile)), pixels)


def _converted(transform: ImageCmsTransform, pixels: Pixels) -> Pixels:
    from PIL import Image, ImageCms

    found = ImageCms.applyTransform(Image.fromarray(pixels), transform)
    assert found is not None, "the transform does not work in place"
    return np.asarray(found)


def _no_tissue(mpp: float | None) -> Pixels:
    raise AssertionError("a profile is fitted without tissue")


def _facts(profile: bytes) -> tuple[str, str]:
    """Return the description and the rendering intent of a profile.

    Raises
    ------
    ValueError, OSError
        If it is damaged, or not one for RGB.
    """
    from PIL import ImageCms

    opened = _opened(profile)
    space = opened.profile.xcolor_space.strip()
    if space != "RGB":
        raise ValueError(f"it is for {space}, but the pixels are RGB")
    intent = ImageCms.getDefaultIntent(opened)
    if intent not in range(len(_INTENTS)):
        raise ValueError(f"its rendering intent is {intent}, not one of 0 to 3")
    return _description(opened.profile), _INTENTS[intent]


def _description(profile: Any) -> str:
    """Return the description of a profile; empty if it is no text, which changes no colour."""
    try:
        return " ".join((profile.profile_description or "").split())
    except ValueError:  # bytes that are no characters
        return ""


def _opened(profile: bytes) -> Any:
    from PIL import ImageCms

    try:
        return ImageCms.getOpenProfile(BytesIO(profile))
    except ImageCms.PyCMSError as error:
        raise ValueError(" ".join(str(error).split())) from error


@lru_cache(maxsize=4)
def _built(profile: bytes) -> ImageCmsTransform:
    """Return the transform of a profile, once a process; threads may share it.

    Raises
    ------
    ValueError, OSError
        If the profile lacks what a transform needs.
    """
    from PIL import ImageCms

    opened = _opened(profile)
    try:
        srgb = ImageCms.createProfile("sRGB")
        intent = ImageCms.Intent(ImageCms.getDefaultIntent(opened))
        made = ImageCms.buildTransform(opened, srgb, "RGB", "RGB", intent, ImageCms.Flags.NONE)
    except ImageCms.PyCMSError as error:
        raise ValueError(" ".join(str(error).split())) from error
    assert isinstance(made, ImageCms.ImageCmsTransform)
    return made
