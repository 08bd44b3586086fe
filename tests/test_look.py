"""The reader's choice of how a file of method dsn is shown: the same bytes, two pictures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dsncodec
import dsncodec.pillow_plugin
from dsncodec import methods
from dsncodec.cli import main
from dsncodec.errors import MissingComponent, SettingError
from dsncodec.networks import registry

from .conftest import MODES, picture

GOLDEN = Path(__file__).parent / "golden"

SCALES = (2, 3, 4)


def coded(mode: str = "RGB", scale: int = 3, size: tuple[int, int] = (60, 44)) -> bytes:
    return dsncodec.encode(picture(mode, *size), scale=scale, levels=64, effort=0, threads=1)


@pytest.fixture(scope="module")
def data() -> bytes:
    return coded()


def perceptual(source: bytes, **options: object) -> Image.Image:
    return dsncodec.decode(source, decoder="perceptual", threads=1, **options)  # type: ignore[arg-type]


# --- decode


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("mode", MODES)
def test_modes_and_scales(mode: str, scale: int) -> None:
    source = coded(mode, scale, (25, 14))
    plain, second = dsncodec.decode(source, threads=1), perceptual(source)
    assert (second.mode, second.size) == (plain.mode, plain.size)
    a, b = (np.asarray(image).astype(int) for image in (plain, second))
    assert (a != b).any() and np.abs(a - b).mean() < 12  # another picture of the same thing
    if mode.endswith("A"):
        assert second.getchannel("A").tobytes() == plain.getchannel("A").tobytes()


def test_faithful_is_the_default(data: bytes) -> None:
    plain = dsncodec.decode(data, threads=1)
    assert dsncodec.decode(data, decoder="fidelity", threads=1).tobytes() == plain.tobytes()
    assert methods.DECODERS[0] == methods.FIDELITY == "fidelity"


def test_one_pixel() -> None:
    assert perceptual(coded("RGB", 3, (1, 1))).size == (1, 1)


@pytest.mark.parametrize("region", [(0, 0, 60, 44), (7, 3, 8, 4), (13, 20, 57, 44)])
@pytest.mark.parametrize("mode", ["RGBA", "L"])
def test_a_region_is_a_crop(mode: str, region: tuple[int, int, int, int]) -> None:
    source = coded(mode)
    assert perceptual(source, region=region).tobytes() == perceptual(source).crop(region).tobytes()


def test_tiles_threads_and_rows() -> None:
    source = coded("RGB", 2, (290, 270))  # more than one tile in each direction
    whole = perceptual(source)
    difference = np.asarray(dsncodec.decode(source, decoder="perceptual")).astype(int) - np.asarray(whole)
    assert np.abs(difference).max() <= 1
    rows = dsncodec.decode_rows(source, decoder="perceptual", threads=1)
    assert np.array_equal(np.concatenate(list(rows)), np.asarray(whole))
    box = (250, 250, 262, 262)  # over the corner of four tiles
    assert perceptual(source, region=box).tobytes() == whole.crop(box).tobytes()


def test_unknown_looks(data: bytes) -> None:
    for call in (dsncodec.decode, dsncodec.decode_rows):
        with pytest.raises(SettingError, match="unknown decoder 'sharp'; one of fidelity, perceptual"):
            call(data, decoder="sharp")
    with pytest.raises(SettingError, match="decoder or preview"):
        dsncodec.decode(data, decoder="perceptual", preview=True)


def test_a_method_without_looks_says_what_is_possible() -> None:
    source = GOLDEN / "0.2.0-la-coconet-sine.dsn"
    for call in (dsncodec.decode, dsncodec.decode_rows):
        with pytest.raises(
            SettingError,
            match="for files of method dsn, restored and latentgrid; this one is of method coconet",
        ):
            call(source, decoder="perceptual")
    assert dsncodec.decode(source, decoder="fidelity").size == (53, 41)


# --- weights


def forget() -> None:
    for cached in (registry.manifest, registry.looks, registry.quality_table, registry._checked):
        cached.cache_clear()


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the folder of weights, used in its place."""
    folder = tmp_path / "models"
    shutil.copytree(registry.folder(), folder)
    monkeypatch.setattr(registry, "folder", lambda: folder)
    forget()
    yield folder
    forget()


def test_every_published_model_has_the_look() -> None:
    for scale in SCALES:
        model = registry.for_scale(scale)
        row = registry.look_of(model, "perceptual")
        assert row.of == model.wire_id
        assert registry.checked_file(row) != registry.checked_path(model, "up")


def test_a_release_without_the_network(data: bytes, copied: Path) -> None:
    text = (copied / "manifest.toml").read_text("utf-8")
    (copied / "manifest.toml").write_text(text.replace("[[look]]", "[[other]]").replace("[look.", "[other."))
    assert registry.looks() == ()
    assert dsncodec.decode(data).size == (60, 44)
    with pytest.raises(SettingError, match="no decoder 'perceptual' for files of model dsn-x3"):
        perceptual(data)


def test_missing_and_changed_weights(data: bytes, copied: Path) -> None:
    row = registry.look_of(registry.for_scale(3), "perceptual")
    path = copied / row.file
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(MissingComponent, match=f"{row.file} is not the published one: reinstall"):
        perceptual(data)
    path.unlink()
    with pytest.raises(MissingComponent, match=f"{row.file} cannot be read: reinstall"):
        perceptual(data)
    assert dsncodec.decode(data).size == (60, 44)


# --- the command


def test_command(data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "a.dsn"
    source.write_bytes(data)
    for name in ("out.png", "out.ppm"):
        target = str(tmp_path / name)
        assert main(["decode", str(source), "-o", target, "--look", "perceptual", "--threads", "1"]) == 0
        assert Image.open(target).tobytes() == perceptual(data).tobytes()
    assert (
        main(["decode", str(source), "-o", str(tmp_path / "x.png"), "--look", "perceptual", "--reduce"]) == 1
    )
    assert "give decoder or preview, not both" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_command_refuses_unknown_looks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decode", "a.dsn", "--look", "sharp"]) == 2
    assert "faithful" in capsys.readouterr().err


# --- Pillow


@pytest.fixture
def path(data: bytes, tmp_path: Path) -> Path:
    made = tmp_path / "a.dsn"
    made.write_bytes(data)
    return made


def opened(path: Path) -> dsncodec.pillow_plugin.DsnImageFile:
    image = Image.open(path)
    assert isinstance(image, dsncodec.pillow_plugin.DsnImageFile)
    return image


def test_pillow_shows_the_look(path: Path, data: bytes) -> None:
    with opened(path) as image:
        assert image.decoder == "fidelity"
        image.decoder = "perceptual"
        assert np.abs(np.asarray(image).astype(int) - np.asarray(perceptual(data))).max() <= 1
        with pytest.raises(SettingError, match="loaded already"):
            image.decoder = "fidelity"


def test_pillow_thumbnails_need_no_look(path: Path, data: bytes) -> None:
    with opened(path) as image:
        image.decoder = "perceptual"
        image.draft("RGB", (20, 14))
        assert image.tobytes() == dsncodec.decode(data, preview=True).tobytes()


def test_pillow_refuses_what_the_file_has_not(path: Path) -> None:
    with opened(path) as image, pytest.raises(ValueError, match="unknown decoder 'sharp'"):
        image.decoder = "sharp"
    with (
        opened(GOLDEN / "0.2.0-la-coconet-sine.dsn") as image,
        pytest.raises(ValueError, match="method coconet"),
    ):
        image.decoder = "perceptual"
