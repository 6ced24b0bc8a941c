"""Things that another person's configuration, table or record may not do: docs/security.md."""

from __future__ import annotations

import csv
import inspect
import json
import pkgutil
import shutil
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from command import a_third_quick, complaint, read_csv, tiler
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

import tiler as package
from tiler.checks.targets import allowed_target, trusted_packages
from tiler.config import rows
from tiler.config.build import build
from tiler.config.cells import cell_value
from tiler.config.command.flags import read_command_line
from tiler.config.command.folder import conf_folder
from tiler.config.command.rerun import write_rerun
from tiler.config.components import job_parts, made_again
from tiler.config.compose import compose
from tiler.config.literal import literal
from tiler.config.schema import register_schema
from tiler.config.sweeps.multirun import register_resolvers
from tiler.geometry import Size
from tiler.slides.demo import write_demo_slide

GROUPS = ("slides", "reader", "resolution", "tile", "mask", "exporter", "engine", "tracker")


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    trusted_packages.cache_clear()
    yield
    trusted_packages.cache_clear()


@cache
def callables() -> frozenset[str]:
    """Return every callable in tiler that has a dotted name."""
    names = set()
    for module in pkgutil.walk_packages(package.__path__, "tiler."):
        if not module.name.endswith("__main__"):
            found = inspect.getmembers(import_module(module.name), callable)
            names |= {f"{module.name}.{name}" for name, _ in found}
    return frozenset(names)


def listed(group: str) -> set[str]:
    """Return the components of a group."""
    if group == "resolution":
        return {"tiler.resolution.Level", "tiler.resolution.MPP", "tiler.resolution.Magnification"}
    if group == "tile":
        return {"tiler.spec.TileSpec"}
    home = {"engine": "tiler.runner.engines", "slides": "tiler.slides"}.get(
        group, f"tiler.{group}s"
    )
    return {f"{home}.{name}" for name in import_module(home).__all__}


@pytest.mark.parametrize("group", [*GROUPS, "hydra", "limits"])
def test_a_group_accepts_only_its_own_components(group: str) -> None:
    everything = callables().union(*map(listed, GROUPS))
    assert len(everything) > 500
    taken = {name for name in everything if _is_taken(name, group)}
    assert taken == (listed(group) if group in GROUPS else set())


def _is_taken(name: str, group: str) -> bool:
    try:
        allowed_target(name, group)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("option", sorted(conf_folder().glob("*/*.yaml")), ids=lambda p: p.stem)
def test_every_option_names_a_component_of_its_group(option: Path) -> None:
    node = yaml.safe_load(option.read_text()) or {}
    while "_target_" not in node and option.parent.name != "experiment":
        base, *_ = node["defaults"]  # the option of this group that it extends
        node = yaml.safe_load((option.parent / f"{base}.yaml").read_text())
    if option.parent.name != "experiment":
        assert allowed_target(node["_target_"], option.parent.name)


TEXTS = st.text(alphabet="\\${}a:.'\" \n,", max_size=12) | st.text(max_size=8)


@given(TEXTS)
def test_a_literal_text_resolves_to_itself(text: str) -> None:
    config = OmegaConf.create({"text": literal(text), "list": [{"a": literal(text)}]})
    found = OmegaConf.to_container(config, resolve=True)
    assert found == {"text": text, "list": [{"a": text}]}
    assert yaml.safe_load(yaml.safe_dump(literal(text))) == literal(text)


MARK = "{_target_: os.mkdir, path: pwned}"


@given(TEXTS)
def test_components_get_texts_unchanged(text: str) -> None:
    evil = f"{text}${{oc.create:{MARK}}}"
    for path in (text, evil, f"${{oc.create:{MARK}}}"):
        plain = {"tracker": {"_target_": "tiler.trackers.MlflowTracker", "uri": path,
                             "experiment": "x"}}  # fmt: skip
        assert vars(made_again(plain, "tracker"))["_uri"] == path


def test_hydra_resolves_twice() -> None:
    """Hydra builds what a text names, so texts are passed without Hydra."""
    node = {"_target_": "builtins.dict", "x": "\\${oc.create:{_target_: builtins.dict, y: 1}}"}
    assert instantiate(node)["x"] == {"y": 1}


ESCAPED = "\\${oc.create:{_target_:os.mkdir,path:pwned}}"


