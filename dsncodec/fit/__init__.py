"""Fitting the networks and latents of method "latentgrid" to one picture; needs numba."""
