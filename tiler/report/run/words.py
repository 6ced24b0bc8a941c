"""The settings of a run in words: ``256 px at 0.5 µm/px, stride 256, Otsu tissue, …``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tiler.selection import BELOW_THRESHOLD, FILTER, LABEL, NOT_SAMPLED

_MASKS = {
    "AllTissue": "no mask",
    "AnnotationMask": "annotated areas as tissue",
    "CombineMask": "combined masks",
    "FileMask": "masks from files",
    "HsvMask": "HSV tissue",
    "OnnxMask": "tissue by a network",
    "OtsuMask": "Otsu tissue",
    "PenMask": "pen",
    "TextureMask": "texture tissue",
}

_SAMPLERS = {"Random": "random", "Spread": "spread", "Top": "top"}


def settings_in_words(plain: Mapping[str, Any]) -> str:
    """Return the settings that shape a run's tiles in one line.

    Parameters
    ----------
    plain
        The configuration as ``run.json`` contains it. What it lacks is left out.
    """
    return ", ".join(part for part in _parts(plain) if part)


def _parts(plain: Mapping[str, Any]) -> Iterator[str]:
    yield _tile(_node(plain, "tile"), _node(plain, "resolution"))
    mask = _node(plain, "mask")
    yield _mask(mask)
    if mask.get("remove_pen") is True:
        yield "pen left out"
    if "threshold" in plain:
        yield f"threshold {_number(plain['threshold'])}"
    yield from (_limits(name, node) for name, node in _nodes(plain, "filter"))
    yield _label(_node(plain, "label"))
    yield _sampler(_node(plain, "sampler"))
    names = [_class(node) if _is_users(node) else name for name, node in _nodes(plain, "transform")]
    yield f"transform {' and '.join(names)}" if names else ""
    for key, word in (("context", "context"), ("pyramid", "parents")):
        values = [_scale(value, _node(plain, "resolution")) for value in plain.get(key) or ()]
        yield f"{word} at {' and '.join(values)}" if values else ""


def overrides_in_words(settings: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Return keys with their values: ``threshold=0.2 tile.size=128``.

    Parameters
    ----------
    settings
        The configuration of a slide. A key that it lacks stays without a value.
    keys
        Such as ``tile.size``.
    """
    return " ".join(_override(settings, key) for key in keys)


def _override(settings: Any, key: str) -> str:
    for name in key.split("."):
        if not isinstance(settings, Mapping) or name not in settings:
            return key
        settings = settings[name]
    return f"{key}={settings if isinstance(settings, str) else json.dumps(settings, default=str)}"


def rule_labels(plain: Mapping[str, Any]) -> dict[str, str]:
    """Return the rules that drop cells in words, by reason."""
    labels = {}
    if "threshold" in plain:
        labels[BELOW_THRESHOLD] = f"Coverage ≥ {_number(plain['threshold'])}"
    for name, node in _nodes(plain, "filter"):
        labels[FILTER + name] = _limits(name, node)
    if keep := _node(plain, "label").get("keep"):
        labels[LABEL] = f"Label is {_listed(keep)}"
    if words := _sampler(_node(plain, "sampler")):
        labels[NOT_SAMPLED] = f"Sampler: {words.removeprefix('sampler ')}"
    return labels


def _tile(tile: Mapping[str, Any], resolution: Mapping[str, Any]) -> str:
    size = tile.get("size")
    if size is None:
        return ""
    unit = "µm" if tile.get("unit") == "um" else "px"
    at = f" at {_scale(resolution['value'], resolution)}" if "value" in resolution else ""
    stride, overlap = tile.get("stride"), tile.get("overlap") or 0
    if stride is None and overlap:
        between = f"overlap {_percent(overlap)}"
    else:
        between = f"stride {_size(size if stride is None else stride)}"
    edge = tile.get("edge", "drop")
    edges = "" if edge == "drop" else f", edge {edge}"
    return f"{_size(size)} {unit}{at}, {between}{edges}"


def _scale(value: Any, resolution: Mapping[str, Any]) -> str:
    kind, number = _class(resolution), _number(value)
    if kind == "Level":
        return f"level {number}"
    return f"{number}×" if kind == "Magnification" else f"{number} µm/px"


def _mask(node: Mapping[str, Any]) -> str:
    if not node:
        return ""
    if _is_users(node):
        return f"mask {_class(node)}"
    if _class(node) == "CombineMask":
        parts = [
            f"{word} {_listed([_mask(below) for below in node[key].values()])}"
            for key, word in (("all", "all of"), ("any", "any of"), ("none", "none of"))
            if isinstance(node.get(key), Mapping) and node[key]
        ]
        return f"combined masks ({'; '.join(parts)})"
    return _MASKS.get(_class(node), f"mask {_class(node)}")


def _limits(name: str, node: Mapping[str, Any]) -> str:
    shown = f"{name} ({_class(node)})" if _is_users(node) else name
    low, high = node.get("min"), node.get("max")
    if low is None and high is None:
        return f"{shown} without limits"
    if low is None or high is None:
        return f"{shown} ≤ {_number(high)}" if low is None else f"{shown} ≥ {_number(low)}"
    return f"{shown} from {_number(low)} to {_number(high)}"


def _label(node: Mapping[str, Any]) -> str:
    if not node or _class(node) == "no_labels":
        return ""
    kind = f"labels by {_class(node)}" if _is_users(node) else "labels from annotations"
    assign = node.get("assign")
    rule = f" ({assign} {_number(node.get('threshold'))})" if assign == "threshold" else ""
    keep = f", kept: {_listed(node['keep'])}" if node.get("keep") else ""
    return f"{kind}{rule or (f' ({assign})' if assign else '')}{keep}"


def _sampler(node: Mapping[str, Any]) -> str:
    if not node or (_class(node) == "All" and not _is_users(node)):
        return ""
    name = _class(node) if _is_users(node) else _SAMPLERS.get(_class(node), _class(node))
    n, fraction, by = node.get("n"), node.get("fraction"), node.get("by")
    amount = "" if n is None else f" {_number(n)} tiles"
    share = "" if fraction is None else f" {_percent(fraction)}"
    seed = f", seed {node['seed']}" if node.get("seed") else ""
    return f"sampler {name}{amount}{share}{f' by {by}' if by else ''}{seed}"


def _node(plain: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = plain.get(key)
    return found if isinstance(found, Mapping) else {}


def _nodes(plain: Mapping[str, Any], key: str) -> list[tuple[str, Mapping[str, Any]]]:
    return [(name, node) for name, node in _node(plain, key).items() if isinstance(node, Mapping)]


def _class(node: Mapping[str, Any]) -> str:
    return str(node.get("_target_", "")).rpartition(".")[2]


def _is_users(node: Mapping[str, Any]) -> bool:
    return not str(node.get("_target_", "")).startswith("tiler.")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(str, names))


def _size(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " × ".join(map(_number, value))
    return _number(value)


def _number(value: Any) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _percent(share: Any) -> str:
    return f"{100 * share:g} %" if isinstance(share, int | float) else str(share)
