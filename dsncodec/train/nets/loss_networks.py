"""Loss networks: frozen classifiers whose features say how alike two pictures look.

Their weights are for training only: they are not part of dsncodec and nothing here fetches them. Where a paper takes a
deeper layer of VGG than a folder has, its recipe says which layer stands in.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import MissingComponent, SettingError

# Convolutions between the poolings of VGG (Simonyan and Zisserman 2015, Table 1, D and E): (how many, channels)
_VGG16 = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
_VGG19 = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))
_VGG19_START = ((2, 64), (2, 128), (1, 256))


class LossNetwork(nn.Module):
    """Pictures (N, 3, H, W) in [0, 1], RGB, to named feature maps after their ReLU, {name: (N, C, h, w)}.

    Only the ``wanted`` layers are returned, and nothing beyond the last of them is computed; by default all.
    """

    layers: tuple[str, ...]  # in the order they are computed
    wanted: tuple[str, ...]

    def keep(self, wanted: Iterable[str] | None) -> None:
        """Choose the layers.

        Raises:
            SettingError: there is no such layer; the message lists those there are.
        """
        self.wanted = self.layers if wanted is None else tuple(wanted)
        if not self.wanted or not set(self.wanted) <= set(self.layers):
            raise SettingError(f"layers {list(self.wanted)}: some of {', '.join(self.layers)}")

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        last = max(self.layers.index(name) for name in self.wanted)
        found, x = {}, self.prepared(x)
        for name in self.layers[: last + 1]:
            x = self.layer(name, x)
            if name in self.wanted:
                found[name] = x
        return found

    def prepared(self, x: Tensor) -> Tensor:
        """The picture on the scale that the network was trained on."""
        raise NotImplementedError

    def layer(self, name: str, x: Tensor) -> Tensor:
        """One layer, with the pooling before it where there is one."""
        raise NotImplementedError


class VGG(LossNetwork):
    """VGG: 3 x 3 convolutions with ReLU, 2 x 2 maxima between the groups. Layers relu1_1, relu1_2, relu2_1, ...

    Source: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015.
    ``caffe``: BGR from 0 to 255 less its mean and padding by reflection, as the normalised VGG-19 of Gatys et al. in the
    conversion that AdaIN and WCT use; otherwise torchvision's: RGB by mean and deviation, padding by zeros.
    """

    def __init__(self, groups: tuple[tuple[int, int], ...], caffe: bool) -> None:
        super().__init__()
        self.caffe = caffe
        channels, names = 3, []
        for i, (count, width) in enumerate(groups, 1):
            for j in range(1, count + 1):
                self.add_module(
                    f"conv{i}_{j}",
                    nn.Conv2d(channels, width, 3, padding=1, padding_mode="reflect" if caffe else "zeros"),
                )
                names.append(f"relu{i}_{j}")
                channels = width
        self.layers = tuple(names)

    def prepared(self, x: Tensor) -> Tensor:
        if self.caffe:
            return x.flip(1) * 255 - x.new_tensor([103.939, 116.779, 123.68]).view(3, 1, 1)
        return (x - x.new_tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / x.new_tensor(
            [0.229, 0.224, 0.225]
        ).view(3, 1, 1)

    def layer(self, name: str, x: Tensor) -> Tensor:
        if name.endswith("_1") and name != "relu1_1":
            x = F.max_pool2d(x, 2)
        return F.relu(self.get_submodule(name.replace("relu", "conv"))(x))


class Fire(nn.Module):
    """Few channels by 1 x 1, then many by 1 x 1 beside many by 3 x 3."""

    def __init__(self, c_in: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(c_in, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze1x1(x))
        return F.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], 1))


class SqueezeNet(LossNetwork):
    """SqueezeNet 1.1 up to its last fire module. Layers conv1, fire2 ... fire9.

    Source: Iandola et al., "SqueezeNet", 2016; version 1.1 and the weights of its repository: no padding in conv1, input
    BGR from 0 to 255 less its mean.
    """

    layers = ("conv1", "fire2", "fire3", "fire4", "fire5", "fire6", "fire7", "fire8", "fire9")

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, stride=2)
        self.fire2, self.fire3 = Fire(64, 16, 64), Fire(128, 16, 64)
        self.fire4, self.fire5 = Fire(128, 32, 128), Fire(256, 32, 128)
        self.fire6, self.fire7 = Fire(256, 48, 192), Fire(384, 48, 192)
        self.fire8, self.fire9 = Fire(384, 64, 256), Fire(512, 64, 256)

    def prepared(self, x: Tensor) -> Tensor:
        return x.flip(1) * 255 - x.new_tensor([104.0, 117.0, 123.0]).view(3, 1, 1)

    def layer(self, name: str, x: Tensor) -> Tensor:
        if name in ("fire2", "fire4", "fire6"):
            x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        x = self.get_submodule(name)(x)
        return F.relu(x) if name == "conv1" else x


# name: the file of its weights, and torchvision's own where it has them
FILES = {
    "vgg19": "vgg19_normalised_to_conv3_1_fp32.safetensors",
    "squeezenet": "squeezenet1_1_fp16.safetensors",
    "vgg16": "vgg16_fp16.safetensors",
    "vgg19-full": "vgg19_fp16.safetensors",
}
TORCHVISION = {"vgg16": "vgg16-397923af.pth", "vgg19-full": "vgg19-dcbb9e9d.pth"}


def load(name: str, folder: str | Path, layers: Iterable[str] | None = None) -> LossNetwork:
    """A loss network, frozen.

    Args:
        name: "vgg19", normalised, up to relu3_1; "squeezenet"; or torchvision's "vgg16" and "vgg19-full", as
            safetensors, or as torchvision has them, which are looked for in torch's own cache too.
        folder: where the weight files are.
        layers: which feature maps to return, as ``LossNetwork`` says; by default all.
    Raises:
        SettingError: an unknown network or layer, or a file with other weights.
        MissingComponent: there is no such file.
    """
    if name not in FILES:
        raise SettingError(f"loss network {name!r}: one of {', '.join(FILES)}")
    network: LossNetwork
    if name == "squeezenet":
        network = SqueezeNet()
    elif name == "vgg19":
        network = VGG(_VGG19_START, caffe=True)
    else:
        network = VGG(_VGG16 if name == "vgg16" else _VGG19, caffe=False)
    network.keep(layers)
    path = _found(name, Path(folder))
    try:
        if path.suffix == ".pth":  # torchvision's: the same layers in the same order, under numbers
            theirs = torch.load(path, map_location="cpu", weights_only=True)
            features = [value for key, value in theirs.items() if key.startswith("features.")]
            weights = dict(zip(network.state_dict(), features, strict=True))
        else:
            weights = safetensors.torch.load_file(path)
            weights = {key: weights[key].float() for key in network.state_dict()}
        network.load_state_dict(weights)
    except Exception as exc:  # a broken file raises whatever its first wrong byte leads to
        raise SettingError(f"{path} does not hold the weights of {name}: {exc}") from exc
    return network.requires_grad_(False).eval()


def _found(name: str, folder: Path) -> Path:
    places = [folder / FILES[name]]
    if name in TORCHVISION:
        places += [folder / TORCHVISION[name], Path(torch.hub.get_dir()) / "checkpoints" / TORCHVISION[name]]
    for place in places:
        if place.is_file():
            return place
    advice = "set the recipe's loss_networks to the folder that has it"
    if name in TORCHVISION:
        model = name.removesuffix("-full")
        advice += f", or let torchvision fetch its own: torchvision.models.{model}(weights='IMAGENET1K_V1')"
    raise MissingComponent(f"loss network {name} needs {FILES[name]}, which is not in {folder}: {advice}")
