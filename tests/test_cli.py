"""The command: every verb once for real, its exit codes, and what it leaves behind."""

from __future__ import annotations

import io
import itertools
import json
import lzma
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import py7zr
import pytest
from PIL import Image, ImageCms

import dsncodec
from dsncodec import container
from dsncodec.carriers import BACKENDS, BASE_CODECS, eight_bits, load_base
from dsncodec.cli import VERBS, main
from dsncodec.cli.common import byte_count
from dsncodec.methods.sections import read_structure

from .conftest import METHODS, header_bytes, picture, with_fixed_checksums

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>five</x:xmpmeta>"
Call = Callable[..., tuple[int, str, str]]


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = 6  # orientation: kept, never applied
    tags[0x010F] = "camera"
    return tags


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the command in this process; gives the exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    picture("RGB", 37, 26).save(path)
    return path


@pytest.fixture(scope="module")
def coded() -> bytes:
    return dsncodec.encode(picture("RGBA", 37, 26), scale=3, levels=64, entropy_coder="jxl")


@pytest.fixture
def file(tmp_path: Path, coded: bytes) -> Path:
    """Of method dsn."""
    path = tmp_path / "photo.dsn"
    path.write_bytes(coded)
    return path


@pytest.fixture(scope="module", params=METHODS)
def any_coded(request: pytest.FixtureRequest) -> bytes:
    return dsncodec.encode(picture("RGBA", 37, 26), request.param)


@pytest.fixture
def any_file(tmp_path: Path, any_coded: bytes) -> Path:
    """Of each method."""
    path = tmp_path / "photo.dsn"
    path.write_bytes(any_coded)
    return path


@pytest.fixture(params=BASE_CODECS)
def restored(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Of method restored, by each base codec."""
    path = tmp_path / "photo.dsn"
    path.write_bytes(dsncodec.encode(picture("RGBA", 37, 26), base=request.param))
    return path


def names(folder: Path) -> list[str]:
    """Everything below a folder, hidden files too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def one_line(err: str) -> str:
    assert re.fullmatch(r"dsncodec: .+\n", err), err
    return err


# --- help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_help(verb: str, call: Call) -> None:
    code, out, _ = call(verb, "--help")
    assert code == 0
    assert out.startswith(f"usage: dsncodec {verb}")


def test_without_a_verb_there_is_help(call: Call) -> None:
    assert call() == call("--help")


def test_help_and_version(call: Call) -> None:
    code, out, _ = call("--help")
    assert code == 0
    assert all(f" {verb} " in out for verb in VERBS)
    assert call("--version")[1] == f"dsncodec {dsncodec.__version__}\n"


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys; from dsncodec.cli import VERBS, main\n"
        "for verb in VERBS: main([verb, '--help'])\n"
        "print(sorted({'numpy', 'PIL', 'onnxruntime', 'torch', 'imagecodecs'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("arguments", [["paint"], ["encode"], ["encode", "a.png", "--nonsense"]])
def test_bad_usage(arguments: list[str], call: Call) -> None:
    code, out, err = call(*arguments)
    assert code == 2
    assert out == ""
    assert "error:" in err


# --- encode and decode ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "words"),
    {
        None: r"base quality 59, .*, avif",
        "restored": r"base quality 59, .*, avif",
        "dsn": r"scale \d, \d+ levels",
    }.items(),
)
def test_round_trip(method: str | None, words: str, photo: Path, call: Call) -> None:
    code, out, err = call("encode", photo, "--psnr", *(["--method", method] if method else []))
    assert (code, err) == (0, "")
    assert re.search(
        rf"photo\.dsn: [\d.]+ KB -> [\d.]+ (KB|bytes), [\d.]+ %; [\d,]+ bytes, \d+\.\d{{3}} bpp, \d+\.\d\d dB, {words}",
        out,
    )
    target = photo.with_name("back.png")
    code, out, err = call("decode", photo.with_suffix(".dsn"), "-o", target)
    assert (code, err) == (0, "")
    assert out.endswith("back.png: 37 x 26 RGB\n")
    with Image.open(target) as image:
        assert image.size == (37, 26)
        assert image.tobytes() == dsncodec.decode(photo.with_suffix(".dsn")).tobytes()
    assert names(photo.parent) == ["back.png", "photo.dsn", "photo.png"]


def test_output_as_last_argument(photo: Path, call: Call) -> None:
    coded, back = photo.with_name("small.dsn"), photo.with_name("back.webp")
    assert call("encode", photo, coded)[0] == 0
    assert call("decode", coded, back)[0] == 0
    with Image.open(back) as image:
        assert (image.format, image.size) == ("WEBP", (37, 26))


@pytest.mark.parametrize("suffix", [".bmp", ".gif", ".jp2", ".jpg", ".pgm", ".tga", ".tif", ".webp"])
def test_input_formats(suffix: str, tmp_path: Path, call: Call) -> None:
    source = tmp_path / f"photo{suffix}"
    picture("L", 17, 12).save(source)
    assert call("encode", source, "--psnr")[0] == 0
    assert dsncodec.read_info(source.with_suffix(".dsn")).size == (17, 12)


