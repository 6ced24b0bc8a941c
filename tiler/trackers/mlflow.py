"""MLflow through its client, with a local database or a server."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

from tiler.errors import ConfigError
from tiler.files import NEW_MODE
from tiler.protocols import RunStatus
from tiler.storage.destinations import check_writable

_MODULES = ("mlflow", "sqlalchemy", "alembic")
_MAX_VALUE = 6000
_MAX_KEY = 250
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # slides may be confidential
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # an unreachable server must not delay a run
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


class MlflowTracker:
    """Writes runs into MLflow; a tag names the parent, so that MLflow's UI nests the runs.

    Parameters
    ----------
    uri
        MLflow's tracking URI: ``sqlite:///<file>``, or that of a server.
    experiment
        The experiment's name; it is created if missing.

    Raises
    ------
    ConfigError
        If the extra ``tiler[mlflow]`` is not installed.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        if any(find_spec(module) is None for module in _MODULES):
            raise ConfigError(
                "tracker=mlflow needs the extra tiler[mlflow]: pip install 'tiler[mlflow]'"
            )
        self._uri, self._experiment = uri, experiment
        self._client: Any = None
        self._run = ""
        self._step = 0

    def start(self, name: str, parameters: Mapping[str, str], parent: str | None) -> str:
        """Set up the database if it is new, and begin a run with its parameters."""
        artifacts = _prepare(self._uri)
        self._client = _client(self._uri)
        tags = {"mlflow.parentRunId": parent} if parent else {}
        experiment = _experiment_id(self._client, self._experiment, artifacts)
        run = self._client.create_run(experiment, run_name=name, tags=tags)
        self._run = str(run.info.run_id)
        from mlflow.entities import Param

        entities = [Param(fitting_key(key), fitting(value)) for key, value in parameters.items()]
        self._client.log_batch(self._run, params=entities)  # the client sends 100 at a time
        return self._run

    def step(self, number: int, metrics: Mapping[str, float]) -> None:
        """Log the numbers so far, all at the same step and time."""
        from mlflow.entities import Metric

        self._step = number
        now = int(time.time() * 1000)
        entities = [Metric(key, value, now, number) for key, value in metrics.items()]
        self._client.log_batch(self._run, metrics=entities)

    def end(
        self, status: RunStatus, metrics: Mapping[str, float], files: Mapping[str, Path]
    ) -> None:
        """Log the last numbers and the files, and end the run, also if a file cannot be read."""
        try:
            self.step(self._step, metrics)
            for name, path in files.items():
                folder = str(PurePosixPath(name).parent)
                self._client.log_artifact(self._run, str(path), None if folder == "." else folder)
        finally:
            self._client.set_terminated(self._run, status.upper())


def fitting(value: str) -> str:
    """Return a parameter's value for MLflow; a long one is cut, with a note."""
    value = value.encode(
        errors="backslashreplace"
    ).decode()  # file names may contain bytes that are not text
    if len(value) <= _MAX_VALUE:
        return value
    mark = f"… (cut, {len(value)} characters; run.json has them all)"
    return value[: _MAX_VALUE - len(mark)] + mark


def fitting_key(key: str) -> str:
    """Return a parameter's name for MLflow."""
    return re.sub(r"[^\w.\-/: ]", "_", key, flags=re.ASCII)[:_MAX_KEY]


def _prepare(uri: str) -> str | None:
    """Return the folder of artifacts for a local database; a server chooses its own."""
    if not uri.startswith("sqlite:"):
        return None
    from sqlalchemy.engine import make_url

    file = Path(make_url(uri).database or "").absolute()
    file.parent.mkdir(parents=True, exist_ok=True)
    check_writable(file)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, NEW_MODE))  # SQLite's default is 644
    # MLflow would retry an unusable file for minutes.
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA schema_version")
    return (file.parent / "mlflow-artifacts").as_uri()


def _client(uri: str) -> Any:
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    from mlflow.tracking import MlflowClient

    for library in ("mlflow", "urllib3"):  # their errors arrive as exceptions and are reported once
        logging.getLogger(library).setLevel(logging.CRITICAL)
    return MlflowClient(uri)


def _experiment_id(client: Any, name: str, artifacts: str | None) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifacts))
        except MlflowException:  # another run has just created it
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)
