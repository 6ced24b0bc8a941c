"""Charts of runs and sweeps for papers, with the extra ``tiler[charts]``."""
