"""Muon: momentum whose matrix-shaped updates are orthogonalised before they are applied.

Idea: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024. The
Newton-Schulz iteration brings every singular value of the update near 1, so that no direction of
a layer is starved. What it gained here is in docs/decisions/0004-training.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def orthogonalise(update: Tensor, steps: int = 5) -> Tensor:
    """Approximate U V^T of the singular value decomposition of a matrix (rows, columns).

    The quintic's coefficients (3.4445, -4.7750, 2.0315) are those published with the method: they
    bring singular values into about 0.7..1.2 in five steps, which is all that is needed.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = update.shape[0] > update.shape[1]
    x = update.mT if tall else update
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum with orthogonalised updates, for convolution weights with two wide sides.

    ``lr`` is the size of an update relative to the layer's root mean square at initialisation.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                update = weight.grad.lerp(state["momentum"], group["momentum"]).flatten(1)
                rows, columns = update.shape
                update = orthogonalise(update) * max(1.0, rows / columns) ** 0.5
                weight.sub_(update.view_as(weight), alpha=group["lr"])
