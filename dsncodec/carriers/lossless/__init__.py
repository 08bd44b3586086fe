"""Entropy backends: symbols <-> payload, exactly."""
