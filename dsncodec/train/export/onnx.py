"""A checkpoint -> the ONNX files and the manifest row that inference uses."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import onnx
import torch

from ...errors import SettingError
from ...networks import registry
from ..nets.denoising import DenoisingConfig, DenoisingNet
from ..nets.enhancement import EnhancementConfig, EnhancementNets
from ..nets.perceptual import PerceptualConfig, PerceptualNet
from ..nets.ppcn import SuperResolution, SuperResolutionConfig
from ..nets.restoration import RestorationConfig, RestorationNet
from ..nets.sampling import SamplingConfig, SamplingNets, UpGradient
from ..nets.style import StyleConfig, StyleNet
from . import layer_map, manifest, pretrained

# A recipe's task: (the class of its [model] table, the class of its networks)
NETS: dict[str, tuple[type[Any], type[torch.nn.Module]]] = {
    "sampling": (SamplingConfig, SamplingNets),
    "restoration": (RestorationConfig, RestorationNet),
    "visual": (RestorationConfig, RestorationNet),
    "look": (SamplingConfig, SamplingNets),
    "perceptual": (PerceptualConfig, PerceptualNet),
    "style": (StyleConfig, StyleNet),
    "super_resolution": (SuperResolutionConfig, SuperResolution),
    "denoising": (DenoisingConfig, DenoisingNet),
    "enhancement": (EnhancementConfig, EnhancementNets),
}


# what a restoration network is for, by the task that trained it, where its recipe does not say
TUNES = {"visual": "visual"}


def load_nets(checkpoint: str | Path) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The averaged networks of a checkpoint, and the checkpoint itself.

    Raises:
        SettingError: the file is missing or not a checkpoint of ours.
    """
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        config, network = NETS[state["recipe"].get("task", "sampling")]
        nets = network(config(**state["recipe"]["model"]))
        nets.load_state_dict(state["ema"])
    except OSError as exc:
        raise SettingError(f"checkpoint {checkpoint}: {exc}") from exc
    except Exception as exc:  # torch.load raises whatever the pickle's first wrong byte leads to
        raise SettingError(f"{checkpoint} is not a checkpoint of dsncodec") from exc
    return nets.eval(), state


def name_of(checkpoint: str | Path) -> str:
    """The name that a checkpoint's model has by default. Raises as ``load_nets``."""
    name: str = load_nets(checkpoint)[1]["recipe"]["name"]
    return name


