"""In any folder, tiler changes no file that it did not write, and no finished file without notice.

Trees are generated: sources, files and links of a user, copies and edits of tiler's own files, and
runs with other settings and exporters, some of them interrupted.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tiler import Magnification, TileExtractor, TileSpec, open_slide
from tiler.errors import TilerError
from tiler.exporters import CsvExporter, ImagesExporter, JsonExporter
from tiler.files import write_whole
from tiler.protocols import Exported, WSIReader
from tiler.runner.engines import SerialEngine
from tiler.runner.limits import Limits
from tiler.runner.run import run
from tiler.runner.signals import Interrupted
from tiler.runner.stock import Policy
from tiler.runner.store.record_file import read_record
from tiler.runner.work.job import SlideJob, SlideRow
from tiler.runner.work.tiles import journal
from tiler.written import WrittenFile

SLIDES = ("a", "b")
OUTS = ("out", "deep/out", ".", "slides")
MASK = np.array([[1, 1, 0, 0], [1, 0, 0, 1]], bool)

Files = dict[str, bytes | str | None]
"""By path: a file's bytes, where a link leads to, None for a folder."""


@dataclass(frozen=True)
class Notes:
    """A user's exporter."""

    word: str = "x"
    per_tile = False

    def export(self, source, regions, mask, folder) -> Exported:
        size, sha256 = write_whole(folder / "notes.txt", f"{self.word} {len(regions)}".encode())
        return Exported((WrittenFile("notes.txt", size, sha256),))


@dataclass(frozen=True)
class Tree:
    """An exporter of tiler's kind whose files are also in a tree below ``out``, with a table."""

    option: int = 0
    per_tile = False
    run_names = ("tree/", "all.txt")

    def export(self, source, regions, mask, folder) -> Exported:
        name = f"{source.name}.h5"
        text = f"{self.option} {len(regions)}".encode()
        return Exported((WrittenFile(name, *write_whole(folder / name, text)),))

    def run_links(self, slide) -> dict[str, str]:
        return {f"tree/{self.option}/{slide.slide_id}.h5": f"{slide.slide_id}.h5"}

    def run_files(self, slides) -> dict[str, list[bytes]]:
        return {"all.txt": [f"{slide.slide_id} {slide.kept}\n".encode() for slide in slides]}


@dataclass(frozen=True)
class Run:
    """A run, and the number of tiles after which it is interrupted."""

    out: str = "out"
    slides: tuple[str, ...] = SLIDES
    exporters: tuple[str, ...] = ("csv", "images")
    threshold: float = 0.0
    size: int = 40
    option: int = 0
    verify: str = "size"
    on_change: str = "redo"
    max_replaced: int | None = None
    stops: int = 10**9


