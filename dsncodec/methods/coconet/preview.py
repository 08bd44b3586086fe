"""A picture as it grows while a network is fitted to it."""

from __future__ import annotations

import os

from PIL import Image
from torch import Tensor

from ...files import replacing
from .fit import Fit, colours_at, to_pixels

SIDE = 320
FRAMES = 40
SHOWN_MS, LAST_SHOWN_MS = 120, 2000


class Animation:
    """The picture as it grows (Bricman and Ionescu, Figure 2), in a file that is written anew with each frame.

    Args:
        path: ends in .gif, .png or .webp.
        fit: whose network is drawn.
        sides: the picture's rows and columns; its longer side is drawn with at most 320 pixels.
    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: str, fit: Fit, sides: tuple[int, int]) -> None:
        self.path, self.fit, self.aspect = path, fit, (sides[1], sides[0])
        # what was there before is replaced, as asked for; what appears meanwhile is not
        self.ours = os.path.exists(path)
        shrunk = min(1.0, SIDE / max(sides))
        self.size = max(1, round(sides[1] * shrunk)), max(1, round(sides[0] * shrunk))
        self.frames: list[Image.Image] = []

    def __call__(self, progress: float, error: float) -> None:
        """After a step: a frame, if it is time for one. Frames are dense where the picture changes fast."""
        if progress >= 1 or progress < (len(self.frames) / FRAMES) ** 3:
            return
        self._add([layer.detach() for layer in self.fit.layers])

    def finish(self, layers: list[Tensor]) -> None:
        """The last frame: the picture of the weights that the file holds, which need not be the last ones of the fit."""
        self._add(layers, last=True)

    def _add(self, layers: list[Tensor], last: bool = False) -> None:
        colours = colours_at(self.fit, layers, self.size, self.aspect)
        pixels = to_pixels(colours.reshape(1, -1, self.size[1], self.size[0]))[0]
        self.frames.append(Image.fromarray(pixels.squeeze(-1) if pixels.shape[2] == 1 else pixels))
        durations = [SHOWN_MS] * (len(self.frames) - 1) + [LAST_SHOWN_MS if last else SHOWN_MS]
        with replacing(self.path, force=self.ours) as partial:
            self.frames[0].save(
                partial, save_all=True, append_images=self.frames[1:], duration=durations, loop=0
            )
        self.ours = True
