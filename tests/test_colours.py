"""What is shown of a layer, and what is made of a small picture, has the picture's colours: whole photographs and flat colours
through every door.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import dsncodec
import dsncodec.pillow_plugin
from dsncodec.cli import main
from dsncodec.methods.dsn.colours import shown_chroma, shown_luma
from dsncodec.metrics import psnr_db
from dsncodec.networks import registry
from dsncodec.networks.inference import network
from dsncodec.processing import enlarge
from dsncodec.processing.enlarge import held, is_layer
from dsncodec.train.export.layer_map import layer_map

from .pictures import FLATS, PHOTOGRAPHS, flat, photograph

UInt8Array = NDArray[np.uint8]
SCALES = (2, 3, 4)
OFF = 2.0  # levels: what a channel's mean may be wrong by
SOME = ("astronaut.png", "coffee.png", "ihc.png", "retina.jpg")
EVERY_SCALE = pytest.mark.parametrize("scale", SCALES)
EVERY_FLAT = pytest.mark.parametrize("name", FLATS)


def half(name: str, multiple: int = 1) -> UInt8Array:
    """The middle of a photograph, half of each side, cut to whole multiples."""
    pixels = photograph(name)
    top, left = (side // 4 for side in pixels.shape[:2])
    pixels = pixels[top : 3 * top, left : 3 * left]
    height, width = (side // multiple * multiple for side in pixels.shape[:2])
    return pixels[:height, :width]


def off(shown: Image.Image, original: UInt8Array) -> float:
    """How far a channel's mean is from the original's, at most. A mean over s x s pixels first changes nothing."""
    return float(np.abs(np.asarray(shown).mean((0, 1)) - original.mean((0, 1))).max())


def layers(original: UInt8Array, scale: int, folder: Path, **settings: int) -> dict[str, Image.Image]:
    """A picture's layer through every door that shows it."""
    data = dsncodec.encode(original, "dsn", scale=scale, effort=0, threads=1, **settings)  # type: ignore[arg-type]
    path, small = folder / "photo.dsn", folder / "small.png"
    path.write_bytes(data)
    assert main(["thumbnail", str(path), "-o", str(small), "--quiet", "--force"]) == 0
    with Image.open(small) as image:
        image.load()
    draft = Image.open(io.BytesIO(data))
    draft.draft(None, (1, 1))
    draft.load()
    return {
        "decode": dsncodec.decode(data, preview=True, threads=1),
        "thumbnail": image,
        "draft": draft,
        "downsample": dsncodec.downsample(Image.fromarray(original), scale, threads=1),
    }


@pytest.mark.parametrize("settings", [{}, {"levels": 64, "chroma_levels": 48}], ids=str)
@EVERY_SCALE
def test_a_layer_has_a_photographs_colours(scale: int, settings: dict[str, int], tmp_path: Path) -> None:
    for name in SOME:
        original = half(name, 2 * scale)
        found = layers(original, scale, tmp_path, **settings)
        worst = {door: round(off(image, original), 2) for door, image in found.items()}
        assert max(worst.values()) < OFF, (name, worst)


@EVERY_FLAT
@EVERY_SCALE
def test_a_layer_has_a_flat_colour(scale: int, name: str, tmp_path: Path) -> None:
    original = flat(name)
    for door, image in layers(original, scale, tmp_path).items():
        assert off(image, original) < OFF, door
        apart = np.abs(np.asarray(image).astype(int) - original[0, 0])
        assert apart[4:-4, 4:-4].max() <= 4, door
        assert apart.max() <= 12, f"{door}: a frame of another colour"  # in a corner; it was 28


@EVERY_SCALE
def test_grey_stays_grey(scale: int, tmp_path: Path) -> None:
    grey = half("coffee.png")[..., :1].repeat(3, 2)
    for image in layers(grey, scale, tmp_path).values():
        shown = np.asarray(image)
        assert (shown == shown[..., :1]).all()
        assert off(image, grey) < OFF
    large = np.asarray(dsncodec.upsample(Image.fromarray(grey[:90, :120]), scale, threads=1))
    assert (large == large[..., :1]).all()


