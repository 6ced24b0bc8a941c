"""docs/formats.md: its commands run, leave the files that it lists, and its Python reads them."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
from command import tiler

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/formats.md").read_text(encoding="utf-8")
NOT_INSTALLED = {"gigapath", "hs2p", "lazyslide", "slide2vec", "torch", "wsidata"}
"""Libraries that the page's code needs, and tiler's tests do not install."""


class Block(NamedTuple):
    """A block of a section, and its language."""

    language: str
    text: str


def sections() -> dict[str, list[Block]]:
    """Return the blocks of each section by its title."""
    found = {}
    for section in PAGE.split("\n## "):
        title, _, text = section.partition("\n")
        blocks = re.findall(r"^```(\w+)\n(.*?)^```", text, re.M | re.S)
        found[title.strip("# ")] = [Block(*block) for block in blocks]
    return found


SECTIONS = sections()


def commands(text: str) -> list[list[str]]:
    """Return the words of each command of a block."""
    return [shlex.split(line) for line in text.replace("\\\n", " ").splitlines()]


def imported(code: str) -> set[str]:
    """Return the packages that some code imports."""
    nodes = [*ast.walk(ast.parse(code))]
    names = [name.name for node in nodes if isinstance(node, ast.Import) for name in node.names]
    names += [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("title", SECTIONS)
def test_the_commands_of_a_section_write_what_its_code_reads(
    tmp_path: Path, demo_svs: Path, title: str
) -> None:
    (tmp_path / "slides").mkdir()
    (tmp_path / "slides/case_1.svs").hardlink_to(demo_svs)
    seen: set[str] = set()
    for language, text in SECTIONS[title]:
        seen.add(language)
        if language == "bash":
            for program, *words in commands(text):
                assert program == "tiler"
                done = tiler(*words, cwd=tmp_path)
                assert done.returncode == 0, done.stdout + done.stderr
        elif language == "text":
            for name in text.splitlines():
                assert (tmp_path / name).exists(), name
        elif language == "sh":
            for name in re.findall(r"(?<![\w/])(?:tiles|slides)(?:/[\w./-]+)?", text):
                assert (tmp_path / name).exists(), name
        elif language == "python" and not imported(text) & NOT_INSTALLED:
            for name in sorted(imported(text)):
                assert find_spec(name), f"{name}: add it to NOT_INSTALLED, or to the extra `test`"
            done = subprocess.run(
                [sys.executable, "-W", "error", "-c", text],
                cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert bool(done.stdout) == ("print(" in text)
    assert {"bash", "text"} <= seen


def test_the_table_lists_the_sections() -> None:
    rows = re.findall(r"^\| .* \| \[(.*)\]\(#.*\) \|$", PAGE, re.M)
    assert ["Formats for other tools", *rows] == [*SECTIONS]
