"""Reports of a run: tables, events, log file, progress and tracking."""
