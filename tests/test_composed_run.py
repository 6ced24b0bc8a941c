"""Runs and sweeps of a configuration that tiler composed equal those that Hydra composes again."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from command import a_third_quick, tiler
from tracked import COMMON, picture

STAMPS = r"\d\d:\d\d:\d\d(,\d+)?|\d+\.\d s"
BY_HYDRA = "hydra.verbose=[]"
"""Changes nothing, except that Hydra launches the run."""

OWN_MASK = """
import json, os
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from tiler.masks import AllTissue

class Told(AllTissue):
    def __init__(self):
        hydras = OmegaConf.to_container(HydraConfig.get(), resolve=True, enum_to_str=True)
        print(json.dumps([hydras, os.getcwd(), os.environ.get("GREETING")], sort_keys=True))
"""


def seen(folder: Path, words: list[str]) -> tuple:
    """Run in a folder; return all results except times."""
    folder.mkdir()
    (folder / "bad.png").write_bytes(b"no picture")
    for path in (picture(folder), folder / "bad.png"):
        os.utime(path, (10**9, 10**9))
    (folder / "own.py").write_text(OWN_MASK)
    env = {"TILER_TARGETS": "own", "PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"}
    done = tiler(*COMMON, *words, cwd=folder, env=env)
    paths = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    texts = {
        path.relative_to(folder).as_posix(): plain(path.read_bytes().decode("latin-1"), folder)
        for path in paths
        if ({"slides", ".hydra"}.intersection(path.parts) and path.name != "record.json")
        or path.name == "multirun.yaml"
    }
    records = [json.loads(path.read_text()) for path in paths if path.name == "run.json"]
    kept = ("config", "overrides", "counts", "exit_code", "status", "cache")
    facts = [{key: plain(str(record[key]), folder) for key in kept} for record in records]
    names = {path.relative_to(folder).as_posix() for path in paths if path.suffix != ".arrays"}
    printed = [plain(text, folder) for text in (done.stdout, done.stderr)]
    return done.returncode, printed, names, texts, facts


def plain(text: str, folder: Path) -> str:
    """Return a text without times, the folder and the override that lets Hydra launch."""
    text = re.sub(STAMPS, "", text).replace(str(folder), "")
    text = text.replace(f'"{BY_HYDRA}", ', "").replace(f"- {BY_HYDRA}\n    ", "")
    return re.sub(r'(verbose"?: )\[\]', r"\1false", text)


RUNS = [
    ["out=out", "exporter=[csv,json,images]", "cache=off"],
    ["out=out", "slides.paths=[pic.png,bad.png]"],
    ["out=out", "dry_run=true", "limits.max_tiles=1"],
    ["out=out", "mask._target_=own.Told", "hydra.job.name=mine", "hydra.output_subdir=.hydra"],
    ["out=out", "mask._target_=own.Told", "+hydra.job.env_set.GREETING=hello"],
    ["out=out", "mask._target_=own.Told", "hydra.job.chdir=true"],
    ["out=out", "hydra/job_logging=default"],
]
SHORT_RUNS = [
    ["name=mine", "threshold=0.3", "tracker=jsonl"],
    ["out=out", "tile.size=0"],
    ["out=out", "threshold=high"],
    ["out=out", "treshold=0.3"],
    ["out=out", "threshold=0.3,0.5"],
    ["out=out", "tile.size=${nothing}"],
    ["out=out", "hydra.run.dir=elsewhere"],
    ["out=bad.png"],
    ["out=out", "mask=nothing"],
    ["out=out", "hydra.job_logging.root.level=high"],
    ["out=out", "hydra.hydra_logging.root.level=high"],
    ["out=out", "hydra.run.dir=${nothing}"],
]


@pytest.mark.parametrize(
    "words",
    [*(pytest.param(words, marks=pytest.mark.slow) for words in RUNS), *a_third_quick(SHORT_RUNS)],
)
def test_a_run_equals_the_one_that_hydra_launches(tmp_path: Path, words: list[str]) -> None:
    composed = seen(tmp_path / "composed", words)
    assert composed == seen(tmp_path / "by_hydra", [*words, BY_HYDRA])
    assert "hydra" not in "".join(composed[1]) or words[1].startswith(("mask", "hydra"))


SWEEPS = [
    ["threshold=0.3,0.5", "exporter=[csv],[json]", "hydra.sweeper.max_batch_size=3"],
    ["slides.paths=[pic.png],[bad.png]", "mask._target_=own.Told", "hydra.job.chdir=true",
     "+hydra.job.env_set.GREETING=hello", "hydra.output_subdir=.hydra"],
    ["threshold=0.3,high", "hydra.sweeper.max_batch_size=1"],
    ["tile.size=16,32", "threshold=${tile.size}", "dry_run=true"],
    ["threshold=0.3,0.5", "hydra.sweep.subdir=${hydra.job.num}-${threshold}", "dry_run=true"],
    ["threshold=0.3,0.5", "hydra.sweep.subdir=${nothing}"],
]  # fmt: skip
SHORT_SWEEPS = [
    ["+hydra.sweeper.params={threshold: '0.2,0.4', sampler: 'all,random'}", "dry_run=true"],
    ["threshold=0.3,0.5", "hydra.hydra_logging.root.level=high"],
    ["threshold=0.3,0.5", "hydra.sweeper.max_batch_size=many"],
]


@pytest.mark.parametrize(
    "words",
    [
        *(pytest.param(words, marks=pytest.mark.slow) for words in SWEEPS),
        *a_third_quick(SHORT_SWEEPS),
    ],
)
def test_a_sweep_equals_the_one_that_hydra_launches(tmp_path: Path, words: list[str]) -> None:
    words = ["-m", "out=out", *words]
    assert seen(tmp_path / "composed", words) == seen(tmp_path / "by_hydra", [*words, BY_HYDRA])


COUNTED = """
import atexit, sys
import hydra
from hydra.core.global_hydra import GlobalHydra
from tiler.config.command.folder import conf_folder
from tiler.entry import main

