"""Training a second Up-SNet for a published model: the same symbols, decoded to what looks like the original.

Source: Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", 2016, section 3.2.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...container import Header
from ...errors import SettingError
from ...methods import DEFAULT_EFFORT
from ...methods.dsn.codec import Encoder
from ..data.images import PackedImages
from ..export import pretrained
from ..losses.perceptual import FeatureDistance, FeatureLossSettings, perceptual_loss
from ..nets.qbrelu import qbrelu
from ..nets.sampling import SamplingConfig, SamplingNets
from ..recipe import Recipe
from ..trainer import Batch, planes
from .sampling import DataSettings, chroma_shift, rgb

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

JUDGED_PICTURES = 12
JUDGED_LEVELS = 256
JUDGED_EFFORT = DEFAULT_EFFORT


@dataclass(frozen=True)
class LookDataSettings(DataSettings):
    """Where the pictures are, and the encoder's efforts: from 4 on it refines the latent for the published Up-SNet."""

    efforts: tuple[int, ...] = (0, DEFAULT_EFFORT)


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
    data: LookDataSettings = field(default_factory=LookDataSettings)
    loss: LookLossSettings = field(default_factory=LookLossSettings)


def latents(picture: UInt8Array, scale: int, effort: int) -> tuple[FloatArray, FloatArray]:
    """What the encoder makes of a picture (H, W, 3), before Q-BReLU: luma (1, H/s, W/s) and chroma (2, H/2s, W/2s)."""
    header = Header("dsn", "RGB", picture.shape[1], picture.shape[0])
    return Encoder(header, picture, 1, effort).latents(scale)


def decoded(nets: SamplingNets, luma: Tensor, chroma: Tensor, levels: Tensor) -> Tensor:
    """What a reader gets of latents, before it is cut to [0, 1].

    Args:
        luma, chroma: (N, 1, h, w) and (N, 2, h/2, w/2).
        levels: (N, 1, 1, 1), the alphabet size of each sample.
    Returns:
        RGB, (N, 3, s*h, s*w).
    """
    shift = chroma_shift(levels)
    shown = nets.up(qbrelu(luma, levels))
    colour = nets.chroma_up(qbrelu(chroma + shift, levels) - shift, shown)
    return rgb(torch.cat([shown, colour], 1).float())


class LookTask:
    """What the trainer asks for, of a second Up-SNet: see ``trainer.Task``. All other networks stay as published."""

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
        nets = pretrained.sampling_nets(self.recipe.model)
        nets.requires_grad_(False)
        nets.up.requires_grad_(True)
        return nets

    def load_from(self, nets: SamplingNets, weights: dict[str, Tensor]) -> None:
        """The Up-SNet of another run of this scale."""
        nets.up.load_state_dict({k.removeprefix("up."): v for k, v in weights.items() if k.startswith("up.")})

    def batch(self, rng: np.random.Generator) -> Batch:
        """Patches (N, 3, size, size) in [0, 1], the encoder's luma and chroma latents of them, and the alphabet size of
        each (N, 1, 1, 1)."""
        data, loss = self.recipe.data, self.recipe.loss
        patches = self.images.patches(rng, data.batch, data.patch)
        efforts = rng.choice(data.efforts, data.batch)
        pairs = [latents(p, self.recipe.model.scale, int(effort)) for p, effort in zip(patches, efforts)]
        luma, chroma = (torch.from_numpy(np.stack(part)) for part in zip(*pairs))
        share = np.array(loss.level_share) / np.sum(loss.level_share)
        levels = rng.choice(loss.levels, data.batch, p=share).astype(np.float32)
        return planes(torch.from_numpy(patches)), luma, chroma, torch.from_numpy(levels).view(-1, 1, 1, 1)

    def loss(self, nets: SamplingNets, batch: Batch, progress: float) -> Tensor:
        wanted, *coded = batch
        shown = decoded(nets, *coded)
        return perceptual_loss(shown, wanted, nets.config.scale, self.recipe.loss, lambda: self.distance)

    def evaluate(self, nets: SamplingNets, device: str) -> dict[str, float]:
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
            pair = latents(picture, nets.config.scale, JUDGED_EFFORT)
            luma, chroma = (torch.from_numpy(part)[None].to(device) for part in pair)
            shown = (decoded(nets, luma, chroma, levels).clamp(0, 1) * 255).round()
            wanted = 255 * planes(torch.from_numpy(picture)[None].to(device))
            mse = (shown - wanted).square().mean().item()
            row = {"psnr_db": 10 * math.log10(255**2 / max(mse, 1e-9))}
            found = self.distance.of_layers(shown / 255, wanted / 255)
            rows.append(row | {name: value.item() for name, value in found.items()})
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
