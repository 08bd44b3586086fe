"""Feature distances of whole pictures, for the tables on perceptual losses: needs torch and the loss networks' weights."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

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
        "--loss-networks",
        metavar="FOLDER",
        help="folder of the loss networks' weights (default: loss_network in the folder of image sets)",
    )


Measure = Callable[[UInt8Array, Mapping[str, UInt8Array]], dict[str, dict[str, float]]]


def measure(args: argparse.Namespace) -> Measure:
    """What measures how far pictures, by name, are from their original, (H, W, 3): by network, then by "network.layer"."""
    try:
        import torch

        from dsncodec.train.losses.perceptual import FeatureDistance, relative

        distance = FeatureDistance(args.loss_networks or f"{args.data}/loss_network")
    except ModuleNotFoundError as exc:
        raise SystemExit(f"feature distances need {exc.name}: pip install dsncodec[train]") from exc
    except MissingComponent as exc:
        raise SystemExit(f"{exc}; here: --loss-networks FOLDER") from exc

    def features(picture: UInt8Array) -> dict[str, torch.Tensor]:
        planes = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]
        return distance.features(planes.float() / 255)

    @torch.no_grad()
    def of(original: UInt8Array, pictures: Mapping[str, UInt8Array]) -> dict[str, dict[str, float]]:
        theirs, found = features(original), {}
        for name, picture in pictures.items():
            layers = {key: value.item() for key, value in relative(features(picture), theirs).items()}
            means = {
                network: float(np.mean([v for key, v in layers.items() if key.startswith(f"{network}.")]))
                for network in NETWORKS
            }
            found[name] = means | layers
        return found

    return of
