"""enhance: modes, sizes, moments of large pictures, tiles, the verb."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dsncodec
from bench import results
from bench.tables import ppcn3
from bench.tables.ppcn3 import ms_ssim
from dsncodec import metrics, picture_networks, weights
from dsncodec.cli import main
from dsncodec.errors import SettingError
from dsncodec.metrics import psnr_db

from .conftest import MODES, picture

KNOWN = ("student", "teacher")

models = pytest.mark.parametrize("model", KNOWN)


@models
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 17), (25, 14)], ids=str)
def test_sizes_and_modes(mode: str, size: tuple[int, int], model: str) -> None:
    image = picture(mode, *size)
    image.info |= {"icc_profile": b"profile", "exif": b"Exif\0\0", "xmp": b"<x/>"}
    better = dsncodec.enhance(image, model, threads=1)
    assert (better.mode, better.size, better.info) == (mode, size, image.info)
    if mode.endswith("A"):
        assert better.getchannel("A").tobytes() == image.getchannel("A").tobytes()


@models
def test_the_picture_stays_recognisable(model: str) -> None:
    image = picture("RGB", 90, 70)
    better = dsncodec.enhance(image, model)
    assert 12 < psnr_db(np.asarray(image), np.asarray(better)) < 40


@models
def test_tiles_leave_no_trace(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture("RGB", 90, 70)
    whole = np.asarray(dsncodec.enhance(image, model, threads=1))
    monkeypatch.setattr(picture_networks, "TILE", 32)
    monkeypatch.setattr(picture_networks, "LARGEST_TILE", 32)
    tiled = np.asarray(dsncodec.enhance(image, model, threads=1))
    assert np.abs(whole.astype(int) - tiled).max() <= 1  # rounding


def test_moments_of_a_sample_are_about_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture repeats itself, so that a part of it can stand for it."""
    pixels = np.tile(np.asarray(picture("RGB", 96, 96)), (4, 3, 1))
    whole = np.asarray(dsncodec.enhance(pixels, threads=1))
    monkeypatch.setattr(picture_networks, "SAMPLE_PIXELS", pixels[..., 0].size // 3)
    monkeypatch.setattr(picture_networks, "SAMPLE_BLOCK", 96)
    assert picture_networks.sampled(pixels).shape == (96 * 2, 96 * 2, 3)
    assert psnr_db(whole, np.asarray(dsncodec.enhance(pixels, threads=1))) > 40


@pytest.mark.parametrize("shape", [(1, 1), (1, 9000), (9000, 1), (300, 7000), (3000, 3000)], ids=str)
def test_samples_are_bounded(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_networks, "SAMPLE_PIXELS", 2**16)
    monkeypatch.setattr(picture_networks, "SAMPLE_BLOCK", 16)
    colour = np.arange(shape[0] * shape[1], dtype=np.uint32).reshape(*shape, 1)
    kept = picture_networks.sampled(colour)  # type: ignore[arg-type]
    assert 0 < kept[..., 0].size <= 2**16 and np.unique(kept).size == kept.size
    if colour.size <= 2**16:
        assert kept is colour
    else:
        assert kept.size > 2**14 and kept.max() > 0.9 * colour.size


def test_grey_is_given_as_three_equal_planes() -> None:
    grey = picture("L", 30, 20)
    colour = dsncodec.enhance(grey.convert("RGB"), threads=1)
    assert dsncodec.enhance(grey, threads=1).tobytes() == colour.convert("L").tobytes()


def test_unknown_models() -> None:
    with pytest.raises(SettingError, match="no network 'pupil' of enhance: there is student, teacher"):
        dsncodec.enhance(picture("RGB", 4, 4), "pupil")


def test_the_rows() -> None:
    for model in KNOWN:
        row = weights.picture_network("enhance", model)
        assert (row.scale, row.unit, row.halo) == (1, 1, 10) and row.moments is not None
        assert weights.checked_moments(row) is not None


# --- the verb


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = picture("RGBA", 37, 26)
    image.save(tmp_path / "photo.png")
    assert main(["enhance", str(tmp_path / "photo.png"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["output"] == str(tmp_path / "photo-enhanced.png") and said["mode"] == "RGBA"
    with Image.open(said["output"]) as made:
        assert made.tobytes() == dsncodec.enhance(image).tobytes()
    arguments = [
        "enhance",
        str(tmp_path / "photo.png"),
        "-o",
        str(tmp_path / "out.png"),
        "--model",
        "teacher",
    ]
    assert main(arguments) == 0
    with Image.open(tmp_path / "out.png") as made:
        assert made.tobytes() == dsncodec.enhance(image, "teacher").tobytes()
    assert main([*arguments[:-1], "pupil", "--force"]) == 2
    assert "there is student, teacher" in capsys.readouterr().err


# --- the table


def test_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, shift in (("iphone", 0), ("canon", 30)):
        (tmp_path / "test" / "dped" / kind).mkdir(parents=True)
        for number in (307, 308, 309):
            image = picture("RGB", 100, 100, number).point(lambda value: min(255, value + shift))
            image.save(tmp_path / "test" / "dped" / kind / f"{number}.jpg")
    shutil.copytree(weights.folder(), tmp_path / "models")
    manifest = (tmp_path / "models" / "manifest.toml").read_text("utf-8")
    rows = [row for row in manifest.split("[[")[1:] if 'kind = "enhance"' in row]
    seeded = [row.replace(f'variant = "{name}"', f'variant = "{name}.1"') for row, name in zip(rows, KNOWN)]
    (tmp_path / "models" / "manifest.toml").write_text("[[" + "[[".join(seeded), "utf-8")
    monkeypatch.setattr(ppcn3, "TESTED", (307, 308, 309))
    monkeypatch.setattr(ppcn3, "TIMED_SIZE", (20, 10))
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    for folder, seed in ((None, "shipped"), (str(tmp_path / "models"), "1")):
        arguments = argparse.Namespace(data=str(tmp_path), models=folder, threads=1, command="made here")
        assert ppcn3.run(arguments) == 0
        csv = (tmp_path / "results" / "ppcn-3.csv").read_text().splitlines()
        assert len(csv) == 1 + 3 * 3 and csv[4].startswith(f"student,{seed},307,")
        page = (tmp_path / "results" / "ppcn-3.md").read_text()
        unprocessed = page.partition("| unprocessed input | ")[2].partition(" |")[0]
        kept = [float(row.split(",")[3]) for row in (csv[1], csv[3])]  # not the one white on both sides
        assert float(unprocessed) == pytest.approx(np.mean(kept), abs=0.006)
        assert "| teacher |" in page and "student without" not in page.partition("Pairs 300")[0]


def test_ms_ssim_of_small_pictures() -> None:
    clear = np.asarray(picture("RGB", 100, 100))
    assert ms_ssim(clear, clear) == pytest.approx(1)
    grainy = np.clip(clear + np.random.default_rng(0).normal(0, 20, clear.shape), 0, 255).astype(np.uint8)
    assert 0.5 < ms_ssim(clear, grainy) < 0.99
    large, worse = (
        np.tile(one, (2, 2, 1))[:176, :176] for one in (clear, grainy)
    )  # the window fits at every scale
    grey = (
        np.stack([large[..., 0]] * 3, -1),
        np.stack([worse[..., 0]] * 3, -1),
    )  # one channel: its means are all
    assert ms_ssim(*grey) == pytest.approx(metrics.ms_ssim(grey[0][..., 0], grey[1][..., 0]), abs=1e-4)
