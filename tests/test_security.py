"""What somebody else's configuration, table or record may not do: docs/security.md."""

from __future__ import annotations

import inspect
import json
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from command import complaint, read_csv, tiler
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

import tiler as package
from tiler.config.checks.targets import allowed_target, trusted_packages
from tiler.config.command.folder import conf_folder
from tiler.config.command.rerun import write_rerun
from tiler.config.components import made_anew
from tiler.config.literal import literal
from tiler.geometry import Size
from tiler.slides.demo import write_demo_slide

GROUPS = ("slides", "reader", "resolution", "tile", "mask", "exporter", "engine", "tracker")


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    trusted_packages.cache_clear()
    yield
    trusted_packages.cache_clear()


def callables() -> set[str]:
    """Everything in tiler that a dotted name leads to and that can be called."""
    names = set()
    for module in pkgutil.walk_packages(package.__path__, "tiler."):
        if not module.name.endswith("__main__"):
            found = inspect.getmembers(import_module(module.name), callable)
            names |= {f"{module.name}.{name}" for name, _ in found}
    return names


def listed(group: str) -> set[str]:
    """The components of a group."""
    if group == "resolution":
        return {"tiler.resolution.Level", "tiler.resolution.MPP", "tiler.resolution.Magnification"}
    if group == "tile":
        return {"tiler.spec.TileSpec"}
    home = {"engine": "tiler.runner.engines", "slides": "tiler.slides"}.get(
        group, f"tiler.{group}s"
    )
    return {f"{home}.{name}" for name in import_module(home).__all__}


@pytest.mark.parametrize("group", [*GROUPS, "hydra", "limits"])
def test_a_group_takes_its_own_components_alone(group: str) -> None:
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
def test_components_get_texts_as_they_are(text: str) -> None:
    evil = f"{text}${{oc.create:{MARK}}}"
    for path in (text, evil, f"${{oc.create:{MARK}}}"):
        plain = {"tracker": {"_target_": "tiler.trackers.MlflowTracker", "uri": path,
                             "experiment": "x"}}  # fmt: skip
        assert vars(made_anew(plain, "tracker"))["_uri"] == path


def test_hydra_resolves_twice() -> None:
    """Why texts are handed over beside Hydra: here it builds what a text names."""
    node = {"_target_": "builtins.dict", "x": "\\${oc.create:{_target_: builtins.dict, y: 1}}"}
    assert instantiate(node)["x"] == {"y": 1}


ESCAPED = "\\${oc.create:{_target_:os.mkdir,path:pwned}}"


@pytest.mark.parametrize(
    "words",
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
    ],
)  # fmt: skip
def test_a_configuration_runs_no_other_code(tmp_path: Path, words: list[str]) -> None:
    write_demo_slide(tmp_path / "a.tiff", Size(300, 260))
    done = tiler(*words, "slides=files", "slides.paths=a.tiff", "out=out", cwd=tmp_path)
    assert done.returncode in (2, 3), done.stderr
    assert not list(tmp_path.rglob("*pwned*"))
    assert "Traceback" not in done.stderr


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
    "function": ({"mask": {"_target_": "tiler.files.make_folder"}}, "mask._target_=tiler.files"),
    "nested": ({"exporter": {"x": [{"_target_": "os.mkdir"}]}}, "exporter.x[0]._target_=os.mkdir"),
    "defaults": ({"defaults": [{"mask": "none"}]}, "a key 'defaults'"),
    "text": ({"mask": {"_target_": "tiler.masks.FileMask", "path": f"${{oc.create:{MARK}}}"}}, ""),
    "hydra": ({"hydra": {"callbacks": {"x": {"_target_": "os.mkdir", "path": "pwned"}}}}, ""),
    "secret": ({"name": "${oc.env:SECRET}"}, ""),
}


@pytest.mark.parametrize(("change", "said"), RERUN.values(), ids=RERUN)
def test_a_record_of_somebody_else_runs_nothing(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    write_demo_slide(tmp_path / "a.tiff", Size(300, 260))
    common = ["slides=files", "slides.paths=a.tiff", "resolution=level", "mask=none"]
    assert tiler(*common, "out=old", cwd=tmp_path).returncode == 0
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
