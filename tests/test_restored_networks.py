"""The published restoration networks, whichever they are, do in tiles and regions what their files say."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest
from PIL import Image

import dsncodec
from dsncodec import carriers, container
from dsncodec.carriers import encode_base
from dsncodec.container import Header
from dsncodec.errors import SettingError
from dsncodec.methods.restored import codec as restored
from dsncodec.methods.restored.bitstream import Parameters
from dsncodec.methods.restored.half_size import doubled, halved
from dsncodec.networks import registry
from dsncodec.networks.registry import Restoration
from dsncodec.reading import read_picture

from .conftest import MODES, UInt8Array, picture
from .restored import Use, array, own_file, photo, row_of, sections_of

# those of several corrections: test_restored_visual.py
EVERY_NETWORK = pytest.mark.parametrize(
    "row", [row for row in registry.restorations() if row.hypotheses == 1], ids=lambda row: str(row.name)
)


def forced(row: Restoration, image: Image.Image, strength: int = 80, quality: int = 40) -> bytes:
    """A file whose encoder has found this strength best, whatever that does to the picture."""
    read = read_picture(image)
    header = Header("restored", read.mode, image.width, image.height)
    colour = np.ascontiguousarray(read.pixels[..., : header.colour_planes])
    sections = [
        ("PARM", Parameters(quality, 31.25, strength, 0.5, row.wire_id, row.scale).pack()),
        ("BASE", encode_base(halved(colour) if row.scale == 2 else colour, quality, row.base, 2, 1)),
    ]
    if header.has_alpha:
        alpha = np.ascontiguousarray(read.pixels[None, ..., -1])
        sections.append(("ALPH", carriers.encode(alpha, 256, "lzma2", 0)))
    return container.pack(header, sections)


def by_hand(data: bytes, run: Callable[[dict[int, np.ndarray]], np.ndarray], unit: int) -> UInt8Array:
    """The picture by docs/format.md, without the package's inference: the whole padded frame at once."""
    header, sections = sections_of(data)
    scale, quality, psnr, strength, _, _ = struct.unpack("<BBBBB4s", sections["PARM"])
    own = own_file(data)
    if own[:2] == b"\xff\x0a":
        opened = imagecodecs.jpegxl_decode(own)
    else:
        with Image.open(io.BytesIO(own)) as image:
            opened = array(image.convert("L" if header.colour_planes == 1 else "RGB"))
    shown = opened.reshape(*opened.shape[:2], -1)
    if scale == 2:
        shown = doubled(shown, (header.height, header.width, header.colour_planes))
    shown = shown.astype(np.float32)
    more = [(0, -side % unit) for side in shown.shape[:2]]
    colour = np.pad(shown, [*more, (0, 0)], "edge")
    x = np.repeat(colour, 3 // colour.shape[2], 2).transpose(2, 0, 1)[None] / np.float32(255)
    scalars = [np.full((1, 1, 1, 1), value, np.float32) for value in (quality / 100, 10 ** (-psnr / 80))]
    y = run({0: x, 1: scalars[0], 2: scalars[1]})
    correction = ((y - x)[0] * 255).transpose(1, 2, 0)
    if header.colour_planes == 1:
        correction = correction @ np.array([[0.299], [0.587], [0.114]], np.float32)
    values = shown + strength / 64 * correction[: header.height, : header.width]
    return np.floor(np.clip(values, 0, 255) + 0.5).astype(np.uint8)


@pytest.mark.weights
@EVERY_NETWORK
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_decode_is_what_the_file_says_in_numpy(row: Restoration, mode: str) -> None:
    pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    graph = ReferenceEvaluator(str(registry.checked_file(row)))
    data = forced(row, picture(mode, 23, 17), strength=255)
    expected = by_hand(
        data, lambda given: graph.run(None, dict(zip(graph.input_names, given.values())))[0], row.unit
    )
    found = array(dsncodec.decode(data, threads=1)).reshape(expected.shape)
    assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.weights
@EVERY_NETWORK
@pytest.mark.parametrize(
    ("mode", "size"), [("L", (301, 270)), ("RGB", (263, 257)), ("RGB", (1, 1)), ("L", (3, 520))]
)
def test_tiles_are_the_whole_frame(row: Restoration, mode: str, size: tuple[int, int]) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(registry.checked_file(row)))
    names = [node.name for node in session.get_inputs()]
    image = photo(*size).convert(mode)
    data = forced(row, image, strength=255)
    expected = by_hand(data, lambda given: session.run(None, dict(zip(names, given.values())))[0], row.unit)
    found = array(dsncodec.decode(data)).reshape(expected.shape).astype(int)
    apart = np.abs(found - expected)
    assert apart.max() <= 1 and (apart > 0).mean() <= 0.001


