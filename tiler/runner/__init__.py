"""Slides in, rows out: order, isolation and bookkeeping. Knows no Hydra and no geometry."""
