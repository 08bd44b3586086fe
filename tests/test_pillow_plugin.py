"""The Pillow plugin: as a user of Pillow, imageio, scikit-image or matplotlib meets it."""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile, UnidentifiedImageError

import dsncodec
from dsncodec import LossWarning, SettingError, container, options, pillow_plugin
from dsncodec.methods.sections import read_structure

from .conftest import METHODS, MODES, header_bytes, packed_1, picture, with_fixed_checksums

ICC, XMP = b"a colour profile", b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
ORIENTATION = 0x0112


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


EXIF = exif_of(6).tobytes()


def saved(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "DSN", **options)
    return out.getvalue()


def reopened(data: bytes) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(data))


def sections_of(data: bytes) -> list[tuple[str, bytes]]:
    stream = io.BytesIO(data)
    _, sections, _ = read_structure(stream, None)
    return list(container.iter_payloads(stream, sections))


@pytest.fixture(scope="module", params=METHODS)
def data(request: pytest.FixtureRequest) -> bytes:
    """A small colour picture, of each method."""
    return saved(picture("RGB", 50, 40), method=request.param)


@pytest.fixture(scope="module")
def tiny() -> bytes:
    """A file so small that every byte of it can be tried."""
    return saved(picture("L", 5, 3), scale=4, levels=4)


@pytest.fixture(scope="module")
def layered() -> bytes:
    """A small colour picture of method dsn, whose layer is smaller than itself."""
    return saved(picture("RGB", 50, 40), method="dsn")


@pytest.fixture
def no_defaults() -> Iterator[None]:
    yield
    pillow_plugin._defaults.clear()


