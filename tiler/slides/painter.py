"""A synthetic H&E slide as a function of pixel coordinates: each block is painted separately.

Hashes of integer coordinates determine all details, so neighbouring blocks fit together. Pieces of
tissue scale with the slide; nuclei and fibres keep their size in pixels of 0.25 µm.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tiler.geometry import Box, Size
from tiler.protocols import Pixels

Floats = npt.NDArray[np.float32]

# Stain vectors, optical density of R, G, B: haematoxylin and eosin as in Ruifrok & Johnston
# (2001), Quantification of histochemical staining; eosin turned a little to red.
_HAEMATOXYLIN = np.array([0.65, 0.70, 0.29], np.float32)
_EOSIN = np.array([0.10, 0.90, 0.36], np.float32)
_PEN = np.array([1.90, 0.42, 1.20], np.float32)
_GLASS = 243.0

_CELL = 36  # pixels between nuclei: 9 µm

# The two pieces of tissue: centre, radii and tilt, as fractions of the slide's width and height.
_PIECES = ((0.36, 0.55, 0.25, 0.33, 0.35), (0.79, 0.44, 0.13, 0.27, -0.25))


def paint(box: Box, slide: Size) -> Pixels:
    """Paint a block of a slide.

    Parameters
    ----------
    box
        The block in level-0 pixels, inside the slide.
    slide
        The whole slide's size in pixels.

    Returns
    -------
    numpy.ndarray
        uint8 RGB, (height, width, 3).
    """
    x = np.arange(box.x, box.x + box.width)
    y = np.arange(box.y, box.y + box.height)
    density = np.zeros((box.height, box.width, 3), np.float32)
    tissue = _tissue(x, y, slide)
    if tissue.max() > 0:
        density += _stained(x, y, tissue)
    pen = _pen(x, y, slide)
    if pen.max() > 0:
        density += pen[..., None] * _PEN
    shade = 1.5 * np.sin(y / slide.height * 3).astype(np.float32)
    grain = _hashed(x[None, :], y[:, None], 1) * 3 - 1.5
    light = (_GLASS + shade)[:, None] + grain
    picture: Pixels = np.clip(np.rint(light[..., None] * np.exp(-density)), 0, 255).astype(np.uint8)
    return picture


def _tissue(x: npt.NDArray[np.int64], y: npt.NDArray[np.int64], slide: Size) -> Floats:
    """Return the amount of tissue at each pixel, 0 to 1: two ragged pieces with holes."""
    u = (x / slide.width).astype(np.float32)[None, :]
    v = (y / slide.height).astype(np.float32)[:, None]
    inside = np.full((len(y), len(x)), -1, np.float32)
    for centre_u, centre_v, radius_u, radius_v, tilt in _PIECES:
        du, dv = u - centre_u, v - centre_v
        across = (du * np.cos(tilt) + dv * np.sin(tilt)) / radius_u
        down = (dv * np.cos(tilt) - du * np.sin(tilt)) / radius_v
        np.maximum(inside, 1 - across * across - down * down, out=inside)
    if inside.max() < -0.75:  # beyond the ragged edge below, which extends by at most 1.3 - 0.55
        return np.zeros_like(inside)
    ragged = _noise(x, y, max(slide) // 9, 2) * 0.9 + _noise(x, y, max(slide) // 30, 3) * 0.4
    edge = np.clip((inside + ragged - 0.55) * 14, 0, 1)
    holes = np.clip((_noise(x, y, 300, 4) + 0.3 * _noise(x, y, 70, 5) - 0.98) * 25, 0, 1)
    return np.asarray(edge * (1 - holes), np.float32)


def _stained(x: npt.NDArray[np.int64], y: npt.NDArray[np.int64], tissue: Floats) -> Floats:
    """Return the optical density of stroma and nuclei, (h, w, 3)."""
    fibres = 0.5 * _noise(x, y * 4, 64, 6) + 0.5 * _noise(x, y, 23, 11)
    fine = _noise(x, y, 9, 7)
    patches = _noise(x, y, 520, 8)
    eosin = 0.20 + 0.26 * fibres + 0.13 * fine + 0.16 * patches
    haematoxylin = 0.04 + 0.08 * patches + _nuclei(x, y) * (0.65 + 0.5 * _noise(x, y, 5, 12))
    stain = (eosin * tissue)[..., None] * _EOSIN
    return np.asarray(stain + (haematoxylin * tissue)[..., None] * _HAEMATOXYLIN, np.float32)


def _nuclei(x: npt.NDArray[np.int64], y: npt.NDArray[np.int64]) -> Floats:
    """Return the haematoxylin of nuclei: one ellipse per cell of a jittered grid, in patches."""
    out = np.zeros((len(y), len(x)), np.float32)
    columns = np.arange(x[0] // _CELL - 1, x[-1] // _CELL + 2)
    rows = np.arange(y[0] // _CELL - 1, y[-1] // _CELL + 2)
    traits = [_hashed(columns[None, :], rows[:, None], seed) for seed in range(20, 26)]
    crowd = _noise(columns * _CELL, rows * _CELL, 700, 9)
    for row, column in np.argwhere(traits[0] < 0.15 + 0.9 * crowd):
        jitter_x, jitter_y, size, shape, turn = (float(t[row, column]) for t in traits[1:])
        centre_x = int((columns[column] + jitter_x) * _CELL)
        centre_y = int((rows[row] + jitter_y) * _CELL)
        long = 8 + 8 * size
        reach = int(long) + 1
        left, right = max(centre_x - reach, x[0]), min(centre_x + reach, x[-1]) + 1
        top, bottom = max(centre_y - reach, y[0]), min(centre_y + reach, y[-1]) + 1
        if left >= right or top >= bottom:
            continue
        dx = np.arange(left - centre_x, right - centre_x, dtype=np.float32)[None, :]
        dy = np.arange(top - centre_y, bottom - centre_y, dtype=np.float32)[:, None]
        cosine, sine = np.float32(np.cos(turn * np.pi)), np.float32(np.sin(turn * np.pi))
        along = (dx * cosine + dy * sine) / np.float32(long)
        across = (dy * cosine - dx * sine) / np.float32(long * (0.5 + 0.45 * shape))
        value = np.clip((1 - along * along - across * across) * 1.6, 0, 1) * (0.5 + 0.5 * size)
        patch = out[top - y[0] : bottom - y[0], left - x[0] : right - x[0]]
        np.maximum(patch, value, out=patch)
    return out


def _pen(x: npt.NDArray[np.int64], y: npt.NDArray[np.int64], slide: Size) -> Floats:
    """Return a green stroke along the upper edge, with the streaks of a felt tip."""
    u = (x / slide.width).astype(np.float32)
    middle = 0.085 + 0.035 * np.sin(9 * u)
    distance = np.abs((y / slide.height).astype(np.float32)[:, None] - middle)
    body = np.clip((0.022 - distance) * 400, 0, 1) * ((u > 0.52) & (u < 0.95))
    if body.max() <= 0:
        return np.asarray(body, np.float32)
    streaks = 0.75 + 0.5 * _noise(x // 8, y, max(slide) // 160, 10)
    return np.asarray(body * streaks, np.float32)


def _noise(x: npt.NDArray[np.int64], y: npt.NDArray[np.int64], cell: int, seed: int) -> Floats:
    """Return smooth noise from 0 to 1: hashed values at cell corners, interpolated between."""
    column, along = _eased(x, cell)
    row, down = _eased(y, cell)
    columns = np.arange(column.min(), column.max() + 2)
    rows = np.arange(row.min(), row.max() + 2)
    corners = _hashed(columns[None, :], rows[:, None], seed)
    lines = corners[:, column - columns[0]] * (1 - along)
    lines += corners[:, column - columns[0] + 1] * along
    top = row - rows[0]
    return np.asarray(lines[top] * (1 - down)[:, None] + lines[top + 1] * down[:, None])


def _eased(at: npt.NDArray[np.int64], cell: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return the cell of each coordinate, and its smooth-step position in the cell."""
    cell = max(1, cell)
    index = at // cell
    part = ((at - index * cell) / cell).astype(np.float32)
    return index, part * part * (3 - 2 * part)


def _hashed(x: npt.NDArray[np.int64], y: npt.NDArray[np.int64], seed: int) -> Floats:
    """Return a number from 0 to 1 for each pair of integers, by multiply and xor-shift."""
    mixed = x.astype(np.uint32) * np.uint32(0x9E3779B1)
    mixed = (
        mixed + y.astype(np.uint32) * np.uint32(0x85EBCA77) + np.uint32(seed * 0x27D4EB2F % 2**32)
    )
    mixed ^= mixed >> np.uint32(15)
    mixed *= np.uint32(0xC2B2AE3D)
    mixed ^= mixed >> np.uint32(13)
    mixed *= np.uint32(0x27D4EB2F)
    mixed ^= mixed >> np.uint32(16)
    return mixed.astype(np.float32) / np.float32(2**32)
