"""The types of the plain keys. The groups are typed by the constructors that they name."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


class OnBadTile(Enum):
    """What a tile that cannot be read costs."""

    fail = "fail"
    drop = "drop"


class Verify(Enum):
    """How finished slides are checked before they are taken as they are."""

    size = "size"
    hash = "hash"
    none = "none"


class OnChange(Enum):
    """What happens to slides that were made with other settings."""

    redo = "redo"
    refuse = "refuse"


@dataclass
class LimitsConfig:
    """What a run may write at most."""

    max_tiles: int | None = None
    max_bytes: Any = None
    max_replaced: int | None = None


@dataclass
class Config:
    """The whole configuration; a group is whatever its ``_target_`` takes."""

    slides: Any = MISSING
    reader: Any = MISSING
    resolution: Any = MISSING
    tile: Any = MISSING
    mask: Any = MISSING
    exporter: dict[str, Any] = field(default_factory=dict)
    engine: Any = MISSING
    tracker: Any = MISSING
    name: str = "run"
    out: str = "outputs/run"
    threshold: float = 0.5
    on_bad_tile: OnBadTile = OnBadTile.fail
    max_bad_fraction: float = 0.0
    verify: Verify = Verify.size
    on_change: OnChange = OnChange.redo
    cache: str | None = None
    dry_run: bool = False
    limits: LimitsConfig = field(default_factory=LimitsConfig)


def register_schema() -> None:
    """Make the schema known to Hydra as the first entry of the defaults list."""
    ConfigStore.instance().store(name="tiler_schema", node=Config)
