"""A checkpoint -> the ONNX files and the manifest row that inference uses."""

from __future__ import annotations

import hashlib
import io
import tomllib
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch

from .. import weights
from ..errors import SettingError
from .nets.sampling import SamplingConfig, SamplingNets, UpGradient


def load_nets(checkpoint: str | Path) -> tuple[SamplingNets, dict[str, Any]]:
    """The averaged networks of a checkpoint, and the checkpoint itself.

    Raises:
        SettingError: the file is missing or not a checkpoint of ours.
    """
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        nets = SamplingNets(SamplingConfig(**state["recipe"]["model"]))
        nets.load_state_dict(state["ema"])
    except OSError as exc:
        raise SettingError(f"checkpoint {checkpoint}: {exc}") from exc
    except Exception as exc:  # torch.load raises whatever the pickle's first wrong byte leads to
        raise SettingError(f"{checkpoint} is not a checkpoint of dsncodec") from exc
    return nets.eval(), state


def to_onnx(net: torch.nn.Module, inputs: tuple[torch.Tensor, ...], names: list[str]) -> bytes:
    """One network as an ONNX file, with free height and width and nothing else in it."""
    buffer: Any = io.BytesIO()
    axes = {name: {2: f"{name}_rows", 3: f"{name}_columns"} for name in [*names, "out"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter announces its own successor
        torch.onnx.export(
            net, inputs, buffer, input_names=names, output_names=["out"],
            dynamic_axes=axes, opset_version=17, dynamo=False,
        )  # fmt: skip
    model = onnx.load_from_string(buffer.getvalue())
    for node in model.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def export(checkpoint: str | Path, folder: str | Path, name: str | None = None) -> str:
    """Write the four networks of a checkpoint into ``folder`` and add their row to its manifest.

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
    step = nets.config.chroma_scale
    luma, chroma = torch.rand(1, 1, 4 * step, 4 * step), torch.rand(1, 2, 4 * step, 4 * step)
    small, smaller = torch.rand(1, 1, 8, 8), torch.rand(1, 2, 4, 4)
    graphs = {
        "down": to_onnx(nets.down, (luma,), ["luma"]),
        "up": to_onnx(nets.up, (small,), ["latent"]),
        "up_gradient": to_onnx(
            UpGradient(nets.up),
            (small, torch.rand(1, 1, 8 * nets.up.scale, 8 * nets.up.scale)),
            ["latent", "luma"],
        ),
        "chroma_down": to_onnx(nets.chroma_down, (chroma,), ["chroma"]),
        "chroma_up": to_onnx(nets.chroma_up, (smaller, luma), ["latent", "luma"]),
    }
    sha256 = {}
    for part, data in graphs.items():
        (folder / f"{name}-{part}.onnx").write_bytes(data)
        sha256[part] = hashlib.sha256(data).hexdigest()
    row = _row(name, state, sha256)
    manifest = folder / "manifest.toml"
    rows = _other_rows(manifest, name)
    manifest.write_text("\n".join([_HEAD, *sorted([*rows, row])]), "utf-8")
    return row


_HEAD = """\
# Published weights. Written by `dsncodec export`; the model card is README.md beside this file.
# wire_id: first 8 bytes of SHA-256 over the digests of the decoder's networks (up, chroma_up), as text.
"""


def _other_rows(manifest: Path, name: str) -> list[str]:
    if not manifest.exists():
        return []
    parts = manifest.read_text("utf-8").split("[[model]]")[1:]
    rows = ["[[model]]" + part.rstrip() + "\n" for part in parts]
    return [row for row in rows if tomllib.loads(row)["model"][0]["name"] != name]


def _row(name: str, state: dict[str, Any], sha256: dict[str, str]) -> str:
    model = state["recipe"]["model"]
    lines = [
        "[[model]]",
        f'name = "{name}"',
        f'wire_id = "{weights.wire_id_of(sha256).hex()}"',
        'architecture = "dsncodec.train.nets.sampling.SamplingNets"',
        "config = { " + ", ".join(f"{key} = {value}" for key, value in model.items()) + " }",
        f'recipe = "dsncodec/train/recipes/{state["recipe"]["name"]}.toml"',
        f"steps = {state['step']}",
        f"seconds = {round(state['seconds'])}",
        f"seed = {state['recipe']['optim']['seed']}",
        'licence = "Apache-2.0"',
        "[model.files]",
    ]
    lines += [f'{part} = {{ name = "{name}-{part}.onnx", sha256 = "{sha256[part]}" }}' for part in sha256]
    return "\n".join(lines) + "\n"
