"""The types of the plain keys. The constructors of the groups define the types of theirs."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


class OnBadTile(Enum):
    """The policy for a tile that cannot be read."""

    fail = "fail"
    drop = "drop"


class OnBadFit(Enum):
    """The policy for a slide that a transform cannot be fitted to."""

    fail = "fail"
    raw = "raw"


class Verify(Enum):
    """The check of finished slides before they are reused."""

    size = "size"
    hash = "hash"
    none = "none"


class OnChange(Enum):
    """The policy for slides that were made with other settings."""

    redo = "redo"
    refuse = "refuse"


@dataclass
class LimitsConfig:
    """Limits of the output of a run."""

    max_tiles: int | None = None
    max_bytes: Any = None
    max_replaced: int | None = None


@dataclass
class Config:
    """The whole configuration; the ``_target_`` of a group defines its keys."""

    slides: Any = MISSING
    reader: Any = MISSING
    resolution: Any = MISSING
    tile: Any = MISSING
    mask: Any = MISSING
    filter: dict[str, Any] = field(default_factory=dict)
    label: Any = MISSING
    sampler: Any = MISSING
    transform: dict[str, Any] = field(default_factory=dict)
    exporter: dict[str, Any] = field(default_factory=dict)
    engine: Any = MISSING
    tracker: Any = MISSING
    report: Any = MISSING
    name: str = "run"
    out: str = "outputs/run"
    threshold: float = 0.5
    context: list[float] = field(default_factory=list)
    pyramid: list[float] = field(default_factory=list)
    on_bad_tile: OnBadTile = OnBadTile.fail
    max_bad_fraction: float = 0.0
    on_bad_fit: OnBadFit = OnBadFit.fail
    verify: Verify = Verify.size
    on_change: OnChange = OnChange.redo
    cache: str | None = None
    dry_run: bool = False
    limits: LimitsConfig = field(default_factory=LimitsConfig)


def register_schema() -> None:
    """Register the schema with Hydra, for the first entry of the defaults list."""
    ConfigStore.instance().store(name="tiler_schema", node=Config)
