"""Training a second Up-SNet for a published model: the same symbols, decoded to what looks like the original.

Source: Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", 2016, section 3.2.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..errors import SettingError
from . import published
from .data import PackedImages
from .distance import FeatureDistance, FeatureLossSettings, perceptual_loss
from .loop import Batch
from .nets.qbrelu import qbrelu
from .nets.sampling import SamplingConfig, SamplingNets
from .recipe import Recipe
from .sampling import DataSettings, chroma_shift, rgb, ycbcr

JUDGED_PICTURES = 12
JUDGED_LEVELS = 256


@dataclass(frozen=True)
class LookLossSettings(FeatureLossSettings):
    """What is minimised, and the alphabets that samples are coded with, by their shares."""

    levels: tuple[int, ...] = (256,)
    level_share: tuple[float, ...] = (1.0,)


@dataclass(frozen=True)
class LookRecipe(Recipe):
    """The second Up-SNet of one scale."""

    task: str = "look"
    model: SamplingConfig = field(default_factory=SamplingConfig)
    data: DataSettings = field(default_factory=DataSettings)
    loss: LookLossSettings = field(default_factory=LookLossSettings)


def decoded(nets: SamplingNets, patches: Tensor, levels: Tensor) -> Tensor:
    """What a reader gets of pictures, before it is cut to [0, 1]: gradients flow to ``up`` alone.

    Args:
        patches: (N, H, W, 3) uint8, H and W multiples of twice the scale.
        levels: (N, 1, 1, 1), the alphabet size of each sample.
    Returns:
        RGB, (N, 3, H, W).
    """
    with torch.no_grad():
        planes = ycbcr(patches)
        latent = qbrelu(nets.down(planes[:, :1]).float(), levels)
        shift = chroma_shift(levels)
        chroma_latent = qbrelu(nets.chroma_down(planes[:, 1:]).float() + shift, levels) - shift
    luma = nets.up(latent)
    return rgb(torch.cat([luma, nets.chroma_up(chroma_latent, luma)], 1).float())


class LookTask:
    """What the loop asks for, of a second Up-SNet: see ``loop.Task``. All other networks stay as published."""

    def __init__(self, recipe: LookRecipe) -> None:
        multiple, patch = recipe.model.chroma_scale, recipe.data.patch
        if patch < 1 or patch % multiple:
            raise SettingError(f"recipe {recipe.name}: patch must be a multiple of {multiple}, not {patch}")
        self.recipe = recipe
        self.micro_batch = recipe.data.micro_batch

    @functools.cached_property
    def images(self) -> PackedImages:
        return PackedImages.read(self.recipe.data.train)

    @functools.cached_property
    def held_out(self) -> PackedImages | None:
        folders = self.recipe.data.held_out
        return PackedImages.read(folders, limit=JUDGED_PICTURES) if folders else None

    @functools.cached_property
    def distance(self) -> FeatureDistance:
        return FeatureDistance(self.recipe.loss.loss_networks, self.recipe.loss.layers)

    def networks(self) -> SamplingNets:
        """The published ones; only ``up`` learns."""
        nets = published.sampling_nets(self.recipe.model)
        nets.requires_grad_(False)
        nets.up.requires_grad_(True)
        return nets

    def adopt(self, nets: SamplingNets, weights: dict[str, Tensor]) -> None:
        """The Up-SNet of another run of this scale."""
        nets.up.load_state_dict({k.removeprefix("up."): v for k, v in weights.items() if k.startswith("up.")})

    def batch(self, rng: np.random.Generator) -> Batch:
        """Patches (N, size, size, 3) uint8, and the alphabet size of each (N, 1, 1, 1)."""
        data, loss = self.recipe.data, self.recipe.loss
        patches = self.images.patches(rng, data.batch, data.patch)
        share = np.array(loss.level_share) / np.sum(loss.level_share)
        levels = rng.choice(loss.levels, data.batch, p=share).astype(np.float32)
        return torch.from_numpy(patches), torch.from_numpy(levels).view(-1, 1, 1, 1)

    def loss(self, nets: SamplingNets, batch: Batch, progress: float) -> Tensor:
        patches, levels = batch
        shown, wanted = decoded(nets, patches, levels), patches.permute(0, 3, 1, 2).float() / 255
        return perceptual_loss(shown, wanted, nets.config.scale, self.recipe.loss, lambda: self.distance)

    def judge(self, nets: SamplingNets, device: str) -> dict[str, float]:
        """RGB PSNR in dB and feature distances over held-out pictures, beside those of the published Up-SNet:
        differences of PSNR, and ratios of distances."""
        if self.held_out is None:
            return {}
        ours, plain = self._scores(nets, device), self._plain_scores(device)
        row = {"psnr_db": ours["psnr_db"], "psnr_change_db": ours["psnr_db"] - plain["psnr_db"]}
        return row | {name: value / plain[name] for name, value in ours.items() if name != "psnr_db"}

    def _plain_scores(self, device: str) -> dict[str, float]:
        if not hasattr(self, "_plain"):
            self._plain = self._scores(self.networks().to(device), device)
        return self._plain

    @torch.no_grad()
    def _scores(self, nets: SamplingNets, device: str) -> dict[str, float]:
        """Means over the held-out pictures, cropped to fit."""
        assert self.held_out is not None
        step, rows = nets.config.chroma_scale, []
        levels = torch.full((1, 1, 1, 1), float(JUDGED_LEVELS), device=device)
        for i in range(len(self.held_out)):
            picture = self.held_out[i]
            picture = picture[: picture.shape[0] // step * step, : picture.shape[1] // step * step]
            patch = torch.from_numpy(picture)[None].to(device)
            shown = (decoded(nets, patch, levels).clamp(0, 1) * 255).round()
            wanted = patch.permute(0, 3, 1, 2).float()
            mse = (shown - wanted).square().mean().item()
            row = {"psnr_db": 10 * math.log10(255**2 / max(mse, 1e-9))}
            found = self.distance.of_layers(shown / 255, wanted / 255)
            rows.append(row | {name: value.item() for name, value in found.items()})
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
