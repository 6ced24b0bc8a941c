"""Sweeps through Hydra: what varies, where jobs run, and how a sweep ends."""
