"""Loss networks of the real shapes with weights of no meaning, for tests of what uses them."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch

from dsncodec.bench.perceptual import _VGG16, AlexNet, BlurredVGG
from dsncodec.train.nets import loss_networks


def write(folder: Path) -> Path:
    """The files that ``loss_networks.load`` looks for; returns the folder."""
    torch.manual_seed(0)
    networks = {
        "vgg19": loss_networks.VGG(loss_networks._VGG19_START, caffe=True),
        "vgg16": loss_networks.VGG(loss_networks._VGG16, caffe=False),
        "squeezenet": loss_networks.SqueezeNet(),
    }
    for name, network in networks.items():
        safetensors.torch.save_file(network.state_dict(), folder / loss_networks.FILES[name])
    return folder


def write_judges(folder: Path) -> Path:
    """The files of LPIPS and DISTS; returns the folder."""
    torch.manual_seed(0)
    _save(AlexNet(), folder / "alexnet_fp16.safetensors")
    _save(BlurredVGG(_VGG16, caffe=False), folder / "vgg16_fp16.safetensors")
    widths = (64, 192, 384, 256, 256)
    linear = {f"alexnet.{i}": torch.rand(width) for i, width in enumerate(widths)}
    safetensors.torch.save_file(linear, folder / "lpips_linear_fp32.safetensors")
    alpha_beta = {name: torch.rand(1475) for name in ("alpha", "beta")}
    safetensors.torch.save_file(alpha_beta, folder / "dists_fp32.safetensors")
    return folder


def _save(network: loss_networks.LossNetwork, path: Path) -> None:
    """Random weights, as the published files are laid out."""
    tensors = {key: value.half() for key, value in network.state_dict().items()}
    safetensors.torch.save_file(tensors, path)
