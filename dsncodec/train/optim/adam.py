"""Adam for a vector of weights (Kingma and Ba, 2015)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


class Adam:
    """Moves a vector of ``count`` weights in place."""

    def __init__(self, count: int, beta1: float = 0.9, beta2: float = 0.99) -> None:
        self.mean, self.square = np.zeros(count, np.float32), np.zeros(count, np.float32)
        self.beta1, self.beta2, self.steps = beta1, beta2, 0

    def step(self, weights: FloatArray, gradient: FloatArray, size: float) -> None:
        """One step against the gradient, of about this size for each weight."""
        self.steps += 1
        self.mean += (1 - self.beta1) * (gradient - self.mean)
        self.square += (1 - self.beta2) * (gradient * gradient - self.square)
        mean = self.mean / (1 - self.beta1**self.steps)
        square = self.square / (1 - self.beta2**self.steps)
        weights -= np.float32(size) * mean / (np.sqrt(square) + np.float32(1e-12))
