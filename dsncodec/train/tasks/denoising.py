"""Training networks that take noise out of pictures, of any strength and several kinds."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import SettingError
from ...metrics import psnr_db
from ...planes import TO_YCBCR
from ..data.images import PackedImages
from ..nets.denoising import DenoisingConfig, DenoisingNet
from ..recipe import Recipe
from ..trainer import Batch, picture_of, planes, whole_blocks
from .restoration import _numbers, relative_squared_error

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

# An encoder or a person knows the strength about so well: the deviation of its logarithm
ABOUT = 0.07


@dataclass(frozen=True)
class NoiseDataSettings:
    """Where the pictures are, and what is done to them.

    Strengths are standard deviations in grey levels, drawn evenly by their logarithm. ``signal`` is the part of the samples whose noise is
    stronger where they are brighter, as a sensor's, and ``smooth`` of those whose noise is blurred a little, and more alike in the three
    colours, as after a camera's own processing; all others have white noise. ``grey`` is the part of the samples without colour, with the
    same noise in all three planes. ``judged`` are the strengths of white noise on the held-out pictures.
    """

    train: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    sigmas: tuple[float, float] = (2.0, 75.0)
    signal: float = 0.2
    smooth: float = 0.25
    grey: float = 0.15
    judged: tuple[float, ...] = (10.0, 25.0, 50.0)
    judged_pictures: int = 12
    patch: int = 96
    batch: int = 4
    micro_batch: int = 4


@dataclass(frozen=True)
class DenoisingRecipe(Recipe):
    """One network for noise of all strengths."""

    task: str = "denoising"
    model: DenoisingConfig = field(default_factory=DenoisingConfig)
    data: NoiseDataSettings = field(default_factory=NoiseDataSettings)


class DenoisingTask:
    """What the trainer asks for, of a denoising network: see ``trainer.Task``."""

    def __init__(self, recipe: DenoisingRecipe) -> None:
        data = recipe.data
        if data.patch < 1 or data.patch % recipe.model.block:
            raise SettingError(
                f"recipe {recipe.name}: patch must be a multiple of {recipe.model.block}, not {data.patch}"
            )
        if not 0 < data.sigmas[0] <= data.sigmas[1]:
            raise SettingError(f"recipe {recipe.name}: sigmas must rise, from above 0")
        self.recipe = recipe
        self.micro_batch = data.micro_batch

    @functools.cached_property
    def pictures(self) -> PackedImages:
        return PackedImages.read(self.recipe.data.train)

    @functools.cached_property
    def held_out(self) -> PackedImages | None:
        data = self.recipe.data
        return PackedImages.read(data.held_out, limit=data.judged_pictures) if data.held_out else None

    def networks(self) -> DenoisingNet:
        return DenoisingNet(self.recipe.model)

    def load_from(self, nets: DenoisingNet, weights: dict[str, Tensor]) -> None:
        """Weights of a denoising network of at most this size."""
        nets.load_from(weights)

    def batch(self, rng: np.random.Generator) -> Batch:
        """Noisy patches and their originals (N, size, size, 3) uint8, and how strong the noise is said to be (N, 1, 1, 1), on a scale
        of 1."""
        data = self.recipe.data
        original = self.pictures.patches(rng, data.batch, data.patch).copy()
        first, last = np.log(data.sigmas)
        sigma = np.exp(rng.uniform(first, last, len(original))).astype(np.float32)
        noisy = np.empty_like(original)
        for i, rgb in enumerate(original):
            if rng.random() < data.grey:
                rgb[:] = np.rint(rgb @ TO_YCBCR[0]).astype(np.uint8)[..., None]
            noisy[i] = self._noisy(rng, rgb, float(sigma[i]))
        said = sigma * np.exp(ABOUT * rng.standard_normal(len(sigma))).astype(np.float32)
        return torch.from_numpy(noisy), torch.from_numpy(original), _numbers(said / 255)

    def _noisy(self, rng: np.random.Generator, rgb: UInt8Array, sigma: float) -> UInt8Array:
        data, kind = self.recipe.data, rng.random()
        noise = rng.standard_normal(rgb.shape, np.float32)
        if (rgb == rgb[..., :1]).all():
            noise[:] = noise[..., :1]
        if kind < data.signal:
            noise = of_signal(rgb, noise, rng.random())
        elif kind < data.signal + data.smooth:
            noise = smoothed(noise, rng.random(2))
        return added(rgb, np.float32(sigma) * noise)

    def loss(self, nets: DenoisingNet, batch: Batch, progress: float) -> Tensor:
        """Squared error over the noise's own: its gradient is that of PSNR in dB."""
        noisy, original, sigma = batch
        return relative_squared_error(nets(planes(noisy), sigma), planes(original), sigma)

    @torch.no_grad()
    def evaluate(self, nets: DenoisingNet, device: str) -> dict[str, float]:
        """Mean RGB PSNR over the held-out pictures, by strength."""
        if self.held_out is None:
            return {}
        row = {}
        for strength in self.recipe.data.judged:
            scores = []
            for i in range(len(self.held_out)):
                rgb, rng = self.held_out[i], np.random.default_rng(i)
                noisy = added(rgb, np.float32(strength) * rng.standard_normal(rgb.shape, np.float32))
                scores.append(psnr_db(rgb, restored(nets, noisy, strength, device)))
            row[f"psnr_db_{strength:g}"] = float(np.mean(scores))
        return row


def of_signal(rgb: UInt8Array, noise: FloatArray, share: float) -> FloatArray:
    """White noise whose variance has this share in proportion to the brightness, and as much in all."""
    brightness = rgb.astype(np.float32) + 1
    variance = 1 - share + share * brightness / brightness.mean()
    found: FloatArray = noise * np.sqrt(variance)
    return found


def smoothed(noise: FloatArray, shares: NDArray[np.float64]) -> FloatArray:
    """White noise (H, W, 3) blurred along rows and columns by (s, 1, s), and with a part that all planes share; as strong in all.

    Args:
        shares: of s, 0 to 1, and of the common part.
    """
    s, common = np.float32(shares[0]), np.float32(shares[1])
    for axis in (0, 1):
        padded = np.pad(noise, [(1, 1) if at == axis else (0, 0) for at in range(3)], "wrap")
        first, middle, last = (np.moveaxis(padded, axis, 0)[at : at + noise.shape[axis]] for at in range(3))
        noise = np.moveaxis((s * first + middle + s * last) / np.sqrt(1 + 2 * s * s), 0, axis)
    mean = noise.mean(-1, keepdims=True)
    mixed = noise + common * (mean - noise)
    found: FloatArray = mixed / max(float(mixed.std()), 1e-3)
    return found


def added(rgb: UInt8Array, noise: FloatArray) -> UInt8Array:
    """A picture with noise, rounded to 8 bits."""
    return np.clip(np.rint(rgb + noise), 0, 255).astype(np.uint8)


@torch.no_grad()
def restored(nets: DenoisingNet, noisy: UInt8Array, strength: float, device: str) -> UInt8Array:
    """A picture (H, W, 3) after the network."""
    given = planes(whole_blocks(noisy, nets.unit).to(device))
    return picture_of(nets(given, _numbers(np.array([strength / 255])).to(device)), noisy.shape)
