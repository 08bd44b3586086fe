"""Method restored, tuned for the eye: ten bits, corrections that the encoder weighs, decisions by SSIMULACRA 2."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

import dsncodec
from dsncodec import container
from dsncodec.carriers import decode_base, encode_base
from dsncodec.carriers.lossy import avif
from dsncodec.cli import main
from dsncodec.errors import Corrupt, SettingError
from dsncodec.methods.restored import codec as restored
from dsncodec.methods.restored.bitstream import MOST_WEIGHTS, Parameters
from dsncodec.methods.restored.half_size import doubled
from dsncodec.methods.restored.judge import VisualJudge
from dsncodec.methods.sections import read_structure
from dsncodec.metrics import ssimulacra2
from dsncodec.networks import registry
from dsncodec.networks.registry import Restoration

from .conftest import UInt8Array, picture
from .pictures import photograph as whole_photograph
from .pictures import scene, text_page

WEIGHED = [row for row in registry.restorations() if row.hypotheses > 1]
EVERY_NETWORK = pytest.mark.parametrize("row", WEIGHED, ids=lambda row: str(row.name))


def photograph(rows: int, columns: int) -> UInt8Array:
    """A part of a photograph, (rows, columns, 3)."""
    return whole_photograph("astronaut.png")[20 : 20 + rows, 60 : 60 + columns]


def array(image: Image.Image) -> UInt8Array:
    return np.asarray(image)


def parts(data: bytes) -> tuple[container.Header, dict[str, bytes]]:
    stream = io.BytesIO(data)
    header, sections, _ = read_structure(stream, None)
    return header, dict(container.iter_payloads(stream, sections))


def with_parameters(data: bytes, payload: bytes) -> bytes:
    header, sections = parts(data)
    return container.pack(header, list((sections | {"PARM": payload}).items()))


def weighed(row: Restoration, image: Image.Image, weights: tuple[int, ...]) -> bytes:
    """A file as if its encoder had found these weights best."""
    data = dsncodec.encode(image, base=row.base, scale=row.scale, quality=40, effort=3, threads=1)
    said = Parameters.unpack(parts(data)[1]["PARM"])
    new = replace(said, weights=weights, strength=0, model_id=row.wire_id)
    return with_parameters(data, new.pack())


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.fromarray(photograph(120, 150))


# --- what is written


def test_the_default_is_for_the_eye(photo: Image.Image) -> None:
    data = dsncodec.encode(photo, quality=50)
    assert data == dsncodec.encode(photo, "restored", tune="visual", quality=50)
    assert data != dsncodec.encode(photo, tune="psnr", quality=50)
    own = dsncodec.extract(data, bare=True).data
    assert avif.is_deep(own) and imagecodecs.avif_decode(own).dtype == np.uint16
    assert not avif.is_deep(dsncodec.extract(dsncodec.encode(photo, tune="psnr"), bare=True).data)
    with pytest.raises(SettingError, match="tune must be one of visual, psnr, not 'ssim'"):
        dsncodec.encode(photo, tune="ssim")


def test_threads_change_no_byte() -> None:
    """More than one thread makes libaom another encoder: it always has two."""
    image = photograph(300, 420)
    assert len({dsncodec.encode(image, quality=45, threads=threads) for threads in (1, 2, 3)}) == 1


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_an_older_libavif_still_writes_a_good_file(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ten bits, and without tune=iq."""
    monkeypatch.setattr(avif, "_has_deep", lambda: False)
    real, asked = Image.Image.save, []

    def save(image: Image.Image, *args: Any, **options: Any) -> None:
        asked.append(options["advanced"]["tune"])
        if asked[-1] == "iq":
            raise ValueError("Invalid advanced codec options")
        real(image, *args, **options)

    monkeypatch.setattr(Image.Image, "save", save)
    image = picture(mode, 60, 44)
    shown = dsncodec.decode(dsncodec.encode(image, quality=80))
    assert asked == ["iq", "ssim"]
    assert ssimulacra2(array(image), array(shown)) > 60


def test_ten_bits_come_back() -> None:
    colour = array(picture("RGB", 33, 20))
    found = decode_base(encode_base(colour, 100, "avif", 0, 1, "visual"), colour.shape)
    assert found.dtype == np.uint16 and int(found.max()) <= 1023
    assert np.abs(found / 1023 - colour / 255).max() < 0.01


def test_twelve_bits_are_refused() -> None:
    wide = array(picture("RGB", 16, 16)).astype(np.uint16) * 16
    file = imagecodecs.avif_encode(wide, level=60, speed=10, bitspersample=12, pixelformat="444", codec="aom")
    with pytest.raises(Corrupt, match="12 bits"):
        decode_base(b"\x10" + bytes(file), (16, 16, 3))


# --- never worse


def flat(rows: int, columns: int) -> UInt8Array:
    return np.full((rows, columns, 3), (90, 120, 40), np.uint8)


