"""Build components from resolved values: those without nested components without Hydra's copies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from hydra.utils import instantiate

from tiler.checks.targets import names_target, nodes, own_component
from tiler.errors import ConfigError

_HOW = ("_target_", "_partial_")


def instantiated(node: Mapping[str, Any], **how: bool) -> Any:
    """Build the component of a node, or of each node in a mapping.

    Hydra resolves interpolations, and then resolves the results again. So a resolved text with
    ``${`` is passed to the component directly.

    Raises
    ------
    ConfigError
        If such a text is in the node of a nested component.
    """
    if not names_target(node):
        return {name: instantiated(below, **how) for name, below in node.items()}
    whole = {**node, **how}
    values = {name: value for name, value in whole.items() if name not in _HOW}
    nested = [found for name, value in values.items() for found in nodes(value, name)]
    direct = {name: value for name, value in values.items() if "${" in str(value)}
    if not nested and not any(name.startswith("_") for name in values) and "???" not in str(values):
        direct = values  # a row of a table takes half the time without Hydra's copies
    for name, _ in (found for key, value in direct.items() for found in nodes(value, key)):
        raise ConfigError(f"{name}: a nested component cannot have a text with ${{; remove it")
    rest = {name: value for name, value in values.items() if name not in direct}
    make = _function(node["_target_"])
    if rest:
        made = {"_target_": node["_target_"], **rest, "_partial_": True, "_convert_": "all"}
        make = plain_partial(instantiate(made))
    return partial(make, **direct) if whole.get("_partial_") else make(**direct)


@cache
def _function(target: str) -> Callable[..., Any]:
    """Return the class or function of a ``_target_``: tiler's own, or as Hydra finds it."""
    own = own_component(target)
    if own is not None:
        return own  # Hydra takes 1 ms for each component
    found: Callable[..., Any] = instantiate({"_target_": target, "_partial_": True}).func
    return found


def plain_partial(made: Any) -> Any:
    """Return a partial without Hydra's wrapper, for which every worker would import Hydra."""
    return partial(made.func, *made.args, **made.keywords) if isinstance(made, partial) else made
