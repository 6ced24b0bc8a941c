"""Checks of components, and descriptions of them and their results for errors."""

from __future__ import annotations

from functools import partial


def lacking(component: object, protocol: type) -> list[str]:
    """List the members of a protocol that a component does not have."""
    names = (name for kind in reversed(protocol.__mro__) for name in vars(kind) if name[0] != "_")
    return [name for name in dict.fromkeys(names) if not hasattr(component, name)]


def shown(value: object) -> str:
    """Describe an unexpected value in a few words."""
    text = " ".join(repr(value).split())
    return f"{text if len(text) <= 60 else text[:57] + '…'} ({type(value).__name__})"


def callable_name(component: object) -> str:
    """Return the dotted name of a function, of a partial's function, or of an object's class."""
    thing = component.func if isinstance(component, partial) else component
    thing = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{thing.__module__}.{thing.__qualname__}"
