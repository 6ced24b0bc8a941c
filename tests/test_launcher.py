"""Jobs of a sweep are composed as Hydra composes them, and the launcher runs them as Hydra does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import hydra
import pytest
from command import read_csv, tiler
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from tiler.config.command.folder import conf_folder
from tiler.config.schema import register_schema
from tiler.config.sweeps.job_loader import JobLoader
from tiler.config.sweeps.multirun import register_resolvers
from tiler.geometry import Size
from tiler.slides.demo import write_demo_slide

WORDS = (
    ("threshold=0.1", "threshold=0.7", "threshold=much", "+threshold=0.3", "++threshold=0.4"),
    ("resolution.value=0.25", "resolution.value=1.0", "~resolution.value", "resolution.value=null"),
    ("resolution=level", "resolution=magnification", "resolution={value: 3}"),
    ("mask=none", "mask=hsv", "mask.min_tissue_mm2=0.2", "+mask.more=[1,2]", "mask={mpp: 3}"),
    ("mask.mpp=3", "mask.mpp=${threshold}", "mask.saturation=[1,2]", "mask.saturation=[3,4]"),
    ("exporter=[csv,images]", "exporter=[json]", "exporter.csv={_target_: x}", "~exporter"),
    ("tile.size=512", "tile.size=[300,200]", "tile=um", "+tile@other=um", "~tile"),
    ("experiment=clam_256_20x", "experiment=mil_512_20x", "+limits.more=1"),
    ("slides=files", "slides.paths=/data", "limits.max_tiles=5", "limits={max_tiles: 2}"),
    ("name='a,b'", "name=a=b"),
    ("hydra.job.name=x", "hydra.verbose=true", "hydra/job_logging=none", "dry_run=true"),
)  # fmt: skip
"""Right and wrong overrides of every kind; those of a row mean one key or group."""


SWEPT = (
    [],
    ["threshold=0.2,0.6", "slides=files", "slides.paths=/data"],
    ["mask=none,hsv", "resolution=level", "tile.size=300"],
    ["resolution=level", "threshold=0.3", "exporter=[csv],[json]", "+limits.more=1,2"],
)
"""Overrides of sweeps. Jobs that choose the same options are made from the sweep itself."""


@pytest.fixture(scope="module")
def composed(parsed_conf: None) -> Iterator[tuple[ConfigLoader, list[DictConfig]]]:
    """Hydra's loader, and sweeps as it composed them."""
    GlobalHydra.instance().clear()
    register_schema()
    register_resolvers()
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        words = ["hydra.job.config.override_dirname.exclude_keys=[name]",
                 "hydra.sweep.subdir=at_${threshold}"]  # fmt: skip
        yield (
            loader,
            [
                loader.load_configuration("config", [*words, *swept], RunMode.MULTIRUN)
                for swept in SWEPT
            ],
        )
    GlobalHydra.instance().clear()


@pytest.fixture(scope="module")
def loaders(composed) -> list[JobLoader]:
    loader, sweeps = composed
    return [JobLoader(loader, sweep) for sweep in sweeps]


def told(config: DictConfig) -> tuple[object, ...]:
    """Return all that distinguishes one configuration from another, the order of keys included."""
    struct = {key: OmegaConf.is_struct(config[key]) for key in ("hydra", "limits") if key in config}
    return repr(OmegaConf.to_container(config)), struct, OmegaConf.is_struct(config), list(config)


def jobs_of(sweep: DictConfig, words: list[str]) -> list[str]:
    """Return the overrides of a job: those of the sweep, with single values, and others."""
    own = [str(word).partition(",")[0] for word in sweep.hydra.overrides.task]
    return [word for word in own if word.split("=")[0] not in str(words)] + words


