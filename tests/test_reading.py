"""The one door for bytes, paths, files and pictures: documented errors only, and no loss without a word."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms

import dsncodec
from dsncodec import colour_profiles, reading
from dsncodec.errors import LossWarning, SettingError, heard, warn
from dsncodec.reading import loaded, read_picture

from .conftest import picture

# --- bytes, paths and files: one way for encode and decode


def png(image: Image.Image | None = None) -> bytes:
    out = io.BytesIO()
    (image or picture("RGB", 12, 9)).save(out, "PNG")
    return out.getvalue()


def quick(source: Any) -> Image.Image:
    return dsncodec.decode(dsncodec.encode(source, "dsn", effort=0, threads=1), threads=1)


DOORS: dict[str, tuple[Callable[[], bytes], Callable[[Any], Image.Image]]] = {
    "encode": (png, quick),
    "decode": (lambda: dsncodec.encode(picture("RGB", 12, 9), "dsn", effort=0, threads=1), dsncodec.decode),
}


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> tuple[bytes, Callable[[Any], Image.Image], bytes]:
    """A file, the function that takes it, and the pixels that come of it."""
    made, function = DOORS[request.param]
    data = made()
    return data, function, function(io.BytesIO(data)).tobytes()


Door = tuple[bytes, Callable[[Any], Image.Image], bytes]


def test_bytes_of_every_kind(door: Door) -> None:
    data, function, pixels = door
    for source in (data, bytearray(data), memoryview(data), np.frombuffer(data, np.uint8)):
        assert function(source).tobytes() == pixels


@pytest.mark.parametrize("buffering", [0, -1], ids=["unbuffered", "buffered"])
def test_pipes(buffering: int, door: Door) -> None:
    data, function, pixels = door
    reader, writer = os.pipe()

    def feed() -> None:
        with os.fdopen(writer, "wb") as out:
            for at in range(0, len(data), 50):
                out.write(data[at : at + 50])
                out.flush()

    thread = threading.Thread(target=feed)
    thread.start()
    with os.fdopen(reader, "rb", buffering=buffering) as source:
        assert function(source).tobytes() == pixels
    thread.join()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
def test_a_named_pipe(door: Door, tmp_path: Path) -> None:
    data, function, pixels = door
    path = tmp_path / "pipe"
    os.mkfifo(path)
    thread = threading.Thread(target=path.write_bytes, args=(data,))
    thread.start()
    assert function(path).tobytes() == pixels
    thread.join()


@pytest.mark.parametrize("before", [0, 7])
@pytest.mark.parametrize("buffering", [0, -1], ids=["unbuffered", "buffered"])
def test_a_file_is_read_from_where_it_stands_and_left_there(
    buffering: int, before: int, door: Door, tmp_path: Path
) -> None:
    data, function, pixels = door
    path = tmp_path / "file"
    path.write_bytes(b"x" * before + data)
    with open(path, "rb", buffering=buffering) as source:
        source.seek(before)
        assert function(source).tobytes() == pixels
        assert source.tell() == before


def test_a_file_that_was_just_written_is_read_from_its_beginning(door: Door) -> None:
    data, function, pixels = door
    source = io.BytesIO()
    source.write(data)
    assert function(source).tobytes() == pixels
    assert source.tell() == len(data)


class OnlyReads:
    """A file object that can do nothing else, and gives what it likes."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, count: int = -1) -> bytes:
        return self._file.read(31)


def test_file_objects_that_only_read(door: Door) -> None:
    data, function, pixels = door
    assert function(OnlyReads(data)).tobytes() == pixels


def test_what_is_no_source(door: Door, tmp_path: Path) -> None:
    data, function, _ = door
    path = tmp_path / "file"
    path.write_bytes(data)
    with open(path, encoding="latin-1") as text, pytest.raises(SettingError, match="mode 'rb'"):
        function(text)
    with pytest.raises(SettingError, match="mode 'rb'"):
        function(io.StringIO("text"))
    with pytest.raises(OSError, match="no path"):
        function("a\0b.png")
    with pytest.raises(FileNotFoundError):
        function(tmp_path / "absent")
    with pytest.raises(OSError):
        function(tmp_path)
    with pytest.raises(SettingError):
        function(7)