@pytest.mark.parametrize(
    "words",
    a_third_quick(
    [
        [f"mask.path='{ESCAPED}'", "mask=file"],
        [f"mask.path='{ESCAPED.replace(chr(92), chr(92) * 5)}'", "mask=file"],
        ["mask.path=${oc.create:{_target_:os.mkdir,path:pwned}}", "mask=file"],
        ["+mask.x=${oc.create:{_target_:os.mkdir,path:pwned}}"],
        ["mask=${oc.create:{_target_:os.mkdir,path:pwned}}"],
        ["mask._target_=tiler.files.write_whole"],
        ["mask._target_=tiler.config.components._from_bytes"],
        ["slides._target_=tiler.masks.FileMask"],
        ["exporter.csv._target_=tiler.trackers.JsonlTracker"],
        ["+exporter.csv._args_=[{_target_:os.mkdir,path:pwned}]"],
        ["+exporter.csv.x=[[{y: {_target_: os.mkdir, path: pwned}}]]"],
        ["+mask._args_=[8]"],
        ["+mask._partial_=true"],
        ["reader._partial_=false"],
        ["resolution._target_=tiler.resolution.plan_read"],
        ["tile._target_=tiler.spec.open"],
        ["engine._target_=tiler.runner.engines.processes.os.mkdir"],
        ["tracker._target_=${oc.decode:os.mkdir}"],
    ]
    ),
)  # fmt: skip
def test_a_configuration_runs_no_other_code(tmp_path: Path, words: list[str]) -> None:
    write_demo_slide(tmp_path / "a.tiff", Size(300, 260))
    done = tiler(*words, "slides=files", "slides.paths=a.tiff", "out=out", cwd=tmp_path)
    assert done.returncode in (2, 3), done.stderr
    assert not list(tmp_path.rglob("*pwned*"))
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_file_whose_name_looks_like_an_interpolation_is_a_file(tmp_path: Path) -> None:
    name = "${oc.env:HOME}.tiff"
    write_demo_slide(tmp_path / name, Size(300, 260))
    done = tiler("slides=files", "slides.paths='\\${oc.env:HOME}.tiff'", "resolution=level",
                 "out=out", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out/run.json").read_text())["config"]["slides"]["paths"] == name
    again = tiler("--rerun", "out", "out=again", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert len(read_csv(tmp_path / "again/slides.csv")) == 1


RERUN = {
    "component": ({"mask": {"_target_": "os.mkdir", "path": "pwned"}}, "mask._target_=os.mkdir"),
    "function": ({"mask": {"_target_": "tiler.files.append_line"}}, "mask._target_=tiler.files"),
    "nested": ({"exporter": {"x": [{"_target_": "os.mkdir"}]}}, "exporter.x[0]._target_=os.mkdir"),
    "defaults": ({"defaults": [{"mask": "none"}]}, "a key 'defaults'"),
    "text": ({"mask": {"_target_": "tiler.masks.FileMask", "path": f"${{oc.create:{MARK}}}"}}, ""),
    "hydra": ({"hydra": {"callbacks": {"x": {"_target_": "os.mkdir", "path": "pwned"}}}}, ""),
    "secret": ({"name": "${oc.env:SECRET}"}, ""),
}


@pytest.fixture(scope="module")
def old_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a slide, and a run over it."""
    folder = tmp_path_factory.mktemp("old")
    write_demo_slide(folder / "a.tiff", Size(300, 260))
    common = ["slides=files", "slides.paths=a.tiff", "resolution=level", "mask=none"]
    assert tiler(*common, "out=old", cwd=folder).returncode == 0
    return folder


@pytest.mark.parametrize(("change", "said"), RERUN.values(), ids=RERUN)
def test_another_persons_record_runs_no_code(
    tmp_path: Path, old_run: Path, change: dict[str, object], said: str
) -> None:
    shutil.copytree(old_run, tmp_path, dirs_exist_ok=True)
    record = json.loads((tmp_path / "old/run.json").read_text())
    record["config"] |= change
    (tmp_path / "old/run.json").write_text(json.dumps(record))
    done = tiler("--rerun", "old", "out=new", cwd=tmp_path, env={"SECRET": "hush"})
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*pwned*"))
    if said:
        assert done.returncode == 2
        assert said in complaint(done)
    assert not any("hush" in path.read_text() for path in tmp_path.rglob("*.json"))


@given(st.dictionaries(TEXTS, TEXTS, max_size=3))
@settings(max_examples=20)
def test_a_rerun_has_the_values_of_its_record(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, str]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    record = {"tiler": "1", "config": {"name": "x", "mask": values}}
    (folder / "run.json").write_text(json.dumps(record))
    write_rerun(folder, [], folder)
    found = OmegaConf.to_container(OmegaConf.load(folder / "rerun.yaml").mask, resolve=True)
    assert found == values


def bomb(levels: int = 9) -> str:
    """Return a short YAML text that stands for a billion values."""
    lists = [f"&x{n} [{','.join([f'*x{n - 1}'] * 9)}]" for n in range(1, levels)]
    return f"[&x0 [a,a,a,a,a,a,a,a,a],{','.join(lists)}]"


CELLS = {
    "bomb": bomb(),
    "alias": "&a [1]",
    "code": "!!python/object/apply:os.mkdir [pwned]",
    "mapping": "{_target_: os.mkdir, path: pwned}",
    "nested": "[[1]]",
    "deep": "[" * 2000,
    "long": "1" * 5000,
    "secret": "${oc.env:SECRET}",
    "node": f"${{oc.create:{MARK}}}",
    "date": "2026-01-01",
    "broken": "[1",
}


@given(st.sampled_from(list(CELLS.values())) | st.text(max_size=30))
def test_a_cell_is_plain_data(text: str) -> None:
    try:
        value = cell_value(text)
    except ValueError:
        return
    items = value if isinstance(value, list) else [value]
    assert all(item is None or isinstance(item, str | int | float) for item in items)


@pytest.mark.parametrize("name", ["bomb", "alias", "code", "mapping", "nested", "deep", "long"])
def test_cells_that_are_more_than_data_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"text|alias|flow node|characters|constructor"):
        cell_value(CELLS[name])


@pytest.mark.slow
def test_another_persons_table_runs_no_code_and_reads_no_file(tmp_path: Path) -> None:
    with (tmp_path / "t.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "tile.size", "mask.path"])
        table.writerows([f"{name}.tiff", cell, "m.png"] for name, cell in CELLS.items())
        table.writerow(["long2.tiff", "64", "m" * 300 + "${oc.env:SECRET}"])
    words = ["slides=table", "slides.table=t.csv", "mask=file", "resolution=level", "out=out"]
    short = (tmp_path / "t.csv").read_text().replace("1" * 5000, "x" * 4000)
    for text in ((tmp_path / "t.csv").read_text(), short):
        (tmp_path / "t.csv").write_text(text)
        done = tiler(*words, cwd=tmp_path, env={"SECRET": "hush"})
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert "hush" not in done.stderr
        assert len(done.stderr) < 8000
        assert all(len(line) < 320 for line in done.stderr.splitlines())
        assert not list(tmp_path.rglob("*pwned*"))


def test_a_text_of_a_table_stays_as_it_is(tmp_path: Path) -> None:
    write_demo_slide(tmp_path / "a.tiff", Size(300, 260))
    names = ["${oc.env:SECRET}.png", f"${{oc.create:{MARK}}}", "\\${name}"]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "slide_id", "mask.path"])
        table.writerows(["a.tiff", f"s{n}", name] for n, name in enumerate(names))
    done = tiler("slides=table", "slides.table=t.csv", "mask=file", "resolution=level", "out=out",
                 cwd=tmp_path, env={"SECRET": "hush"})  # fmt: skip
    assert done.returncode == 3, done.stderr
    reasons = [row["reason"] for row in read_csv(tmp_path / "out/slides.csv")]
    assert all(name in reason for name, reason in zip(names, reasons, strict=True)), reasons
    assert not list(tmp_path.rglob("*pwned*"))
    assert not any("hush" in path.read_text() for path in (tmp_path / "out").glob("*.*"))


def test_rows_with_equal_settings_share_their_components(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def counted(plain: dict[str, object]) -> dict[str, object]:
        made.append(plain)
        return job_parts(plain)

    monkeypatch.setattr(rows, "job_parts", counted)
    register_schema()
    register_resolvers()
    lines = [f"{n}.tiff,{n % 3 / 10},{0.2 + n % 2 / 10},128" for n in range(3000)]
    (tmp_path / "t.csv").write_text("path,threshold,reader.mpp,tile.size\n" + "\n".join(lines))
    words = ["slides=table", f"slides.table={tmp_path}/t.csv"]
    config = compose(read_command_line(words)).config
    plan = build(OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]))
    assert (len(plan.jobs), len(made)) == (3000, 6)
    assert len({id(job.settings) for job in plan.jobs}) == 6


FILE_MASK = "_target_: tiler.masks.FileMask\npath: "
OPTIONS = {
    "escaped": {"mask/bad": f"{FILE_MASK}'{ESCAPED}'"},
    "escaped again": {"mask/bad": f"{FILE_MASK}'{ESCAPED.replace(chr(92), chr(92) * 3)}'"},
    "node": {"mask/bad": f"{FILE_MASK}${{oc.create:{MARK}}}"},
    "function": {"mask/bad": "_target_: os.mkdir\npath: pwned"},
    "joined": {"mask/bad": f"{FILE_MASK}'$${{name}}'",
               "experiment/bad": f"# @package _global_\nname: '{ESCAPED[2:]}'"},
    "decoded": {"mask/bad": f"{FILE_MASK}'${{oc.decode:${{name}}}}'", "experiment/bad":
                f"# @package _global_\nname: {json.dumps(json.dumps(MARK))}"},
}  # fmt: skip


@pytest.mark.parametrize("files", OPTIONS.values(), ids=OPTIONS)
def test_another_persons_options_run_no_code(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = tmp_path / f"mine/{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    write_demo_slide(tmp_path / "a.tiff", Size(300, 260))
    words = ["mask=bad", *(["experiment=bad"] if "experiment/bad" in files else []), "out=out"]
    slides = ["slides=files", "slides.paths=a.tiff"]
    done = tiler("--config-dir", "mine", *words, *slides, cwd=tmp_path)
    assert done.returncode in (2, 3), done.stderr
    assert not list(tmp_path.rglob("pwned"))
    assert "Traceback" not in done.stderr
