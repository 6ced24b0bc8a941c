"""All benchmarks in one run: ratios of medians, alternating, start-up included.

usage: python benchmarks/run.py [--rounds 5] [--width 49152] [--folder outputs/bench] [--only NAME]
                                [--earlier CHECKOUT]

Prints a table and writes results.json into the folder. Times are of whole commands on this
machine, so only their ratios mean anything.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from budget import accuracy
from commands import IDLE, JPEG, LEVEL0, PNG, TWO, medians, peer, seconds, tiler
from dataset import dataset
from earlier import earlier
from filters import filters
from PIL import Image
from pipeline import pipeline
from report_pages import report
from shards import webdataset
from slides import repeated, yardstick
from sweeps import selections, sweep

from tiler.geometry import Size

HERE = Path(__file__).resolve().parent


def table_of(slide: Path, folder: Path, *arguments: str) -> Path:
    """The coordinates that tiler finds, for peers to cut the same tiles."""
    out = folder / "table"
    seconds(tiler(slide, out, *arguments), out)
    (table,) = (out / "slides").glob("*/*.csv")
    kept = folder / f"{slide.stem}_{abs(hash(arguments))}.csv"
    return Path(shutil.copy(table, kept))


def count(table: Path) -> int:
    return len(table.read_text().splitlines()) - 1


def bytes_in(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.rglob(pattern))


def png_and_jpeg(big: Path, folder: Path, rounds: int) -> dict[str, object]:
    wish = [*LEVEL0, "tile.size=512"]
    table = table_of(big, folder, *wish)
    results: dict[str, object] = {"tiles": count(table)}
    for name, options, extension in (("png", PNG, "png"), ("jpeg", JPEG, "jpg")):
        out = {what: folder / f"{name}_{what}" for what in ("obvious", "floor", "tiler")}
        found = medians(
            {
                "obvious": (peer("obvious", big, table, out["obvious"], extension), out["obvious"]),
                "floor": (peer("floor", big, table, out["floor"], extension), out["floor"]),
                "tiler": (tiler(big, out["tiler"], *wish, *options, *TWO), out["tiler"]),
            },
            rounds,
        )
        results[name] = {
            "seconds": found,
            "times faster than obvious": found["obvious"] / found["tiler"],
            "time against floor": found["tiler"] / found["floor"],
            "bytes against obvious": bytes_in(out["tiler"], f"*.{extension}")
            / bytes_in(out["obvious"], f"*.{extension}"),
        }
        for path in out.values():
            shutil.rmtree(path)
    return results


def passthrough(slide: Path, folder: Path, rounds: int) -> dict[str, object]:
    """On the yardstick, where half of it is start-up, and on all 121,680 tiles of a large slide."""
    out = folder / "through"
    large = repeated(folder, Size(100_000, 80_000))
    results: dict[str, object] = {}
    for name, source, what, repeats in (
        ("yardstick", slide, [], rounds),
        ("100000x80000", large, ["mask=none", "threshold=0"], min(rounds, 3)),
    ):
        common = [*LEVEL0, "tile.size=256", *what, *JPEG, *TWO]
        encoded = tiler(source, out, *common)
        passed = [*encoded, "exporter.images.passthrough=true"]
        found = medians({"encoded": (encoded, out), "passed through": (passed, out)}, repeats)
        shutil.rmtree(out)
        times = found["encoded"] / found["passed through"]
        results[name] = {"seconds": found, "times faster": times}
    return results


def reduced(mid: Path, folder: Path, rounds: int) -> dict[str, object]:
    wish = ["resolution=mpp", "resolution.value=0.5", "tile.size=256"]
    table = table_of(mid, folder, *wish)
    out = {what: folder / f"reduced_{what}" for what in ("script", "tiler", "scaled")}
    scaled = [*wish, *PNG, *TWO, "reader.scaled_decode=true"]
    found = medians(
        {
            "script": (peer("reduced", mid, table, out["script"], "png"), out["script"]),
            "tiler": (tiler(mid, out["tiler"], *wish, *PNG, *TWO), out["tiler"]),
            "scaled": (tiler(mid, out["scaled"], *scaled), out["scaled"]),
        },
        rounds,
    )
    results = {
        "tiles": count(table),
        "seconds": found,
        "times faster than script": found["script"] / found["tiler"],
        "scaled decode, times faster again": found["tiler"] / found["scaled"],
        "mean absolute difference": difference(out["script"], out["tiler"]),
        "scaled decode, mean absolute difference": difference(out["script"], out["scaled"]),
    }
    for path in out.values():
        shutil.rmtree(path)
    return results


def fractional(mid: Path, folder: Path, rounds: int) -> dict[str, object]:
    """At a scale that is no whole number, as that of most slides at mpp 0.5 is none."""
    wish = ["resolution=mpp", "resolution.value=0.503", "tile.size=256"]
    table = table_of(mid, folder, *wish)
    out = {what: folder / f"fractional_{what}" for what in ("script", "tiler")}
    found = medians(
        {
            "script": (peer("reduced", mid, table, out["script"], "png"), out["script"]),
            "tiler": (tiler(mid, out["tiler"], *wish, *PNG, *TWO), out["tiler"]),
        },
        rounds,
    )
    for path in out.values():
        shutil.rmtree(path)
    times = found["script"] / found["tiler"]
    return {"tiles": count(table), "seconds": found, "times faster than script": times}


def difference(script: Path, ours: Path) -> float:
    """Mean absolute difference of some tiles of the same places, in grey values."""
    found = []
    for path in sorted(ours.rglob("*.png"))[::37]:
        x, y = (
            int(word[1:]) for word in path.stem.split("_") if word[0] in "xy" and word[1:].isdigit()
        )
        with Image.open(path) as one, Image.open(script / f"{2 * x}_{2 * y}.png") as other:
            found.append(np.abs(np.asarray(one).astype(float) - np.asarray(other)).mean())
    return float(np.mean(found))


def engines(mid: Path, folder: Path, rounds: int) -> dict[str, object]:
    out = folder / "engines"
    common = [*LEVEL0, "tile.size=512", *PNG]
    alone = [*common, "engine=serial", "exporter.images.threads=1"]
    peer_reader = "reader=openslide"
    found = medians(
        {
            "openslide, serial, one thread": (tiler(mid, out, *alone, peer_reader), out),
            "openslide, processes, 2 workers": (tiler(mid, out, *common, *TWO, peer_reader), out),
            "serial, one thread": (tiler(mid, out, *alone), out),
            "serial": (tiler(mid, out, *common, "engine=serial"), out),
            "processes, 2 workers": (tiler(mid, out, *common, *TWO), out),
        },
        rounds,
    )
    two = found["processes, 2 workers"]
    slow = found["openslide, serial, one thread"] / found["openslide, processes, 2 workers"]
    return {
        "seconds": found,
        "reader=openslide: times faster than one thread": slow,
        "times faster than one thread": found["serial, one thread"] / two,
        "times faster than threads": found["serial"] / two,
    }


def vouching(mid: Path, folder: Path) -> dict[str, object]:
    """What hashing and the record take of a PNG job on one thread."""
    from tiler.files import digest
    from tiler.runner.store.record_file import read_record, write_record

    out = folder / "vouching"
    job = seconds(tiler(mid, out, *LEVEL0, "tile.size=512", *PNG, "exporter.images.threads=1"), out)
    (slide,) = (out / "slides").iterdir()
    files = [path.read_bytes() for path in slide.rglob("*.png")]
    record = read_record(slide)
    start = time.perf_counter()
    for data in files:
        digest(data)
    write_record(slide, record, {})
    share = (time.perf_counter() - start) / job
    shutil.rmtree(out)
    return {"seconds": job, "share of the job": share}


def decoding(mid: Path) -> dict[str, object]:
    """Native tiles decoded, counted, for tiles that overlap by half and ones that do not."""
    from tiler import Level, TileExtractor, TileSpec
    from tiler.readers import TiffReader
    from tiler.regions import packed
    from tiler.runner.work.plan import pieces

    counts = {}
    for stride in (512, 256):
        with TiffReader(mid) as reader:
            before = reader.native_tiles_decoded
            regions = TileExtractor(TileSpec(512, stride, Level(0))).extract(reader)
            for piece in pieces(*packed(regions)):
                for r in piece:
                    reader.read_region(r.location, r.shape, r.resolution, bounded=False)
            counts[stride] = reader.native_tiles_decoded - before
    return {"decoded": counts, "overlap against none": counts[256] / counts[512]}


def coordinates(mid: Path, folder: Path, rounds: int) -> dict[str, object]:
    out, bare, own = folder / "coordinates", folder / "bare.py", folder / "own.py"
    own.write_text(IDLE)
    bare.write_text(
        "import hydra\n@hydra.main(version_base='1.3', config_path=None)\n"
        "def main(config):\n    pass\nmain()\n"
    )
    bare_run = [sys.executable, str(bare), "hydra.output_subdir=null", "hydra/job_logging=none",
                "hydra/hydra_logging=none"]  # fmt: skip
    found = medians(
        {
            "bare hydra": (bare_run, None),
            "hydra on tiler's configuration": ([sys.executable, str(own), f"out={out}"], out),
            "bare hydra --help": ([sys.executable, str(bare), "--help"], None),
            "tiler --help": ([sys.executable, "-m", "tiler", "--help"], None),
            "tiler, coordinates": (tiler(mid, out), out),
        },
        rounds,
    )
    return {
        "seconds": found,
        "help against bare": found["tiler --help"] / found["bare hydra --help"],
        "coordinates over bare, seconds": found["tiler, coordinates"] - found["bare hydra"],
        "coordinates over hydra's start-up, seconds": found["tiler, coordinates"]
        - found["hydra on tiler's configuration"],
    }


def budget(mid: Path, folder: Path, rounds: int) -> dict[str, object]:
    out = folder / "budget"
    common = [*LEVEL0, "tile.size=512"]
    return accuracy(
        {
            f"{name}, {engine[0]}": tiler(mid, out, *common, *options, *engine)
            for name, options in (("png", PNG), ("jpg", JPEG))
            for engine in (["engine=serial"], TWO)
        },
        out,
        rounds,
    )


def memory(folder: Path) -> dict[str, object]:
    """Peak memory of the largest process of a run, in MB, against the slide's size."""
    peaks = {}
    for size in (Size(25_000, 20_000), Size(50_000, 40_000), Size(100_000, 80_000)):
        slide, out = repeated(folder, size), folder / "memory"
        shutil.rmtree(out, ignore_errors=True)
        run = tiler(slide, out, *LEVEL0, "tile.size=512", *TWO, "threshold=0", "mask=none",
                    *JPEG, "exporter.images.quality=10")  # fmt: skip
        probe = "import resource,subprocess,sys; subprocess.run(sys.argv[1:], check=True);" \
                "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", probe, *run], capture_output=True, text=True, check=True
        )
        scale = 1 if sys.platform == "darwin" else 1024
        peaks[f"{size.width}x{size.height}"] = int(done.stdout.split()[-1]) * scale / 1e6
        shutil.rmtree(out)
    return {"peak MB": peaks}