@pytest.mark.weights
@EVERY_NETWORK
def test_the_halo_is_wide_enough(row: Restoration, monkeypatch: pytest.MonkeyPatch) -> None:
    """Corrections themselves, which would show what rounding hides."""
    assert restored.TILE % row.unit == row.halo % row.unit == 0
    colour = array(photo(150, 131))
    restorer = restored.Restorer(row, colour, Parameters(40, 31.25, 64, 0.0, row.wire_id), 1)

    def correction() -> np.ndarray:
        out = np.full(colour.shape, np.nan, np.float32)
        for tile in restorer.tiles((slice(0, 131), slice(0, 150))):
            out[tile.inner] = restorer.corrections(tile)[0]
        return out

    whole = correction()
    monkeypatch.setattr(restored, "TILE", 8 * row.unit)
    np.testing.assert_allclose(correction(), whole, atol=2e-3)


@pytest.mark.weights
@EVERY_NETWORK
@pytest.mark.parametrize("mode", ["LA", "RGB"])
def test_a_region_is_a_crop_at_awkward_places(
    row: Restoration, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restored, "TILE", 64)
    data = forced(row, photo(151, 133).convert(mode), strength=200)
    full = dsncodec.decode(data, threads=1)
    for region in (
        (0, 0, 1, 1),
        (150, 132, 151, 133),
        (63, 63, 65, 65),
        (64, 64, 128, 128),
        (1, 3, 150, 130),
        (0, 131, 151, 133),
        (127, 0, 129, 133),
        (5, 7, 6, 8),
        (0, 0, 151, 133),
    ):
        assert dsncodec.decode(data, region=region, threads=1).tobytes() == full.crop(region).tobytes()


@pytest.mark.weights
@EVERY_NETWORK
@pytest.mark.parametrize("mode", MODES)
def test_grey_stays_one_plane_and_alpha_is_exact(row: Restoration, mode: str) -> None:
    image = picture(mode, 37, 22)
    data = forced(row, image)
    decoded, shown = dsncodec.decode(data), dsncodec.decode(data, preview=True)
    assert decoded.mode == shown.mode == mode
    if mode.endswith("A"):
        for answer in (decoded, shown) if row.scale == 1 else (decoded,):
            assert answer.getchannel("A").tobytes() == image.getchannel("A").tobytes()
        window = dsncodec.decode(data, region=(5, 4, 20, 19))
        assert window.getchannel("A").tobytes() == image.getchannel("A").crop((5, 4, 20, 19)).tobytes()


@pytest.mark.weights
@EVERY_NETWORK
def test_threads_change_no_pixel_beyond_rounding(row: Restoration) -> None:
    data = forced(row, photo(120, 90))
    one, two = (array(dsncodec.decode(data, threads=threads)).astype(int) for threads in (1, 2))
    assert np.abs(one - two).max() <= 1


@pytest.mark.weights
@EVERY_NETWORK
def test_what_a_file_says_of_itself(row: Restoration) -> None:
    data = forced(row, picture("RGBA", 20, 10), strength=80, quality=40)
    info = dsncodec.read_info(data)
    assert (info.method, info.scale, info.levels, info.chroma_levels) == ("restored", row.scale, None, None)
    assert (info.base_quality, info.base_psnr_db, info.strength, info.gain_db) == (40, 31.25, 1.25, 0.5)
    assert (info.model, info.model_id) == (row.name, row.wire_id[:4].hex())
    assert info.backends == {"BASE": row.base, "ALPH": "lzma2"}
    assert list(info.sections) == ["PARM", "BASE", "ALPH"]
    dsncodec.verify(data)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("mode", MODES)
def test_a_reader_may_choose_another_network(mode: str, scale: int, use: Use) -> None:
    """The one for all files of a base codec: whatever network the file names, and where it names none."""
    half = row_of("avif", name="half", scale=2)
    run = use(row_of("avif", name="looks", tune="perceptual"), row_of("avif"), half)
    image = picture(mode, 40, 33)
    data = dsncodec.encode(image, dsncodec.Restored(base="avif", base_quality=30, scale=scale, tune="psnr"))
    run.clear()
    shown = dsncodec.decode(data, decoder="perceptual")
    assert set(run) == {"looks.onnx"} and (shown.mode, shown.size) == (mode, (40, 33))
    run.clear()
    plain = dsncodec.decode(data)
    assert "looks.onnx" not in run
    if mode.endswith("A"):
        assert shown.getchannel("A").tobytes() == plain.getchannel("A").tobytes()
    region = (3, 5, 21, 32)
    part = dsncodec.decode(data, decoder="perceptual", region=region)
    assert part.tobytes() == shown.crop(region).tobytes()
    rows = dsncodec.decode_rows(data, decoder="perceptual").image()
    assert rows.tobytes() == shown.tobytes()


def test_a_base_codec_without_another_network_says_so(use: Use) -> None:
    use(row_of("avif", tune="perceptual"), row_of("jpeg"))
    data = dsncodec.encode(picture("RGB", 20, 15), dsncodec.Restored(base="jpeg", base_quality=50))
    with pytest.raises(SettingError, match="no decoder 'perceptual' for files with base codec jpeg"):
        dsncodec.decode(data, decoder="perceptual")
