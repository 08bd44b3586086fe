"""Training the sampling networks: luma through Down-SNet, Q-BReLU and Up-SNet, chroma beside it."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import SettingError
from ...methods.dsn.quantise import NEUTRAL
from ...planes import TO_YCBCR
from ..data.images import PackedImages
from ..nets.qbrelu import qbrelu
from ..nets.sampling import SamplingConfig, SamplingNets
from ..recipe import Recipe
from ..trainer import Batch


@dataclass(frozen=True)
class DataSettings:
    """Where the pictures are, and what is cut out of them."""

    train: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    patch: int = 72
    batch: int = 16
    micro_batch: int = 8


@dataclass(frozen=True)
class LossSettings:
    """What is minimised; see ``sampling_loss``."""

    levels: tuple[int, ...] = (256,)
    level_share: tuple[float, ...] = (1.0,)
    l2_from: float = 1.0
    rate_weight: float = 0.0
    chroma_weight: float = 1.0
    tie: float = 0.0


@dataclass(frozen=True)
class SamplingRecipe(Recipe):
    """The networks of one scale."""

    model: SamplingConfig = field(default_factory=SamplingConfig)
    data: DataSettings = field(default_factory=DataSettings)
    loss: LossSettings = field(default_factory=LossSettings)


def ycbcr(rgb: Tensor) -> Tensor:
    """Full-range BT.601 as in JPEG: (N, H, W, 3) uint8 to (N, 3, H, W) float32 in [0, 1]."""
    planes = rgb.float() @ torch.from_numpy(TO_YCBCR.T / 255).to(rgb.device)
    return (planes + torch.tensor([0, NEUTRAL, NEUTRAL], device=rgb.device)).permute(0, 3, 1, 2)


def rgb(planes: Tensor) -> Tensor:
    """The inverse of ``ycbcr``, with the channels where they are: (N, 3, H, W), values about [0, 1]."""
    y, cb, cr = (planes - torch.tensor([0, NEUTRAL, NEUTRAL], device=planes.device)[:, None, None]).unbind(1)
    return torch.stack([y + 1.402 * cr, y - 0.344136286 * cb - 0.714136286 * cr, y + 1.772 * cb], 1)


def chroma_shift(levels: Tensor) -> Tensor:
    """What is added to chroma so that grey falls exactly on a level (see quantise.py)."""
    return torch.floor(levels / 2) / (levels - 1) - NEUTRAL


def code_luma(nets: SamplingNets, luma: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """The whole path of training luma, with Q-BReLU in the place of the backend.

    Args:
        luma: (N, 1, H, W) in [0, 1].
        levels: (N, 1, 1, 1), the alphabet size of each sample.
    Returns:
        Decoded luma (N, 1, H, W), and the latent before Q-BReLU.
    """
    latent = nets.down(luma)
    return nets.up(qbrelu(latent, levels)), latent


def code_chroma(
    nets: SamplingNets, chroma: Tensor, decoded_luma: Tensor, levels: Tensor
) -> tuple[Tensor, Tensor]:
    """Chroma (N, 2, H, W) down and up through its networks, guided by decoded luma (N, 1, H, W), which gets no gradient."""
    shift = chroma_shift(levels)
    latent = nets.chroma_down(chroma)
    quantised = qbrelu(latent + shift, levels) - shift
    return nets.chroma_up(quantised, decoded_luma.detach()), latent


def rate_proxy(latent: Tensor, levels: Tensor) -> Tensor:
    """About how many bits a predictive coder spends per symbol: log2(1 + |prediction error|).

    The predictor is left + above - above left, the plane through three neighbours. It is a
    training signal only: every bpp that we report is a file's.
    """
    error = latent[..., 1:, 1:] - latent[..., 1:, :-1] - latent[..., :-1, 1:] + latent[..., :-1, :-1]
    return torch.log2(1 + error.float().abs() * (levels - 1)).mean()


def sampling_loss(
    nets: SamplingNets, planes: Tensor, levels: Tensor, loss: LossSettings, progress: float
) -> Tensor:
    """L1 (the paper's), or at the end of training a squared error, plus a light rate term.

    The squared error is divided by a typical L1 so that both have gradients of one size.
    """
    luma, latent = code_luma(nets, planes[:, :1], levels)
    total = _distance(luma, planes[:, :1], loss, progress)
    if loss.rate_weight:
        total = total + loss.rate_weight * rate_proxy(latent, levels)
    if loss.tie:
        total = total + loss.tie * tie(latent, planes[:, :1])
    if loss.chroma_weight:
        chroma, latent = code_chroma(nets, planes[:, 1:], luma, levels)
        total = total + 2 * loss.chroma_weight * _distance(chroma, planes[:, 1:], loss, progress)
        if loss.rate_weight:
            total = total + 0.25 * loss.rate_weight * rate_proxy(latent, levels)
        if loss.tie:
            total = total + loss.tie * tie(latent, planes[:, 1:])
    return total


def tie(latent: Tensor, planes: Tensor) -> Tensor:
    """How far a latent's colours lie from the picture's: a squared difference of means over 4 x 4 latent pixels.

    Nothing else keeps them together, and a layer that is shown as a thumbnail must have the picture's colours.

    Args:
        latent: (N, C, h, w), planes: (N, C, s*h, s*w), h and w at least 4.
    """
    pooled = F.avg_pool2d(planes, planes.shape[-1] // latent.shape[-1])
    return F.avg_pool2d(latent.float() - pooled, 4).square().mean() / 0.04


def _distance(decoded: Tensor, wanted: Tensor, loss: LossSettings, progress: float) -> Tensor:
    error = decoded.float() - wanted
    return error.square().mean() / 0.04 if progress >= loss.l2_from else error.abs().mean()


@torch.no_grad()
def held_out_psnr_db(
    nets: SamplingNets, images: PackedImages, levels: int, device: str
) -> tuple[float, float]:
    """Mean PSNR in dB of luma, and of both chroma planes, decoded to 8 bits; images cropped to fit."""
    luma, chroma = [], []
    step = nets.config.chroma_scale
    for i in range(len(images)):
        image = images[i]
        image = image[: image.shape[0] // step * step, : image.shape[1] // step * step]
        planes = ycbcr(torch.from_numpy(image)[None].to(device))
        alphabet = torch.full((1, 1, 1, 1), float(levels), device=device)
        decoded_luma, _ = code_luma(nets, planes[:, :1], alphabet)
        decoded_chroma, _ = code_chroma(nets, planes[:, 1:], decoded_luma, alphabet)
        decoded = torch.cat([decoded_luma, decoded_chroma], 1)
        error = ((decoded.clamp(0, 1) * 255).round() - planes * 255).square().mean((0, 2, 3))
        luma.append(10 * math.log10(255**2 / max(error[0].item(), 1e-9)))
        chroma.append(10 * math.log10(255**2 / max(error[1:].mean().item(), 1e-9)))
    return float(np.mean(luma)), float(np.mean(chroma))


class SamplingTask:
    """What the trainer asks for, of sampling networks: see ``trainer.Task``."""

    def __init__(self, recipe: SamplingRecipe) -> None:
        model, patch = recipe.model, recipe.data.patch
        multiple = model.chroma_scale if recipe.loss.chroma_weight else model.scale
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
        return PackedImages.read(folders, limit=24) if folders else None

    def networks(self) -> SamplingNets:
        return SamplingNets(self.recipe.model)

    def load_from(self, nets: SamplingNets, weights: dict[str, Tensor]) -> None:
        """Every tensor whose name and shape agree: those of another scale do, but for its outermost layers."""
        ours = nets.state_dict()
        kept = {k: v for k, v in weights.items() if k in ours and v.shape == ours[k].shape}
        nets.load_state_dict(kept, strict=False)

    def batch(self, rng: np.random.Generator) -> Batch:
        """Patches (N, size, size, 3) uint8, and the alphabet size of each (N, 1, 1, 1)."""
        data, loss = self.recipe.data, self.recipe.loss
        patches = self.images.patches(rng, data.batch, data.patch)
        share = np.array(loss.level_share) / np.sum(loss.level_share)
        levels = rng.choice(loss.levels, data.batch, p=share).astype(np.float32)
        return torch.from_numpy(patches), torch.from_numpy(levels).view(-1, 1, 1, 1)

    def loss(self, nets: SamplingNets, batch: Batch, progress: float) -> Tensor:
        patches, levels = batch
        return sampling_loss(nets, ycbcr(patches), levels, self.recipe.loss, progress)

    def evaluate(self, nets: SamplingNets, device: str) -> dict[str, float]:
        if self.held_out is None:
            return {}
        found = {q: held_out_psnr_db(nets, self.held_out, q, device) for q in (256, 32, 64)}
        return {
            "luma_psnr_db_256": found[256][0],
            "luma_psnr_db_32": found[32][0],
            "chroma_psnr_db_64": found[64][1],
        }
