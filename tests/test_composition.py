"""A job's configuration is the one that Hydra itself composes, however it came about."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import read_csv
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from tiler.config.composition import SharingLoader
from tiler.config.folder import conf_folder
from tiler.config.multirun import parsed, register_resolvers
from tiler.config.schema import register_schema

WORDS = (
    ("threshold=0.1", "threshold=0.7", "threshold=much", "+threshold=0.3", "++threshold=0.4"),
    ("resolution.value=0.25", "resolution.value=1.0", "~resolution.value"),
    ("resolution=level", "resolution=magnification", "resolution={value: 3}", "resolution=none"),
    ("mask=none", "mask=hsv", "mask.min_tissue_mm2=0.2", "mask.typo=1", "+mask.more=[1,2]"),
    ("exporter=[csv,images]", "exporter=[json]", "exporter.images.quality=70", "~exporter"),
    ("tile.size=512", "tile.size=[300,200]", "tile=um", "+tile@other=um", "~tile"),
    ("experiment=clam_256_20x", "experiment=foundation_224_mpp05", "+limits.more=1"),
    ("slides=files", "slides.paths=/data", "limits.max_tiles=5", "name='a,b'", "name=a,b"),
    ("hydra.job.name=x", "hydra.verbose=true", "hydra/job_logging=none", "dry_run=true"),
    ("mask.path==3", "mask@other:mask=hsv", "hydra.job.env_copy=[NOWHERE]", "~mask=otsu"),
)  # fmt: skip
"""Right and wrong words of every kind; those of a row mean one key or group."""

MASTER = (
    "hydra.job.config.override_dirname.exclude_keys=[name]",
    "+hydra.job.env_set.SWEEP='a b'",
    "hydra.sweep.subdir=at_${threshold}",
)


@pytest.fixture(scope="module")
def loaders() -> Iterator[tuple[ConfigLoaderImpl, SharingLoader]]:
    register_schema()
    register_resolvers()
    GlobalHydra.instance().clear()
    Plugins.instance()
    path = create_config_search_path(str(conf_folder()))
    yield ConfigLoaderImpl(path), SharingLoader(path)
    GlobalHydra.instance().clear()


@pytest.fixture(scope="module")
def master(loaders: tuple[ConfigLoaderImpl, SharingLoader]) -> DictConfig:
    plain, _ = loaders
    return plain.load_configuration("config", list(MASTER), RunMode.MULTIRUN)


def composed(loader: ConfigLoaderImpl, master: DictConfig, words: list[str]) -> tuple[object, ...]:
    return told(lambda: loader.load_sweep_config(master, words))


def started(loader: ConfigLoaderImpl, words: list[str]) -> object:
    """What Hydra composes for words of the command line: it asks for the mode first."""
    app, known = Hydra("tiler", loader), list(words)
    mode = app.get_mode("config", known)
    if mode is None:
        mode = RunMode.RUN
        known += ["hydra.mode=RUN"]
    return told(lambda: app.compose_config("config", known, mode))[:3]  # without the time of day


def swept(loader: ConfigLoaderImpl, words: list[str], jobs: list[list[str]]) -> list[object]:
    """What a sweep composes, with what is passed on to its jobs, and for the jobs themselves."""
    app, known = Hydra("tiler", loader), list(words)
    mode = app.get_mode("config", known)
    if mode is not RunMode.MULTIRUN:
        known += ["hydra.mode=MULTIRUN"]
    try:
        master = app.compose_config("config", known, RunMode.MULTIRUN)
    except (HydraException, KeyError) as error:
        return [(type(error), str(error))]
    master.hydra.overrides.hydra += list(PASSED_ON)
    return [told(lambda: master)[:3], *(composed(loader, master, job)[:3] for job in jobs)]


def told(compose: Callable[[], DictConfig]) -> tuple[object, ...]:
    """Everything that tells one configuration from another, or what was wrong with the words."""
    try:
        config = compose()
    except (HydraException, KeyError) as error:
        return type(error), str(error)
    flags = {key: OmegaConf.is_struct(config._get_node(key)) for key in ("hydra", "mask", "limits")
             if key in config}  # fmt: skip
    return (
        OmegaConf.to_yaml(config),
        flags,
        OmegaConf.is_struct(config),
        OmegaConf.get_cache(config),
    )


def chosen(words: list[str], which: int) -> list[str]:
    """A job's words: of each that is swept one of its values."""
    own = []
    for word in words:
        try:
            override = parsed(word)
        except HydraException:
            own.append(word)
            continue
        values = list(override.sweep_string_iterator()) if override.is_sweep_override() else []
        own.append(f"{override.get_key_element()}={values[which]}" if values else word)
    return own


