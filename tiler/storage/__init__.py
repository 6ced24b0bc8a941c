"""Files that tiler reads back or finds: sealed values, CSV text, companions, flushing to disk."""
