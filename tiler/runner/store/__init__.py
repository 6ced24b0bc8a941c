"""Records, fingerprints, cached arrays, locks, settings and code of finished output."""
