"""Q-BReLU: the activation that bounds and quantises the low-resolution layer.

Source: Cai et al., "Deep Sampling Networks", 2017, Eq. 2 (forward) and Eq. 3 (gradient).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _QBReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, levels: Tensor, t_min: float, t_max: float) -> Tensor:
        ctx.save_for_backward((x > t_min) & (x < t_max))
        steps = (levels - 1) / (t_max - t_min)
        return torch.floor((x.clamp(t_min, t_max) - t_min) * steps + 0.5) / steps + t_min

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None, None]:
        (inside,) = ctx.saved_tensors
        return grad[0] * inside, None, None, None


def qbrelu(x: Tensor, levels: Tensor | int, t_min: float = 0.0, t_max: float = 1.0) -> Tensor:
    """Clip to [t_min, t_max] and round half up to ``levels`` values.

    Args:
        x: any shape.
        levels: alphabet size Q >= 2; a tensor that broadcasts against ``x`` gives each sample
            of a batch its own.
        t_min, t_max: the two marginal values.
    Returns:
        Same shape as ``x``. The gradient is 1 strictly inside (t_min, t_max) and 0 elsewhere.
    Source: Cai et al. 2017, Eq. 2 and 3.

    >>> qbrelu(torch.tensor([-0.2, 0.5, 1.7]), levels=6).tolist()    # 2.5 steps go up, to 3
    [0.0, 0.6000000238418579, 1.0]
    """
    apply: Any = _QBReLU.apply
    out: Tensor = apply(x, torch.as_tensor(levels, dtype=x.dtype, device=x.device), t_min, t_max)
    return out
