"""CompressAI's pretrained image models, where that package and its weights are on this machine.

Nothing is downloaded: a model's qualities are those whose weights torch has kept from an earlier use.
"""

from __future__ import annotations

import struct
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import MissingComponent
from . import Codec, UInt8Array, require

MODELS = ("bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018-mean", "cheng2020-anchor")
MULTIPLE = 64  # what both sides are padded to
_HEADER = struct.Struct("<BHHHHB")  # quality, height, width, rows and columns of the latent, strings


def codecs() -> list[Codec]:
    """One setting is one trained quality."""
    zoo = require("compressai.zoo.image")
    require("torch").set_num_threads(1)
    version = f"compressai {metadata.version('compressai')}, torch {metadata.version('torch')}"
    found = []
    for name in MODELS:
        qualities = tuple(
            q for q in sorted(zoo.model_urls[name]["mse"]) if _weights_of(zoo, name, q).exists()
        )
        if qualities:
            found.append(
                Codec(
                    key=f"compressai-{name}",
                    label=name,
                    detail="CompressAI, trained for MSE, CPU",
                    kind="peer",
                    version=version,
                    settings=qualities,
                    step=1,
                    encode=partial(_encode, name),
                    decode=partial(_decode, name),
                )
            )
    if not found:
        raise MissingComponent(
            f"CompressAI's weights are not in {_cache()}; compressai.zoo.mbt2018_mean(quality=1, pretrained=True) "
            "and its like bring them"
        )
    return found


def _cache() -> Path:
    return Path(require("torch").hub.get_dir(), "checkpoints")


def _weights_of(zoo: Any, name: str, quality: int) -> Path:
    return _cache() / zoo.model_urls[name]["mse"][quality].rsplit("/", 1)[1]


@cache
def _model(name: str, quality: int) -> Any:
    zoo = require("compressai.zoo")
    model = getattr(zoo, name.replace("-", "_"))(
        quality=quality, metric="mse", pretrained=True, progress=False
    )
    model.eval()
    model.update()
    return model


def _encode(name: str, picture: UInt8Array, quality: float) -> bytes:
    """Our own container, as CompressAI's scripts have one each: 10 bytes, and 4 for each string."""
    torch = require("torch")
    height, width = picture.shape[:2]
    below, beside = -height % MULTIPLE, -width % MULTIPLE
    padded = np.pad(picture, ((0, below), (0, beside), (0, 0)), mode="edge")
    x = torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        coded = _model(name, int(quality)).compress(x)
    strings = [string for (string,) in coded["strings"]]
    parts = [_HEADER.pack(int(quality), height, width, *coded["shape"], len(strings))]
    return b"".join(parts + [struct.pack("<I", len(string)) + string for string in strings])


def _decode(name: str, data: bytes) -> UInt8Array:
    torch = require("torch")
    quality, height, width, rows, columns, count = _HEADER.unpack_from(data)
    strings, at = [], _HEADER.size
    for _ in range(count):
        (length,) = struct.unpack_from("<I", data, at)
        strings.append([data[at + 4 : at + 4 + length]])
        at += 4 + length
    with torch.inference_mode():
        x = _model(name, quality).decompress(strings, (rows, columns))["x_hat"]
    pixels = (x[0, :, :height, :width].clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    return np.ascontiguousarray(pixels.numpy())
