"""Files that the user names: a FIFO, a device, a loop of links or a huge file ends with one line.

Each of them would otherwise block tiler for ever, or fill its memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from command import complaint, tiler
from conftest import ArrayReader
from fuzzing import watched
from special_files import plant

from tiler.errors import DestinationError, TilerError
from tiler.masks import FileMask
from tiler.masks.onnx.network import opened as open_network
from tiler.runner.store.fingerprint import settled_hash
from tiler.runner.store.owned import first_foreign
from tiler.slides import read_table
from tiler.storage.destinations import own_folder
from tiler.storage.named import is_file, is_folder
from tiler.transforms import Macenko

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs")

KINDS = ("fifo", "link to fifo", "device", "folder", "large", "socket", "loop")


def masked(path: Path) -> object:
    """Return the mask of a slide from a file."""
    return FileMask(str(path)).generate(ArrayReader(np.zeros((6, 9, 3), np.uint8)))


READS: dict[str, Callable[[Path], object]] = {
    "table": lambda path: read_table(str(path)),
    "mask": masked,
    "hash": settled_hash,
    "network": lambda path: open_network(str(path), ("CPUExecutionProvider",), "S"),
    "picture": lambda path: Macenko(reference=str(path)),
    "json": lambda path: Macenko(reference=str(path.rename(path.with_name("x.json")))),
}


def planted(folder: Path, kind: str) -> Path:
    """Return the path of a special file."""
    path = folder / "x"
    if kind == "loop":
        path.symlink_to("x")
    elif kind.startswith("link to "):
        plant(folder / "y", kind.removeprefix("link to "))
        path.symlink_to("y")
    else:
        plant(path, kind)
    if kind == "device":
        path.unlink()
        path.symlink_to("/dev/zero")
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", READS)
def test_a_special_file_is_an_error_at_once(tmp_path: Path, name: str, kind: str) -> None:
    path = planted(tmp_path, kind)
    with watched(), pytest.raises((TilerError, OSError)) as caught:
        READS[name](path)
    assert str(tmp_path / "x") in str(caught.value)


def test_a_loop_of_links_as_a_table_is_one_line(tmp_path: Path) -> None:
    done = tiler("slides=table", f"slides.table={planted(tmp_path, 'loop')}", cwd=tmp_path)
    assert done.returncode == 2
    assert complaint(done).startswith(f"E_CONFIG: slides.table={tmp_path}/x: ")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("tiler", ["--rerun", "{}"]),
        ("tiler", ["--config-dir={}", "out=o"]),
        ("tiler", ["{}"]),
        ("tiler.config.command.report", ["{}"]),
        ("tiler.compare", ["{}", "{}"]),
    ],
)
def test_a_name_that_is_too_long_is_one_line(tmp_path: Path, module: str, words: list[str]) -> None:
    name = "x" * 300
    done = tiler(*(word.format(name) for word in words), cwd=tmp_path, module=module)
    assert done.returncode == 2
    assert name[:100] in complaint(done)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """Return a folder that this process may not enter."""
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)
    folder.chmod(0o700)


def test_a_path_in_a_locked_folder_is_an_error_that_names_it(locked: Path) -> None:
    path = locked / "x"
    for name, reads in READS.items():
        if name != "json":
            with pytest.raises((TilerError, OSError), match=r"(?i)permission denied") as caught:
                reads(path)
            assert str(path) in str(caught.value), name
            assert "not an image" not in str(caught.value), name
    found = first_foreign(path)
    assert found is not None
    assert "cannot be examined (Permission denied)" in found.what
    with pytest.raises(DestinationError, match="Permission denied"):
        own_folder(path)
    assert not is_file(path)
    assert not is_folder(path)
