"""Files that vouch for others: records, fingerprints, cached arrays, locks and versions."""
