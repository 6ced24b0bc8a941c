"""Tiles at further resolutions: context around a tile, and parents on a shared grid."""
