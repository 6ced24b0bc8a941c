"""Damage files that tiler reads at random; check that it never crashes, hangs or fills the memory.

    python tests/fuzzing.py --seconds 600            another seed each time, which is printed
    python tests/fuzzing.py --seed 7 --rounds 80     the same cases each time

Records, run.json, cache entries and tables are damaged in this process, whose memory is limited;
headers of slides in a run of the command, whose workers are limited. What went wrong is printed
with the seed of its round, and the damaged files stay in the folder that is named.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout, suppress
from functools import partial
from pathlib import Path

import numpy as np
from isal import isal_zlib
from PIL import Image

from tiler.compare.main import main as compare
from tiler.config.command.rerun import write_rerun
from tiler.errors import ConfigError
from tiler.extractor import TileExtractor
from tiler.geometry import Size
from tiler.masks import OtsuMask
from tiler.readers import open_slide
from tiler.resolution import Level
from tiler.runner.guard import refuse_foreign_files
from tiler.runner.resume import find_done
from tiler.runner.store import arrays as cache
from tiler.runner.store.record_file import load_record
from tiler.runner.work.cached import shared_work
from tiler.runner.work.job import SlideJob
from tiler.slides import read_table
from tiler.slides.demo import write_demo_slide
from tiler.spec import TileSpec
from tiler.storage.stored import sealed
from tiler.sweep.contact_sheet import write_contact_sheet
from tiler.sweep.table import read_jobs, write_sweep

MEMORY = 6 << 30
"""Bytes of address space: far more than any case may take, far less than a bomb wants."""

LONGEST_S = 20
SLIDES_AT_ONCE = 40
SHARED = Path(__file__).resolve().parents[2] / "shared" / "slides"

ODD_NUMBERS = (0, 1, -1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64)
ODD_TEXTS = ("", ".", "..", "../../etc/passwd", "/dev/zero", "a\0b", "\ud800", "x" * 10_000, "NaN",
             "1e999", "${oc.env:HOME}", "\x1b[31m", "[[", "{}", "-0", "٣", "9" * 5000)  # fmt: skip


class Slow(BaseException):
    """A case that took too long."""


@contextmanager
def watched() -> Iterator[None]:
    """End a case that takes too long."""

    def ring(number: int, frame: object) -> None:
        raise Slow

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(LONGEST_S)
    try:
        yield
    finally:
        signal.alarm(0)


def odd_value(pick: random.Random) -> object:
    """Return a value that is not expected at its place."""
    deep: object = []
    for _ in range(pick.choice((3, 40, 900))):
        deep = [deep] if pick.random() < 0.5 else {"a": deep}
    choices = (None, True, 0.5, float("nan"), float("inf"), [], {}, [None] * 50, deep,
               pick.choice(ODD_NUMBERS), pick.choice(ODD_TEXTS))  # fmt: skip
    return pick.choice(choices)


def damaged_json(pick: random.Random, data: bytes, seal: bool) -> bytes:
    """Return a JSON object with an invalid value, sealed again or not."""
    content = json.loads(data.decode(errors="surrogateescape"))
    if seal:
        content.pop("sha256", None)
    for _ in range(pick.choice((1, 1, 1, 2, 5))):
        node, keys = content, []
        while isinstance(node, (dict, list)) and node and (not keys or pick.random() < 0.7):
            keys.append(
                (node, pick.choice(list(node) if isinstance(node, dict) else range(len(node))))
            )
            node = keys[-1][0][keys[-1][1]]
        if not keys:
            return data
        parent, key = keys[-1]
        if pick.random() < 0.2:
            del parent[key]
        else:
            parent[key] = odd_value(pick)
    try:
        text = json.dumps(content)
    except RecursionError:
        text = json.dumps(odd_value(random.Random(0)))
    if pick.random() < 0.1:
        text = text.replace(" ", "9" * 5000, 1)
    return b"".join(sealed(iter([text[:-1].encode()]))) if seal else text.encode()


def damaged_bytes(pick: random.Random, data: bytes, within: int | None = None) -> bytes:
    """Return bytes, some changed, cut off, doubled or set to the limits of numbers."""
    out = bytearray(data)
    for _ in range(pick.choice((1, 1, 2, 8))):
        if not out:
            break
        at = pick.randrange(min(len(out), within or len(out)))
        match pick.randrange(7):
            case 0:
                out[at] ^= 1 << pick.randrange(8)
            case 1:
                del out[at:]
            case 2:
                out[at : at + pick.choice((1, 4, 64, 4096))] = b""
            case 3:
                out[at:at] = out[at : at + pick.choice((1, 4, 64, 4096))]
            case 4:
                size = pick.choice((1, 2, 4, 8, 512))
                out[at : at + size] = pick.choice((b"\0", b"\xff", b"\x80", b"\x7f")) * size
            case 5:
                out[at : at + 4] = struct.pack("<I", pick.choice((1, 2**16, 2**31 - 1, 2**32 - 1)))
            case 6:
                out[at : at + 1] = pick.randbytes(pick.choice((1, 2, 100)))
    return bytes(out)


def damaged_tags(pick: random.Random, data: bytes) -> bytes:
    """A classic TIFF with some entries of its directories changed."""
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return damaged_bytes(pick, data, 4096)
    order = "<" if data[:2] == b"II" else ">"
    out, offset, entries = bytearray(data), struct.unpack_from(f"{order}I", data, 4)[0], []
    for _ in range(20):
        if not 0 < offset < len(data) - 2:
            break
        (count,) = struct.unpack_from(f"{order}H", data, offset)
        entries += range(offset + 2, min(offset + 2 + 12 * count, len(data) - 12), 12)
        offset = struct.unpack_from(f"{order}I", data.ljust(offset + 99), offset + 2 + 12 * count)[
            0
        ]
    for _ in range(pick.choice((1, 1, 2, 4))):
        if not entries:
            break
        at = pick.choice(entries)
        tag, kind, count, value = struct.unpack_from(f"{order}HHII", out, at)
        near = len(data), len(data) - 1, value // 2, min(2 * value, 2**32 - 1)
        number = pick.choice((0, 1, 2, 3, 255, 65535, 2**31 - 1, 2**32 - 1, *near))
        match pick.randrange(4):
            case 0:
                tag = pick.choice(
                    (254, 256, 257, 258, 259, 262, 277, 322, 323, 324, 325, 347, 65535)
                )
            case 1:
                kind = pick.choice((0, 1, 2, 3, 4, 5, 7, 11, 12, 13, 16, 99))
            case 2:
                count = number
            case 3:
                value = number
        struct.pack_into(f"{order}HHII", out, at, tag, kind, count, value)
    return bytes(out)


def damaged_entry(pick: random.Random, data: bytes) -> bytes:
    """Return a cache entry with a correct checksum over invalid content."""
    start = len(cache._MAGIC) + 32
    line, _, body = data[start:].partition(b"\n")
    match pick.randrange(4):
        case 0:
            return damaged_bytes(pick, data)
        case 1:
            index = json.loads(line)
            spot = pick.choice(index)
            spot[pick.randrange(3)] = odd_value(pick)
            if pick.random() < 0.5:
                spot[1] = pick.choice(("|O", "<f8", "|b1", "|u1", "|S9999", "<i8", "<c16", "|V8"))
                spot[2] = [pick.choice((0, 1, 7, 40_000, 2**31, 2**40, -1)) for _ in range(2)]
            try:
                line = json.dumps(index).encode()
            except (RecursionError, ValueError):
                line = b"[" * 5000
        case 2:
            body = isal_zlib.compress(damaged_bytes(pick, isal_zlib.decompress(body)))
        case 3:
            body = isal_zlib.compress(bytes(pick.choice((0, 1, 1 << 20, 1 << 26))))
    content = line + b"\n" + body
    return cache._MAGIC + hashlib.sha256(content).digest() + content


def damaged_table(pick: random.Random, data: bytes) -> bytes:
    """A CSV table with odd cells, rows and quotes."""
    rows = [line.split(",") for line in data.decode(errors="surrogateescape").splitlines()]
    for _ in range(pick.choice((1, 1, 2, 6))):
        row = pick.choice(rows)
        at = pick.randrange(len(row)) if row else 0
        match pick.randrange(5):
            case 0:
                row[at : at + 1] = [pick.choice((*ODD_TEXTS, *map(str, ODD_NUMBERS)))]
            case 1:
                row[at : at + 1] = []
            case 2:
                row.append("more")
            case 3:
                row[at : at + 1] = [pick.choice(('"', '""', '"a"b', "'", ";", "\t", "\r"))]
            case 4:
                rows.insert(pick.randrange(len(rows) + 1), list(pick.choice(rows)))
    text = "\n".join(map(",".join, rows)) + pick.choice(("", "\n", "\n\n"))
    whole = text.encode(errors="surrogatepass")
    return whole if pick.random() < 0.8 else damaged_bytes(pick, whole)


def planted(pick: random.Random, path: Path) -> None:
    """Put a file that is not regular under a name."""
    path.unlink()
    match pick.randrange(4):
        case 0:
            os.mkfifo(path)
        case 1:
            path.symlink_to("/dev/zero")
        case 2:
            path.symlink_to("nowhere")
        case 3:
            path.touch()
            os.truncate(path, pick.choice((0, 1 << 20, 1 << 40)))


@contextmanager
def replaced(pick: random.Random, path: Path, damage: Callable[[bytes], bytes]) -> Iterator[None]:
    """Damage a file within a context."""
    before = path.read_bytes()
    try:
        if pick.random() < 0.05:
            planted(pick, path)
        else:
            path.write_bytes(damage(before))
        yield
    finally:
        path.unlink()
        path.write_bytes(before)


class Fuzz:
    """The damaged files, and the calls that read them.

    Parameters
    ----------
    folder
        For all files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "in").mkdir()
        self.slide = write_demo_slide(folder / "in/painted.svs", Size(900, 700))
        words = ["slides=files", f"slides.paths={folder}/in", "resolution=level", "tile.size=150",
                 "exporter=[csv,json,images]", "exporter.images.link=true"]  # fmt: skip
        self.command("-m", *words, "threshold=0.2,0.6", f"out={folder}/sweep")
        self.jobs = sorted(folder.glob("sweep/threshold*"))
        self.one = self.jobs[0] / "slides/painted"
        self.sweep_id = json.loads((self.jobs[0] / "run.json").read_text())["sweep"]["id"]
        self.record = load_record(self.one)
        self.entries = sorted(folder.glob("sweep/.cache/*"))
        (folder / "table.csv").write_text(
            "path,slide_id,reader.mpp,_note\nin/painted.svs,a,0.5,x\n"
        )
        extractor = TileExtractor(TileSpec(150, resolution=Level(0)), mask_provider=OtsuMask())
        self.job = SlideJob(self.slide, "painted", open_slide, extractor, {},
                            self.record.settings, cache=folder / "cache")  # fmt: skip
        shared_work(self.job, lambda: open_slide(self.slide, name="painted"))

    def command(
        self, *words: str, code: tuple[int, ...] = (0,)
    ) -> subprocess.CompletedProcess[str]:
        """Run the command with little memory and little time."""
        limit = f'ulimit -v {MEMORY // 1024}; exec "$0" -m tiler "$@"'
        done = subprocess.run(["sh", "-c", limit, sys.executable, *words], capture_output=True,
                              text=True, errors="replace", timeout=120, check=False)  # fmt: skip
        assert done.returncode in code, (done.returncode, done.stderr[-2000:])
        assert "Traceback" not in done.stderr, done.stderr[-2000:]
        assert "E_BUG" not in done.stderr, done.stderr[-2000:]
        return done

    def compared(self, pick: random.Random) -> None:
        """Compare two jobs with all options."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            more = ["--csv", f"{self.folder}/compared.csv", "--overlay", f"{self.folder}/overlays"]
            code = compare([*map(str, self.jobs), *(more if pick.random() < 0.1 else [])])
        assert code in (0, 2, 7), (code, err.getvalue()[-2000:])

    def a_record(self, pick: random.Random) -> None:
        """Damage a record."""
        seal = pick.random() < 0.8
        with replaced(pick, self.one / "record.json", lambda data: damaged_json(pick, data, seal)
                      if seal else damaged_bytes(pick, data)):  # fmt: skip
            found = find_done(self.job, self.jobs[0], pick.choice(("size", "hash", "none")))
            assert found.row is None or vars(found.row)
            self.compared(pick)

    def a_run(self, pick: random.Random) -> None:
        """Damage a run.json."""
        path = self.jobs[0] / "run.json"
        damage = damaged_bytes if pick.random() < 0.3 else lambda p, d: damaged_json(p, d, False)
        with replaced(pick, path, lambda data: damage(pick, data)):
            self.compared(pick)
            self.swept()
            with tempfile.TemporaryDirectory() as folder, suppress(ConfigError):
                write_rerun(self.jobs[0], ["threshold=0.3"], Path(folder))

    def swept(self) -> None:
        """End a sweep."""
        jobs = read_jobs(self.folder / "sweep", self.sweep_id, "run.json", tell=len)
        out = self.folder / "tables"
        out.mkdir(exist_ok=True)
        write_sweep(out, jobs, ["threshold"])
        write_contact_sheet(self.folder / "sweep", jobs)

    def a_table(self, pick: random.Random) -> None:
        """Damage a table of slides, of a run or of tiles."""
        names = ("slides.csv", "slides/painted/painted.csv", "slides/painted/painted.json")
        path = pick.choice([*(self.jobs[0] / name for name in names), self.folder / "table.csv"])
        damage = damaged_table
        if path.suffix == ".json":
            damage = damaged_bytes
        with replaced(pick, path, lambda data: damage(pick, data)):
            if path.name == "table.csv":
                if (
                    path.is_file() and path.stat().st_size < MEMORY
                ):  # other files are output that the user requested
                    with suppress(ConfigError):
                        read_table(str(path))
                return
            self.compared(pick)
            self.swept()

    def an_entry(self, pick: random.Random) -> None:
        """Damage an entry of the cache."""
        path = pick.choice(sorted((self.folder / "cache").iterdir()))
        cache._held.clear()
        with replaced(pick, path, lambda data: damaged_entry(pick, data)):
            _, cells = shared_work(self.job, lambda: open_slide(self.slide, name="painted"))
            bounds = open_slide(self.slide).bounds
            assert cells.ratios.shape == (len(cells.y), len(cells.x))
            assert ((cells.ratios >= 0) & (cells.ratios <= 1)).all()
            assert cells.x.max(initial=0) + 150 <= bounds.width
            assert cells.y.max(initial=0) + 150 <= bounds.height
        path = pick.choice(self.entries)
        with replaced(pick, path, lambda data: damaged_entry(pick, data)):
            cache._held.clear()
            self.swept()
            self.compared(pick)

    def slides(self, pick: random.Random) -> None:
        """Damage many slides, and run the command on them."""
        shutil.rmtree(self.folder / "bad", ignore_errors=True)
        (self.folder / "bad").mkdir()
        sources = self.sources()
        for number in range(SLIDES_AT_ONCE):
            path = pick.choice(sources)
            data = path.read_bytes()
            if path.suffix in (".svs", ".tiff") and pick.random() < 0.6:
                data = damaged_tags(pick, data)
            else:
                data = damaged_bytes(pick, data, pick.choice((64, 1024, 1 << 16, None)))
            (self.folder / f"bad/{number:03}{path.suffix}").write_bytes(data)
        out = self.folder / "bad_out"
        shutil.rmtree(out, ignore_errors=True)
        edge = pick.choice(("drop", "pad"))
        self.command(
            "slides=files", f"slides.paths={self.folder}/bad/*", "resolution=level",
            "tile.size=100", f"tile.edge={edge}", "threshold=0.1", "exporter=[csv,images]",
            "exporter.images.extension=jpg", f"reader={pick.choice(('auto', 'openslide'))}",
            "reader.max_pixels=100000000", "engine=processes", "engine.workers=2",
            "engine.timeout=20", f"out={out}", code=(0, 3),
        )  # fmt: skip

    def sources(self) -> list[Path]:
        """Small slides of all kinds."""
        made = self.folder / "sources"
        if not made.is_dir():
            made.mkdir()
            pixels = np.random.default_rng(1).integers(0, 255, (260, 340, 3), np.uint8)
            picture = Image.fromarray(pixels).resize((340, 260))
            for name in ("a.jpg", "a.png", "strips.tiff", "a.jp2"):
                picture.save(made / name)
            picture.save(made / "progressive.jpg", progressive=True)
            picture.save(made / "lzw.tiff", compression="tiff_lzw")
            write_demo_slide(made / "painted.svs", Size(600, 500))
            for name in ("small.svs", "boxes.tiff", "boxes_0.dcm"):
                if (SHARED / name).is_file():
                    shutil.copy(SHARED / name, made)
        return sorted(made.iterdir())

    def whole_runs(self, pick: random.Random) -> None:
        """Damage the files that a run finds, and run the command."""
        job = self.jobs[0]
        paths = [job / "run.json", self.one / "record.json", job / "slides.csv", *self.entries]
        path = pick.choice(paths)
        before = path.read_bytes()
        damage = damaged_entry if path.suffix == ".arrays" else damaged_bytes
        if path.suffix == ".json" and pick.random() < 0.7:
            seal = path.name == "record.json"
            damage = partial(damaged_json, seal=seal)
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.folder / "sweep", copy)
        damaged = copy / path.relative_to(self.folder / "sweep")
        damaged.write_bytes(damage(pick, before))
        if pick.random() < 0.5:
            self.command("--rerun", str(copy / job.name), code=(0, 2, 3, 5))
            return
        kept = damaged.read_bytes() if is_foreign(copy / job.name) else None
        self.command(
            "slides=files", f"slides.paths={self.folder}/in", "resolution=level",
            "tile.size=150", "exporter=[csv,json,images]", "threshold=0.2",
            f"out='{copy / job.name}'", f"cache={copy}/.cache",
            code=(0, 3) if kept is None else (2,),
        )  # fmt: skip
        assert kept is None or damaged.read_bytes() == kept


def is_foreign(out: Path) -> bool:
    """Return whether a file with a name of a run's could be another's: no run may replace it."""
    try:
        refuse_foreign_files(out)
    except ConfigError:
        return True
    return False


FAST = ("a_record", "a_run", "a_table", "an_entry")
SLOW = ("slides", "whole_runs")


def main(arguments: list[str] | None = None) -> int:
    """Fuzz for some seconds; the exit code is 1 after a failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rounds", type=int, default=None, help="stop after so many")
    parser.add_argument("--only", choices=[*FAST, *SLOW], default=None)
    options = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(10**9) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
    folder = Path(tempfile.mkdtemp(prefix="tiler-fuzz-"))
    started, counts = time.monotonic(), dict.fromkeys([*FAST, *SLOW], 0)
    fuzz = Fuzz(folder)
    number = 0
    while time.monotonic() - started < options.seconds and number != options.rounds:
        # Each kind gets its turn; those that start a command one in forty.
        slow, usual = SLOW[number // 40 % len(SLOW)], FAST[number % len(FAST)]
        name = options.only or (slow if number % 40 == 20 else usual)
        pick = random.Random(f"{seed} {number}")
        try:
            with watched() if name in FAST else nullcontext():  # commands have their own limit
                getattr(fuzz, name)(pick)
        except (Exception, Slow) as error:
            print(f"seed {seed}, round {number} ({name}): {type(error).__name__}; {folder} stays")
            traceback.print_exc()
            return 1
        counts[name] += 1
        number += 1
    shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(counts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
