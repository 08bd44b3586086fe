"""Losses: pixels, features, SSIMULACRA 2."""
