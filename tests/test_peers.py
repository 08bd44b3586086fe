"""What programs know from other formats holds for .dsn: public behaviours of Pillow's WebP and AVIF plugins and its generic suites,
of pillow_heif and of imageio, each tried in a few lines. Written for this package; nothing is copied.

Does not apply: animations (durations, loops, backgrounds, seeking between frames: a .dsn file has one picture), modes deeper than 8
bits, chroma subsampling, codec and speed options and decoder limits of libavif and libwebp, ``exact`` colours under alpha 0, sizes and
hot spots of icons, primary pictures, thumbnails and depth maps in HEIF containers, encoders of several pictures, and truncated files
that are shown in part: no network can be run on half a layer.
"""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

import dsncodec
from dsncodec.errors import DsnWarning, LossWarning, SettingError
from dsncodec.pillow_plugin import DsnImageFile

from .conftest import MODES, picture

FAST: dict[str, Any] = {"base": "jpeg", "effort": 0, "threads": 1}
WIDTH, HEIGHT = 20, 14


@pytest.fixture(autouse=True, scope="module")
def registered() -> None:
    dsncodec.register_pillow()


def saved(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "DSN", **FAST, **options)
    return buffer.getvalue()


def reopened(image: Image.Image, **options: Any) -> Image.Image:
    return Image.open(io.BytesIO(saved(image, **options)))


@pytest.fixture(scope="module")
def data() -> bytes:
    return saved(picture("RGB", WIDTH, HEIGHT))


@pytest.fixture
def path(data: bytes, tmp_path: Path) -> Path:
    place = tmp_path / "a.dsn"
    place.write_bytes(data)
    return place


# --- Pillow, WebP and AVIF: reading


def test_an_open_file_says_what_it_is(path: Path) -> None:
    with Image.open(path) as image:
        assert (image.format, image.mode, image.size) == ("DSN", "RGB", (WIDTH, HEIGHT))
        assert image.get_format_mimetype() == "image/x-dsn" == Image.MIME["DSN"]
        assert image.format_description
        assert image.filename == str(path) if isinstance(image, ImageFile.ImageFile) else False


def test_the_suffix_is_registered() -> None:
    assert Image.registered_extensions()[".dsn"] == "DSN"
    assert {"DSN"} <= set(Image.OPEN) & set(Image.SAVE) & set(Image.SAVE_ALL)