@settings(max_examples=settings().max_examples // 4)
@given(
    st.integers(0, len(SWEPT) - 1),
    st.booleans(),
    st.lists(st.sampled_from(WORDS), unique=True, max_size=5).flatmap(
        lambda rows: st.tuples(*map(st.sampled_from, rows)).map(list)
    ),
)
def test_it_composes_or_refuses_what_hydra_does(
    composed, loaders: list[JobLoader], number: int, more: bool, words: list[str]
) -> None:
    loader, sweep = composed[0], composed[1][number]
    words = jobs_of(sweep, words) if more else words
    expected = outcome(loader, sweep, words)
    for _ in range(2):  # as itself, and as a copy
        assert outcome(loaders[number], sweep, words) == expected


def outcome(loader: ConfigLoader, sweep: DictConfig, words: list[str]) -> tuple[object, ...] | str:
    """Return what distinguishes a job's configuration, or why it is refused."""
    try:
        return told(loader.load_sweep_config(sweep, words))
    except HydraException as error:
        return str(error)


def test_jobs_that_differ_in_values_are_composed_once(
    composed, monkeypatch: pytest.MonkeyPatch
) -> None:
    hydras, sweeps = composed
    loader, loaded = JobLoader(hydras, sweeps[0]), []
    load = hydras.load_sweep_config

    def counted(master: DictConfig, words: list[str]) -> DictConfig:
        loaded.append(words)
        return load(master, words)

    monkeypatch.setattr(hydras, "load_sweep_config", counted)
    for mask in ("none", "hsv"):
        for threshold in ("0.11", "0.12", "0.13"):
            words = ["slides=files", "slides.paths=a", f"mask={mask}", f"threshold={threshold}"]
            config = loader.load_sweep_config(sweeps[0], words)
            assert (config.threshold, config.hydra.sweep.subdir) == (
                float(threshold), f"at_{threshold}",
            )  # fmt: skip
            config.tile.size = 77  # jobs do not see each other
    assert len(loaded) == 2
    assert loader.load_sweep_config(sweeps[0], words).tile.size != 77


def test_jobs_that_choose_what_the_sweep_chooses_are_not_composed(
    composed, monkeypatch: pytest.MonkeyPatch
) -> None:
    hydras, sweeps = composed
    loader = JobLoader(hydras, sweeps[1])
    monkeypatch.setattr(hydras, "load_sweep_config", None)
    for threshold in ("0.2", "0.6"):
        words = [f"threshold={threshold}", "slides=files", "slides.paths=/data"]
        config = loader.load_sweep_config(sweeps[1], words)
        assert (config.threshold, sweeps[1].threshold) == (float(threshold), 0.5)


def test_a_job_that_leaves_an_option_open_is_refused(composed) -> None:
    """A sweep may leave it open, because its jobs may choose it."""
    hydras, _ = composed
    sweep = hydras.load_configuration("config", ["mask=???", "threshold=0.1,0.2"], RunMode.MULTIRUN)
    loader = JobLoader(hydras, sweep)
    with pytest.raises(HydraException, match="You must specify 'mask'"):
        loader.load_sweep_config(sweep, ["mask=???", "threshold=0.1"])
    assert loader.load_sweep_config(sweep, ["mask=none", "threshold=0.1"]).threshold == 0.1


DIFFERENT = r"\d{4}-\d\d-\d\d [\d:,]+|in \d+\.\d s|hydra\S*launcher\S*.*|hydra/launcher: .*"
"""Times, and the launcher's name."""


@pytest.mark.slow
def test_a_sweep_is_the_same_with_hydras_own_launcher(tmp_path: Path) -> None:
    write_demo_slide(tmp_path / "a.tiff", Size(800, 550))
    words = ["-m", "slides=files", f"slides.paths={tmp_path}/a.tiff", "resolution=level,mpp",
             "threshold=0.2,0.6", "name=same", "tile.size=300", "mask.median=5",
             "hydra.output_subdir=.hydra", "+hydra.job.env_set.WITNESS=${hydra.job.num}",
             "hydra.job.chdir=true", "hydra/job_logging=default"]  # fmt: skip
    found = []
    for name in ("in_process", "basic"):
        folder = tmp_path / "same"
        folder.mkdir()
        done = tiler(*words, f"hydra/launcher={name}", "out=out", cwd=folder)
        assert done.returncode == 0, done.stderr
        files = sorted(path for path in (folder / "out").rglob("*") if path.is_file())
        texts = {
            str(path.relative_to(folder)): re.sub(DIFFERENT, "", path.read_text())
            for path in files
            if path.suffix in (".yaml", ".log") and path.name not in ("multirun.yaml", "run.log")
        }
        runs = [json.loads(run.read_text()) for run in files if run.name == "run.json"]
        rows = [{**row, "seconds": ""} for row in read_csv(folder / "out/sweep.csv")]
        found.append((rows, [run["config"] for run in runs], texts))
        assert len(rows) == len(runs) == 4
        assert len(texts) == 4 * 4
        folder.rename(tmp_path / name)
    assert found[0] == found[1]
