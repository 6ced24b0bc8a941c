"""The types of the plain keys. The constructors of the groups define the types of theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from tiler.checks.hints import fits, spelled

_GROUPS = (Any, dict[str, Any])
"""The hints of groups, whose components define their types."""


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


def mistyped(plain: Mapping[str, Any]) -> Iterator[str]:
    """List plain keys with values of a wrong type, in resolved values.

    Hydra checks the value of an override, but not what an interpolation takes from another node:
    ``context=${limits}``.
    """
    keys = {name: hint for name, hint in get_type_hints(Config).items() if hint not in _GROUPS}
    for name, hint in keys.items():
        if name not in plain:  # which is reported as missing
            continue
        if hint is not LimitsConfig:
            yield from _unlike(name, plain[name], hint)
        elif not isinstance(plain[name], Mapping):
            yield f"{name}={plain[name]!r} is invalid; set {name}.max_tiles=…, or another limit"
        else:
            hints = get_type_hints(LimitsConfig)
            for key, value in plain[name].items():
                if key not in hints:
                    yield f"unknown key {f'{name}.{key}'!r}; use {', '.join(hints)}"
                else:
                    yield from _unlike(f"{name}.{key}", value, hints[key])


def _unlike(name: str, value: object, hint: object) -> Iterator[str]:
    if value != "???" and not fits(value, hint):
        yield f"{name}={value!r} is invalid; use {spelled(hint)}"


def register_schema() -> None:
    """Register the schema with Hydra, for the first entry of the defaults list."""
    ConfigStore.instance().store(name="tiler_schema", node=Config)
