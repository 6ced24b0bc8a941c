"""The command line: flags, help, --rerun, names of runs, and Hydra's errors in one line."""
