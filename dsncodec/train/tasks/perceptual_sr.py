"""Training super-resolution on what a loss network sees, or, for comparison, the same network on pixels alone.

Source: Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", 2016, section 4.2.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..data.images import PackedImages
from ..losses.perceptual import FeatureDistance, FeatureLossSettings, perceptual_loss
from ..nets.perceptual import PerceptualConfig, PerceptualNet
from ..recipe import Recipe
from ..trainer import Batch, planes
from .super_resolution import PairDataSettings, ShrunkPairs, luma_psnr_db

JUDGED_PICTURES = 12


@dataclass(frozen=True)
class PerceptualRecipe(Recipe):
    """One network of one scale; with a ``feature_weight`` of 0 no loss network is needed."""

    task: str = "perceptual"
    model: PerceptualConfig = field(default_factory=PerceptualConfig)
    data: PairDataSettings = field(default_factory=PairDataSettings)
    loss: FeatureLossSettings = field(default_factory=FeatureLossSettings)


class PerceptualTask:
    """What the trainer asks for, of a perceptual super-resolution network: see ``trainer.Task``."""

    def __init__(self, recipe: PerceptualRecipe) -> None:
        self.recipe = recipe
        self.micro_batch = recipe.data.micro_batch

    @functools.cached_property
    def pairs(self) -> ShrunkPairs:
        return ShrunkPairs.read(self.recipe.data.train, self.recipe.model.scale)

    @functools.cached_property
    def held_out(self) -> ShrunkPairs | None:
        folders = self.recipe.data.held_out
        if not folders:
            return None
        return ShrunkPairs(PackedImages.read(folders, limit=JUDGED_PICTURES), self.recipe.model.scale)

    @functools.cached_property
    def distance(self) -> FeatureDistance:
        return FeatureDistance(self.recipe.loss.loss_networks, self.recipe.loss.layers)

    def networks(self) -> PerceptualNet:
        return PerceptualNet(self.recipe.model)

    def load_from(self, nets: PerceptualNet, weights: dict[str, Tensor]) -> None:
        """Every tensor whose name and shape agree: of another scale all but the last enlargement."""
        ours = nets.state_dict()
        kept = {k: v for k, v in weights.items() if k in ours and v.shape == ours[k].shape}
        nets.load_state_dict(kept, strict=False)

    def batch(self, rng: np.random.Generator) -> Batch:
        """Small and large patches, (N, size, size, 3) and (N, scale * size, scale * size, 3) uint8."""
        return self.pairs.batch(rng, self.recipe.data)

    def loss(self, nets: PerceptualNet, batch: Batch, progress: float) -> Tensor:
        made, wanted = nets(planes(batch[0])).float(), planes(batch[1])
        return perceptual_loss(made, wanted, nets.scale, self.recipe.loss, lambda: self.distance)

    @torch.no_grad()
    def evaluate(self, nets: PerceptualNet, device: str) -> dict[str, float]:
        """Mean luma PSNR over the held-out pictures and, where it is minimised, feature distances."""
        pairs = self.held_out
        if pairs is None:
            return {}
        row = {"luma_psnr_db": luma_psnr_db(nets, pairs, device)}
        if not self.recipe.loss.feature_weight:
            return row
        found = []
        for i in range(len(pairs)):
            small, large = (
                planes(torch.from_numpy(part[i])[None].to(device)) for part in (pairs.small, pairs.large)
            )
            found.append(self.distance.of_layers(nets(small).clamp(0, 1), large))
        return row | {name: float(np.mean([scores[name].item() for scores in found])) for name in found[0]}
