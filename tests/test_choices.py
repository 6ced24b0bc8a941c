"""A group accepts one option, unless each of its options has its own package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from command import complaint, tiler
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode

from tiler.config.checks.choices import check_choices
from tiler.config.command.folder import conf_folder
from tiler.config.schema import register_schema
from tiler.config.sweeps.multirun import register_resolvers
from tiler.errors import ConfigError

OPTIONS: dict[str, list[str]] = {}
for file in sorted(conf_folder().glob("*/*.yaml")):
    OPTIONS.setdefault(file.parent.name, []).append(file.stem)
MANY = {
    group
    for group, names in OPTIONS.items()
    if all(
        f"# @package {group}.{name}" in (conf_folder() / f"{group}/{name}.yaml").read_text()
        for name in names
    )
}
"""The groups whose options have packages of their own: any number of them may be chosen."""


@pytest.fixture
def loader(parsed_conf: None) -> Iterator[ConfigLoader]:
    GlobalHydra.instance().clear()
    register_schema()
    register_resolvers()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


def check(loader: ConfigLoader, *words: str) -> None:
    overrides = OverridesParser.create().parse_overrides(list(words))
    config = loader.load_configuration("config", list(words), RunMode.MULTIRUN)
    check_choices(loader, "config", config, overrides)


def test_the_groups_of_many_options_are_known() -> None:
    assert {"exporter", "filter", "transform"} == MANY
    assert len(OPTIONS) > 8


@pytest.mark.parametrize("group", sorted(set(OPTIONS) - MANY))
def test_a_list_for_a_group_that_takes_one_option_is_refused(
    loader: ConfigLoader, group: str
) -> None:
    first, second = OPTIONS[group][:2]
    with pytest.raises(ConfigError) as caught:
        check(loader, f"{group}=[{first},{second}]")
    assert f"{group}=[{first},{second}]: the group takes one option" in str(caught.value)


@pytest.mark.parametrize("brackets", ["{}", "[{}]"])  # the same
def test_one_option_for_each_group_that_takes_one_is_taken(
    loader: ConfigLoader, brackets: str
) -> None:
    groups = sorted(set(OPTIONS) - MANY)
    check(loader, *(f"{group}={brackets.format(OPTIONS[group][1])}" for group in groups))


@pytest.mark.parametrize("group", sorted(MANY))
def test_a_list_for_a_group_that_takes_many_is_taken(loader: ConfigLoader, group: str) -> None:
    check(loader, f"{group}=[{','.join(OPTIONS[group])}]")


@pytest.mark.slow
def test_a_list_that_is_swept_is_refused(loader: ConfigLoader) -> None:
    with pytest.raises(ConfigError, match=r"resolution=\[mpp,level\]: the group takes one"):
        check(loader, "resolution=mpp,[mpp,level]")
    check(loader, "resolution=mpp,level", "tile.size=[32,16],[16,32]", "exporter=[csv],[csv,json]")


def written(folder: Path, name: str, text: str) -> None:
    path = folder / "mine" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.slow
def test_a_list_in_a_file_is_refused_and_a_combined_option_is_not(tmp_path: Path) -> None:
    written(tmp_path, "experiment/two.yaml",
            "# @package _global_\ndefaults:\n  - override /mask: [otsu, hsv]\n")  # fmt: skip
    written(tmp_path, "experiment/many.yaml",
            "# @package _global_\ndefaults:\n  - override /exporter: [csv, json]\n"
            "  - override /resolution: coarse\n")  # fmt: skip
    written(tmp_path, "resolution/coarse.yaml", "defaults:\n  - mpp\n  - _self_\nvalue: 8\n")
    words = ["--config-dir", "mine", "slides=files", "slides.paths=nothing.svs"]
    refused = tiler(*words, "experiment=two", "out=out", cwd=tmp_path)
    assert refused.returncode == 2
    assert complaint(refused).startswith("E_CONFIG: mask=[otsu,hsv]: the group takes one option")
    assert not (tmp_path / "out").exists()
    assert tiler(*words, "experiment=many", "out=out", cwd=tmp_path).returncode == 3
    again = tiler("--rerun", "out", "mask=[otsu,hsv]", cwd=tmp_path)
    assert again.returncode == 2
    assert "mask=[otsu,hsv]: the group takes one option" in complaint(again)
    assert tiler("--rerun", "out", "mask=none", cwd=tmp_path).returncode == 3


def test_an_appended_exporter_without_a_package_line_gets_that_fix(tmp_path: Path) -> None:
    written(tmp_path, "exporter/mine.yaml", "_target_: tiler.exporters.CsvExporter\n")
    refused = tiler("--config-dir", "mine", "+exporter=[csv,mine]", "out=out", cwd=tmp_path)
    assert refused.returncode == 2
    assert "needs the first line '# @package exporter.NAME'" in complaint(refused)


@pytest.mark.parametrize("sweep", [[], ["-m", "threshold=0,1"]])
def test_the_command_refuses_a_list_before_anything_is_written(
    tmp_path: Path, sweep: list[str]
) -> None:
    refused = tiler(*sweep, "resolution=[mpp,magnification]", "out=out", cwd=tmp_path)
    assert refused.returncode == 2
    assert "resolution=[mpp,magnification]: the group takes one option" in complaint(refused)
    assert "choose resolution=mpp, or sweep over them" in complaint(refused)
    assert list(tmp_path.iterdir()) == []