def test_encode_json_and_settings(photo: Path, call: Call) -> None:
    code, out, err = call(
        "encode",
        photo,
        "--json",
        "--scale",
        2,
        "--levels",
        32,
        "--chroma-levels",
        16,
        "--backend",
        "lzma2",
        "--psnr",
    )
    assert (code, err) == (0, "")
    report = json.loads(out)
    coded = photo.with_suffix(".dsn")
    assert report["file"] == str(photo)
    assert report["output"] == str(coded)
    assert report["size_bytes"] == coded.stat().st_size
    assert report["bpp"] == pytest.approx(8 * coded.stat().st_size / (37 * 26))
    assert (report["scale"], report["levels"], report["chroma_levels"]) == (2, 32, 16)
    assert set(report["backends"].values()) == {"lzma2"}
    with Image.open(photo) as image:
        error = np.asarray(image, float) - np.asarray(dsncodec.decode(coded), float)
    assert report["psnr_db"] == pytest.approx(10 * np.log10(255**2 / np.square(error).mean()))


def test_encode_json_of_a_restored_picture(photo: Path, call: Call) -> None:
    code, out, err = call("encode", photo, "--json", "--backend", "jpeg", "--tune", "psnr", "-q", "40")
    assert (code, err) == (0, "")
    report, info = json.loads(out), dsncodec.read_info(photo.with_suffix(".dsn"))
    assert (report["method"], report["backends"]) == ("restored", {"BASE": "jpeg"})
    assert (report["scale"], report["levels"], report["base_quality"]) == (1, None, 40)
    assert (report["strength"], report["gain_db"]) == (info.strength, info.gain_db)


@pytest.mark.parametrize("method", METHODS)
def test_targets(method: str, photo: Path, call: Call) -> None:
    coded = photo.with_suffix(".dsn")
    full = len(dsncodec.encode(photo, method, quality=100))
    by = ["--method", method]
    assert call("encode", photo, "--target-bytes", full, *by)[0] == 0
    assert coded.stat().st_size <= full
    assert call("encode", photo, "--target-bpp", "8", "--force", *by)[0] == 0
    assert coded.stat().st_size <= 37 * 26
    code, out, _ = call("encode", photo, "--target-psnr", "5", "--force", "--json", *by)
    assert code == 0
    assert json.loads(out)["psnr_db"] >= 5


@pytest.mark.parametrize(
    ("text", "count"), [("20k", 20_000), ("1.5M", 1_500_000), ("2KiB", 2048), ("17", 17), ("3GB", 3 * 10**9)]
)
def test_byte_counts(text: str, count: int) -> None:
    assert byte_count(text) == count


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif"])
def test_metadata_travels(suffix: str, tmp_path: Path, call: Call) -> None:
    source, coded, back = tmp_path / "a.jpg", tmp_path / "a.dsn", tmp_path / f"back{suffix}"
    picture("RGB", 20, 16).save(source, icc_profile=ICC, exif=exif(), xmp=XMP)
    assert call("encode", source)[0] == 0
    assert call("decode", coded, "-o", back)[0] == 0
    with Image.open(back) as image:
        assert image.info["icc_profile"] == ICC
        assert image.info["xmp"] == XMP
        assert image.getexif()[0x010F] == "camera"
        if suffix in (".png", ".jpg", ".webp"):  # for the others, Pillow turns the picture itself
            assert image.size == (20, 16)
            assert image.getexif()[0x0112] == 6


def test_strip_and_times(tmp_path: Path, call: Call) -> None:
    source, coded = tmp_path / "a.jpg", tmp_path / "a.dsn"
    picture("RGB", 20, 16).save(source, icc_profile=ICC, exif=exif(), xmp=XMP)
    os.utime(source, (1_000_000_000, 1_100_000_000))
    assert call("encode", source, "--strip", "exif,xmp", "--preserve-times")[0] == 0
    assert coded.stat().st_mtime == 1_100_000_000
    assert set(dsncodec.decode(coded).info) == {"icc_profile"}


def test_region_and_reduce(any_file: Path, tmp_path: Path, call: Call) -> None:
    file = any_file
    part, small = tmp_path / "part.png", tmp_path / "small.png"
    assert call("decode", file, "--region", "3,5,20,21", "-o", part)[0] == 0
    assert call("decode", file, "--reduce", "-o", small)[0] == 0
    with Image.open(part) as image:
        assert image.tobytes() == dsncodec.decode(file).crop((3, 5, 20, 21)).tobytes()
    with Image.open(small) as image:
        assert image.tobytes() == dsncodec.decode(file, preview=True).tobytes()
    code, _, err = call("decode", file, "--region", "0,0,99,9", "-o", tmp_path / "no.png")
    assert code == 1
    assert "region" in one_line(err)


def test_max_pixels(any_file: Path, tmp_path: Path, call: Call) -> None:
    code, _, err = call("decode", any_file, "--max-pixels", 100)
    assert code == 1
    assert "limit is 100" in one_line(err)
    assert names(tmp_path) == ["photo.dsn"]


# --- the other verbs -----------------------------------------------------------------------------


def test_info(file: Path, call: Call) -> None:
    code, out, err = call("info", file)
    assert (code, err) == (0, "")
    assert out.startswith(f"{file}: 37 x 26 RGBA\n")
    assert re.search(r"\n  section LUMA +\d+ bytes  jxl\n", out)
    report = json.loads(call("info", file, "--json")[1])
    assert (report["width"], report["height"], report["levels"]) == (37, 26, 64)
    assert report["size_bytes"] == file.stat().st_size


def test_info_of_a_restored_picture(restored: Path, call: Call) -> None:
    info = dsncodec.read_info(restored)
    code, out, err = call("info", restored)
    assert (code, err) == (0, "")
    base = info.backends["BASE"]
    quality = BASE_CODECS[base].own_quality(75, "visual")
    assert info.base_quality == quality
    words = rf"base quality {quality}, (no network|network (weighed|at strength \d\.\d\d), \+\d)"
    assert re.search(rf"\n  method +restored, {words}", out)
    assert ("\n  model " in out) == (info.model != "")
    assert re.search(rf"\n  section BASE +\d+ bytes  {base}\n", out)
    report = json.loads(call("info", restored, "--json")[1])
    assert (report["base_quality"], report["strength"], report["levels"]) == (quality, info.strength, None)


