"""Fixtures of all tests: the real slides if they exist, and slides from arrays."""

from __future__ import annotations

import os

# Before numpy is loaded: its threads wait for each other busily on a machine that others use.
# Gain: 2 CPU seconds instead of 14 for the real slides in test_extractor.py.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import gc
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import hydra
import numpy as np
import pytest
from browser import Opener, chromium
from forks import parse_once
from hypothesis import settings

from tiler.config.command.folder import conf_folder
from tiler.errors import ReadError
from tiler.geometry import Box, Size
from tiler.readers.base import Facts, LevelReader
from tiler.slides.demo import demo_slide

# The same examples on every run, the first quarter of them in `make test`;
# `pytest --hypothesis-profile=explore` looks for new ones.
settings.register_profile("tiler", derandomize=True, deadline=None, max_examples=80)
settings.register_profile("quick", derandomize=True, deadline=None, max_examples=20)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile("tiler")


def pytest_configure() -> None:
    """Restore the handlers of SIGINT and SIGHUP, which a background shell or nohup ignores.

    Commands of tests would inherit this, and would not end on the signals that tests send.
    """
    met = {"SIGINT": signal.default_int_handler, "SIGHUP": signal.SIG_DFL}
    for name, handler in met.items():
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_sessionstart() -> None:
    """Let each of several processes begin with other modules of tests.

    The first one to import a module rewrites its assertions for all: without this, each process
    would rewrite all of them in a new checkout, which is two thirds of the collection.
    """
    name, count = (os.environ.get(f"PYTEST_XDIST_{what}") for what in ("WORKER", "WORKER_COUNT"))
    if name and count:
        modules = sorted(path.stem for path in Path(__file__).parent.glob("test_*.py"))
        for module in modules[int(name.removeprefix("gw")) :: int(count)]:
            with suppress(Exception, pytest.skip.Exception):  # the collection reports them
                import_module(module)


def pytest_collection_finish() -> None:
    """Leave the thousands of tests out of garbage collections: a twentieth of the time."""
    gc.collect()
    gc.freeze()


def pytest_xdist_auto_num_workers() -> int:
    """Use two processes more than there are cores: some tests mostly wait, also for a browser."""
    return (os.cpu_count() or 1) + 2


@pytest.fixture(scope="session")
def parsed_conf() -> None:
    """Parse tiler's and Hydra's own files once for the compositions in this process."""
    parse_once(conf_folder())
    parse_once(Path(hydra.__file__).with_name("conf"))


SLIDES = Path(__file__).resolve().parents[2] / "shared" / "slides"


@pytest.fixture(scope="session")
def shared_slides() -> Path:
    """Return the folder of real slides beside the project; skip the test if it is missing."""
    if not SLIDES.is_dir():
        pytest.skip(f"the real slides are not here: no folder {SLIDES}")
    return SLIDES


@pytest.fixture(scope="session")
def demo_svs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the demo slide, which the first process that needs it draws for all. Read only."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    return demo_slide(str(folder / "demo-slide"))[0].path


