"""The published networks as torch modules again, to be trained further: read out of their ONNX files."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from ...errors import SettingError
from ...networks import registry
from ..nets.sampling import SamplingConfig, SamplingNets


def weights_in(path: Path) -> dict[str, Tensor]:
    """The weights in an ONNX file of ours, by the names they had in torch."""
    graph = onnx.load(str(path)).graph
    return {entry.name: torch.from_numpy(numpy_helper.to_array(entry).copy()) for entry in graph.initializer}


def weights_of(name: str) -> dict[str, Tensor]:
    """The weights of a published network by name, as its training knows them.

    Raises:
        SettingError: no network has this name.
        MissingComponent: a weight file is absent or was changed.
    """
    for model in registry.manifest():
        if model.name == name:
            parts = [part for part in registry.PARTS if part != "up_gradient"]
            found = {part: weights_in(registry.checked_path(model, part)) for part in parts}
            return {f"{part}.{key}": value for part, of in found.items() for key, value in of.items()}
    single: list[registry.Restoration | registry.ImageNetwork] = [
        *registry.restorations(),
        *registry.image_networks(),
    ]
    for row in single:
        if row.name == name:
            return weights_in(registry.checked_file(row))
    known = ", ".join(row.name for row in [*registry.manifest(), *single])
    raise SettingError(f"no published network is called {name!r}; there are {known}")


def sampling_nets(config: SamplingConfig) -> SamplingNets:
    """The published networks of a scale.

    Raises:
        SettingError: no model has this scale, or its networks are of other widths.
        MissingComponent: a weight file is absent or was changed.
    """
    model = registry.for_scale(config.scale)
    nets = SamplingNets(config)
    for part, net in nets.named_children():
        try:
            net.load_state_dict(weights_in(registry.checked_path(model, part)))
        except RuntimeError as exc:
            raise SettingError(f"the networks of {model.name} are not of this shape: {config}") from exc
    return nets.eval()
