"""Training a proposer of latents for method "latentgrid", and a decoder beside it for each of several lmbdas.

What is minimised is a fit's own objective, computed by a fit's own kernels: distortion + lmbda bits per pixel of soft symbols with noise. Of each
crop its logarithm counts, so that easy crops and all lmbdas weigh alike.
"""

from __future__ import annotations

import functools
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...errors import SettingError
from ...methods.latentgrid.bitstream import LISTS, Parameters, init_lists
from ...methods.latentgrid.encoder import init_for
from ...methods.latentgrid.fit import weights_of
from ...methods.latentgrid.objective import RDObjective
from ...methods.latentgrid.proposer import price_of
from ...methods.latentgrid.weights import Weights
from ..data.images import PackedImages
from ..nets.proposer import Proposer, ProposerConfig, ProposerNets
from ..recipe import Recipe
from ..trainer import Batch, planes

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

# Added to a loss before its logarithm is taken, in bits per pixel: flat crops would count without bound
FLOOR_BPP = 0.03


@dataclass(frozen=True)
class ProposerDataSettings:
    """Crops of ``patch`` pixels a side, ``batch`` a step; ``judged`` of the held-out pictures."""

    train: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    judged: int = 8
    patch: int = 256
    batch: int = 4


@dataclass(frozen=True)
class FitLossSettings:
    """``tune`` as in ``options.LatentGrid``; ``lmbdas`` of the decoders, between which the proposer interpolates; ``temperature`` and
    ``noise`` of the soft symbols, as in a fit's ``Schedule``."""

    tune: str = "psnr"
    lmbdas: tuple[float, ...] = (2e-4, 6e-4, 2e-3, 6e-3, 2e-2)
    temperature: float = 0.3
    noise: float = 0.22


@dataclass(frozen=True)
class ProposerRecipe(Recipe):
    """One proposer."""

    task: str = "proposer"
    model: ProposerConfig = field(default_factory=ProposerConfig)
    data: ProposerDataSettings = field(default_factory=ProposerDataSettings)
    loss: FitLossSettings = field(default_factory=FitLossSettings)


class FitLoss(torch.autograd.Function):
    """The losses (N,) of crops under decoders, by the kernels of a fit, which give the gradients at once."""

    @staticmethod
    def forward(ctx: Any, run: Any, decoders: Tensor, *latents: Tensor) -> Tensor:
        losses, by_weights, by_latents = run(
            decoders.detach().numpy(), [grid.detach().numpy() for grid in latents]
        )
        ctx.gradients = torch.from_numpy(by_weights), [torch.from_numpy(grid) for grid in by_latents]
        return torch.from_numpy(losses)

    @staticmethod
    def backward(ctx: Any, *by_loss: Tensor) -> Any:
        by_weights, by_latents = ctx.gradients
        share = by_loss[0]
        return None, (by_weights * share[:, None]), *(g * share[:, None, None, None] for g in by_latents)