def test_pixels_are_those_of_decode(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        assert image.tobytes() == dsncodec.decode(data, threads=1).tobytes()
        assert image.getpixel((3, 4)) == dsncodec.decode(data, threads=1).getpixel((3, 4))


def test_loading_twice_is_loading_once(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        access = image.load()
        assert access is not None and access[1, 1] == image.getpixel((1, 1))
        assert image.load() is not None


def test_one_file_object_serves_several_opens(data: bytes) -> None:
    stream = io.BytesIO(data)
    for _ in range(2):
        with Image.open(stream) as image:
            image.load()


def test_a_caller_keeps_its_file(path: Path) -> None:
    with open(path, "rb") as file:
        with Image.open(file) as image:
            image.load()
        assert not file.closed


def test_a_path_is_closed_behind_the_picture(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        Image.open(path).load()
    path.unlink()


def test_a_closed_picture_cannot_be_loaded(path: Path) -> None:
    image = Image.open(path)
    image.close()
    with pytest.raises(ValueError, match="closed"):
        image.load()


def test_formats_choose_who_may_open(data: bytes) -> None:
    with Image.open(io.BytesIO(data), formats=["DSN"]) as image:
        assert image.format == "DSN"
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(data), formats=["PNG", "WEBP"])


def test_another_kind_of_file_is_a_syntax_error_of_the_plugin() -> None:
    png = io.BytesIO()
    picture("RGB", 5, 4).save(png, "PNG")
    with pytest.raises(SyntaxError):
        DsnImageFile(png)


@pytest.mark.parametrize("tolerant", [False, True])
def test_a_truncated_file_is_an_os_error(
    tolerant: bool, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", tolerant)
    with pytest.raises(OSError):
        Image.open(io.BytesIO(data[:-4])).load()


def test_bytes_behind_the_end_are_ignored(data: bytes) -> None:
    with pytest.warns(DsnWarning, match="4 bytes that follow"):
        image = Image.open(io.BytesIO(data + b"more"))
        image.load()
    assert image.size == (WIDTH, HEIGHT)


def test_there_is_one_frame(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        assert (getattr(image, "n_frames", 1), getattr(image, "is_animated", False)) == (1, False)
        image.seek(0)
        assert image.tell() == 0
        with pytest.raises(EOFError):
            image.seek(1)


def test_verify_closes_and_says_nothing_of_a_sound_file(path: Path) -> None:
    with Image.open(path) as image:
        image.verify()


def test_a_bomb_is_refused_by_pillows_limit(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT // 3)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(data))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT - 1)
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(io.BytesIO(data))


def test_thumbnails_and_crops(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        image.thumbnail((8, 8))
        assert max(image.size) == 8
    with Image.open(io.BytesIO(data)) as image:
        whole = dsncodec.decode(data, threads=1)
        assert image.crop((2, 3, 9, 9)).tobytes() == whole.crop((2, 3, 9, 9)).tobytes()
        assert image.resize((5, 5)).size == image.transpose(Image.Transpose.ROTATE_90).resize((5, 5)).size


def test_numpy_sees_the_pixels(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        assert np.asarray(image).shape == (HEIGHT, WIDTH, 3)
        assert np.array_equal(np.asarray(image), dsncodec.decode(data, as_array=True, threads=1))


# --- the parser, which is fed a file as it comes


@pytest.mark.parametrize("peer", ["WEBP", "DSN"])
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_the_parser_opens_at_the_last_byte_as_of_webp(peer: str, step: int) -> None:
    """Its structure is known when all of it is there: until then the parser collects, and takes no error for one."""
    if peer == "WEBP":
        buffer = io.BytesIO()
        picture("RGB", WIDTH, HEIGHT).save(buffer, "WEBP")
        whole = buffer.getvalue()
    else:
        whole = saved(picture("RGB", WIDTH, HEIGHT))
    parser = ImageFile.Parser()
    for at in range(0, len(whole), step):
        assert parser.image is None
        parser.feed(whole[at : at + step])
    assert parser.image is not None and parser.image.size == (WIDTH, HEIGHT)
    shown = parser.close()
    with Image.open(io.BytesIO(whole)) as image:
        assert shown.tobytes() == image.tobytes()


@pytest.mark.parametrize("peer", ["WEBP", "DSN"])
def test_the_parser_of_half_a_file_ends_with_an_os_error(peer: str) -> None:
    buffer = io.BytesIO()
    picture("RGB", WIDTH, HEIGHT).save(buffer, peer)
    parser = ImageFile.Parser()
    parser.feed(buffer.getvalue()[:-3])
    assert parser.image is None
    with pytest.raises(OSError, match="cannot parse"):
        parser.close()


# --- writing


@pytest.mark.parametrize("mode", MODES)
def test_modes_that_files_have_come_back(mode: str) -> None:
    assert reopened(picture(mode, WIDTH, HEIGHT)).mode == mode


@pytest.mark.parametrize(
    ("mode", "becomes"), [("1", "L"), ("P", "RGB"), ("CMYK", "RGB"), ("YCbCr", "RGB"), ("RGBX", "RGB")]
)
def test_other_modes_are_converted(mode: str, becomes: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LossWarning)
        assert reopened(picture("RGB", WIDTH, HEIGHT).convert(mode)).mode == becomes


@pytest.mark.parametrize("mode", ["I", "I;16", "F"])
def test_deep_modes_are_converted_as_by_webp_and_avif_and_named(mode: str) -> None:
    image = picture("L", WIDTH, HEIGHT).convert("I" if mode == "I;16" else mode).convert(mode)
    with pytest.warns(LossWarning):
        assert reopened(image).mode == "L"


def test_transparency_of_a_palette_becomes_alpha() -> None:
    image = picture("RGB", WIDTH, HEIGHT).convert("P", palette=Image.Palette.ADAPTIVE)
    image.info["transparency"] = 0
    assert reopened(image).mode == "RGBA"


def test_paths_files_and_buffers_get_the_same_bytes(tmp_path: Path, data: bytes) -> None:
    image = picture("RGB", WIDTH, HEIGHT)
    image.save(tmp_path / "a.dsn", **FAST)
    image.save(str(tmp_path / "b.dsn"), **FAST)
    with open(tmp_path / "c.bin", "wb") as file:
        image.save(file, format="DSN", **FAST)
    assert {(tmp_path / name).read_bytes() for name in ("a.dsn", "b.dsn", "c.bin")} == {data}


def test_a_save_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        picture("RGB", WIDTH, HEIGHT).save(tmp_path / "a.dsn", quality="invalid")
    with pytest.raises(ValueError):
        Image.new("RGB", (0, 3)).save(tmp_path / "a.dsn")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("quality", [-1, 101, 50.5])
def test_an_impossible_quality_is_a_value_error(quality: float) -> None:
    with pytest.raises(ValueError, match="quality"):
        saved(picture("RGB", WIDTH, HEIGHT), quality=quality)


def test_quality_rises_with_bytes() -> None:
    image = picture("RGB", 64, 48)
    sizes = [len(saved(image, quality=quality)) for quality in (10, 50, 90)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[2]


def test_method_of_webps_savers_is_no_error(data: bytes) -> None:
    assert len(saved(picture("RGB", WIDTH, HEIGHT), method=6)) == len(data)


def test_lossless_is_lossless() -> None:
    image = picture("RGBA", WIDTH, HEIGHT)
    buffer = io.BytesIO()
    image.save(buffer, "DSN", lossless=True, effort=0)
    with Image.open(buffer) as back:
        assert back.tobytes() == image.tobytes()


def test_save_all_of_one_frame_is_save() -> None:
    image = picture("RGB", WIDTH, HEIGHT)
    assert saved(image, save_all=True) == saved(image)
    with pytest.raises(ValueError, match="one picture"):
        saved(image, save_all=True, append_images=[image])


def test_saving_does_not_change_the_picture() -> None:
    image = picture("RGBA", WIDTH, HEIGHT)
    before = image.tobytes(), image.mode, dict(image.info)
    saved(image)
    assert (image.tobytes(), image.mode, dict(image.info)) == before


# --- metadata


def tags(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "maker", orientation
    return exif


@pytest.mark.parametrize("given", ["Exif", "bytes", "bytes without JPEG's prefix", "info"])
def test_exif_comes_back_from_every_form(given: str) -> None:
    image, exif = picture("RGB", WIDTH, HEIGHT), tags(3)
    block = exif.tobytes()
    options: dict[str, Any] = {"exif": {"Exif": exif, "bytes": block}.get(given, block[6:])}
    if given == "info":
        image.info["exif"], options = block, {}
    back = reopened(image, **options)
    assert (back.getexif()[0x010F], back.getexif()[0x0112]) == ("maker", 3)
    assert back._getexif()[0x010F] == "maker"  # type: ignore[attr-defined]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_turns_as_its_exif_says(orientation: int) -> None:
    back = reopened(picture("RGB", WIDTH, HEIGHT), exif=tags(orientation))
    assert back.size == (WIDTH, HEIGHT)  # the file keeps the tag, and turns nothing
    turned = ImageOps.exif_transpose(back)
    assert turned.size == ((HEIGHT, WIDTH) if orientation > 4 else (WIDTH, HEIGHT))
    assert turned.getexif().get(0x0112, 1) == 1


def test_a_file_without_exif_has_none(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        assert len(image.getexif()) == 0 and "exif" not in image.info
        assert image._getexif() is None  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "xmp", [b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>", "<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"]
)
def test_xmp_may_be_bytes_and_text(xmp: bytes | str) -> None:
    back = reopened(picture("RGB", WIDTH, HEIGHT), xmp=xmp)
    assert back.info["xmp"] == (xmp if isinstance(xmp, bytes) else xmp.encode())


@pytest.mark.parametrize("nothing", [b"", None])
@pytest.mark.parametrize("name", ["icc_profile", "exif", "xmp"])
def test_metadata_is_discarded_on_request(name: str, nothing: bytes | None) -> None:
    image = picture("RGB", WIDTH, HEIGHT)
    image.info |= {"icc_profile": b"p" * 160, "exif": tags().tobytes(), "xmp": b"<x/>"}
    kept = reopened(image).info.keys() & {"icc_profile", "exif", "xmp"}
    left = reopened(image, **{name: nothing}).info.keys() & {"icc_profile", "exif", "xmp"}
    assert kept - left == {name}


def test_dots_per_inch_come_back() -> None:
    back = reopened(picture("RGB", WIDTH, HEIGHT), dpi=(300, 150))
    assert tuple(map(round, back.info["dpi"])) == (300, 150)


# --- pillow_heif: bytes, arrays and defaults


def test_whether_it_is_one_is_asked_without_opening_it(path: Path, data: bytes) -> None:
    for source in (path, data, io.BytesIO(data), np.frombuffer(data, np.uint8)):
        assert dsncodec.is_dsn(source)
    assert not dsncodec.is_dsn(b"") and not dsncodec.is_dsn(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("shape", [(14, 20), (14, 20, 1), (14, 20, 2), (14, 20, 3), (14, 20, 4)])
def test_arrays_in_and_out(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    back = dsncodec.decode(dsncodec.encode(array, lossless=True, effort=0), as_array=True)
    assert np.array_equal(back, array.reshape(shape[:2]) if shape[2:] == (1,) else array)


def test_a_view_with_odd_strides_is_an_array_like_any_other() -> None:
    array = np.random.default_rng(0).integers(0, 256, (28, 40, 3), np.uint8)
    view = array[::2, ::-2]
    assert dsncodec.encode(view, **FAST) == dsncodec.encode(view.copy(), **FAST)


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4, 5), np.uint8), np.zeros((4, 4), np.float32), "no such file"]
)
def test_what_is_no_picture_is_said_to_be_none(wrong: Any) -> None:
    with pytest.raises((SettingError, OSError)):
        dsncodec.encode(wrong)


def test_defaults_are_registered_once_for_all() -> None:
    image = picture("RGB", 64, 48)
    try:
        dsncodec.register_pillow(quality=5)
        small = saved(image)
    finally:
        dsncodec.register_pillow(quality=None)
    assert small == saved(image, quality=5) != saved(image)


# --- out=, as of image libraries that write to a place


@pytest.mark.parametrize("kind", ["str", "Path", "buffer", "file", "unbuffered"])
def test_encode_writes_where_it_is_told(kind: str, tmp_path: Path, data: bytes) -> None:
    image, place = picture("RGB", WIDTH, HEIGHT), tmp_path / "new" / "a.dsn"
    place.parent.mkdir()
    if kind in ("str", "Path"):
        place.write_bytes(b"what was there")
        assert dsncodec.encode(image, out=str(place) if kind == "str" else place, **FAST) == data
    elif kind == "buffer":
        buffer = io.BytesIO(b"12")
        buffer.seek(2)
        dsncodec.encode(image, out=buffer, **FAST)
        assert buffer.getvalue() == b"12" + data
        return
    else:
        with open(place, "wb", buffering=0 if kind == "unbuffered" else -1) as file:
            dsncodec.encode(image, out=file, **FAST)
            assert not file.closed
    assert place.read_bytes() == data
    assert [one.name for one in place.parent.iterdir()] == ["a.dsn"]


class Narrow(io.RawIOBase):
    """A file that takes three bytes at a time."""

    def __init__(self) -> None:
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.taken += bytes(data[:3])
        return min(3, len(data))


def test_a_file_that_takes_little_at_a_time_gets_all(data: bytes) -> None:
    narrow = Narrow()
    dsncodec.encode(picture("RGB", WIDTH, HEIGHT), out=narrow, **FAST)  # type: ignore[arg-type]
    assert narrow.taken == data


def test_an_encode_that_fails_writes_nothing(tmp_path: Path) -> None:
    place, buffer = tmp_path / "a.dsn", io.BytesIO()
    place.write_bytes(b"before")
    for out in (place, buffer):
        with pytest.raises(SettingError):
            dsncodec.encode(picture("RGB", WIDTH, HEIGHT), out=out, base="avif", target_bytes=1)
    assert place.read_bytes() == b"before" and buffer.getvalue() == b""
    assert [one.name for one in tmp_path.iterdir()] == ["a.dsn"]


def test_a_place_that_cannot_be_written_is_said_before_the_work(tmp_path: Path) -> None:
    for wrong in (5, io.StringIO(), b"a.dsn"):
        with pytest.raises(SettingError, match="out must be"):
            dsncodec.encode(picture("RGB", WIDTH, HEIGHT), out=wrong)  # type: ignore[arg-type]
    with pytest.raises(IsADirectoryError):
        dsncodec.encode(picture("RGB", WIDTH, HEIGHT), out=tmp_path)


# --- imageio, by its Pillow plugin; importing ours is all that is needed


@pytest.fixture
def iio() -> Iterator[Any]:
    yield pytest.importorskip("imageio.v3")


def test_imageio_writes_and_reads_a_path(iio: Any, tmp_path: Path) -> None:
    array = np.asarray(picture("RGB", WIDTH, HEIGHT))
    iio.imwrite(tmp_path / "a.dsn", array, **FAST)
    assert np.array_equal(iio.imread(tmp_path / "a.dsn"), dsncodec.decode(tmp_path / "a.dsn", as_array=True))


def test_imageio_writes_bytes_by_extension(iio: Any, data: bytes) -> None:
    array = np.asarray(picture("RGB", WIDTH, HEIGHT))
    assert iio.imwrite("<bytes>", array, plugin="pillow", extension=".dsn", **FAST) == data
    buffer = io.BytesIO()
    iio.imwrite(buffer, array, plugin="pillow", extension=".dsn", **FAST)
    assert buffer.getvalue() == data
    for how in ({}, {"plugin": "pillow"}, {"extension": ".dsn"}):
        assert iio.imread(data, **how).shape == (HEIGHT, WIDTH, 3)


def test_imageio_knows_shape_and_metadata_without_pixels(iio: Any, path: Path) -> None:
    properties = iio.improps(path)
    assert (properties.shape, properties.dtype, properties.is_batch) == ((HEIGHT, WIDTH, 3), np.uint8, False)
    assert iio.immeta(path)["mode"] == "RGB"


def test_imageio_finds_one_picture(iio: Any, path: Path) -> None:
    assert len(list(iio.imiter(path))) == 1
    assert iio.imread(path, index=0).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises((EOFError, IndexError, ValueError)):
        iio.imread(path, index=1)


def test_imageio_converts_and_turns(iio: Any, tmp_path: Path) -> None:
    place = tmp_path / "a.dsn"
    place.write_bytes(saved(picture("RGB", WIDTH, HEIGHT), exif=tags(6)))
    assert iio.imread(place, mode="L").shape == (HEIGHT, WIDTH)
    assert iio.imread(place, rotate=True).shape == (WIDTH, HEIGHT, 3)


def test_imageio_of_old_reads_and_writes(tmp_path: Path) -> None:
    old = pytest.importorskip("imageio.v2")
    array = np.asarray(picture("RGB", WIDTH, HEIGHT))
    old.imwrite(tmp_path / "a.dsn", array)
    assert old.imread(tmp_path / "a.dsn").shape == array.shape


# --- Pillow's generic suites: pictures as values


def test_copies_and_conversions_are_pictures_of_their_own(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        copied, grey = image.copy(), image.convert("L")
    assert (copied.size, grey.mode) == ((WIDTH, HEIGHT), "L")
    assert copied.tobytes() == dsncodec.decode(data, threads=1).tobytes()
    assert getattr(copied, "format", None) is None


def test_two_opens_are_equal_pictures(data: bytes) -> None:
    one, two = (Image.open(io.BytesIO(data)) for _ in range(2))
    assert one == two


def test_pictures_that_were_opened_are_saved_to_other_formats(data: bytes) -> None:
    for name, lossless in itertools.product(("PNG", "WEBP", "TIFF", "BMP"), (True,)):
        buffer = io.BytesIO()
        with Image.open(io.BytesIO(data)) as image:
            image.save(buffer, name, **({"lossless": lossless} if name == "WEBP" else {}))
        with Image.open(buffer) as back:
            assert back.convert("RGB").tobytes() == dsncodec.decode(data, threads=1).tobytes()
