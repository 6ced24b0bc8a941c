"""Users' components: a failure names its line and fails only its slide."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from command import complaint, read_csv, tiler
from tracked import COMMON, picture

from tiler import Level, TileExtractor, TileSpec
from tiler.checks.error_places import foreign_packages, raised_at
from tiler.runner.engines import ProcessEngine
from tiler.runner.reporting.tracking import Guarded
from tiler.runner.work.job import SlideJob
from tiler.runner.work.tasks import PlanTask

HERE = Path(__file__).parent
LAB = '''\
"""Components of a laboratory, one per way to fail."""

import threading

import numpy as np

from tiler.exporters import CsvExporter
from tiler.readers import ImageReader
from tiler.runner.engines import SerialEngine


class Mask:
    def __init__(self, how="", **settings):
        self.how = how
        if how == "constructor":
            raise KeyError("no such model")

    def generate(self, source):
        if source.name != "bad":
            return np.ones((2, 3), bool)
        if self.how == "numpy":
            return np.ones(3).reshape(2, 2)
        if self.how == "file":
            return open("weights.bin")
        if self.how == "two lines":
            raise RuntimeError("first\\nsecond")
        if self.how == "tiler":
            return source.thumbnail((0, 0))
        if self.how == "exit":
            raise SystemExit("no licence")
        assert False


class Exporter(CsvExporter):
    def export(self, source, regions, mask, folder):
        if source.name == "bad":
            return {}["bad"]
        return super().export(source, regions, mask, folder)


class OnlyEncodes(CsvExporter):
    per_tile = True

    def encoded(self, pixels):
        return b""


class Silent(CsvExporter):
    def export(self, source, regions, mask, folder):
        if source.name != "bad":
            return super().export(source, regions, mask, folder)


class Reader(ImageReader):
    def _read_level(self, level, x, y, size):
        if self.name == "bad":
            raise LookupError("no scanner")
        return super()._read_level(level, x, y, size)


def closed(path, name=None, **settings):
    if "bad" in str(path):
        raise PermissionError(13, "no key")
    return ImageReader(path, name=name)


def nothing(path, name=None, **settings):
    return None if "bad" in str(path) else ImageReader(path, name=name)


class Locked(Mask):
    def __init__(self, **settings):
        self.lock = threading.Lock()
        self.how = "numpy"


class Homesick(Mask):
    def __setstate__(self, state):
        raise RuntimeError("not in a worker")

    def __getstate__(self):
        return {"how": ""}


class Listing(Mask):
    def inputs(self, name):
        raise KeyError("no table")


class Engine(SerialEngine):
    def next(self):
        raise RuntimeError("no cluster")


class Tracker:
    def start(self, name, parameters, parent):
        raise ConnectionError("no server")


class Exports:
    def __init__(self, **settings):
        pass


class Floats(ImageReader):
    def read_region(self, location, shape, resolution, bounded=True):
        pixels = super().read_region(location, shape, resolution, bounded)
        return pixels / 255 if self.name == "bad" else pixels


class Smaller(ImageReader):
    def thumbnail(self, size):
        pixels = super().thumbnail(size)
        return pixels[1:] if self.name == "bad" else pixels
'''
SLIDES = ("slides=files", "slides.paths=[bad.png,good.png]", *COMMON[2:])
MASK = "mask._target_=lab.Mask"


@pytest.fixture
def lab(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/lab.py").write_text(LAB)
    for name in ("bad.png", "good.png"):
        picture(tmp_path, name)
    path = os.pathsep.join([str(tmp_path / "code"), str(HERE.parent)])
    return {"TILER_TARGETS": "lab", "PYTHONPATH": path}


def line_of(words: str) -> int:
    return next(n for n, line in enumerate(LAB.splitlines(), 1) if words in line)


@pytest.mark.parametrize(
    ("words", "message", "line"),
    [
        ([MASK, "+mask.how=numpy"], "ValueError: cannot reshape", "reshape(2, 2)"),
        ([MASK, "+mask.how=file"], "FileNotFoundError: [Errno 2]", "weights.bin"),
        ([MASK, "+mask.how=two lines"], "RuntimeError: first second (", "first\\n"),
        ([MASK, "+mask.how=tiler"], "ConfigError: thumbnail size=(0, 0)", "(0, 0)"),
        ([MASK, "+mask.how=exit"], "SystemExit: no licence", "no licence"),
        ([MASK], "AssertionError (", "assert False"),
        (["exporter.csv._target_=lab.Exporter"], "KeyError: 'bad'", '{}["bad"]'),
        (["reader=image", "reader._target_=lab.Reader"], "LookupError: no scanner", "no scanner"),
        (["reader=image", "reader._target_=lab.closed"], "PermissionError: [Errno 13] no key",
         "no key"),
    ],
)  # fmt: skip
def test_an_error_of_a_users_component_fails_its_slide(
    tmp_path: Path, lab: dict[str, str], words: list[str], message: str, line: str
) -> None:
    done = tiler(*SLIDES, *words, "out=out", cwd=tmp_path, env=lab)
    assert done.returncode == 3, done.stderr
    rows = {row["slide_id"]: row for row in read_csv(tmp_path / "out/slides.csv")}
    assert rows["good"]["status"] == "done"
    reason = rows["bad"]["reason"]
    assert reason.startswith(f"E_COMPONENT slide=bad: {message}")
    assert f"(lab.py:{line_of(line)}, in " in reason
    assert reason.endswith("; correct this component")
    assert str(tmp_path) not in reason
    assert "Traceback" not in done.stderr
    assert "bug in tiler" not in done.stderr


@pytest.mark.slow
def test_workers_report_the_same_reason(tmp_path: Path, lab: dict[str, str]) -> None:
    for how in ("numpy", "exit"):
        for engine in ("serial", "processes"):
            words = [MASK, f"+mask.how={how}", f"engine={engine}", f"out={how}-{engine}"]
            assert tiler(*SLIDES, *words, cwd=tmp_path, env=lab).returncode == 3
        reasons = [
            read_csv(tmp_path / f"{how}-{engine}/slides.csv")[0]["reason"]
            for engine in ("serial", "processes")
        ]
        assert reasons[0] == reasons[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["exporter.csv._target_=lab.Silent"],
         "lab.Silent.export returned None (NoneType); return tiler.protocols.Exported"),
        (["reader=image", "reader._target_=lab.nothing"],
         "lab.nothing returned None (NoneType); return a WSIReader"),
        (["reader=image", "reader._target_=lab.Floats", "exporter=[images]"],
         "lab.Floats.read_region returned an array of float64 and shape (16, 16, 3); return uint8"),
        (["reader=image", "reader._target_=lab.Smaller", "mask=hsv", "threshold=0"],
         "lab.Smaller.thumbnail returned an array of uint8 and shape (63, 96, 3); return uint8"),
        (["reader=image", "reader._target_=lab.Smaller", "exporter=[overview]"],
         "lab.Smaller.thumbnail returned an array of uint8 and shape (63, 96, 3); return uint8"),
    ],
)  # fmt: skip
def test_a_component_that_returns_something_else_is_named(
    tmp_path: Path, lab: dict[str, str], words: list[str], said: str
) -> None:
    done = tiler(*SLIDES, *words, "out=out", cwd=tmp_path, env=lab)
    assert done.returncode == 3, done.stderr
    rows = {row["slide_id"]: row for row in read_csv(tmp_path / "out/slides.csv")}
    assert rows["good"]["status"] == "done"
    assert rows["bad"]["reason"].startswith(f"E_COMPONENT slide=bad: {said}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([MASK, "+mask.how=constructor"],
         f"mask: KeyError: 'no such model' (lab.py:{line_of('no such model')}, in __init__)"),
        (["mask._target_=lab.Exports"], "mask: lab.Exports made a Exports without generate;"),
        (["exporter.csv._target_=lab.Exports"],
         "exporter.csv: lab.Exports made a Exports without per_tile, export;"),
        (["exporter.csv._target_=lab.OnlyEncodes"],
         "exporter.csv: lab.OnlyEncodes made a OnlyEncodes without file_name; see tiler."),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "sweep", [(), pytest.param(("-m", "threshold=0.1,0.2"), marks=pytest.mark.slow)]
)
def test_a_component_that_cannot_be_built_is_a_configuration_error(
    tmp_path: Path, lab: dict[str, str], words: list[str], said: str, sweep: tuple[str, ...]
) -> None:
    done = tiler(*sweep, *SLIDES, *words, "out=out", cwd=tmp_path, env=lab)
    assert done.returncode == 2, done.stderr
    assert f"E_COMPONENT: {said}" in done.stderr
    assert "Traceback" not in done.stderr
    if not sweep:
        complaint(done)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import math\n\nx = math.nothing\n", "AttributeError: module 'math'", ),
        ("import math\n\nimport nowhere_at_all\n", "ModuleNotFoundError: No module named 'nowhere"),
        ("import math\n\nclass Mask(:\n", "SyntaxError: invalid syntax"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["broken", "broken.masks"])
def test_a_module_that_cannot_be_imported_is_named_with_its_line(
    tmp_path: Path, text: str, said: str, name: str
) -> None:
    file = tmp_path / f"code/{name.replace('.', '/')}.py"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    env = {"TILER_TARGETS": "broken", "PYTHONPATH": f"{tmp_path / 'code'}:{HERE.parent}"}
    done = tiler("mask=none", f"mask._target_={name}.Mask", cwd=tmp_path, env=env)
    assert done.returncode == 2
    line = complaint(done)
    assert line.startswith(f"E_COMPONENT: mask._target_={name}.Mask: {said}")
    assert f"{file.name}:3" in line


def test_an_error_of_a_users_tracker_is_reported_with_its_line(
    tmp_path: Path, lab: dict[str, str], monkeypatch, caplog
) -> None:
    monkeypatch.syspath_prepend(tmp_path / "code")
    import lab as module

    Guarded(module.Tracker()).start("run", {}, None)
    (record,) = caplog.records
    assert f"ConnectionError: no server (lab.py:{line_of('no server')}, in start)" in record.message


@pytest.mark.parametrize(
    ("kind", "said"),
    [("Locked", "TypeError: cannot pickle"), ("Homesick", "RuntimeError: not in a worker")],
)
def test_a_component_that_cannot_be_sent_to_workers_is_refused(
    tmp_path: Path, lab: dict[str, str], kind: str, said: str
) -> None:
    words = [*SLIDES, f"mask._target_=lab.{kind}"]
    refused = tiler(*words, "engine=processes", "out=out", cwd=tmp_path, env=lab, timeout=60)
    assert refused.returncode == 2
    assert complaint(refused).startswith(f"E_COMPONENT: mask: it does not pickle ({said}")
    assert "engine=serial" in refused.stderr
    assert tiler(*words, "out=out", cwd=tmp_path, env=lab).returncode == 3  # it raises on one slide


def test_a_job_that_cannot_be_pickled_fails_its_slide(tmp_path: Path) -> None:
    extractor = TileExtractor(TileSpec(16, resolution=Level(0)))
    job = SlideJob(picture(tmp_path), "pic", lambda path, name: None, extractor, {}, {})
    with ProcessEngine(workers=1, timeout=60) as engine:
        engine.submit(PlanTask(job))
        _, error = engine.next()
    assert str(error).startswith("E_COMPONENT slide=pic: it does not pickle (")


@pytest.mark.slow
def test_a_mask_that_cannot_list_its_files_fails_its_slide_on_a_rerun_too(
    tmp_path: Path, lab: dict[str, str]
) -> None:
    assert tiler(*SLIDES, "out=out", cwd=tmp_path, env=lab).returncode == 0
    done = tiler(*SLIDES, "mask._target_=lab.Listing", "out=out", cwd=tmp_path, env=lab)
    again = tiler(*SLIDES, "mask._target_=lab.Listing", "out=out", cwd=tmp_path, env=lab)
    for result in (done, again):
        assert result.returncode == 3
        assert "Traceback" not in result.stderr
    for row in read_csv(tmp_path / "out/slides.csv"):
        assert f"KeyError: 'no table' (lab.py:{line_of('no table')}, in inputs)" in row["reason"]


@pytest.mark.parametrize(
    "sweep", [(), pytest.param(("-m", "threshold=0.1,0.2"), marks=pytest.mark.slow)]
)
def test_a_failing_engine_of_the_user_is_named(
    tmp_path: Path, lab: dict[str, str], sweep: tuple[str, ...]
) -> None:
    words = [*sweep, *SLIDES, "engine._target_=lab.Engine", "out=out"]
    done = tiler(*words, cwd=tmp_path, env=lab)
    assert done.returncode == 3, done.stderr
    place = f"(lab.py:{line_of('no cluster')}, in next)"
    assert f"E_COMPONENT: RuntimeError: no cluster {place}" in done.stderr
    assert "Traceback" not in done.stderr
    assert "bug in tiler" not in done.stderr


def test_an_error_of_tiler_is_not_attributed_to_a_component() -> None:
    packages = foreign_packages([np.ones, Path()], {"mask": [{"_target_": "lab.Mask"}]})
    assert packages == {"numpy", "lab"}
    with pytest.raises(OSError, match="No such file") as caught:
        picture(Path("nowhere"))
    assert raised_at(caught.value, frozenset({"PIL"})).startswith("PIL/Image.py:")
    assert raised_at(caught.value, frozenset({"lab"})) is None
