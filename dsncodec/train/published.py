"""The published networks as torch modules again, to be trained further: read out of their ONNX files."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from .. import weights
from ..errors import SettingError
from .nets.sampling import SamplingConfig, SamplingNets


def weights_in(path: Path) -> dict[str, Tensor]:
    """The weights in an ONNX file of ours, by the names they had in torch."""
    graph = onnx.load(str(path)).graph
    return {entry.name: torch.from_numpy(numpy_helper.to_array(entry).copy()) for entry in graph.initializer}


def sampling_nets(config: SamplingConfig) -> SamplingNets:
    """The published networks of a scale.

    Raises:
        SettingError: no model has this scale, or its networks are of other widths.
        MissingComponent: a weight file is absent or was changed.
    """
    model = weights.for_scale(config.scale)
    nets = SamplingNets(config)
    for part, net in nets.named_children():
        try:
            net.load_state_dict(weights_in(weights.checked_path(model, part)))
        except RuntimeError as exc:
            raise SettingError(f"the networks of {model.name} are not of this shape: {config}") from exc
    return nets.eval()
