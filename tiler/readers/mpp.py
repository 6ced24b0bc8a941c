"""One mpp from the two values that a file states, or the reason why there is none."""

from __future__ import annotations

MPP_RANGE = (0.05, 20.0)
"""Plausible microns per pixel of a scan; 72-dpi exports claim 352.78."""

MPP_ANISOTROPY = 0.02
"""Maximum relative difference between mpp-x and mpp-y."""


def agreed_mpp(mpp_x: float, mpp_y: float) -> tuple[float | None, str]:
    """Return one mpp for a pair, or None and the reason.

    Returns
    -------
    tuple
        The mean in microns per pixel and its description; or ``None`` and the reason.
    """
    low, high = MPP_RANGE
    for value in (mpp_x, mpp_y):
        if not low <= value <= high:  # also refuses NaN
            return None, f"{value:.6g} is implausible (allowed {low} to {high} µm per pixel)"
    if max(mpp_x, mpp_y) > (1 + MPP_ANISOTROPY) * min(mpp_x, mpp_y):
        return None, f"mpp-x {mpp_x:.6g} and mpp-y {mpp_y:.6g} differ by more than 2 %"
    if mpp_x == mpp_y:
        return mpp_x, f"{mpp_x:.6g}"
    return (mpp_x + mpp_y) / 2, f"mean of {mpp_x:.6g} and {mpp_y:.6g}"