def in_fresh_interpreter(code: str, *arguments: object) -> str:
    """What ``code`` prints, where no test has imported anything yet."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *map(str, arguments)]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- Registration and laziness


def test_registration_makes_the_format_known() -> None:
    before = list(Image.ID)
    dsncodec.register_pillow()
    dsncodec.register_pillow()
    assert before == Image.ID
    assert Image.registered_extensions()[".dsn"] == "DSN"
    assert Image.MIME["DSN"] == "image/x-dsn"


HEAVY = ("onnxruntime", "torch", "imagecodecs", "py7zr")


@pytest.mark.parametrize("register", ["import dsncodec.pillow_plugin", "dsncodec.register_pillow()"])
def test_registering_and_opening_load_no_runtime(register: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.dsn"
    path.write_bytes(data)
    code = f"""
        import sys
        import dsncodec
        {register}
        from PIL import Image
        with Image.open(sys.argv[1]) as image:
            print(image.size, [name for name in {HEAVY} if name in sys.modules])
    """
    assert in_fresh_interpreter(code, path) == "(50, 40) []"


@pytest.mark.parametrize("reduced", ["image.draft(None, (10, 10)); image.load()", "image.thumbnail((7, 7))"])
def test_a_thumbnail_runs_no_network(reduced: str, layered: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.dsn"
    path.write_bytes(layered)
    code = f"""
        import sys
        import dsncodec.pillow_plugin
        from PIL import Image
        with Image.open(sys.argv[1]) as image:
            {reduced}
            image.getpixel((0, 0))
        networks = ("onnxruntime", "torch", "dsncodec.networks.inference")
        print([name for name in networks if name in sys.modules])
    """
    assert in_fresh_interpreter(code, path) == "[]"


def test_a_small_thumbnail_of_a_restored_picture_runs_no_network(tmp_path: Path) -> None:
    path = tmp_path / "a.dsn"
    path.write_bytes(dsncodec.encode(picture("RGB", 40, 30), "restored", base="jpeg", quality=20))
    plain = dsncodec.decode(path, preview=True)
    with Image.open(path) as image:
        assert image.draft(None, (21, 16)) is None
        assert image.draft(None, (20, 20)) == ("RGB", (0, 0, 40, 30))
        assert image.tobytes() == plain.tobytes()
    code = """
        import sys
        import dsncodec.pillow_plugin
        from PIL import Image
        with Image.open(sys.argv[1]) as image:
            image.thumbnail((9, 9))
        print("onnxruntime" in sys.modules)
    """
    assert in_fresh_interpreter(code, path) == "False"


def test_accept_wants_all_four_magic_bytes(tiny: bytes) -> None:
    assert pillow_plugin._accept(tiny[:16])
    for i in range(4):
        changed = bytearray(tiny)
        changed[i] ^= 1
        assert not pillow_plugin._accept(bytes(changed[:16]))
        with pytest.raises(UnidentifiedImageError):
            reopened(bytes(changed))
        with pytest.raises(SyntaxError, match="magic"):
            pillow_plugin.DsnImageFile(io.BytesIO(changed))


# --- Round trips


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(1, 1), (1, 17), (17, 1), (33, 20)])
@pytest.mark.parametrize("mode", MODES)
def test_modes_and_sizes_come_back(mode: str, size: tuple[int, int], method: str, tmp_path: Path) -> None:
    image = picture(mode, *size)
    path = tmp_path / "a.dsn"
    image.save(path, method=method)
    with Image.open(path) as back:
        assert (back.format, back.mode, back.size) == ("DSN", mode, size)
        assert back.get_format_mimetype() == "image/x-dsn"
        assert isinstance(back, pillow_plugin.DsnImageFile)
        assert (back.n_frames, back.is_animated, back.tell()) == (1, False, 0)
        back.load()
        assert back.tile == []
        whole = dsncodec.decode(path)
        assert (back.mode, back.size, back.tobytes()) == (whole.mode, whole.size, whole.tobytes())
        if mode.endswith("A"):
            assert back.getchannel("A").tobytes() == image.getchannel("A").tobytes()


@pytest.mark.parametrize(
    ("mode", "becomes"),
    {
        "1": "L",
        "P": "RGB",
        "PA": "RGBA",
        "CMYK": "RGB",
        "YCbCr": "RGB",
        "LAB": "RGB",
        "HSV": "RGB",
        "RGBX": "RGB",
        "RGBa": "RGBA",
        "La": "LA",
    }.items(),
)
def test_other_modes_are_converted(mode: str, becomes: str) -> None:
    with pytest.warns(LossWarning, match="guess") if mode == "CMYK" else contextlib.nullcontext():
        assert reopened(saved(Image.new(mode, (6, 5)))).mode == becomes


@pytest.mark.parametrize("way", ["info", "palette"])
def test_a_transparent_palette_keeps_its_alpha(way: str) -> None:
    image = Image.new("P", (6, 5))
    if way == "info":
        image.info["transparency"] = 0
    else:
        image.putpalette([200, 10, 10, 0], "RGBA")
    assert reopened(saved(image)).getchannel("A").getextrema() == (0, 0)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_numbers_that_do_not_fit_are_refused_and_nothing_is_left(mode: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"cannot write mode {mode} as DSN"):
        Image.new(mode, (6, 5), -1).save(tmp_path / "a.dsn")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["I", "F", "I;16", "I;16B"])
def test_deep_modes_are_rounded_with_a_warning(mode: str) -> None:
    with pytest.warns(LossWarning, match="rounded to 8"):
        assert reopened(saved(Image.new(mode, (6, 5)))).mode == "L"


def test_an_empty_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot write empty image as DSN"):
        saved(Image.new("RGB", (0, 5)))


def test_info_describes_the_file() -> None:
    coded = saved(picture("RGB", 9, 9), scale=2, levels=100, chroma_levels=50)
    described = reopened(coded).info["dsn"]
    model_id = described.pop("model_id")
    assert described == {"method": "dsn", "scale": 2, "levels": 100, "chroma_levels": 50}
    assert len(bytes.fromhex(model_id)) == 8
    assert reopened(saved(picture("LA", 9, 9), method="dsn")).info["dsn"]["chroma_levels"] is None
    coded = saved(picture("RGB", 9, 9), method="restored", tune="psnr", quality=40, base="jpeg")
    described, info = reopened(coded).info["dsn"], dsncodec.read_info(coded)
    assert described == {
        "method": "restored",
        "scale": 1,
        "levels": None,
        "chroma_levels": None,
        "model_id": info.model_id,
        "base_quality": 40,
        "base_psnr_db": info.base_psnr_db,
        "strength": info.strength,
        "gain_db": info.gain_db,
    }


# --- Saving


def test_every_setting_of_encode_is_an_option() -> None:
    parameters = set(inspect.signature(dsncodec.encode).parameters) - {"image", "metadata", "out", "settings"}
    of_methods = {*options.ALL_NAMES, *options.OLD_NAMES}
    assert parameters | of_methods == pillow_plugin._SETTINGS
    assert pillow_plugin._TARGETS < pillow_plugin._SETTINGS


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"quality": 10},
        {"quality": None},
        {"effort": 0, "threads": 1, "method": "dsn"},
        {"effort": 0, "threads": 1, "method": "restored", "base": "jpeg"},
        {"target_bytes": 5000},
        {"target_bpp": 20.0},
        {"scale": 4, "levels": 20, "chroma_levels": 9, "entropy_coder": "lzma2"},
    ],
)
def test_options_do_what_they_do_in_encode(options: dict[str, Any]) -> None:
    image = picture("RGB", 20, 16)
    assert saved(image, **options) == dsncodec.encode(image, **options)


@pytest.mark.parametrize(("method", "mode"), [("dsn", "L"), ("restored", "RGB")])  # grey AVIF can be lossless
def test_target_psnr_db_is_an_option(method: str, mode: str) -> None:
    image = picture(mode, 20, 16)
    # of a base codec that is named; else the file without loss reaches it
    tune = {"tune": "psnr", "base": "avif"} if method == "restored" else {}
    with pytest.raises(ValueError, match="no setting reaches 99 dB"):
        saved(image, method=method, target_psnr_db=99, **tune)


@pytest.mark.parametrize(
    "options",
    [
        {"quality": -1},
        {"quality": 101},
        {"quality": "web_low"},
        {"effort": 10},
        {"levels": 1},
        {"scale": 17},
        {"entropy_coder": "zip"},
        {"target_bpp": float("nan")},
        {"target_bytes": 1},
        {"quality": 50, "target_bytes": 900},
        {"threads": 0},
        {"exif": "text"},
    ],
)
def test_a_bad_option_is_a_value_error_and_nothing_is_left(options: dict[str, Any], tmp_path: Path) -> None:
    image = picture("L", 8, 8)
    with pytest.raises(ValueError) as raised:
        image.save(tmp_path / "a.dsn", **options)
    assert type(raised.value) is SettingError
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_option_is_pointed_out() -> None:
    with pytest.warns(UserWarning, match="'qualty' is ignored; did you mean quality") as caught:
        coded = saved(picture("L", 8, 8), qualty=20)
    assert caught[0].filename == __file__
    assert coded == saved(picture("L", 8, 8))
    with pytest.warns(UserWarning, match="'minimize_size' is ignored; known are backend, "):
        saved(picture("L", 8, 8), minimize_size=True)


def test_options_of_other_formats_pass_silently() -> None:
    saved(picture("L", 8, 8), optimize=True, progressive=True, subsampling=0, dpi=(72, 72), speed=6)


def test_save_all_takes_one_frame_and_refuses_two(tmp_path: Path) -> None:
    image = picture("L", 8, 8)
    assert saved(image, save_all=True) == saved(image)
    assert saved(image, save_all=True, append_images=[]) == saved(image)
    with pytest.raises(ValueError, match="holds one picture, not 3"):
        image.save(tmp_path / "a.dsn", save_all=True, append_images=iter([image, image]))
    film = io.BytesIO()
    image.save(film, "GIF", save_all=True, append_images=[picture("L", 8, 8, seed=1)])
    with Image.open(film) as frames:
        with pytest.raises(ValueError, match="holds one picture, not 2"):
            frames.save(tmp_path / "a.dsn", save_all=True)
        frames.seek(1)
        frames.save(tmp_path / "second.dsn")
    assert [path.name for path in tmp_path.iterdir()] == ["second.dsn"]


def test_saving_over_the_open_file(tmp_path: Path) -> None:
    path = tmp_path / "a.dsn"
    picture("RGB", 20, 16).save(path, scale=4, levels=16)
    with Image.open(path) as image:
        image.save(path, scale=2, levels=32)
    with Image.open(path) as image:
        assert (image.info["dsn"]["scale"], image.size) == (2, (20, 16))
        image.load()


@pytest.mark.usefixtures("no_defaults")
def test_registered_defaults_hold_until_taken_back() -> None:
    image = picture("RGB", 20, 16)
    dsncodec.register_pillow(quality=0, entropy_coder="lzma2", threads=1)
    assert saved(image) == dsncodec.encode(image, quality=0, entropy_coder="lzma2")
    assert saved(image, quality=100) == dsncodec.encode(image, quality=100, entropy_coder="lzma2")
    assert saved(image, scale=2) == dsncodec.encode(image, scale=2, entropy_coder="lzma2")
    dsncodec.register_pillow(quality=None, entropy_coder=None)
    assert saved(image) == dsncodec.encode(image)


@pytest.mark.usefixtures("no_defaults")
def test_a_registered_thread_count_holds_for_loading(data: bytes) -> None:
    dsncodec.register_pillow(threads=0)
    with pytest.raises(ValueError, match="threads must be"):
        reopened(data).load()


@pytest.mark.usefixtures("no_defaults")
def test_an_unknown_default_is_pointed_out() -> None:
    with pytest.warns(UserWarning, match="'thread' is ignored; did you mean threads") as caught:
        dsncodec.register_pillow(thread=1)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="'exif' is ignored"):
        dsncodec.register_pillow(exif=b"")
    assert pillow_plugin._defaults == {}


# --- Metadata


def with_metadata(mode: str = "RGB") -> Image.Image:
    image = picture(mode, 8, 8) if mode in MODES else Image.new(mode, (8, 8))
    image.info.update(icc_profile=ICC, exif=EXIF, xmp=XMP)
    return image


@pytest.mark.parametrize("mode", [*MODES, "1", "P", "YCbCr"])
def test_metadata_is_copied_from_the_image(mode: str) -> None:
    back = reopened(saved(with_metadata(mode)))
    assert (back.info["icc_profile"], back.info["exif"], back.info["xmp"]) == (ICC, EXIF, XMP)
    assert back.getexif()[ORIENTATION] == 6
    assert back.size == (8, 8)
    back.load()
    assert back.info["xmp"] == XMP
    assert reopened(saved(back)).info["exif"] == EXIF


@pytest.mark.parametrize("nothing", [None, b""])
@pytest.mark.parametrize("name", ["icc_profile", "exif", "xmp"])
def test_metadata_can_be_left_out(name: str, nothing: bytes | None) -> None:
    names = set(reopened(saved(with_metadata(), **{name: nothing})).info)
    assert names == {"dsn", "icc_profile", "exif", "xmp"} - {name}


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_metadata_can_be_replaced(mode: str) -> None:
    guessed = pytest.warns(LossWarning) if mode == "CMYK" else contextlib.nullcontext()
    with guessed:
        back = reopened(saved(with_metadata(mode), icc_profile=b"1", exif=exif_of(3), xmp=b"3"))
    assert (back.info["icc_profile"], back.info["xmp"]) == (b"1", b"3")
    assert back.getexif()[ORIENTATION] == 3
    if mode != "CMYK":
        assert reopened(saved(with_metadata(mode), exif=EXIF)).getexif()[ORIENTATION] == 6


def test_metadata_survives_other_formats() -> None:
    file = io.BytesIO()
    with_metadata().save(file, "PNG", icc_profile=ICC, exif=EXIF)
    back = reopened(saved(Image.open(file)))
    assert (back.info["icc_profile"], back.getexif()[ORIENTATION]) == (ICC, 6)
    file = io.BytesIO()
    back.save(file, "JPEG", exif=back.info["exif"])
    assert Image.open(file).getexif()[ORIENTATION] == 6


def test_habits_of_other_formats(no_defaults: None) -> None:
    """Older programs ask for ``_getexif``; WebP's savers say ``method=6``, AVIF's XMP is text."""
    back = reopened(saved(with_metadata(), method=6, xmp="<x/>", speed=3, lossless=False))
    assert back._getexif() == {ORIENTATION: 6}
    assert back.info["xmp"] == b"<x/>"
    assert reopened(saved(picture("RGB", 8, 8)))._getexif() is None
    assert reopened(saved(with_metadata(), dpi=(300, 300))).info["dpi"] == (300, 300)


# --- Reading: sources, draft, copies, threads


class OnlyAsked:
    """A file object with what Pillow's documentation asks for, and no more."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, count: int = -1) -> bytes:
        return self._file.read(count)

    def seek(self, offset: int, whence: int = 0) -> None:
        self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


