"""What a tracker is told of a configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tiler.config.checks.validate import leaves
from tiler.storage.safe_text import masked, without_secrets


def parameters(plain: Mapping[str, Any], swept: Mapping[str, str] | None = None) -> dict[str, str]:
    """The configuration flattened to dotted keys and text, without secrets.

    Lists of slides are given by their length.

    Parameters
    ----------
    plain
        Plain containers, interpolations resolved.
    swept
        Of a sweep: what stands for the keys that have no one value.
    """
    swept = {key: masked(value) for key, value in (swept or {}).items()}
    tops = tuple(f"{key}." for key in swept)
    fixed = {
        key: _text(key, value)
        for key, value in leaves(without_secrets(plain))
        if key not in swept and not key.startswith(tops)
    }
    return {**fixed, **swept}


def _text(key: str, value: Any) -> str:
    if key.startswith("slides.") and isinstance(value, list):
        return f"{len(value)} entries"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
