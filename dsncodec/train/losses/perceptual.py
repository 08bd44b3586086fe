"""How far apart two pictures are to networks that were trained to recognise things."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..nets import loss_networks
from .losses import feature_loss

# What is compared, unless a recipe says otherwise: "network.layer"
LAYERS = (
    "vgg19.relu1_2",
    "vgg19.relu2_2",
    "vgg19.relu3_1",
    "squeezenet.fire3",
    "squeezenet.fire5",
    "squeezenet.fire9",
)


@dataclass(frozen=True)
class FeatureLossSettings:
    """What is minimised: ``feature_weight`` times the mean distance over ``layers``, ``statistics_weight`` times that of their
    ``local_statistics``, ``pixel_weight`` times the mean squared error on a scale of 1, and ``grid_weight`` times ``grid_loss``.
    ``loss_networks`` is the folder of the loss networks' weights.
    """

    loss_networks: str = "data/loss_network"
    layers: tuple[str, ...] = LAYERS
    feature_weight: float = 1.0
    statistics_weight: float = 0.0
    pixel_weight: float = 50.0
    grid_weight: float = 2000.0


class FeatureDistance:
    """Relative squared distances of feature maps: at each layer |f(a) - f(b)|^2 / |f(b)|^2, so 0 for equal pictures.

    Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", 2016, Eq. 2, divide by the
    number of features. Dividing by the wanted picture's own energy makes layers and networks of any scale comparable.
    """

    def __init__(self, folder: str | Path, layers: Sequence[str] = LAYERS) -> None:
        """Load the networks that ``layers``, each "network.layer", name.

        Raises:
            MissingComponent: the folder does not have their weights.
            SettingError: there is no such network, or it has no such layer.
        """
        named: dict[str, list[str]] = {}
        for text in layers:
            network, _, layer = text.partition(".")
            named.setdefault(network, []).append(layer)
        self.networks = {name: loss_networks.load(name, folder, wanted) for name, wanted in named.items()}
        for net in self.networks.values():
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(self, picture: Tensor) -> dict[str, Tensor]:
        """What the networks see in a picture (N, 3, H, W) of RGB in [0, 1], by "network.layer"."""
        found: dict[str, Tensor] = {}
        for name, net in self.networks.items():
            seen = net.to(picture.device)(picture)
            found |= {f"{name}.{layer}": maps for layer, maps in seen.items()}
        return found

    def of_layers(self, picture: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        """The distance at each layer, a scalar over all samples together; gradients flow to ``picture`` alone."""
        with torch.no_grad():
            theirs = self.features(wanted)
        return relative(self.features(picture), theirs)


def local_statistics(maps: Tensor, side: int = 8) -> Tensor:
    """Means and deviations of feature maps over squares of ``side`` x ``side`` places, half of a side apart: (N, C, h, w) to
    (N, 2 C, h', w'). Two textures of one kind agree in them, though not place by place; a smooth surface has no deviation.

    Source: after Qiu et al., "Wasserstein distortion: unifying fidelity and realism", 2023, with squares of one size.
    """
    window = min(side, *maps.shape[2:])
    with torch.autocast(maps.device.type, enabled=False):
        maps = maps.float()
        mean = F.avg_pool2d(maps, window, max(window // 2, 1))
        square = F.avg_pool2d(maps.square(), window, max(window // 2, 1))
        # the root of nothing has no slope
        return torch.cat([mean, ((square - mean.square()).clamp(min=0) + 1e-6).sqrt()], 1)


def grid_loss(made: Tensor, wanted: Tensor, period: int) -> Tensor:
    """The mean square of a pattern in the error that repeats every ``period`` pixels, alike over blocks of 8 x 8 periods.

    Sub-pixel convolutions can lay such a grid over flat regions, and loss networks prefer it to no texture at all.

    Args:
        made, wanted: (N, 3, H, W), sides multiples of ``period`` and at least that.
    """
    count, _, rows, columns = made.shape
    shape = (count, 3, period**2, rows // period, columns // period)
    error = F.pixel_unshuffle((made - wanted).float(), period).view(shape)
    pattern = (error - error.mean(2, keepdim=True)).flatten(1, 2)  # of each place in the period
    return F.avg_pool2d(pattern, min(8, *shape[3:])).square().mean()


def perceptual_loss(
    made: Tensor,
    wanted: Tensor,
    period: int,
    settings: FeatureLossSettings,
    distance: Callable[[], FeatureDistance],
) -> Tensor:
    """What ``settings`` say; the loss networks are asked for only where they count."""
    total = settings.pixel_weight * (made - wanted).square().mean()
    if settings.grid_weight:
        total = total + settings.grid_weight * grid_loss(made, wanted, period)
    if settings.feature_weight or settings.statistics_weight:
        with torch.no_grad():
            theirs = distance().features(wanted)
        ours = distance().features(made)
        for weight, of in (
            (settings.feature_weight, Tensor.float),
            (settings.statistics_weight, local_statistics),
        ):
            if weight:
                far = relative(
                    {name: of(maps) for name, maps in ours.items()},
                    {name: of(maps) for name, maps in theirs.items()},
                )
                total = total + weight * torch.stack(list(far.values())).mean()
    return total


def relative(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The distances between the features of two pictures, by layer: scalars, relative to the energy of ``theirs``."""
    energy = {name: maps.float().square().mean().clamp(min=1e-9) for name, maps in theirs.items()}
    return {name: feature_loss(maps, theirs[name]) / energy[name] for name, maps in ours.items()}
