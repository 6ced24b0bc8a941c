"""Settings of a whole process: start-up, threads, and standard streams."""
