"""The predicted cost of a run as a table for people."""

from __future__ import annotations

from tiler.runner.budget import Budget
from tiler.runner.limits import size_text


def table(budget: Budget) -> str:
    """Return a budget as text: a line per slide, then the total."""
    lines = [("slide", "status", "tiles", "bytes", "time", "")]
    for slide in budget.slides:
        numbers = (str(slide.tiles), size_text(slide.bytes), _duration(slide.seconds))
        lines.append(
            (slide.slide_id, slide.status, *numbers, slide.reason)
            if slide.status == "to do" or slide.tiles
            else (slide.slide_id, slide.status, "", "", "", slide.reason)
        )
    workers = f"{budget.workers} worker{'s' if budget.workers > 1 else ''}, start included"
    lines.append(
        (
            "total",
            "",
            str(budget.tiles),
            size_text(budget.bytes),
            _duration(budget.seconds),
            workers,
        )
    )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if 2 <= i <= 4 else cell.ljust(width if i < 5 else 0)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
