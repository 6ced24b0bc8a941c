"""Files: sealed values, CSV text, a slide's companion files, destinations, flushing to disk."""
