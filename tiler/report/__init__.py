"""The report of a run or a sweep: pages that a browser opens from the folder, without a server."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiler.report.html import HtmlReport
    from tiler.report.none import no_report

_HOMES = {
    "HtmlReport": "tiler.report.html",
    "no_report": "tiler.report.none",
}

__all__ = ["HtmlReport", "no_report"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tiler.report' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
