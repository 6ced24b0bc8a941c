"""Build components by Hydra from resolved values, without a second resolution."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from hydra.utils import instantiate

from tiler.config.checks.targets import names_target, nodes
from tiler.errors import ConfigError


def instantiated(node: Mapping[str, Any], **how: bool) -> Any:
    """Build the component of a node, or of each node in a mapping, by Hydra.

    Hydra resolves interpolations, and then resolves the results again. So a resolved text with
    ``${`` is passed to the component directly.

    Raises
    ------
    ConfigError
        If such a text is in the node of a nested component.
    """
    if not names_target(node):
        return {name: instantiated(below, **how) for name, below in node.items()}
    texts = {name: value for name, value in node.items() if "${" in str(value)}
    if not texts:
        return instantiate({**node, **how, "_convert_": "all"})
    for place, _ in (found for name, value in texts.items() for found in nodes(value, name)):
        raise ConfigError(f"{place}: a nested component cannot have a text with ${{; remove it")
    rest = {name: value for name, value in node.items() if name not in texts}
    make = instantiate({**rest, "_partial_": True, "_convert_": "all"})
    whole = {**node, **how}
    return partial(plain_partial(make), **texts) if whole.get("_partial_") else make(**texts)


def plain_partial(made: Any) -> Any:
    """Return a partial without Hydra's wrapper, for which every worker would import Hydra."""
    return partial(made.func, *made.args, **made.keywords) if isinstance(made, partial) else made
