"""A slide's fingerprint is read once while nothing about its file changed, and anew after that."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tiler.runner.store import fingerprint as module
from tiler.runner.store.fingerprint import fingerprint


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of the file at each reading."""
    sizes: list[int] = []
    index = module._digest_index

    def noted(file, size, update):
        sizes.append(size)
        index(file, size, update)

    monkeypatch.setattr(module, "_digest_index", noted)
    return sizes


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    path = tmp_path / "slide.svs"
    path.write_bytes(bytes(range(250)))
    return path


def test_a_file_that_changed_just_now_is_read_each_time(slide: Path, readings: list[int]) -> None:
    assert fingerprint(slide) == fingerprint(slide)
    assert readings == [250, 250]


def test_what_was_read_meanwhile_is_not_remembered_for_what_was_looked_at(
    slide: Path, readings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CLOCK_NS", -(10**18))
    looked_at, before = slide.stat(), module._state
    other = slide.with_name("other")
    other.write_bytes(b"another slide")

    def swapped(facts: os.stat_result) -> tuple[int, ...]:
        if not readings and slide.stat().st_ino == looked_at.st_ino:
            slide.rename(slide.with_name("first"))
            other.rename(slide)
        return before(facts)

    monkeypatch.setattr(module, "_state", swapped)
    assert fingerprint(slide).size == 13
    slide.rename(other)
    slide.with_name("first").rename(slide)
    assert fingerprint(slide).size == 250


@pytest.mark.skipif(sys.platform == "win32", reason="no time of the last change")
@pytest.mark.parametrize("change", ["in place", "replaced", "shut"])
def test_a_change_that_leaves_size_and_time_is_noticed(
    slide: Path, readings: list[int], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(module, "_CLOCK_NS", -(10**18))  # all files changed long ago
    first, facts = fingerprint(slide), slide.stat()
    assert fingerprint(slide) == first
    assert readings == [250]
    while slide.stat().st_ctime_ns == facts.st_ctime_ns:  # until the clock of the disk ticks
        if change == "in place":
            slide.write_bytes(bytes(range(1, 251)))
        elif change == "replaced":
            other = slide.with_name("other")
            other.write_bytes(bytes(range(1, 251)))
            other.replace(slide)
        else:
            slide.chmod(0o400)
        os.utime(slide, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    again = fingerprint(slide)
    assert readings == [250, 250]
    assert (again.size, again.mtime_ns) == (first.size, first.mtime_ns)
    assert (again == first) == (change == "shut")
