"""Pictures to pictures: Down-SNet and Up-SNet as resamplers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from . import weights
from .codecs.dsn import Decoder, Encoder
from .codecs.layer import Layer, Parameters, Point
from .container import Header
from .errors import SettingError
from .inference import thread_count
from .planes import ImageLike, Picture, read_picture, to_pillow, to_planes
from .quantise import quantise, quantise_chroma


def downsample(image: ImageLike, scale: int = 3, *, threads: int | None = None) -> Image.Image:
    """Down-SNet as a resampler: the low-resolution picture from which ``upsample`` restores best.

    Args:
        image: as for ``dsncodec.encode``.
        scale: 2, 3 or 4.
        threads: default: the CPUs this process may use.
    Returns:
        A picture of ceil(W/scale) x ceil(H/scale) pixels, same mode and metadata.
    Raises:
        SettingError: no network has this scale.
    """
    model = weights.for_scale(scale)
    picture = read_picture(image)
    header = Header("dsn", picture.mode, *picture.size)
    encoder = Encoder(header, picture.pixels, threads, effort=0)
    point = Point(scale, 256, 256)
    luma, chroma = encoder.symbols(point)
    layer = Layer(header, Parameters(point, model.wire_id), luma, chroma, encoder.alpha)
    return to_pillow(replace(picture, pixels=layer.picture()))


def upsample(
    image: ImageLike, scale: int = 3, *, model: str = "dsn", threads: int | None = None
) -> Image.Image:
    """Enlarge a picture with Up-SNet, as if it were the low-resolution layer of a file.

    Up-SNet expects what Down-SNet makes: it sharpens a picture that was shrunk in another way less well.

    Args:
        image: as for ``dsncodec.encode``.
        scale: 2, 3 or 4.
        model: "dsn".
        threads: default: the CPUs this process may use.
    Returns:
        A picture of scale*W x scale*H pixels, same mode and metadata. Alpha is enlarged bicubically.
    Raises:
        SettingError: no network has this scale, or an unknown model.
    """
    if model != "dsn":
        raise SettingError(f"model must be 'dsn', not {model!r}")
    weights_of_scale = weights.for_scale(scale)
    picture = read_picture(image)
    width, height = picture.size
    header = Header("dsn", picture.mode, width * scale, height * scale)
    colour = picture.pixels[..., : header.colour_planes]
    if header.colour_planes == 3:  # to whole pairs of pixels: a chroma symbol covers 2 x 2
        colour = np.pad(colour, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
    point = Point(scale, 256, 256)
    planes = to_planes(colour)
    luma = quantise(planes[:1], 256)
    chroma = np.empty((0, 0, 0), np.uint8)
    if header.colour_planes == 3:
        pooled = planes[1:].reshape(2, luma.shape[1] // 2, 2, luma.shape[2] // 2, 2).mean((2, 4))
        chroma = quantise_chroma(pooled, 256)
    decoder = Decoder(weights_of_scale, point, luma, chroma, thread_count(threads))
    pixels = decoder.pixels((slice(0, height * scale), slice(0, width * scale)))
    if header.has_alpha:
        alpha = Image.fromarray(np.ascontiguousarray(picture.pixels[..., -1]))
        large = np.asarray(alpha.resize((width * scale, height * scale), Image.Resampling.BICUBIC))
        pixels = np.concatenate([pixels, large[..., None]], -1)
    return to_pillow(Picture(pixels, picture.mode, picture.icc_profile, picture.exif, picture.xmp))
