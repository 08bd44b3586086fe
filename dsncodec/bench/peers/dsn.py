"""This library's coding methods, through its public API."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import imagecodecs
import numpy as np

import dsncodec

from ... import carriers
from ...methods import DEFAULT_EFFORT
from ...methods.restored.codec import BEST_FROM_EFFORT
from ...methods.sections import read_structure
from ...networks import registry
from ...options import DeepSampling, Restored
from ...reading import opened
from . import Codec, UInt8Array, avif, j2k, jpeg, jxl

QUALITIES = (0, 6, 18, 24, 41, 47, 59, 76, 100)  # of deep sampling: nine points of its table
_WAYS = (
    ("dsn", "DSN", "default effort: the latent is refined on each picture", DEFAULT_EFFORT),
    ("dsn-fast", "DSN effort 3", "effort 3: the networks alone", 3),
    ("dsn-best", "DSN effort 9", "effort 9: the longest refinement", 9),
)


def _qualities_of_avif(tune: str) -> tuple[float, ...]:
    """On our scale: those of the AVIF peers, which are libavif's own."""
    row = carriers.BASE_CODECS["avif"]
    ours = (next(q for q in range(101) if row.own_quality(q, tune) >= quality) for quality in avif.QUALITIES)
    return tuple(dict.fromkeys(ours))


_VISUAL_QUALITIES, _PSNR_QUALITIES = (_qualities_of_avif(tune) for tune in ("visual", "psnr"))


@dataclass(frozen=True)
class _Restored:
    """A way of running the default method. ``own``: the settings are qualities on the base codec's own scale."""

    key: str
    label: str
    detail: str
    effort: int
    settings: tuple[float, ...]
    base: str = "avif"
    tune: str = "visual"
    own: bool = False
    default: bool = True


_RESTORED = (
    _Restored("restored", "dsncodec", "the default: AVIF tune=iq, speed 6", 5, _VISUAL_QUALITIES),
    _Restored("restored-effort7", "dsncodec effort 7", "AVIF tune=iq, speed 4", 7, _VISUAL_QUALITIES),
    _Restored(
        "restored-psnr", "dsncodec tune=psnr", "AVIF tune=psnr, speed 6", 5, _PSNR_QUALITIES, tune="psnr"
    ),
    _Restored(
        "restored-psnr-best",
        "dsncodec tune=psnr effort 6",
        "AVIF tune=psnr, speed 6, best network",
        6,
        _PSNR_QUALITIES,
        tune="psnr",
    ),
    _Restored(
        "restored-psnr-speed3",
        "dsncodec tune=psnr effort 8",
        "AVIF tune=psnr, speed 3, best network",
        8,
        _PSNR_QUALITIES,
        tune="psnr",
        default=False,
    ),
    _Restored(
        "restored-jpeg", "dsncodec JPEG", "JPEG under the fast network", 5, jpeg.QUALITIES, "jpeg", own=True
    ),
    _Restored(
        "restored-jxl",
        "dsncodec JPEG XL",
        "JPEG XL effort 7 under the fast network",
        5,
        (0, 10, 20, 40, 59, 72, 81, 88, 93),
        "jxl",
        own=True,
    ),
    _Restored(
        "restored-j2k",
        "dsncodec JPEG 2000",
        "JPEG 2000 9/7, mct=1, under the fast network",
        5,
        (4, 12, 20, 28, 36, 44, 52, 60, 68),
        "j2k",
        own=True,
    ),
)


def codecs() -> list[Codec]:
    """The methods "restored" and "dsn". One setting is one quality; the longest efforts run on request only."""
    models = ", ".join(
        f"x{scale} {registry.for_scale(scale).wire_id.hex()[:6]}" for scale in registry.scales()
    )
    sampled = [
        Codec(
            key=key,
            label=label,
            detail=detail,
            kind="ours",
            version=f"dsncodec {dsncodec.__version__}, models {models}",
            settings=QUALITIES,
            step=1,
            encode=partial(_encode, effort),
            decode=_decode,
            default=effort < 9,
        )
        for key, label, detail, effort in _WAYS
    ]
    restored = [
        Codec(
            key=way.key,
            label=way.label,
            detail=way.detail,
            kind="ours",
            version=_restored_version(way),
            settings=way.settings,
            step=1,
            encode=partial(_restored, way),
            decode=_decode,
            default=way.default,
            boxes=_boxes,
        )
        for way in _RESTORED
        if _network(way)
    ]
    return restored + sampled


def _network(way: _Restored, scale: int = 1) -> registry.Restoration | None:
    return registry.restoration(way.base, way.effort >= BEST_FROM_EFFORT[way.tune], scale, way.tune)


def _restored_version(way: _Restored) -> str:
    names = [row.wire_id.hex()[:6] for scale in (1, 2) if (row := _network(way, scale))]
    inside = {"avif": avif, "jpeg": jpeg, "jxl": jxl, "j2k": j2k}[way.base].version()
    if way.tune == "visual" and way.base == "avif":
        inside += f", imagecodecs {imagecodecs.__version__}, {imagecodecs.avif_version()}"
    return f"dsncodec {dsncodec.__version__}, networks {', '.join(names)}, {inside}"


def _encode(effort: int, picture: UInt8Array, quality: float) -> bytes:
    return dsncodec.encode(picture, DeepSampling(), quality=int(quality), effort=effort, threads=1)


def _restored(way: _Restored, picture: UInt8Array, quality: float) -> bytes:
    own = int(quality) if way.own else None
    options = Restored(base=way.base, base_quality=own, tune=way.tune)
    return dsncodec.encode(
        picture, options, quality=None if way.own else int(quality), effort=way.effort, threads=1
    )


def _boxes(data: bytes) -> int:
    """What the base codec's own file has beyond what our file holds of it."""
    with opened(data) as stream:
        _, sections, _ = read_structure(stream, None)
    name_bytes = 1
    return len(bytes(dsncodec.extract(data, bare=True))) - (sections["BASE"].length - name_bytes)


def _decode(data: bytes) -> UInt8Array:
    return np.asarray(dsncodec.decode(data, threads=1).convert("RGB"))
