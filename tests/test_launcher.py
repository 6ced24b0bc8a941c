"""The launcher of jobs in one process composes what Hydra composes, and runs jobs as Hydra does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import hydra
import pytest
from command import read_csv, tiler
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.tiler_launcher.in_process import InProcessLauncher
from tiler.config.command.folder import conf_folder
from tiler.config.schema import register_schema
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


@pytest.fixture(scope="module")
def launcher() -> Iterator[InProcessLauncher]:
    GlobalHydra.instance().clear()
    register_schema()
    register_resolvers()
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        words = ["hydra.job.config.override_dirname.exclude_keys=[name]",
                 "hydra.sweep.subdir=at_${threshold}"]  # fmt: skip
        master = loader.load_configuration("config", words, RunMode.MULTIRUN)
        launcher = InProcessLauncher()
        launcher.setup(
            hydra_context=HydraContext(config_loader=loader, callbacks=None),
            task_function=lambda config: None, config=master,
        )  # fmt: skip
        yield launcher
    GlobalHydra.instance().clear()


def told(config: DictConfig) -> tuple[object, ...]:
    """Return all that distinguishes one configuration from another, the order of keys included."""
    struct = {key: OmegaConf.is_struct(config[key]) for key in ("hydra", "limits") if key in config}
    return repr(OmegaConf.to_container(config)), struct, OmegaConf.is_struct(config), list(config)


@settings(max_examples=20)
@given(
    st.lists(st.sampled_from(WORDS), unique=True, max_size=5).flatmap(
        lambda rows: st.tuples(*map(st.sampled_from, rows)).map(list)
    )
)
def test_it_composes_what_hydra_composes(launcher: InProcessLauncher, words: list[str]) -> None:
    try:
        expected = launcher.context.config_loader.load_sweep_config(launcher.sweep, words)
    except HydraException:
        return  # Hydra's sweeper has refused the job before
    for _ in range(2):  # as itself, and as a copy
        assert told(launcher.composed(words)) == told(expected)


def test_jobs_that_differ_in_values_are_composed_once(
    launcher: InProcessLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader, composed = launcher.context.config_loader, []
    load = loader.load_sweep_config

    def counted(master: DictConfig, words: list[str]) -> DictConfig:
        composed.append(words)
        return load(master, words)

    monkeypatch.setattr(loader, "load_sweep_config", counted)
    for mask in ("none", "hsv"):
        for threshold in ("0.11", "0.12", "0.13"):
            words = ["slides=files", "slides.paths=a", f"mask={mask}", f"threshold={threshold}"]
            config = launcher.composed(words)
            assert (config.threshold, config.hydra.sweep.subdir) == (
                float(threshold), f"at_{threshold}",
            )  # fmt: skip
            config.tile.size = 77  # jobs do not see each other
    assert len(composed) == 2
    assert launcher.composed(words).tile.size != 77


DIFFERENT = r"\d{4}-\d\d-\d\d [\d:,]+|in \d+\.\d s|hydra\S*launcher\S*.*|hydra/launcher: .*"
"""Times, and the launcher's name."""


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
