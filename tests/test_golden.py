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
from dsncodec.carriers import BACKENDS, BASE_CODECS, LOSSLESS
from dsncodec.methods import METHODS
from dsncodec.methods.dsn.bitstream import parse
from dsncodec.methods.sections import read_structure

from . import reference_decoder
from .conftest import MODES, carrier, picture

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
        layer = parse(header, dict(container.iter_payloads(stream, sections)))
        symbols = hashlib.sha256(layer.luma.tobytes() + layer.chroma.tobytes())
        assert symbols.hexdigest() == row["sha256_symbols"]
    dsncodec.verify(data)
    with Image.open(GOLDEN / row["decoded"]) as expected:
        want = np.asarray(expected).astype(int)
    apart = np.abs(np.asarray(dsncodec.decode(data)).astype(int) - want)
    assert apart.max() <= 1
    assert (apart > 0).mean() <= 0.001


@pytest.mark.parametrize(
    "row", [row for row in ROWS if "perceptual" in row], ids=lambda row: str(row["name"])
)
def test_texture_of_a_golden_file(row: dict[str, str]) -> None:
    data = (GOLDEN / row["name"]).read_bytes()
    with Image.open(GOLDEN / row["perceptual"]) as expected:
        want = np.asarray(expected).astype(int)
    found = np.asarray(dsncodec.decode(data, decoder="perceptual")).astype(int)
    theirs = reference_decoder.decode_textured(data).reshape(want.shape).astype(int)
    for apart in (np.abs(found - want), np.abs(theirs - want)):
        assert apart.max() <= 1
        assert (apart > 0).mean() <= 0.001
    assert (want[..., 0] != np.asarray(dsncodec.decode(data))[..., 0]).mean() > 0.5


def test_every_method_and_carrier_has_a_golden_file() -> None:
    found = [dsncodec.read_info(GOLDEN / row["name"]) for row in ROWS]
    assert {info.method for info in found} == set(METHODS)
    carried = {(info.method, name) for info in found for tag, name in info.backends.items() if tag != "ALPH"}
    of_pictures = {*BASE_CODECS, *LOSSLESS}
    assert carried == {("dsn", name) for name in BACKENDS} | {("restored", name) for name in of_pictures}
    exact = {(next(iter(info.backends.values())), info.mode) for info in found if info.lossless}
    assert exact == {(name, mode) for name in LOSSLESS for mode in MODES}
    assert {info.backends["BASE"] for info in found if info.kept} == {"jpeg", "avif"}
    assert "avif" in {info.backends.get("ALPH") for info in found}
    assert {(info.method, info.scale) for info in found} >= {("dsn", s) for s in (2, 3, 4)} | {
        ("restored", s) for s in (1, 2)
    }


def test_metadata_is_what_it_was() -> None:
    """As the release wrote it, and as the versions before did: with JPEG's prefix in EXIF."""
    name = "0.3.0-rgb-q50-jpeg-metadata.dsn"
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    image = dsncodec.decode(GOLDEN / name)
    assert image.info == {"exif": exif, "xmp": b"<x/>", "dpi": (300, 150)}
    stream = io.BytesIO((GOLDEN / name).read_bytes())
    header, sections, _ = read_structure(stream, None)
    payloads = dict(container.iter_payloads(stream, sections))
    assert payloads["exif"] == exif[6:]
    before = container.pack(header, list((payloads | {"exif": exif}).items()))
    assert dsncodec.decode(before).info == image.info


CARRIERS = {"dsn": "LUMA", "restored": "BASE"}  # the section whose first byte says by what it is coded


def test_every_form_of_every_version_has_a_golden_file() -> None:
    """Version 1 had neither short forms nor JPEG XL and JPEG 2000 as base codecs."""
    of_dsn = {row.wire_id for row in BACKENDS.values()}
    short = {row.short_id for row in BASE_CODECS.values() if row.short_id is not None}
    found: dict[int, set[int]] = {1: set(), 2: set()}
    for row in ROWS:
        data = (GOLDEN / row["name"]).read_bytes()
        stream = io.BytesIO(data)
        header, sections, _ = read_structure(stream, None)
        payloads = dict(container.iter_payloads(stream, sections))
        if header.method in CARRIERS:
            found[2 if data[4] == 2 else 1].add(payloads[CARRIERS[header.method]][0])
    whole = {BASE_CODECS[name].wire_id for name in ("jxl", "j2k")}
    assert found[1] == of_dsn | {16, 17}
    assert found[2] >= of_dsn | short | whole | {row.wire_id for row in LOSSLESS.values()}


@pytest.mark.parametrize(
    ("method", "backend"),
    [*(("dsn", name) for name in BACKENDS), *(("restored", name) for name in BASE_CODECS)],
)
@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_the_same_picture_gives_the_same_bytes(method: str, backend: str, mode: str) -> None:
    image, settings = picture(mode, 37, 23), {"scale": 2} if method == "dsn" else {"base_quality": 50}
    once, twice = (
        dsncodec.encode(image, method, **carrier(method, backend), threads=1, **settings) for _ in range(2)
    )
    assert once == twice