def test_verify(any_file: Path, tmp_path: Path, any_coded: bytes, call: Call) -> None:
    file, coded = any_file, any_coded
    assert call("verify", file) == (0, f"{file}: OK\n", "")
    assert call("verify", file, "--decode")[0] == 0
    broken = tmp_path / "broken.dsn"
    broken.write_bytes(coded[:-1] + bytes([coded[-1] ^ 1]))
    code, out, err = call("verify", tmp_path, "--json")
    assert code == 1
    assert str(broken) in one_line(err)
    answers = {Path(row["file"]).name: row for row in map(json.loads, out.splitlines())}
    assert answers["photo.dsn"]["ok"] is True
    assert answers["broken.dsn"]["ok"] is False
    assert "checksum" in answers["broken.dsn"]["error"]


def test_verify_decode_finds_what_checksums_do_not(tmp_path: Path, coded: bytes, call: Call) -> None:
    at = header_bytes(coded) + 1  # luma comes first
    forged = tmp_path / "forged.dsn"
    forged.write_bytes(with_fixed_checksums(coded[:at] + b"\0\0\0\0" + coded[at + 4 :]))
    assert call("verify", forged)[0] == 0
    code, _, err = call("verify", forged, "--decode")
    assert code == 1
    assert "jxl" in one_line(err)


def test_thumbnail(any_file: Path, call: Call) -> None:
    file = any_file
    assert call("thumbnail", file)[0] == 0
    with Image.open(file.with_name("photo-thumbnail.png")) as image:
        assert image.tobytes() == dsncodec.decode(file, preview=True).tobytes()
    assert call("thumbnail", file, "--size", 8, "-o", file.with_name("t.webp"))[0] == 0
    with Image.open(file.with_name("t.webp")) as image:
        assert max(image.size) == 8


@pytest.mark.parametrize(("verb", "size"), [("upsample", (74, 52)), ("downsample", (19, 13))])
def test_resampling(verb: str, size: tuple[int, int], photo: Path, call: Call) -> None:
    target = photo.with_name("result.tif")
    code, out, err = call(verb, photo, "--scale", 2, "-o", target)
    assert (code, err) == (0, "")
    assert f"{size[0]} x {size[1]} RGB" in out
    with Image.open(target) as image:
        assert (image.format, image.size) == ("TIFF", size)
    code, _, err = call(verb, photo, "--scale", 9)
    assert code == 2
    assert "scale must be one of" in one_line(err)


# --- extract -------------------------------------------------------------------------------------


def payload(coded: bytes, tag: str) -> bytes:
    """The bytes of a section, without the one that names the backend."""
    stream = io.BytesIO(coded)
    _, sections, _ = read_structure(stream, None)
    return container.read_payload(stream, sections[tag])[1:]


def read_7z(path: Path, count: int) -> bytes:
    with py7zr.SevenZipFile(path) as archive:
        archive.extractall(path.parent / "unpacked")
    return (path.parent / "unpacked" / "layer.pgm").read_bytes()[-count:]


@pytest.mark.parametrize("backend", BACKENDS)
def test_extract_own_bytes(backend: str, tmp_path: Path, call: Call) -> None:
    source, grey = tmp_path / "photo.dsn", tmp_path / "grey.png"
    source.write_bytes(dsncodec.encode(picture("RGB", 37, 26), scale=3, levels=64, entropy_coder=backend))
    assert call("extract", source)[0] == 0
    assert call("extract", source, grey)[0] == 0
    own = tmp_path / f"photo-layer{BACKENDS[backend].extension}"
    assert own.read_bytes() == payload(source.read_bytes(), "LUMA")
    with Image.open(grey) as image:
        symbols = np.asarray(image)
    assert symbols.shape == (10, 14)  # whole pairs: chroma has half the resolution
    assert symbols.max() < 64
    if backend == "7z":
        assert read_7z(own, symbols.size) == symbols.tobytes()
    elif backend == "lzma2":
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 9}]
        assert lzma.decompress(own.read_bytes(), lzma.FORMAT_RAW, filters=filters) == symbols.tobytes()
    else:
        opened = imagecodecs.imread(own)
        assert np.array_equal(opened[..., 0] if opened.ndim == 3 else opened, symbols)


def test_extract_other_planes(file: Path, tmp_path: Path, coded: bytes, call: Call) -> None:
    code, out, _ = call("extract", file, "--plane", "alpha", "--json", "-o", tmp_path / "alpha.png")
    assert code == 0
    assert json.loads(out)["plane"] == "alpha"
    with Image.open(tmp_path / "alpha.png") as image:
        assert image.tobytes() == dsncodec.decode(coded).getchannel("A").tobytes()
    assert call("extract", file, "--plane", "chroma", "-o", tmp_path / "c.jxl")[0] == 0
    assert (tmp_path / "c.jxl").read_bytes() == payload(coded, "CHRO")


def test_extract_stretch(file: Path, tmp_path: Path, call: Call) -> None:
    plain, wide = tmp_path / "plain.png", tmp_path / "wide.png"
    assert call("extract", file, plain)[0] == 0
    assert call("extract", file, wide, "--stretch")[0] == 0
    with Image.open(plain) as a, Image.open(wide) as b:
        assert np.array_equal(np.floor(np.asarray(a) * (255 / 63) + 0.5), np.asarray(b))