with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
    hydras = type(GlobalHydra.instance().config_loader())
load, count = hydras.load_configuration, []
def counted(*words, **options):
    count.append(words)
    return load(*words, **options)
hydras.load_configuration = counted
atexit.register(lambda: print("composed", len(count)))
main()
"""


@pytest.mark.parametrize(
    ("words", "compositions"),
    [
        (["threshold=0.3"], 1),
        (["treshold=0.3"], 1),
        (["mask=otzu"], 1),
        (["mask=???"], 1),
        (["-m", "threshold=0.2,0.3"], 1),
        pytest.param(["-m", "threshold=0.2,0.3,0.5", "tile.size=16,32"], 1, marks=pytest.mark.slow),
        (["-m", "treshold=0.3,0.5"], 2),
        pytest.param(["-m", "mask=none,hsv", "threshold=0.2,0.3"], 3, marks=pytest.mark.slow),
        pytest.param(["-m", "threshold=0.2,0.3", BY_HYDRA], 5, marks=pytest.mark.slow),
    ],
)
def test_a_configuration_is_composed_once(
    tmp_path: Path, words: list[str], compositions: int
) -> None:
    """A job of a sweep, too, unless it chooses another option than the jobs before."""
    picture(tmp_path)
    (tmp_path / "counted.py").write_text(COUNTED)
    done = tiler(*COMMON, "out=out", "dry_run=true", *words, cwd=tmp_path, module="counted")
    assert done.stdout.splitlines()[-1] == f"composed {compositions}", done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 0),
        (["-m", "threshold=0.3,0.5"], 0),
        (["hydra.verbose=true"], 2),
        (["-m", "threshold=0.3,0.5", "hydra.verbose=true"], 2),
        (["-m", "threshold=0.3,0.5", "hydra/launcher=basic"], 2),
        (["hydra.hydra_logging.root.level=DEBUG"], 2),
    ],
)
def test_a_command_without_callbacks_and_details_is_not_composed_again(
    tmp_path: Path, words: list[str], code: int
) -> None:
    """Hydra's own launch fails here."""
    picture(tmp_path)
    (tmp_path / "without.py").write_text(
        "import hydra\nfrom tiler.entry import main\nhydra.main = None\nmain()\n"
    )
    done = tiler(*COMMON, "out=out", *words, cwd=tmp_path, module="without")
    assert (done.returncode, "Hydra raised TypeError" in done.stderr) == (code, code == 2)


@pytest.mark.parametrize(("end", "code"), [("0", 0), ("7", 7), ("'text'", 1), ("None", 0)])
def test_a_forked_command_ends_as_a_process_does(tmp_path: Path, end: str, code: int) -> None:
    """Its threads are waited for, its exit handlers run, and its output is complete."""
    (tmp_path / "ending.py").write_text(
        "import atexit, sys, threading, time\n"
        "atexit.register(print, 'handler', end='')\n"
        "threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()\n"
        f"sys.exit({end})\n"
    )
    done = tiler(cwd=tmp_path, module="ending")
    assert (done.returncode, done.stdout) == (code, "thread\nhandler")
    assert done.stderr == ("text\n" if "text" in end else "")
