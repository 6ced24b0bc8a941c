"""The data and the pictures of a slide in the report."""
