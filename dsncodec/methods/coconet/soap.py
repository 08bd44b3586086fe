"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner, for stacks of small matrices.

Idea: Vyas et al., "SOAP: improving and stabilizing Shampoo using Adam", 2024. For layers of a few dozen neurons the
bases cost next to nothing beside the forward pass. What it gained here is in docs/decisions/0013-coconet.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

# A gradient of few pixels or planes has few directions. In all others the turned gradient is rounding errors, some 1e-7 of the
# rest: divided by their own size they became whole steps, in directions that the processor chose. With 1e-3 those steps
# vanish. What the floor changed: docs/coconet.md
FLOOR = 1e-3


class Soap(torch.optim.Optimizer):
    """For parameters of shape (N, rows, columns): N matrices, each with bases of its own.

    Args:
        lr: as Adam's.
        betas: of the momentum, of the squares, and of the two covariances.
        every: steps between two updates of the bases.
        floor: of a direction's scale, as a part of the largest scale in its matrix.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float, float] = (0.9, 0.95, 0.95),
        every: int = 10,
        floor: float = FLOOR,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "every": every, "floor": floor})

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # of a checkpoint that an earlier release wrote
            group.setdefault("floor", FLOOR)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad, self.state[weight], group)

    def _update(self, weight: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        b1, b2, b3 = group["betas"]
        sides = (grad @ grad.mT, grad.mT @ grad)
        if not state:  # the first gradient only shows which way the bases lie
            state["covariances"] = [side * (1 - b3) for side in sides]
            state["bases"] = [torch.linalg.eigh(side)[1].flip(-1) for side in sides]
            state["momentum"], state["squares"] = torch.zeros_like(grad), torch.zeros_like(grad)
            state["step"] = 0
            return
        state["step"] += 1
        left, right = state["bases"]
        state["momentum"].lerp_(grad, 1 - b1)
        turned = left.mT @ grad @ right
        state["squares"].mul_(b2).addcmul_(turned, turned, value=1 - b2)
        momentum = left.mT @ state["momentum"] @ right
        scale = (1 - b1 ** state["step"]) / (1 - b2 ** state["step"]) ** 0.5
        spread = state["squares"].sqrt()
        spread = spread + group["floor"] * spread.amax((1, 2), keepdim=True)
        update = momentum / (spread * scale + 1e-12)
        weight.sub_(left @ update @ right.mT, alpha=group["lr"])
        for covariance, side in zip(state["covariances"], sides):
            covariance.lerp_(side, 1 - b3)
        if state["step"] % group["every"] == 0:  # one step of the power method, as the paper has it
            state["bases"] = [
                torch.linalg.qr(covariance @ basis)[0]
                for covariance, basis in zip(state["covariances"], state["bases"])
            ]
