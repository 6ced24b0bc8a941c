"""The command in its own process."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from command import a_third_quick, complaint, fresh_tiler, read_csv, tiler
from PIL import Image

from tiler.config.command import naming
from tiler.geometry import Size
from tiler.slides.demo import write_demo_slide

SMALL = "CMU-1-Small-Region"


@pytest.fixture
def slide(shared_slides: Path) -> Path:
    return shared_slides / f"{SMALL}.svs"


@pytest.mark.slow
def test_the_command_without_slides_tiles_the_demo(tmp_path: Path) -> None:
    result = fresh_tiler("exporter=[csv,images,overview]", "resolution.value=2", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    out = tmp_path / "outputs/demo"
    (row,) = read_csv(out / "slides.csv")
    tiles = read_csv(out / "slides/demo/demo.csv")
    images = list((out / "slides/demo/tiles").iterdir())
    assert row["status"] == "done"
    assert 0 < int(row["kept"]) < int(row["candidates"])
    assert len(tiles) == len(images) == int(row["kept"])
    assert (out / "slides/demo/demo_overview.jpg").stat().st_size > 10_000
    run = json.loads((out / "run.json").read_text())
    assert run["exit_code"] == 0
    assert run["counts"]["kept"] == len(tiles)
    assert run["config"]["resolution"]["value"] == 2
    assert run["versions"]["tiler"]


def test_help_shows_how_to_start(tmp_path: Path) -> None:
    result = tiler("--help", cwd=tmp_path)
    assert result.returncode == 0
    for word in ("slides=files", "threshold", "-m", "exporter", "mask"):
        assert word in result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["--config-dir", "mine", "--help"],
        ["--help", "--config-dir=mine"],
        ["-cd", "mine", "-h", "mask=pink"],
    ],
)
def test_help_lists_the_options_of_the_users_own_folder(tmp_path: Path, words: list[str]) -> None:
    for name in ("mask/pink.yaml", "mask/a b.yaml", "stain/blue.yaml", "hydra/launcher/x.yaml"):
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text("not: [yaml")
    (tmp_path / "mine/primary.yaml").touch()
    plain, result = (tiler(*some, cwd=tmp_path) for some in (["--help"], words))
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(plain.stdout.rstrip())
    own = result.stdout[len(plain.stdout) :].split("\n")
    assert own[1] == f"Options in {tmp_path}/mine:"
    assert [line.split(maxsplit=1) for line in own[2:5]] == [
        ["hydra/launcher", "x"], ["mask", "a b, pink"], ["stain", "blue"],
    ]  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_help_for_a_folder_without_options_or_without_a_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "none: " in tiler("--config-dir", "empty", "--help", cwd=tmp_path).stdout
    missing = tiler("--config-dir", "nowhere", "--help", cwd=tmp_path)
    assert missing.returncode == 2
    assert "--config-dir=nowhere: no such folder" in complaint(missing)


FILES = ("slides=files", "resolution=level", "tile.size=100", "mask=none", "threshold=0")
STAMP = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(_\d+)?")


@pytest.mark.slow
def test_runs_over_files_have_folders_of_their_own(tmp_path: Path) -> None:
    write_demo_slide(tmp_path / "a.tiff", Size(300, 260))
    for words in ([], ["threshold=1"], ["tracker=jsonl"], ["name=mine"], ["dry_run=true"]):
        done = tiler(*FILES, "slides.paths=a.tiff", *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    folders = sorted(path.name for path in (tmp_path / "outputs").iterdir())
    assert folders[-1] == "mine"
    assert len(folders) == 5
    for name in folders[:-1]:
        assert STAMP.fullmatch(name)
        (record,) = (tmp_path / "outputs" / name).glob("[rb]u*.json")
        config = json.loads(record.read_text())["config"]
        assert (config["name"], config["out"]) == (name, f"outputs/{name}")
        lines = tmp_path / "outputs" / name / "tracking.jsonl"
        if lines.exists():
            assert json.loads(lines.read_text().splitlines()[0])["name"] == name
    assert len({name[:19] for name in folders[:-1]}) >= 1


@pytest.mark.slow
def test_a_sweep_over_files_has_one_folder_for_all_its_jobs(tmp_path: Path) -> None:
    write_demo_slide(tmp_path / "a.tiff", Size(300, 260))
    words = ["-m", *FILES[:-1], "slides.paths=a.tiff", "threshold=0,1", "tracker=jsonl"]
    for launcher in ([], ["hydra/launcher=joblib"]):
        done = tiler(*words, *launcher, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    folders = sorted((tmp_path / "outputs").iterdir())
    assert len(folders) == 2
    for folder in folders:
        assert STAMP.fullmatch(folder.name)
        assert {path.name for path in folder.glob("threshold=*")} == {"threshold=0", "threshold=1"}
        for run in folder.glob("*/run.json"):
            assert json.loads(run.read_text())["config"]["name"] == folder.name
        starts = [json.loads(line) for line in (folder / "tracking.jsonl").read_text().splitlines()]
        assert starts[0]["name"] == folder.name


def test_a_folder_of_the_same_second_is_not_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = []
    for _ in range(3):
        naming._start.cache_clear()
        names.append(naming.default_name("tiler.slides.find_slides"))
        assert naming.default_name("mine.find") == names[-1], "the same for all of a command"
        (tmp_path / "outputs" / names[-1]).mkdir(parents=True)
    assert len(set(names)) == 3
    assert all(STAMP.fullmatch(name) for name in names)
    naming._start.cache_clear()


@pytest.mark.slow
def test_the_whole_command_of_the_specification(tmp_path: Path, slide: Path) -> None:
    (tmp_path / "slides").mkdir()
    shutil.copy(slide, tmp_path / "slides")
    result = fresh_tiler(
        "slides=files", "slides.paths=slides", "resolution=mpp", "resolution.value=0.5",
        "tile.size=256", "mask=otsu", "threshold=0.5", "exporter=[csv,json,images]", "out=tiles",
        cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "1 slide" in result.stderr
    folder = tmp_path / "tiles/slides" / SMALL
    rows = read_csv(folder / f"{SMALL}.csv")
    assert list(rows[0])[:11] == (
        [
            "slide",
            "x",
            "y",
            "width",
            "height",
            "resolution",
            "ratio",
            "x0",
            "y0",
            "width0",
            "height0",
        ]
    )
    objects = json.loads((folder / f"{SMALL}.json").read_text())
    assert [o["ratio"] for o in objects] == [float(row["ratio"]) for row in rows]
    assert [o["x0"] for o in objects] == [int(row["x0"]) for row in rows]
    first = rows[0]
    name = f"{SMALL}_x{first['x']}_y{first['y']}_w256_h256_mpp_0.5_r{float(first['ratio']):.2f}.png"
    with Image.open(folder / "tiles" / name) as image:
        assert image.size == (256, 256)
        assert np.asarray(image).ndim == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    a_third_quick(
        [
            (["thresold=0.3"], ["thresold", "did you mean 'threshold'"]),
            (
                ["mask=hsv", "mask.close=3"],
                ["mask.close", "the chosen option of mask has no such key"],
            ),
            (["-m", "mask=hsv,none", "mask.hue=5"], ["+mask.hue=… in a sweep over mask"]),
            (["sampler.n=5"], ["sampler.n=5", "keeps all tiles; choose sampler=random"]),
            (["tile.sise=128"], ["tile.sise", "did you mean 'tile.size'"]),
            (["+tile.stide=128"], ["tile.stide", "stride"]),
            (["threshold=lots"], ["threshold", "lots", "use a number"]),
            (["threshold=2"], ["threshold", "2.0", "from 0 to 1"]),
            (["mask._target_=os.system"], ["mask._target_", "os.system", "TILER_TARGETS"]),
            (["mask=otso"], ["mask/otso", "otsu", "hsv"]),
            (["+exporter.x=[{_target_:os.mkdir,path:p}]"], ["exporter.x[0]._target_", "os.mkdir"]),
            (
                ["engine=dask", "engine.workers=1", "engine.slurm={_target_:os.mkdir,path:p}"],
                ["engine.slurm._target_", "os.mkdir"],
            ),
            (["+hydra.callbacks.x={_target_:os.mkdir,path:p}"], ["hydra.callbacks.x._target_"]),
            (["hydra.launcher._target_=hydra.core.utils.os.mkdir"], ["hydra.launcher._target_"]),
            (
                ["-m", "+hydra.sweeper.params.threshold='0.1,0.2'"],
                ["overrides that begin with hydra"],
            ),
            (["engine=processes", f"engine.workers={'9' * 5000}"], ["5000 digits"]),
            (["~threshold"], ["threshold", "every run needs it"]),
            (["~limits"], ["limits", "every run needs it"]),
            (["~reader"], ["reader is not set", "option of the group", "reader=…"]),
            (["threshold=???"], ["threshold is not set: give threshold=…"]),
            (["limits.max_tiles=???"], ["limits.max_tiles is not set"]),
            (["~tile.size"], ["tile.size is not set"]),
            (["exporter.csv=null"], ["exporter.csv=None", "exporter=[csv,images]"]),
            (
                ["+exporter.images.quality=3"],
                ["exporter.images={'quality': 3}", "exporter=[csv,images]"],
            ),
            (["exporter=[cvs]"], ["exporter/cvs", "choose from: candidates csv ", " json mask "]),
            (["tracker=jsonl", "tracker.path="], ["tracker.path is empty"]),
            (["on_bad_tile=ignore"], ["on_bad_tile", "fail", "drop"]),
            (["slides=files", "slides.paths=nothing/*.svs"], ["nothing/*.svs", "no slide"]),
            (["slides=files", "slides.paths=a(1).svs"], ["quotes"]),
            (["slides=files", "slides.paths="], ["slides.paths is empty"]),
            (["reader.mpp=0"], ["reader.mpp=0", "positive"]),
            (["reader.magnification=-20"], ["reader.magnification=-20", "positive"]),
            (["reader.max_pixels=0"], ["reader.max_pixels=0", "positive"]),
            (["reader=tiff", "reader.cache_bytes=-1"], ["reader.cache_bytes=-1", "0 or more"]),
            (["reader.series=-1"], ["reader.series=-1", "0 or more"]),
            (["threshold", "=", "0.1"], ["'threshold' is not an override; write threshold=VALUE"]),
            (
                ["mask=otus"],
                ["mask/otus: no such option", " hsv none ", " otsu ", "; did you mean 'otsu'?"],
            ),
            (
                ["exporter=csv,json"],
                ["exporter=csv,json is a sweep; add -m, or", "'exporter=[csv,json]'"],
            ),
            (["mask=none,otsu"], ["mask=none,otsu is a sweep; add -m"]),
            (["reader.mpp=0,5"], ["is a sweep; add -m, or write reader.mpp=0.5 with a decimal"]),
            (["threshold=high"], ["threshold=high is invalid; use a number"]),
            (["context=1.0"], ["context=1.0 is not a list; write 'context=[1.0]'"]),
            (["context=1.0,2"], ["add -m, or write a list as 'context=[1.0,2]'"]),
            (["context=[0]"], ["context=[0.0]: mpp=0.0 is invalid; use a positive number"]),
            (["context=[2,2.0]"], ["context=[2.0, 2.0]: a resolution occurs twice; remove one"]),
            (["pyramid=[4,0.5]"], ["pyramid=[4.0, 0.5]: mpp_0.5 is not coarser than the tiles"]),
            (["context=[1]"], ["context=[1.0]: no exporter writes images of tiles; add images"]),
            (["resolution=level", "context=[0.5]"], ["context=[0.5]: level=0.5 is invalid"]),
            (["limits.max_tiles=x"], ["limits.max_tiles=x is invalid; use a whole number"]),
            (["resolution=0.5"], ["an option of a group is a name", "resolution.value=0.5"]),
            (["thresh"], ["'thresh' is not an override; write key=value without spaces"]),
            (
                ["/data/slides"],
                ["'/data/slides' is not", "slides=files 'slides.paths=/data/slides'"],
            ),
        ]
    ),
)
def test_mistakes_exit_2_with_one_line_and_write_nothing(
    tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    result = tiler(*arguments, "out=out", cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    line = complaint(result)
    for word in words:
        assert word in line
    assert not list(tmp_path.iterdir())


def test_a_run_refuses_an_empty_out_and_one_that_contains_its_table(tmp_path: Path) -> None:
    assert "out is empty" in complaint(tiler("out=", cwd=tmp_path))
    table = tmp_path / "slides.csv"
    table.write_text("path\na.svs\n")
    result = tiler("slides=table", "slides.table=slides.csv", "out=.", cwd=tmp_path)
    assert result.returncode == 2
    assert "slides.table=slides.csv: the run would write its own" in complaint(result)
    assert table.read_text() == "path\na.svs\n"
    table.rename(tmp_path / "sweep.csv")
    sweep = ["-m", "threshold=0.1,0.5", "slides=table", "slides.table=sweep.csv", "out=."]
    assert tiler(*sweep, cwd=tmp_path).returncode == 2
    assert (tmp_path / "sweep.csv").read_text() == "path\na.svs\n"


@pytest.mark.parametrize("sweep", [[], ["-m", "threshold=0.1,0.2"]])
@pytest.mark.parametrize("out", ["file", "file/below"])
def test_a_folder_that_cannot_be_created_is_an_error_of_the_destination(
    tmp_path: Path, sweep: list[str], out: str
) -> None:
    (tmp_path / "file").touch()
    result = tiler(*sweep, f"out={out}", cwd=tmp_path)
    assert result.returncode == 4, result.stderr
    assert complaint(result).startswith("E_DEST: ")
    assert "file is not a folder (E" in complaint(result)
    assert complaint(result).endswith("; set out to a folder or to a new name")


def test_a_log_that_cannot_be_written_is_no_bug(tmp_path: Path) -> None:
    result = tiler("hydra.job_logging.root.handlers=[nope]", "out=out", cwd=tmp_path)
    assert result.returncode == 2
    assert "'nope'" in complaint(result)


@pytest.mark.parametrize("folder", ["elsewhere", "some/where/else", "~/hydra"])
def test_all_files_of_a_run_are_in_out(tmp_path: Path, folder: str) -> None:
    result = tiler(f"hydra.run.dir={folder}", "out=out", cwd=tmp_path)
    assert result.returncode == 2
    assert f"hydra.run.dir={folder}: all files lie under out=out" in complaint(result)
    assert not list(tmp_path.iterdir())


def test_a_sweep_over_an_unknown_key_writes_nothing(tmp_path: Path) -> None:
    result = tiler("-m", "treshold=0.1,0.5", "out=out", cwd=tmp_path)
    assert result.returncode == 2
    assert "did you mean 'threshold'" in complaint(result)
    assert not list(tmp_path.iterdir())


GLOBAL = "# @package _global_\n"


MISTAKES_IN_FILES = [
    (GLOBAL + "treshold: 0.3", ["unknown key 'treshold'; did you mean 'threshold'"]),
    (GLOBAL + "limits:\n  max_tles: 3", ["'limits.max_tles'; did you mean 'limits.max_tiles'"]),
    (GLOBAL + "threshold: much", ["mine: threshold: ", "'much'", "Float"]),
    (GLOBAL + "exporter: [csv]", ["- override /exporter: [csv, images]"]),
    (GLOBAL + "mask: none", ["mask='none'", "- override /mask: "]),
    (GLOBAL + "tile: 256", ["tile=256", "- override /tile: "]),
    ("threshold: 0.3", ["mine: ", "'# @package _global_'"]),
    ("", ["mine: ", "'# @package _global_'"]),
    (GLOBAL + "threshold: [0.1", ["mine.yaml, line 2: "]),
    (GLOBAL + "limits:\n\tmax_tiles: 1", ["mine.yaml, line 3: "]),
    (GLOBAL + "threshold: 1\nthreshold: 2", ["mine.yaml, line 3: ", "duplicate key threshold"]),
    (GLOBAL + "name: \udcfc", ["not UTF-8", "0xfc"]),
]


@pytest.mark.parametrize(
    ("text", "words", "sweep"),
    a_third_quick(
        [
            *((*mistake, []) for mistake in MISTAKES_IN_FILES),
            *((*mistake, ["-m", "verify=size,hash"]) for mistake in MISTAKES_IN_FILES[::4]),
        ]
    ),
)
def test_a_mistake_in_a_users_file_is_named(
    tmp_path: Path, text: str, words: list[str], sweep: list[str]
) -> None:
    file = tmp_path / "mine/experiment/mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text, errors="surrogateescape")
    result = tiler("--config-dir", "mine", *sweep, "experiment=mine", "out=out", cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("E_")]
    for word in words:
        assert word in lines[0]
    assert "Traceback" not in result.stderr


CSV = "_target_: tiler.exporters.CsvExporter\n"
OTSU = "_target_: tiler.masks.OtsuMask\n"
NEEDS_LINE = "the file of an option needs the first line '# @package exporter.NAME'"
NO_LINE = "remove the line '# @package …' from the option's file"


@pytest.mark.parametrize(
    ("option", "text", "chosen", "problem"),
    [
        ("exporter/mine", CSV, "exporter=[csv,mine]", f".CsvExporter: {NEEDS_LINE}"),
        ("exporter/mine", CSV, "exporter=mine", f".CsvExporter: {NEEDS_LINE}"),
        ("exporter/mine", "# @package exporter\n" + CSV, "exporter=[csv,mine]", NEEDS_LINE),
        ("exporter/mine", GLOBAL + CSV, "exporter=[csv,mine]", f"exporter/mine: {NEEDS_LINE}"),
        ("mask/mine", "# @package mask.mine\n" + OTSU, "mask=mine", f"mask=['mine']: {NO_LINE}"),
        ("mask/mine", GLOBAL + OTSU, "mask=mine", f"mask/mine: {NO_LINE}"),
    ],
)
def test_an_option_in_the_wrong_package_needs_another_first_line(
    tmp_path: Path, option: str, text: str, chosen: str, problem: str
) -> None:
    file = tmp_path / f"mine/{option}.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    result = tiler("--config-dir", "mine", chosen, "out=out", cwd=tmp_path)
    assert result.returncode == 2
    assert problem in complaint(result)


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("labs.Mask", "module 'labs' was not found; add its folder to PYTHONPATH"),
        ("lab.maks.Mask", "package 'lab' has no module 'maks'; correct the name"),
        ("lab.masks.Maks", "module 'lab.masks' has no 'Maks'; correct the name"),
    ],
)
def test_a_component_that_cannot_be_found_is_named(
    tmp_path: Path, target: str, problem: str
) -> None:
    (tmp_path / "code/lab").mkdir(parents=True)
    (tmp_path / "code/lab/masks.py").write_text("class Mask: ...\n")
    path = os.pathsep.join([str(tmp_path / "code"), os.environ.get("PYTHONPATH", "")])
    env = {"TILER_TARGETS": "lab,labs", "PYTHONPATH": path}
    result = tiler(f"mask._target_={target}", "out=out", cwd=tmp_path, env=env)
    assert result.returncode == 2
    assert f"mask._target_={target}: {problem}" in complaint(result)


def test_a_table_names_masks_from_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "cohort #2: b").mkdir()  # which YAML would cut off
    write_demo_slide(tmp_path / "cohort #2: b/a.tiff", Size(800, 550))
    Image.fromarray(np.eye(55, 80) > 0).save(tmp_path / "cohort #2: b/a.png")
    table = tmp_path / "cohort #2: b/slides.csv"
    common = [
        "slides=table",
        "slides.table='cohort #2: b/slides.csv'",
        "mask=file",
        "threshold=0",
        "out=out",
    ]
    table.write_text("path,mask.path\na.tiff,a.png\n")
    done = tiler(*common, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = read_csv(tmp_path / "out/slides.csv")
    assert row["status"] == "done"
    table.write_text("path,slide_id,mask.path\na.tiff,a,a.png\na.tiff,b,\n")
    assert "mask.path is not set" in complaint(tiler(*common, cwd=tmp_path))


def test_mistakes_in_a_table_are_all_named_by_their_lines(tmp_path: Path) -> None:
    table = tmp_path / "slides.csv"
    table.write_text("path,threshold,treshold\na.svs,7,\nb.svs,,1\n\nc.svs,7,\nd.svs,much,\n")
    result = tiler("slides=table", "slides.table=slides.csv", "out=out", cwd=tmp_path)
    assert result.returncode == 2
    first, second, third = result.stderr.splitlines()
    for line, words in (
        (first, ["line 2 (a.svs) and 1 more", "threshold", "7", "from 0 to 1"]),
        (second, ["line 3 (b.svs)", "column 'treshold'", "did you mean 'threshold'"]),
        (third, ["line 6 (d.svs)", "threshold=much"]),
    ):
        for word in words:
            assert word in line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "cell", "sweep"),
    [
        ("threshold", "0.2", "threshold=0.1,0.5"),
        ("mask.mpp", "16", "mask={mpp: 8},{mpp: 4}"),
    ],
)
def test_a_table_cannot_set_a_swept_key(tmp_path: Path, key: str, cell: str, sweep: str) -> None:
    (tmp_path / "slides.csv").write_text(f"path,{key}\na.svs,{cell}\nb.svs,\n")
    words = ["slides=table", "slides.table=slides.csv", sweep, "out=out"]
    assert tiler("-m", *words, cwd=tmp_path).returncode == 2
    rows = read_csv(tmp_path / "out/sweep.csv")
    assert len(rows) == 2
    for row in rows:
        assert f"line 2 (a.svs): {key}={cell}: the sweep sets {key}, too" in row["reason"]


@pytest.mark.slow
def test_a_table_may_set_keys_of_a_group_that_is_swept(tmp_path: Path) -> None:
    write_demo_slide(tmp_path / "a.tiff", Size(800, 550))
    (tmp_path / "slides.csv").write_text("path,resolution.value\na.tiff,1\n")
    words = ["slides=table", "slides.table=slides.csv", "resolution=mpp,level", "out=out"]
    done = tiler("-m", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("cache", ["file", "file/below"])
def test_a_cache_that_cannot_be_created_is_refused(tmp_path: Path, cache: str) -> None:
    (tmp_path / "file").touch()
    write_demo_slide(tmp_path / "a.tiff", Size(300, 260))
    words = [*FILES, "slides.paths=a.tiff", f"cache={cache}", "out=out"]
    result = tiler(*words, cwd=tmp_path)
    assert result.returncode == 2
    assert complaint(result).startswith(f"E_CONFIG: cache={cache}: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_missing_mpp_fails_with_one_line_and_the_fix(tmp_path: Path, shared_slides: Path) -> None:
    path = shared_slides / "TCGA-CR-7395-01A-01-TS1.svs"
    common = ["slides=files", f"slides.paths={path}", "tile.size=512"]
    result = tiler(*common, "resolution=mpp", "out=a", cwd=tmp_path)
    assert result.returncode == 3
    (line,) = [line for line in result.stderr.splitlines() if " failed: " in line]
    for word in ("TCGA-CR-7395", "mpp", "tiff.ResolutionUnit", "reader.mpp"):
        assert word in line
    (row,) = read_csv(tmp_path / "a/slides.csv")
    assert row["status"] == "failed"
    assert not list((tmp_path / "a/slides").iterdir())

    assert tiler(*common, "reader.mpp=0.25", "out=b", cwd=tmp_path).returncode == 0
    (row,) = read_csv(tmp_path / "b/slides.csv")
    assert row["mpp"] == "0.25"
    assert "override" in row["mpp_source"]
    assert row["downsample"] == "2.0"
    assert int(row["kept"]) > 0

    result = tiler(*common, "resolution=level", "resolution.value=1", "out=c", cwd=tmp_path)
    assert result.returncode == 0
    (row,) = read_csv(tmp_path / "c/slides.csv")
    assert row["effective_mpp"] == ""
    assert int(row["kept"]) > 0


def test_bad_files_are_rows_and_the_others_are_done(tmp_path: Path, shared_slides: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    good = (f"{SMALL}.svs", "test3-DAPI-2-(387).ndpi", "boxes.tiff", "boxes_0.dcm", "boxes_1.dcm")
    for name in (*good, "unreadable.svs", "unopenable.tiff", "broken.svs"):
        shutil.copy(shared_slides / name, folder)
    (folder / "empty.svs").touch()
    (folder / "text.svs").write_text("these are not the pixels you are looking for\n")
    (folder / "half.svs").write_bytes((folder / good[0]).read_bytes()[:969_477])
    table = tmp_path / "slides.csv"
    names = [*sorted(path.name for path in folder.iterdir()), "missing.svs"]
    names.remove("boxes_1.dcm")
    table.write_text("path\n" + "".join(f'"in/{name}"\n' for name in names))
    result = tiler(
        "slides=table", "slides.table=slides.csv", "resolution=level", "tile.size=16", "mask=none",
        "resolution.value=0", "out=out", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 3, result.stderr
    rows = {row["slide_id"]: row for row in read_csv(tmp_path / "out/slides.csv")}
    assert len(rows) == len(names)
    for name in good[:4]:
        assert rows[Path(name).stem]["status"] == "done", rows[Path(name).stem]
    reasons = {
        "unreadable": "Bogus marker length",
        "unopenable": "Unsupported TIFF compression: 52479",
        "broken": "not a slide",
        "empty": "empty (0 bytes)",
        "text": "starts with plain text",
        "half": "beyond the end of the file",
        "missing": "no such file",
    }
    for name, words in reasons.items():
        assert rows[name]["status"] == "failed"
        assert words in rows[name]["reason"]
    assert len({rows[name]["reason"] for name in reasons}) == len(reasons)
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_a_sweep_gives_folders_and_one_table(
    tmp_path: Path, slide: Path, shared_slides: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(slide, folder)
    shutil.copy(shared_slides / "test3-DAPI-2-(387).ndpi", folder / "second.ndpi")
    result = tiler(
        "-m", "threshold=0.1,0.5", "resolution.value=0.5,1.0", "slides=files", "slides.paths=in",
        "out=sweep", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    jobs = sorted(path.name for path in (tmp_path / "sweep").glob("[!.]*/"))
    assert len(jobs) == 4
    assert all("threshold=" in job and "resolution.value=" in job for job in jobs)
    rows = read_csv(tmp_path / "sweep/sweep.csv")
    assert len(rows) == 8
    assert {(row["threshold"], row["resolution.value"]) for row in rows} == {
        (t, r) for t in ("0.1", "0.5") for r in ("0.5", "1.0")
    }
    kept = {(row["slide_id"], row["resolution.value"], row["threshold"]): int(row["kept"])
            for row in rows}  # fmt: skip
    for name in (SMALL, "second"):
        for value in ("0.5", "1.0"):
            assert kept[name, value, "0.1"] >= kept[name, value, "0.5"]


def test_a_sweep_continues_when_jobs_fail_and_names_them(tmp_path: Path, slide: Path) -> None:
    result = tiler(
        "-m", "tile.size=256,4.5,512", "slides=files", f"slides.paths={slide}", "out=sweep",
        cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 2
    rows = {row["tile.size"]: row for row in read_csv(tmp_path / "sweep/sweep.csv")}
    assert {size: row["status"] for size, row in rows.items()} == {
        "256": "done",
        "4.5": "failed",
        "512": "done",
    }
    assert "4.5" in rows["4.5"]["reason"]
    assert "job tile.size=4.5 ended with exit code 2" in result.stderr


@pytest.mark.slow
def test_two_runs_write_the_same_bytes(tmp_path: Path, slide: Path) -> None:
    common = ["slides=files", f"slides.paths={slide}", "exporter=[csv,json,images,overview]"]
    for out in ("a", "b"):
        assert tiler(*common, f"out={out}", "resolution.value=2", cwd=tmp_path).returncode == 0
    one, other = (
        {path.relative_to(tmp_path / out): path.read_bytes()
         for path in (tmp_path / out / "slides").rglob("*") if path.is_file()}
        for out in ("a", "b")
    )  # fmt: skip
    assert len(one) > 4
    assert one == other


def test_a_users_configs_are_found(tmp_path: Path, slide: Path) -> None:
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/ours.yaml").write_text(
        "# @package _global_\ntile:\n  size: 300\nthreshold: 0.9\n"
    )
    result = tiler(
        "--config-dir", "mine", "experiment=ours", "slides=files", f"slides.paths={slide}",
        "out=out", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    run = json.loads((tmp_path / "out/run.json").read_text())
    assert run["config"]["tile"]["size"] == 300
    assert run["config"]["threshold"] == 0.9


@pytest.mark.parametrize("words", [["experiment=null"], ["mask=3"], ["-m", "mask=null,otsu"]])
def test_a_group_without_an_option_is_reported_in_one_line(
    tmp_path: Path, words: list[str]
) -> None:
    refused = tiler(*words, cwd=tmp_path)
    assert refused.returncode == 2
    assert complaint(refused).startswith("E_CONFIG: an option of a group is a name, not a")
