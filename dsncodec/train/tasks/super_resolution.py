"""Training networks that enlarge pictures: what was shrunk, towards its original."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ...errors import SettingError
from ...metrics import luma, psnr_db
from ..data.images import PackedImages
from ..losses.losses import pixel_loss, ssim_loss
from ..nets.ppcn import SCALE, SuperResolution, SuperResolutionConfig
from ..recipe import Recipe
from ..trainer import Batch, picture_of, planes

UInt8Array = NDArray[np.uint8]


@dataclass(frozen=True)
class PairDataSettings:
    """Where the pictures are, and what is cut out of them; ``patch`` counts pixels of the small picture."""

    train: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    patch: int = 24
    batch: int = 16
    micro_batch: int = 4


@dataclass(frozen=True)
class PixelAndSsimSettings:
    """255 * MAE + ``ssim_weight`` * (1 - SSIM), PPCN Eq. 6; from ``l2_from`` of the budget on the squared error alone."""

    ssim_weight: float = 25.0
    l2_from: float = 1.0


@dataclass(frozen=True)
class SuperResolutionRecipe(Recipe):
    """One network that enlarges four times."""

    task: str = "super_resolution"
    model: SuperResolutionConfig = field(default_factory=SuperResolutionConfig)
    data: PairDataSettings = field(default_factory=PairDataSettings)
    loss: PixelAndSsimSettings = field(default_factory=PixelAndSsimSettings)


def shrunk(rgb: UInt8Array, scale: int) -> UInt8Array:
    """A picture (H, W, 3), sides multiples of ``scale``, made smaller as the literature does: bicubic, antialiased, 8 bits."""
    size = (rgb.shape[1] // scale, rgb.shape[0] // scale)
    planes = [
        np.asarray(Image.fromarray(rgb[..., i].astype(np.float32)).resize(size, Image.Resampling.BICUBIC))
        for i in range(3)
    ]
    return np.clip(np.stack(planes, -1) + 0.5, 0, 255).astype(np.uint8)


class ShrunkPairs:
    """Pictures, cropped to whole multiples of ``scale``, and the same shrunk by it."""

    def __init__(self, originals: PackedImages, scale: int) -> None:
        self.scale = scale
        large = [originals[i] for i in range(len(originals))]
        large = [image[: len(image) // scale * scale, : image.shape[1] // scale * scale] for image in large]
        self.large = _packed(large)
        self.small = _packed([shrunk(image, scale) for image in large])

    @classmethod
    def read(cls, folders: tuple[str | Path, ...], scale: int) -> ShrunkPairs:
        """From what ``PackedImages.read`` reads."""
        return cls(PackedImages.read(folders), scale)

    def __len__(self) -> int:
        return len(self.large)

    def patches(self, rng: np.random.Generator, count: int, size: int) -> tuple[UInt8Array, UInt8Array]:
        """Random patches of one place, turned and mirrored alike.

        Returns:
            Small ones (count, size, size, 3) and large ones (count, size * scale, size * scale, 3).
        """
        scale, large, small = self.scale, self.large, self.small
        drawn, rows = large.places(rng, count, size * scale, scale)
        one_each = rows[:, ::scale, ::scale] - large.offsets[drawn][:, None, None]  # a pixel of every block
        y, x = np.divmod(one_each, large.sizes[drawn, 1][:, None, None])
        places = (
            small.offsets[drawn][:, None, None]
            + y // scale * small.sizes[drawn, 1][:, None, None]
            + x // scale
        )
        return small.pixels[places], large.pixels[rows]

    def batch(self, rng: np.random.Generator, data: PairDataSettings) -> Batch:
        """``patches`` as tensors, of the number and size that the settings say."""
        small, large = self.patches(rng, data.batch, data.patch)
        return torch.from_numpy(small), torch.from_numpy(large)


def _packed(images: list[UInt8Array]) -> PackedImages:
    sizes = np.array([image.shape[:2] for image in images], np.int64)
    return PackedImages(np.concatenate([image.reshape(-1, 3) for image in images]), sizes)


@torch.no_grad()
def luma_psnr_db(net: torch.nn.Module, pairs: ShrunkPairs, device: str) -> float:
    """Mean PSNR of luma over the pairs, what the network makes rounded to 8 bits."""
    scores = []
    for i in range(len(pairs)):
        made = net(planes(torch.from_numpy(pairs.small[i])[None].to(device)))
        rgb = picture_of(made, pairs.large[i].shape)
        scores.append(psnr_db(luma(pairs.large[i]), luma(rgb)))
    return float(np.mean(scores))


class SuperResolutionTask:
    """What the trainer asks for, of PPCN's network: see ``trainer.Task``."""

    def __init__(self, recipe: SuperResolutionRecipe) -> None:
        least = 3  # 12 large pixels: SSIM's window is 11
        if recipe.data.patch < least:
            raise SettingError(
                f"recipe {recipe.name}: patch must be at least {least}, not {recipe.data.patch}"
            )
        self.recipe = recipe
        self.micro_batch = recipe.data.micro_batch

    @functools.cached_property
    def pairs(self) -> ShrunkPairs:
        return ShrunkPairs.read(self.recipe.data.train, SCALE)

    @functools.cached_property
    def held_out(self) -> ShrunkPairs | None:
        folders = self.recipe.data.held_out
        return ShrunkPairs.read(folders, SCALE) if folders else None

    def networks(self) -> SuperResolution:
        return SuperResolution(self.recipe.model)

    def load_from(self, nets: SuperResolution, weights: dict[str, Tensor]) -> None:
        """Weights of a network of the same shape."""
        nets.load_state_dict(weights)

    def batch(self, rng: np.random.Generator) -> Batch:
        """Small and large patches, (N, size, size, 3) and (N, 4 * size, 4 * size, 3) uint8."""
        return self.pairs.batch(rng, self.recipe.data)

    def loss(self, nets: SuperResolution, batch: Batch, progress: float) -> Tensor:
        loss, wanted = self.recipe.loss, planes(batch[1])
        made = nets(planes(batch[0])).float()
        if progress >= loss.l2_from:  # over 0.04, a typical MAE: gradients of about one size
            return 255 * (made - wanted).square().mean() / 0.04
        total = 255 * pixel_loss(made, wanted)
        return total + loss.ssim_weight * ssim_loss(made, wanted) if loss.ssim_weight else total

    def evaluate(self, nets: SuperResolution, device: str) -> dict[str, float]:
        """Mean luma PSNR over the held-out pictures."""
        return {} if self.held_out is None else {"luma_psnr_db": luma_psnr_db(nets, self.held_out, device)}
