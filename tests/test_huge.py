"""Very long, very small and very large: the same pixels band by band, in a memory that is stated."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dsncodec
from dsncodec import decoding
from dsncodec.cli import main
from dsncodec.methods.dsn import codec
from dsncodec.planes import pixels_of

from .conftest import CHANNELS, MODES, picture, with_network

BY = {
    "avif": {"base": "avif"},
    "jpeg": {"base": "jpeg"},
    "dsn": {"method": "dsn", "scale": 2, "levels": 64},
}
EVERY = pytest.mark.parametrize("by", BY)


@EVERY
@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1)], ids=str)
def test_odd_sizes(size: tuple[int, int], by: str) -> None:
    image = picture("RGB", *size)
    data = dsncodec.encode(image, effort=0, threads=1, **BY[by])  # type: ignore[arg-type]
    full = dsncodec.decode(data, threads=1)
    assert (full.size, full.mode) == (size, "RGB")
    error = np.asarray(full, float) - np.asarray(image, float)
    if by == "dsn" and size == (1, 1):
        return  # a network cannot know the colour of a single pixel
    assert np.sqrt(np.square(error).mean()) < 40  # it is that picture: noise would be at 90
    width, height = size
    box = (width // 3, height // 3, width // 3 + (width + 1) // 2, height // 3 + (height + 1) // 2)
    part = dsncodec.decode(data, region=box, threads=1)
    assert part.tobytes() == full.crop(box).tobytes()


@EVERY
@pytest.mark.parametrize("mode", MODES)
def test_rows_are_those_of_the_picture(mode: str, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands of 256 rows against one band of them all."""
    data = dsncodec.encode(picture(mode, 300, 700), effort=0, threads=1, **BY[by])  # type: ignore[arg-type]
    files = [data] if by == "dsn" else [with_network(data, 0), with_network(data, 64)]
    for file in files:
        whole = dsncodec.decode(file, threads=1)
        assert dsncodec.decode_rows(file).band >= 700
        with monkeypatch.context() as patch:
            patch.setattr(decoding, "BAND_PIXELS", 1)
            rows = dsncodec.decode_rows(file, threads=1)
            bands = list(rows)
            assert [len(band) for band in bands] == [256, 256, 188]
            assert {band.shape[1:] for band in bands} == {(300, CHANNELS[mode])}
            assert (rows.width, rows.height, rows.mode) == (300, 700, mode)
            assert np.concatenate(bands).tobytes() == whole.tobytes()
            assert dsncodec.decode(file, threads=1).tobytes() == whole.tobytes()


@pytest.mark.parametrize("mode", MODES)
def test_pixels_of_a_picture(mode: str) -> None:
    image = picture(mode, 31, 600)
    pixels = pixels_of(image)
    assert pixels.shape == (600, 31, CHANNELS[mode])
    assert pixels.tobytes() == image.tobytes()


@pytest.mark.parametrize(
    ("mode", "suffix"), [("RGB", ".ppm"), ("L", ".pgm"), ("L", ".ppm"), ("RGB", ".pnm"), ("RGBA", ".ppm")]
)
def test_rows_go_straight_to_the_file(
    mode: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coded, target = tmp_path / "a.dsn", tmp_path / f"b{suffix}"
    coded.write_bytes(dsncodec.encode(picture(mode, 40, 600), "dsn", effort=0, threads=1))
    monkeypatch.setattr(decoding, "BAND_PIXELS", 1)
    assert main(["decode", str(coded), "-o", str(target), "--quiet"]) == 0
    buffer = io.BytesIO()
    dsncodec.decode(coded).save(buffer, "PPM")
    assert target.read_bytes() == buffer.getvalue()


def test_a_file_that_breaks_off_in_its_rows_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coded, target = tmp_path / "a.dsn", tmp_path / "b.ppm"
    coded.write_bytes(dsncodec.encode(picture("RGB", 40, 600), "dsn", effort=0, threads=1))
    target.write_bytes(b"precious")
    monkeypatch.setattr(decoding, "BAND_PIXELS", 1)
    real, calls = codec.decode, []

    def second_fails(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 2:
            raise MemoryError
        return real(*arguments)

    monkeypatch.setattr("dsncodec.methods.dsn.codec.decode", second_fails)
    assert main(["decode", str(coded), "-o", str(target), "--force"]) == 1
    assert target.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.dsn", "b.ppm"]


# --- memory

_PEAK = """
import json, sys
import numpy, onnxruntime
import dsncodec
from dsncodec import decoding

decoding.BAND_PIXELS = 2**17
path, how = sys.argv[1:]
if how == "rows":
    for band in dsncodec.decode_rows(path, threads=1):
        pass
elif how == "image":
    image = dsncodec.decode(path, threads=1)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) * 1024)
"""
# Bytes for each pixel that a larger picture has more; a whole RGB picture is 3 in NumPy and 4 in Pillow
CEILINGS = {
    ("dsn", "rows"): 3,
    ("dsn", "image"): 7,
    ("jpeg", "rows"): 10,
    ("jpeg", "image"): 13,
    ("avif", "rows"): 16,
    ("avif", "image"): 16,
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@EVERY
def test_memory_of_a_decoder(by: str, tmp_path: Path) -> None:
    """How much the peak grows with the picture: as wide, and longer, so that tiles and bands have one size. Base
    codecs' files have no network to run."""
    small, paths, heights = np.asarray(picture("RGB", 100, 100)), [], (600, 4800)
    for height in heights:
        colour = small.repeat(6, 1).repeat(height // 100, 0)
        if by == "dsn":
            data = dsncodec.encode(colour, "dsn", scale=4, levels=64, effort=0, threads=1)
        else:
            data = with_network(dsncodec.encode(colour, effort=0, threads=1, **BY[by]), 0)  # type: ignore[arg-type]
        paths.append(tmp_path / f"{height}.dsn")
        paths[-1].write_bytes(data)
    for how in ("rows", "image"):
        peaks = []
        for path in paths:
            command = [sys.executable, "-c", _PEAK, str(path), how]
            peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        grown = (peaks[1] - peaks[0]) / (600 * (heights[1] - heights[0]))
        assert grown < CEILINGS[by, how], (how, grown, peaks)


# --- --max-pixels


@EVERY
@pytest.mark.parametrize("verb", ["decode", "thumbnail", "extract", "verify --decode"])
def test_every_verb_that_decodes_has_a_limit(
    verb: str, by: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coded = tmp_path / "a.dsn"
    coded.write_bytes(dsncodec.encode(picture("RGB", 20, 10), effort=0, threads=1, **BY[by]))  # type: ignore[arg-type]
    assert main([*verb.split(), str(coded), "--max-pixels", "199"]) == 1
    assert "the limit is 199" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.dsn"]
    assert main([*verb.split(), str(coded), "--max-pixels", "200", "--quiet"]) == 0
