"""How much enhancement a picture needs, and what enhancement must leave: hues, black, white, and detail at both ends.

A network of photo enhancement knows one old phone and answers every picture as if it came from there. Here stands what is
around it: ``need`` measures from a picture's tones and colours how far it is from a good photograph, ``enhanced`` goes that far.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..networks.image_to_image import sampled
from ..planes import STRIP, TO_YCBCR

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

# --- how much a picture needs

JUDGED_PIXELS = 2**16  # at most, at even distances
STATISTICS = (
    "luma, percentile 1",
    "percentile 5",
    "median",
    "percentile 95",
    "percentile 99",
    "its standard deviation",
    "mean distance from grey",
    "range of R, G, B: percentile 95",
    "percentile 99",
)
COLOUR = slice(6, 9)  # those that a picture without colour does not have
PRODUCTS = (1, 2, 3, 6, 7)  # statistics whose products count, too
LARGEST_PRODUCT = 3.0
COLOURLESS = 0.02  # percentile 99 of the range of R, G, B
# Contrast, percentiles 1 to 99, below which a picture is one colour, and from which it says enough of itself
FLAT, STRUCTURED = 0.03, 0.09
# Parts of a logistic scale: what is below needs nothing, what is above needs everything
NOTHING, EVERYTHING = 0.25, 0.9

# Made by `python -m bench need`, which writes need.md: means and spreads of the statistics, and the weights
# of 1, of the statistics, of the products
CENTRE = (0.13, 0.1685, 0.3818, 0.6461, 0.7116, 0.1581, 0.1113, 0.23, 0.2754)
SPREAD = (0.1397, 0.1554, 0.2101, 0.2242, 0.2253, 0.0788, 0.0929, 0.1756, 0.1976)
WEIGHTS = (
    -1.182,
    1.389,
    -1.475,
    -0.614,
    -0.167,
    -1.678,
    0.338,
    -0.546,
    -0.463,
    -1.123,
    -0.585,
    2.246,
    -1.023,
    0.145,
    -0.138,
    -0.272,
    0.308,
    -0.802,
    0.321,
    -0.407,
    -0.41,
    0.042,
    -1.181,
    0.171,
    -0.177,
)


def statistics(colour: UInt8Array) -> NDArray[np.float64]:
    """STATISTICS of a picture (H, W, 3) or (H, W, 1), each from 0 to 1."""
    part = sampled(colour)
    step = 1
    while -(-part.shape[0] // step) * -(-part.shape[1] // step) > JUDGED_PIXELS:
        step += 1
    values = part[::step, ::step].reshape(-1, part.shape[2]).astype(np.float64) / 255
    if values.shape[1] == 1:
        values = values.repeat(3, 1)
    luma = values @ TO_YCBCR[0].astype(np.float64)
    red, green, blue = values.T
    grey = np.hypot(red - green, (red + green) / 2 - blue).mean()
    ranges = np.percentile(values.max(1) - values.min(1), [95, 99])
    return np.array([*np.percentile(luma, [1, 5, 50, 95, 99]), luma.std(), grey, *ranges])


def terms(
    found: NDArray[np.float64], centre: NDArray[np.float64], spread: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What is weighted: 1, the statistics (..., 9) in units of their spread, and products of five of them."""
    units = (found - centre) / spread
    products = [units[..., i] * units[..., j] for n, i in enumerate(PRODUCTS) for j in PRODUCTS[: n + 1]]
    bounded = np.clip(np.stack(products, -1), -LARGEST_PRODUCT, LARGEST_PRODUCT)
    return np.concatenate([np.ones_like(units[..., :1]), units, bounded], -1)


def need(colour: UInt8Array) -> float:
    """How much enhancement a picture needs, from 0, nothing, to 1, as much as a dark and dull one.

    A picture without colour is judged by its tones alone, and one of a single tone needs nothing.

    Args:
        colour: (H, W, 3), or (H, W, 1) for grey.

    >>> need(np.full((4, 4, 3), 99, np.uint8))
    0.0
    """
    found, centre = statistics(colour), np.array(CENTRE)
    if colourless(found):
        found[COLOUR] = centre[COLOUR]
    structure = (found[4] - found[0] - FLAT) / (STRUCTURED - FLAT)
    logit = terms(found, centre, np.array(SPREAD)) @ np.array(WEIGHTS)
    return float(on_scale(logit) * np.clip(structure, 0, 1))


