"""Figures of matplotlib for print, as SVG and PNG: the same bytes for the same data."""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tiler.errors import ConfigError
from tiler.storage.safe_text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("svg", "png")
MM = 1 / 25.4  # inches
WIDTH = 85 * MM
"""Width of a figure: one column of a paper."""

DPI = 300
SMALL, NORMAL = 7.0, 8.0
"""Sizes of text in points."""

LETTER_MM = SMALL * 0.62 * 25.4 / 72
"""About the width of a usual letter of small text."""

INK, STRONG, WEAK, LIMIT = "black", "#2b5c8a", "#c9c9c9", "#b3261e"
"""Colours: text, kept tiles, other cells, limits. In grey they differ by lightness."""

_SETTINGS: Any = {
    "text.parse_math": False,  # a slide may be named $x$
    "text.usetex": False,
    "font.family": ["DejaVu Sans"],  # the font that matplotlib contains
    "font.size": SMALL,
    "axes.titlesize": NORMAL,
    "axes.labelsize": NORMAL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "tiler",  # names of clips are the same each time
    "svg.image_inline": True,
    "path.simplify": True,
}
_METADATA: Mapping[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "png": {"Software": None},
}
_NOT_XML = re.compile("[\x00-\x1f\ufffe\uffff]")

Draw = Callable[["Figure", "Axes"], None]


def check_formats(formats: Sequence[str]) -> None:
    """Refuse unknown formats of charts.

    Raises
    ------
    ConfigError
        If a format is unknown; the error lists the known ones.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        what = f"report.charts={[*formats]} contains {unknown[0]!r}"
        raise ConfigError(f"{what}; use svg, png or both")


def check_charts(formats: Sequence[str]) -> None:
    """Refuse any format if matplotlib is not installed.

    Raises
    ------
    ConfigError
        If no chart can be made.
    """
    if formats and find_spec("matplotlib") is None:
        shown = ",".join(formats)
        raise ConfigError(
            f"report.charts=[{shown}] needs matplotlib; run: pip install 'tiler[charts]'"
        )


def chart_bytes(
    charts: Iterable[tuple[str, float, Draw]], formats: Sequence[str]
) -> dict[str, bytes]:
    """Draw charts, and return the bytes of each file by its name: ``<chart>.<format>``.

    Parameters
    ----------
    charts
        The name, the height in mm and the function of each.
    formats
        Some of ``FORMATS``, or none.

    Raises
    ------
    ConfigError
        If matplotlib is not installed.
    """
    check_charts(formats)
    if not formats:
        return {}
    return {
        f"{name}.{suffix}": content
        for name, height_mm, draw in charts
        for suffix, content in _drawn(draw, height_mm, formats).items()
    }


def _drawn(draw: Draw, height_mm: float, formats: Sequence[str]) -> dict[str, bytes]:
    """Draw a chart, and return its bytes by format.

    Parameters
    ----------
    draw
        Draws on the only axes of a figure.
    height_mm
        The height; the width is 85 mm.
    formats
        Some of ``FORMATS``.
    """
    with _settings():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure((WIDTH, height_mm * MM), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure, figure.add_subplot())
        return {name: _bytes(figure, name) for name in dict.fromkeys(formats)}


def _bytes(figure: Figure, name: str) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=name, dpi=DPI, metadata=_METADATA[name])
    return file.getvalue()


@contextmanager
def _settings() -> Iterator[None]:
    """Use tiler's settings instead of those of a ``matplotlibrc``; restore them afterwards."""
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name may have letters that the font does not contain
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def distinct(labels: Sequence[str]) -> list[str]:
    """Return labels with their numbers in front, if some are the same."""
    if len(set(labels)) == len(labels):
        return list(labels)
    return [f"{number}: {text}" for number, text in enumerate(labels, 1)]


def headline(figure: Figure, text: str) -> None:
    """Write a line above a chart, from the left edge of the figure."""
    figure.suptitle(text, x=0.02, ha="left", size=SMALL)


def file_name(kind: str, of: str, taken: set[str]) -> str:
    """Return a chart's name that is safe on all systems, and add it to those taken."""
    plain = f"{kind}_{re.sub('[^A-Za-z0-9-]+', '_', of)[:60]}"
    name = plain
    while name.lower() in taken:
        name = f"{plain}_{len(taken)}"
    taken.add(name.lower())
    return name


def label(text: str, longest: int = 28) -> str:
    """Return one line of printable text; of a long one the beginning and the end.

    ``longest`` is its length in letters of usual width.
    """
    plain = text.encode(errors="backslashreplace").decode()
    line = _NOT_XML.sub(" ", visible(plain))
    if length(line) <= longest:
        return line
    start, end = "", ""
    for first, last in zip(line, reversed(line), strict=True):
        if length(f"{start}{first}…{last}{end}") > longest:
            break
        start, end = start + first, last + end
    return f"{start}…{end}"


def length(line: str) -> float:
    """Return about how long a line is, in letters of usual width."""
    return sum(_letter(sign) for sign in line)


def _letter(sign: str) -> float:
    if unicodedata.east_asian_width(sign) in "WF" or not sign.isprintable():
        return 2.0
    return 1.5 if sign.isupper() or sign in "mw@%—…" else 1.0


def number(value: float) -> str:
    """Return a number for a label, as short as it can be."""
    if abs(value) >= 1e7:
        return f"{value:.4g}"
    return f"{value:,.0f}" if value == round(value) else f"{value:.6g}"


def number_axis(axis: Any) -> None:
    """Write the numbers of an axis as plain text, at few places."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    log = axis.get_scale() == "log"
    axis.set_major_locator(LogLocator(numticks=5) if log else MaxNLocator(nbins=5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _short(float(f"{value:.10g}"))))
    axis.set_minor_formatter(NullFormatter())


def whole_axis(axis: Any) -> None:
    """Mark an axis of counts at whole numbers only."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _short(count: float) -> str:
    return f"{count / 1e6:,g} M" if 1e6 <= abs(count) < 1e10 else number(count)


def spans_orders(counts: Sequence[float]) -> bool:
    """Return whether counts differ so much that a linear axis would hide some of them."""
    some = sorted(count for count in counts if count > 0)
    return len(some) > 1 and some[-1] >= 50 * some[len(some) // 4]
