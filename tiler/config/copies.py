"""Copies of configurations, in a fifth of the time that OmegaConf takes for its own.

Hydra makes four copies of a job's configuration, node by node through ``copy.deepcopy``.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, TypeVar

from omegaconf import DictConfig, Node

_Node = TypeVar("_Node", bound=Node)


class QuicklyCopied(DictConfig):
    """A configuration whose copies are made by ``copied``."""

    def __deepcopy__(self, memo: dict[int, Any]) -> QuicklyCopied:
        """A copy that keeps its parent, as OmegaConf's own does."""
        return copied(self, self._get_parent())


def quickly_copied(config: DictConfig) -> DictConfig:
    """Make a configuration, in place, one that is copied quickly, as is its part of Hydra's."""
    for node in (config, config.hydra):
        object.__setattr__(node, "__class__", QuicklyCopied)
    return config


def copied(node: _Node, parent: Any = None, but: str | None = None) -> _Node:
    """A node with all that is below it, under a parent of its own.

    Parameters
    ----------
    node
        Of values that never change, as those of files and words are.
    parent
        The copy's parent, which does not hold it yet.
    but
        A key of the node that the copy is to be without.
    """
    copy = object.__new__(type(node))
    state = vars(copy)
    state.update(vars(node))
    state["_parent"], state["_metadata"] = parent, _metadata(node._metadata)
    below = state.get("_content")
    if isinstance(below, dict):
        state["_content"] = {key: copied(child, copy) for key, child in below.items() if key != but}
    elif isinstance(below, list):
        state["_content"] = [copied(child, copy) for child in below]
    elif below is not None and isinstance(below, Node):
        state["_content"] = copied(below, copy)
    if state["_flags_cache"]:
        state["_flags_cache"] = dict(state["_flags_cache"])
    return copy


def _metadata(metadata: Any) -> Any:
    copy = object.__new__(type(metadata))
    state = vars(copy)
    state.update(vars(metadata))
    state["flags"] = dict(metadata.flags)
    state["resolver_cache"] = defaultdict(dict)
    for name, values in metadata.resolver_cache.items():
        state["resolver_cache"][name] = dict(values)
    return copy
