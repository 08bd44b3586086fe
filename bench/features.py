"""Feature distances of whole pictures, for the tables on perceptual losses: needs torch and the loss networks' weights."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from dsncodec.errors import MissingComponent

from .common import UInt8Array

NETWORKS = ("vgg19", "squeezenet")

DEFINITION = """\
Feature distance: at each layer |f(a) - f(b)|^2 / |f(b)|^2 over the whole 8-bit RGB picture, f the feature maps after ReLU, b the original; mean over
layers. VGG-19 (normalised): relu1_2, relu2_2, relu3_1. SqueezeNet 1.1: fire3, fire5, fire9. Both networks are those of the loss
that trained, and the layers too: no third network judges here."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the loss networks are."""
    parser.add_argument(
        "--loss-networks", metavar="FOLDER",
        help="folder of the loss networks' weights (default: loss_network in the folder of image sets)",
    )  # fmt: skip


def measure(args: argparse.Namespace) -> Callable[[UInt8Array, UInt8Array], dict[str, float]]:
    """What measures the distances of a picture (H, W, 3) from its original: by "network.layer", and by network."""
    try:
        import torch

        from dsncodec.train.distance import FeatureDistance

        distance = FeatureDistance(args.loss_networks or f"{args.data}/loss_network")
    except ModuleNotFoundError as exc:
        raise SystemExit(f"feature distances need {exc.name}: pip install dsncodec[train]") from exc
    except MissingComponent as exc:
        raise SystemExit(f"{exc}; here: --loss-networks FOLDER") from exc

    def of(picture: UInt8Array, original: UInt8Array) -> dict[str, float]:
        a, b = (
            torch.from_numpy(np.ascontiguousarray(x)).permute(2, 0, 1)[None].float() / 255
            for x in (picture, original)
        )
        with torch.no_grad():
            found = {name: value.item() for name, value in distance.of_layers(a, b).items()}
        for network in NETWORKS:
            found[network] = float(np.mean([v for k, v in found.items() if k.startswith(f"{network}.")]))
        return found

    return of
