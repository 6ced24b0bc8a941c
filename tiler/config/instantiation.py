"""Have Hydra build components from resolved values, without resolving them again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from hydra.utils import instantiate

from tiler.config.checks.targets import names_target, nodes
from tiler.errors import ConfigError


def instantiated(node: Mapping[str, Any], **how: bool) -> Any:
    """Have Hydra build what a node describes, or each of the nodes in a mapping.

    Hydra resolves interpolations, and resolves what comes out again. So a text with ``${``, which
    is resolved already, is handed over beside it.

    Raises
    ------
    ConfigError
        If there is such a text inside of another component's node.
    """
    if not names_target(node):
        return {name: instantiated(below, **how) for name, below in node.items()}
    texts = {name: value for name, value in node.items() if "${" in str(value)}
    if not texts:
        return instantiate({**node, **how, "_convert_": "all"})
    for place, _ in (found for name, value in texts.items() for found in nodes(value, name)):
        raise ConfigError(f"{place}: a text with ${{ cannot be given to a component in another one")
    rest = {name: value for name, value in node.items() if name not in texts}
    make = instantiate({**rest, "_partial_": True, "_convert_": "all"})
    whole = {**node, **how}
    return partial(plain_partial(make), **texts) if whole.get("_partial_") else make(**texts)


def plain_partial(made: Any) -> Any:
    """A partial without Hydra's wrapper, which would have every worker import Hydra."""
    return partial(made.func, *made.args, **made.keywords) if isinstance(made, partial) else made
