"""Training restoration networks: pictures that a lossy codec decoded, towards their originals."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import SettingError
from ...methods import DEFAULT_EFFORT
from ..data.coded_pairs import CodedPairs, spread_qualities
from ..data.images import PackedImages
from ..nets.restoration import RestorationConfig, RestorationNet
from ..recipe import Recipe
from ..trainer import Batch, picture_of, planes, whole_blocks

LEAST_RMSE = 0.7 / 255  # a nearly perfect picture does not outweigh the others, and rmse is never 0


@dataclass(frozen=True)
class CodedDataSettings:
    """Where the pictures are, what codes them, and what is cut out of them.

    With ``scale`` 2 the codec gets them at half their size, and the network sees them doubled again. Each picture is
    coded ``passes`` times, at our ``efforts`` in turn, its qualities spread over ``qualities``. ``cache`` names an
    .npz file that keeps the coded pictures between runs; empty codes them again.
    """

    codec: str = "avif"
    scale: int = 1
    efforts: tuple[int, ...] = (DEFAULT_EFFORT,)
    train: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    cache: str = ""
    passes: int = 6
    qualities: tuple[float, ...] = (14.0, 94.0)
    judged: tuple[float, ...] = (20.0, 40.0, 60.0, 90.0)
    patch: int = 96
    batch: int = 4
    micro_batch: int = 4
    align: int = 8  # patches start on the grid of the codec's blocks


@dataclass(frozen=True)
class RestorationRecipe(Recipe):
    """One network, for one codec at all its qualities."""

    task: str = "restoration"
    model: RestorationConfig = field(default_factory=RestorationConfig)
    data: CodedDataSettings = field(default_factory=CodedDataSettings)


def relative_squared_error(restored: Tensor, wanted: Tensor, rmse: Tensor) -> Tensor:
    """Squared error over the coded picture's own: 1 for a network that does nothing.

    Its gradient is that of the mean of log(MSE), hence of PSNR in dB: what a BD-rate averages. Unweighted, the
    lowest qualities would take all of the training.

    Args:
        restored, wanted: (N, 3, H, W) in [0, 1].
        rmse: (N, 1, 1, 1), of the whole coded picture each sample is cut from, on the same scale.
    """
    return ((restored.float() - wanted) / rmse).square().mean()


def known_rmse(mse: np.ndarray) -> Tensor:
    """What a network is told of pictures with these errors (of 8-bit RGB): (N, 1, 1, 1), on a scale of 1."""
    return _numbers(np.maximum(np.sqrt(mse) / 255, LEAST_RMSE))


class RestorationTask:
    """What the trainer asks for, of a restoration network: see ``trainer.Task``."""

    def __init__(self, recipe: RestorationRecipe) -> None:
        data, block = recipe.data, recipe.model.block
        if data.scale not in (1, 2):
            raise SettingError(f"recipe {recipe.name}: scale must be 1 or 2, not {data.scale}")
        if data.patch < 1 or data.patch % block:
            raise SettingError(f"recipe {recipe.name}: patch must be a multiple of {block}, not {data.patch}")
        self.recipe = recipe
        self.micro_batch = data.micro_batch

    @functools.cached_property
    def pairs(self) -> CodedPairs:
        data = self.recipe.data
        originals = PackedImages.read(data.train)
        if data.cache and Path(data.cache).exists():
            return CodedPairs.read(data.cache, originals)
        rng = np.random.default_rng(self.recipe.optim.seed)
        quality = spread_qualities(rng, data.passes, len(originals), data.qualities)
        pairs = CodedPairs.code(originals, data.codec, quality, data.scale, data.efforts)
        if data.cache:
            Path(data.cache).parent.mkdir(parents=True, exist_ok=True)
            pairs.save(data.cache)
        return pairs

    @functools.cached_property
    def held_out(self) -> CodedPairs | None:
        data = self.recipe.data
        if not data.held_out:
            return None
        originals = PackedImages.read(data.held_out)
        quality = np.repeat(np.array(data.judged, np.float32)[:, None], len(originals), 1)
        return CodedPairs.code(originals, data.codec, quality, data.scale)

    def networks(self) -> RestorationNet:
        return RestorationNet(self.recipe.model)

    def load_from(self, nets: RestorationNet, weights: dict[str, Tensor]) -> None:
        """Weights of a network for another codec, or of a smaller one."""
        nets.load_from(weights)

    def batch(self, rng: np.random.Generator) -> Batch:
        """See ``coded_batch``; coded patches are uint8."""
        data = self.recipe.data
        return coded_batch(self.pairs, rng, data.batch, data.patch, data.align)

    def loss(self, nets: RestorationNet, batch: Batch, progress: float) -> Tensor:
        coded, original, quality, rmse = batch
        return relative_squared_error(nets(planes(coded), quality, rmse), planes(original), rmse)

    def evaluate(self, nets: RestorationNet, device: str) -> dict[str, float]:
        """Mean and least gain in dB of RGB PSNR over the held-out pictures at the judged qualities."""
        if self.held_out is None:
            return {}
        gains = gains_db(nets, self.held_out, device)
        row = {"gain_db": float(gains.mean()), "least_gain_db": float(gains.min())}
        return row | {f"gain_db_q{q:g}": float(g.mean()) for q, g in zip(self.recipe.data.judged, gains)}


def coded_batch(pairs: CodedPairs, rng: np.random.Generator, count: int, size: int, align: int) -> Batch:
    """Coded patches (N, size, size, 3) as they were decoded and original ones uint8; quality and RMSE (N, 1, 1, 1) on scales
    of 1."""
    coded, original, k, drawn = pairs.patches(rng, count, size, align)
    return (
        torch.from_numpy(np.asarray(coded)),
        torch.from_numpy(original),
        _numbers(pairs.quality[k, drawn] / 100),
        known_rmse(pairs.mse[k, drawn]),
    )


@torch.no_grad()
def gains_db(nets: RestorationNet, pairs: CodedPairs, device: str) -> np.ndarray:
    """What the network adds to each coded picture's PSNR, (K, images), outputs rounded to 8 bits."""
    gains = np.empty(pairs.quality.shape)
    for k, i in np.ndindex(gains.shape):
        rgb = pairs.originals[i]
        coded = whole_blocks(pairs.picture(k, i), nets.config.block).to(device)
        quality = _numbers(pairs.quality[k, i : i + 1] / 100).to(device)
        rmse = known_rmse(pairs.mse[k, i : i + 1]).to(device)
        restored = picture_of(nets(planes(coded), quality, rmse), rgb.shape)
        mse = float(np.square(restored.astype(np.float32) - rgb).mean())
        gains[k, i] = 10 * math.log10(max(float(pairs.mse[k, i]), 1e-9) / max(mse, 1e-9))
    return gains


def _numbers(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32)).view(-1, 1, 1, 1)
