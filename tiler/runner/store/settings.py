"""Compare the settings of a record with those of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tiler.storage.safe_text import without_secrets

EXPORTER = "exporter"
"""The key of settings that differ between exporters; all others are shared by them."""


TRANSFORM = "transform"
"""The key of an exporter's settings that contains the transforms of its pixels."""

_POLICY = "on_bad_fit"
_TARGET = "_target_"


def shared(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that all exporters share, without secrets: a new secret is no change."""
    return {key: without_secrets(value) for key, value in settings.items() if key != EXPORTER}


def of_exporter(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the settings of an exporter, without secrets; empty if they are unknown."""
    found = (settings.get(EXPORTER) or {}).get(name)
    return without_secrets(found) if isinstance(found, Mapping) else {}


def as_fitted(old: Mapping[str, Any], new: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the old settings of an exporter to compare: ``fail`` was kept if ``raw`` is allowed.

    A slide that was finished under ``on_bad_fit=fail`` was fitted, so that ``raw`` is no change.
    """
    before, after = old.get(TRANSFORM), new.get(TRANSFORM)
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return old
    if (before.get(_POLICY), after.get(_POLICY)) != ("fail", "raw"):
        return old
    return {**old, TRANSFORM: {**before, _POLICY: "raw"}}


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Every setting that differs, as ``threshold was 0.5, now 0.3``."""
    for key, before, after in changes(old, new, prefix):
        yield f"{key} was {before}, now {after}"


def changes(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str, str]]:
    """Every setting that differs: its dotted key, the old value and the new one as text.

    Where a component was replaced by one of another class, the keys that only one of the two has
    are left out: a mask has up to twenty.
    """
    keys = {*old, *new}
    if old.get(_TARGET) and new.get(_TARGET) and old[_TARGET] != new[_TARGET]:
        keys = {*old} & {*new}
    for key in sorted(keys):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from changes(before, after, f"{prefix}{key}.")
        elif before != after:
            yield f"{prefix}{key}", _shown(before), _shown(after)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and isinstance(order := value.get("order"), list):
        return f"[{','.join(map(str, order))}]"  # transforms that were added or removed
    return "not set" if value is None else str(value)
