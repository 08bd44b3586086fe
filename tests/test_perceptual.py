"""Perceptual super-resolution through its doors: upsample and the verb."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dsncodec
from dsncodec.cli import main
from dsncodec.errors import SettingError
from dsncodec.metrics import psnr_db
from dsncodec.networks import image_to_image, registry

from .conftest import MODES, picture

SCALES = (4, 8)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 17), (25, 14)], ids=str)
def test_sizes_and_modes(mode: str, size: tuple[int, int], scale: int) -> None:
    image = picture(mode, *size)
    image.info["icc_profile"] = b"profile"
    large = dsncodec.upsample(image, scale, model="perceptual", threads=1)
    assert (large.mode, large.size) == (mode, (size[0] * scale, size[1] * scale))
    assert large.info == image.info


@pytest.mark.parametrize("scale", SCALES)
def test_it_is_the_picture_enlarged(scale: int) -> None:
    image = picture("RGB", 30, 20)
    large = dsncodec.upsample(image, scale, model="perceptual", threads=1)
    bicubic = image.resize(large.size, Image.Resampling.BICUBIC)
    assert psnr_db(np.asarray(large), np.asarray(bicubic)) > 20


@pytest.mark.parametrize("scale", SCALES)
def test_tiles_leave_no_seams(scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies within the network's reach is all that a pixel depends on."""
    monkeypatch.setattr(image_to_image, "LARGEST_TILE", 256)
    halo = registry.image_network("perceptual", f"x{scale}").halo
    assert halo is not None
    side = 2 * (256 // scale)  # four tiles
    colour = np.asarray(picture("RGB", side, side))
    whole = np.asarray(dsncodec.upsample(colour, scale, model="perceptual", threads=1))
    low, high = side // 2 - 4, side // 2 + 4  # where the tiles meet
    part = colour[low - halo : high + halo, low - halo : high + halo]  # a single tile
    alone = np.asarray(dsncodec.upsample(part, scale, model="perceptual", threads=1))
    inner = slice(halo * scale, -halo * scale)
    difference = (
        whole[low * scale : high * scale, low * scale : high * scale].astype(int) - alone[inner, inner]
    )
    assert np.abs(difference).max() <= 1


def test_other_scales_are_refused() -> None:
    for scale in (1, 2, 3, 5, 16):
        with pytest.raises(SettingError, match=f"no network 'x{scale}' of perceptual: there is x4, x8"):
            dsncodec.upsample(picture("L", 4, 4), scale, model="perceptual")
    with pytest.raises(SettingError, match="'coconet'"):
        dsncodec.upsample(picture("L", 4, 4), 4, model="perceptual", seconds=1)


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = str(tmp_path / "a.png"), str(tmp_path / "b.png")
    picture("RGB", 9, 7).save(source)
    assert (
        main(["upsample", source, "-o", target, "--scale", "8", "--model", "perceptual", "--threads", "1"])
        == 0
    )
    with Image.open(target) as image:
        assert image.size == (72, 56)
    capsys.readouterr()
    assert main(["upsample", source, "-o", target, "--model", "perceptual", "--force"]) != 0
    assert "there is x4, x8" in capsys.readouterr().err
