"""The map of one class from the channels that a network returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiler.errors import MaskError
from tiler.masks.onnx.network import Channels
from tiler.masks.onnx.stitching import Values

_LOST_TIE = np.float32(-1e-30)
"""The lead of a channel that ties with an earlier one: the first of equal channels wins."""


@dataclass(frozen=True)
class Choice:
    """The channel of the tissue, and its minimum; without a minimum it has to be the largest."""

    channel: int | None
    threshold: float | None

    def limit(self, maps: Channels, path: str, slide: str) -> float:
        """Return the minimum of what ``values`` returns.

        Raises
        ------
        MaskError
            If the choice does not fit the channels.
        """
        what, last = f"the network {path}", len(maps) - 1
        if self._are_classes(maps):
            if self.channel is None:
                raise MaskError(slide, f"{what} returns class numbers; set mask.output to one")
            return 0.5
        if self.threshold is None and not last:
            fix = "set mask.threshold, such as 0.5"
            raise MaskError(slide, f"{what} has one channel, so none is the largest; {fix}")
        if last and self.channel is None:
            fix = f"set mask.output to that of the tissue, 0 to {last}"
            raise MaskError(slide, f"{what} returns {last + 1} channels; {fix}")
        if (self.channel or 0) > last:
            fix = f"set mask.output to a channel from 0 to {last}"
            raise MaskError(slide, f"{what} returns no channel mask.output={self.channel}; {fix}")
        return 0.0 if self.threshold is None else self.threshold

    def values(self, maps: Channels) -> Values:
        """Return the map that is compared with the limit: float32 (h, w).

        The channel; or how far it leads the largest other one; or 1 where a map of class numbers
        contains the class.
        """
        channel = self.channel or 0
        if self._are_classes(maps):
            return np.asarray(maps[0] == channel, np.float32)
        values = np.asarray(maps, np.float32)
        if self.threshold is not None:
            return np.asarray(values[channel])
        lead = values[channel] - np.delete(values, channel, axis=0).max(axis=0)
        lost = (lead == 0) & (values.argmax(axis=0) != channel)
        return np.where(lost, _LOST_TIE, lead)

    def _are_classes(self, maps: Channels) -> bool:
        """Return whether the only channel contains class numbers."""
        return self.threshold is None and len(maps) == 1 and maps.dtype.kind in "biu"