# --- broken files of every kind


def tiff(**options: Any) -> Callable[[Image.Image, BinaryIO], None]:
    return lambda image, out: image.save(out, "TIFF", **options)


def frames(format: str) -> Callable[[Image.Image, BinaryIO], None]:
    return lambda image, out: image.save(
        out, format, save_all=True, append_images=[image.rotate(90), image.rotate(180)]
    )


FORMATS: dict[str, str | Callable[[Image.Image, BinaryIO], None]] = {
    "AVIF": "AVIF",
    "BMP": "BMP",
    "DDS": "DDS",
    "GIF": frames("GIF"),
    "ICNS": lambda image, out: image.resize((16, 16)).save(out, "ICNS"),
    "ICO": "ICO",
    "IM": "IM",
    "JPEG": "JPEG",
    "JPEG, progressive": lambda image, out: image.save(out, "JPEG", progressive=True),
    "JPEG 2000": "JPEG2000",
    "MPO": frames("MPO"),
    "PCX": "PCX",
    "PNG": "PNG",
    "APNG": frames("PNG"),
    "PNG, palette": lambda image, out: image.quantize(9).save(out, "PNG", transparency=0),
    "PPM": "PPM",
    "SGI": "SGI",
    "TGA": lambda image, out: image.save(out, "TGA", compression="tga_rle"),
    "TIFF": tiff(),
    "TIFF, LZW": tiff(compression="tiff_lzw"),
    "TIFF, JPEG": tiff(compression="jpeg"),
    "TIFF, several": frames("TIFF"),
    "WEBP": "WEBP",
    "WEBP, animated": frames("WEBP"),
}


def small(kind: str) -> bytes:
    how, out = FORMATS[kind], io.BytesIO()
    image = picture("RGB", 12, 9)
    if isinstance(how, str):
        image.save(out, how)
    else:
        how(image, out)
    return out.getvalue()


