"""`upsample` with the published networks that enlarge pictures, in Python and on the command line."""

from __future__ import annotations

import json
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

PHOTO = Path(__file__).parent / "photos" / "astronaut.webp"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 17), (25, 14)], ids=str)
def test_sizes_and_modes(mode: str, size: tuple[int, int]) -> None:
    image = picture(mode, *size)
    image.info |= {"icc_profile": b"profile", "exif": b"Exif\0\0", "xmp": b"<x/>"}
    large = dsncodec.upsample(image, 4, model="ppcn", threads=1)
    assert (large.mode, large.size, large.info) == (mode, (4 * size[0], 4 * size[1]), image.info)
    bicubic = image.resize(large.size, Image.Resampling.BICUBIC)
    assert psnr_db(np.asarray(large), np.asarray(bicubic)) > 20
    if mode.endswith("A"):
        assert large.getchannel("A").tobytes() == bicubic.getchannel("A").tobytes()


def test_grey_is_the_same_as_three_equal_planes() -> None:
    grey = picture("L", 20, 15)
    colour = np.asarray(dsncodec.upsample(grey.convert("RGB"), 4, model="ppcn", threads=1).convert("L"))
    np.testing.assert_array_equal(np.asarray(dsncodec.upsample(grey, 4, model="ppcn", threads=1)), colour)


def test_tiles_are_the_whole_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Image.open(PHOTO).convert("RGB").crop((150, 60, 247, 131))
    whole = np.asarray(dsncodec.upsample(small, 4, model="ppcn", threads=1)).astype(int)
    monkeypatch.setattr(image_to_image, "TILE", 80)
    monkeypatch.setattr(image_to_image, "LARGEST_TILE", 80)
    tiled = np.asarray(dsncodec.upsample(small, 4, model="ppcn", threads=1))
    assert np.abs(whole - tiled).max() <= 1


def test_a_photo_comes_back_better_than_by_bicubic() -> None:
    photo = Image.open(PHOTO).convert("RGB")
    photo = photo.crop((0, 0, photo.width // 4 * 4, photo.height // 4 * 4))
    small = photo.resize((photo.width // 4, photo.height // 4), Image.Resampling.BICUBIC)
    bicubic = small.resize(photo.size, Image.Resampling.BICUBIC)
    made = dsncodec.upsample(small, 4, model="ppcn", threads=1)
    gain = psnr_db(np.asarray(photo), np.asarray(made)) - psnr_db(np.asarray(photo), np.asarray(bicubic))
    assert gain > 1.0


def test_the_row() -> None:
    row = registry.image_network("ppcn", "x4")
    assert (row.scale, row.unit, row.halo) == (4, 1, 17)


def test_impossible_settings() -> None:
    image = picture("RGB", 4, 4)
    with pytest.raises(SettingError, match="there is x4"):
        dsncodec.upsample(image, 3, model="ppcn")
    with pytest.raises(SettingError, match="threads"):
        dsncodec.upsample(image, 4, model="ppcn", threads=0)
    with pytest.raises(SettingError, match="coconet"):
        dsncodec.upsample(image, 4, model="ppcn", seconds=1)


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture("RGBA", 9, 7).save(tmp_path / "a.png")
    arguments = [
        "upsample",
        str(tmp_path / "a.png"),
        "--model",
        "ppcn",
        "-o",
        str(tmp_path / "b.png"),
        "--json",
    ]
    assert main([*arguments, "--scale", "4"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["width"], said["height"], said["mode"]) == (36, 28, "RGBA")
    with Image.open(tmp_path / "b.png") as made:
        assert made.size == (36, 28)
    assert main([*arguments, "--force"]) != 0
    assert "there is x4" in capsys.readouterr().err
