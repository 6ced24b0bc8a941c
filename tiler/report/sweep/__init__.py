"""The data of the page of a sweep."""
