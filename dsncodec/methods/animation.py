"""A picture as it grows while it is fitted, in a file that shows it: the setting ``preview`` of methods coconet and latentgrid."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..files import replacing
from ..planes import squeezed

UInt8Array = NDArray[np.uint8]

SIDE = 320
FRAMES = 40
SHOWN_MS, LAST_SHOWN_MS = 120, 2000


class Animation:
    """The picture as it grows (Bricman and Ionescu, Figure 2), in a file that is written anew with each frame.

    Args:
        path: ends in .gif, .png or .webp.
        sides: the picture's rows and columns; its longer side is shown with at most 320 pixels.
    """

    def __init__(self, path: str, sides: tuple[int, int]) -> None:
        self.path = path
        # what was there before is replaced, as asked for; what appears meanwhile is not
        self.ours = os.path.exists(path)
        shrunk = min(1.0, SIDE / max(sides))
        self.size = max(1, round(sides[1] * shrunk)), max(1, round(sides[0] * shrunk))
        self.frames: list[Image.Image] = []

    def wants(self, progress: float) -> bool:
        """Whether it is time for a frame. They are dense where the picture changes fast."""
        return (len(self.frames) / FRAMES) ** 3 <= progress < 1

    def add(self, pixels: UInt8Array, last: bool = False) -> None:
        """A frame, (H, W, 1 or 3) of any size.

        Raises:
            OSError: the file cannot be written.
        """
        frame = Image.fromarray(squeezed(pixels))
        if frame.size != self.size:
            frame = frame.resize(self.size, Image.Resampling.BOX)
        self.frames.append(frame)
        durations = [SHOWN_MS] * (len(self.frames) - 1) + [LAST_SHOWN_MS if last else SHOWN_MS]
        with replacing(self.path, force=self.ours) as partial:
            self.frames[0].save(
                partial, save_all=True, append_images=self.frames[1:], duration=durations, loop=0
            )
        self.ours = True
