"""Small pictures and a few tools that several test modules share."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray
from PIL import Image

from dsncodec import carriers, container
from dsncodec.methods.latentgrid import bitstream as grids
from dsncodec.methods.restored.bitstream import Parameters
from dsncodec.methods.sections import read_structure
from dsncodec.networks import registry
from dsncodec.options import CARRIERS

from .fuzz import mutations

UInt8Array = NDArray[np.uint8]

settings.register_profile("dsncodec", deadline=None, max_examples=25, derandomize=True, database=None)
settings.load_profile("dsncodec")

MODES = ("L", "LA", "RGB", "RGBA")
METHODS = ("dsn", "restored")  # that code any picture at once; "coconet" has tests of its own
CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


def flat(rows: int, columns: int, levels: int = 256) -> UInt8Array:
    """One value, the middle one."""
    return np.full((rows, columns), levels // 2, np.uint8)


def gradient(rows: int, columns: int, levels: int = 256) -> UInt8Array:
    """From 0 in the top left corner to levels-1 in the bottom right one."""
    ramp = np.add.outer(np.arange(rows), np.arange(columns)) / max(1, rows + columns - 2)
    return np.round(ramp * (levels - 1)).astype(np.uint8)


def noise(rows: int, columns: int, levels: int = 256) -> UInt8Array:
    """Every value equally often, in no order."""
    return np.random.default_rng(7).integers(0, levels, (rows, columns), np.uint8)


def carrier(method: str, name: str) -> dict[str, str]:
    """The setting that says what carries the picture of a method."""
    return {CARRIERS[method]: name}


PATTERNS: dict[str, Callable[..., UInt8Array]] = {
    "flat": flat,
    "gradient": gradient,
    "noise": noise,
}


def picture(mode: str, width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth colours with some grain: compressible as photographs are, and never twice the same row."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    planes = [
        128 + 90 * np.sin(x / rng.uniform(5, 15) + rng.uniform(0, 6)) * np.cos(y / rng.uniform(5, 15))
        for _ in range(CHANNELS[mode])
    ]
    values = np.stack(planes, -1) + rng.normal(0, 4, (height, width, CHANNELS[mode]))
    pixels = np.clip(values, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if mode == "L" else pixels)


@pytest.fixture
def init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[registry.Init]:
    """A published init of latent grids, of width 16: the zero init, with a middle grey and other taps."""
    lists = grids.zero_init(16)
    lists[grids.OFFSETS][-3:] = 2**15
    lists[grids.TAPS][:4] = 2**14
    content = np.concatenate(lists).astype("<i4").tobytes()
    sha256 = hashlib.sha256(content).hexdigest()
    wire_id = hashlib.sha256(sha256.encode("ascii")).digest()[:8]
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "start-x.bin").write_bytes(content)
    row = f"""[[start]]
name = "x"
wire_id = "{wire_id.hex()}"
width = 16
lambda = 0.01
licence = "Apache-2.0"
[start.files]
start = {{ name = "start-x.bin", sha256 = "{sha256}" }}
"""
    (tmp_path / "models" / "manifest.toml").write_text(row, "utf-8")
    monkeypatch.setattr(registry, "folder", lambda: tmp_path / "models")
    inits = registry.inits
    inits.cache_clear()
    yield inits()[0]
    inits.cache_clear()


def with_network(data: bytes, strength: int) -> bytes:
    """A file of method "restored" as if its encoder had found this strength best, in 64ths, with the first network
    there is for its base codec. The same file if there is none."""
    stream = io.BytesIO(data)
    header, sections, _ = read_structure(stream, None)
    payloads = dict(container.iter_payloads(stream, sections))
    networks = [row for row in registry.restorations() if row.base == carriers.base_name(payloads["BASE"])]
    if not networks:
        return data
    said = Parameters.unpack(payloads["PARM"])
    payloads["PARM"] = replace(said, strength=strength, model_id=networks[0].wire_id).pack()
    return container.pack(header, list(payloads.items()))


def packed_1(header: container.Header, sections: list[tuple[str, bytes]]) -> bytes:
    """A codestream of version 1, which releases before 0.2 wrote."""
    numbers = [
        next(key for key, name in table.items() if name == value)
        for table, value in ((container.METHODS, header.method), (container.MODES, header.mode))
    ]
    fixed = b"\x8eDSN\r\n\x1a\n" + struct.pack(
        "<BBBBIIH", 1, 0, *numbers, header.width, header.height, len(sections)
    )
    parts = [fixed, struct.pack("<I", zlib.crc32(fixed))]
    for tag, payload in sections:
        name = tag.encode("ascii")
        parts += [struct.pack("<4sII", name, len(payload), zlib.crc32(payload, zlib.crc32(name))), payload]
    return b"".join(parts)


def header_bytes(data: bytes) -> int:
    """Where the payloads of a codestream of version 2 begin."""
    stream = io.BytesIO(data)
    container.read_header(stream, None)
    return stream.tell()


def with_fixed_checksums(data: bytes) -> bytes:
    """The same codestream with every CRC-32 made right: what an attacker sends, where noise would not."""
    return mutations.with_right_checksums(data)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Put rows in the place of the published networks; gives the files that will be run, as they are run."""

    from dsncodec.methods.restored import codec

    from .restored import smoothed

    def put(*rows: registry.Restoration) -> list[str]:
        run: list[str] = []

        def network(path: Path, threads: int) -> Callable[..., Any]:
            run.append(path.name)
            return smoothed

        monkeypatch.setattr(registry, "restorations", lambda: rows)
        monkeypatch.setattr(registry, "checked_file", lambda row: Path(row.file))
        monkeypatch.setattr(codec, "network", network)
        return run

    return put
