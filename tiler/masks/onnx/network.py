"""A network in an ONNX file: opening it, checking its input, and running it on one tile."""

from __future__ import annotations

import errno
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.errors import MaskError
from tiler.masks.onnx.files import other_files
from tiler.protocols import Pixels
from tiler.storage.named import UnusableFileError

Channels = npt.NDArray[Any]
"""(C, h, w)."""

_FLOATS = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}
_BYTES = "tensor(uint8)"


@dataclass(frozen=True)
class Network:
    """An open network that takes one RGB picture.

    Attributes
    ----------
    path
        Its file, as the user wrote it.
    session
        The ``onnxruntime.InferenceSession``.
    name, kind, shape
        Name, ONNX type and shape of its input; sides that may vary are text or None.
    """

    path: str
    session: Any
    name: str
    kind: str
    shape: tuple[object, ...]

    def check(self, tile: int, layout: str, scaled: bool, slide: str) -> None:
        """Refuse settings that the network's input contradicts.

        Raises
        ------
        MaskError
            If they do; the error names the setting.
        """
        text = "x".join(str(side) if isinstance(side, int) else "?" for side in self.shape)
        what = f"the network {self.path} takes {text or 'one number'} ({self.kind})"
        if self.kind not in (*_FLOATS, _BYTES):
            raise MaskError(slide, f"{what}; export it with an input of float, float16 or uint8")
        if self.kind == _BYTES and scaled:
            raise MaskError(slide, f"{what}, which are pixels; remove mask.mean and mask.std")
        if len(self.shape) != 4:
            raise MaskError(slide, f"{what}, not 4 axes; export it with an input of 1x3xHxW")
        batch = self.shape[0]
        if isinstance(batch, int) and batch != 1:
            raise MaskError(slide, f"{what}; export it with a batch of 1 or a free batch size")
        channels, *sides = _channels_first(self.shape[1:], layout)
        other = {"nchw": "nhwc", "nhwc": "nchw"}[layout]
        if channels != 3 and _channels_first(self.shape[1:], other)[0] == 3:
            raise MaskError(slide, f"{what}, but mask.layout={layout}; set mask.layout={other}")
        if isinstance(channels, int) and channels != 3:
            fix = "export a network for 3 channels (RGB)"
            raise MaskError(slide, f"{what}, so {channels} channels in mask.layout={layout}; {fix}")
        fixed = {side for side in sides if isinstance(side, int)}
        if len(fixed) > 1:
            raise MaskError(slide, f"{what}; export it for square tiles or free sides")
        if fixed - {tile}:
            raise MaskError(slide, f"{what}, not tiles of {tile}; set mask.tile={fixed.pop()}")

    def run(
        self, pixels: Pixels, mean: Sequence[float], std: Sequence[float], layout: str, slide: str
    ) -> Channels:
        """Return the network's first output for a tile, channels first.

        Parameters
        ----------
        pixels
            uint8 RGB (side, side, 3).
        mean, std
            Of each channel, for values from 0 to 1: the network takes ``(pixel / 255 - mean) /
            std``. A network of uint8 takes the pixels.
        layout
            ``nchw`` or ``nhwc``, of input and output.
        slide
            The slide's name, for errors.

        Raises
        ------
        MaskError
            If the network fails, or its output is not a map of the tile.
        """
        side = len(pixels)
        given: npt.NDArray[Any] = pixels
        if self.kind != _BYTES:
            scaled = pixels / np.float32(255) - np.array(mean, np.float32)
            given = (scaled / np.array(std, np.float32)).astype(_FLOATS[self.kind])
        if layout == "nchw":
            given = given.transpose(2, 0, 1)
        try:
            found = self.session.run(None, {self.name: np.ascontiguousarray(given[np.newaxis])})[0]
        except Exception as error:  # onnxruntime's errors have no other common base
            raise MaskError(
                slide,
                f"the network {self.path} fails on a tile of {side}x{side} pixels"
                f" ({first_words(error)}); set mask.tile to a size that it takes",
            ) from error
        shape: tuple[int, ...] = getattr(found, "shape", ())
        text = "x".join(map(str, shape)) or type(found).__name__
        what = f"the network {self.path} returns {text} for a tile of {side}x{side} pixels"
        if len(shape) not in (3, 4) or shape[0] != 1 or found.dtype.kind not in "biuf":
            form = "1xCxHxW" if layout == "nchw" else "1xHxWxC"
            raise MaskError(slide, f"{what}; its first output must be numbers, {form} or 1xHxW")
        maps: Channels = found if len(shape) == 3 else found[0]
        if len(shape) == 4 and layout == "nhwc":
            maps = maps.transpose(2, 0, 1)
        height, width = maps.shape[1:]
        if height != width or not height or side % height:
            raise MaskError(
                slide,
                f"{what}; {width}x{height} must divide the tile: check mask.layout={layout}, or"
                " add a Resize to the network",
            )
        return maps


