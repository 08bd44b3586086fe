"""Whole pictures on which a property can fail: photographs, and the kinds that photographs are not.

Small synthetic pictures hid yellow photographs and a lost half size (docs/decisions/0019-whole-pictures.md). A property
that a person would see is tested on these; photographs are scikit-image's, so that a bare machine has them.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageDraw

UInt8Array = NDArray[np.uint8]

# whole, in colour; 0.14 to 2 megapixels
PHOTOGRAPHS = (
    "astronaut.png",
    "coffee.png",
    "chelsea.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "ihc.png",
    "hubble_deep_field.jpg",
    "retina.jpg",
)
FLATS = {
    "grey": (128, 128, 128),
    "nearly grey": (128, 128, 129),
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "red": (200, 40, 40),
    "green": (40, 160, 60),
    "blue": (30, 60, 190),
    "skin": (224, 172, 138),
    "sky": (135, 180, 235),
    "yellow": (240, 220, 60),
}


@functools.cache
def photograph(name: str) -> UInt8Array:
    """One of PHOTOGRAPHS, (H, W, 3)."""
    folder = Path(skimage.data.__file__).parent
    with Image.open(folder / name) as image:
        return np.asarray(image.convert("RGB"))


def flat(name: str, width: int = 96, height: int = 64) -> UInt8Array:
    """One of FLATS, (H, W, 3)."""
    return np.full((height, width, 3), FLATS[name], np.uint8)


def text_page(width: int = 640, height: int = 400) -> UInt8Array:
    """Black and coloured text on white and on a tinted box, (H, W, 3)."""
    image = Image.new("RGB", (width, height), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    draw.rectangle((width // 2, height // 4, width - 20, height // 2), fill=(210, 225, 250))
    for line, top in enumerate(range(6, height - 10, 14)):
        colour = [(0, 0, 0), (160, 20, 20), (20, 40, 150)][line % 3]
        draw.text(
            (8 + 5 * (line % 4), top),
            "The quick brown fox jumps over 13 lazy dogs; 0123456789 " * 3,
            fill=colour,
        )
    return np.asarray(image)


def scene(width: int = 832, height: int = 512, seed: int = 0) -> UInt8Array:
    """A made landscape, (H, W, 3): smooth sky, textured ground, hard edges and thin lines, sensor noise. As in photographs,
    detail is uneven: a few blocks say little of the whole.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / height
    sky = np.stack([0.45 + 0.3 * y, 0.6 + 0.25 * y, 0.9 - 0.1 * y], -1)
    grain = np.zeros((height, width))
    for octave in range(2, 8):
        coarse = rng.normal(size=(2**octave, 2**octave))
        large = Image.fromarray(coarse.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
        grain += np.asarray(large) * 0.75**octave
    horizon = 0.55 + 0.08 * np.sin(3 * x + rng.uniform(0, 6)) + 0.02 * np.sin(17 * x)
    ground = np.stack([0.35 + 0.25 * grain, 0.42 + 0.22 * grain, 0.22 + 0.12 * grain], -1)
    values = np.where((y > horizon)[..., None], ground, sky + 0.01 * grain[..., None])
    image = Image.fromarray(np.clip(255 * values, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        left, top = rng.integers(0, width - 60), rng.integers(height // 4, height - 90)
        colour = tuple(int(v) for v in rng.integers(20, 235, 3))
        draw.rectangle((left, top, left + rng.integers(15, 60), top + rng.integers(30, 90)), fill=colour)
        draw.line((left, 0, left + rng.integers(-40, 40), height), fill=(30, 30, 35))
    pixels = np.asarray(image) + rng.normal(0, 1.5, (height, width, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def signs(
    width: int = 640, height: int = 400, seed: int = 0, part: int = 8, contrast: int = 15, dots: int = 3
) -> UInt8Array:
    """Large flat shapes with smooth edges, (H, W, 3), and in 1 / ``part`` of each side a chequered pattern with noise, of
    squares of ``dots`` pixels: what a network does to most blocks says nothing of these.
    """
    rng = np.random.default_rng(seed)
    fine = 3  # times the size, for the edges
    ground = tuple(int(v) for v in rng.integers(60, 200, 3))
    image = Image.new("RGB", (width * fine, height * fine), ground)
    draw = ImageDraw.Draw(image)
    for _ in range(40):
        left, top = rng.integers(-40, width), rng.integers(-40, height)
        box = (left, top, left + rng.integers(40, 160), top + rng.integers(40, 160))
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape(tuple(int(v) * fine for v in box), fill=colour)
    pixels = np.array(image.resize((width, height), Image.Resampling.BOX))
    rows, columns = height // part, width // part
    chequers = (np.indices((rows, columns)) // dots).sum(0) % 2 * 2 - 1
    values = 128 + contrast * chequers[..., None] + rng.normal(0, 4, (rows, columns, 3))
    pixels[:rows, :columns] = np.clip(values, 0, 255).astype(np.uint8)
    return pixels