def exporters_of(step: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """The exporters of a run, and their settings."""
    made = {
        "csv": (CsvExporter(), {}),
        "json": (JsonExporter(indent=step.option), {"indent": step.option}),
        "images": (
            ImagesExporter(threads=1, compression=step.option),
            {"compression": step.option},
        ),
        "notes": (Notes("xy"[step.option]), {"word": "xy"[step.option]}),
        "tree": (Tree(step.option), {"option": step.option}),
    }
    return (
        {name: made[name][0] for name in step.exporters},
        {name: made[name][1] for name in step.exporters},
    )


def job_of(path: Path, step: Run, stops: Stops) -> SlideJob:
    exporters, own = exporters_of(step)
    spec = TileSpec(step.size, step.size, Magnification(20))
    extractor = TileExtractor(spec, MASK, mask_threshold=step.threshold)
    shaping = {"threshold": step.threshold, "size": step.size, "exporter": own}
    return SlideJob(path, path.stem, stops, extractor, exporters, shaping)


@dataclass
class Stops:
    """A reader that interrupts the run after a number of tiles."""

    after: int

    def __call__(self, path: Path, *, name: str | None = None) -> WSIReader:
        reader = open_slide(path, name=name, magnification=20)
        reader.read_region = partial(self._read, reader.read_region)
        return reader

    def _read(self, read, location, shape, resolution, bounded=True):
        if self.after <= 0:
            raise Interrupted(130)
        self.after -= shape != (1, 1)
        return read(location, shape, resolution, bounded)


def look(root: Path) -> Files:
    """Return all paths below a folder."""
    found: Files = {}
    for place, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(place, name)
            key = path.relative_to(root).as_posix()
            if path.is_symlink():
                found[key] = str(path.readlink())
            else:
                found[key] = None if path.is_dir() else path.read_bytes()
    return found


class Said(logging.Handler):
    """The log lines of a run, and the files that existed when it announced a replacement."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self.redone: dict[str, str] = {}
        self.removed: set[str] = set()
        self.before: Files | None = None

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if found := re.match(r"slide=(\S+) to be redone: (.*)", text):
            self.redone[found[1]] = found[2]
        elif text.startswith("replaces "):
            self.before = look(self.root)
            if gone := re.search(r"also removes the files of (.*), which this run", text):
                self.removed |= set(gone[1].split(", "))


@dataclass
class World:
    """A folder with a user and tiler in it.

    Attributes
    ----------
    root
        The folder.
    mine
        What the user put there, or changed.
    """

    root: Path
    mine: Files = field(default_factory=dict)

    def put(self, path: str, content: bytes | str | None) -> None:
        """Create a file, a link or a folder as the user."""
        place = self.root / path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_dir() and not place.is_symlink():
                return
            place.unlink(missing_ok=True)
            if content is None:
                place.mkdir()
            elif isinstance(content, str):
                place.symlink_to(content)
            else:
                place.write_bytes(content)
        except (FileExistsError, NotADirectoryError):  # a file is where a folder would be
            return
        self.note(path)

    def note(self, path: str) -> None:
        """Register a path of the user's, and all paths in it."""
        place = self.root / path
        if place.is_dir() and not place.is_symlink():
            self.mine[path] = None
            self.mine |= {f"{path}/{name}": value for name, value in look(place).items()}
        elif os.path.lexists(place):
            link = place.is_symlink()
            self.mine[path] = str(place.readlink()) if link else place.read_bytes()

    def theirs(self) -> list[str]:
        """Return the files of slides that tiler wrote, in a stable order."""
        return sorted(
            path
            for path, content in look(self.root).items()
            if isinstance(content, bytes) and slide_of(path) and path not in self.mine
        )

    def forget(self, path: str) -> None:
        """Remove a path as the user."""
        place = self.root / path
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
        self.mine = {
            k: v for k, v in self.mine.items() if k != path and not k.startswith(f"{path}/")
        }


def slide_of(path: str) -> tuple[str, str] | None:
    """Return the out and the slide of a path below ``slides``."""
    found = re.match(r"(?:(.*)/)?slides/([^/]+)/", path)
    return ((found[1] or "."), found[2]) if found else None


def check_run(world: World, step: Run) -> None:
    """Run, and check the laws on the result."""
    before = look(world.root)
    records = {
        out: {name: read_record(world.root / out / "slides" / name) for name in SLIDES}
        for out in OUTS
    }
    said, logger = Said(world.root), logging.getLogger("tiler")
    logger.addHandler(said)
    rows: tuple[SlideRow, ...] = ()
    stops = Stops(step.stops)
    jobs = [job_of(world.root / f"slides/{name}.tiff", step, stops) for name in step.slides]
    code = None
    try:
        policy = Policy(step.verify, step.on_change)
        limits = Limits(max_replaced=step.max_replaced)
        result = run(jobs, world.root / step.out, SerialEngine(), {}, policy, limits)
        rows, code = result.rows, result.exit_code
    except TilerError as error:
        code = error.exit_code
    finally:
        logger.removeHandler(said)
    after = look(world.root)

    assert {path: after.get(path, "gone") for path in world.mine} == world.mine
    changed = {path for path, content in before.items() if after.get(path, "gone") != content}
    lost = {path for path in changed if before[path] is not None and slide_of(path)} - set(
        world.mine
    )
    lost = {path for path in lost if not path.endswith("/record.json")}
    for path in lost:
        out, name = slide_of(path)
        assert out == step.out, f"{path} is of another run"
        assert said.before is not None, f"{path}: nothing was said"
        assert name in said.redone, f"{path}: not announced"
        assert said.before[path] == before[path], f"{path} was gone when it was said"
        record = records[out][name]
        (exporter,) = (
            exporter
            for exporter, files in record.exporters.items()
            if path.partition(f"slides/{name}/")[2] in {file.name for file in files}
        )
        named = set(re.findall(r"exporter\.(\w+)", said.redone[name]))
        parts = said.redone[name].split("; ")
        if all("exporter." in part or " is missing" in part for part in parts):
            damaged = any(" is missing" in part for part in parts)
            assert exporter in named | said.removed or damaged, f"{path} of {exporter} is gone"
        if exporter not in step.exporters:
            assert exporter in said.removed
    if code in (2, 5):
        assert not lost
    for row in rows:
        check_slide(world, step, row, before, after)
    if "tree" in step.exporters and code in (0, 3):
        check_products(world, step, rows, code, after)


def check_products(
    world: World, step: Run, rows: Sequence[SlideRow], code: int, after: Files
) -> None:
    """Check that the products of a run are those of its finished slides and nothing else."""
    out = "" if step.out == "." else f"{step.out}/"
    ids = {row.slide_id: row.kept for row in rows if row.output == "current"}
    tree = f"{out}tree/{step.option}"
    links: Files = {f"{tree}/{name}.h5": f"../../slides/{name}/{name}.h5" for name in ids}
    table = "".join(f"{name} {kept}\n" for name, kept in ids.items()).encode()
    expected: Files = {**links, f"{out}all.txt": table}

    def is_free(path: str) -> bool:
        above = [path, *(str(parent) for parent in Path(path).parents)]
        return path not in world.mine and not any(world.mine.get(one) for one in above)

    assert code == 3 or all(map(is_free, expected))
    assert {path: after[path] for path in filter(is_free, expected)} == {
        path: content for path, content in expected.items() if is_free(path)
    }
    there = {path for path, content in after.items() if content is not None}
    theirs = {path for path in there - world.mine.keys() if path.startswith(f"{out}tree/")}
    assert theirs == set(filter(is_free, links))


def check_slide(world: World, step: Run, row: SlideRow, before: Files, after: Files) -> None:
    """Check that a finished slide equals that of a fresh run, and that a kept one is unchanged."""
    below = f"{step.out}/slides/{row.slide_id}/".removeprefix("./")
    now = {path.removeprefix(below): v for path, v in after.items() if path.startswith(below)}
    if row.output == "current":
        record = read_record(world.root / step.out / "slides" / row.slide_id)
        assert record is not None
        files = {path for path, content in now.items() if isinstance(content, bytes)}
        listed = {file.name for file in record.files}
        theirs = {path for path in files if f"{below}{path}" not in world.mine}
        assert theirs - listed == {"record.json"} or f"{below}record.json" in world.mine
        expected = fresh(world, step, row.slide_id)
        for name in step.exporters:
            for file in record.exporters[name]:
                if f"{below}{file.name}" not in world.mine:
                    assert now[file.name] == expected[file.name]
        assert {file.name for name in step.exporters for file in record.exporters[name]} == set(
            expected
        )
    else:
        earlier = {
            path.removeprefix(below): v for path, v in before.items() if path.startswith(below)
        }
        assert now == earlier
        assert row.status in ("failed", "interrupted")


FRESH: dict[object, dict[str, bytes]] = {}
ELSEWHERE: list[Path] = []


def fresh(world: World, step: Run, name: str) -> dict[str, bytes]:
    """Return the output of a run over a slide into an empty folder, computed once."""
    source = world.root / f"slides/{name}.tiff"
    shaping = (step.exporters, step.threshold, step.size, step.option)
    key = name, source.read_bytes(), shaping
    if key not in FRESH:
        out = ELSEWHERE[0] / str(len(FRESH))
        run(
            [job_of(source, Run(*("out", SLIDES), *shaping), Stops(10**9))], out, SerialEngine(), {}
        )
        tree = look(out / "slides" / name)
        FRESH[key] = {k: v for k, v in tree.items() if isinstance(v, bytes) and k != "record.json"}
    return FRESH[key]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files of slides: two, one to take the place of another, and one that is cut off."""
    ELSEWHERE.append(tmp_path_factory.mktemp("fresh"))
    folder, found = tmp_path_factory.mktemp("sources"), {}
    for number, name in enumerate((*SLIDES, "other")):
        pixels = np.random.default_rng(number).integers(0, 256, (120, 160, 3), dtype=np.uint8)
        tifffile.imwrite(folder / name, pixels, tile=(64, 64), photometric="rgb")
        found[name] = (folder / name).read_bytes()
    return {**found, "cut": found["a"][:500], "empty": b""}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_EVERY_S", 0)
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # nothing crashes here
    monkeypatch.setattr("tiler.runner.work.finish.sync_tree", lambda folder, size: None)


RUNS = st.builds(
    Run,
    out=st.sampled_from(OUTS[:2] * 4 + OUTS),
    slides=st.sampled_from([SLIDES, SLIDES, ("a",)]),
    exporters=st.lists(
        st.sampled_from(["csv", "json", "images", "notes", "tree", "tree"]),
        min_size=1,
        max_size=3,
        unique=True,
    ).map(tuple),
    threshold=st.sampled_from([0.0, 0.5]),
    size=st.sampled_from([40, 40, 30]),
    option=st.integers(0, 1),
    verify=st.sampled_from(["size", "hash", "none"]),
    on_change=st.sampled_from(["redo", "redo", "redo", "refuse"]),
    max_replaced=st.sampled_from([None, None, None, 0, 5]),
    stops=st.sampled_from([10**9, 10**9, 10**9, 0, 3, 15]),
)
NAMES = ["notes.txt", "mine/x", "tiles/x.pt", "record.json", "a.csv", ".hidden"]
PLACES = st.builds(
    lambda out, below: f"{out}/{below}".removeprefix("./"),
    st.sampled_from(OUTS[:2]),
    st.sampled_from(
        [
            *(f"slides/{slide}/{name}" for slide in SLIDES for name in NAMES),
            *("slides/a", "slides/n.txt", "n.txt", "run.json", "slides.csv", ".partial/x/y"),
            *(".cache/k.arrays", "events.jsonl", ".lock", "slides", ".stale/a/x"),
            *("tree", "tree/0", "tree/1/a.h5", "tree/0/b.h5", "tree/0/x", "all.txt"),
        ]
    ),
) | st.sampled_from(["slides/a/x", "slides/n.txt", "slides/a.csv", "run.json", "n.txt"])
CONTENTS = st.sampled_from([b"", b"mine", b"mine " * 99, "elsewhere", "../slides", None])
STEPS = st.one_of(
    RUNS,
    RUNS,
    st.tuples(st.just("put"), PLACES, CONTENTS),
    st.tuples(st.just("edit"), st.integers(0, 99)),
    st.tuples(st.just("delete"), st.integers(0, 99)),
    st.tuples(st.just("copy"), st.sampled_from(["a", "b", "c"]), st.sampled_from(["a", "b"])),
    st.tuples(
        st.just("source"),
        st.sampled_from(SLIDES),
        st.sampled_from(["a", "b", "other", "cut", "empty", "gone"]),
    ),
    st.tuples(st.just("forget"), st.integers(0, 99)),
)


@settings(
    max_examples=settings().max_examples // 4,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(STEPS, min_size=2, max_size=7))
@example([Run(), ("put", "out/slides/a/notes.txt", b"mine"), Run(threshold=0.5), Run(size=30)])
@example([Run(exporters=("csv", "images")), Run(exporters=("csv",)), Run(exporters=("json",))])
@example([Run(), ("source", "a", "gone"), Run(threshold=0.5), ("source", "a", "a"), Run(option=1)])
@example([Run(), ("copy", "a", "b"), Run(size=30), ("edit", 3), Run(threshold=0.5)])
@example([("put", "slides/a/x", b"mine"), Run(out="."), Run(out="slides")])
@example([Run(exporters=("tree",)), ("put", "out/tree/0/a.h5", b"mine"), Run(exporters=("tree",))])
@example([Run(exporters=("tree",)), ("put", "out/tree/0/b.h5", "x"), Run(exporters=("tree",))])
@example([("put", "out/tree/1", "../../elsewhere"), Run(exporters=("tree",), option=1)])
@example([Run(exporters=("tree",)), Run(exporters=("tree",), slides=("a",), option=1)])
@example([Run(), Run(threshold=0.5, stops=3), Run(threshold=0.5), Run(option=1, stops=15), Run()])
def test_no_user_file_changes_and_no_finished_file_without_notice(
    sources: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, steps: list
) -> None:
    world = World(tmp_path_factory.mktemp("world"))
    for name in SLIDES:
        world.put(f"slides/{name}.tiff", sources[name])
    world.put("elsewhere", None)
    world.put("elsewhere/notes", b"mine")
    for number, step in enumerate(steps):
        match step:
            case Run():
                check_run(world, step)
            case ("put", path, content):
                world.put(path, content)
            case ("edit", index) if theirs := world.theirs():
                path = theirs[index % len(theirs)]
                size = (world.root / path).stat().st_size
                (world.root / path).write_bytes(b"e" * (size + 1 + number))
                world.note(path)
            case ("delete", index) if theirs := world.theirs():
                (world.root / theirs[index % len(theirs)]).unlink()
            case ("copy", target, source):
                old, new = (world.root / "out/slides" / name for name in (source, target))
                if old.is_dir() and not old.is_symlink() and not os.path.lexists(new):
                    shutil.copytree(old, new, symlinks=True)
                    world.note(new.relative_to(world.root).as_posix())
            case ("source", name, "gone"):
                world.forget(f"slides/{name}.tiff")
            case ("source", name, what):
                world.put(f"slides/{name}.tiff", sources[what])
            case ("forget", index):
                own = sorted({*world.mine} - {f"slides/{name}.tiff" for name in SLIDES})
                if own:
                    world.forget(own[index % len(own)])
