"""Runs with a report for the browser tests: small slides, hostile names, and runs that fail."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

from command import tiler

from tiler.geometry import Size
from tiler.slides.demo import write_demo_slide

SMALL = ["resolution.value=2", "tile.size=64", "report=html"]
"""Overrides of a run of ``small_slide``: 96 cells."""

LONG = "l" * 300
RTL = "\u202eמימין\u2066"
SCRIPT = "<script>window.hit=1</script>"
PICTURE = '"><img src=x onerror="window.hit=1">'
HOSTILE_STEMS = (
    "<script>window.hit=1<", "<img src=x onerror=window.hit=1>", "\"quo'tes\" & amp; `$(x)`", RTL,
    "n" * 240, "{{ 7*7 }}{% x %}", "line\u2028end",
)  # fmt: skip
HOSTILE_CLASSES = (SCRIPT, PICTURE, RTL, "a & b's 'c'", "c" * 200)

SCRIPT_VALUES = (SCRIPT, PICTURE, LONG)
SCRIPT_COLUMNS = tuple(f"_{text}" for text in SCRIPT_VALUES)


def small_slide(path: Path, width: int = 768, height: int = 512) -> Path:
    """Draw a slide with two pieces of tissue in 0.1 s; other sizes give other pictures."""
    drawn = path.with_name("drawn.svs")  # the writer needs room for the suffix of a partial file
    write_demo_slide(drawn, Size(width, height), 2.0)
    return drawn.rename(path)


def cohort(folder: Path, count: int) -> Path:
    """Return a folder of small slides; the first five differ, the others are links to them."""
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(count):
        path = folder / f"slide_{n:02}.svs"
        if n < 5:
            small_slide(path, 768 + 32 * n, 512 + 16 * (n % 3))
        else:
            os.link(folder / f"slide_{n % 5:02}.svs", path)
    return folder


def report(*words: str, cwd: Path, out: str = "out", code: int = 0) -> Path:
    """Run tiler with a report, and return the report's folder."""
    done = tiler(*words, "report=html", f"out={out}", cwd=cwd)
    assert done.returncode == code, done.stderr
    assert f"report: {out}/report/index.html" in done.stderr, done.stderr
    return cwd / out / "report"


def rebuilt(out: Path, code: int = 0) -> Path:
    """Make a run's report with ``tiler-report``, and return its folder."""
    done = tiler(str(out), cwd=out.parent, module="tiler.config.command.report")
    assert done.returncode == code, done.stderr
    return out / "report"


def hostile_run(folder: Path) -> Path:
    """Return the report of slides with hostile names, columns, classes and reasons."""
    first = small_slide(folder / "first.svs")
    rows = []
    for stem in HOSTILE_STEMS:
        path = folder / f"{stem}.svs"
        os.link(first, path)
        rows.append([path.name, *SCRIPT_VALUES])
    (folder / "<b>broken<.svs").write_bytes(b"not a slide")
    rows.append(["<b>broken<.svs", "</script>" + SCRIPT, "&lt;", RTL])
    with (folder / "slides.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", *SCRIPT_COLUMNS])
        table.writerows(rows)
    (folder / "drawn.geojson").write_text(json.dumps(drawn_classes()))
    return report(
        "slides=table", "slides.table=slides.csv", *SMALL, "label=annotation",
        "label.path=drawn.geojson", f"name={quoted(SCRIPT + PICTURE)}",
        cwd=folder, code=3,
    )  # fmt: skip


def quoted(text: str) -> str:
    """Return a text as Hydra's grammar quotes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def drawn_classes() -> dict[str, object]:
    """Return GeoJSON with a square for each hostile class."""
    features = []
    for n, name in enumerate(HOSTILE_CLASSES):
        left, right = 100 * n, 100 * n + 90
        ring = [[left, 0], [right, 0], [right, 500], [left, 500], [left, 0]]
        features.append(
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {"objectType": "annotation", "classification": {"name": name}},
            }
        )
    return {"type": "FeatureCollection", "features": features}


def failed_run(folder: Path, shared: Path) -> Path:
    """Return the report of a run in which no slide can be opened."""
    for name in ("broken.svs", "unreadable.svs", "unopenable.tiff"):
        shutil.copy(shared / name, folder / name)
    (folder / "text.svs").write_bytes(b"not a slide")
    (folder / "other.svs").write_bytes(b"no slide either")
    return report("slides=files", "slides.paths=.", *SMALL, cwd=folder, code=3)


def empty_run(folder: Path) -> Path:
    """Return the report of a run in which no tile is kept."""
    cohort(folder / "slides", 2)
    return report(
        "slides=files", "slides.paths=slides", *SMALL, "filter=[blur]", "filter.blur.mpp=2",
        "filter.blur.min=1000", cwd=folder,
    )  # fmt: skip
