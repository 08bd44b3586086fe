"""ICC profiles of colours that a file describes by numbers: chromaticities, an exponent, or the code points of ITU-T H.273."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Corners = Sequence[float]  # x and y of white, red, green and blue, as PNG's cHRM has them

_SRGB: Corners = (0.3127, 0.3290, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
_PRIMARIES: dict[int, Corners] = {  # H.273, table 2
    1: _SRGB,
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (0.3127, 0.3290, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (0.3127, 0.3290, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (0.3127, 0.3290, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
# g, a, b, c, d of ICC.1's parametric curve 3, (a x + b)^g from d on and c x below
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BT709_CURVE = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_CURVES: dict[int, tuple[float, ...]] = {  # H.273, table 3
    1: _BT709_CURVE,
    4: (2.2,),
    5: (2.8,),
    6: _BT709_CURVE,
    8: (1.0,),
    13: _SRGB_CURVE,
    14: _BT709_CURVE,
    15: _BT709_CURVE,
    17: (2.6,),
}
_UNSAID = 2  # of either
_AS_SRGB = {
    1,
    6,
    13,
    14,
    15,
    _UNSAID,
}  # curves that every program shows as sRGB's where the primaries are its own
_HDR = {16: "PQ", 18: "HLG"}

# Bradford's cone responses, as ICC.1 has them, and the white of profiles
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50 = np.array([0.9642, 1.0, 0.8249])


def of_codes(primaries: int, transfer: int, grey: bool) -> tuple[bytes, str]:
    """The profile of two code points of H.273, or b"" where they are as good as sRGB; and what no profile can say."""
    if transfer in _HDR:
        return b"", f"the brightness beyond white (HDR, {_HDR[transfer]})"
    if primaries in (1, _UNSAID) and transfer in _AS_SRGB:
        return b"", ""
    corners = _SRGB if primaries == _UNSAID else _PRIMARIES.get(primaries)
    curve = _SRGB_CURVE if transfer == _UNSAID else _CURVES.get(transfer)
    if corners is None or curve is None:
        return b"", f"its colour space (H.273: {primaries}, {transfer})"
    return _profile(corners, curve, grey), ""


def described(gamma: float | None, corners: Corners | None, grey: bool) -> bytes:
    """The profile of a PNG file's gAMA and cHRM, or b"" where they are as good as sRGB.

    Raises:
        ValueError, ArithmeticError: they are of no colours that exist.
    """
    near = corners is None or max(abs(a - b) for a, b in zip(corners, _SRGB, strict=True)) < 0.002
    plain = gamma is None or abs(gamma - 1 / 2.2) < 0.01
    if plain and (near or grey):
        return b""
    if gamma is not None and not 0.05 < gamma < 20:
        raise ValueError(f"no exponent: {gamma}")
    curve = _SRGB_CURVE if plain or gamma is None else (1 / gamma,)
    return _profile(_SRGB if corners is None else corners, curve, grey)


def _xyz(x: float, y: float) -> NDArray[np.float64]:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _profile(corners: Corners, curve: Sequence[float], grey: bool) -> bytes:
    """A display profile of one curve and three primaries, ICC.1:2010 (version 4)."""
    points = [_xyz(x, y) for x, y in zip(corners[::2], corners[1::2], strict=True)]
    white, primaries = points[0], np.stack(points[1:], 1)
    matrix = primaries * np.linalg.solve(primaries, white)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white)) @ _BRADFORD
    columns = (adapted @ matrix).T
    if not np.isfinite(columns).all() or np.abs(columns).max() > 8:
        raise ValueError(f"no primaries: {corners}")
    kind = 0 if len(curve) == 1 else 3
    response = struct.pack(">4sIHH", b"para", 0, kind, 0) + _fixed(*curve)
    tags = [
        (b"desc", _text("described by numbers")),
        (b"cprt", _text("no copyright")),
        (b"wtpt", b"XYZ \0\0\0\0" + _fixed(*_D50)),
    ]
    if grey:
        tags.append((b"kTRC", response))
    else:
        tags += [(b"chad", b"sf32\0\0\0\0" + _fixed(*adapted.ravel()))]
        tags += [
            (name, b"XYZ \0\0\0\0" + _fixed(*column))
            for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns)
        ]
        tags += [(name, response) for name in (b"rTRC", b"gTRC", b"bTRC")]
    places: dict[bytes, int] = {}
    content, table = b"", struct.pack(">I", len(tags))
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags:
        if data not in places:  # curves that are equal are there once
            places[data] = start + len(content)
            content += data + bytes(-len(data) % 4)
        table += struct.pack(">4sII", name, places[data], len(data))
    head = struct.pack(
        ">I4sI4s4s4s",
        start + len(content),
        b"\0" * 4,
        0x04200000,
        b"mntr",
        b"GRAY" if grey else b"RGB ",
        b"XYZ ",
    )
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp"
    head = head.ljust(68, b"\0") + _fixed(*_D50)
    return head.ljust(128, b"\0") + table + content


def _fixed(*values: float) -> bytes:
    """Numbers of 16 binary digits behind the point."""
    return struct.pack(f">{len(values)}i", *(round(65536 * value) for value in values))


def _text(text: str) -> bytes:
    return struct.pack(">4sIII2s2sII", b"mluc", 0, 1, 12, b"en", b"US", 2 * len(text), 28) + text.encode(
        "utf-16-be"
    )