@EVERY_SCALE
def test_a_grey_corner_of_a_coloured_picture_is_grey(scale: int) -> None:
    original = np.concatenate([flat("grey", 96, 96), flat("red", 96, 96)], 1)
    for levels in (256, 48):
        data = dsncodec.encode(original, scale=scale, levels=levels, effort=0)
        shown = np.asarray(dsncodec.decode(data, preview=True)).astype(int)
        grey = shown[6:-6, 6 : 60 // scale]
        assert np.ptp(grey, -1).max() == 0


@EVERY_SCALE
def test_enlarged_photographs_beat_bicubic(scale: int) -> None:
    for name in PHOTOGRAPHS:
        original = half(name, scale)
        shrunk, plain = bicubic(original, scale)
        bar = psnr_db(original, np.asarray(plain))
        for model in ("dsn", "ppcn") if scale == 4 else ("dsn",):
            if model == "ppcn" and original.size > 2**20:
                continue
            large = dsncodec.upsample(shrunk, scale, model=model)
            assert psnr_db(original, np.asarray(large)) >= bar, (name, model)
            assert off(large, original) < OFF


def bicubic(original: UInt8Array, scale: int) -> tuple[Image.Image, Image.Image]:
    """The picture shrunk by Pillow's bicubic filter, and enlarged again by it."""
    image = Image.fromarray(original)
    small = image.resize((image.width // scale, image.height // scale), Image.Resampling.BICUBIC)
    return small, small.resize(image.size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize(
    ("model", "scale"),
    [("dsn", 2), ("dsn", 3), ("dsn", 4), ("ppcn", 4), ("perceptual", 4), ("perceptual", 8)],
)
def test_enlarged_pictures_keep_their_colours(model: str, scale: int) -> None:
    pictures = {name: flat(name, 40, 32) for name in FLATS}
    pictures |= {name: half(name)[:96, :96] for name in ("coffee.png", "ihc.png")}
    for name, small in pictures.items():
        large = dsncodec.upsample(Image.fromarray(small), scale, model=model, threads=1)
        assert off(large, small) < OFF, name


@pytest.mark.parametrize("mode", ["RGB", "L"])
@EVERY_SCALE
def test_a_layer_is_known_by_its_pixels(scale: int, mode: str) -> None:
    colours = registry.for_scale(scale).layer_map
    for name in SOME:
        image = Image.fromarray(half(name)).convert(mode)
        made = dsncodec.downsample(image, scale, threads=1)
        data = dsncodec.encode(image, scale=scale, levels=96, chroma_levels=48, effort=0, threads=1)
        other = bicubic(np.asarray(image), scale)[0]
        found = [
            is_layer(np.atleast_3d(np.asarray(small)), colours)
            for small in (made, dsncodec.decode(data, preview=True), other, image)
        ]
        assert found == [True, True, False, False], name
    for name in FLATS:
        assert not is_layer(flat(name), colours), "too plain to tell"
    assert not is_layer(np.array([[[0], [255]]] * 99, np.uint8), colours)


@pytest.mark.parametrize("planes", [1, 3])
def test_a_held_picture_shrinks_to_the_small_one(planes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    small = half("coffee.png")[:60, :48, :planes]
    large = np.asarray(Image.fromarray(np.squeeze(small)).resize((144, 180), Image.Resampling.NEAREST))
    large = large.reshape(180, 144, planes) // 8 * 8

    def wrong_by(pixels: UInt8Array) -> float:
        back = Image.fromarray(np.squeeze(pixels)).resize((48, 60), Image.Resampling.BICUBIC)
        return float(np.abs(np.asarray(back, float).reshape(small.shape) - small).mean())

    whole = held(large, small, 1)
    assert wrong_by(whole) < wrong_by(large) / 4
    monkeypatch.setattr(enlarge, "STRIP_PIXELS", 144 * 3 * 7)
    strips = held(large, small, 2)
    assert np.abs(strips.astype(int) - whole).max() <= 1
    assert (strips != whole).mean() < 0.001


@EVERY_SCALE
def test_the_published_map_is_what_the_networks_say(scale: int) -> None:
    """``python -m bench colours --fit`` writes it."""
    model = registry.for_scale(scale)
    down, chroma_down = (network(registry.checked_path(model, part), 1) for part in ("down", "chroma_down"))
    found = layer_map(down, chroma_down, scale)
    assert model.layer_map is not None
    assert np.abs(shown_luma(256, found) - shown_luma(256, model.layer_map)).max() < 0.25 / 255
    symbols = np.mgrid[64:192, 64:192].astype(np.uint8)
    apart = shown_chroma(symbols, 256, found) - shown_chroma(symbols, 256, model.layer_map)
    assert np.abs(apart).max() < 0.5 / 255