def opened(path: str, providers: tuple[str, ...], slide: str) -> Network:
    """Return the network of a file; this process opens it once, until the file changes.

    Raises
    ------
    MaskError
        If the file is missing or damaged, or a provider is not available.
    """
    try:
        if Path(path).is_dir():
            raise MaskError(slide, f"the network {path} is a folder; check mask.path")
        if not Path(path).stat().st_size:
            raise MaskError(slide, f"the network {path} is empty (0 bytes); check mask.path")
        states = tuple(_state(file) for file in (Path(path), *other_files(Path(path))))
    except FileNotFoundError as error:
        missing = error.filename or path
        raise MaskError(
            slide, f"the network's file {missing} does not exist; check mask.path={path}"
        ) from error
    except OSError as error:
        raise MaskError(
            slide, f"the network {path} is unreadable: {error.strerror}; check mask.path"
        ) from error
    try:
        return _opened(path, states, providers)
    except _CannotOpenError as error:
        raise MaskError(slide, str(error)) from error.__cause__


class _CannotOpenError(Exception):
    """The reason why a network cannot be opened, on any slide."""


def _state(path: Path) -> tuple[int, ...]:
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):  # onnxruntime would wait for a FIFO
        raise UnusableFileError(errno.EINVAL, f"{path.name} is not a regular file")
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


@lru_cache(maxsize=4)  # networks of a combination
def _opened(path: str, states: tuple[tuple[int, ...], ...], providers: tuple[str, ...]) -> Network:
    import onnxruntime

    known = [p for p in onnxruntime.get_available_providers() if p != "AzureExecutionProvider"]
    if unknown := [name for name in providers if name not in known]:
        raise _CannotOpenError(
            f"mask.providers: this onnxruntime has no {', '.join(unknown)}; use some of"
            f" {', '.join(known)}, or install the onnxruntime for your device"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised, so their log lines would repeat them
    # The engine's workers use the cores; more threads could sum in another order.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    try:
        session = onnxruntime.InferenceSession(path, options, providers=list(providers))
    except Exception as error:  # onnxruntime's errors have no other common base
        raise _CannotOpenError(
            f"onnxruntime {onnxruntime.__version__} cannot open the network {path}"
            f" ({first_words(error)}); export it again as ONNX"
        ) from error
    if session.get_providers()[0] != providers[0]:
        raise _CannotOpenError(
            f"{providers[0]} cannot start here; install its driver, or change mask.providers"
        )
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(one.name for one in inputs)
        raise _CannotOpenError(
            f"the network {path} has {len(inputs)} inputs ({names}); export it with one"
        )
    (only,) = inputs
    return Network(path, session, only.name, only.type, tuple(only.shape))


def first_words(error: Exception) -> str:
    """Return the message of an error of onnxruntime in one short line."""
    text = " ".join(str(error).rpartition("ONNXRuntimeError] : ")[2].split())
    return text if len(text) <= 160 else f"{text[:159]}…"


def _channels_first(sides: Sequence[object], layout: str) -> tuple[object, ...]:
    return tuple(sides) if layout == "nchw" else (sides[2], sides[0], sides[1])
