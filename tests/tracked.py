"""A small slide to track, and runs on it as MLflow's client reports them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
from PIL import Image

COMMON = (
    "slides=files", "slides.paths=pic.png", "resolution=level", "resolution.value=0",
    "tile.size=16", "mask=none", "name=demo",
)  # fmt: skip
TILES = 4 * 6
"""Tiles of 16 pixels in the picture."""


def picture(folder: Path, name: str = "pic.png") -> Path:
    """Write a picture of 96 × 64 pixels as a slide."""
    pixels = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    path = folder / name
    Image.fromarray(pixels).save(path)
    return path


def mlflow_client(database: Path):
    """Return a client of a local database."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    return MlflowClient(f"sqlite:///{database}")


def mlflow_runs(client, experiment: str = "demo") -> list:
    """Return all runs of an experiment."""
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id], max_results=1000))


def files_of(client, run_id: str, folder: str | None = None) -> set[str]:
    """Return the names of a run's artifacts."""
    names: set[str] = set()
    for entry in client.list_artifacts(run_id, folder):
        names |= files_of(client, run_id, entry.path) if entry.is_dir else {entry.path}
    return names