@pytest.mark.parametrize(
    "pixels",
    [
        photograph(130, 170),
        photograph(130, 170)[..., 1],
        scene(200, 160, seed=3),
        text_page(160, 120),
        flat(40, 50),
        np.random.default_rng(1).integers(0, 256, (60, 70, 3), np.uint8),
    ],
    ids=["photo", "grey", "scene", "text", "flat", "noise"],
)
@pytest.mark.parametrize("base", ["avif", "jpeg", "jxl"])
@pytest.mark.parametrize("quality", [10, 45, 85])
def test_no_picture_is_worse_than_its_base_codecs(pixels: UInt8Array, base: str, quality: int) -> None:
    data = dsncodec.encode(pixels, base=base, quality=quality, threads=1)
    info = dsncodec.read_info(data)
    shown, plain = (array(dsncodec.decode(data, preview=small, threads=1)) for small in (False, True))
    if info.scale == 2:
        plain = doubled(plain.reshape(*plain.shape[:2], -1), (*shown.shape[:2], 1 if shown.ndim == 2 else 3))
        plain = plain.reshape(shown.shape)
    reached, of_base = ssimulacra2(pixels, shown), ssimulacra2(pixels, plain)
    assert reached >= of_base
    if info.gain_ssimulacra2:
        assert info.gain_ssimulacra2 == pytest.approx(min(reached - of_base, 12.75), abs=0.03)


@pytest.mark.parametrize("size", [(1, 1), (7, 30), (8, 8), (9, 200)])
@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_small_pictures(size: tuple[int, int], mode: str) -> None:
    """Below 8 pixels a side there is no SSIMULACRA 2: squared error decides."""
    image = picture(mode, *size)
    shown = dsncodec.decode(dsncodec.encode(image, quality=90))
    assert shown.size == size and shown.mode == mode
    assert np.abs(array(shown).astype(int) - array(image)).mean() < 12


def test_large_pictures_are_judged_by_squares() -> None:
    for shape in ((2500, 2500, 3), (300, 20000, 1), (20000, 300, 3), (5000, 1000, 1)):
        judge = VisualJudge(np.broadcast_to(np.uint8(7), shape))
        rows, columns = shape[:2]
        assert (
            sum((y.stop - y.start) * (x.stop - x.start) for y, x in judge._parts) <= VisualJudge.MOST_PIXELS
        )
        assert len(judge._parts) >= 4
        for side, axis in ((rows, 0), (columns, 1)):
            first, last = min(p[axis].start for p in judge._parts), max(p[axis].stop for p in judge._parts)
            # spread over the whole side, or one in the middle of it
            assert abs(first - (side - last)) <= 1
            assert first == 0 or len({p[axis].start for p in judge._parts}) == 1


# --- the networks


@pytest.mark.weights
@EVERY_NETWORK
def test_the_halo_is_wide_enough(row: Restoration, monkeypatch: pytest.MonkeyPatch) -> None:
    colour = photograph(131, 150)
    restorer = restored.Restorer(row, colour, Parameters(40, 31.25, 0, 0.0, row.wire_id), 1)

    def corrections() -> np.ndarray:
        out = np.full((row.hypotheses, *colour.shape), np.nan, np.float32)
        for tile in restorer.tiles((slice(0, 131), slice(0, 150))):
            out[:, *tile.inner] = restorer.corrections(tile)
        return out

    whole = corrections()
    assert np.abs(whole).max() > 0.1
    monkeypatch.setattr(restored, "TILE", 8 * row.unit)
    np.testing.assert_allclose(corrections(), whole, atol=2e-3)


@pytest.mark.weights
@EVERY_NETWORK
@pytest.mark.parametrize("mode", ["LA", "RGB"])
def test_a_region_is_a_crop(row: Restoration, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restored, "TILE", 64)
    image = Image.fromarray(photograph(133, 151)).convert(mode)
    data = weighed(row, image, (40, -30, 20, -10, *(0,) * MOST_WEIGHTS)[: row.hypotheses])
    full = dsncodec.decode(data, threads=1)
    assert full.tobytes() != dsncodec.decode(data, preview=True).tobytes()
    for region in ((0, 0, 1, 1), (150, 132, 151, 133), (63, 63, 65, 65), (5, 60, 140, 70)):
        assert dsncodec.decode(data, region=region, threads=1).tobytes() == full.crop(region).tobytes()


@pytest.mark.weights
@EVERY_NETWORK
def test_weights_of_nothing_show_the_base_picture(row: Restoration, photo: Image.Image) -> None:
    data = weighed(row, photo, (0,) * row.hypotheses)
    info = dsncodec.read_info(data)
    assert (info.model, info.strength) == ("", 0)
    base = np.asarray(dsncodec.decode(data, preview=True))
    expected = base if row.scale == 1 else doubled(base, (photo.height, photo.width, 3))
    assert dsncodec.decode(data).tobytes() == expected.tobytes()


