"""A run killed at any moment leaves only complete slides, and the next run finishes the work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import read_csv, tiler

CALLS = {
    "rename": "rename,renameat,renameat2",
    "fsync": "fsync,syncfs",
    "open": "openat",
}
COMMON = ["slides=files", "slides.paths=in", "resolution=level", "tile.size=100", "mask=none",
          "exporter=[csv,json,images,webdataset]", "exporter.images.threads=1",
          "out=out"]  # fmt: skip

strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="NOT TESTED: crashes are injected by strace, not here"
)


def traced(folder: Path, calls: str, *options: str) -> subprocess.CompletedProcess[str]:
    watch = ["strace", "-f", "-qq", "-e", f"trace={calls}", *options]
    return tiler(*COMMON, cwd=folder, tracer=watch)


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in (folder / "out/slides").rglob("*")
        if path.is_file()
    }


@pytest.fixture
def folder(tmp_path: Path, shared_slides: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        os.link(
            shutil.copy(shared_slides / "boxes.tiff", tmp_path / name), tmp_path / f"in/{name}.tiff"
        )
    return tmp_path


def undisturbed(folder: Path, calls: str) -> tuple[dict[str, bytes], list[str]]:
    """Run once; return the tree of the slides, and the calls of the main thread in order."""
    done = traced(folder, calls, "-o", str(folder / "log"))
    assert done.returncode == 0, done.stderr
    expected = tree(folder)
    assert len(expected) > 15
    shutil.rmtree(folder / "out")
    lines = (folder / "log").read_text().splitlines()
    main = lines[0].split()[0]
    return expected, [line for line in lines if line.split()[0] == main]


def killed_and_run_again(folder: Path, calls: str, number: int, expected: dict[str, bytes]) -> bool:
    """Kill a run at one of its calls, check both trees, and return whether it was killed."""
    inject = f"inject={calls}:signal=SIGKILL:when={number}"
    crashed = traced(folder, calls, "-o", "/dev/null", "-e", inject)
    for slide in (folder / "out/slides").glob("*"):
        for path in slide.rglob("*"):  # existing folders are complete
            if path.is_file():
                assert path.read_bytes() == expected[str(path.relative_to(folder))]
    again = tiler(*COMMON, cwd=folder)
    assert again.returncode == 0, again.stderr
    assert tree(folder) == expected
    assert not (folder / "out/.partial").exists()
    assert {row["status"] for row in read_csv(folder / "out/slides.csv")} == {"done"}
    shutil.rmtree(folder / "out")
    return crashed.returncode != 0


@strace
def test_f13_killed_as_it_publishes_a_slide_a_rerun_gives_the_same_tree(folder: Path) -> None:
    expected, calls = undisturbed(folder, CALLS["rename"])
    published = [number for number, call in enumerate(calls, 1) if "/slides/" in call]
    assert len(published) == 2
    assert killed_and_run_again(folder, CALLS["rename"], published[1], expected)


@pytest.mark.slow
@strace
@pytest.mark.parametrize("kind", CALLS)
def test_f13_killed_at_each_call_a_rerun_gives_the_same_tree(folder: Path, kind: str) -> None:
    expected, own = undisturbed(folder, CALLS[kind])
    at = [n for n, line in enumerate(own, 1) if kind != "open" or re.search(r"/out/", line)]
    assert len(at) >= 6
    numbers = at[:: -(-len(at) // 7)]
    assert sum(killed_and_run_again(folder, CALLS[kind], n, expected) for n in numbers) >= 4


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures by /proc")
def test_many_slides_cost_no_memory_and_a_second_run_does_nothing(
    tmp_path: Path, shared_slides: Path
) -> None:
    (tmp_path / "in").mkdir()
    small = shutil.copy(shared_slides / "small.svs", tmp_path / "small.svs")
    for number in range(250):
        os.link(small, tmp_path / f"in/s{number:03}.svs")
    bad = {
        "empty": b"",
        "text": b"just some words, and no slide at all\n",
        "html": b"<html><body>not found</body></html>",
        "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        "cut": (shared_slides / "CMU-1-Small-Region.svs").read_bytes()[:50_000],
        "broken": (shared_slides / "broken.svs").read_bytes(),
        "unopenable": (shared_slides / "unopenable.tiff").read_bytes(),
        "unreadable": (shared_slides / "unreadable.svs").read_bytes(),
    }
    for name, content in bad.items():
        (tmp_path / f"in/{name}.svs").write_bytes(content)
    (tmp_path / "in/dangling.svs").symlink_to("nowhere")
    (tmp_path / "in/loop.svs").symlink_to("loop.svs")
    here = Path(__file__).parent
    env = {
        "TILER_TARGETS": "faulty",
        "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)]),
        "MEASURED": str(tmp_path / "measured"),
    }
    common = ["slides=files", "slides.paths=in", "resolution=level", "tile.size=8", "mask=none",
              "reader=openslide", "reader._target_=faulty.MeasuringReader",
              "cache=off"]  # fmt: skip
    result = tiler(*common, "out=out", cwd=tmp_path, env=env)
    assert result.returncode == 3
    rows = {row["slide_id"]: row for row in read_csv(tmp_path / "out/slides.csv")}
    assert len(rows) == 260
    assert sum(row["status"] == "done" for row in rows.values()) == 250
    failed = {name: row["reason"] for name, row in rows.items() if row["status"] == "failed"}
    words = {
        "empty": "empty (0 bytes)", "text": "starts with plain text",
        "html": "starts with HTML", "pdf": "starts with PDF",
        "cut": "beyond the end of the file", "broken": "not a slide",
        "unopenable": "compression: 52479", "unreadable": "Bogus marker length",
        "dangling": "link points to nothing", "loop": "ymbolic links",
    }  # fmt: skip
    assert set(failed) == set(words)
    for name, word in words.items():
        assert word in failed[name]

    lines = [line.split() for line in (tmp_path / "measured").read_text().splitlines()]
    memory, files = ([int(line[i]) for line in lines] for i in (0, 1))
    assert files[249] <= files[25]
    assert memory[249] - memory[25] < 5 << 20  # 22 KiB a slide

    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out/slides").rglob("*") if p.is_file()}
    again = tiler(*common, "out=out", cwd=tmp_path, env=env)
    assert "250 of 260 slides are done already" in again.stderr
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "out/slides").rglob("*") if p.is_file()}
    assert before == after
