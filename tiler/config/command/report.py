"""The ``tiler-report`` command: make the report of a run or a sweep afterwards."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiler.config.job import complain
from tiler.errors import ConfigError, ExitCode, TilerError
from tiler.process.startup import prepare_process
from tiler.process.streams import end_streams, open_streams
from tiler.report.charts.figure import FORMATS
from tiler.runner.reporting.log_records import clean_log_records
from tiler.runner.signals import Interrupted, interruptible
from tiler.storage.safe_text import shown
from tiler.storage.stored import MAX_TABLE, StoredError, read_json, read_regular

_STATES = {"running": "died"}
"""The status of a run that did not write its end, once its lock is free."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the report; return 0, 3 if a slide could not be read, else an exit code of ``tiler``."""
    open_streams()
    prepare_process()
    options = _options(arguments)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S",
                        level=logging.INFO)  # fmt: skip
    clean_log_records()
    try:
        with interruptible():
            return end_streams(_made(options))
    except TilerError as error:
        return complain(error)
    except (Interrupted, KeyboardInterrupt) as stop:
        print("interrupted; start again to continue", file=sys.stderr)
        return stop.exit_code if isinstance(stop, Interrupted) else ExitCode.INTERRUPTED


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tiler-report",
        description="Make report/index.html of a run or a sweep. Slides are read again where the"
        " cache lacks something; no other output changes.",
        epilog="Exit code: 0 done, 2 wrong use or no run, 3 a slide could not be read, 4 the"
        " destination cannot be written, 5 the folder is in use.",
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="folder of a run or a sweep")
    parser.add_argument(
        "--workers", metavar="N", type=int, help="worker processes; default: one per core"
    )
    parser.add_argument(
        "--slides",
        metavar="WHERE",
        help="file, folder or glob of slides that moved; default: the paths of the run",
    )
    parser.add_argument(
        "--charts", metavar="FORMAT", nargs="+", choices=FORMATS,
        help="write the charts as files, too: svg, png or both; default: those of the run",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if options.workers is not None and options.workers < 1:
        parser.error(f"--workers {options.workers} is out of range; use 1 or more")
    return options


def _made(options: argparse.Namespace) -> int:
    folder: Path = options.folder
    if os.path.lexists(folder / "run.json"):
        return _of_run(folder, options)
    if os.path.lexists(folder / "sweep.json"):
        return _of_sweep(folder, options)
    what = (
        "there is no such folder"
        if not os.path.lexists(folder)
        else "it has no run.json or sweep.json"
    )
    problem = f"{folder} is neither a run nor a sweep ({what})"
    raise ConfigError(f"{problem}; give a folder that tiler wrote")


def _of_sweep(folder: Path, options: argparse.Namespace) -> int:
    """Make the report of a sweep under its lock."""
    from tiler.config.sweeps.report import report_sweep
    from tiler.report.html import HtmlReport
    from tiler.runner.engines import ProcessEngine
    from tiler.runner.ledger import where_report
    from tiler.runner.store.lock import locked

    charts = options.charts or []
    HtmlReport(charts).check(folder)
    with locked(folder):
        engine = ProcessEngine(options.workers)
        page, lacks = report_sweep(folder, engine, options.slides, charts)
    if page is None:
        return ExitCode.SLIDE_FAILED
    print(shown(where_report(page, folder)))
    return ExitCode.SLIDE_FAILED if lacks else ExitCode.DONE


def _charts(run: dict[str, Any], asked: list[str] | None) -> list[str]:
    """Return the formats of charts that the command names, or else those of the run."""
    config = run.get("config")
    node = config.get("report") if isinstance(config, dict) else None
    found = node.get("charts") if isinstance(node, dict) else None
    own = [name for name in found if name in FORMATS] if isinstance(found, list) else []
    return own if asked is None else asked


def _of_run(out: Path, options: argparse.Namespace) -> int:
    """Make the report of a run under its lock."""
    from tiler.config.rebuilt import rebuilt
    from tiler.report.html import HtmlPages, HtmlReport
    from tiler.runner.ledger import where_report
    from tiler.runner.reporting.run_report import report_slides
    from tiler.runner.store.lock import held

    workers = options.workers or os.cpu_count() or 1
    _facts(out)  # else a lock would be left in a folder of others
    with held(out):
        run, table, rows = _facts(out), *_table(out)
        report = HtmlReport(_charts(run, options.charts))
        report.check(out)
        engine = {"_target_": "tiler.runner.engines.ProcessEngine", "workers": workers}
        found = rebuilt(out, run, rows, options.slides, engine)
        pages = HtmlPages(found.plan.jobs, out, report.charts, found.unread)
        if tasks := pages.tasks(table):
            with found.plan.engine as started:
                report_slides(pages, tasks, started)
        page = pages.write(table, {**run, "status": _STATES.get(run["status"], run["status"])})
    for n, why in sorted(pages.without.items()):
        print(shown(f"{rows[n]['slide_id']}: {why}"), file=sys.stderr)
    if page is None:
        return ExitCode.SLIDE_FAILED
    print(shown(where_report(page, out)))
    return ExitCode.SLIDE_FAILED if pages.without or pages.problems else ExitCode.DONE


def _facts(out: Path) -> dict[str, Any]:
    try:
        run = read_json(out / "run.json")
    except (FileNotFoundError, StoredError) as error:
        raise ConfigError(f"{out / 'run.json'} {error}; give the folder of a run") from error
    if not isinstance(run.get("config"), dict):
        raise ConfigError(f"{out / 'run.json'} contains no configuration of a run")
    return {**run, "status": str(run.get("status"))}


def _table(out: Path) -> tuple[bytes, list[dict[str, str]]]:
    """Return ``slides.csv`` and its rows; neither if the run did not get that far."""
    from tiler.runner.reporting.tables import slide_rows

    try:
        data = read_regular(out / "slides.csv", MAX_TABLE)
        return data, slide_rows(data)
    except FileNotFoundError:
        return b"", []
    except StoredError as error:
        raise ConfigError(f"{out / 'slides.csv'} {error}; run tiler again") from error


if __name__ == "__main__":
    sys.exit(main())
