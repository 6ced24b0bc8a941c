"""Products of a run: links to files of slides in a tree, and files about all slides."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tiler import Level, TileExtractor, TileSpec, open_slide
from tiler.errors import ConfigError
from tiler.exporters import CsvExporter
from tiler.files import digest, write_whole
from tiler.protocols import Exported, FinishedSlide, WSIReader
from tiler.runner.engines import SerialEngine
from tiler.runner.ledger import RunResult
from tiler.runner.products import gather, make
from tiler.runner.run import dry_run, run
from tiler.runner.signals import Interrupted
from tiler.runner.stock import Policy
from tiler.runner.work.job import SlideJob
from tiler.storage.stored import sealed
from tiler.written import WrittenFile

SLIDES = ("a", "b", "c")


@dataclass(frozen=True)
class Tree:
    """Writes a file and a folder per slide, and offers both in a tree with a table."""

    layout: str = "one"
    names: tuple[str, ...] = ("tree/", "table.txt")
    per_tile = False

    def export(
        self, source: WSIReader, regions: Sequence[Any], mask: Any, folder: Path
    ) -> Exported:
        (folder / "more").mkdir(exist_ok=True)
        text = f"{self.layout} {source.name} {len(regions)}".encode()
        names = [f"{source.name}.h5", "more/1", "more/2"]
        return Exported([WrittenFile(name, *write_whole(folder / name, text)) for name in names])

    @property
    def run_names(self) -> tuple[str, ...]:
        return self.names

    def run_links(self, slide: FinishedSlide) -> Mapping[str, str]:
        return {
            f"tree/{self.layout}/files/{slide.slide_id}.h5": f"{slide.slide_id}.h5",
            f"tree/folders/{slide.slide_id}": "more",
        }

    def run_files(self, slides: Sequence[FinishedSlide]) -> Mapping[str, Iterable[bytes]]:
        lines = (f"{one.slide_id} {one.kept} {one.requested}\n".encode() for one in slides)
        return {"table.txt": lines, "tree/slides.csv": [b"slide_id\n"]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with slides."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # the machine does not crash here
    pixels = np.random.default_rng(0).integers(0, 256, (80, 120, 3), dtype=np.uint8)
    for name in SLIDES:
        tifffile.imwrite(tmp_path / f"{name}.tiff", pixels, tile=(64, 64), photometric="rgb")
    return tmp_path


def jobs_of(
    slides: Sequence[str] = SLIDES, tree: Tree | None = Tree(), size: int = 40
) -> list[SlideJob]:
    extractor = TileExtractor(TileSpec(size, size, Level(0)), mask_threshold=0)
    exporters: dict[str, Any] = {"csv": CsvExporter()}
    own: dict[str, Any] = {"csv": {}}
    if tree is not None:
        exporters["tree"], own["tree"] = tree, {"layout": tree.layout}
    shaping = {"size": size, "exporter": own}
    return [
        SlideJob(Path(f"{name}.tiff"), name, open_slide, extractor, exporters, shaping)
        for name in slides
    ]


def done(jobs: Sequence[SlideJob], out: Path | str = "out", verify: str = "size") -> RunResult:
    return run(jobs, Path(out), SerialEngine(), {}, Policy(verify))


def products(out: Path | str = "out") -> dict[str, bytes | str]:
    """Return links and files of the trees: where links lead, and the bytes of files."""
    found: dict[str, bytes | str] = {}
    for top in ("tree", "table.txt"):
        for path in (Path(out) / top, *sorted((Path(out) / top).rglob("*"))):
            name = path.relative_to(out).as_posix()
            if path.is_symlink():
                found[name] = str(path.readlink())
            elif path.is_file():
                found[name] = path.read_bytes()
    return found


def expected(slides: Sequence[str] = SLIDES, layout: str = "one", tiles: int = 6) -> dict[str, Any]:
    lines = "".join(f"{name} {tiles} l_0\n" for name in slides).encode()
    return {
        **{f"tree/folders/{name}": f"../../slides/{name}/more" for name in slides},
        **{f"tree/{layout}/files/{n}.h5": f"../../../slides/{n}/{n}.h5" for n in slides},
        "tree/slides.csv": b"slide_id\n",
        "table.txt": lines,
    }


def times(out: Path = Path("out")) -> dict[str, tuple[int, int]]:
    """Return inode and time of each product and of their list."""
    names = [*products(out), "products.json"]
    facts = {name: (out / name).lstat() for name in names}
    return {name: (fact.st_ino, fact.st_mtime_ns) for name, fact in facts.items()}


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.getMessage().startswith("E_")]


def test_links_are_relative_and_lead_to_the_files(folder: Path) -> None:
    assert done(jobs_of()).exit_code == 0
    assert products() == expected()
    shutil.move("out", "elsewhere")
    for name, target in products("elsewhere").items():
        path = Path("elsewhere") / name
        assert path.exists(), f"{name} -> {target}"
    assert Path("elsewhere/tree/one/files/b.h5").read_bytes() == b"one b 6"
    assert Path("elsewhere/tree/folders/b/2").read_bytes() == b"one b 6"


def test_a_second_run_changes_no_product(folder: Path) -> None:
    done(jobs_of())
    before = times()
    for verify in ("size", "hash", "none"):
        assert done(jobs_of(), verify=verify).exit_code == 0
        assert times() == before


def test_products_are_those_of_this_runs_slides_and_settings(folder: Path) -> None:
    done(jobs_of())
    assert done(jobs_of("ac")).exit_code == 0
    assert products() == expected("ac")
    assert Path("out/slides/b/b.h5").exists(), "the output of a slide of an earlier run stays"
    assert done(jobs_of("ca")).exit_code == 0
    assert products()["table.txt"] == b"c 6 l_0\na 6 l_0\n"
    assert done(jobs_of("bca", Tree("two"))).exit_code == 0
    assert products() == expected("bca", "two")
    assert not Path("out/tree/one").exists()
    assert done(jobs_of("b", Tree("two"), size=50)).exit_code == 0
    assert products() == expected("b", "two", 2)


def test_a_slide_that_failed_is_in_no_product(folder: Path) -> None:
    done(jobs_of())
    Path("b.tiff").write_bytes(b"no slide")
    result = done(jobs_of())
    assert result.exit_code == 3
    assert {row.slide_id: row.output for row in result.rows}["b"] == "earlier"
    assert products() == expected("ac")
    for name in SLIDES:
        Path(f"{name}.tiff").unlink()
    assert done(jobs_of()).exit_code == 3
    assert products() == expected("")


def test_products_of_an_exporter_that_is_left_out_stay_while_they_are_true(folder: Path) -> None:
    done(jobs_of())
    before = times()
    assert done(jobs_of(tree=None)).exit_code == 0
    assert times() == before
    assert done(jobs_of("ab", None)).exit_code == 0
    assert products() == {k: v for k, v in expected("ab").items() if isinstance(v, str)}
    assert done(jobs_of("ab", None, size=50)).exit_code == 0
    assert products() == {}
    assert not {"tree", "products.json"} & {path.name for path in Path("out").iterdir()}


def test_a_deleted_or_changed_product_is_made_again_or_reported(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done(jobs_of())
    Path("out/tree/one/files/b.h5").unlink()
    shutil.rmtree("out/tree/folders")
    Path("out/tree/slides.csv").unlink()
    assert done(jobs_of()).exit_code == 0
    assert products() == expected()
    Path("out/tree/slides.csv").write_bytes(b"slide_ix\n")  # as long as before
    assert done(jobs_of(), verify="hash").exit_code == 3
    assert products()["tree/slides.csv"] == b"slide_ix\n"
    (line,) = complaints(caplog)
    assert line == (
        "E_OCCUPIED: out/tree/slides.csv is a file that tiler did not write, but a file about all"
        " slides belongs there; move it away, and run again"
    )


def a_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"mine")


def a_folder(path: Path) -> None:
    path.mkdir(parents=True)
    (path / "x").write_bytes(b"mine")


def an_empty_folder(path: Path) -> None:
    path.mkdir(parents=True)


def a_link_elsewhere(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Path("mine").mkdir()
    path.symlink_to(Path("mine").absolute())


def a_link_out_of_the_tree(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("../" * len(path.parts) + "slides/../../mine")


def a_link_into_slides_of_another_run(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(Path("other/slides/b/b.h5").absolute())


def everything(root: Path) -> dict[str, bytes | str]:
    return {
        str(path): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


@pytest.mark.parametrize(
    "put",
    [
        a_file,
        a_folder,
        an_empty_folder,
        a_link_elsewhere,
        a_link_out_of_the_tree,
        a_link_into_slides_of_another_run,
    ],
)
@pytest.mark.parametrize(
    "place",
    ["tree/one/files/b.h5", "tree/one/files", "tree/one", "tree/folders/b", "tree/slides.csv"],
)
def test_what_is_the_users_is_never_replaced(
    folder: Path, caplog: pytest.LogCaptureFixture, put: Callable[[Path], None], place: str
) -> None:
    put(Path("out") / place)
    mine = everything(folder)
    free = put in (an_empty_folder, a_folder) and place in ("tree/one/files", "tree/one")
    result = done(jobs_of())
    assert everything(folder).items() >= mine.items()
    assert {row.status for row in result.rows} == {"done"}
    now = products()
    if free:  # a folder may have other files in it
        assert result.exit_code == 0
        assert now.items() >= expected().items()
        return
    assert result.exit_code == 3
    (line,) = complaints(caplog)
    assert line.startswith("E_OCCUPIED")
    assert f" out/{place} is a " in line
    missing = {name for name in expected() if name == place or name.startswith(f"{place}/")}
    assert missing
    assert {name: now.get(name) for name in expected() if name not in missing} == {
        name: target for name, target in expected().items() if name not in missing
    }
    for path in (folder / "out" / place,):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    assert done(jobs_of()).exit_code == 0
    assert products() == expected()


@pytest.mark.parametrize(
    ("put", "place"),
    [
        (a_file, "tree"),
        (a_link_elsewhere, "tree"),
        (a_folder, "table.txt"),
        (a_file, "table.txt"),
        (a_link_elsewhere, "table.txt"),
    ],
)
@pytest.mark.parametrize("how", [run, dry_run])
def test_a_name_that_is_taken_is_refused_before_any_slide(
    folder: Path, put: Callable[[Path], None], place: str, how: Callable[..., Any]
) -> None:
    put(Path("out") / place)
    mine = everything(folder)
    with pytest.raises(ConfigError, match=f"out/{place} is .*move it away, or use another out"):
        how(jobs_of(), Path("out"), SerialEngine(), {})
    assert everything(folder) == mine


@pytest.mark.parametrize("name", ["slides/", "slides.csv", ".cache/", "../x", "a/b", "run.json"])
def test_a_name_of_every_run_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"exporter\.tree: every run writes .*; use another name"):
        done(jobs_of(tree=Tree(names=(name,))))


def test_two_exporters_do_not_share_a_name(folder: Path) -> None:
    jobs = [replace(it, exporters={**it.exporters, "other": Tree()}) for it in jobs_of()]
    with pytest.raises(ConfigError, match=r"exporter\.other: exporter\.tree writes 'tree'"):
        done(jobs)


@dataclass(frozen=True)
class Faulty(Tree):
    """Fails in one of the methods for products."""

    fault: str = ""

    def run_links(self, slide: FinishedSlide) -> Mapping[str, str]:
        if self.fault == "links" and slide.slide_id == "b":
            raise KeyError("x")
        if self.fault == "entry":
            return {"tree/a": "record.json"}
        return super().run_links(slide)

    def run_files(self, slides: Sequence[FinishedSlide]) -> Mapping[str, Iterable[bytes]]:
        if self.fault == "files":
            raise KeyError("x")
        if self.fault == "content":
            return {"tree/a": self.failing()}
        return {"slides/a/a.csv": [b""]} if self.fault == "path" else super().run_files(slides)

    def failing(self) -> Iterable[bytes]:
        yield b"some"
        raise KeyError("x")


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("links", "slide=b: KeyError: 'x' (test_products.py:"),
        ("files", ": KeyError: 'x' (test_products.py:"),
        ("content", ": KeyError: 'x' (test_products.py:"),
        ("entry", "slide=a: test_products.Faulty.run_links: the slide has no 'record.json'"),
        (
            "path",
            ": test_products.Faulty: 'slides/a/a.csv' is not below its run_names ['tree',",
        ),
    ],
)
def test_an_error_of_a_users_exporter_names_its_line(
    folder: Path, caplog: pytest.LogCaptureFixture, fault: str, line: str
) -> None:
    done(jobs_of())
    before = everything(Path("out/slides/a"))
    result = done(jobs_of(tree=Faulty(fault=fault)))
    assert result.exit_code == 3
    assert {row.status for row in result.rows} == {"done"}
    (said,) = complaints(caplog)
    assert said.startswith("E_COMPONENT")
    assert line in said
    assert everything(Path("out/slides/a")) == before
    assert products() == {k: v for k, v in expected().items() if fault == "content" and v[0] == "."}
    assert not list(Path("out").rglob("*.partial"))


def test_a_list_that_was_damaged_or_made_up_harms_nothing(folder: Path) -> None:
    done(jobs_of())
    path = Path("out/products.json")
    text = path.read_bytes()
    path.write_bytes(text[:200] + b"x" + text[201:])
    with pytest.raises(ConfigError, match=r"table\.txt is not known .* products\.json is damaged"):
        done(jobs_of())
    path.unlink()
    with pytest.raises(ConfigError, match=r"table\.txt is not a file that tiler wrote"):
        done(jobs_of())
    a_file(Path("out/own.txt"))
    mine = {"out/own.txt": b"mine", "slides/a/a.csv": Path("out/slides/a/a.csv").read_bytes()}
    files = {
        name: {"exporter": "tree", "versions": [[len(data), digest(data)]], "key": ""}
        for name, data in ({"../in": b""} | {"slides/a/a.csv": mine["slides/a/a.csv"]}).items()
    }
    for names in ([*files], ["slides/a/a.csv"], ["../in"]):
        some = {"tiler": "1", "links": {}, "files": {name: files[name] for name in names}}
        path.write_bytes(b"".join(sealed(iter([json.dumps(some)[:-1].encode()]))))
        before = everything(Path("out/slides"))
        done(jobs_of(tree=None))
        assert everything(Path("out/slides")) == before


def test_products_of_an_exporter_whose_files_stay_stay(folder: Path) -> None:
    done(jobs_of())
    before = times()
    changed = {"csv": CsvExporter(file=False)}
    jobs = [
        replace(job, exporters=changed, settings={**job.settings, "exporter": {"csv": {"file": 0}}})
        for job in jobs_of()
    ]
    assert done(jobs).exit_code == 0
    assert products() == expected()
    del before["products.json"]
    assert times().items() >= before.items()


def test_products_of_slides_to_be_redone_are_gone_before_the_slides(folder: Path) -> None:
    done(jobs_of())
    again = jobs_of(tree=Tree("two"))

    class Stops(SerialEngine):
        def next(self) -> Any:
            raise Interrupted(130)

    jobs = [again[0], *jobs_of("bc")]
    assert run(jobs, Path("out"), Stops(), {}).exit_code == 130
    links = {name: target for name, target in expected("bc").items() if target[:1] == "."}
    assert products() == links, "those of slide a would lead to files of another layout"
    assert done(jobs).exit_code == 0
    assert products()["tree/two/files/a.h5"] == "../../../slides/a/a.h5"
    assert "table.txt" in products()


def test_a_users_files_in_the_trees_stay_when_all_products_go(folder: Path) -> None:
    done(jobs_of())
    for place in ("tree/notes", "tree/one/files/mine.h5", "tree/one/x"):
        a_file(Path("out") / place)
    Path("out/tree/one/files/own").symlink_to("../../../slides/a/a.h5")
    assert done(jobs_of(tree=Tree("two"))).exit_code == 0
    for place in ("tree/notes", "tree/one/files/mine.h5", "tree/one/x"):
        assert (Path("out") / place).read_bytes() == b"mine"
    assert Path("out/tree/one/files/own").is_symlink(), "it is in no list of tiler's"


def test_a_folder_that_became_a_link_is_not_followed(folder: Path) -> None:
    done(jobs_of())
    shutil.move("out/tree/one", "moved")
    Path("out/tree/one").symlink_to(Path("moved").absolute())
    mine = everything(Path("moved"))
    assert done(jobs_of("a", Tree("two"))).exit_code == 0
    assert everything(Path("moved")) == mine
    assert Path("out/tree/one").is_symlink()


def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: str, target_is_directory: bool = False) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)


def test_where_links_cannot_be_made_there_are_copies(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        without_links(patch)
        assert done(jobs_of()).exit_code == 0
        found = products()
        for name in SLIDES:
            assert found[f"tree/one/files/{name}.h5"] == f"one {name} 6".encode()
            assert found[f"tree/folders/{name}/2"] == f"one {name} 6".encode()
        before = times()
        assert done(jobs_of()).exit_code == 0
        assert {name: inode for name, (inode, _) in times().items()} == {
            name: inode for name, (inode, _) in before.items()
        }
        assert done(jobs_of("ab", size=50)).exit_code == 0
        found = products()
        assert found["tree/one/files/b.h5"] == b"one b 2"
        assert not [name for name in found if "/c" in name]
        Path("out/tree/one/files/a.h5").write_bytes(b"one a 3")
        assert done(jobs_of("ab", size=50)).exit_code == 3
        assert products()["tree/one/files/a.h5"] == b"one a 3"
        assert "slide=a: out/tree/one/files/a.h5 is a file that tiler" in complaints(caplog)[0]
        Path("out/tree/one/files/a.h5").unlink()
    assert done(jobs_of()).exit_code == 0
    assert products() == expected()


def test_copies_take_the_place_of_links_and_stay_while_they_are_true(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert done(jobs_of()).exit_code == 0
    without_links(monkeypatch)
    assert done(jobs_of()).exit_code == 0
    found = products()
    assert found["tree/folders/a/2"] == found["tree/one/files/a.h5"] == b"one a 6"
    assert not any(path.is_symlink() for path in Path("out").rglob("*"))
    before = times()
    assert done(jobs_of(tree=None)).exit_code == 0
    assert times() == before, "an exporter that is left out keeps its copies"
    assert done(jobs_of("ab", tree=None)).exit_code == 0
    assert {name for name in found if "/c" not in name} >= products().keys()
    assert products()["tree/folders/b/1"] == b"one b 6"


@pytest.mark.parametrize("place", ["out/tree/folders/a", "out/tree/folders"])
def test_copies_never_go_through_a_link_of_the_users(
    folder: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    done(jobs_of())
    Path(place).unlink() if Path(place).is_symlink() else shutil.rmtree(place)
    Path("mine/a").mkdir(parents=True)
    Path(place).symlink_to(Path("mine").absolute())
    without_links(monkeypatch)
    assert done(jobs_of()).exit_code == 3
    assert Path(place).is_symlink()
    assert everything(Path("mine")) == {}


def test_each_record_is_read_once_at_the_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, original = list[str](), gather.read_record

    def counted(place: Path) -> Any:
        read.append(place.name)
        return original(place)

    monkeypatch.setattr(gather, "read_record", counted)
    done(jobs_of())
    assert sorted(read) == list(SLIDES)
    read.clear()
    done(jobs_of(tree=None), "plain")
    assert read == [], "nothing is read for a run without products"


def killed_at(number: int, jobs: Sequence[SlideJob]) -> bool:
    """Run in a process that dies at a call of its products, counted from 0; whether it died."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] != 0
    left, original = number, make.make_products

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        reads = event == "open" and not int(str(arguments[2])) & (os.O_WRONLY | os.O_RDWR)
        left -= event in CALLS and not reads
        if left < 0:
            os._exit(9)

    def making(*arguments: Any) -> Any:
        sys.addaudithook(count)
        return original(*arguments)

    make.make_products = making
    done(jobs)
    os._exit(0)


CALLS = {"os.rename", "os.symlink", "os.remove", "os.mkdir", "os.rmdir", "open"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.parametrize("before", [None, jobs_of("ab")], ids=["new", "changed"])
def test_a_run_that_is_killed_while_it_makes_products_is_completed_by_the_next(
    folder: Path, before: list[SlideJob] | None
) -> None:
    after = jobs_of("bc", Tree("two"))
    done(jobs_of("bc", Tree("two")), "tiled")
    if before:
        done(before, "tiled")
    number = 0
    while True:
        shutil.copytree("tiled", "out", symlinks=True)
        killed = killed_at(number, after)
        assert done(after).exit_code == 0
        assert products() == expected("bc", "two"), f"killed at call {number}"
        assert not Path("out/.partial").exists()
        shutil.rmtree("out")
        if not killed:
            break
        number += 4
    assert number > (30 if before else 5)