class Pipe(io.RawIOBase):
    """Bytes that come once."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer)


def at_the_end(data: bytes) -> io.BytesIO:
    file = io.BytesIO(data)
    file.seek(0, os.SEEK_END)
    return file


@pytest.mark.parametrize("source", [io.BytesIO, at_the_end, OnlyAsked, Pipe])
def test_any_file_object_will_do(source: Callable[[bytes], Any], data: bytes) -> None:
    with Image.open(source(data)) as image:
        assert image.size == (50, 40)
        assert image.tobytes() == dsncodec.decode(data).tobytes()


def test_a_real_pipe_will_do(tiny: bytes) -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "wb") as out:
        out.write(tiny)
    with os.fdopen(read_end, "rb") as source, Image.open(source) as image:
        assert image.tobytes() == dsncodec.decode(tiny).tobytes()


def test_opening_reads_no_pixels(data: bytes) -> None:
    class Counting(io.BytesIO):
        bytes_read = 0

        def read(self, count: int | None = -1) -> bytes:
            part = super().read(count)
            self.bytes_read += len(part)
            return part

    source = Counting(data)
    with Image.open(source):
        sections = dsncodec.read_info(data).sections
        prefix, parameters = 16, sections["PARM"]  # Pillow's look, and ours at both
        # and the first byte of each other section, which says how it is coded
        assert source.bytes_read == prefix + header_bytes(data) + parameters + len(sections) - 1


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_parser_takes_the_file_in_pieces(step: int, data: bytes) -> None:
    parser = ImageFile.Parser()
    for start in range(0, len(data), step):
        parser.feed(data[start : start + step])
    assert parser.close().tobytes() == dsncodec.decode(data).tobytes()


def test_parser_refuses_half_a_file(data: bytes) -> None:
    parser = ImageFile.Parser()
    parser.feed(data[: len(data) // 2])
    with pytest.raises(OSError):
        parser.close()


@pytest.mark.parametrize("mode", MODES)
def test_draft_gives_the_low_resolution_layer(mode: str) -> None:
    coded = saved(picture(mode, 50, 41), scale=3, levels=64)
    image = reopened(coded)
    assert image.draft(None, (18, 3)) is None
    assert image.draft(None, (3, 15)) is None
    assert image.size == (50, 41)
    assert image.draft("L", (17, 14)) == (mode, (0, 0, 50 / 3, 41 / 3))
    assert image.size == (17, 14)
    assert image.draft(None, (1, 1)) is None, "a second draft changes nothing"
    layer = dsncodec.decode(coded, preview=True)
    assert (image.mode, image.tobytes()) == (mode, layer.tobytes())
    assert image.draft(None, (1, 1)) is None, "nor does one after loading"


def test_draft_without_a_size_changes_nothing(data: bytes) -> None:
    image = reopened(data)
    assert image.draft("L", None) is None
    assert image.size == (50, 40)


def test_a_thumbnail_looks_like_the_picture() -> None:
    picture_size, wanted = (96, 60), (12, 12)
    ramp = np.linspace(20, 230, picture_size[0]).astype(np.uint8)
    ramp_image = Image.fromarray(np.tile(ramp, (picture_size[1], 1)))
    image = reopened(saved(ramp_image, scale=2, levels=256))
    small = image.copy()
    image.thumbnail(wanted)
    small.thumbnail(wanted, reducing_gap=None)
    assert image.size == small.size == (12, 8)
    difference = np.asarray(image, float) - np.asarray(small, float)
    assert np.abs(difference).max() < 12


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda image: pickle.loads(pickle.dumps(image))])
def test_pickles_and_copies(clone: Callable[[Any], Any], loaded: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.dsn"
    with_metadata().save(path)
    with Image.open(path) as image:
        if loaded:
            image.load()
        twin = clone(image)
        assert twin == image
        assert (twin.format, twin.n_frames, twin.info["icc_profile"]) == ("DSN", 1, ICC)
        assert twin.draft(None, (1, 1)) is None
        assert image.copy().tobytes() == image.tobytes() == twin.tobytes()
        assert twin.decoder == "fidelity"
        with pytest.raises(SettingError, match="loaded already"):
            twin.decoder = "fidelity"
        with pytest.raises(RuntimeError, match="verify must be called directly after open"):
            twin.verify()


def test_eight_threads_see_the_same_pixels(data: bytes) -> None:
    with ThreadPoolExecutor(8) as pool:
        pixels = list(pool.map(lambda _: reopened(data).tobytes(), range(16)))
    assert set(pixels) == {dsncodec.decode(data).tobytes()}


# --- Broken files


def test_verify_passes_a_sound_file_and_closes_it(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.dsn"
    path.write_bytes(data)
    image = Image.open(path)
    file = image.fp
    image.verify()
    assert file is not None and file.closed
    with pytest.raises(RuntimeError, match="verify must be called directly after open"):
        image.verify()


def test_verify_finds_what_opening_does_not(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.dsn"
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    image = Image.open(path)
    with pytest.raises(OSError, match="checksum does not match") as raised:
        image.verify()
    assert type(raised.value) is OSError
    with Image.open(path) as image:
        for _ in range(2):
            with pytest.raises(OSError, match="checksum does not match"):
                image.load()
        with pytest.raises(OSError, match="checksum does not match"):
            image.thumbnail((4, 4))


@pytest.mark.parametrize("tolerant", [False, True])
def test_every_truncation_is_an_os_error(
    tolerant: bool, tiny: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", tolerant)
    for length in range(len(tiny)):
        with pytest.raises(OSError) as raised:
            reopened(tiny[:length])
        assert type(raised.value) is (UnidentifiedImageError if length < 4 else OSError)


def test_a_file_cut_after_opening_is_an_os_error(tiny: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.dsn"
    path.write_bytes(tiny)
    with Image.open(path) as image:
        for length in range(len(tiny)):
            os.truncate(path, length)
            with pytest.raises(OSError):
                image.load()
            path.write_bytes(tiny)
        image.load()


def test_another_file_in_its_place_is_an_os_error(tiny: bytes) -> None:
    file = io.BytesIO(tiny)
    image = Image.open(file)
    file.seek(0)
    file.write(saved(picture("L", 6, 3), scale=4, levels=4))
    file.truncate()
    with pytest.raises(OSError, match="was changed after"):
        image.load()


def test_every_changed_byte_is_an_os_error(tiny: bytes) -> None:
    for i in range(len(tiny)):
        changed = bytearray(tiny)
        changed[i] ^= 0x55
        with pytest.raises(OSError) as raised:
            reopened(bytes(changed)).load()
        assert type(raised.value) is (UnidentifiedImageError if i < 4 else OSError)


@pytest.mark.parametrize("reduce", [False, True])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.filterwarnings("ignore:.*follow the last section:dsncodec.errors.DsnWarning")
def test_bytes_changed_with_care_give_a_picture_or_an_os_error(
    reduce: bool, tiny: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    assert with_fixed_checksums(tiny) == tiny
    for i in range(8, len(tiny)):
        changed = bytearray(tiny)
        changed[i] ^= 0x05
        try:
            image = reopened(with_fixed_checksums(bytes(changed)))
            if reduce:
                image.draft(None, (1, 1))
            assert len(image.tobytes()) == image.width * image.height * len(image.getbands())
        except (OSError, Image.DecompressionBombError):
            continue


def test_a_missing_file_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Image.open(tmp_path / "none.dsn")


def test_pillows_limit_holds_before_anything_is_decoded(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50 * 40 // 2 - 1)
    with pytest.raises(Image.DecompressionBombError):
        reopened(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50 * 40 - 1)
    with pytest.warns(Image.DecompressionBombWarning):
        image = reopened(data)
    image.load()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert reopened(data).size == (50, 40)


def test_only_pillows_limit_counts(tiny: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header that promises more than dsncodec.decode would take, over a few bytes of payload."""
    huge = container.Header("dsn", "L", 20_000, 20_000)
    coded = container.pack(huge, sections_of(tiny))
    with pytest.raises(Image.DecompressionBombError):
        reopened(coded)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    reopened(coded).verify()
    image = reopened(coded)
    assert image.draft(None, (5000, 5000)) is not None
    with pytest.raises(OSError):
        image.load()


