"""The method restored at half the size."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dsncodec
from dsncodec.container import Header
from dsncodec.errors import (
    Corrupt,
    SettingError,
)
from dsncodec.methods.restored.bitstream import NO_MODEL, Parameters
from dsncodec.methods.restored.codec import HALF_SIZES, BaseLayer, Coded, Encoder
from dsncodec.methods.restored.half_size import doubled
from dsncodec.methods.restored.judge import VisualJudge
from dsncodec.metrics import psnr_db

from .conftest import MODES, picture
from .restored import EVERY_BASE, Use, array, line_art, own_file, packed, parts, ramp, row_of, squared_error


@EVERY_BASE
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (37, 26), (64, 33)])
def test_half_the_size(mode: str, size: tuple[int, int], base: str, use: Use) -> None:
    use(row_of(base, scale=2))
    image = picture(mode, *size)
    data = dsncodec.encode(image, "restored", tune="psnr", scale=2, base=base, base_quality=60, effort=0)
    dsncodec.verify(data)
    info, whole = dsncodec.read_info(data), dsncodec.decode(data)
    assert (info.scale, info.base_quality) == (2, 60)
    assert (whole.mode, whole.size) == (mode, size)
    small = dsncodec.decode(data, preview=True)
    assert (small.mode, small.size) == (mode, (-(-size[0] // 2), -(-size[1] // 2)))
    if mode.endswith("A"):
        assert whole.getchannel("A").tobytes() == image.getchannel("A").tobytes()
    if min(size) > 20:
        region = (3, 5, 20, 19)
        assert dsncodec.decode(data, region=region).tobytes() == whole.crop(region).tobytes()


def test_half_the_size_without_a_network_is_the_doubled_picture(use: Use) -> None:
    use()
    image = picture("RGB", 37, 26)
    data = dsncodec.encode(image, "restored", tune="psnr", scale=2, quality=80, effort=0)
    assert dsncodec.read_info(data).strength == 0
    small = array(dsncodec.decode(data, preview=True))
    np.testing.assert_array_equal(array(dsncodec.decode(data)), doubled(small, (26, 37, 3)))
    with Image.open(io.BytesIO(own_file(data))) as own:
        np.testing.assert_array_equal(array(own), small)


def test_half_the_size_reaches_targets() -> None:
    image = ramp(200, 150)
    data = dsncodec.encode(image, "restored", tune="psnr", scale=2, target_bytes=900, effort=0)
    assert dsncodec.read_info(data).scale == 2 and len(data) <= 900
    data = dsncodec.encode(image, "restored", tune="psnr", scale=2, target_psnr_db=32, effort=0)
    assert dsncodec.read_info(data).scale == 2
    assert psnr_db(array(image), array(dsncodec.decode(data))) >= 32


@pytest.mark.parametrize("scale", [0, 3, 1.5, "2"])
def test_other_scales_are_refused(scale: Any) -> None:
    with pytest.raises(SettingError, match="scale"):
        dsncodec.encode(picture("L", 5, 5), "restored", tune="psnr", scale=scale)


def test_at_low_rates_half_the_size_takes_its_place_where_it_serves_better(use: Use) -> None:
    """Smooth pictures need no more pixels; line art does, and high rates do."""
    use(row_of("avif", name="half", scale=2), row_of("avif"))
    for image, quality, scale in (
        (ramp(300, 200), 4, 2),
        (line_art(300, 200), 12, 1),
        (ramp(300, 200), 70, 1),
    ):
        data = dsncodec.encode(image, "restored", tune="psnr", quality=quality, threads=1)
        full = dsncodec.encode(image, "restored", tune="psnr", quality=quality, scale=1, threads=1)
        assert dsncodec.read_info(data).scale == scale
        assert dsncodec.read_info(full).scale == 1
        assert len(data) <= len(full)
        reached, plain = (squared_error(array(dsncodec.decode(one)), array(image)) for one in (data, full))
        assert reached <= plain
    quick = dsncodec.encode(ramp(300, 200), "restored", tune="psnr", quality=4, effort=3)
    assert dsncodec.read_info(quick).scale == 1
    own = dsncodec.encode(ramp(300, 200), "restored", tune="psnr", base_quality=4)
    assert dsncodec.read_info(own).scale == 1


def test_for_the_eye_half_the_size_must_be_worth_two_points(use: Use) -> None:
    use(row_of("avif", name="half", scale=2), row_of("avif"))
    rgb = np.asarray(ramp(300, 200))
    judge = VisualJudge(rgb)
    for image, quality, scale in (
        (ramp(300, 200), 2, 2),
        (line_art(300, 200), 2, 1),
        (ramp(300, 200), 80, 1),
    ):
        data = dsncodec.encode(image, quality=quality, threads=1)
        full = dsncodec.encode(image, "restored", quality=quality, scale=1, threads=1)
        assert dsncodec.read_info(data).scale == scale
        assert len(data) <= len(full)
        if scale == 2:
            far, plain = (judge(array(dsncodec.decode(one)).__getitem__)[0] for one in (data, full))
            assert far <= plain and len(data) < len(full)


@pytest.mark.parametrize(("psnr", "scale"), [(30.1, 2), (29.9, 1)])
def test_for_the_eye_half_the_size_must_not_lose_psnr(
    psnr: float, scale: int, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten points of SSIMULACRA 2 are no reason to have less PSNR than the codec's own picture at full size, 30 dB."""
    use(row_of("avif", name="half", scale=2), row_of("avif"))
    encoder = Encoder(Header("restored", "RGB", 300, 200), array(ramp(300, 200)), 1, 5, tune="visual")

    def coded(layer: BaseLayer, quality: int) -> Coded:
        distance, similarity = (60.0, 30.3) if layer.scale == 1 else (50.0, psnr)
        parameters = Parameters(quality, 30.0, 0, 0.0, NO_MODEL, layer.scale)
        return Coded(encoder._payload(layer, quality), parameters, distance, similarity, 30.0)

    monkeypatch.setattr(encoder, "_code", coded)
    assert encoder._best(4)[0].scale == scale