def to_onnx(
    net: torch.nn.Module,
    inputs: tuple[torch.Tensor, ...],
    names: list[str],
    outputs: Sequence[str] = ("out",),
) -> bytes:
    """One network as an ONNX file, with free height and width of pictures in and of the first output, and nothing else in it."""
    buffer: Any = io.BytesIO()
    planes = [name for name, value in zip(names, inputs) if value[0, 0].numel() > 1]  # others are numbers
    axes = {name: {2: f"{name}_rows", 3: f"{name}_columns"} for name in [*planes, outputs[0]]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter announces its own successor
        torch.onnx.export(
            net,
            inputs,
            buffer,
            input_names=names,
            output_names=list(outputs),
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    for node in model.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def export(checkpoint: str | Path, folder: str | Path, name: str | None = None) -> str:
    """Write the networks of a checkpoint into ``folder`` and add their row to its manifest.

    Args:
        checkpoint: what ``dsncodec train`` wrote.
        folder: usually models/; made when it is not there. A row of the same name is replaced.
        name: of the model; default: the recipe's.
    Returns:
        The manifest row, as TOML.
    """
    nets, state = load_nets(checkpoint)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    name = name or state["recipe"]["name"]
    is_look = state["recipe"].get("task") == "look"
    if is_look:
        graphs = {"up": sampling_graphs(_of_published(nets))["up"]}
    elif isinstance(nets, SamplingNets):
        graphs = sampling_graphs(nets)
    elif isinstance(nets, RestorationNet):
        graphs = restoration_graphs(nets)
    else:
        graphs = picture_graphs(nets)
    sha256 = {}
    for part, data in graphs.items():
        (folder / f"{name}-{part}.onnx").write_bytes(data)
        sha256[part] = hashlib.sha256(data).hexdigest()
    if is_look:
        row = _look_row(name, state, sha256)
    elif isinstance(nets, SamplingNets):
        row = _model_row(name, state, sha256, _map_of(nets))
    elif isinstance(nets, RestorationNet):
        row = _restorer_row(name, state, sha256, nets.radius)
    else:
        row = _network_row(name, state, sha256, nets)
    manifest.add(folder, name, row)
    return row


def sampling_graphs(nets: SamplingNets) -> dict[str, bytes]:
    """The ONNX files of one scale, by part."""
    step = nets.config.chroma_scale
    luma, chroma = torch.rand(1, 1, 4 * step, 4 * step), torch.rand(1, 2, 4 * step, 4 * step)
    small, smaller = torch.rand(1, 1, 8, 8), torch.rand(1, 2, 4, 4)
    large = torch.rand(1, 1, 8 * nets.up.scale, 8 * nets.up.scale)
    return {
        "down": to_onnx(nets.down, (luma,), ["luma"]),
        "up": to_onnx(nets.up, (small,), ["latent"]),
        "up_gradient": to_onnx(UpGradient(nets.up), (small, large), ["latent", "luma"]),
        "chroma_down": to_onnx(nets.chroma_down, (chroma,), ["chroma"]),
        "chroma_up": to_onnx(nets.chroma_up, (smaller, luma), ["latent", "luma"]),
    }


def _of_published(nets: Any) -> SamplingNets:
    """Networks of a look, after the rest of them was compared with the model that it will be a look of.

    Raises:
        SettingError: they are another model's.
    """
    theirs = pretrained.sampling_nets(nets.config).state_dict()
    kept = {key: value for key, value in nets.state_dict().items() if not key.startswith("up.")}
    if not all(torch.equal(value, theirs[key]) for key, value in kept.items()):
        name = registry.for_scale(nets.config.scale).name
        raise SettingError(f"the look was trained for other networks than those of {name}: train it again")
    return cast(SamplingNets, nets)


def restoration_graphs(net: RestorationNet) -> dict[str, bytes]:
    """The one ONNX file of a restoration network: inputs picture, quality and rmse, see its class. It puts out the restored
    picture, (N, 3, H, W), or several corrections one behind the other, (N, 3 * hypotheses, H, W)."""
    picture = torch.rand(1, 3, 8 * net.config.block, 8 * net.config.block)
    quality, rmse = torch.full((1, 1, 1, 1), 0.5), torch.full((1, 1, 1, 1), 0.02)
    inputs, names = [picture, quality, rmse], ["picture", "quality", "rmse"]
    graph = _Method(net, "stacked_corrections") if net.config.hypotheses > 1 else net
    return {"restore": to_onnx(graph, tuple(inputs), names)}


def picture_graphs(net: Any) -> dict[str, bytes]:
    """The ONNX files of a network from pictures to pictures, values 0 to 1; see ``registry.ImageNetwork``.

    One, or two of a network with ``moments``: those, and what is local once they are known. A network with ``statistics`` takes them, and
    a share of them to use, and gives them as a second output.
    """
    side = 16 * net.unit
    picture = torch.rand(1, 3, side, side)
    if isinstance(net, StyleNet):
        given, share = torch.rand(1, net.statistics, 1, 1) + 0.5, torch.full((1, 1, 1, 1), 0.5)
        inputs, names = (picture, given, share), ["picture", "statistics", "share"]
        return {"net": to_onnx(_Method(net, "with_statistics"), inputs, names, ("out", "found"))}
    if isinstance(net, DenoisingNet):
        return {"net": to_onnx(net, (picture, torch.full((1, 1, 1, 1), 0.1)), ["picture", "sigma"])}
    if not hasattr(net, "moments"):
        return {"net": to_onnx(net, (picture,), ["picture"])}
    with torch.no_grad():
        moments = net.moments(picture)
    return {
        "net": to_onnx(_Method(net, "with_moments"), (picture, moments), ["picture", "moments"]),
        "moments": to_onnx(_Method(net, "moments"), (picture,), ["picture"]),
    }


class _Method(torch.nn.Module):
    """A network's other method in the place of ``forward``."""

    def __init__(self, net: torch.nn.Module, name: str) -> None:
        super().__init__()
        self.net, self.name = net, name

    def forward(self, *planes: torch.Tensor) -> Any:
        return getattr(self.net, self.name)(*planes)


def _map_of(nets: SamplingNets) -> registry.LayerMap:
    """The colours that the networks' latents stand for."""

    def of(net: torch.nn.Module) -> layer_map.Network:
        @torch.no_grad()
        def run(planes: layer_map.FloatArray) -> layer_map.FloatArray:
            latent: layer_map.FloatArray = net(torch.from_numpy(planes)[None])[0].numpy()
            return latent

        return run

    return layer_map.layer_map(of(nets.down), of(nets.chroma_down), nets.config.scale)


def _model_row(name: str, state: dict[str, Any], sha256: dict[str, str], colours: registry.LayerMap) -> str:
    about = [f'wire_id = "{registry.wire_id_of(sha256).hex()}"', *layer_map.rows(colours)]
    return _row("model", SamplingNets, name, state, sha256, about)


def _look_row(name: str, state: dict[str, Any], sha256: dict[str, str]) -> str:
    model = registry.for_scale(state["recipe"]["model"]["scale"])
    about = [f'look = "{name.rsplit("-", 1)[1]}"', f'of = "{model.wire_id.hex()}"']
    return _row("look", SamplingNets, name, state, sha256, about)


def _restorer_row(name: str, state: dict[str, Any], sha256: dict[str, str], radius: int) -> str:
    wire_id = hashlib.sha256(sha256["restore"].encode("ascii")).digest()[:8]
    about = [
        f'wire_id = "{wire_id.hex()}"',
        f'codec = "{state["recipe"]["data"]["codec"]}"',
        f'tune = "{state["recipe"].get("tune") or TUNES.get(state["recipe"]["task"], "psnr")}"',
        f"scale = {state['recipe']['data'].get('scale', 1)}",
        f"radius = {radius}",
    ]
    return _row("restorer", RestorationNet, name, state, sha256, about)


def _network_row(name: str, state: dict[str, Any], sha256: dict[str, str], net: Any) -> str:
    kind, variant = name.rsplit("-", 1)
    about = [f'kind = "{kind}"', f'variant = "{variant}"', f"scale = {net.scale}", f"unit = {net.unit}"]
    about.append(f"radius = {net.radius}")
    if isinstance(net, StyleNet):
        about.append(f"statistics = {net.statistics}")
    return _row("network", type(net), name, state, sha256, about)


def _row(
    kind: str, nets: type, name: str, state: dict[str, Any], sha256: dict[str, str], about: list[str]
) -> str:
    model = state["recipe"]["model"]
    lines = [
        f"[[{kind}]]",
        f'name = "{name}"',
        *about,
        f'architecture = "{nets.__module__}.{nets.__name__}"',
        "config = { " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in model.items()) + " }",
        f'recipe = "dsncodec/train/recipes/{state["recipe"]["name"]}.toml"',
        f"steps = {state['step']}",
        f"seconds = {round(state['seconds'])}",
        f"seed = {state['recipe']['optim']['seed']}",
        'licence = "Apache-2.0"',
        f"[{kind}.files]",
    ]
    lines += [f'{part} = {{ name = "{name}-{part}.onnx", sha256 = "{sha256[part]}" }}' for part in sha256]
    return "\n".join(lines) + "\n"
