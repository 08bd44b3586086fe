"""One module per table of a paper."""