class ProposerTask:
    """What the trainer asks for, see ``trainer.Task``."""

    def __init__(self, recipe: ProposerRecipe) -> None:
        data = recipe.data
        if data.patch % Proposer.unit or data.patch < Proposer.unit:
            raise SettingError(
                f"recipe {recipe.name}: patch must be a multiple of {Proposer.unit}, not {data.patch}"
            )
        if len(recipe.loss.lmbdas) != recipe.model.decoders:
            raise SettingError(f"recipe {recipe.name}: {recipe.model.decoders} decoders need as many lmbdas")
        self.recipe, self.micro_batch = recipe, data.batch
        self.visual = recipe.loss.tune == "visual"

    @functools.cached_property
    def images(self) -> PackedImages:
        return PackedImages.read(self.recipe.data.train)

    @functools.cached_property
    def held_out(self) -> PackedImages | None:
        data = self.recipe.data
        return PackedImages.read(data.held_out, data.judged) if data.held_out else None

    @functools.cached_property
    def pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max(torch.get_num_threads(), 1))

    def networks(self) -> ProposerNets:
        """The decoders begin with the published inits."""
        nets = ProposerNets(self.recipe.model)
        for decoder, lmbda in zip(nets.decoders, self.recipe.loss.lmbdas):
            width, init = init_for(lmbda, self.recipe.loss.tune)
            flat = weights_of(init_lists(Parameters(width, init, (0,) * LISTS)), width).flat
            decoder.data.copy_(torch.from_numpy(flat))
        return nets

    def load_from(self, nets: ProposerNets, weights: dict[str, Tensor]) -> None:
        """Those of a proposer of the same shape, of another tune."""
        nets.load_state_dict(weights)

    def batch(self, rng: np.random.Generator) -> Batch:
        """Crops (N, size, size, 3) uint8; numbers of decoders (N,); seeds of noise (N,)."""
        data = self.recipe.data
        crops = self.images.patches(rng, data.batch, data.patch)
        numbers = rng.permutation(np.arange(data.batch) + rng.integers(64)) % len(self.recipe.loss.lmbdas)
        return tuple(map(torch.from_numpy, (crops, numbers, rng.integers(0, 2**30, data.batch))))

    def loss(self, nets: ProposerNets, batch: Batch, progress: float) -> Tensor:
        crops, numbers, seeds = batch
        lmbdas = torch.tensor(self.recipe.loss.lmbdas)[numbers]
        latents = nets.proposer(planes(crops), prices(lmbdas))

        def run(
            decoders: FloatArray, grids: list[FloatArray]
        ) -> tuple[FloatArray, FloatArray, list[FloatArray]]:
            def one(i: int) -> tuple[float, FloatArray, list[FloatArray]]:
                own = [np.ascontiguousarray(grid[i, 0]) for grid in grids]
                return self._judged(
                    crops[i].numpy(),
                    own,
                    Weights(nets.width, decoders[i].copy()),
                    float(lmbdas[i]),
                    int(seeds[i]),
                )

            found = list(self.pool.map(one, range(len(crops))))
            losses = np.array([loss for loss, _, _ in found], np.float32)
            by_latents = [np.stack([one[2][k] for one in found])[:, None] for k in range(len(grids))]
            return losses, np.stack([one[1] for one in found]), by_latents

        losses: Tensor = FitLoss.apply(run, nets.decoders[numbers], *latents)  # type: ignore[no-untyped-call]
        return ((losses + FLOOR_BPP * lmbdas).log() - (lmbdas**0.75).log()).mean()

    def _judged(
        self, crop: UInt8Array, latents: list[FloatArray], weights: Weights, lmbda: float, seed: int
    ) -> tuple[float, FloatArray, list[FloatArray]]:
        """The loss of a crop, and its gradients by weights and latents."""
        settings = self.recipe.loss
        objective = RDObjective(crop, latents=latents, visual=self.visual, parts=1)
        objective.soft_round(settings.temperature, settings.noise, seed)
        loss, gradient = objective.gradients(weights, lmbda)
        value = loss.distortion + lmbda * loss.bits / objective.pixels
        return value, gradient.flat, objective.latent_gradients(lmbda)

    @torch.no_grad()
    def evaluate(self, nets: ProposerNets, device: str) -> dict[str, float]:
        """Of the held-out pictures with rounded latents: the mean logarithm of the loss, and for each lmbda the loss over lmbda^0.75,
        PSNR and bits per pixel."""
        if self.held_out is None:
            return {}
        found: dict[str, float] = {}
        logs = []
        for number, lmbda in enumerate(self.recipe.loss.lmbdas):
            weights, rows = nets.weights(number), []
            for i in range(len(self.held_out)):
                objective = propose(nets.proposer, self.held_out[i], lmbda, self.visual)
                loss = objective.loss(weights)
                rows.append(
                    (
                        loss.distortion + lmbda * loss.bits / objective.pixels,
                        -10 * math.log10(max(loss.mse(objective.pixels), 1e-10)),
                        loss.bits / objective.pixels,
                    )
                )
            values = np.array(rows)
            logs.append(np.log(values[:, 0] + FLOOR_BPP * lmbda).mean() - 0.75 * math.log(lmbda))
            found |= {f"psnr_db_{lmbda:g}": values[:, 1].mean(), f"bpp_{lmbda:g}": values[:, 2].mean()}
        return {"log_loss": float(np.mean(logs)), **found}


def prices(lmbdas: Tensor) -> Tensor:
    """What the proposer sees of lmbdas, (N,) to (N, 1)."""
    return torch.tensor([[price_of(float(lmbda))] for lmbda in lmbdas])


@torch.no_grad()
def propose(proposer: Proposer, picture: UInt8Array, lmbda: float, visual: bool) -> RDObjective:
    """The objective of a picture (H, W, 3) with the latents that are proposed for it, rounded."""
    rows, columns = picture.shape[:2]
    beyond = (0, -columns % Proposer.unit, 0, -rows % Proposer.unit)
    whole = F.pad(planes(torch.from_numpy(picture[None])), beyond, "replicate")
    latents = [grid[0, 0].numpy() for grid in proposer(whole, prices(torch.tensor([lmbda])))]
    objective = RDObjective(picture, visual=visual)
    for own, found, (height, width) in zip(objective.latents, latents, objective.shapes):
        own[:] = found[:height, :width].clip(-127, 127)
    objective.round_latents()
    return objective
