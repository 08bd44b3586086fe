"""What colours a model's latents stand for, measured on flat colours: ``registry.LayerMap``. Needs no torch and no picture.

In photographs mean luma and chroma follow the same map to about a level, but where fine texture of high contrast fills the
picture: see bench/results, colours.md. Flat colours cover the whole gamut, and are the same for whoever exports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...methods.dsn.colours import edge_terms, monomials
from ...methods.dsn.quantise import NEUTRAL
from ...networks.registry import LayerMap
from ...planes import to_planes

FloatArray = NDArray[np.float32]
Network = Callable[[FloatArray], FloatArray]  # (C, H, W) to (C, h, w)

GREYS = 17  # of luma, 0 to 1
SIDE = 9  # of the cube of colours
BLOCKS = 5  # of a flat picture: the middle one is out of reach of its edges
DIGITS = 6


def layer_map(down: Network, chroma_down: Network, scale: int) -> LayerMap:
    """Fit the map of a pair of networks.

    Args:
        down, chroma_down: luma (1, s*h, s*w) and chroma (2, 2*s*h, 2*s*w) to their latents.
    Returns:
        Luma as it is found, made strictly rising where it is not. Chroma: the cubic of least squares over the colours of an
        even cube of RGB whose latents no alphabet clips; and what is left at each edge, linear in the latent.
    """
    middle = BLOCKS // 2
    greys = np.linspace(0, 1, GREYS, dtype=np.float32)[:, None]
    luma = _of_flats(down, greys, scale)[:, 0, middle, middle]
    luma = np.maximum.accumulate(luma) + 1e-5 * np.arange(GREYS)
    grey = _of_flats(chroma_down, np.full((1, 2), NEUTRAL, np.float32), 2 * scale)
    neutral = _rounded(grey[0, :, middle, middle])
    steps = np.linspace(0, 255, SIDE).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    chroma = to_planes(cube)[1:, 0].T
    planes = _of_flats(chroma_down, chroma, 2 * scale)
    latent = planes[:, :, middle, middle]
    inside = ((latent >= 0) & (latent <= 1)).all(1)
    cubic: NDArray[np.float64] = _fitted(
        monomials(latent[inside].T, neutral), chroma[inside] - np.float32(NEUTRAL)
    )
    places = [
        (middle, 0),
        (middle, 1),
        (middle, -1),
        (middle, -2),
        (0, middle),
        (1, middle),
        (-1, middle),
        (-2, middle),
    ]
    edges = []
    for row, column in places:
        latent = planes[:, :, row, column]
        inside = ((latent >= 0) & (latent <= 1)).all(1)
        plain: NDArray[np.float64] = monomials(latent[inside].T, neutral).T @ cubic + NEUTRAL
        edges.append(
            _rounded(_fitted(edge_terms(latent[inside].T, neutral), chroma[inside] - plain).T.ravel())
        )
    return LayerMap(_rounded(luma), neutral, _rounded(cubic[:, 0]), _rounded(cubic[:, 1]), tuple(edges))


def rows(found: LayerMap) -> list[str]:
    """The lines of a manifest's row."""
    lines = [f"layer_map.{name} = {list(getattr(found, name))}" for name in ("luma", "neutral", "cb", "cr")]
    edges = [f"    {list(edge)}," for edge in found.edges]
    return [*lines, "layer_map.edges = [", *edges, "]"]


def _fitted(terms: NDArray[np.float64], values: NDArray[Any]) -> NDArray[np.float64]:
    """The coefficients (k, 2) of least squares, from terms (k, n) to values (n, 2)."""
    found: NDArray[Any] = np.linalg.lstsq(terms.T, np.asarray(values, np.float64), rcond=None)[0]
    return found


def _of_flats(net: Network, values: FloatArray, size: int) -> NDArray[np.float64]:
    """What a network makes of flat planes: (n, C) to (n, C, BLOCKS, BLOCKS)."""
    side = BLOCKS * size
    found = [net(np.full((len(value), side, side), value[:, None, None], np.float32)) for value in values]
    return np.array(found, np.float64)


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(value), DIGITS) for value in values)
