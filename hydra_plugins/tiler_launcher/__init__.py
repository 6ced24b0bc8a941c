"""A launcher of jobs in one process, which Hydra finds by the name of this package."""
