"""Footprints of grid cells in whole and fractional pixels, along one axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiler.grid import Floats, Ints, settled


@dataclass(frozen=True)
class Footprints:
    """The cells of one axis, in pixels of the scale at which scores are measured.

    A cell inside the slide is a sum of spans of whole pixels, each with a weight: the pixels that
    it contains, and, if an edge lies within a pixel, the first and the last pixel with its share.

    Attributes
    ----------
    edges
        float64 (n, 2): where cells begin and end; cells may end beyond the slide.
    inside
        The same, cut at the slide's ends.
    pixels
        int64 (n, 2): the first pixel that a cell touches inside the slide, and the one after the
        last.
    spans
        int64 (P, n, 2): where spans begin and end; P is 1 if all cells consist of whole pixels,
        else 3.
    weights
        float64 (P, n).
    """

    edges: Floats
    inside: Floats
    pixels: Ints
    spans: Ints
    weights: Floats

    @classmethod
    def of(cls, origins: Ints, length: int, scale: float, end: float) -> Footprints:
        """Return the footprints of cells of one axis.

        Parameters
        ----------
        origins
            int64 (n,): where cells begin, in target pixels.
        length
            Length of a cell, in target pixels.
        scale
            Target pixels per pixel of the result.
        end
            Length of the slide, in pixels of the result.
        """
        edges = settled(np.stack([origins, origins + length], axis=1) / scale)
        inside = np.clip(edges, 0.0, end)
        begin, stop = inside.T
        first, last = np.floor(begin), np.ceil(stop)
        pixels = np.stack([first, np.maximum(first, last)], axis=1).astype(np.int64)
        head, tail = np.ceil(begin), np.floor(stop)
        within = head > tail  # both edges lie within one pixel
        weights = np.stack(
            [
                np.ones_like(begin),
                np.where(within, stop - begin, head - begin),
                np.where(within, 0.0, stop - tail),
            ]
        )
        spans = np.stack(
            [
                np.stack([head, np.maximum(head, tail)], axis=1),
                np.stack([np.where(weights[1] > 0, head - 1, head), head], axis=1),
                np.stack([tail, np.where(weights[2] > 0, tail + 1, tail)], axis=1),
            ]
        ).astype(np.int64)
        used = slice(None) if weights[1:].any() else slice(1)
        return cls(edges, inside, pixels, spans[used], weights[used])

    @property
    def lengths(self) -> Floats:
        """The lengths of cells, float64 (n,), with what lies beyond the slide."""
        return np.asarray(np.diff(self.edges)[:, 0])

    def breaks(self, step: int) -> Ints:
        """Return all pixels at which a span or a cell begins or ends, and multiples of a step.

        They are the same whichever cells are measured, so sums between them are, too.
        """
        low, high = self.pixels.min(), self.pixels.max()
        steps = np.arange(low // step, high // step + 1) * step
        found = np.unique(np.concatenate([self.spans.ravel(), self.pixels.ravel(), steps]))
        return np.asarray(found[(found >= low) & (found <= high)])

    def groups(self, most: int) -> list[slice]:
        """Return consecutive cells in groups that are at most so many pixels long, or one cell."""
        found, first = list[slice](), 0
        begins, ends = self.pixels[:, 0].tolist(), self.pixels[:, 1].tolist()
        for index, stop in enumerate(ends):
            if stop - begins[first] > most and index > first:
                found.append(slice(first, index))
                first = index
        if ends:
            found.append(slice(first, len(ends)))
        return found

    def take(self, some: slice) -> Footprints:
        """Return some of the cells."""
        return Footprints(
            self.edges[some],
            self.inside[some],
            self.pixels[some],
            self.spans[:, some],
            self.weights[:, some],
        )
