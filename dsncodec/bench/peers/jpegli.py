"""JPEG by jpegli, which quantises adaptively; any JPEG decoder reads it."""

from __future__ import annotations

from importlib import metadata

import numpy as np

from . import Codec, UInt8Array, opened, require

QUALITIES = (1, 6, 14, 25, 40, 55, 68, 80, 88)


def codecs() -> list[Codec]:
    """One setting is one quality."""
    pyjpegli = require("pyjpegli")

    def encode(picture: UInt8Array, quality: float) -> bytes:
        rows, columns = picture.shape[:2]
        return bytes(pyjpegli.encode(np.ascontiguousarray(picture).data, columns, rows, int(quality)))

    return [
        Codec(
            key="jpegli",
            label="jpegli",
            detail="4:2:0, sequential, decoded by Pillow",
            kind="peer",
            version=f"pyjpegli {metadata.version('pyjpegli')}",
            settings=QUALITIES,
            step=1,
            encode=encode,
            decode=opened,
        )
    ]
