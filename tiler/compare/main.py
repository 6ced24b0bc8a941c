"""The ``tiler-compare`` command: read two folders, print what differs, return an exit code."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tiler.compare.changes import slide_changes
from tiler.compare.overlay import Overlays
from tiler.compare.report import comparison_csv, csv_row, run_lines, slide_lines
from tiler.compare.runs import pairs
from tiler.errors import ConfigError, ExitCode, TilerError
from tiler.files import write_whole
from tiler.process.streams import end_streams, open_streams
from tiler.storage.destinations import check_writable, make_folder
from tiler.storage.safe_text import shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare two folders; return 0 if equal, 7 if different, else an exit code of ``tiler``."""
    open_streams()
    options = _options(arguments)
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end quietly when a pager is closed
    try:
        return end_streams(_compare(options))
    except TilerError as error:
        text = str(error)
        print(shown(text if text.startswith("E_") else f"{error.code}: {text}"), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tiler-compare",
        description="Compare two runs, two jobs of sweeps, or two whole sweeps.",
        epilog=f"Exit code: 0 equal, {ExitCode.DIFFERENT} different, 2 wrong use or damaged input,"
        " 4 the destination cannot be written. Equal means: the same slides with the same status,"
        " tiles and ratios; settings and masks are reported but do not affect the result.",
    )
    parser.add_argument("a", metavar="A", type=Path, help="folder of a run or a sweep")
    parser.add_argument("b", metavar="B", type=Path, help="folder to compare with A")
    parser.add_argument("--csv", metavar="FILE", type=Path, help="write a row per slide")
    parser.add_argument(
        "--overlay",
        metavar="FOLDER",
        type=Path,
        help="write a picture per slide: tiles in both blue, in B alone green, in A alone orange",
    )
    parser.add_argument(
        "--slides",
        metavar="WHERE",
        help="for --overlay: file, folder or glob of the slides; default: the paths of the run",
    )
    options = parser.parse_args(arguments)
    if options.slides and not options.overlay:
        parser.error("--slides needs --overlay")
    return options


def _compare(options: argparse.Namespace) -> int:
    if options.csv:
        _check_table(options.csv)  # before the comparison, which may take minutes
    print(shown(f"A: {options.a}\nB: {options.b}"))
    rows: list[dict[str, object]] = []
    alike = True
    for job, a, b in pairs(options.a, options.b):
        print(shown("\n".join(run_lines(job, a, b))))
        alike &= a.missing == b.missing  # a difference between two jobs shows in their slides
        pictures = (
            Overlays(options.overlay / job, options.slides, b, a) if options.overlay else None
        )
        for change in slide_changes(a, b):
            print(shown("\n".join(slide_lines(change))))
            rows.append(csv_row(job, change))
            if pictures:
                pictures.add(change)
    if not rows:
        raise ConfigError(
            f"{options.a} and {options.b}: no slide to compare; tile at least one slide in both"
        )
    if options.csv:
        data = comparison_csv(rows).encode(errors="surrogateescape")
        write_whole(make_folder(options.csv.parent) / options.csv.name, data)
    differing = sum(row["equal"] != "true" for row in rows)
    alike &= not differing
    print(
        f"equal: {len(rows)} slides" if alike else f"different: {differing} of {len(rows)} slides"
    )
    return ExitCode.DONE if alike else ExitCode.DIFFERENT


def _check_table(path: Path) -> None:
    """Refuse to replace a file that is not a table of this command, such as one of A, B or a slide.

    Raises
    ------
    ConfigError, DestinationError
        If it is another kind of file, or not a regular one.
    """
    check_writable(path)
    header = comparison_csv([]).encode()
    try:
        with path.open("rb") as file:
            begins = file.read(len(header))
    except OSError:  # there is none, or what writes it reports why
        return
    if begins not in (b"", header):
        raise ConfigError(
            f"--csv {path}: is a file that tiler-compare did not write; name another file"
        )
