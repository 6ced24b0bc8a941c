"""Secrets in a configuration reach neither the files of a run, nor its log, nor its messages."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from command import complaint
from command import tiler as run_tiler
from hypothesis import given
from hypothesis import strategies as st
from tracked import COMMON, picture

from tiler.storage.safe_text import has_mask, masked, without_secrets

SECRETS = "hunter2xyzzy", "t0k3nplugh"
URI = "http://me:{}@127.0.0.1:9/?token={}".format(*SECRETS)
TRACKER = ("tracker=jsonl", "tracker._target_=secretive.SecretiveTracker", "~tracker.path",
           f"+tracker.uri='{URI}'")  # fmt: skip
CODE = """
import json
from tiler.readers.image import ImageReader

class SecretiveTracker:
    def __init__(self, uri):
        self.uri = uri
    def start(self, name, parameters, parent):
        with open("told.jsonl", "a") as file:
            print(json.dumps(parameters), file=file)
        raise ConnectionError(f"no answer from {self.uri}")

class SecretiveReader(ImageReader):
    def __init__(self, path, *, name=None, api_key, url, **more):
        super().__init__(path, name=name)
        if api_key == "wrong":
            raise OSError(f"refused by {url}")
"""


def tiler(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command with users' components."""
    (cwd / "secretive.py").write_text(CODE)
    return run_tiler(*words, cwd=cwd, env={"TILER_TARGETS": "secretive", "PYTHONPATH": f"{cwd}"})


def leaks(folder: Path, *texts: str) -> list[str]:
    """Return the files below a folder, and the texts, that contain a secret."""
    files = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    said = {f"text {number}": text.encode() for number, text in enumerate(texts)}
    there = {**files, **said}
    return [name for name, data in there.items() if any(s.encode() in data for s in SECRETS)]


PLAIN = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="@/:?#"),
                min_size=8)  # fmt: skip


@given(user=PLAIN, secret=PLAIN.map("s3cret{}".format))
def test_a_password_in_a_url_is_masked_everywhere(user: str, secret: str) -> None:
    url = f"https://{user}:{secret}@host:5000/path"
    for text in (
        url,
        f"tracker.uri={url}",
        f"cannot reach '{url}': refused",
        json.dumps({"u": url}),
    ):
        assert "s3cret" not in masked(text)
        assert masked(masked(text)) == masked(text)
    assert masked(url) == f"https://{user}:***@host:5000/path"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("postgresql://me:a/b@host/db", "postgresql://me:***@host/db"),
        ("https://me:a@b@host/", "https://me:***@host/"),
        ("https://ghp_abc@host/x", "https://***@host/x"),
        ("https://host/?a=1&token=abc&b=2", "https://host/?a=1&token=***&b=2"),
        ("tracker.api_key=abc", "tracker.api_key=***"),
        ("db_password: abc", 'db_password: "***"'),
        ('{"access-token": "a b", "x": 1}', '{"access-token": "***", "x": 1}'),
        ("Authorization: Bearer abc", 'Authorization: "***"'),
    ],
)
def test_secrets_of_each_form_are_masked(text: str, safe: str) -> None:
    assert masked(text) == safe


@pytest.mark.parametrize(
    "text",
    [
        "https://host:5000/path@x", "sqlite:////data/a@b.db", "me@host.org: hello", "threshold=0.5",
        "tracker.uri=${oc.env:MLFLOW_TRACKING_URI}", "token: ${oc.env:TOKEN}", "password: null",
        "slides.pattern=**/*.svs", "the password is wrong",
    ],
)  # fmt: skip
def test_text_without_a_secret_stays(text: str) -> None:
    assert masked(text) == text


def test_values_are_masked_by_their_keys_and_their_text() -> None:
    plain = {"a": {"auth_token": "x", "uri": URI, "n": 3}, "password": "", "list": [URI, None]}
    safe = without_secrets(plain)
    assert safe["a"] == {"auth_token": "***", "uri": masked(URI), "n": 3}
    assert (safe["password"], safe["list"]) == ("", [masked(URI), None])
    assert has_mask(safe["a"]["uri"])
    assert not any(map(has_mask, ("**/*.svs", "a***b", 3, None)))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run, a dry run and a sweep with secrets, and their output."""
    folder = tmp_path_factory.mktemp("secrets")
    picture(folder)
    words = (*COMMON, *TRACKER, "hydra.output_subdir=.hydra")
    said = ""
    for more in (
        ["out=out"],
        ["out=dry", "dry_run=true"],
        ["-m", "threshold=0.1,0.2", "out=sweep"],
    ):
        done = tiler(*words, *more, cwd=folder)
        assert done.returncode == 0, done.stderr
        said += done.stdout + done.stderr
    return folder, said


def test_no_file_and_no_line_of_a_run_or_sweep_contains_a_secret(run: tuple[Path, str]) -> None:
    folder, said = run
    assert "no answer from http://me:***@" in said
    assert "me:***@" in (folder / "told.jsonl").read_text()
    for name in ("out/run.json", "out/.hydra/config.yaml", "out/.hydra/overrides.yaml",
                 "sweep/multirun.yaml", "dry/budget.json", "sweep/sweep.json"):  # fmt: skip
        assert "me:***@127.0.0.1" in (folder / name).read_text(), name
    assert leaks(folder, said) == []
    assert yaml.safe_load((folder / "sweep/multirun.yaml").read_text())["tracker"]["uri"]


@pytest.mark.slow
def test_an_old_run_asks_for_its_secret_in_one_line(run: tuple[Path, str]) -> None:
    folder, _ = run
    refused = tiler("--rerun", "out", cwd=folder)
    assert refused.returncode == 2
    assert "tracker.uri=" in complaint(refused)
    assert "give it again" in complaint(refused)
    for words in ([f"tracker.uri='{URI}'"], ["tracker=none"]):
        again = tiler("--rerun", "out", *words, cwd=folder)
        assert again.returncode == 0, again.stderr
    assert leaks(folder, again.stderr) == []


@pytest.mark.slow
def test_a_refused_setting_and_a_printed_configuration_have_no_secret(tmp_path: Path) -> None:
    for words in (["threshold=2"], [f"threshold='{URI}'"], [f"nonsense='{URI}'"],
                  [f"+reader.token={SECRETS[1]}"], ["-m", "threshold=2,3"]):  # fmt: skip
        refused = tiler(*TRACKER, *words, "out=out", cwd=tmp_path)
        assert refused.returncode == 2
        assert leaks(tmp_path, refused.stderr, refused.stdout) == []
    printed = tiler("--cfg", "job", *TRACKER, cwd=tmp_path)
    assert yaml.safe_load(printed.stdout)["tracker"]["uri"] == masked(URI)


@pytest.mark.slow
def test_the_settings_in_a_record_have_no_secret_and_a_new_one_redoes_nothing(
    tmp_path: Path,
) -> None:
    picture(tmp_path)
    words = (*COMMON, "reader._target_=secretive.SecretiveReader", "out=out")
    for secret in SECRETS:
        done = tiler(*words, f"+reader.api_key={secret}", f"+reader.url='http://a:{secret}@b'",
                     cwd=tmp_path)  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert "1 of 1 slides are done already" in done.stderr
    failed = tiler(*words[:-1], "+reader.api_key=wrong", f"+reader.url='{URI}'", "out=failed",
                   cwd=tmp_path)  # fmt: skip
    assert failed.returncode == 3
    assert "refused by http://me:***@" in (tmp_path / "failed/slides.csv").read_text()
    for name in ("out", "failed"):
        assert leaks(tmp_path / name, done.stderr, failed.stderr) == []