class ArrayReader(LevelReader):
    """A slide in memory.

    Parameters
    ----------
    *levels
        uint8 (h, w, 3) for each level, finest first.
    downsamples
        Of each level; the mean of the two axes if None, as OpenSlide has it.
    bounds
        (x, y, width, height) in level-0 pixels; the whole slide if None.
    broken
        Level-0 pixels (x, y): a read that touches one of them fails.

    ``reads`` collects (location, shape, resolution, bounded) of each ``read_region``.
    """

    def __init__(
        self,
        *levels: np.ndarray,
        downsamples: Sequence[float] | None = None,
        bounds: tuple[int, int, int, int] | None = None,
        mpp: float | None = None,
        magnification: float | None = None,
        background: tuple[int, int, int] = (255, 255, 255),
        name: str = "fake",
        allow_upsampling: bool = False,
        broken: Sequence[tuple[int, int]] = (),
    ) -> None:
        sizes = tuple(Size(level.shape[1], level.shape[0]) for level in levels)
        width, height = sizes[0]
        if downsamples is None:
            downsamples = [(width / w + height / h) / 2 for w, h in sizes]
        facts = Facts(
            level_dimensions=sizes,
            level_downsamples=tuple(float(d) for d in downsamples),
            bounds=Box(*(bounds or (0, 0, width, height))),
            mpp=mpp,
            magnification=magnification,
            provenance={"mpp": "set by the test", "magnification": "set by the test"},
            properties={},
            background=background,
        )
        super().__init__(Path(f"{name}.svs"), None, facts, allow_upsampling)
        self.levels = levels
        self.broken = tuple(broken)
        self.reads: list[tuple] = []
        self.closed = False

    def read_region(self, location, shape, resolution, bounded=True):
        self.reads.append((tuple(location), tuple(shape), resolution, bounded))
        return super().read_region(location, shape, resolution, bounded)

    def close(self) -> None:
        self.closed = True

    def _read_level(self, level, x, y, size):
        pixels = self.levels[level]
        height, width = pixels.shape[:2]
        downsample = self.level_downsamples[level]
        for bad_x, bad_y in self.broken:
            if (
                x <= bad_x / downsample < x + size.width
                and y <= bad_y / downsample < y + size.height
            ):
                raise ReadError(self.name, f"broken at ({bad_x}, {bad_y})", level, x, y)
        ys, xs = np.arange(y, y + size.height), np.arange(x, x + size.width)
        inside = ((ys >= 0) & (ys < height))[:, None] & ((xs >= 0) & (xs < width))[None, :]
        found = pixels[np.clip(ys, 0, height - 1)][:, np.clip(xs, 0, width - 1)]
        return np.where(inside[..., None], found, np.array(self.facts.background, np.uint8))


@pytest.fixture(scope="session")
def fake_reader() -> type[ArrayReader]:
    """A function for in-memory readers: ``fake_reader(level0, level1, bounds=…, mpp=…)``."""
    return ArrayReader


def coordinates(width: int, height: int) -> np.ndarray:
    """Return a picture of coded pixels: uint8 (height, width, 3), see ``decoded``."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x & 255, y & 255, (x >> 8) << 4 | (y >> 8)], axis=2).astype(np.uint8)


@pytest.fixture(scope="session")
def coded_slide():
    """``coded_slide(width, height)``: pixel (x, y) is (x & 255, y & 255, x >> 8 | y >> 8)."""
    return coordinates


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of lopsided slides, one of them with several blocks, and their run."""
    from command import tiler
    from test_dataset import BASE, write_slide

    folder = tmp_path_factory.mktemp("streamed")
    sizes = [(1000, 150), (70, 200), (260, 700), (100, 90)]
    for number, size in enumerate(sizes):
        write_slide(folder / f"s{number}.tiff", number, *size)
    paths = ",".join(f"s{number}.tiff" for number in range(len(sizes)))
    words = [*BASE, f"slides.paths=[{paths}]", "reader.mpp=1", "resolution=mpp",
             "resolution.value=1", "tile.size=[64,48]", "threshold=0", "out=out",
             "exporter=[csv]", "exporter.csv.file=null"]  # fmt: skip
    done = tiler(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """Return a running Chromium; skip the test if it is missing.

    Not of the whole session: Playwright runs an event loop, in which other tests would be.
    """
    with chromium() as started:
        yield started


@pytest.fixture
def opened(browser: object) -> Iterator[Opener]:
    """Return a function that opens a file in the browser; no page may do what the guard forbids."""
    opener = Opener(browser)
    yield opener
    opener.close()
    assert opener.faults == []


@pytest.fixture(scope="session")
def three_slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of three small slides of reports. Read only."""
    from test_report_run import NAMES, slide

    folder = tmp_path_factory.mktemp("slides")
    for number, name in enumerate(NAMES):
        slide(folder, f"{name}.tiff", number)
    return folder


@pytest.fixture
def beside_slides(three_slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder, with links to the three slides of reports."""
    for path in three_slides.iterdir():
        os.link(path, tmp_path / path.name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # the machine does not crash here
    return tmp_path
