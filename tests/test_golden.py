"""Files of each release still decode: symbols exactly, pixels within the tolerance of docs/format.md."""

from __future__ import annotations

import hashlib
import io
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dsncodec
from dsncodec import container
from dsncodec.api import read_structure
from dsncodec.backends import BACKENDS, BASE_CODECS
from dsncodec.codecs import METHODS
from dsncodec.codecs.layer import read_layer

GOLDEN = Path(__file__).parent / "golden"
ROWS = tomllib.loads((GOLDEN / "golden.toml").read_text("utf-8"))["file"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["name"]))
def test_a_golden_file(row: dict[str, str]) -> None:
    data = (GOLDEN / row["name"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == row["sha256"], "golden files are never regenerated"
    stream = io.BytesIO(data)
    header, sections, _ = read_structure(stream, None)
    assert (header.method == "dsn") == ("sha256_symbols" in row)
    if header.method == "dsn":
        layer = read_layer(header, dict(container.iter_payloads(stream, sections)))
        symbols = hashlib.sha256(layer.luma.tobytes() + layer.chroma.tobytes())
        assert symbols.hexdigest() == row["sha256_symbols"]
    dsncodec.verify(data)
    with Image.open(GOLDEN / row["decoded"]) as expected:
        want = np.asarray(expected).astype(int)
    apart = np.abs(np.asarray(dsncodec.decode(data)).astype(int) - want)
    assert apart.max() <= 1
    assert (apart > 0).mean() <= 0.001


def test_every_method_and_carrier_has_a_golden_file() -> None:
    found = [dsncodec.read_info(GOLDEN / row["name"]) for row in ROWS]
    assert {info.method for info in found} == set(METHODS)
    assert {name for info in found for name in info.backends.values()} == {*BACKENDS, *BASE_CODECS}
