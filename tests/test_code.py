"""The code that keys the cache and the records: all code that shapes masks, grids and tiles."""

import ast
from importlib import metadata
from pathlib import Path

import pytest

import tiler
from tiler.runner.store import code, versions

PACKAGE = Path(tiler.__file__).parent


def imported_files(path: Path) -> set[Path]:
    """Return the files of tiler that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    found = set()
    for name in names:
        if name.startswith("tiler."):
            place = PACKAGE.joinpath(*name.split(".")[1:])
            found |= {
                one for one in (place.with_suffix(".py"), place / "__init__.py") if one.is_file()
            }
    return found


def test_shaping_code_contains_the_imports_of_readers_masks_stages_and_exporters():
    rooms = [*PACKAGE.glob("readers/**/*.py"), *PACKAGE.glob("masks/**/*.py")]
    rest = {PACKAGE / "stages.py", *rooms, *PACKAGE.glob("exporters/**/*.py")}
    closure: set[Path] = set()
    while rest:
        path = rest.pop()
        closure.add(path)
        rest |= imported_files(path) - closure
    assert len(closure) > 50
    assert closure <= set(code.shaping_files())


def test_an_entry_that_is_missing_is_an_error(monkeypatch):
    monkeypatch.setattr(code, "SHAPING", ("readers", "no_such_folder"))
    with pytest.raises(FileNotFoundError, match="no_such_folder is missing"):
        code.shaping_files()


def test_versions_are_those_of_the_installed_packages() -> None:
    """They are read from the head of the metadata; the standard library parses all of it."""
    found = versions.versions()
    assert {"numpy", "openslide-python", "simplejpeg", "hydra-core"} <= set(found)
    for name, version in found.items():
        assert name in ("python", "tiler") or version == metadata.version(name)


def test_a_package_without_a_head_of_metadata_has_a_version(monkeypatch) -> None:
    class Old(metadata.Distribution):
        def read_text(self, filename: str) -> str | None:
            return "Name: old\nVersion: 7\n" if filename == "PKG-INFO" else None

        def locate_file(self, path: object) -> Path:
            return Path(str(path))

    monkeypatch.setattr(metadata, "distribution", lambda name: Old())
    monkeypatch.setattr(versions, "_PACKAGES", ("old",))
    assert versions.versions.__wrapped__()["old"] == "7"
