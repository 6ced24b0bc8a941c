"""Checks of a composed configuration before Hydra instantiates anything."""
