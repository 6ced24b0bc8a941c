"""``tiler-compare``: compare two runs or two sweeps."""
