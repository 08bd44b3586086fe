"""Texture of latent grids: noise that every reader draws alike, units that are fitted to a picture's contrast, and files with them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dsncodec
from dsncodec import container
from dsncodec.methods.latentgrid import bitstream, texture, texture_fit
from dsncodec.methods.latentgrid import encoder as latentgrid
from dsncodec.methods.latentgrid.encoder import Coded, Encoder, Point
from dsncodec.methods.latentgrid.texture import SEEN, Texture
from dsncodec.metrics import psnr_db
from dsncodec.planes import TO_YCBCR

from .golden.add import sections_of
from .reference_decoder import noise_plane

EMPTY = [("PARM", bytes(8)), ("NETW", b""), ("LATS", b"")]
PHOTOS = Path(__file__).parent / "photos"


def units(count: int = 3) -> Texture:
    rng = np.random.default_rng(count)
    sees, offsets, gives = (
        rng.integers(-9, 10, shape).astype(np.int32) for shape in ((count, SEEN), (count,), (3, count))
    )
    return Texture(sees, offsets, gives, 7)


# --- noise


@pytest.mark.parametrize("seed", [0, 1, 0xFFFFFFFF])
def test_noise_is_what_the_format_says(seed: int) -> None:
    found = texture.noise(seed, (slice(0, 9), slice(0, 13)))
    np.testing.assert_array_equal(found, [noise_plane(seed, k, 9, 13) for k in range(3)])


def test_noise_of_a_window_is_that_of_the_picture() -> None:
    whole = texture.noise(3, (slice(0, 40), slice(0, 50)))
    for y, x in ((slice(0, 1), slice(49, 50)), (slice(5, 23), slice(7, 8)), (slice(17, 40), slice(2, 50))):
        np.testing.assert_array_equal(texture.noise(3, (y, x)), whole[:, y, x])


def test_noise_has_no_mean_no_pattern_and_one_deviation() -> None:
    for plane, cell in zip(texture.noise(11, (slice(0, 512), slice(0, 512))), (1, 2, 4)):
        cells = plane[::cell, ::cell]
        assert abs(cells.mean()) < 5 / cells.size**0.5 and abs(cells.std() - 1.155) < 0.02
        for axis in (0, 1):
            assert abs((cells * np.roll(cells, 1, axis)).mean()) < 6 / cells.size**0.5
    # far from the origin, too, where sums pass 2^32
    far = texture.noise(11, (slice(2**31 - 65, 2**31 - 1), slice(2**31 - 65, 2**31 - 1)))
    assert abs(far[0].std() - 1.155) < 0.1


# --- the section


def test_a_section_comes_back() -> None:
    for count in (1, 16):
        made = units(count)
        found = Texture.unpack(made.pack(), 7)
        for one, other in ((made.sees, found.sees), (made.offsets, found.offsets), (made.gives, found.gives)):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "payload", [b"", b"\0" + bytes(9), bytes([17]) + bytes(99), units().pack() + b"\1" * 9], ids=repr
)
def test_a_broken_section_is_refused(payload: bytes) -> None:
    with pytest.raises(dsncodec.Corrupt, match=texture.TAG):
        Texture.unpack(payload, 0)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    with Image.open(PHOTOS / "astronaut.webp") as image:
        return np.asarray(image.convert("RGB").crop((60, 0, 444, 360)))


@pytest.fixture(scope="module")
def file(photo: np.ndarray) -> bytes:
    pytest.importorskip("numba", reason="numba is not installed (extra [fit])")
    return dsncodec.encode(photo, "latentgrid", steps=25, quality=15, threads=1)


def test_a_file_of_a_low_rate_has_it(photo: np.ndarray, file: bytes) -> None:
    assert 8 * len(file) / photo[..., 0].size < 0.3, "a photograph at this quality is to have texture"
    assert 0 < len(sections_of(file)[1][texture.TAG]) < 0.025 * len(file)


def test_it_brings_contrast_nearer_to_the_original(photo: np.ndarray, file: bytes) -> None:
    plain, shown = (
        np.asarray(dsncodec.decode(file, decoder=decoder)) for decoder in ("fidelity", "perceptual")
    )

    def apart(picture: np.ndarray) -> float:
        """Of the logarithms of local energies, octave by octave."""
        found = []
        for one in (picture, photo):
            y = np.tensordot(TO_YCBCR, one.transpose(2, 0, 1).astype(np.float32) / 255, 1)
            found.append(
                [texture_fit._logarithms(texture_fit._energy(band)) for band in texture_fit._bands(y)]
            )
        return sum(float(np.square(a - b).mean()) for a, b in zip(*found))

    assert apart(shown) < 0.9 * apart(plain)
    assert psnr_db(photo, plain) - 1 < psnr_db(photo, shown) < psnr_db(photo, plain)
    # and colours stay
    assert np.abs((shown.astype(float) - plain).mean((0, 1))).max() < 2


def test_every_region_and_thread_count_shows_the_same(file: bytes) -> None:
    whole = np.asarray(dsncodec.decode(file, decoder="perceptual", threads=1))
    np.testing.assert_array_equal(np.asarray(dsncodec.decode(file, decoder="perceptual", threads=2)), whole)
    part = dsncodec.decode(file, decoder="perceptual", region=(33, 65, 201, 194))
    np.testing.assert_array_equal(np.asarray(part), whole[65:194, 33:201])
    dsncodec.register_pillow()
    with Image.open(io.BytesIO(file)) as image:
        image.decoder = "perceptual"  # type: ignore[attr-defined]
        np.testing.assert_array_equal(np.asarray(image), whole)


def test_without_numba_it_shows_the_same(file: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = np.asarray(dsncodec.decode(file, decoder="perceptual")).astype(int)
    monkeypatch.setenv("DSNCODEC_NUMBA", "0")
    apart = np.abs(np.asarray(dsncodec.decode(file, decoder="perceptual")).astype(int) - compiled)
    assert apart.max() <= 1 and (apart > 0).mean() <= 0.001


def test_fidelity_leaves_the_section_alone(file: bytes) -> None:
    header, sections = sections_of(file)
    del sections[texture.TAG]
    without = container.pack(header, list(sections.items()))
    np.testing.assert_array_equal(np.asarray(dsncodec.decode(file)), np.asarray(dsncodec.decode(without)))
    with pytest.raises(dsncodec.SettingError, match="no texture"):
        dsncodec.decode(without, decoder="perceptual")
    dsncodec.verify(file)
    assert "texture" in str(dsncodec.read_info(file).model)
    assert "texture" not in str(dsncodec.read_info(without).model)


# --- the fit


@pytest.mark.parametrize("planes", [1, 3])
def test_the_gradient(planes: int) -> None:
    """Beside differences of what is lessened, written down once more in double precision."""
    rng = np.random.default_rng(planes)
    seen, kernel = rng.normal(0, 1, (SEEN, 40, 48)), rng.normal(0, 0.05, (3, 3, 3, 3))
    base, wanted = rng.uniform(0.3, 0.6, (3, 40, 48)), rng.uniform(0.2, 0.8, (planes, 40, 48))
    crop = texture_fit._Crop(*(part.astype(np.float32) for part in (seen, base, wanted, kernel)))
    weights = [rng.normal(0, 0.3, (4, SEEN)), rng.normal(0, 0.1, (4, 1)), rng.normal(0, 0.02, (3, 4))]

    def lessened(parts: list[np.ndarray]) -> float:
        given = (parts[2] @ np.maximum(parts[0] @ crop.seen.astype(float) + parts[1], 0)).reshape(3, 40, 48)
        padded = np.pad(given, ((0, 0), (1, 1), (1, 1)), "edge")
        samples = crop.base + given
        for o, i, r, s in np.ndindex(3, 3, 3, 3):
            samples[o] += kernel[o, i, r, s] * padded[i, r : r + 40, s : s + 48]
        shown = np.tensordot(crop.shows, np.clip(samples, 0, 1), 1)
        total = np.square(shown - wanted).mean() / crop.error
        bands = texture_fit._bands(np.tensordot(crop.turns, shown, 1))
        for band, target, apart in zip(bands, crop.energies, crop.apart):
            squares = np.square(band).reshape(planes, 5, 8, 6, 8).mean((2, 4))
            energy = (
                squares[:, 1:, 1:] + squares[:, 1:, :-1] + squares[:, :-1, 1:] + squares[:, :-1, :-1]
            ) / 4
            found = np.log1p(energy / texture_fit.LEAST_ENERGY) * texture_fit._chroma(planes)
            total += texture_fit.STATISTICS / 3 * np.square(found - target).sum() / apart
        return float(total)

    gradients = crop.gradients(*(part.astype(np.float32) for part in weights))
    for number, (part, gradient) in enumerate(zip(weights, gradients)):
        direction = rng.normal(0, 1, part.shape)
        changed = [
            [p + sign * 1e-4 * direction if n == number else p for n, p in enumerate(weights)]
            for sign in (1, -1)
        ]
        slope = (lessened(changed[0]) - lessened(changed[1])) / 2e-4
        # edges of the crop are not exact
        assert np.vdot(gradient, direction) == pytest.approx(slope, rel=0.1, abs=0.02)


def test_small_pictures_have_none(file: bytes) -> None:
    header, sections = sections_of(file)
    nets = bitstream.parse(header, sections).nets
    grids = [np.zeros(shape, np.int8) for shape in bitstream.grid_shapes((20, 320))]
    assert texture_fit.fitted(np.zeros((20, 320, 3), np.uint8), nets, grids, 0) is None


# --- files


@pytest.mark.parametrize(
    ("tune", "size", "has"),
    [
        ("visual", 6000, True),
        ("psnr", 6000, False),
        # 0.4 bits per pixel
        ("visual", 13107, False),
        # 60 bytes would be more than a fortieth
        ("visual", 2000, False),
    ],
)
def test_which_files_are_to_have_it(tune: str, size: int, has: bool) -> None:
    pytest.importorskip("numba", reason="numba is not installed (extra [fit])")
    header, options = container.Header("latentgrid", "RGB", 512, 512), dsncodec.LatentGrid(steps=1, tune=tune)
    encoder = Encoder(header, np.zeros((512, 512, 3), np.uint8), 1, options)
    assert encoder._wants_texture(size) == has
    spare = 64 + 0.015 * size if has else 0
    assert encoder._room(size) == int(0.98 * (size - spare - encoder._size(EMPTY)))


def test_a_grey_picture_has_it_too(photo: np.ndarray) -> None:
    pytest.importorskip("numba", reason="numba is not installed (extra [fit])")
    grey = np.ascontiguousarray(photo[..., 1])
    data = dsncodec.encode(grey, "latentgrid", steps=25, quality=15, threads=1)
    assert texture.TAG in sections_of(data)[1]
    shown = dsncodec.decode(data, decoder="perceptual")
    assert shown.mode == "L"
    assert (np.asarray(shown) != np.asarray(dsncodec.decode(data))).mean() > 0.1


def test_whoever_waits_gets_the_file_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the fit, and a budget of a few seconds has no time for it."""
    pytest.importorskip("numba", reason="numba is not installed (extra [fit])")
    header = container.Header("latentgrid", "RGB", 64, 64)
    monkeypatch.setattr(texture_fit, "fitted", lambda *_: pytest.fail("texture was fitted"))
    nets = bitstream.Nets(8, bitstream.zero_init(8))
    coded = Coded(EMPTY, np.zeros((64, 64, 3), np.uint8), nets, ())
    for options, interrupted in (
        (dsncodec.LatentGrid(seconds=3), False),
        (dsncodec.LatentGrid(steps=5), True),
    ):
        encoder = Encoder(header, np.zeros((64, 64, 3), np.uint8), 1, options)
        monkeypatch.setattr(encoder, "_size", lambda sections: 100)
        monkeypatch.setattr(latentgrid, "TEXTURE_SHARE", 1.0)
        encoder._interrupted = interrupted
        # a budget of three seconds has no time for it
        assert encoder._wants_texture(100) == interrupted
        assert encoder._textured(coded, Point(1e-3)) is coded
