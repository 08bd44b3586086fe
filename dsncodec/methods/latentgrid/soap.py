"""SOAP for a vector of weights that is made of small matrices: Adam in the eigenbasis of Shampoo's preconditioner.

Idea: Vyas et al., "SOAP: improving and stabilizing Shampoo using Adam", 2024. What it gained here is in
docs/decisions/0018-latentgrid.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .weights import Weights

FloatArray = NDArray[np.float32]


TINY = np.float32(1e-10)
# Of the scale of a direction, as a part of the largest in its matrix. A flat picture gives gradients of few directions; in all
# others there are rounding errors, which divided by their own size became whole steps, where the processor chose
FLOOR = np.float32(1e-3)


class _Matrix:
    """One matrix's means, and the two bases they are seen in."""

    def __init__(self, shape: tuple[int, int]) -> None:
        rows, columns = shape
        self.mean, self.square = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.left_covariance = np.zeros((rows, rows), np.float32)
        self.right_covariance = np.zeros((columns, columns), np.float32)
        self.left, self.right = np.eye(rows, dtype=np.float32), np.eye(columns, dtype=np.float32)


class Soap:
    """Moves a vector of weights in place.

    Args:
        every: steps between two updates of the bases.
    """

    def __init__(
        self, weights: Weights, beta1: float = 0.9, beta2: float = 0.98, beta3: float = 0.95, every: int = 10
    ) -> None:
        self.beta1, self.beta2, self.beta3, self.every, self.steps = beta1, beta2, beta3, every, 0
        self.square = np.zeros(weights.flat.size, np.float32)  # of the gradient itself
        self._places: list[tuple[slice, _Matrix]] = []
        at = 0
        for name, part in weights.parts.items():
            # the kernel is a matrix of output planes by all else; a vector is a matrix of one column
            shape = (part.shape[0], part.size // part.shape[0]) if part.ndim > 1 else (1, part.size)
            if name == "b1":
                shape = (1, part.size)
            self._places.append((slice(at, at + part.size), _Matrix(shape)))
            at += part.size

    def state(self) -> dict[str, NDArray[Any]]:
        """What ``load`` needs to go on as if nothing had been between."""
        found: dict[str, NDArray[Any]] = {"steps": np.array(self.steps), "square": self.square}
        for number, (_, matrix) in enumerate(self._places):
            found |= {f"{number}.{name}": array for name, array in vars(matrix).items()}
        return found

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state, of the same weights' shapes."""
        self.steps, self.square = int(state["steps"]), state["square"]
        for number, (_, matrix) in enumerate(self._places):
            for name in vars(matrix):
                setattr(matrix, name, state[f"{number}.{name}"])

    def square_rms(self) -> FloatArray:
        """The root of the mean square of each weight's gradient, of late."""
        return np.sqrt(self.square / np.float32(1 - self.beta2**self.steps)) + TINY

    def step(self, weights: FloatArray, gradient: FloatArray, size: FloatArray) -> None:
        """One step against the gradient, of about this size for each weight."""
        self.steps += 1
        self.square += (1 - self.beta2) * (gradient * gradient - self.square)
        scale = np.float32((1 - self.beta1**self.steps) / (1 - self.beta2**self.steps) ** 0.5)
        for place, m in self._places:
            g = gradient[place].reshape(m.mean.shape)
            m.mean += np.float32(1 - self.beta1) * (g - m.mean)
            if g.shape[0] == 1:  # a vector: Adam
                m.square += np.float32(1 - self.beta2) * (g * g - m.square)
                weights[place] -= size[place] * (m.mean / (_scales(m.square) * scale + TINY)).ravel()
                continue
            m.left_covariance += np.float32(1 - self.beta3) * (g @ g.T - m.left_covariance)
            m.right_covariance += np.float32(1 - self.beta3) * (g.T @ g - m.right_covariance)
            turned = m.left.T @ g @ m.right
            m.square += np.float32(1 - self.beta2) * (turned * turned - m.square)
            update = (m.left.T @ m.mean @ m.right) / (_scales(m.square) * scale + TINY)
            weights[place] -= size[place] * (m.left @ update @ m.right.T).ravel()
        if self.steps % self.every == 0 or self.steps == 1:
            for _, m in self._places:
                if m.mean.shape[0] > 1:
                    self._turn(m)

    def _turn(self, m: _Matrix) -> None:
        """New bases: the eigenvectors themselves at first, later one step of the power method."""
        if self.steps == 1:
            m.left = np.ascontiguousarray(np.linalg.eigh(m.left_covariance)[1][:, ::-1])
            m.right = np.ascontiguousarray(np.linalg.eigh(m.right_covariance)[1][:, ::-1])
            return
        m.left = np.linalg.qr(m.left_covariance @ m.left)[0]
        m.right = np.linalg.qr(m.right_covariance @ m.right)[0]


def _scales(square: FloatArray) -> FloatArray:
    """The roots of mean squares, none of them next to nothing beside the others."""
    root = np.sqrt(square)
    return root + FLOOR * root.max()