def machine() -> dict[str, object]:
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if "model name" in line), model)
    return {
        "system": platform.platform(terse=True), "processor": model, "cores": os.cpu_count(),
        "python": platform.python_version(), "resource limit of files":
        resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--width", type=int, default=49_152)
    parser.add_argument("--folder", type=Path, default=Path("outputs/bench"))
    parser.add_argument("--only", help="one of the benchmarks by name")
    parser.add_argument("--earlier", type=Path, help="a work tree of an earlier version")
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    big = Size(options.width, options.width * 3 // 4)
    half = Size(big.width // 2, big.height // 2)
    rounds = options.rounds
    benchmarks = {
        "coordinates": lambda: coordinates(yardstick(folder, half), folder, rounds),
        "decoding": lambda: decoding(yardstick(folder, half)),
        "vouching": lambda: vouching(yardstick(folder, half), folder),
        "engines": lambda: engines(yardstick(folder, half), folder, rounds),
        "passthrough": lambda: passthrough(yardstick(folder, big), folder, rounds),
        "reduced": lambda: reduced(yardstick(folder, half), folder, rounds),
        "fractional": lambda: fractional(yardstick(folder, half), folder, rounds),
        "png_and_jpeg": lambda: png_and_jpeg(yardstick(folder, big), folder, rounds),
        "pipeline": lambda: pipeline(yardstick(folder, big), folder, rounds),
        "filters": lambda: filters(yardstick(folder, big), folder, rounds),
        "sweep": lambda: sweep(folder, rounds),
        "selections": lambda: selections(yardstick(folder, big), folder, rounds),
        "webdataset": lambda: webdataset(folder, rounds),
        "dataset": lambda: dataset(yardstick(folder, half), folder, rounds),
        "report": lambda: report(folder, rounds),
        "budget": lambda: budget(yardstick(folder, half), folder, rounds),
        "memory": lambda: memory(folder),
    }
    if options.earlier:
        benchmarks["earlier"] = lambda: earlier(options.earlier, folder, min(rounds, 3))
    path = folder / "results.json"
    results = json.loads(path.read_text()) if path.exists() and options.only else {}
    results["machine"] = machine()
    for name, benchmark in benchmarks.items():
        if options.only in (None, name):
            print(f"{name}:", flush=True)
            results[name] = benchmark()
            path.write_text(json.dumps(results, indent=2))
            print(json.dumps(results[name], indent=2), flush=True)


if __name__ == "__main__":
    main()
