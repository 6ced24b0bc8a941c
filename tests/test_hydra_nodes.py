"""All nodes that Hydra would instantiate are checked before it instantiates anything."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import a_third_quick, complaint, read_csv, tiler
from hydra.core.global_hydra import GlobalHydra
from omegaconf.errors import OmegaConfBaseException
from tracked import picture

from tiler.checks.targets import trusted_packages
from tiler.config.checks.typed import check_engine
from tiler.config.checks.validate import leaves
from tiler.config.command.flags import read_command_line
from tiler.config.compose import compose
from tiler.config.schema import register_schema
from tiler.config.sweeps.multirun import register_resolvers
from tiler.errors import ConfigError

LOG = "hydra.job_logging"
MARK = "{_target_: os.mkdir, path: pwned}"
"""Makes a folder where it is instantiated."""
CREATE = "\\${oc.create:{_target_:os.mkdir,path:pwned}}"
TWICE = [
    (f"'{CREATE}'", []),
    (f"'{CREATE.replace(chr(92), chr(92) * 3)}'", []),
    ("'${name}x'", [f"name='{CREATE}'"]),
    ("'${name}${out}'", ["name='\\${oc.create:'", "out='{_target_:os.mkdir,path:pwned}}'"]),
    ("'$${name}'", ["name='{oc.create:{_target_:os.mkdir,path:pwned}}'"]),
    ("'x${oc.decode:${name}}'", [f"name='{CREATE}'"]),
    ("'x${oc.select:name}'", [f"name='{CREATE}'"]),
    ("'x${oc.env:NO,${name}}'", [f"name='{CREATE}'"]),
    ("'x${hydra:job.name}'", [f"hydra.job.name='{CREATE}'"]),
    ("'x${oc.dict.values:limits}'", []),
]
"""Texts that are an interpolation once they are resolved."""


@pytest.fixture(autouse=True)
def _hydra(parsed_conf: None) -> Iterator[None]:
    GlobalHydra.instance().clear()
    trusted_packages.cache_clear()
    register_schema()
    register_resolvers()
    yield
    trusted_packages.cache_clear()


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["hydra/job_logging=default"],
        ["hydra/job_logging=none", "hydra/hydra_logging=none"],
        ["hydra/job_logging=disabled", "hydra/hydra_logging=disabled"],
        ["hydra/job_logging=stdout", "hydra.verbose=true"],
        [f"{LOG}.root.level=ERROR", f"{LOG}.formatters.plain.format='%(message)s of ${{name}}'"],
        ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
        ["hydra/launcher=submitit_slurm", "hydra.launcher.partition=long",
         "hydra.launcher.setup=[module load python]",
         "+hydra.launcher.additional_parameters={mail-user: me}"],
        ["engine=processes", "engine.workers=3", "hydra/launcher=submitit_local",
         "hydra.launcher.cpus_per_task=${engine.workers}"],
        ["hydra/launcher=submitit_local", "out='${oc.env:HOME}/${now:%Y}'",
         "hydra.launcher.submitit_folder='${out}/jobs'"],
        ["hydra.sweeper.max_batch_size=2", "-m", "threshold=0.1,0.2"],
        ["experiment=threshold_sweep"],
        ["-m", "experiment=clam_256_20x,mil_512_20x", "mask=glob(n*)", "tile.size=range(10,30,10)"],
        ["+hydra.job.env_set.OMP_NUM_THREADS='1'", "hydra.job.chdir=true"],
        ["hydra.searchpath=[file:///tmp,/tmp]"],
    ],
)  # fmt: skip
def test_targets_that_hydra_needs_are_accepted(words: list[str]) -> None:
    composed = compose(read_command_line(words))
    assert composed.sweeps == ("-m" in words or "experiment=threshold_sweep" in words)


@pytest.mark.parametrize(
    ("words", "said"),
    a_third_quick([
        ([f"+hydra.callbacks.x={MARK}"], "hydra.callbacks.x._target_=os.mkdir: "),
        (["+hydra.callbacks.x=${engine}"], "hydra.callbacks.x=${engine}: "),
        (["hydra.callbacks=${engine}"], "hydra.callbacks=${engine}: "),
        (["+hydra.callbacks.x={_target_: '${name}'}"], "hydra.callbacks.x._target_=${name}: "),
        (["+hydra.callbacks.x={_target_: 'tiler.masks.HsvMask'}"], "hydra.callbacks.x._target_"),
        (["+hydra.callbacks.x={y: [{z: '${mask}'}]}"], "hydra.callbacks.x.y[0].z=${mask}: "),
        (["+hydra.callbacks.x='${oc.create:{_target_:os.mkdir}}'"], "hydra.callbacks.x=${oc."),
        (["+hydra.callbacks.x='${oc.decode:\"{_target_: os.mkdir}\"}'"], "hydra.callbacks.x=${oc."),
        (["+hydra.callbacks.x='${oc.select:\"a}b\",${mask}}'"], "hydra.callbacks.x=${oc.select"),
        (["hydra.run=${name}"], "hydra.run=${name}: "),
        (["-m", "hydra.sweep=${tile.size}"], "hydra.sweep=${tile.size}: "),
        (["+hydra.callbacks.x=${.y}", "+hydra.callbacks.y=null"], "hydra.callbacks.x=${.y}: "),
        (["hydra.launcher._target_=os.mkdir"], "hydra.launcher._target_=os.mkdir: "),
        (["hydra.launcher=${engine}"], "hydra.launcher=${engine}: "),
        ([f"+hydra.launcher.x={MARK}"], "hydra.launcher.x._target_="),
        ([f"+hydra.launcher.x=[{MARK}]"], "hydra.launcher.x[0]._target_="),
        (["+hydra.launcher.x=${mask}"], "hydra.launcher.x=${mask}: "),
        (["+hydra.launcher._args_=[1]"], "hydra.launcher._args_: "),
        (["+hydra.launcher._partial_=true"], "hydra.launcher._partial_: "),
        (["hydra.sweeper._target_=os.mkdir"], "hydra.sweeper._target_=os.mkdir: "),
        *(
            ([f"+hydra.launcher.x={value}", *more], "hydra.launcher.x=")
            for value, more in TWICE
        ),
        ([f"{LOG}.handlers.console.class=os.mkdir"], f"{LOG}.handlers.console.class=os.mkdir: "),
        (["+hydra.job_logging={handlers: {x: {class: logging.handlers.SocketHandler}}}"],
         f"{LOG}.handlers.x.class"),
        (["+hydra.job_logging={handlers: {x: {class: logging.handlers.HTTPHandler}}}"],
         f"{LOG}.handlers.x.class"),
        ([f"{LOG}.handlers.console.class=${{name}}"], f"{LOG}.handlers.console.class=${{name}}: "),
        ([f"{LOG}.handlers.console.stream=ext://os.environ"], f"{LOG}.handlers.console.stream=ext"),
        ([f"{LOG}.handlers.console.stream=${{name}}"], f"{LOG}.handlers.console.stream=${{name}}"),
        ([f"+{LOG}.handlers.console.x=1"], f"{LOG}.handlers.console.x: unknown key"),
        ([f"{LOG}.handlers=${{mask}}"], f"{LOG}.handlers=${{mask}}: "),
        ([f"{LOG}.root.level=ext://os.environ"], f"{LOG}.root.level=ext://os.environ: "),
        ([f"{LOG}.root.level='e${{name}}'"], f"{LOG}.root.level=e${{name}}: "),
        ([f"+{LOG}.formatters.plain.style=cfg://x"], f"{LOG}.formatters.plain.style=cfg://x: "),
        ([f"+{LOG}.x=1"], f"{LOG}.x: unknown key"),
        (["hydra.job_logging=${mask}"], f"{LOG}=${{mask}}: "),
        (["hydra/job_logging=default", f"{LOG}.handlers.file.filename=/tmp/x.log"],
         f"{LOG}.handlers.file.filename=/tmp/x.log: "),
        (["hydra/job_logging=default", "hydra.job.name='../../x'"], f"{LOG}.handlers.file"),
        (["hydra/job_logging=default", f"{LOG}.handlers.file.filename='"
          "${hydra.runtime.output_dir}/../x.log'"], f"{LOG}.handlers.file.filename="),
        (["hydra/job_logging=default", f"{LOG}.handlers.file.filename='"
          "${hydra.runtime.output_dir}/run.json'"], f"{LOG}.handlers.file.filename="),
        (["hydra/hydra_logging=hydra_debug"], "hydra.hydra_logging.handlers.file.filename="),
        (["hydra/job_logging=default", f"+{LOG}.handlers.file.mode=w"],
         f"{LOG}.handlers.file.mode=w: "),
        ([f"+{LOG}={{handlers: {{x: {{class: logging.handlers.RotatingFileHandler, filename: '"
          "${hydra.runtime.output_dir}/x.log', maxBytes: 1, backupCount: 1}}}"],
         f"{LOG}.handlers.x.class=logging.handlers.RotatingFileHandler"),
        (["hydra.output_subdir=conf"], "hydra.output_subdir=conf: "),
        (["hydra.output_subdir=."], "hydra.output_subdir=.: "),
        (["hydra.output_subdir='../mine'"], "hydra.output_subdir=../mine: "),
        (["hydra.output_subdir='${name}'"], "hydra.output_subdir=${name}: "),
        (["hydra.hydra_logging.handlers.console.stream=ext://os.environ"], "hydra.hydra_logging."),
        (["+hydra.job.env_set.TILER_TARGETS=os"], "hydra.job.env_set.TILER_TARGETS: "),
        (["+hydra.job.env_set.LD_PRELOAD=x.so"], "hydra.job.env_set.LD_PRELOAD: "),
        (["+hydra.job.env_set={PYTHONPATH: '/tmp'}"], "hydra.job.env_set.PYTHONPATH: "),
        (["+hydra={job: {env_set: {PATH: '/tmp'}}}"], "hydra.job.env_set.PATH: "),
        (["hydra.job.env_copy=[HOME]"], "hydra.job.env_set.HOME: "),
        (["hydra.searchpath=[pkg://antigravity]"], "hydra.searchpath=pkg://antigravity: "),
        (["hydra.searchpath=['${name}']"], "hydra.searchpath=${name}: "),
        (["-m", "+hydra={callbacks: {x: '${mask}'}},{verbose: true}"], "hydra.callbacks.x=${mask}"),
        (["--experimental-rerun=x.pickle"], "--experimental-rerun reads a pickle"),
        (["--config-path=pkg://antigravity"], "pkg://antigravity is not an absolute path"),
        (["--config-dir=nowhere"], "--config-dir=nowhere: no such folder"),
        (["--info", "threshold=1"], "argument --info/-i: invalid choice: 'threshold=1'"),
        (["--config-dri=x"], "unrecognized arguments: --config-dri=x"),
        (["--run", "--multirun"], "exclude each other"),
    ]),
)  # fmt: skip
def test_targets_that_hydra_does_not_need_are_refused(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(read_command_line(words))
    assert said in str(caught.value)


def test_a_package_of_the_environment_may_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ours_of_test.py").write_text(
        "import logging\nclass Handler(logging.StreamHandler):\n    pass\n"
        "class Callback:\n    def __init__(self, x=None):\n        pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    words = ["+hydra.callbacks.x={_target_: ours_of_test.Callback, x: [1]}",
             f"{LOG}.handlers.console.class=ours_of_test.Handler"]  # fmt: skip
    with pytest.raises(ConfigError, match="TILER_TARGETS"):
        compose(read_command_line(words))
    trusted_packages.cache_clear()
    monkeypatch.setenv("TILER_TARGETS", "other, ours_of_test")
    compose(read_command_line(words))
    mark = words[0].replace("[1]", MARK)
    with pytest.raises(ConfigError, match=r"callbacks\.x\.x\._target_=os"):
        compose(read_command_line([mark]))


GLOBAL = "# @package _global_\n"
EVIL = f"{GLOBAL}hydra:\n  callbacks:\n    x: {MARK}\n"
EVIL_LOG = f"{GLOBAL}hydra:\n  job_logging:\n    handlers:\n      console:\n        class: {{}}\n"
GOOD = f"{GLOBAL}threshold: 0.3\n"


@pytest.mark.parametrize(
    ("files", "words", "said"),
    a_third_quick([
        ({"experiment/bad": EVIL}, ["experiment=bad"], "hydra.callbacks.x._target_"),
        ({"mask/bad": EVIL}, ["mask=bad"], "hydra.callbacks.x._target_"),
        ({"experiment/bad": EVIL}, ["-m", "threshold=0.1,0.2", "experiment=bad"],
         "hydra.callbacks.x._target_"),
        ({"experiment/bad": EVIL, "experiment/good": GOOD}, ["-m", "experiment=good,bad"],
         "hydra.callbacks.x._target_"),
        ({"experiment/bad": EVIL_LOG.format("os.mkdir"), "experiment/good": GOOD},
         ["-m", "tile.size=256,300", "experiment=good,bad"], f"{LOG}.handlers.console.class"),
        ({"experiment/bad": f"{GLOBAL}hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n"
          f"      +hydra.callbacks.x: {json.dumps(MARK)}\n      threshold: 0.1,0.2\n"},
         ["experiment=bad"], "hydra.callbacks.x._target_"),
        ({"experiment/bad": f"{GLOBAL}hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n"
          "      mask: ${name}\n"}, ["experiment=bad"], "hydra.sweeper.params.mask=${name}: "),
        ({"experiment/bad": f"{GLOBAL}hydra:\n  sweeper:\n    params:\n      name: '{CREATE}'\n"},
         ["-m", "experiment=bad"], "hydra.sweeper.params.name=\\${oc.create"),
        ({"experiment/bad": f"{GLOBAL}hydra:\n  job:\n    env_set:\n      A: b\n"},
         ["experiment=bad"], "hydra.job.env_set.A: a file sets"),
        ({"experiment/bad": f"{GLOBAL}defaults: [override /hydra/launcher: submitit_slurm]\n"
          "hydra:\n  launcher:\n    setup: [touch pwned]\n"},
         ["experiment=bad"], "hydra.launcher.setup: can run any command"),
        ({"experiment/bad": f"{GLOBAL}defaults: [override /hydra/launcher: submitit_slurm]\n"
          "hydra:\n  launcher:\n    additional_parameters: {wrap: touch pwned}\n"},
         ["experiment=bad"], "hydra.launcher.additional_parameters.wrap: can run any command"),
        ({"experiment/bad": f"{GLOBAL}defaults: [override /hydra/launcher: submitit_slurm]\n"
          'hydra:\n  launcher:\n    partition: "a\\ntouch pwned"\n'},
         ["experiment=bad"], "hydra.launcher.partition='a\\ntouch pwned': contains a control"),
        ({"experiment/bad": f"{GLOBAL}defaults: [override /hydra/launcher: submitit_slurm]\n"
          'name: "a\\ntouch pwned"\nhydra:\n  launcher:\n    partition: ${name}\n'},
         ["experiment=bad"], "hydra.launcher.partition='a\\ntouch pwned': contains a control"),
        ({"experiment/bad": f"{GLOBAL}defaults: [override /hydra/launcher: submitit_local]\n"
          "hydra:\n  launcher:\n    submitit_folder: /tmp/evil\n"},
         ["experiment=bad"], "hydra.launcher.submitit_folder: can run any command"),
        ({"engine/bad": "_target_: tiler.runner.engines.DaskEngine\naddress: tcp://evil:8786\n"},
         ["engine=bad"], "engine.address: can run any command"),
        ({"bad": "defaults: [config, _self_]\nhydra:\n  searchpath: [pkg://antigravity]\n"},
         ["--config-name=bad"], "hydra.searchpath=pkg://antigravity"),
        ({"bad": "defaults: [config, _self_]\nhydra:\n  searchpath: ['${oc.env:HOME}']\n"},
         ["--config-name=bad"], "hydra.searchpath=${oc.env:HOME}"),
        ({"experiment/bad": f"{GLOBAL}defaults:\n  - override /mask: ${{oc.env:WORD}}\n"},
         ["experiment=bad"], "defaults: ${oc.env:WORD}"),
        ({"experiment/bad": f"{GLOBAL}defaults:\n  - override /mask: ${{oc.env:WORD}}\n",
          "experiment/good": GOOD}, ["-m", "experiment=good,bad"], "defaults: ${oc.env:WORD}"),
    ]),
)  # fmt: skip
def test_another_persons_files_are_checked_as_well(
    tmp_path: Path, files: dict[str, str], words: list[str], said: str
) -> None:
    for name, text in files.items():
        file = tmp_path / f"mine/{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    done = tiler("--config-dir", "mine", *words, "out=out", cwd=tmp_path, env={"WORD": "none"})
    assert done.returncode == 2
    assert said in complaint(done)
    assert {path.name for path in tmp_path.iterdir()} == {"mine"}


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ({"address": "tcp://evil:8786"}, "engine.address"),
        ({"slurm": {"job_script_prologue": ["touch pwned"]}}, "engine.slurm.job_script_prologue"),
        ({"slurm": {"python": "/tmp/evil"}}, "engine.slurm.python"),
        ({"slurm": {"worker_extra_args": ["--preload", "evil.py"]}}, "worker_extra_args"),
        ({"slurm": {"scheduler_options": {"preload": ["evil"]}}}, "scheduler_options.preload"),
        ({"slurm": {"queue": "a\ntouch pwned"}}, "engine.slurm.queue='a\\ntouch pwned'"),
        ({"slurm": {"queue": "a --export=ALL,BASH_ENV=x"}}, "engine.slurm.queue='a --export"),
        ({"slurm": {"interface": "ib0;touch${IFS}pwned"}}, "engine.slurm.interface='ib0;touch"),
        ({"slurm": {"memory": "4GB$(touch pwned)"}}, "engine.slurm.memory='4GB$(touch"),
        ({"slurm": {"job_mem": ["$(x)"]}}, "engine.slurm.job_mem="),
        ({"slurm": {"local_directory": "/tmp/evil"}}, "engine.slurm.local_directory"),
        ({"slurm": {"queue": "a"}, "logs": "/tmp/evil"}, "engine.logs"),
        ({"dashboard": "0.0.0.0:8787"}, "engine.dashboard=0.0.0.0:8787: other machines"),
        ({"dashboard": ":8787"}, "engine.dashboard=:8787: other machines"),
        ({"dashboard": "127.0.0.1.evil.org:80"}, "engine.dashboard=127.0.0.1.evil.org:80"),
    ],
)
def test_commands_for_a_cluster_count_only_from_the_command_line(
    engine: dict[str, object], said: str
) -> None:
    others = ["engine", "engine.slurm", "engine.slurm.cores", "engine.slurm.queu", "engine.addr"]
    with pytest.raises(ConfigError) as caught:
        check_engine(engine, "out", others)
    assert said in str(caught.value)
    check_engine(engine, "out", [key for key, _ in leaves({"engine": engine})])
    harmless = {"queue": "long", "memory": "4 GB", "walltime": "04:00:00", "account": None}
    check_engine({"slurm": harmless, "address": None, "logs": "out/.dask"}, "out", [])
    check_engine({"dashboard": "127.0.0.1:8787"}, "out", [])


@pytest.mark.parametrize("flag", [["--cfg", "job"], ["--info", "defaults"]])
def test_flags_that_print_instantiate_nothing(tmp_path: Path, flag: list[str]) -> None:
    word = "hydra.hydra_logging.handlers.console.stream=ext://antigravity.x"
    done = tiler(*flag, word, cwd=tmp_path)
    assert done.returncode == 2
    assert "ext://antigravity.x: names an object" in complaint(done)
    assert tiler(*flag, "threshold=0.25", cwd=tmp_path).returncode == 0


def test_help_composes_nothing(tmp_path: Path) -> None:
    word = "hydra.hydra_logging.handlers.console.stream=ext://antigravity.x"
    done = tiler("--config-dir", ".", "--help", word, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"Options in {tmp_path}:" in done.stdout


@pytest.mark.slow
def test_options_are_found_with_flags_at_any_position(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "mask").mkdir(parents=True)
        text = "_target_: tiler.masks.HsvMask\nmpp: 9\n"
        (tmp_path / name / f"mask/{name}.yaml").write_text(text)
    picture(tmp_path)
    words = ["out=out", "-m", "mask=one,two", "--config-dir", "one", "resolution=level",
             "hydra.searchpath=[file://two]", "dry_run=false", "slides=files",
             "slides.paths=pic.png", "tile.size=16"]  # fmt: skip
    done = tiler(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [row["mask"] for row in read_csv(tmp_path / "out/sweep.csv")] == ["one", "two"]
    printed = tiler("--cfg", "job", "mask=one", f"-cd={tmp_path}/one", cwd=tmp_path)
    assert "mpp: 9\n" in printed.stdout


def aliases(levels: int, each: int = 9) -> str:
    """YAML whose last list stands for ``each`` to the power of ``levels`` values."""
    lines = [f"a0: &a0 [{','.join(['x'] * each)}]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * each)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize("text", [aliases(9), "a: &a [*a]", "a: &a {b: [1, {c: *a}]}"])
@pytest.mark.parametrize("flag", ["--config-dir", "--config-path"])
def test_a_yaml_bomb_in_a_folder_of_options_is_refused(
    tmp_path: Path, text: str, flag: str
) -> None:
    (tmp_path / "mask/deep").mkdir(parents=True)
    (tmp_path / "mask/deep/bad.yaml").write_text(f"_target_: tiler.masks.AllTissue\n{text}\n")
    (tmp_path / "config.yaml").write_text("defaults: [mask: deep/bad]")
    with pytest.raises(ConfigError, match=r"bad\.yaml: its YAML aliases"):
        compose(read_command_line([f"{flag}={tmp_path}", "mask=deep/bad"]))


def chain(link: str, levels: int = 9, first: str = "xxxxxxxxxx") -> str:
    """Return keys of a mask, each of which repeats the one before; {} in a link is its name."""
    keys = [f"k0: {first}", *(f"k{n}: {link.format(f'mask.k{n - 1}')}" for n in range(1, levels))]
    return "\n  ".join(["mask:", *keys])


def repeated(link: str, times: int = 10) -> str:
    return f"'{link * times}'"


CHAINS = {
    "texts": chain(repeated("${{{0}}}")),
    "no text": chain(repeated("${{{0}}}"), first="''"),
    "relative": chain(repeated("${{{0}}}")).replace("{mask", "{"),
    "select": chain(repeated("${{oc.select:{0}}}")),
    "default": chain(repeated("${{oc.select:no,${{{0}}}}}")),
    "lists": chain(f"[{','.join([repeated('${{{0}}}', 1)] * 10)}]"),
    "mappings": chain("{{a: {{b: '${{{0}}}'}}, c: '${{{0}.a}}'}}", 30, "{a: b}"),
    "brackets": chain("['" + "${{{0}[0]}}" * 10 + "']", first="[xxxxxxxx]"),
    "computed": chain(repeated("${{${{name}}.{0}}}")).replace(".mask.", "."),
    "decoded": chain("'" + "${{oc.decode:''${{{0}}}''}}" * 10 + "'"),
}


@pytest.mark.parametrize("text", CHAINS.values(), ids=CHAINS)
def test_interpolations_that_repeat_others_are_refused(tmp_path: Path, text: str) -> None:
    # Hydra searches the folders of earlier commands of this process, too: a name of its own.
    (tmp_path / "experiment").mkdir()
    (tmp_path / f"experiment/{tmp_path.name}.yaml").write_text(f"{GLOBAL}{text}\nname: x\n")
    with pytest.raises(ConfigError, match=r"interpolations \(\$\{…\}\) stand for more than"):
        compose(read_command_line([f"--config-dir={tmp_path}", f"experiment={tmp_path.name}"]))


OWN_KEYS = {
    "job.name": "hydra: {job: {name: '${mask.k8}'}}",
    "separator": "hydra: {job: {config: {override_dirname: {kv_sep: '${mask.k8}'}}}}",
}


@pytest.mark.parametrize("own", OWN_KEYS.values(), ids=OWN_KEYS)
def test_interpolations_that_hydra_resolves_as_it_composes_are_refused(
    tmp_path: Path, own: str
) -> None:
    """The command hung before Hydra had composed the configuration."""
    (tmp_path / "experiment").mkdir()
    (tmp_path / "mask").mkdir()
    keys = chain(repeated("${{{0}}}"))
    (tmp_path / f"experiment/{tmp_path.name}.yaml").write_text(f"{GLOBAL}{keys}\n{own}\n")
    words = [f"--config-dir={tmp_path}", f"experiment={tmp_path.name}"]
    with pytest.raises(ConfigError, match=r"hydra\.job\..*stand for more than"):
        compose(read_command_line(words))
    own_keys = keys.removeprefix("mask:\n  ").replace("\n  ", "\n")  # of a file in the group mask
    (tmp_path / f"mask/{tmp_path.name}.yaml").write_text(own_keys)
    (tmp_path / f"experiment/{tmp_path.name}.yaml").write_text(
        f"{GLOBAL}defaults: [override /mask: {tmp_path.name}]\n{own}\n"
    )
    with pytest.raises(ConfigError, match=r"hydra\.job\..*stand for more than"):
        compose(read_command_line(words))


@pytest.mark.parametrize("place", ["file", "command"])
def test_interpolations_of_several_files_that_hydra_resolves_are_refused(
    tmp_path: Path, place: str
) -> None:
    """No file alone stands for much; the command hung."""
    (tmp_path / "experiment").mkdir()
    lines = chain(repeated("${{{0}}}")).removeprefix("mask:\n  ").split("\n  ")
    own = OWN_KEYS["job.name"] if place == "file" else ""
    defaults = [f"{tmp_path.name}{number}" for number in range(len(lines))]
    for name, line in zip(defaults, lines, strict=True):
        text = f"{GLOBAL}mask:\n  {line}\n{own}\n"
        (tmp_path / f"experiment/{name}.yaml").write_text(text)
    chosen = f"{GLOBAL}defaults: [{', '.join(defaults)}]\n"
    (tmp_path / f"experiment/{tmp_path.name}.yaml").write_text(chosen)
    words = [f"--config-dir={tmp_path}", f"experiment={tmp_path.name}"]
    words += [] if own else ["hydra.job.name='${mask.k8}'"]
    with pytest.raises(ConfigError, match=r"hydra\.job\..*stand for more than"):
        compose(read_command_line(words))


def test_a_job_may_be_named_after_other_keys(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    text = f"{GLOBAL}name: mine\nhydra: {{job: {{name: '${{name}}_${{threshold}}'}}}}\n"
    (tmp_path / f"experiment/{tmp_path.name}.yaml").write_text(text)
    words = [f"--config-dir={tmp_path}", f"experiment={tmp_path.name}"]
    assert compose(read_command_line(words)).config.hydra.job.name == "mine_0.5"


@pytest.mark.parametrize(
    "text",
    [
        "mask: {x: /a, y: /b, site: x, data: '${.${.site}}/c', more: '${mask.${mask.site}}/d'}",
        chain("'${{{0}}}'", 40),
        chain(repeated("${{{0}}}"), 4),
        "name: '${oc.env:HOME}${now:%Y}${hydra:job.num}${nowhere}'",
    ],
)
def test_other_interpolations_are_left_to_hydra(tmp_path: Path, text: str) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / f"experiment/{tmp_path.name}.yaml").write_text(f"{GLOBAL}{text}\n")
    said = ""
    try:
        compose(read_command_line([f"--config-dir={tmp_path}", f"experiment={tmp_path.name}"]))
    except (ConfigError, OmegaConfBaseException) as error:  # of a value that Hydra cannot resolve
        said = str(error)
    assert "stand for more than" not in said


def test_a_few_yaml_aliases_are_fine(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/ok.yaml").write_text(
        f"{GLOBAL}name: &n mine\nout: *n\nthreshold: &t 0.25\nmax_bad_fraction: *t\n"
    )
    (tmp_path / "unused.yaml").write_text(aliases(3))
    config = compose(read_command_line([f"--config-dir={tmp_path}", "experiment=ok"])).config
    assert (config.out, config.max_bad_fraction) == ("mine", 0.25)


def test_an_option_that_is_a_fifo_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mask").mkdir()
    os.mkfifo(tmp_path / "mask/bad.yaml")
    with pytest.raises(ConfigError, match=r"bad\.yaml: is not a regular file"):
        compose(read_command_line([f"--config-dir={tmp_path}", "mask=bad"]))


@pytest.mark.parametrize(
    "words",
    [
        ["threshold=range(0,1000000000)"],
        ["threshold=shuffle(range(0,1000000000))"],
        ["threshold=range(0,1,1e-9)"],
        ["threshold=range(0,1000)", "tile.size=range(1,1000)"],
    ],
)
def test_a_sweep_of_millions_of_jobs_is_refused(words: list[str]) -> None:
    with pytest.raises(ConfigError, match="more than 100,000 jobs"):
        compose(read_command_line(["-m", *words]))
