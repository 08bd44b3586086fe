"""Optimisers that torch and NumPy do not have."""
