"""Loss networks of the real shapes with weights of no meaning, for tests of what uses them."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch

from dsncodec.train.nets import loss_networks


def write(folder: Path) -> Path:
    """The files that ``loss_networks.load`` looks for; returns the folder."""
    torch.manual_seed(0)
    vgg = loss_networks.VGG(loss_networks._VGG19_START, caffe=True)
    for name, network in (("vgg19", vgg), ("squeezenet", loss_networks.SqueezeNet())):
        safetensors.torch.save_file(network.state_dict(), folder / loss_networks.FILES[name])
    return folder
