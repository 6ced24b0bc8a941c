"""The name of a run that has none: demo for the demo slide, else when the command began."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from itertools import count
from pathlib import Path

_OUTPUTS = Path("outputs")
_DEMO = "tiler.slides.demo_slide"


def default_name(slides: str | None) -> str:
    """Name a run after its source of slides.

    Parameters
    ----------
    slides
        What the group ``slides`` calls; None where it is not set.
    """
    return "demo" if slides in (_DEMO, None) else _start()


@cache  # the configuration is composed more than once
def _start() -> str:
    """Date and time, with a number where an earlier run of the same second has its folder."""
    began = f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    names = (began if number == 1 else f"{began}_{number}" for number in count(1))
    return next(name for name in names if not (_OUTPUTS / name).exists())
