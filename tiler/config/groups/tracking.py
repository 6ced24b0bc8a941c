"""The parameters of a configuration for a tracker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tiler.config.checks.validate import leaves
from tiler.storage.safe_text import masked, without_secrets


def parameters(plain: Mapping[str, Any], swept: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the configuration flattened to dotted keys and text, without secrets.

    A list of slides is replaced by its length.

    Parameters
    ----------
    plain
        Plain containers with resolved interpolations.
    swept
        For a sweep: texts for the keys with several values.
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