def mutations(data: bytes, count: int) -> list[bytes]:
    """Beginnings of a file, files with other bytes, without some and with some twice."""
    rng = np.random.default_rng(len(data))
    made = [data[:end] for end in np.linspace(0, len(data) - 1, count // 3).astype(int)]
    while len(made) < count:
        changed = bytearray(data)
        # headers are where the exceptions are
        reach = len(data) if rng.random() < 0.3 else min(len(data), 200)
        for _ in range(rng.integers(1, 5)):
            at = int(rng.integers(reach))
            way = rng.integers(4)
            if way == 0:
                changed[at : at + 1] = bytes([rng.integers(256)])
            elif way == 1:
                changed[at : at + 4] = bytes(rng.choice([0, 255, 127, 128, 1], 4).astype(np.uint8))
            elif way == 2:
                del changed[at : at + int(rng.integers(1, 20))]
            else:
                changed[at:at] = changed[at : at + int(rng.integers(1, 20))]
        made.append(bytes(changed))
    return made


MUTATIONS = 150


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FORMATS)
def test_broken_files_are_pictures_or_documented_errors(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2 * 10**6)
    data, read = small(kind), 0
    assert read_picture(data).size == ((1024, 1024) if kind == "ICNS" else (12, 9))
    for changed in mutations(data, MUTATIONS):
        try:
            found = read_picture(changed)
        except (OSError, SettingError) as exc:
            assert str(exc)
        else:
            read += 1
            assert found.pixels.shape[:2] == found.size[::-1]
    assert read < MUTATIONS


@pytest.mark.parametrize(
    "error",
    [
        IndexError("index out of range"),
        RuntimeError("decoder"),
        SyntaxError("not a TIFF file"),
        ValueError("bad"),
        KeyError(7),
        struct.error("unpack"),
        zlib.error("-3"),
        Image.DecompressionBombError("too large"),
        OverflowError("too large"),
        MemoryError(),
        AssertionError(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("when", ["open", "load"])
def test_whatever_a_plugin_raises_is_an_os_error(
    when: str, error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    path = tmp_path / "a.png"
    path.write_bytes(png())
    lazy = Image.open(path)
    monkeypatch.setattr(*((Image, "open") if when == "open" else (type(lazy), "load")), fail)
    sources = [path, path.read_bytes(), *([lazy] if when == "load" else [])]
    for source in sources:
        with pytest.raises(OSError, match=r"cannot be read|larger than memory") as caught:
            dsncodec.encode(source)
        assert caught.value.__cause__ is error
    with pytest.raises(OSError):
        dsncodec.upsample(path, 2)
    lazy.close()


# --- what a .dsn file cannot hold is named

RNG = np.random.default_rng(5)
DEEP = RNG.integers(0, 65536, (9, 12, 3), np.uint16)


def deep(format: str, colour: bool) -> bytes:
    pixels = DEEP if colour else np.ascontiguousarray(DEEP[..., 0])
    if format == "PNG":
        return imagecodecs.png_encode(pixels)
    if format == "JPEG 2000":
        return imagecodecs.jpeg2k_encode(pixels, level=0)
    if format in ("AVIF 10", "AVIF 12"):
        bits = int(format.split()[1])
        return imagecodecs.avif_encode(pixels >> (16 - bits), bitspersample=bits)
    if format == "PPM":
        head = b"P%d\n12 9\n65535\n" % (6 if colour else 5)
        return head + pixels.astype(">u2").tobytes()
    rows = pixels.astype("<u2").tobytes()
    channels = 3 if colour else 1
    entries = [(256, 4, 12), (257, 4, 9), (259, 3, 1), (262, 3, 2 if colour else 1), (277, 3, channels)]
    entries += [(273, 4, 300), (278, 4, 9), (279, 4, len(rows))]
    entries.append((258, 3, 16) if not colour else (258, 3, None))
    out = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    for tag, kind, value in sorted(entries, key=lambda entry: entry[0]):
        count, held = (1, value) if value is not None else (3, 200)
        out += struct.pack("<HHII", tag, kind, count, held)
    return (out + bytes(4)).ljust(200, b"\0") + struct.pack("<3H", 16, 16, 16).ljust(100, b"\0") + rows


@pytest.mark.parametrize("colour", [True, False], ids=["colour", "grey"])
@pytest.mark.parametrize("format", ["PNG", "JPEG 2000", "AVIF 10", "AVIF 12", "PPM", "TIFF"])
def test_bits_beyond_eight_are_named(format: str, colour: bool) -> None:
    if format.startswith("AVIF") and not colour:
        pytest.skip("libavif's encoder wants colours")
    bits = int(format.split()[1]) if format.startswith("AVIF") else 16
    with pytest.warns(LossWarning, match=f"^{bits} bits a sample are rounded to 8$"):
        found = read_picture(deep(format, colour))
    expected = DEEP if colour else DEEP[..., :1]
    if not format.startswith("AVIF"):
        apart = np.abs(found.pixels.astype(float) - expected / 257.0)
        assert apart.max() <= 1.01
    assert found.mode == ("RGB" if colour else "L")


def test_grey_of_sixteen_bits_is_scaled_and_rounded() -> None:
    values = np.array([[0, 128, 129, 257 * 9, 65535, 65535 - 129]], np.uint16)
    with pytest.warns(LossWarning, match="16 bits"):
        found = read_picture(Image.fromarray(values))
    assert found.pixels[..., 0].tolist() == [[0, 0, 1, 9, 255, 254]]


@pytest.mark.parametrize(("mode", "kind"), [("I", np.int32), ("F", np.float32)])
def test_wide_numbers_are_taken_as_they_are_or_refused(mode: str, kind: type) -> None:
    with pytest.warns(LossWarning, match=f"mode {mode} is rounded"):
        found = read_picture(Image.fromarray(np.array([[0, 3, 255]], kind)))
    assert found.pixels[..., 0].tolist() == [[0, 3, 255]]
    for values in ([[0, 256]], [[-1, 3]], *([[[0.0, 1.0]], [[0.0, np.nan]]] if mode == "F" else [])):
        with pytest.raises(SettingError, match=r"scale them to 0\.\.255"):
            read_picture(Image.fromarray(np.array(values, kind)))


@pytest.mark.parametrize("kind", ["GIF", "APNG", "TIFF, several", "WEBP, animated", "MPO"])
def test_frames_behind_the_first_are_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(small(kind))
    words = "2 more pictures" if kind == "MPO" else "frames 2 to 3 are left out"
    with pytest.warns(LossWarning, match=f"^a.bin: {words}"):
        read_picture(path)
    with heard() as said:
        read_picture(path)
    assert len(said) == 1 and said[0].startswith(words)


def test_the_preview_in_a_raw_file_is_no_picture() -> None:
    preview = Image.Exif()
    preview[0xC612] = b"\1\4\0\0"
    out = io.BytesIO()
    picture("RGB", 12, 9).save(out, "TIFF", tiffinfo=preview)
    with pytest.raises(OSError, match="raw file"):
        read_picture(out.getvalue())


# --- colours


def cmyk(icc: bytes = b"") -> bytes:
    out = io.BytesIO()
    picture("RGB", 12, 9).convert("CMYK").save(out, "TIFF", icc_profile=icc)
    return out.getvalue()


def ink_profile() -> bytes:
    """A device link of nothing but a table, which makes of the inks c, m, y, k the Lab colour (100 - 100 k, 0, 0)."""
    grid = np.zeros((2, 2, 2, 2, 3), np.uint16)
    grid[...] = 0x8000
    grid[:, :, :, 0, 0], grid[:, :, :, 1, 0] = 0xFF00, 0
    ramp = struct.pack(">2H", 0, 65535)
    lut = struct.pack(">4sI4B9i2H", b"mft2", 0, 4, 3, 2, 0, *(65536, 0, 0, 0, 65536, 0, 0, 0, 65536), 2, 2)
    lut += ramp * 4 + grid.astype(">u2").tobytes() + ramp * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"inks\0" + bytes(78)
    tags = [(b"desc", text), (b"wtpt", white), (b"A2B0", lut), (b"A2B1", lut)]
    at = 128 + 4 + 12 * len(tags)
    table, content = struct.pack(">I", len(tags)), b""
    for name, data in tags:
        data += bytes(-len(data) % 4)
        table += struct.pack(">4sII", name, at + len(content), len(data))
        content += data
    head = struct.pack(">I4sI4s4s4s", at + len(content), b"\0" * 4, 0x02100000, b"prtr", b"CMYK", b"Lab ")
    head = (head + bytes(12) + b"acsp").ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + content


def test_inks_go_through_their_profile() -> None:
    """A profile that knows black ink alone makes other colours than Pillow's rule of thumb, and grey ones."""
    found = read_picture(cmyk(ink_profile()))
    assert found.mode == "RGB" and found.icc_profile == b""
    guess = np.asarray(picture("RGB", 12, 9).convert("CMYK").convert("RGB")).astype(int)
    assert np.abs(found.pixels.astype(int) - guess).mean() > 10
    assert np.ptp(found.pixels.astype(int), axis=2).max() <= 3


@pytest.mark.parametrize(
    ("icc", "words"), [(b"", "CMYK without a profile"), (b"nonsense", "the CMYK profile cannot be used")]
)
def test_inks_without_a_profile_are_a_guess(icc: bytes, words: str) -> None:
    with pytest.warns(LossWarning, match=words):
        read_picture(cmyk(icc))


def chunks(*added: tuple[bytes, bytes], mode: str = "RGB") -> bytes:
    """A PNG file with more chunks behind its first."""
    data = png(picture(mode, 12, 9))
    made = b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in added
    )
    return data[:33] + made + data[33:]


def corners(*values: float) -> bytes:
    return struct.pack(">8I", *(round(100000 * value) for value in values))


P3 = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
SRGB = (0.3127, 0.3290, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)


def shown(icc: bytes, colour: tuple[int, int, int]) -> tuple[int, ...]:
    """A colour in sRGB, by littleCMS."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    image = ImageCms.profileToProfile(
        Image.new("RGB", (1, 1), colour), profile, ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert image is not None
    return image.getpixel((0, 0))


@pytest.mark.parametrize(
    ("added", "colour", "expected"),
    [
        # half of the light is 188 of sRGB
        ([(b"gAMA", struct.pack(">I", 100000))], (128, 128, 128), (188, 188, 188)),
        ([(b"gAMA", struct.pack(">I", 45455)), (b"cHRM", corners(*P3))], (200, 200, 200), (200, 200, 200)),
        # sRGB's red in Display P3
        ([(b"cICP", bytes([12, 13, 0, 1]))], (234, 51, 35), (255, 0, 0)),
        (
            [(b"cICP", bytes([12, 13, 0, 1])), (b"gAMA", struct.pack(">I", 99999))],
            (117, 251, 76),
            (0, 255, 0),
        ),
        ([(b"gAMA", struct.pack(">I", 45455)), (b"cHRM", corners(*P3))], (234, 51, 35), (255, 0, 0)),
    ],
)
def test_colours_of_a_png_that_numbers_describe_become_a_profile(
    added: list[tuple[bytes, bytes]], colour: tuple[int, int, int], expected: tuple[int, int, int]
) -> None:
    icc = read_picture(chunks(*added)).icc_profile
    assert np.abs(np.subtract(shown(icc, colour), expected)).max() <= 3
    assert quick(chunks(*added)).info["icc_profile"] == icc
    grey = read_picture(chunks(*added, mode="L")).icc_profile
    assert grey == b"" or grey[16:20] == b"GRAY"


@pytest.mark.parametrize(
    "added",
    [
        [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100000))],
        [(b"gAMA", struct.pack(">I", 45455)), (b"cHRM", corners(*SRGB))],
        [(b"cICP", bytes([1, 13, 0, 1]))],
        [(b"cICP", bytes([1, 13, 0, 1])), (b"gAMA", struct.pack(">I", 100000))],
    ],
)
def test_numbers_that_mean_srgb_cost_nothing(added: list[tuple[bytes, bytes]]) -> None:
    assert read_picture(chunks(*added)).icc_profile == b""


@pytest.mark.parametrize(
    ("code", "words"),
    [((9, 16), "HDR, PQ"), ((9, 18), "HDR, HLG"), ((22, 13), "colour space"), ((1, 9), "space")],
)
def test_colours_that_no_profile_describes_are_named(code: tuple[int, int], words: str) -> None:
    with pytest.warns(LossWarning, match=words):
        read_picture(chunks((b"cICP", bytes([*code, 0, 1]))))


@pytest.mark.parametrize("kind", ["gAMA", "cHRM"])
def test_numbers_of_no_colours_cost_themselves(kind: str) -> None:
    content = struct.pack(">I", 1) if kind == "gAMA" else corners(0, 0, 0, 0, 0, 0, 0, 0)
    with pytest.warns(LossWarning, match="no profile"):
        assert read_picture(chunks((kind.encode(), content))).icc_profile == b""


def test_colours_of_an_avif_that_code_points_describe_become_a_profile() -> None:
    out = io.BytesIO()
    picture("RGB", 12, 9).save(out, "AVIF")
    data = out.getvalue()
    assert data.count(b"colrnclx\0\1\0\x0d") == 1
    assert read_picture(data).icc_profile == b""
    wide = data.replace(b"colrnclx\0\1\0\x0d", b"colrnclx\0\x0c\0\x0d")
    assert np.abs(np.subtract(shown(read_picture(wide).icc_profile, (234, 51, 35)), (255, 0, 0))).max() <= 3
    with pytest.warns(LossWarning, match="HDR, PQ"):
        read_picture(data.replace(b"colrnclx\0\1\0\x0d", b"colrnclx\0\x09\0\x10"))


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("transfer", [1, 4, 5, 8, 13, 17])
@pytest.mark.parametrize("primaries", [4, 5, 6, 9, 11, 12])
def test_every_profile_is_one(primaries: int, transfer: int, grey: bool) -> None:
    icc, lost = colour_profiles.of_codes(primaries, transfer, grey)
    assert lost == ""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    assert ImageCms.getProfileDescription(profile).strip() == "described by numbers"
    if not grey:
        assert np.abs(np.subtract(shown(icc, (255, 255, 255)), 255)).max() <= 1
        assert shown(icc, (0, 0, 0)) == (0, 0, 0)


# --- folders


def test_folders_take_what_pillow_opens() -> None:
    taken = reading.suffixes()
    assert taken >= {
        ".jfif",
        ".jpe",
        ".apng",
        ".jpg",
        ".png",
        ".webp",
        ".avif",
        ".tif",
        ".bmp",
        ".gif",
        ".ico",
        ".mpo",
    }
    assert not taken & {".dsn", ".pdf", ".eps", ".ps", ".wmf", ".mpg", ".hdf", ".grib", ".txt", ""}
    assert (".heic" in taken) == ("HEIF" in Image.OPEN)
    code = "from dsncodec import reading; print(' '.join(sorted(reading.suffixes())))"
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # other tests may have given Pillow more to open
    assert {".jfif", ".jpg", ".png", ".webp", ".avif"} <= set(fresh.stdout.split()) <= taken


def test_a_file_that_needs_a_plugin_says_which(tmp_path: Path) -> None:
    for suffix, package in reading.PLUGINS.items():
        path = tmp_path / f"a{suffix.upper()}"
        path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
        with pytest.raises(OSError, match=f"pip install {package}"):
            loaded(path)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "pip install pillow-heif"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heic", "pip install pillow-heif"),
        (b"\xff\x0a\x7f\x00", "pip install pillow-jxl-plugin"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "pip install pillow-jxl-plugin"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "raw file: develop it"),
        (b"FUJIFILMCCD-RAW 0201FF", "raw file: develop it"),
        (b"FOVb\0\0\2\0", "raw file: develop it"),
        (b"IIU\0\x18\0\0\0", "raw file: develop it"),
    ],
)
def test_what_a_file_needs_is_known_by_its_first_bytes(
    head: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its name is; where no plugin reads it."""
    monkeypatch.setattr(reading, "_load_plugins", lambda: False)
    if {"HEIF", "JXL"} & set(Image.OPEN):
        pytest.skip("a plugin is here")
    with pytest.raises(OSError, match=words):
        loaded(head + bytes(64))


@pytest.mark.parametrize("suffix", sorted(reading.RAW_SUFFIXES))
def test_raw_files_are_called_so_by_name(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(bytes(64))
    with pytest.raises(OSError, match="raw file: develop it"):
        loaded(path)
    assert suffix not in reading.suffixes()


# --- one channel


def test_a_warning_names_the_file_and_the_line_that_asked(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    path.write_bytes(deep("PNG", True))
    with pytest.warns(LossWarning, match="^deep.png: 16 bits") as caught:
        dsncodec.encode(path, "dsn", effort=0, threads=1)
    assert [one.filename for one in caught] == [__file__]
    dsncodec.register_pillow()
    with Image.open(path) as lazy, pytest.warns(LossWarning, match="^16 bits") as caught:
        dsncodec.encode(lazy, "dsn", effort=0, threads=1)
    assert [one.filename for one in caught] == [__file__]
    said = picture("RGB", 12, 9)
    said.info["comment"] = b"taken by Ann"
    with pytest.warns(LossWarning, match="^left out: a comment$") as caught:
        said.save(tmp_path / "a.dsn", method="dsn", effort=0)
    assert [one.filename for one in caught] == [__file__]


def test_who_listens_hears_and_nobody_else() -> None:
    with heard() as outer:
        warn("one")
        with heard() as inner:
            warn("two", about="a.png")
        thread = threading.Thread(target=lambda: others.append(_warned()))
        others: list[bool] = []
        thread.start()
        thread.join()
    assert (outer, inner, others) == (["one"], ["two"], [True])


def _warned() -> bool:
    with pytest.warns(LossWarning):
        warn("three")
    return True
