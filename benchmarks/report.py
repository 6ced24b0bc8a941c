"""Print the results of run.py as the table of docs/performance.md.

usage: python benchmarks/report.py outputs/bench/results.json
"""

import json
import sys
from pathlib import Path


def rows(results):
    """What was asked, what was measured."""
    both, reduced = results["png_and_jpeg"], results["reduced"]
    png, jpeg, engines = both["png"], both["jpeg"], results["engines"]
    through, start = results["passthrough"], results["coordinates"]
    peaks = results["memory"]["peak MB"]
    yield (
        "PNG, 512 px: times faster than the obvious script",
        png["times faster than obvious"],
        "≥ 8",
    )
    yield "PNG: time against the floor", png["time against floor"], "≤ 1.3"
    yield "PNG: bytes against Pillow's", png["bytes against obvious"], "≤ 1.3"
    yield "JPEG: times faster than the obvious script", jpeg["times faster than obvious"], "≥ 3.5"
    yield "JPEG: time against the floor", jpeg["time against floor"], "≤ 1.3"
    yield "passthrough: times faster than encoding", through["yardstick"]["times faster"], ""
    yield "the same on 121,680 tiles", through["100000x80000"]["times faster"], "≥ 5"
    yield "mpp 0.5: times faster than the script", reduced["times faster than script"], "≥ 5"
    yield "mpp 0.5: mean difference, grey values", reduced["mean absolute difference"], "< 0.5"
    yield "scaled decode: times faster again", reduced["scaled decode, times faster again"], "≥ 1.3"
    between = results["fractional"]["times faster than script"]
    yield "mpp 0.503, no whole scale: times faster than the script", between, ""
    yield (
        "stride of half a tile: native tiles decoded",
        results["decoding"]["overlap against none"],
        "≤ 1.1",
    )
    yield (
        "coordinates: seconds over a bare Hydra program",
        start["coordinates over bare, seconds"],
        "≤ 0.6",
    )
    yield (
        "the same over one that composes tiler's configuration",
        start["coordinates over hydra's start-up, seconds"],
        "",
    )
    yield "--help: time against a bare Hydra program's", start["help against bare"], "≤ 1.3"
    yield (
        "two processes against one thread, reader=openslide",
        engines["reader=openslide: times faster than one thread"],
        "≥ 1.7",
    )
    yield (
        "two processes against one thread, reader=auto",
        engines["times faster than one thread"],
        "",
    )
    yield "hashing and record: share of a PNG job", results["vouching"]["share of the job"], "≤ 0.1"
    swept = results["sweep"]
    yield (
        "sweep of 15 settings: time against 15 commands",
        swept["sweep against 15 commands"],
        "≤ 0.4",
    )
    yield "the same against one run", swept["sweep against one run"], ""
    yield (
        "the same against Hydra alone with 15 jobs that do nothing",
        swept["sweep against Hydra alone"],
        "",
    )
    yield (
        "sweep of 15 settings: time against the obvious script",
        swept["sweep against the obvious script"],
        "≤ 0.33",
    )
    for engine, found in results["filters"].items():
        for (what, share), bar in zip(
            found["share of a PNG export"].items(), ("≤ 0.4", "≤ 1.0"), strict=True
        ):
            yield f"{what}, engine={engine}: share of a PNG export's time", share, bar
    shards = results["webdataset"]
    for what in ("jpeg", "passthrough"):
        named = f"webdataset, {what}, {shards['tiles']:,} tiles: times faster than images"
        yield named, shards[what]["times faster than images"], "≥ 1.3"
    tiles = results["dataset"]
    for name, peer, bar in (
        ("random", "openslide", "≥ 6"),
        ("random", "cucim", "≥ 1"),
        ("random", "png", "≥ 1.5"),
        ("random", "pillow's png", "≥ 1.5"),
        ("stream", "openslide", "≥ 8"),
        ("stream", "png", "≥ 1.5"),
        ("stream", "pillow's png", "≥ 1.5"),
    ):
        ratio = f"{name}, times faster than {peer}"
        if ratio in tiles:  # cuCIM may be missing
            yield f"dataset, {ratio}", tiles[ratio], bar
    pages, large = results["report"]["1000 slides"], results["report"]["300,000 candidates"]
    yield "report of 1,000 slides: seconds that it adds", pages["seconds added"], "< 60"
    yield "its first view, seconds", pages["first view, seconds"], "< 2"
    yield "MB that it loads before a slide is opened", pages["MB loaded"], "< 3"
    yield "slider on 312,500 candidates, median ms", large["slider, median ms"], "< 100"
    yield "the same, slowest of 20, ms", large["slider, worst ms"], ""
    for size, peak in peaks.items():
        yield f"peak memory of a process at {size}, MB", peak, "< 400"


if __name__ == "__main__":
    print("| what | measured | bar |\n|---|---|---|")
    for what, value, bar in rows(json.loads(Path(sys.argv[1]).read_text())):
        print(f"| {what} | {value:.2f} | {bar} |")