def lines(rows: tuple[tuple[str, ...], ...]) -> st.SearchStrategy[list[str]]:
    """Some words, one each of some rows."""
    return st.lists(st.sampled_from(rows), unique=True, max_size=5).flatmap(
        lambda rows: st.tuples(*map(st.sampled_from, rows)).map(list)
    )


@settings(max_examples=30)
@given(lines(WORDS))
def test_it_is_what_hydra_composes(
    loaders: tuple[ConfigLoaderImpl, SharingLoader], master: DictConfig, words: list[str]
) -> None:
    plain, sharing = loaders
    assert composed(sharing, master, words) == composed(plain, master, words)


STARTS = (
    ("hydra.mode=MULTIRUN", "hydra.mode=RUN", "hydra.mode=NONE", "experiment=threshold_sweep"),
    ("threshold=0.1,0.2", "mask=hsv,none", "mask=???", "hydra.verbose=true,false"),
)
"""Words that a command begins with, beside those of its jobs."""


@settings(max_examples=10)
@given(lines((*STARTS, *STARTS, *WORDS)))
def test_a_command_is_what_hydra_composes(
    loaders: tuple[ConfigLoaderImpl, SharingLoader], words: list[str]
) -> None:
    plain, sharing = loaders
    assert started(sharing, words) == started(plain, words)


PASSED_ON = (
    "hydra.job.config.override_dirname.exclude_keys=[tile.size,out]",
    "+hydra.job.env_set.TILER_SWEEP='1a threshold'",
)
SWEPT = ("threshold=0.1,0.9", "resolution.value=1.0,2.0", "mask=otsu,none",
         "resolution={value: 2},{value: 4}", "tile.size=[300,200],64")  # fmt: skip


@settings(max_examples=6)
@given(lines((*STARTS, *WORDS, *zip(SWEPT, SWEPT, strict=True))), lines(WORDS))
def test_a_sweep_and_its_jobs_are_what_hydra_composes(
    loaders: tuple[ConfigLoaderImpl, SharingLoader], words: list[str], others: list[str]
) -> None:
    plain, sharing = loaders
    tasks = [word for word in words if not word.lstrip("+~").startswith("hydra")]
    jobs = [chosen(tasks, 0), chosen(tasks, -1), chosen(tasks, 0)[1:], others]
    sweep, *expected = swept(plain, words, jobs)
    # Hydra asks for each job twice: to check it, and to run it.
    assert swept(sharing, words, jobs + jobs) == [sweep, *expected, *expected]


