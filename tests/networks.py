"""Small networks in ONNX files, which tests build, and slides for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def saved(
    path: Path,
    nodes: list,
    weights: dict[str, np.ndarray] | None = None,
    shape: tuple = ("n", 3, "h", "w"),
    kind: int = FLOAT,
    out: int = FLOAT,
    inputs: int = 1,
    **saving: object,
) -> str:
    """Write a network from ``x`` to ``y``; nodes are (operator, inputs, outputs, attributes)."""
    made = [helper.make_node(op, ins, outs, **how) for op, ins, outs, how in nodes]
    given = [
        helper.make_tensor_value_info(name, kind, shape) for name in ("x", "x2", "x3")[:inputs]
    ]
    constants = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    returned = [helper.make_tensor_value_info("y", out, None)]
    graph = helper.make_graph(made, "g", given, returned, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path), **saving)
    return str(path)


def convolved(path: Path, kernel: np.ndarray, bias: np.ndarray | None = None, **how) -> str:
    """Write a network of one convolution with zeros around: kernel (channels, 3, k, k)."""
    weights = {"w": kernel.astype(np.float32)}
    pad, stride = (kernel.shape[2] - 1) // 2, how.pop("stride", 1)
    if stride > 1:
        pad = 0
    ins = ["x", "w"]
    if bias is not None:
        weights["b"] = bias.astype(np.float32)
        ins.append("b")
    attributes = {"pads": [pad] * 4, "strides": [stride] * 2}
    return saved(path, [("Conv", ins, ["y"], attributes)], weights, **how)


def per_pixel(path: Path, colours: np.ndarray, bias: np.ndarray | None = None, **how) -> str:
    """Write a network that weights each pixel's colours: (channels, 3)."""
    return convolved(path, np.asarray(colours, float)[..., None, None], bias, **how)


def by_numpy(pixels: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolve pixels / 255 with zeros around: (channels, h, w) in float64."""
    side, (height, width) = kernel.shape[2], pixels.shape[:2]
    edge = (side - 1) // 2
    image = np.pad(pixels / 255.0, ((edge, edge), (edge, edge), (0, 0)))
    found = np.zeros((len(kernel), height, width))
    for y, x in np.ndindex(side, side):
        found += np.einsum("hwc,oc->ohw", image[y : y + height, x : x + width], kernel[:, :, y, x])
    return found
