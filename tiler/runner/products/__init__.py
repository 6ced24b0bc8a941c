"""Products of a run, made at its end: links to files of slides, and files about all slides."""