def test_a_command_is_composed_once(
    loaders: tuple[ConfigLoaderImpl, SharingLoader], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, sharing = loaders
    done: list[list[str]] = []
    compose = ConfigLoaderImpl._load_configuration_impl

    def counted(self: ConfigLoaderImpl, config_name: str, overrides: list[str], **how: object):
        done.append(overrides)
        return compose(self, config_name, overrides, **how)

    monkeypatch.setattr(ConfigLoaderImpl, "_load_configuration_impl", counted)
    for words in (["threshold=0.3"], ["experiment=threshold_sweep", "tile.size=256,512"]):
        assert "threshold" in str(started(sharing, words))
    assert len(done) == 2


def test_jobs_do_not_see_each_other(loaders: tuple[ConfigLoaderImpl, SharingLoader]) -> None:
    _, sharing = loaders
    master = sharing.load_configuration("config", list(MASTER), RunMode.MULTIRUN)
    first = sharing.load_sweep_config(master, ["threshold=0.1", "tile.size=[300,200]"])
    first.mask.min_tissue_mm2 = 77
    second = sharing.load_sweep_config(master, ["threshold=0.2"])
    assert (second.threshold, second.mask.min_tissue_mm2 == 77) == (0.2, False)
    assert second.tile.size != [300, 200]
    again = [sharing.load_sweep_config(master, ["threshold=0.2"]) for _ in range(3)]
    again[0].mask.min_tissue_mm2 = again[1].mask.min_tissue_mm2 = 77
    assert again[2].mask.min_tissue_mm2 == second.mask.min_tissue_mm2 != 77
    own = "hydra.sweep.subdir=elsewhere"
    other = sharing.load_configuration("config", [own], RunMode.MULTIRUN)
    assert sharing.load_sweep_config(other, ["threshold=0.2"]).hydra.sweep.subdir == "elsewhere"
    assert not vars(pickle.loads(pickle.dumps(sharing)))["_ready"]


def test_their_copies_are_whole_and_apart(loaders: tuple[ConfigLoaderImpl, SharingLoader]) -> None:
    _, sharing = loaders
    master = sharing.load_configuration("config", list(MASTER), RunMode.MULTIRUN)
    config = sharing.load_sweep_config(master, ["threshold=0.1"])
    text = OmegaConf.to_yaml(config)
    whole, part = copy.deepcopy(config), copy.deepcopy(config.hydra)
    assert OmegaConf.to_yaml(whole) == text
    assert OmegaConf.is_struct(whole) == OmegaConf.is_struct(config)
    whole.threshold = part.job.name = 0.9
    assert (whole.hydra.sweep.subdir, part.sweep.subdir) == ("at_0.9", "at_0.1")
    assert OmegaConf.to_yaml(config) == text
    assert part._get_parent() is config.hydra._get_parent() is config


def test_a_folder_may_be_named_after_a_value(
    loaders: tuple[ConfigLoaderImpl, SharingLoader],
) -> None:
    _, sharing = loaders
    master = sharing.load_configuration("config", list(MASTER), RunMode.MULTIRUN)
    words = ("threshold=0.1", "threshold=0.2")
    jobs = [sharing.load_sweep_config(master, [word]) for word in words]
    assert [job.hydra.sweep.subdir for job in jobs] == ["at_0.1", "at_0.2"]


def test_a_search_path_of_the_users_own_is_searched(
    loaders: tuple[ConfigLoaderImpl, SharingLoader], tmp_path: Path
) -> None:
    plain, sharing = loaders
    (tmp_path / "mask").mkdir()
    (tmp_path / "mask/ours.yaml").write_text("_target_: tiler.masks.HsvMask\nours: 1\n")
    words = [*MASTER, f"hydra.searchpath=[{tmp_path}]"]
    master = plain.load_configuration("config", words, RunMode.MULTIRUN)
    found = composed(sharing, master, ["mask=ours"])
    assert found == composed(plain, master, ["mask=ours"])
    assert "ours: 1" in str(found)


def test_a_sweep_comes_out_alike_with_hydras_own_loader(tmp_path: Path) -> None:
    words = ["-m", "threshold=0.2,0.6", "resolution=level,mpp", "tile.size=300", "mask.median=5"]
    own = "from tiler import cli, entry; cli.share_compositions = lambda: None; entry.main()"
    found = []
    for name, command in (("ours", ["-m", "tiler"]), ("hydras", ["-c", own])):
        done = subprocess.run(
            [sys.executable, *command, *words, f"out={name}"], cwd=tmp_path, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        rows = read_csv(tmp_path / name / "sweep.csv")
        runs = sorted((tmp_path / name).glob("*/run.json"))
        configs = [json.loads(run.read_text())["config"] for run in runs]
        assert len(rows) == len(configs) == 4
        for config in configs:
            assert Path(config.pop("out")).name == name
        found.append(([{**row, "seconds": ""} for row in rows], [r.parent.name for r in runs],
                      configs))  # fmt: skip
    assert found[0] == found[1]