# --- bytes


def test_parameters_survive() -> None:
    said = Parameters(63, 31.25, 0, 0.0, b"abcd", 1, (-128, 127, 0, 5), 3.25)
    assert Parameters.unpack(said.pack()) == said and len(said.pack()) == 12
    assert Parameters.unpack(replace(said, scale=2).pack()).scale == 2
    of_psnr = replace(said, gain_db=1.5, gain_points=None)
    assert Parameters.unpack(of_psnr.pack()) == of_psnr and len(of_psnr.pack()) == 12
    assert Parameters.unpack(replace(of_psnr, gain_db=0.0, scale=2).pack()).gain_points is None


GOOD = Parameters(40, 31.25, 0, 0.0, b"abcd", 1, (1, 2, 3, 4), 1.0).pack()


@pytest.mark.parametrize(
    "payload",
    [
        GOOD[:8],
        GOOD[:5],
        GOOD[:1],
        b"\x80" + GOOD[1:],
        b"\x83" + GOOD[1:],
        b"\xc0" + GOOD[1:],
        b"\xc3" + GOOD[1:],
        b"\xff" + GOOD[1:],
        GOOD[:1] + b"\x65" + GOOD[2:],
        GOOD[:4] + bytes(4) + GOOD[8:],
        GOOD[:8] + bytes(MOST_WEIGHTS + 1),
    ],
    ids=repr,
)
def test_impossible_parameters(payload: bytes, photo: Image.Image) -> None:
    data = with_parameters(dsncodec.encode(photo, effort=0), payload)
    for action in (dsncodec.decode, dsncodec.read_info, dsncodec.verify):
        with pytest.raises(Corrupt) as caught:
            action(data)
        assert caught.value.field == "PARM"


@pytest.mark.weights
@pytest.mark.parametrize("more", [-1, 1])
def test_a_weight_for_each_correction(more: int, photo: Image.Image) -> None:
    row = WEIGHED[0]
    data = weighed(row, photo, (3,) * (row.hypotheses + more))
    for action in (dsncodec.decode, dsncodec.verify):
        with pytest.raises(Corrupt, match=f"{row.hypotheses + more} weights for network {row.name}"):
            action(data)
    plain = next(one for one in registry.restorations() if one.base == "avif" and one.hypotheses == 1)
    with pytest.raises(Corrupt, match="weights for network"):
        dsncodec.decode(weighed(plain, photo, (3,)))


# --- quality and targets


def test_quality_is_about_the_score() -> None:
    pixels = photograph(300, 400)
    scores = {}
    for quality in (40, 60, 80):
        data = dsncodec.encode(pixels, quality=quality)
        scores[quality] = ssimulacra2(pixels, array(dsncodec.decode(data)))
        assert abs(scores[quality] - quality) < 15
    assert scores[40] < scores[60] < scores[80]


@pytest.mark.parametrize("method", ["restored", "dsn"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_target_ssimulacra2(method: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = photograph(150, 180) if mode == "RGB" else photograph(150, 180)[..., 1]
    target = 60 if method == "restored" else 20
    coded: list[int] = []
    real = restored.carriers.encode_base
    monkeypatch.setattr(
        restored.carriers, "encode_base", lambda *args: (coded.append(args[1]), real(*args))[1]
    )
    data = dsncodec.encode(pixels, method, target_ssimulacra2=target, effort=3)
    reached = ssimulacra2(pixels, array(dsncodec.decode(data)))
    assert reached >= target
    if method == "restored":
        assert len(set(coded)) <= 4
        assert reached < target + 5


def test_impossible_scores() -> None:
    image = picture("RGB", 40, 40)
    for wrong in (0, -3, 100, float("nan"), "70", True):
        with pytest.raises(SettingError, match="target_ssimulacra2"):
            dsncodec.encode(image, target_ssimulacra2=wrong)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="give one of"):
        dsncodec.encode(image, target_ssimulacra2=60, quality=3)
    with pytest.raises(SettingError, match="the best of this picture"):
        dsncodec.encode(photograph(60, 60), "dsn", target_ssimulacra2=99.9, effort=0)
    with pytest.raises(SettingError, match=r"SSIMULACRA 2|at least 8"):
        dsncodec.encode(picture("RGB", 5, 40), target_ssimulacra2=60)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "photo.png"
    Image.fromarray(photograph(90, 110)).save(source)
    assert main(["encode", str(source), "--target-ssimulacra2", "65", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert 65 <= report["ssimulacra2"] < 75 and report["method"] == "restored"
    assert main(["encode", str(source), "--tune", "psnr", "--force", "-q", "50"]) == 0
    assert " dB" in capsys.readouterr().out
    assert dsncodec.read_info(tmp_path / "photo.dsn").gain_ssimulacra2 is None