def test_extract_refusals(file: Path, tmp_path: Path, call: Call) -> None:
    code, _, err = call("extract", file, tmp_path / "layer.7z")
    assert code == 1
    assert ".jxl, .png or .jp2" in one_line(err)
    assert call("extract", file, tmp_path / "layer.gif")[0] == 2
    assert call("extract", file, "--stretch")[0] == 2
    grey = tmp_path / "grey.dsn"
    grey.write_bytes(dsncodec.encode(picture("L", 9, 9), "dsn"))
    code, _, err = call("extract", grey, "--plane", "chroma")
    assert code == 1
    assert "no chroma plane" in one_line(err)
    code, _, err = call("extract", grey, "--plane", "picture")
    assert code == 1
    assert "no picture" in one_line(err)
    assert names(tmp_path) == ["grey.dsn", "photo.dsn"]


def test_extract_the_picture_of_a_base_codec(restored: Path, tmp_path: Path, call: Call) -> None:
    """With --bare byte for byte what the codec wrote; another program shows in it what is shown without a network."""
    info = dsncodec.read_info(restored)
    base = info.backends["BASE"]
    own, png = tmp_path / f"photo-layer{BASE_CODECS[base].extension}", tmp_path / "photo.png"
    code, out, err = call("extract", restored, "--bare")
    assert (code, err) == (0, "")
    assert f"picture of 37 x 26 pixels, {base}, " in out
    colour = np.ascontiguousarray(np.asarray(picture("RGBA", 37, 26))[..., :3])
    assert own.read_bytes() == load_base(base).encode(colour, info.base_quality, 5, 1, "visual")
    assert call("extract", restored, png)[0] == 0
    shown = dsncodec.decode(restored, preview=True)
    expected = np.asarray(shown.convert("RGB"))
    assert np.array_equal(eight_bits(imagecodecs.imread(own)), expected)
    if base != "jxl":  # which Pillow does not know
        with Image.open(own) as image:
            # Pillow brings 10 bits to 8 with errors of up to 3
            apart = np.abs(np.asarray(image).astype(int) - expected).max()
            assert apart <= (3 if base == "avif" else 0)
    with Image.open(png) as image:
        assert np.array_equal(np.asarray(image), np.asarray(shown))
    assert call("extract", restored, "--plane", "alpha", "-o", tmp_path / "alpha.png")[0] == 0
    with Image.open(tmp_path / "alpha.png") as image:
        assert image.tobytes() == dsncodec.decode(restored).getchannel("A").tobytes()
    for plane in ("luma", "chroma"):
        code, _, err = call("extract", restored, "--plane", plane)
        assert code == 1
        assert f"no {plane} plane" in one_line(err)
    other = next(row.extension for name, row in BASE_CODECS.items() if name != base)
    code, _, err = call("extract", restored, tmp_path / f"layer{other}")
    assert code == 1
    assert f"coded by {base}" in one_line(err)


def test_extract_jp2(file: Path, tmp_path: Path, call: Call) -> None:
    glymur = pytest.importorskip("glymur")
    if glymur.version.openjpeg_version_tuple < (2, 4):
        pytest.skip("glymur finds no OpenJPEG (Debian: libopenjp2-7)")
    for plane in ("luma", "chroma", "alpha"):
        grey, layer = tmp_path / f"{plane}.png", tmp_path / f"{plane}.jp2"
        assert call("extract", file, grey, "--plane", plane)[0] == 0
        assert call("extract", file, layer, "--plane", plane)[0] == 0
        with Image.open(grey) as image:
            assert np.array_equal(glymur.Jp2k(layer)[:], np.asarray(image))


def without(monkeypatch: pytest.MonkeyPatch, package: str, *users: str) -> None:
    """As if a package were not installed."""
    for user in users:
        monkeypatch.delitem(sys.modules, user, raising=False)
    monkeypatch.setitem(sys.modules, package, None)


def test_missing_extras(file: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "glymur", "dsncodec.carriers.jp2")
    code, _, err = call("extract", file, tmp_path / "layer.jp2")
    assert code == 1
    assert "pip install dsncodec[jp2]" in one_line(err)
    without(
        monkeypatch, "torch", "dsncodec.train.tasks", "dsncodec.train.trainer", "dsncodec.train.export.onnx"
    )
    for arguments in (["train", "dsn-x3"], ["export", "checkpoint.pt", "-o", tmp_path / "models"]):
        code, _, err = call(*arguments)
        assert code == 1
        assert "pip install dsncodec[train]" in one_line(err)
    assert names(tmp_path) == ["photo.dsn"]


# --- files, folders, streams ---------------------------------------------------------------------


def test_folders_keep_their_shape(tmp_path: Path, call: Call) -> None:
    source, coded, back = tmp_path / "in", tmp_path / "coded", tmp_path / "back"
    (source / "deep" / "er").mkdir(parents=True)
    picture("L", 9, 8).save(source / "a.png")
    picture("RGB", 12, 7).save(source / "deep" / "er" / "b.jpg")
    (source / "notes.txt").write_text("not a picture")
    (source / ".hidden").mkdir()
    picture("L", 9, 8).save(source / ".hidden" / "c.png")
    assert call("encode", source, "-o", coded)[0] == 0
    assert names(coded) == ["a.dsn", os.path.join("deep", "er", "b.dsn")]
    assert call("decode", coded, "-o", back, "--format", "webp")[0] == 0
    assert names(back) == ["a.webp", os.path.join("deep", "er", "b.webp")]


