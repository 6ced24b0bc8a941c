"""A sweep's jobs find in this process what they find under Hydra's own launcher."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FILE_LOG = (
    "+hydra.job_logging.handlers.file={class:logging.FileHandler,filename:job.log}",
    "hydra.job_logging.root.handlers=[console,file]",
)
WORDS = {
    "plain": (),
    "records": ("hydra.output_subdir=.hydra", "+hydra.job.env_set.WITNESS=yes"),
    "folders": ("hydra.sweep.subdir=at_${hydra:job.num}/${threshold}",),
    "batches": ("hydra.sweeper.max_batch_size=2", "hydra.verbose=true"),
    "a log in the job's folder": ("hydra/job_logging=default",),
    "a log where the job runs": ("hydra.job.chdir=true", *FILE_LOG),
    "a log of all": FILE_LOG,
    "a log of the last": (*FILE_LOG, "+hydra.job_logging.handlers.file.mode=w"),
    "a log held back": (
        *FILE_LOG,
        "+hydra.job_logging.handlers.later={class:logging.handlers.MemoryHandler,target:file,capacity:99}",
        "hydra.job_logging.root.handlers=[later]",
    ),
    "no log": ("hydra/job_logging=none", "hydra/hydra_logging=none"),
}
DIFFERENT = r"\d{4}-\d\d-\d\d |\d\d:\d\d:\d\d(,\d+)?|.*#\d: threshold=.*\n"
"""Times, and the line that says in tiler's own words which job begins."""


def left(folder: Path, launcher: str, *words: str) -> dict[str, str]:
    """The files that a sweep of three jobs leaves, the second of which raises."""
    folder.mkdir()
    here = {**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}", "WITNESS": "no"}
    command = [sys.executable, TESTS / "witness.py", launcher, "-m", "threshold=0.25,0.75,0.5",
               "out=res", "+hydra.callbacks.witness._target_=witness.Witness", *words]  # fmt: skip
    done = subprocess.run(command, cwd=folder, env=here, capture_output=True, text=True)
    assert "ValueError: not this one" in done.stderr
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(p.relative_to(folder)): re.sub(DIFFERENT, "", p.read_text()) for p in files}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_it_does_what_hydras_launcher_does(tmp_path: Path, words: tuple[str, ...]) -> None:
    expected = left(tmp_path / "x", "hydra", *words)
    (tmp_path / "x").rename(tmp_path / "y")
    found = left(tmp_path / "x", "tiler", *words)
    assert sum(name.endswith("end.json") for name in expected) >= 2
    assert found == expected