def test_quality_rises_over_the_end_of_half_the_size(use: Use) -> None:
    """Where full size takes over, a quality has no fewer bytes than the one before, and is no further from the original."""
    use(row_of("avif", name="half", scale=2), row_of("avif"))
    image = ramp(300, 200)
    last = HALF_SIZES["visual"].up_to_quality
    encoder = Encoder(Header("restored", "RGB", 300, 200), array(image), 1, 5, tune="visual")
    points = [point for point in encoder.points if last - 12 <= point <= last + 6]
    files = [encoder.sections(point) for point in points]
    layers = [encoder._best(point)[0].scale for point in points]
    assert layers == sorted(layers, reverse=True) and set(layers) == {1, 2}
    sizes = [len(dict(file)["BASE"]) for file in files]
    distances = [encoder.distance(point) for point in points]
    assert sizes == sorted(sizes) and distances == sorted(distances, reverse=True)


def test_a_target_between_half_and_full_size_takes_half_the_size_further(use: Use) -> None:
    """Full size's first file is a fifth larger than half the size's last; between them half the size has more qualities."""
    use(row_of("avif", name="half", scale=2), row_of("avif"))
    encoder = Encoder(Header("restored", "RGB", 300, 200), array(ramp(300, 200)), 1, 5, tune="psnr")
    low, high = 25, 30
    assert encoder._best(low)[0].scale == 2
    finer = encoder.between(low, high)
    sizes = [len(dict(encoder.sections(point))["BASE"]) for point in (low, *finer)]
    assert finer and sizes == sorted(sizes) and sizes[-1] <= encoder.size(high)
    assert encoder.between(60, 61) == []


def test_a_network_of_another_scale(use: Use) -> None:
    row = row_of("jpeg", scale=2)
    use(row)
    header, sections = parts("jpeg")
    data = packed(header, {**sections, "PARM": Parameters(40, 31.25, 64, 0.5, row.wire_id).pack()})
    for action in (dsncodec.decode, dsncodec.verify):
        with pytest.raises(Corrupt, match="scale 1"):
            action(data)


def test_at_the_highest_efforts_another_base_codec_may_win(use: Use) -> None:
    """It is told in the file, and is no larger."""
    use(row_of("avif"), row_of("jpeg", name="other"))
    image = picture("RGB", 90, 70)
    data = dsncodec.encode(image, "restored", tune="psnr", quality=97, effort=8)
    avif_only = dsncodec.encode(image, "restored", tune="psnr", quality=97, effort=8, base="avif")
    assert dsncodec.read_info(avif_only).backends["BASE"] == "avif"
    assert len(data) <= len(avif_only)
    reached, plain = (squared_error(array(dsncodec.decode(one)), array(image)) for one in (data, avif_only))
    assert reached <= plain
