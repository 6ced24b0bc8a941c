"""The files and commands of docs/extending.md, as a reader would run them, and their output."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tiler import errors

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
CODES = {
    error.code: error.exit_code
    for error in reversed(vars(errors).values())  # the first class of a code counts
    if isinstance(error, type) and issubclass(error, errors.TilerError)
}


class Command(NamedTuple):
    """A block of commands, and the lines that it prints according to the page."""

    section: str
    text: str
    printed: list[str]


def files() -> dict[str, str]:
    """Return the files of the page: each has its name before its block."""
    found = re.findall(r"^`([\w/.]+)`[^\n]*:\n\n```(?:python|yaml)\n(.*?)^```", PAGE, re.M | re.S)
    return dict(found)


def commands() -> Iterator[Command]:
    for section in PAGE.split("\n## "):
        title = section.splitlines()[0].strip("# ")
        block = r"^```bash\n(.*?)^```(?:\n[^`#]*?\n```text\n(.*?)^```)?"
        for text, printed in re.findall(block, section, re.M | re.S):
            yield Command(title, text, printed.splitlines())


SECTIONS = list(dict.fromkeys(command.section for command in commands()))
EXPORTS = re.findall(r"^export [^#\n]*", PAGE, re.M)


@pytest.fixture
def folder(tmp_path: Path, demo_svs: Path) -> Path:
    """A folder with the page's files, and ``tiler`` and ``python`` as commands."""
    (tmp_path / "outputs/demo-slide").mkdir(parents=True)
    shutil.copy2(demo_svs, tmp_path / "outputs/demo-slide")
    for name, text in files().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "bin").mkdir()
    python = f'PYTHONPATH="$PYTHONPATH:{ROOT}" exec {sys.executable} "$@"'
    for name, start in (("python", python), ("tiler", python.replace('"$@"', '-m tiler "$@"'))):
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{start}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_the_commands_of_the_page_work(folder: Path, section: str) -> None:
    assert EXPORTS
    start = "\n".join([f'export PATH="{folder}/bin:$PATH"', *EXPORTS, "set -e"])
    for command in commands():
        if command.section != section:
            continue
        done = subprocess.run(
            ["bash", "-c", f"{start}\n{command.text}"],
            cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        output = done.stdout + done.stderr
        codes = [CODES[code] for code in re.findall(r"E_[A-Z]+", " ".join(command.printed))]
        assert done.returncode == max(codes, default=0), output
        for line in command.printed:
            assert line in output, output
        assert "Traceback" not in output


@pytest.mark.parametrize("group", ["mask", "filter", "transform", "exporter", "reader", "tracker"])
def test_the_page_has_class_option_and_command_for(group: str) -> None:
    assert f"lab/{group}s.py" in files()
    options = [Path(name).stem for name in files() if name.startswith(f"conf/{group}/")]
    assert options
    for option in options:
        assert any(re.search(rf"{group}=\S*{option}", command.text) for command in commands())
    assert re.search(r"^E_|WARNING", "\n".join(printed_by(group)), re.M)


def printed_by(group: str) -> list[str]:
    return [line for c in commands() if c.section.endswith(group) for line in c.printed]
