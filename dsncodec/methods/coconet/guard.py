"""The way back for a fit that runs away.

A large rate makes a fit short, and now and then it throws the weights where nothing is learned any more. Then the fit goes on from
the best weights that it had, more slowly.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import FitWarning, warn

FAR = 4.0  # times the least error: more, if it is also more than that of the mean colour, is no accident of the pixels drawn
LEAST_ERROR = 0.01  # of colours in 0..1, 20 dB: what a large rate may do to a flat picture before it finds its colour again
ONE_COLOUR = (1 / 255) ** 2  # a picture with less beside its mean colour has nothing else to show
SLOWER = 0.5  # of the rate, after each setback


class Guard:
    """The best weights so far of N networks, and the way back to them.

    Args:
        layers: the networks' parameters, (N, ...) each.
        flat: what the mean colour of each picture would have as its error, (N,).
        rate: what learning rates are multiplied with.
        setbacks: how often the fit went back before.
    """

    def __init__(
        self, layers: list[nn.Parameter], flat: Tensor, rate: float = 1.0, setbacks: int = 0
    ) -> None:
        self.layers, self.flat, self.rate, self.setbacks = layers, flat, rate, setbacks
        self.best = [layer.detach().clone() for layer in layers]
        self.least = torch.full_like(flat, math.inf)

    @torch.no_grad()
    def passed(self, losses: Tensor, optimizer: torch.optim.Optimizer) -> bool:
        """Whether the weights may go on from here; if not, networks that ran away have their best weights again.

        Args:
            losses: squared errors of the weights as they are, (N,).
            optimizer: forgets what it knows when the weights go back.
        """
        limit = torch.maximum(self.flat, FAR * self.least).clamp(min=LEAST_ERROR)
        away = ~(losses <= limit) | losses.isinf()  # what is no number is not less than anything
        if away.any():
            for layer, kept in zip(self.layers, self.best):
                layer.copy_(torch.where(_each(away, layer), kept, layer))
            optimizer.state.clear()
            self.rate *= SLOWER
            self.setbacks += 1
            return False
        better = losses < self.least
        if better.any():
            self.least = torch.where(better, losses, self.least)
            for layer, kept in zip(self.layers, self.best):
                kept.copy_(torch.where(_each(better, layer), layer, kept))
        return True

    def tell(self) -> None:
        """Warn of setbacks, if there were any, unless all pictures are of one colour: nothing can be lost of them."""
        if self.setbacks and bool((self.flat > ONE_COLOUR).any()):
            warn(
                f"the fit ran away {self.setbacks} times: it went back to its best weights each time, and ended with "
                f"{self.rate:.2g} of its learning rate",
                FitWarning,
            )

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"best": self.best, "least": self.least, "rate": self.rate, "setbacks": self.setbacks}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.best, self.least = state["best"], state["least"]
        self.rate, self.setbacks = state["rate"], state["setbacks"]


def least_bad(candidates: list[list[Tensor]], errors: Tensor) -> list[Tensor]:
    """For each of N networks the layers with the least error.

    Args:
        candidates: K lists of layers, (N, ...) each; the first is taken where it is as good as any other.
        errors: (K, N); what is no number is worse than anything.
    """
    chosen = errors.nan_to_num(math.inf, math.inf).argmin(0)
    each = torch.arange(errors.shape[1])
    return [torch.stack(layers)[chosen, each] for layers in zip(*candidates)]


def _each(marked: Tensor, layer: Tensor) -> Tensor:
    """(N,) so that it goes with a layer (N, ...)."""
    return marked.reshape(-1, *[1] * (layer.dim() - 1))