def on_scale(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted terms to 0..1, both ends included."""
    part = 1 / (1 + np.exp(-np.clip(logit, -30, 30)))
    return np.asarray(np.clip((part - NOTHING) / (EVERYTHING - NOTHING), 0, 1))


def colourless(found: NDArray[np.float64]) -> bool:
    """Whether a picture of these statistics is one of greys."""
    return bool(found[8] < COLOURLESS)


# --- what enhancement must leave

TURN = np.float32(np.tan(np.radians(2)))  # the most that a hue turns, in the plane of Cb and Cr
NEARLY_GREY = np.float32(6 / 255)  # distance from grey at which colours are free to turn, as a cast has to go
WHITE = (0.94, 0.985)  # the least of R, G, B from which a pixel begins to be white, and is
BLACK = (0.0, 0.03)  # the largest up to which it is black, and begins not to be
SHARPNESS = 3  # of the bend where a change meets the end of the scale
STEP = np.float32(1 / 255)  # from the end: what is not there shall not be rounded to it
TINY = np.float32(1e-4)
_FROM_YCBCR = np.linalg.inv(TO_YCBCR.astype(np.float64)).astype(np.float32)


def enhanced(
    colour: UInt8Array, strength: float | None, network: Callable[[UInt8Array], UInt8Array]
) -> UInt8Array:
    """A picture on its way to what a network makes of it.

    Args:
        colour: (H, W, 3), or (H, W, 1) for grey.
        strength: 0, the picture, to 1, the network's, but for hues and the ends of the scale; None: what the picture needs.
        network: picture to picture, (H, W, 3).
    Returns:
        (H, W, 1 or 3), as given; ``colour`` itself where the strength is 0.
    """
    part = need(colour) if strength is None else strength
    if part == 0:
        return colour
    made = network(colour)
    grey = colourless(statistics(colour))
    out = np.empty_like(colour)
    for top in range(0, len(colour), STRIP):
        rows = slice(top, top + STRIP)
        seen = colour[rows].astype(np.float32) / np.float32(255)
        if seen.shape[2] == 1:
            seen = seen.repeat(3, 2)
        wanted = guarded(seen, made[rows].astype(np.float32) / np.float32(255), grey)
        mixed = seen + np.float32(part) * (wanted - seen)
        if colour.shape[2] == 1:
            mixed = (mixed @ TO_YCBCR[0])[..., None]
        out[rows] = np.clip(mixed * 255 + np.float32(0.5), 0, 255).astype(np.uint8)
    return out


def guarded(seen: FloatArray, made: FloatArray, grey: bool = False) -> FloatArray:
    """A network's picture with the hues of its input, and no more black, white and burnt pixels.

    Colours keep their hue to about 2 degrees, unless they are nearly grey: there a cast goes. What is white or black stays so.
    What becomes brighter or darker bends before it meets the end of the scale, all three channels by one factor, so that
    detail stays and hues do.

    Args:
        seen, made: (H, W, 3) from 0 to 1.
        grey: keep all pixels as grey as they are.
    """
    (luma, chroma), (aim, wanted) = _opponents(seen), _opponents(made)
    wanted = chroma if grey else _hue_kept(chroma, wanted)
    low, high = seen.min(-1), seen.max(-1)
    free = (1 - _rise(low, *WHITE)) * _rise(high, *BLACK)
    aim = luma + free * (aim - luma)
    wanted = chroma + free[..., None] * (wanted - chroma)
    aim = np.where(aim < luma, luma - _bent(luma - aim, luma - STEP), aim)
    offset = wanted @ _FROM_YCBCR[:, 1:].T
    # shadows: less colour rather than a channel at 0
    deepest = aim + offset.min(-1)
    allowed = np.where(deepest < low, low - _bent(low - deepest, low - STEP), deepest)
    offset *= np.clip((aim - allowed) / np.maximum(aim - deepest, TINY), 0, 1)[..., None]
    out = aim[..., None] + offset
    # lights: less of all three rather than one at 1
    top = out.max(-1)
    allowed = np.where(top > high, high + _bent(top - high, 1 - STEP - high), top)
    return np.asarray(out * (allowed / np.maximum(top, TINY))[..., None], np.float32)


def _opponents(rgb: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Luma (H, W), and Cb and Cr about 0 (H, W, 2)."""
    planes = rgb @ TO_YCBCR.T
    return planes[..., 0], planes[..., 1:]


def _hue_kept(chroma: FloatArray, wanted: FloatArray) -> FloatArray:
    """``wanted`` (H, W, 2), turned back to the direction of ``chroma`` where that has one."""
    length = np.sqrt((chroma * chroma).sum(-1))
    x, y = (chroma / np.maximum(length, TINY)[..., None]).transpose(2, 0, 1)
    free = NEARLY_GREY * np.exp(-((length / NEARLY_GREY) ** 2))
    along = np.maximum(wanted[..., 0] * x + wanted[..., 1] * y, -free)
    across = wanted[..., 1] * x - wanted[..., 0] * y
    # without a direction of its own, a grey pixel goes where the network says, as far as it is free to
    bound = TURN * np.abs(along) + free
    across = np.clip(across, -bound, bound)
    kept = np.stack([along * x - across * y, along * y + across * x], -1)
    directed = length > TINY
    far = np.maximum(np.sqrt((wanted * wanted).sum(-1)), TINY)
    undirected = wanted * np.minimum(1, NEARLY_GREY / far)[..., None]
    return np.asarray(np.where(directed[..., None], kept, undirected), np.float32)


def _bent(change: FloatArray, room: FloatArray) -> FloatArray:
    """A change that never takes all the room there is; small ones stay as they are."""
    change, room = np.maximum(change, 0), np.maximum(room, TINY)
    return np.asarray(change / np.cbrt(1 + (change / room) ** SHARPNESS), np.float32)


def _rise(x: FloatArray, start: float, end: float) -> FloatArray:
    """From 0 at ``start`` to 1 at ``end``, smoothly."""
    part = np.clip((x - np.float32(start)) / np.float32(end - start), 0, 1)
    return np.asarray(part * part * (3 - 2 * part), np.float32)
