"""``tiler-compare``: what two runs, or two sweeps, made differently."""
