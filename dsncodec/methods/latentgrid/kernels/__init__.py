"""Inner loops of the method "latentgrid" as machine code, by numba."""
