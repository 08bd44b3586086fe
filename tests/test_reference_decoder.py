"""A decoder written from docs/format.md alone reads every golden file, and sees what the package sees."""

from __future__ import annotations

import ast
import hashlib
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dsncodec
from dsncodec.extraction import read_plane

from . import reference_decoder as reference
from .conftest import MODES, picture
from .fuzz import campaigns

GOLDEN = Path(__file__).parent / "golden"
ROWS = tomllib.loads((GOLDEN / "golden.toml").read_text("utf-8"))["file"]
EVERY = pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["name"]))


def test_it_shares_no_code_with_the_package() -> None:
    tree = ast.parse(Path(reference.__file__).read_text("utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert not any(name is None or name.split(".")[0] in ("dsncodec", "tests", "bench") for name in imported)


def within_tolerance(one: reference.Array, other: reference.Array) -> None:
    apart = np.abs(one.astype(int) - other)
    assert apart.max() <= 1
    assert (apart > 0).mean() <= 0.001


@EVERY
def test_symbols_are_exact(row: dict[str, str]) -> None:
    file = reference.parse((GOLDEN / row["name"]).read_bytes())
    if file.method == 1:
        coded = reference.sampled(file)
        chroma = b"" if coded.chroma is None else coded.chroma.tobytes()
        assert hashlib.sha256(coded.luma.tobytes() + chroma).hexdigest() == row["sha256_symbols"]


@EVERY
def test_pictures_without_a_network_are_exact(row: dict[str, str]) -> None:
    data = (GOLDEN / row["name"]).read_bytes()
    small = reference.decode_small(data)
    shown = np.asarray(dsncodec.decode(data, preview=True))
    if reference.parse(data).method in (3, 4):  # drawn in floating point
        within_tolerance(small.reshape(shown.shape), shown)
    else:
        np.testing.assert_array_equal(small.reshape(shown.shape), shown)


@EVERY
@pytest.mark.parametrize("threads", [1, 2])
def test_pixels_are_within_the_tolerance(row: dict[str, str], threads: int) -> None:
    data = (GOLDEN / row["name"]).read_bytes()
    with Image.open(GOLDEN / row["decoded"]) as image:
        want = np.asarray(image)
    theirs = reference.decode(data, threads).reshape(want.shape)
    within_tolerance(theirs, want)
    within_tolerance(np.asarray(dsncodec.decode(data, threads=threads)), want)


@EVERY
def test_a_file_that_was_kept_is_the_same_to_both(row: dict[str, str]) -> None:
    data = (GOLDEN / row["name"]).read_bytes()
    file = reference.parse(data)
    if "rest" in file.sections:
        assert reference.original(file) == dsncodec.extract(data).data


SETTINGS = [
    {"lossless": True},
    {"quality": 30},
    {"quality": 30, "tune": "psnr"},
    {"base_quality": 30, "method": "restored", "scale": 2, "tune": "psnr"},
    {"base_quality": 80, "base": "jpeg"},
    {"base_quality": 20, "method": "restored", "scale": 2},
    {"base_quality": 60, "method": "restored", "base": "jxl"},
    {"scale": 2},
    {"scale": 3},
    {"base_quality": 60, "method": "restored", "base": "j2k"},
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_new_files_of_odd_sizes(mode: str, settings: dict[str, object]) -> None:
    for size in ((1, 1), (37, 23)):
        data = dsncodec.encode(picture(mode, *size), **settings, effort=4, threads=1)
        shown = np.asarray(dsncodec.decode(data, threads=1))
        within_tolerance(reference.decode(data).reshape(shown.shape), shown)
        small = np.asarray(dsncodec.decode(data, preview=True))
        np.testing.assert_array_equal(reference.decode_small(data).reshape(small.shape), small)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("variant", ["paper", "sine"])
def test_fitted_networks(variant: str, mode: str) -> None:
    pytest.importorskip("torch", reason="torch is not installed (extra [train])")
    for size in ((1, 1), (37, 23)):
        data = dsncodec.encode(picture(mode, *size), "coconet", variant=variant, steps=20, threads=1)
        for ours, theirs in (
            (dsncodec.decode(data, threads=1), reference.decode(data)),
            (dsncodec.decode(data, preview=True), reference.decode_small(data)),
        ):
            shown = np.asarray(ours)
            apart = np.abs(theirs.reshape(shown.shape).astype(int) - shown)
            assert apart.max() <= 1 and (apart > 0).sum() <= 2  # where a sample lies between two grey levels


@pytest.mark.parametrize("mode", MODES)
def test_latent_grids(mode: str) -> None:
    for size in ((1, 1), (1, 17), (37, 23), (3, 530)):
        data = campaigns.small_file("latentgrid", "plain", mode, *size)
        for ours, theirs in (
            (dsncodec.decode(data, threads=1), reference.decode(data)),
            (dsncodec.decode(data, preview=True), reference.decode_small(data)),
        ):
            shown = np.asarray(ours)
            apart = np.abs(theirs.reshape(shown.shape).astype(int) - shown)
            assert apart.max() <= 1 and (apart > 0).sum() <= 2


@pytest.mark.parametrize("base", ["avif", "jpeg", "j2k"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_short_form_stands_for_the_same_file(base: str, mode: str) -> None:
    for size in ((6, 5), (700, 300)):
        image = picture(mode, *size)
        data = dsncodec.encode(image, "restored", base=base, base_quality=50, effort=0, threads=1)
        assert reference.base_file(reference.parse(data)) == read_plane(data, "picture").own_bytes
