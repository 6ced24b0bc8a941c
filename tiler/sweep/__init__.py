"""The results of a sweep: one table and one picture over all of its jobs."""
