"""What a fit leaves beside its file: the picture as it grows, a checkpoint, and the network as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import dsncodec
from dsncodec.cli import main
from dsncodec.encoding import floats_to
from dsncodec.errors import SettingError
from dsncodec.methods.coconet import bitstream as coordinates
from dsncodec.methods.coconet.bitstream import Shape
from dsncodec.metrics import psnr_db

from .conftest import UInt8Array, picture
from .test_coconet import SHAPES, file_of

FAST: dict[str, Any] = {"method": "coconet", "layers": 2, "width": 10, "threads": 1}


class Stopped(Exception):
    pass


def stop_at(part: float) -> Any:
    def report(progress: float, error: float) -> None:
        if progress >= part:
            raise Stopped

    return report


def pixels_of(data: bytes) -> UInt8Array:
    return np.asarray(dsncodec.decode(data))


# --- the picture as it grows


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_a_preview_grows(suffix: str, mode: str, tmp_path: Path) -> None:
    path, image = tmp_path / f"grows{suffix}", picture(mode, 60, 40)
    data = dsncodec.encode(image, **FAST, steps=60, preview=path)
    with Image.open(path) as animation:
        assert animation.size == (60, 40)
        frames = getattr(animation, "n_frames", 1)
        assert frames >= 8
        shown = []
        for at in (0, frames - 1):
            animation.seek(at)
            shown.append(np.asarray(animation.convert("RGB")))
    wanted = np.asarray(dsncodec.decode(data).convert("RGB"))
    assert psnr_db(wanted, shown[1]) > psnr_db(wanted, shown[0]) + 3
    assert [path] == list(tmp_path.iterdir())


def test_a_large_picture_has_a_small_preview(tmp_path: Path) -> None:
    path = tmp_path / "grows.webp"
    dsncodec.encode(picture("RGB", 700, 350), **FAST, steps=3, preview=path)
    with Image.open(path) as animation:
        assert animation.size == (320, 160)


def test_a_preview_has_a_known_kind(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"\.gif, \.png, \.webp"):
        dsncodec.encode(picture("L", 8, 8), **FAST, steps=3, preview=tmp_path / "grows.mp4")
    with pytest.raises(SettingError, match="latentgrid and coconet"):
        dsncodec.encode(picture("L", 8, 8), preview=tmp_path / "grows.gif")


# --- checkpoints


@pytest.mark.parametrize("part", [0.2, 0.8], ids=["before rounding", "after"])
def test_a_stopped_fit_goes_on(part: float, tmp_path: Path) -> None:
    path, image = tmp_path / "fit.ckpt", picture("RGB", 40, 30)
    options = {**FAST, "steps": 120, "checkpoint": path}
    with pytest.raises(Stopped):
        dsncodec.encode(image, **options, progress=floats_to(stop_at(part)))
    assert [path] == list(tmp_path.iterdir())
    done: list[float] = []
    data = dsncodec.encode(
        image, **options, progress=floats_to(lambda progress, error: done.append(progress))
    )
    assert done[0] > part and len(done) <= 120 * (1 - part) + 1
    uninterrupted = dsncodec.encode(image, **FAST, steps=120)
    psnr = [psnr_db(np.asarray(image), pixels_of(file)) for file in (data, uninterrupted)]
    assert psnr[0] > psnr[1] - 4  # other last bits make 1 dB
    again: list[float] = []
    assert dsncodec.encode(image, **options, progress=floats_to(lambda *part: again.append(part[0]))) == data
    assert again == []  # it was whole


def test_a_checkpoint_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "fit.ckpt"
    dsncodec.encode(picture("RGB", 20, 20), **FAST, steps=5, checkpoint=path)
    kept = path.read_bytes()
    with pytest.raises(SettingError, match="another picture"):
        dsncodec.encode(picture("RGB", 20, 19), **FAST, steps=5, checkpoint=path)
    with pytest.raises(SettingError, match="other settings"):
        dsncodec.encode(picture("RGB", 20, 20), **{**FAST, "width": 9}, steps=5, checkpoint=path)
    assert path.read_bytes() == kept
    for junk in (b"", b"not a checkpoint", kept[: len(kept) // 2]):
        path.write_bytes(junk)
        with pytest.raises(SettingError, match="not a checkpoint"):
            dsncodec.encode(picture("RGB", 20, 20), **FAST, steps=5, checkpoint=path)
        assert path.read_bytes() == junk


# --- the network in ONNX Runtime


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("mode", ["LA", "RGB"])
@pytest.mark.parametrize("size", [(1, 1), (1, 17), (33, 21)], ids=str)
def test_onnx_runtime_draws_what_we_do(
    size: tuple[int, int], mode: str, shape: Shape, tmp_path: Path
) -> None:
    """Within 1 grey level; the middle of an odd picture is where the paper's angle has none."""
    data = file_of(shape, mode, *size)
    source, target = tmp_path / "a.dsn", tmp_path / "a.onnx"
    source.write_bytes(data)
    assert main(["extract", str(source), str(target), "--quiet"]) == 0
    session = onnxruntime.InferenceSession(target.read_bytes(), providers=["CPUExecutionProvider"])
    rows, columns = np.mgrid[: size[1], : size[0]].reshape(2, -1)
    places = np.stack(coordinates.places(rows, columns, size), 1)
    colours = session.run(None, {"places": places})[0].reshape(size[1], size[0], -1)
    drawn = np.clip(colours * 255 + 0.5, 0, 255).astype(np.uint8).astype(int)
    ours = pixels_of(data).reshape(size[1], size[0], -1)[..., : drawn.shape[2]]
    assert np.abs(drawn - ours).max() <= 1


def test_extract_names_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "a.dsn"
    source.write_bytes(file_of(SHAPES[1], "RGB", 20, 10))
    assert main(["extract", str(source)]) == 0
    assert "network of 20 x 10 pixels, onnx" in capsys.readouterr().out
    assert (tmp_path / "a-layer.onnx").exists()
    assert main(["extract", str(source), "-o", str(tmp_path / "a.png")]) == 0
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), pixels_of(source.read_bytes()))
    assert main(["extract", str(source), "--plane", "luma", "-o", str(tmp_path / "b.png")]) == 1
    assert "has no luma plane" in capsys.readouterr().err


# --- the command


def test_the_command_keeps_and_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "a.png", tmp_path / "a.dsn"
    picture("RGB", 24, 20).save(source)
    extra = ["--preview", str(tmp_path / "a.gif"), "--checkpoint", str(tmp_path / "a.ckpt")]
    coconet = [
        "encode",
        str(source),
        "-o",
        str(target),
        "--method",
        "coconet",
        "--steps",
        "6",
        "--width",
        "6",
    ]
    assert main([*coconet, *extra]) == 0
    assert all((tmp_path / name).exists() for name in ("a.dsn", "a.gif", "a.ckpt"))
    target.unlink()
    assert main([*coconet, *extra]) == 1  # the preview is there
    assert "a.gif exists" in capsys.readouterr().err
    assert not target.exists()
    assert main(["encode", str(source), "-o", str(target), *extra, "--force"]) == 2
    assert "of the methods latentgrid and coconet, not restored" in capsys.readouterr().err