def test_several_processes(tmp_path: Path, call: Call) -> None:
    for i in range(3):
        picture("L", 9 + i, 8, seed=i).save(tmp_path / f"{i}.png")
    (tmp_path / "3.png").write_bytes(b"not a picture")
    code, out, err = call("encode", tmp_path, "-o", tmp_path / "out", "-j", 2, "--json")
    assert code == 1
    assert "3.png: not a picture" in one_line(err)
    reports = [json.loads(line) for line in out.splitlines()]
    assert [report["ok"] for report in reports] == [True, True, True, False]
    assert [report["width"] for report in reports[:3]] == [9, 10, 11]
    assert names(tmp_path / "out") == ["0.dsn", "1.dsn", "2.dsn"]


def command(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """A process of its own, as a shell would start it."""
    line = [sys.executable, "-m", "dsncodec", *arguments]
    return subprocess.run(line, input=data, capture_output=True)


def test_streams(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    picture("RGB", 21, 13).save(buffer, "PNG")
    encoded = command("encode", "-", "-o", "-", "--quiet", data=buffer.getvalue())
    assert (encoded.returncode, encoded.stderr) == (0, b"")
    assert encoded.stdout == dsncodec.encode(io.BytesIO(buffer.getvalue()))
    decoded = command("decode", "-", "--format", "ppm", data=encoded.stdout)
    assert decoded.returncode == 0
    assert decoded.stderr == b"stdin -> stdout: 21 x 13 RGB\n"
    with Image.open(io.BytesIO(decoded.stdout)) as image:
        assert (image.format, image.size) == ("PPM", (21, 13))


def test_failures_of_a_real_process(tmp_path: Path) -> None:
    broken = command("decode", "-", data=b"not ours")
    assert (broken.returncode, broken.stdout) == (1, b"")
    assert re.fullmatch(rb"dsncodec: -: [^\n]+\n", broken.stderr)
    assert command("encode", "nothing.png", "-q", "101").returncode == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_full_disk_behind_stdout(photo: Path) -> None:
    line = [sys.executable, "-m", "dsncodec", "encode", str(photo), "-o", "-"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert "No space left" in one_line(done.stderr)


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
def test_closed_streams(file: Path, photo: Path) -> None:
    def shell(line: str) -> tuple[int, str, str]:
        text = f'"{sys.executable}" -m dsncodec {line}'
        done = subprocess.run(["sh", "-c", text], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    assert shell(f'info "{file}" >&-') == (0, "", "")
    code, out, err = shell(f'info "{file}" 2>&-')
    assert (code, err) == (0, "") and "section LUMA" in out
    assert shell(f'info "{photo}" >&- 2>&-')[0] == 1
    code, _, err = shell("encode - -o - <&-")
    assert code == 1 and "not a picture" in one_line(err)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("verb", ["decode", "info", "verify", "verify --decode", "thumbnail", "extract"])
def test_a_named_pipe_is_read_once(verb: str, any_file: Path, tmp_path: Path, call: Call) -> None:
    pipe = tmp_path / "pipe.dsn"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(any_file.read_bytes(),))
    writer.start()
    code, _, err = call(*verb.split(), pipe)
    writer.join()
    assert (code, err) == (0, "")


def test_reader_that_goes_away(file: Path) -> None:
    line = [sys.executable, "-m", "dsncodec", "info", str(file)]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(line, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_existing_output_needs_force(photo: Path, call: Call) -> None:
    coded = photo.with_suffix(".dsn")
    coded.write_bytes(b"precious")
    code, _, err = call("encode", photo)
    assert code == 1
    assert "--force" in one_line(err)
    assert coded.read_bytes() == b"precious"
    assert call("encode", photo, "--force")[0] == 0
    dsncodec.verify(coded)


def test_same_file_is_refused(photo: Path, call: Call) -> None:
    before = photo.read_bytes()
    code, _, err = call("upsample", photo, "-o", photo, "--force")
    assert code == 1
    assert "same file" in one_line(err)
    assert call("encode", photo, "-o", photo, "--force")[0] == 2  # which is no name of a .dsn file
    assert photo.read_bytes() == before


def test_conflicting_outputs(photo: Path, tmp_path: Path, call: Call) -> None:
    twin = tmp_path / "photo.jpg"
    picture("RGB", 8, 8).save(twin)
    assert call("encode", photo, twin, "-o", "-")[0] == 2
    assert call("encode", photo, twin, "-o", photo)[0] == 2  # a file, not a folder
    assert call("encode", "-", "-o", tmp_path)[0] == 2
    assert call("encode", photo, "-o", "-", "--json")[0] == 2
    assert call("decode", photo, "-o", tmp_path / "x.nonsense")[0] == 2
    assert names(tmp_path) == ["photo.jpg", "photo.png"]


@pytest.mark.parametrize("force", [False, True])
def test_failed_write_leaves_nothing(
    force: bool, photo: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    coded = photo.with_suffix(".dsn")
    if force:
        coded.write_bytes(b"precious")
    before = names(photo.parent)
    monkeypatch.setattr(Path, "write_bytes", full)
    code, _, err = call("encode", photo, *(["--force"] if force else []))
    assert code == 1
    assert "No space left on device" in one_line(err)
    assert names(photo.parent) == before
    assert not force or coded.read_bytes() == b"precious"


def test_unwritable_place(photo: Path, call: Call) -> None:
    code, _, err = call("encode", photo, "-o", photo / "below.dsn")
    assert code == 1
    assert "cannot write" in one_line(err)


def test_interrupt(photo: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Path, data: bytes) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    code, _, err = call("encode", photo)
    assert (code, err) == (130, "dsncodec: interrupted\n")
    assert names(photo.parent) == ["photo.png"]


def test_quiet(photo: Path, call: Call) -> None:
    assert call("encode", photo, "--quiet") == (0, "", "")


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    {
        "empty": lambda data: b"",
        "truncated": lambda data: data[: len(data) // 2],
        "wrong magic": lambda data: b"\x89PNG\r\n\x1a\n" + data[8:],
        "newer version": lambda data: data[:4] + b"\x09" + data[5:],
        "changed byte": lambda data: data[:-3] + bytes([data[-3] ^ 0xFF]) + data[-2:],
    }.items(),
    ids=lambda item: item[0],
)
def test_bad_files(
    change: tuple[str, Callable[[bytes], bytes]], tmp_path: Path, any_coded: bytes, call: Call
) -> None:
    coded = any_coded
    path, good = tmp_path / "bad.dsn", tmp_path / "good.dsn"
    path.write_bytes(change[1](coded))
    good.write_bytes(coded)
    for verb in ("decode", "verify", "thumbnail", "extract"):
        code, _, err = call(verb, path)
        assert code == 1
        assert f"{path}: " in one_line(err)
        assert names(tmp_path) == ["bad.dsn", "good.dsn"]
    assert call("decode", path, good)[0] == 1
    assert names(tmp_path) == ["bad.dsn", "good.dsn", "good.png"]  # the others go on


def test_bytes_behind_the_end_are_named(tmp_path: Path, any_coded: bytes, call: Call) -> None:
    path = tmp_path / "long.dsn"
    path.write_bytes(any_coded + b"more")
    for verb in ("decode", "verify", "info", "thumbnail", "extract"):
        code, _, err = call(verb, path, *(["-o", tmp_path / "x.png"] if verb == "thumbnail" else []))
        assert code == 0
        assert one_line(err) == f"dsncodec: {path}: 4 bytes that follow the last section are ignored\n"


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_bad_pictures(data: bytes, tmp_path: Path, call: Call) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    for verb in ("encode", "upsample", "downsample"):
        code, _, err = call(verb, path)
        assert code == 1
        assert f"{path}: " in one_line(err)
    assert names(tmp_path) == ["bad.png"]


def test_truncated_picture(photo: Path, call: Call) -> None:
    photo.write_bytes(photo.read_bytes()[:-200])
    code, _, err = call("encode", photo)
    assert code == 1
    one_line(err)
    assert names(photo.parent) == ["photo.png"]


@pytest.mark.parametrize("verb", ["encode", "decode", "info", "verify", "thumbnail", "extract"])
def test_missing_file_and_empty_folder(verb: str, tmp_path: Path, call: Call) -> None:
    code, _, err = call(verb, tmp_path / "nowhere.dsn")
    assert code == 1
    assert "No such file" in one_line(err)
    code, _, err = call(verb, tmp_path)
    assert code == 1
    assert "folder" in one_line(err)


def test_unsupported_mode(tmp_path: Path, call: Call) -> None:
    Image.fromarray(np.full((4, 4), 900, np.float32)).save(tmp_path / "deep.tif")
    code, _, err = call("encode", tmp_path / "deep.tif")
    assert code == 1
    assert "8 bits a sample; scale them" in one_line(err)


# --- what is lost on the way, and what a folder has besides


def test_losses_are_named_in_lines_in_json_and_counted(tmp_path: Path, call: Call) -> None:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    Image.fromarray(np.full((9, 9), 9000, np.uint16)).save(folder / "deep" / "a.png")
    picture("RGB", 9, 9).save(folder / "b.gif", save_all=True, append_images=[picture("RGB", 9, 9, 1)])
    picture("RGB", 9, 9).save(folder / "c.jfif", "JPEG", comment=b"taken by Ann")
    picture("RGB", 9, 9).save(folder / "d.png")
    for other in ("film.mov", "film.MOV", "notes.txt", "LICENCE", ".hidden.mov", "e.dsn"):
        (folder / other).write_bytes(b"")
    code, out, err = call("encode", folder, "-o", tmp_path / "out", "--json", "--method", "dsn", "-j", 1)
    assert code == 0
    lines = err.splitlines()
    assert lines[0] == f"dsncodec: {folder}: files left out as no pictures: 2 .mov, 1 .txt, 1 without suffix"
    assert lines[1:] == [
        f"dsncodec: {folder}/b.gif: frame 2 is left out",
        f"dsncodec: {folder}/c.jfif: left out: a comment",
        f"dsncodec: {folder}/deep/a.png: 16 bits a sample are rounded to 8",
        "dsncodec: 3 of 4 files with warnings, above",
    ]
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row.get("warnings", []) for row in rows] == [
        ["frame 2 is left out"],
        ["left out: a comment"],
        [],
        ["16 bits a sample are rounded to 8"],
    ]
    assert names(tmp_path / "out") == ["b.dsn", "c.dsn", "d.dsn", "deep/a.dsn"]
    quiet = call("encode", folder, "-o", tmp_path / "out", "--quiet", "--force", "--method", "dsn", "-j", 2)
    assert (quiet[0], quiet[1], quiet[2].splitlines()) == (0, "", lines[1:])


@pytest.mark.parametrize("output", ["a folder", "beside"])
def test_pictures_of_one_name_keep_their_whole_names(output: str, tmp_path: Path, call: Call) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.jpg", "a.png", "b.png"):
        picture("RGB", 9, 9).save(folder / name)
    target = tmp_path / "out" if output == "a folder" else folder
    where = ["-o", target] if output == "a folder" else []
    assert call("encode", folder, *where, "--method", "dsn")[0] == 0
    made = [name for name in names(target) if name.endswith(".dsn")]
    assert made == ["a.jpg.dsn", "a.png.dsn", "b.dsn"]
    assert call("decode", target, "-o", tmp_path / "back")[0] == 0
    assert names(tmp_path / "back") == ["a.jpg.png", "a.png.png", "b.png"]


def test_one_picture_twice_is_bad_usage(photo: Path, call: Call) -> None:
    code, _, err = call("encode", photo, photo)
    assert code == 2 and "would both become" in one_line(err)


def test_a_batch_names_losses_and_what_it_leaves_out(tmp_path: Path, call: Call) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(np.full((9, 9), 9000, np.uint16)).save(tmp_path / "in" / "a.png")
    picture("RGB", 9, 9).save(tmp_path / "in" / "b.jpe", "JPEG")
    (tmp_path / "in" / "c.heic").write_bytes(b"")
    (tmp_path / "in" / "d.txt").write_bytes(b"")
    code, out, err = call("batch", tmp_path / "in", tmp_path / "out", "--method", "dsn", "-j", 1)
    assert code == 0 and "2 encoded" in out
    assert err.splitlines() == [
        f"dsncodec: {tmp_path}/in: files left out as no pictures: 1 .heic, 1 .txt (for some: pip install pillow-heif)",
        "dsncodec: a.png: 16 bits a sample are rounded to 8",
        "dsncodec: 1 of 2 files with warnings, above",
    ]
    rows = [
        json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text("ascii").splitlines()
    ]
    assert [row.get("warnings") for row in rows] == [["16 bits a sample are rounded to 8"], None]
    code, out, err = call("batch", tmp_path / "in", tmp_path / "out", "--method", "dsn", "-j", 1, "--quiet")
    assert code == 0 and err.splitlines() == [
        f"dsncodec: {tmp_path}/in: files left out as no pictures: 1 .heic (for some: pip install pillow-heif)"
    ]


@pytest.mark.parametrize("suffix", [".bmp", ".ppm", ".png"])
def test_decode_names_what_the_format_cannot_hold(suffix: str, tmp_path: Path, call: Call) -> None:
    (tmp_path / "a.dsn").write_bytes(dsncodec.encode(picture("RGB", 9, 9), "dsn", icc_profile=ICC, xmp=XMP))
    code, _, err = call("decode", tmp_path / "a.dsn", "-o", tmp_path / f"a{suffix}")
    assert code == 0
    assert ("the ICC profile is left out" in err) == ("XMP is left out" in err) == (suffix != ".png")


# --- names that a terminal cannot show

ODD_NAMES = [
    "\u65e5\u672c.png",
    "\xe9t\xe9.png",
    "plain.png",
    *(["\udcff\udcfe.png"] if os.name == "posix" else []),
]


@pytest.mark.parametrize(
    ("arguments", "encoding"),
    [
        *itertools.product([["-j", "1"], ["--json"], ["--quiet"]], ["ascii", "cp1252", "utf-8"]),
        (["-j", "2"], "ascii"),
    ],
    ids=str,
)
def test_a_line_that_cannot_be_printed_fails_no_work(
    arguments: list[str], encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encode, info, verify and decode of files with odd names, one of which is broken, into pipes of narrow encodings."""
    for name in ODD_NAMES:
        with open(tmp_path / name, "wb") as file:
            picture("L", 5, 5).save(file, "PNG")
    (tmp_path / "\u6b7b.png").write_bytes(b"broken")
    streams = {
        name: io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for name in ("stdout", "stderr")
    }
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    out = str(tmp_path / "out")
    assert main(["encode", str(tmp_path), "-o", out, "--method", "dsn", "--effort", "0", *arguments]) == 1
    assert len(list((tmp_path / "out").iterdir())) == len(ODD_NAMES)
    for verb in ("info", "verify"):
        assert main([verb, out, *arguments]) == 0
    assert main(["decode", out, "-o", str(tmp_path / "back"), *arguments]) == 0
    assert len(list((tmp_path / "back").iterdir())) == len(ODD_NAMES)
    assert main(["info", str(tmp_path / "\u65e5.dsn")]) == 1
    said = {name: stream.buffer.getvalue().decode(encoding) for name, stream in streams.items()}
    assert ("\\u6b7b" if encoding != "utf-8" else "\u6b7b") in said["stderr"]
    assert "Traceback" not in said["stderr"]


def test_half_the_size(photo: Path, call: Call) -> None:
    code, out, _ = call("encode", photo, "--method", "restored", "--scale", 2, "-q", 40)
    assert code == 0
    assert "at half the size, " in out
    assert "at half the size, " in call("info", photo.with_suffix(".dsn"))[1]
    assert call("extract", photo.with_suffix(".dsn"))[0] == 0
    with Image.open(photo.with_name("photo-layer.avif")) as image:
        assert image.size == (19, 13)


@pytest.mark.parametrize(
    "setting",
    [
        ["-q", "101"],
        ["-q", "-1"],
        ["-q", "fine"],
        ["--target-psnr", "nan"],
        ["--target-bpp", "inf"],
        ["--target-bpp", "0"],
        ["--target-bytes", "many"],
        ["--target-bytes", "0"],
        ["--scale", "5"],
        ["--levels", "1"],
        ["--levels", "257"],
        ["--chroma-levels", "0"],
        ["--backend", "zip"],
        ["--effort", "10"],
        ["--strip", "colour"],
        ["-j", "0"],
        ["--threads", "0"],
        ["-q", "5", "--target-bpp", "1"],
        ["-q", "5", "--scale", "2"],
        ["--method", "paint"],
        ["--method", "restored", "--scale", "3"],
        ["--method", "restored", "--backend", "webp"],
        ["--method", "dsn", "--backend", "avif"],
        ["--backend", "avif", "--levels", "64"],
    ],
    ids=" ".join,
)
def test_impossible_settings(setting: list[str], photo: Path, call: Call) -> None:
    code, out, err = call("encode", photo, *setting)
    assert (code, out) == (2, "")
    assert err
    assert names(photo.parent) == ["photo.png"]


@pytest.mark.parametrize("region", ["1,2,3", "a,b,c,d", "5,5,5,9", "-1,0,4,4"])
def test_impossible_regions(region: str, file: Path, call: Call) -> None:
    assert call("decode", file, f"--region={region}")[0] == 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", [["--target-bytes", "30"], ["--target-psnr", "250"]])
def test_unreachable_targets(target: list[str], method: str, photo: Path, call: Call) -> None:
    if method == "restored" and "--target-psnr" in target:
        pytest.skip("a picture without loss reaches it")
    tune = ["--tune", "psnr"] if method == "restored" else []
    code, _, err = call("encode", photo, *target, *tune, "--method", method)
    assert code == 1
    assert "no setting reaches" in one_line(err)
    assert names(photo.parent) == ["photo.png"]


def test_debug_shows_the_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(tmp_path / "nowhere.dsn"), "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


# --- train and export ----------------------------------------------------------------------------


@pytest.fixture
def tiny(tmp_path: Path) -> list[str]:
    """Arguments that make a run of two steps with very small networks."""
    images = tmp_path / "images"
    images.mkdir()
    for i in range(2):
        picture("RGB", 40, 40, seed=i).save(images / f"{i}.png")
    settings = [
        f"data.train=['{images.as_posix()}']",
        f"data.held_out=['{images.as_posix()}']",
        "data.patch=24",
        "data.batch=2",
        "model.width=4",
        "model.chroma_width=4",
        "model.blocks=1",
        "optim.steps=2",
        "optim.optimizer=adam",
        "optim.bf16=false",
    ]
    return [part for setting in settings for part in ("--set", setting)]


def test_train_and_export(tmp_path: Path, tiny: list[str], call: Call) -> None:
    run, models = tmp_path / "run", tmp_path / "models"
    code, out, err = call("train", "dsn-x3", "-o", run, "--device", "cpu", *tiny)
    assert code == 0
    assert "2 steps" in out
    assert "luma_psnr_db_256" in err
    assert names(run) == ["checkpoint.pt", "log.csv"]
    code, out, err = call("export", run / "checkpoint.pt", "-o", models, "--name", "tiny")
    assert (code, err) == (0, "")
    assert 'name = "tiny"' in out
    written = ["manifest.toml"] + [
        f"tiny-{part}.onnx" for part in ("chroma_down", "chroma_up", "down", "up", "up_gradient")
    ]
    assert names(models) == written
    before = (models / "tiny-up.onnx").stat().st_mtime_ns
    assert call("export", run / "checkpoint.pt", "-o", models, "--name", "tiny")[0] == 1
    assert (models / "tiny-up.onnx").stat().st_mtime_ns == before
    assert call("export", run / "checkpoint.pt", "-o", models, "--name", "tiny", "--force")[0] == 0
    assert names(models) == written


def test_interrupted_training_goes_on(
    tmp_path: Path, tiny: list[str], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dsncodec.train.trainer import Trainer

    step = Trainer.train_step

    def interrupted(self: Trainer) -> float:
        if self.step == 1:
            raise KeyboardInterrupt
        return step(self)

    arguments = ["train", "dsn-x3", "-o", tmp_path / "run", *tiny]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", interrupted)
        code, _, err = call(*arguments)
    assert code == 130
    assert "stopped at step 1" in err
    code, out, err = call(*arguments)
    assert code == 0
    assert "going on from step 1" in err
    assert "2 steps" in out


def test_pack(tmp_path: Path, tiny: list[str], call: Call) -> None:
    packed = tmp_path / "images.npz"
    code, out, _ = call("train", "--pack", tmp_path / "images", "-o", packed)
    assert code == 0
    assert out == f"{packed}: 2 pictures, 3,200 pixels\n"
    with np.load(packed) as arrays:
        assert arrays["pixels"].shape == (3200, 3)
    assert call("train", "--pack", tmp_path / "images", "-o", packed)[0] == 1
    assert call("train", "--pack", tmp_path / "images")[0] == 2


def test_bad_training(tmp_path: Path, tiny: list[str], call: Call) -> None:
    assert call("train", "dsn-x3", "-o", tmp_path / "run", *tiny, "--quiet") == (0, "", "")
    refused: list[tuple[list[Any], str]] = [
        (["train", "dsn-x77"], "one of denoise-"),
        (["train", tmp_path / "nothing.toml"], "nothing.toml"),
        (["train", "dsn-x3", "dsn-x2"], "one recipe"),
        (["train", "dsn-x3", "--set", "model.depth=3"], "unknown key"),
        (["train", "dsn-x3", "--device", "abacus"], "abacus"),
        (["train", "dsn-x2", "-o", tmp_path / "run", *tiny], "another recipe"),
        (["train", "dsn-x4", "-o", tmp_path / "new", *tiny], "starts from runs/dsn-x3/checkpoint.pt"),
        (["export", tmp_path / "nothing.pt", "-o", tmp_path / "models"], "nothing.pt"),
        (["export", tmp_path / "run" / "log.csv", "-o", tmp_path / "models"], "not a checkpoint"),
    ]
    for arguments, words in refused:
        code, _, err = call(*arguments)
        assert code == 2
        assert words in one_line(err)
    assert not (tmp_path / "models").exists()