def test_an_unknown_model_leaves_the_thumbnail(tiny: bytes) -> None:
    header = container.Header("dsn", "L", 5, 3)
    sections = dict(sections_of(tiny))
    sections["PARM"] = sections["PARM"][:3] + b"no model"
    image = reopened(container.pack(header, list(sections.items())))
    assert image.info["dsn"]["model_id"] == b"no model".hex()
    with pytest.raises(OSError, match="needs model"):
        image.load()
    image.draft(None, (2, 1))
    with io.BytesIO() as file:
        file.write(container.pack(header, list(sections.items())))
        assert image.tobytes() == dsncodec.decode(file.getvalue(), preview=True).tobytes()


@pytest.mark.parametrize("tag", ["PARM", "LUMA"])
def test_a_missing_section_is_an_os_error(tag: str, tiny: bytes) -> None:
    sections = [section for section in sections_of(tiny) if section[0] != tag]
    coded = packed_1(container.Header("dsn", "L", 5, 3), sections)
    with pytest.raises(OSError, match=tag) as raised:
        reopened(coded).load()
    assert type(raised.value) is OSError
    assert isinstance(raised.value.__cause__, dsncodec.Corrupt)


# --- Other libraries read .dsn through Pillow


@pytest.mark.filterwarnings("ignore:Can't determine file format:UserWarning")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_imageio(mode: str, method: str, tmp_path: Path) -> None:
    iio = pytest.importorskip("imageio.v3")
    path = tmp_path / "a.dsn"
    pixels = np.asarray(picture(mode, 20, 16))
    iio.imwrite(path, pixels, method=method, quality=50)
    assert path.read_bytes() == dsncodec.encode(pixels, method, quality=50)
    back = iio.imread(path)
    assert np.array_equal(back, np.asarray(dsncodec.decode(path)))
    assert iio.improps(path).shape == pixels.shape
    assert iio.immeta(path)["dsn"]["method"] == method
    assert iio.imwrite("<bytes>", pixels, format="DSN", method=method, quality=50) == path.read_bytes()
    with pytest.raises(ValueError, match="holds one picture, not 2"):
        iio.imwrite(tmp_path / "b.dsn", [pixels, pixels], mode=mode)


def test_scikit_image(data: bytes, tmp_path: Path) -> None:
    skio = pytest.importorskip("skimage.io")
    path = tmp_path / "a.dsn"
    path.write_bytes(data)
    assert np.array_equal(skio.imread(path), np.asarray(dsncodec.decode(data)))
    skio.imsave(tmp_path / "b.dsn", skio.imread(path))
    assert skio.imread(tmp_path / "b.dsn").shape == (40, 50, 3)


def test_matplotlib(data: bytes, tmp_path: Path) -> None:
    image = pytest.importorskip("matplotlib.image")
    path = tmp_path / "a.dsn"
    path.write_bytes(data)
    back = image.imread(path)
    assert np.array_equal(back, np.asarray(dsncodec.decode(data)))
    image.imsave(tmp_path / "b.dsn", back)
    assert image.imread(tmp_path / "b.dsn").shape == (40, 50, 4)
