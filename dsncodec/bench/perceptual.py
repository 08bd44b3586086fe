"""LPIPS and DISTS: how far two pictures are apart by features of networks trained to name what they show.

Needs torch and safetensors. Weights do not ship: a folder has them, as `bench/README.md` says.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import MissingComponent, SettingError
from ..train.nets.loss_networks import _VGG16, VGG, LossNetwork

UInt8Array = NDArray[np.uint8]
Score = Callable[[UInt8Array], float]

_VGG16_STAGES = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
# mean and deviation of red, green and blue over the pictures that torchvision's networks learnt from
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# of the quotients of means and of variances
_DISTS_CONSTANT = 1e-6


class AlexNet(LossNetwork):
    """The five convolutions of AlexNet, each with its ReLU. Layers relu1 ... relu5.

    Source: Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014, as torchvision has it.
    """

    layers = ("relu1", "relu2", "relu3", "relu4", "relu5")

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 11, stride=4, padding=2)
        self.conv2 = nn.Conv2d(64, 192, 5, padding=2)
        self.conv3 = nn.Conv2d(192, 384, 3, padding=1)
        self.conv4 = nn.Conv2d(384, 256, 3, padding=1)
        self.conv5 = nn.Conv2d(256, 256, 3, padding=1)

    def prepared(self, x: Tensor) -> Tensor:
        mean, deviation = (x.new_tensor(values).view(3, 1, 1) for values in _IMAGENET)
        return (x - mean) / deviation

    def layer(self, name: str, x: Tensor) -> Tensor:
        if name in ("relu2", "relu3"):
            x = F.max_pool2d(x, 3, 2)
        return F.relu(self.get_submodule(name.replace("relu", "conv"))(x))


class BlurredVGG(VGG):
    """VGG-16 with root mean squares under a 3 x 3 Hann window in the place of maxima: no aliases.

    Source: Ding et al. 2020, section II.A, after Henaff and Simoncelli 2016.
    """

    def layer(self, name: str, x: Tensor) -> Tensor:
        if name.endswith("_1") and name != "relu1_1":
            tap = x.new_tensor([0.25, 0.5, 0.25])
            window = (tap[:, None] * tap).expand(x.shape[1], 1, 3, 3)
            x = (F.conv2d(x.square(), window, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()
        return F.relu(self.get_submodule(name.replace("relu", "conv"))(x))


class Lpips:
    """LPIPS v0.1 with AlexNet: 0 when equal, and the more the less alike two pictures look.

    At each of five layers, features of both pictures are scaled to length 1 over their channels; their squared differences are
    weighed by channel, summed, averaged over places, and summed over the layers.

    Source: Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", 2018, equation 1.
    """

    FILES = ("alexnet_fp16.safetensors", "lpips_linear_fp32.safetensors")

    def __init__(self, folder: str | Path) -> None:
        """Raises MissingComponent where a file of weights is absent, SettingError where one holds others."""
        network, linear = (_weights(folder, name) for name in self.FILES)
        self.network = _loaded(AlexNet(), network)
        self.linear = [linear[f"alexnet.{i}"].reshape(1, -1, 1, 1) for i in range(len(AlexNet.layers))]

    @torch.inference_mode()
    def of(self, reference: UInt8Array) -> Score:
        """What judges pictures beside this one; both (H, W, 3), sides of at least 31."""
        theirs = self._features(reference)

        @torch.inference_mode()
        def score(picture: UInt8Array) -> float:
            apart = zip(self.linear, theirs, self._features(picture))
            return float(sum(((a - b).square() * w).sum(1).mean() for w, a, b in apart))

        return score

    def _features(self, picture: UInt8Array) -> list[Tensor]:
        return [
            x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
            for x in self.network(_tensor(picture)).values()
        ]


class Dists:
    """DISTS: 0 when equal; tolerates texture that differs in its samples only.

    Means and covariances over the whole picture and over each channel of five stages of VGG-16 are compared as SSIM
    compares those of windows; texture (means) and structure (covariances) are weighed by channel.

    Source: Ding et al., "Image quality assessment: unifying structure and texture similarity", 2020, equations 5 to 7.
    Without the reduction to 256 pixels that the authors' script offers.
    """

    FILES = ("vgg16_fp16.safetensors", "dists_fp32.safetensors")

    def __init__(self, folder: str | Path) -> None:
        """Raises MissingComponent where a file of weights is absent, SettingError where one holds others."""
        network, weights = (_weights(folder, name) for name in self.FILES)
        self.network = _loaded(BlurredVGG(_VGG16, caffe=False), network)
        self.network.keep(_VGG16_STAGES)
        channels = [3, *(width for _, width in _VGG16)]
        alpha, beta = (weights[name].flatten() for name in ("alpha", "beta"))
        total = alpha.sum() + beta.sum()
        self.alpha, self.beta = (torch.split(w / total, channels) for w in (alpha, beta))

    @torch.inference_mode()
    def of(self, reference: UInt8Array) -> Score:
        """What judges pictures beside this one; both (H, W, 3), sides of at least 16."""
        theirs = self._features(reference)

        @torch.inference_mode()
        def score(picture: UInt8Array) -> float:
            alike = 0.0
            for alpha, beta, a, b in zip(self.alpha, self.beta, theirs, self._features(picture)):
                mean_a, mean_b = a.mean(1), b.mean(1)
                square_a, square_b = (
                    (x.square().mean(1) - m.square()) for x, m in ((a, mean_a), (b, mean_b))
                )
                both = (a * b).mean(1) - mean_a * mean_b
                texture = (2 * mean_a * mean_b + _DISTS_CONSTANT) / (
                    mean_a.square() + mean_b.square() + _DISTS_CONSTANT
                )
                structure = (2 * both + _DISTS_CONSTANT) / (square_a + square_b + _DISTS_CONSTANT)
                alike += float((alpha * texture + beta * structure).sum())
            return 1 - alike

        return score

    def _features(self, picture: UInt8Array) -> list[Tensor]:
        x = _tensor(picture)
        return [stage.flatten(2)[0] for stage in (x, *self.network(x).values())]


def _tensor(picture: UInt8Array) -> Tensor:
    planes = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
    return planes[None].float() / 255


def _weights(folder: str | Path, name: str) -> dict[str, Tensor]:
    path = Path(folder, name)
    if not path.is_file():
        raise MissingComponent(f"{name} is not in {folder}")
    try:
        return {key: value.float() for key, value in safetensors.torch.load_file(path).items()}
    except Exception as exc:  # a broken file raises whatever its first wrong byte leads to
        raise SettingError(f"{path} cannot be read: {exc}") from exc


def _loaded(network: LossNetwork, weights: dict[str, Tensor]) -> LossNetwork:
    network.keep(None)
    try:
        network.load_state_dict({key: weights[key] for key in network.state_dict()})
    except (KeyError, RuntimeError) as exc:
        raise SettingError(f"other weights than those of {type(network).__name__}: {exc}") from exc
    return network.requires_grad_(False).eval()
