"""Every option of every group composes and builds; every mistake is named in one line."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import a_third_quick
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from omegaconf import DictConfig, open_dict

from tiler.checks.targets import ANY, allowed_target, parameters, required, trusted_packages
from tiler.config.build import build
from tiler.config.checks.validate import problems_in
from tiler.config.command.folder import conf_folder
from tiler.config.components import SHAPES_OUTPUT
from tiler.config.schema import register_schema
from tiler.config.sweeps.multirun import job_folder, register_resolvers
from tiler.errors import ConfigError
from tiler.runner.work.cached import _mask_facts

NEEDED = {
    "slides": {"files": ["slides.paths=nowhere.svs"], "table": ["slides.table={table}"]},
    "mask": {
        "annotation": ["mask.path='drawn/{{slide}}.geojson'"],
        "combine": ["+mask@mask.all.tissue=otsu"],
        "file": ["mask.path='masks/{{slide}}.png'"],
        "onnx": ["mask.path=net.onnx", "mask.mpp=1"],
        "tissue_in_annotation": ["mask.all.annotation.path=drawn.xml"],
    },
    "label": {"annotation": ["label.path='drawn/{{slide}}.geojson'"]},
}
OPTIONS = sorted(
    (file.parent.relative_to(conf_folder()).as_posix(), file.stem)
    for file in conf_folder().rglob("*.yaml")
    if file.parent != conf_folder() and "hydra" not in file.parts
)


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """Clear the cache of packages of the environment: each test is a command of its own."""
    trusted_packages.cache_clear()
    yield
    trusted_packages.cache_clear()


@pytest.fixture(autouse=True)
def _hydra(parsed_conf: None) -> Iterator[None]:
    GlobalHydra.instance().clear()
    register_schema()
    register_resolvers()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        yield


def composed(*overrides: str) -> DictConfig:
    return compose("config", list(overrides))


def test_groups_are_all_there() -> None:
    groups = {group for group, _ in OPTIONS}
    assert {"slides", "reader", "resolution", "tile", "mask", "exporter", "experiment"} <= groups


@pytest.mark.parametrize(
    ("group", "option"),
    [
        *a_third_quick(one for one in OPTIONS if one[0] not in SHAPES_OUTPUT),
        *(  # test_contract.py, too, composes these
            pytest.param(*one, marks=pytest.mark.slow) for one in OPTIONS if one[0] in SHAPES_OUTPUT
        ),
    ],
)
def test_every_option_composes_and_builds(
    group: str, option: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    table = tmp_path / "slides.csv"
    table.write_text("path\na.svs\n")
    needed = [text.format(table=table) for text in NEEDED.get(group, {}).get(option, [])]
    slides = [] if group == "slides" else ["slides=files", "slides.paths=nowhere.svs"]
    demo = []
    if (group, option) == ("slides", "demo"):
        demo = [f"slides.folder={request.getfixturevalue('demo_svs').parent}"]
    config = composed(f"{group}={option}", *slides, *needed, *demo)
    plan = build(config)
    assert len(plan.jobs) == 1
    job = plan.jobs[0]
    assert job.exporters
    if group not in ("slides", "engine", "experiment"):
        listed = group in ("exporter", "filter", "transform")
        node = config[group][option] if listed else config[group]
        made = instantiate(node, _partial_=True)
        assert made.func.__module__.startswith("tiler.")


@pytest.mark.parametrize(
    ("overrides", "words"),
    a_third_quick(
        [
            (["+tile.stide=128"], ["tile.stide", "did you mean", "stride"]),
            (["+treshold=0.3"], ["treshold", "did you mean", "threshold"]),
            (["tile.size=256px"], ["tile.size", "256px", "number"]),
            (["tile.size=-1"], ["tile.size", "-1", "positive"]),
            (["tile.size=0"], ["tile.size", "0", "positive"]),
            (["tile.stride=0"], ["tile.stride", "0"]),
            (["tile.size=12.5"], ["tile.size", "12.5", "whole"]),
            (["tile.size=.nan"], ["tile.size", "nan"]),
            (["tile.unit=furlong"], ["tile.unit", "furlong", "pixels", "um"]),
            (["tile.edge=wrap"], ["tile.edge", "wrap", "drop", "pad", "shift"]),
            (["threshold=1.5"], ["threshold", "1.5", "from 0 to 1"]),
            (["threshold=-0.1"], ["threshold", "-0.1"]),
            (["resolution.value=0"], ["mpp", "0", "positive"]),
            (["resolution=level", "resolution.value=0.5"], ["resolution.value", "0.5", "whole"]),
            (["reader.mpp=1e300"], ["reader.mpp=1e+300", "from 1e-06 to 1e+06"]),
            (["reader.magnification=1e-300"], ["reader.magnification=1e-300", "from 1e-06"]),
            (["~limits"], ["limits: every run needs it"]),
            (["reader.mpp=fine"], ["reader.mpp", "fine", "number"]),
            (["exporter=[images]", "exporter.images.extension=gif"], ["extension", "gif", "png"]),
            (["exporter=[images]", "exporter.images.quality=0"], ["quality", "0"]),
            (["exporter=[]"], ["exporter", "at least one"]),
            (["mask._target_=os.remove"], ["mask._target_", "os.remove", "TILER_TARGETS"]),
            (["mask._target_=tiler.files.Path"], ["mask._target_", "TILER_TARGETS"]),
            (["mask._target_=tiler.masks.Nothing"], ["mask._target_", "no such component"]),
            (["slides=files"], ["slides.paths", "not set"]),
            (["out=outputs/${nowhere}"], ["nowhere"]),
            (["context=${limits}"], ["context=", "a list"]),
            (["limits=${context}"], ["limits=[]", "limits.max_tiles"]),
            (["limits=${name}"], ["limits='demo'", "limits.max_tiles"]),
            (["pyramid=${limits}"], ["pyramid=", "a list"]),
        ]
    ),
)
def test_each_mistake_is_named(overrides: list[str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        build(composed(*overrides))
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    for word in words:
        assert word in text


def test_all_mistakes_are_listed_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        build(composed("tile.size=-3", "resolution.value=0", "reader.mpp=-1", "threshold=0.5"))
    text = str(caught.value)
    assert "tile.size=-3" in text
    assert "mpp=0" in text


@pytest.mark.parametrize("part", ["engine", "tracker", "slides", "mask"])
def test_an_error_of_a_users_component_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    (tmp_path / "broken_part.py").write_text("def make():\n    raise RuntimeError('no luck')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TILER_TARGETS", "broken_part")
    config = composed()
    with open_dict(config):
        config[part] = {"_target_": "broken_part.make"}
    with pytest.raises(
        ConfigError,
        match=rf"E_COMPONENT: {part}: RuntimeError: no luck \(broken_part.py:2, in make\)",
    ):
        build(config)


@pytest.mark.parametrize("parts", [{}, {"store": {"_target_": "own_part.Store"}}])
def test_runs_do_not_share_components(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: dict[str, object]
) -> None:
    (tmp_path / "own_part.py").write_text(
        "class Store:\n    pass\n"
        "class Tracker:\n    def __init__(self, words: list, store=None):\n"
        "        words.append('used')\n        self.words, self.store = words, store\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TILER_TARGETS", "own_part")
    config = composed("slides=files", "slides.paths=nowhere.svs")
    with open_dict(config):
        config.tracker = {"_target_": "own_part.Tracker", "words": ["new"], **parts}
    first, second = (build(config).tracker for _ in range(2))
    assert first.words == second.words == ["new", "used"]
    assert first is not second
    if parts:
        assert type(first.store).__name__ == "Store"
        assert first.store is not second.store


@pytest.mark.parametrize(
    ("words", "stride"),
    [
        ([], (128, 128)),
        (["tile.size=512"], (256, 256)),
        (["tile.size=[301,64]"], (150, 32)),
        (["tile.size=512", "tile.stride=100"], (100, 100)),
        (["tile.size=512", "tile.overlap=0.25"], (384, 384)),
        (["tile.size=100.5", "tile.unit=um"], (50.25, 50.25)),
    ],
)
def test_tiles_of_any_size_overlap_by_half(words: list[str], stride: tuple[float, float]) -> None:
    plan = build(composed("slides=files", "slides.paths=a.svs", "tile=overlap", *words))
    assert plan.jobs[0].extractor.tile_spec.stride == stride


@pytest.mark.parametrize("option", ["pixels", "um"])
def test_tiles_overlap_as_requested(option: str) -> None:
    words = ["slides=files", "slides.paths=a.svs", f"tile={option}", "tile.size=200"]
    assert build(composed(*words)).jobs[0].extractor.tile_spec.stride == (200, 200)
    plan = build(composed(*words, "tile.overlap=0.25"))
    assert plan.jobs[0].extractor.tile_spec.stride == (150, 150)


def test_targets_of_the_environment_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="TILER_TARGETS"):
        allowed_target("fractions.Fraction", "mask")
    monkeypatch.setenv("TILER_TARGETS", "decimal, fractions")
    with pytest.raises(ValueError, match="TILER_TARGETS"):
        allowed_target("fractions.Fraction", "mask")  # the value at the start of the command counts
    trusted_packages.cache_clear()
    assert allowed_target("fractions.Fraction", "mask").__name__ == "Fraction"
    with pytest.raises(ValueError, match="TILER_TARGETS"):
        allowed_target("fractionsx.Fraction", "mask")


def test_a_plain_configuration_has_no_problems() -> None:
    assert problems_in({"out": "x", "threshold": 1}, ["out", "threshold"]) == []


def test_a_table_overrides_keys_slide_by_slide(tmp_path: Path) -> None:
    table = tmp_path / "slides.csv"
    table.write_text("path,threshold,reader.mpp,tile.size\na.svs,0.1,,\nb.svs,,0.25,128\n")
    plan = build(composed("slides=table", f"slides.table={table}"))
    first, second = plan.jobs
    assert first.extractor.mask_threshold == 0.1
    assert first.settings["reader"]["mpp"] is None
    assert second.extractor.mask_threshold == 0.5
    assert second.settings["reader"]["mpp"] == 0.25
    assert second.extractor.tile_spec.size == (128, 128)


@pytest.mark.parametrize(
    ("header", "cell", "words"),
    [
        ("treshold", "0.1", ["treshold", "did you mean", "threshold", "a.svs"]),
        ("threshold", "lots", ["threshold", "lots", "a.svs"]),
        ("tile.size", "-4", ["tile.size", "-4", "a.svs"]),
        ("reader.mpp", "coarse", ["reader.mpp", "coarse", "a.svs"]),
        ("out", "elsewhere", ["out", "not a key that a slide may set"]),
    ],
)
def test_a_table_cannot_set_invalid_values(
    tmp_path: Path, header: str, cell: str, words: list[str]
) -> None:
    table = tmp_path / "slides.csv"
    table.write_text(f"path,{header}\na.svs,{cell}\n")
    with pytest.raises(ConfigError) as caught:
        build(composed("slides=table", f"slides.table={table}"))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ([], "reader.cache_bytes=7"),
        (["reader=tiff"], "reader.max_tile_bytes=77777777"),
        (["reader=image"], "reader.max_pixels=777"),
        (["mask=file", "mask.path=a.png"], "mask.max_pixels=777"),
    ],
)
def test_settings_that_shape_no_output_change_neither_settings_nor_masks(
    options: list[str], change: str
) -> None:
    words = ["slides=files", "slides.paths=nowhere.svs", *options]
    one, other = (build(composed(*words, *more)).jobs[0] for more in ([], [change]))
    assert one.settings == other.settings
    assert _mask_facts(one) == _mask_facts(other)


@pytest.mark.parametrize(
    ("overrides", "folder"),
    [
        ("threshold=0.1,resolution.value=0.5", "threshold=0.1,resolution.value=0.5"),
        ("slides.paths=/data/a.svs", "slides.paths=_data_a.svs"),
        ("", "job"),
        ("..", "job"),
    ],
)
def test_a_job_folder_is_a_plain_name(overrides: str, folder: str) -> None:
    assert job_folder(overrides) == folder


def test_long_job_folders_stay_apart() -> None:
    one, other = (job_folder("tile.size=" + "1" * 300 + end) for end in "ab")
    assert one != other
    assert len(one) < 140


def test_a_job_reaches_a_worker_without_hydra() -> None:
    words = ["slides=files", "slides.paths=nowhere.svs", "exporter=[csv,json,images]"]
    job = build(composed(*words)).jobs[0]
    source = (
        "import pickle, sys; job = pickle.load(sys.stdin.buffer); job.open_reader;"
        "print(*{name.split('.')[0] for name in sys.modules} & {'hydra', 'omegaconf', 'yaml'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], input=pickle.dumps(job), capture_output=True, check=True
    )
    assert done.stdout.split() == []


class Oddly:
    """A class with all forms of type hints and parameters."""

    def __init__(self, first, /, second: int | 3, third, *more, fourth=4, **rest):
        pass


def test_unusual_signatures_are_read_as_far_as_possible() -> None:
    assert list(parameters(Oddly)) == ["first", "second", "third", "more", "fourth", ANY]
    assert required(Oddly) == {"second", "third"}  # the first can only be given by _args_
    assert list(parameters(dict)) == [ANY]
    assert not required(dict)
