"""The default name of a run: demo for the demo slide, else date and time of the command."""

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
        The ``_target_`` of the group ``slides``; None if it is not set.
    """
    return "demo" if slides in (_DEMO, None) else _start()


@cache  # the configuration is composed more than once
def _start() -> str:
    """Return date and time, with a number if a run of the same second has that folder."""
    began = f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    names = (began if number == 1 else f"{began}_{number}" for number in count(1))
    return next(name for name in names if not (_OUTPUTS / name).exists())
