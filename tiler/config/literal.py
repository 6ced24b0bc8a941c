"""Plain values of a configuration, and their escaping."""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import Enum
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tiler.errors import ConfigError

_OPENS = re.compile(r"(\\*)\$\{")


def resolved(config: DictConfig) -> dict[str, Any]:
    """Return the configuration as plain values.

    Raises
    ------
    ConfigError
        If an interpolation cannot be resolved.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True, enum_to_str=True)
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0]) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def resolved_keys(config: DictConfig, keys: Collection[str]) -> dict[str, Any]:
    """Return some keys of a configuration as plain values.

    Raises
    ------
    ConfigError
        If an interpolation cannot be resolved.
    """
    plain: dict[str, Any] = {}
    try:
        for key in keys:
            value = "???" if OmegaConf.is_missing(config, key) else config[key]
            if isinstance(value, DictConfig):
                value = OmegaConf.to_container(value, resolve=True, enum_to_str=True)
            plain[key] = value.name if isinstance(value, Enum) else value
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0]) from error
    return plain


def literal(value: Any) -> Any:
    """Escape plain values, so that OmegaConf resolves the result to the given values."""
    if isinstance(value, dict):
        return {key: literal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [literal(item) for item in value]
    return _OPENS.sub(r"\1\1\\${", value) if isinstance(value, str) else value
