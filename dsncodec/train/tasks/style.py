"""Training style transfer: photographs that shall look as if painted like one picture.

Source: Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", 2016, sections 3.2 and 4.1.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from ...errors import SettingError
from ..data.images import PackedImages
from ..losses.losses import feature_loss, total_variation
from ..nets.loss_networks import load
from ..nets.style import StyleConfig, StyleNet
from ..recipe import Recipe
from ..trainer import Batch, planes

UInt8Array = NDArray[np.uint8]


@dataclass(frozen=True)
class StyleLossSettings:
    """What a stylised picture is judged by: layers named relu... are of ``vgg``, the others of SqueezeNet.

    The layers are the paper's: content from relu2_2, style from relu1_2, relu2_2, relu3_3 and relu4_3 of VGG-16.
    """

    loss_networks: str = "data/loss_network"
    vgg: str = "vgg16"
    content: str = "relu2_2"
    style: tuple[str, ...] = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
    content_weight: float = 1.0
    style_weight: float = 100.0
    variation_weight: float = 1.0


@dataclass(frozen=True)
class StyleDataSettings:
    """The style, and the photographs the network learns it on.

    ``style`` is a picture, shrunk so that its shorter side has ``style_side`` pixels: larger sides make larger strokes.
    """

    style: str = ""
    style_side: int = 256
    train: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    judged: int = 8  # of the held-out pictures
    patch: int = 192
    batch: int = 1
    micro_batch: int = 1


@dataclass(frozen=True)
class StyleRecipe(Recipe):
    """One network, for one style."""

    task: str = "style"
    model: StyleConfig = field(default_factory=StyleConfig)
    data: StyleDataSettings = field(default_factory=StyleDataSettings)
    loss: StyleLossSettings = field(default_factory=StyleLossSettings)


class StyleLoss(nn.Module):
    """The total loss of a stylised picture (Johnson Eq. 5): content, style and total variation, weighted.

    A layer's style loss is relative: its Gram matrices' squared distance over the squared length of the style's own.
    Layers differ in their scale by orders of magnitude, and so count alike.

    Args:
        style: (H, W, 3) uint8, at the size its strokes shall have.
    """

    def __init__(self, settings: StyleLossSettings, style: UInt8Array) -> None:
        super().__init__()
        self.settings = settings
        folder, vgg = settings.loss_networks, settings.vgg
        layers: dict[str, list[str]] = {}
        for name in dict.fromkeys((settings.content, *settings.style)):
            layers.setdefault(vgg if name.startswith("relu") else "squeezenet", []).append(name)
        self.networks = nn.ModuleList(load(name, folder, wanted) for name, wanted in layers.items())
        self.reader = load(
            vgg if settings.content.startswith("relu") else "squeezenet", folder, [settings.content]
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        features = self.features(planes(torch.from_numpy(style[None])))
        for name in settings.style:
            self.register_buffer(f"gram_{name}", gram(features[name]), persistent=False)

    @torch.no_grad()
    def content(self, pictures: Tensor) -> Tensor:
        """What of the photographs (N, 3, H, W) shall be kept."""
        found: Tensor = self.reader(pictures)[self.settings.content]
        return found

    def features(self, pictures: Tensor) -> dict[str, Tensor]:
        """Every layer that is looked at."""
        return {name: value for network in self.networks for name, value in network(pictures).items()}

    def parts(self, made: Tensor, content: Tensor) -> dict[str, Tensor]:
        """The weighted losses of stylised pictures (N, 3, H, W), whose sum is the total."""
        features, settings = self.features(made), self.settings
        style = [
            (gram(features[name]) - wanted).square().sum((1, 2)).mean() / wanted.square().sum()
            for name, wanted in ((name, self.get_buffer(f"gram_{name}")) for name in settings.style)
        ]
        return {
            "content": settings.content_weight * feature_loss(features[settings.content], content),
            "style": settings.style_weight * torch.stack(style).mean(),
            "variation": settings.variation_weight * total_variation(made),
        }

    def forward(self, made: Tensor, content: Tensor) -> Tensor:
        return torch.stack(list(self.parts(made, content).values())).sum()


def gram(features: Tensor) -> Tensor:
    """``losses.gram``, but in bf16 under autocast: its rounding is far below the distances, at half the time of a step."""
    flat = features.flatten(2)  # (N, C, h*w)
    products = flat @ flat.mT
    return (products.float() if products.dtype == torch.bfloat16 else products) / flat[0].numel()


def read_style(path: str | Path, side: int) -> UInt8Array:
    """The style picture, its shorter side ``side`` pixels, as (H, W, 3).

    Raises:
        SettingError: it cannot be read.
    """
    try:
        with Image.open(path) as opened:
            return with_side(np.asarray(opened.convert("RGB")), side)
    except OSError as exc:
        raise SettingError(f"the style picture {path} cannot be read: {exc}") from exc


def with_side(rgb: UInt8Array, side: int) -> UInt8Array:
    """A picture (H, W, 3) resampled so that its shorter side has ``side`` pixels."""
    image = Image.fromarray(rgb)
    factor = side / min(image.size)
    size = round(image.width * factor), round(image.height * factor)
    return np.array(image.resize(size, Image.Resampling.LANCZOS))


class StyleTask:
    """What the trainer asks for, of a transformation network: see ``trainer.Task``."""

    def __init__(self, recipe: StyleRecipe) -> None:
        data = recipe.data
        if data.patch < 1 or data.patch % StyleNet.unit:
            raise SettingError(
                f"recipe {recipe.name}: patch must be a multiple of {StyleNet.unit}, not {data.patch}"
            )
        if not data.style:
            raise SettingError(f"recipe {recipe.name}: data.style must name a picture")
        self.recipe = recipe
        self.micro_batch = data.micro_batch

    @functools.cached_property
    def images(self) -> PackedImages:
        return PackedImages.read(self.recipe.data.train)

    @functools.cached_property
    def held_out(self) -> PackedImages | None:
        data = self.recipe.data
        return PackedImages.read(data.held_out, data.judged) if data.held_out else None

    @functools.cached_property
    def criterion(self) -> StyleLoss:
        data = self.recipe.data
        return StyleLoss(self.recipe.loss, read_style(data.style, data.style_side))

    def networks(self) -> StyleNet:
        return StyleNet(self.recipe.model)

    def load_from(self, nets: StyleNet, weights: dict[str, Tensor]) -> None:
        """Weights of another style: layers next to the picture differ little between styles."""
        nets.load_state_dict(weights)

    def batch(self, rng: np.random.Generator) -> Batch:
        """Patches of photographs, (N, size, size, 3) uint8."""
        data = self.recipe.data
        return (torch.from_numpy(self.images.patches(rng, data.batch, data.patch)),)

    def loss(self, nets: StyleNet, batch: Batch, progress: float) -> Tensor:
        pictures = planes(batch[0])
        criterion = self.criterion.to(pictures.device)
        total: Tensor = criterion(nets(pictures), criterion.content(pictures))
        return total

    @torch.no_grad()
    def evaluate(self, nets: StyleNet, device: str) -> dict[str, float]:
        """The mean total loss of the held-out pictures, and its parts."""
        if self.held_out is None:
            return {}
        criterion = self.criterion.to(device)
        found = []
        for i in range(len(self.held_out)):
            rgb = self.held_out[i]
            rows, columns = (side // StyleNet.unit * StyleNet.unit for side in rgb.shape[:2])
            picture = planes(torch.from_numpy(rgb[None, :rows, :columns])).to(device)
            parts = criterion.parts(nets(picture).clamp(0, 1), criterion.content(picture))
            found.append({name: float(value) for name, value in parts.items()})
        means = {name: sum(parts[name] for parts in found) / len(found) for name in found[0]}
        return {"total": sum(means.values()), **means}
