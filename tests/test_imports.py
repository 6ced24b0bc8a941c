"""The direction of imports, read from the source, and the libraries that start-up must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import tiler

PACKAGE = Path(tiler.__file__).parent
ADAPTERS = {
    "readers",
    "masks",
    "labels",
    "scores",
    "samplers",
    "exporters",
    "slides",
    "trackers",
    "transforms",
}
ROOMS = [
    {"errors", "checks", "checks.error_places", "checks.machine", "storage"},
    {"process", "storage.csv_text", "storage.destinations"},
    {"files"},
    {"checks.components", "checks.hints", "checks.targets", "storage.stored", "written"},
    {"storage.sync"},
    {"geometry"},
    {"resolution"},
    {"spec"},
    {"regions"},
    {"region_masks"},
    {"grid"},
    {"cover"},
    {"protocols"},
    {"checks.pictures"},
    {"storage.companions"},
    {"checks.pixels", "checks.arguments", "checks.mask_arrays", "checks.rule_results"}
    | {"pixels", "scales", "annotations"},
    ADAPTERS,
    {"stages", "selection"},
    {"checks.empty"},
    {"extractor"},
    {"runner"},
    {"dataset"},
    {"sweep"},
    {"report"},
    {"compare"},
    {"config"},
    {"cli"},
    {"entry"},
    {"__main__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}
SOURCES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def room_of(path: Path) -> str:
    """Return the room of a source file."""
    return place_of(path.relative_to(PACKAGE).with_suffix("").parts)


def place_of(names: tuple[str, ...] | list[str]) -> str:
    """Return the room of a module of ``tiler``: its own if ``ROOMS`` names it, else its folder."""
    return ".".join(names[:2]) if ".".join(names[:2]) in FLOOR else names[0]


@cache
def imports_of(path: Path) -> list[str]:
    """Return every module that a file imports, anywhere in it: ``tiler.grid``, ``cv2``, …"""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide their direction"
            found.append(node.module or "")
            if node.module == "tiler":
                found += [f"tiler.{alias.name}" for alias in node.names]
    return found


def roots_of(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports_of(path)}


def test_the_reading_of_imports_sees_something():
    assert len(SOURCES) > 20
    assert "tiler.resolution" in imports_of(PACKAGE / "regions.py")
    assert "tiler.exporters.tables.csv_json" in imports_of(
        PACKAGE / "exporters/region_writer.py"
    ), "also in functions"


def test_imports_run_one_way():
    for path in SOURCES:
        room = room_of(path)
        assert room in FLOOR, f"{path} has no place in the house: give it one above"
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] != "tiler" or name == "tiler" or parts[1] == "__version__":
                continue
            other = place_of(parts[1:])
            if other == room:
                continue
            assert other in FLOOR, f"{path} imports {name}, which is no room"
            assert FLOOR[other] < FLOOR[room], f"{path}: {room} may not import {other}"


def test_heavy_libraries_are_imported_only_by_their_modules():
    for path in SOURCES:
        room, roots = room_of(path), roots_of(path)
        if room != "readers":
            assert "openslide" not in roots, path
        if room != "masks":
            assert "onnxruntime" not in roots, path
        if room not in ("masks", "scores", "pixels", "cover", "transforms"):
            assert "cv2" not in roots, path
        if room not in ("cli", "config"):
            assert not roots & {"hydra", "omegaconf"}, path
        if room != "trackers":
            assert not roots & {"mlflow", "sqlalchemy"}, path


FOREIGN = {"hydra", "omegaconf", "hydra_plugins"}


def private_names(source: str) -> list[str]:
    """Return names of Hydra and OmegaConf in a source file that are not public.

    An attribute counts if it begins with ``_`` and does not belong to ``self`` or ``cls``, in a
    file that imports one of the two: tiler's own private names are used in no other way.
    """
    tree = ast.parse(source)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    found = []
    for node in imports:
        module = getattr(node, "module", None)
        for name in (alias.name for alias in node.names):
            path = [*(module.split(".") if module else []), *name.split(".")]
            if path[0] in FOREIGN and any(part.startswith("_") for part in path):
                found.append(".".join(path))
    if not any(path.split(".")[0] in FOREIGN for path in roots_in(imports)):
        return found
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            pythons = node.attr in ("__cause__", "__module__", "__name__", "__traceback__")
            if owner not in ("self", "cls") and not pythons:
                found.append(f"{owner}.{node.attr}")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            texts = [one.value for one in node.args if isinstance(one, ast.Constant)]
            if node.func.id in ("getattr", "setattr", "hasattr", "delattr"):
                found += [str(text) for text in texts if str(text).startswith("_")]
            elif node.func.id == "vars" and not (
                isinstance(node.args[0], ast.Name) and node.args[0].id == "self"
            ):
                found.append("vars")
        if isinstance(node, ast.Assign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {alias.asname or alias.name for one in imports for alias in one.names}
            for one in targets:
                if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name):
                    found += [ast.unparse(one)] if one.value.id in names else []
    return found


def roots_in(imports):
    return [node.module or "" if isinstance(node, ast.ImportFrom) else alias.name
            for node in imports for alias in node.names]  # fmt: skip


PLUGINS = sorted((PACKAGE.parent / "hydra_plugins").rglob("*.py"))


def test_only_public_names_of_hydra_and_omegaconf_are_used():
    paths = [*SOURCES, *PLUGINS]
    assert len(paths) > len(SOURCES)
    found = {path: private_names(path.read_text(encoding="utf-8")) for path in paths}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "line",
    [
        "from hydra._internal.utils import x",
        "import hydra._internal",
        "from omegaconf import _utils",
        "import omegaconf; node._get_node('x')",
        "import omegaconf; config.hydra._x.y",
        "from hydra.core.utils import _flush_loggers",
        "import hydra; getattr(hydra, '_internal')",
        "import hydra; vars(hydra)['x'] = 1",
        "import hydra; hydra.main = 1",
        "from omegaconf import DictConfig; x.__class__ = DictConfig",
    ],
)
def test_the_search_for_private_names_finds_them(line):
    assert private_names(line)
    assert not private_names("import hydra; self._x = hydra.main; plugin.__module__")


def test_the_core_needs_only_numpy():
    core = {"errors", "files", "geometry", "resolution", "spec", "regions", "grid", "protocols"}
    for path in SOURCES:
        if room_of(path) in core | {"extractor"}:
            foreign = roots_of(path) - set(sys.stdlib_module_names) - {"tiler", "numpy"}
            assert foreign == set(), path


def test_the_package_imports_nothing_when_it_is_imported():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    modules = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert modules <= {"__future__", "importlib", "typing"}


HEAVY = ("numpy", "cv2", "PIL", "openslide", "tifffile", "imagecodecs", "mlflow", "onnxruntime",
         "sqlalchemy")  # fmt: skip


@pytest.mark.parametrize(
    "module", ["tiler", "tiler.cli", "tiler.readers", "tiler.exporters", "tiler.scores"]
)
def test_start_up_loads_no_heavy_library(module):
    code = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def loaded(code: str, *packages: str) -> set[str]:
    """Return the modules of some packages that a new process has after some code."""
    listing = "import sys; print('LOADED', *sys.modules, file=sys.__stderr__)"
    done = subprocess.run(
        [sys.executable, "-c", f"try:\n    {code}\nfinally:\n    {listing}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    names = done.stderr.split("LOADED ")[1].split()
    return {name for name in names if f"{name}.".startswith(tuple(f"{p}." for p in packages))}


OF_THE_COMMAND = (
    *("hydra", "hydra_plugins", "omegaconf", "yaml", "antlr4", "argparse", "filelock"),
    *("tiler.config", "tiler.cli", "tiler.entry", "tiler.sweep", "tiler.compare", "tiler.slides"),
    *("tiler.trackers", "tiler.runner.run", "tiler.runner.schedule", "tiler.runner.ledger"),
    *(
        "tiler.runner.resume",
        "tiler.runner.stock",
        "tiler.runner.budget",
        "tiler.runner.store.lock",
    ),
    *("tiler.runner.stopwatch", "tiler.runner.reporting.tables"),
)
"""Packages that only the process of the command uses."""

OF_SOME_SLIDES = (
    *("email", "importlib.metadata", "subprocess", "xml", "concurrent", "numpy.ma", "imagecodecs"),
    *("onnxruntime", "shapely", "mlflow", "tiler.annotations", "tiler.labels", "tiler.samplers"),
    *("tiler.scores.measure", "tiler.masks.pen", "tiler.readers.image", "tiler.region_masks"),
    *("tiler.readers.jpeg2000", "tiler.readers.openslide.reader"),
)
"""Packages that a worker loads when the first slide needs them."""


def test_a_worker_loads_only_what_its_first_task_needs():
    """Each worker would take the time again: docs/performance.md."""
    code = "import os; from tiler.runner.engines.worker import main; main(os.getppid())"
    needed = {"cv2", "tiler.readers.tiff.reader", "tiler.masks.otsu", "tiler.runner.work.tasks"}
    assert loaded(code, *needed) >= needed
    assert loaded(code, *OF_THE_COMMAND, *OF_SOME_SLIDES) == set()


def test_a_run_loads_components_and_estimates_only_if_it_uses_them():
    code = "import tiler.cli, tiler.config.build, tiler.runner.run"
    needed = {"tiler.runner.schedule", "tiler.config.components"}
    assert loaded(code, *needed) >= needed
    unused = (
        *("tiler.exporters.tiles", "tiler.exporters.pictures", "tiler.runner.budget"),
        *(
            "tiler.runner.stopwatch",
            "tiler.readers.tiff",
            "tiler.readers.openslide",
            "tiler.masks.otsu",
        ),
        *("tiler.config.sweeps.end", "tiler.config.command.explain", "tiler.config.checks.bombs"),
        "tiler.runner.products.make",
        *("cv2", "PIL", "openslide", "dask"),
        *(set(OF_SOME_SLIDES) - {"concurrent", "subprocess"}),  # Hydra and filelock load these
    )
    assert loaded(code, *unused) == set()


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_a_flag_that_prints_loads_neither_hydra_nor_numpy(flag):
    code = f"import sys; sys.argv = ['tiler', '{flag}']; from tiler.entry import main; main()"
    packages = (*OF_THE_COMMAND, *OF_SOME_SLIDES, "numpy", "logging", "dataclasses", "inspect")
    allowed = ("tiler.config", "tiler.entry")  # the folder of options
    found = loaded(f"try: {code}\n    except SystemExit: pass", *packages)
    assert {name for name in found if not name.startswith(allowed)} == set()
    assert "tiler.config.compose" not in found


def test_a_run_without_labels_loads_no_parser_of_annotations():
    names = "[name for name in sys.modules if name.startswith('tiler.annotations')]"
    code = f"import sys; from tiler.labels import no_labels; print({names})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there():
    for name in tiler.__all__:
        assert getattr(tiler, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing_like_this"):
        _ = tiler.nothing_like_this


@pytest.mark.parametrize(
    "package", ["readers", "exporters", "labels", "masks", "scores", "slides", "trackers"]
)
def test_every_adapter_is_there(package):
    module = __import__(f"tiler.{package}", fromlist=["__all__"])
    assert module.__all__
    for name in module.__all__:
        assert callable(getattr(module, name))
