"""compare, in Python and as a verb: numbers, places, the sheet, and what it refuses."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dsncodec
from dsncodec import comparison, metrics
from dsncodec.cli import main
from dsncodec.errors import LimitExceeded, LossWarning, SettingError

from .conftest import picture

WIDTH, HEIGHT = 200, 168
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="module")
def original() -> Image.Image:
    return picture("RGB", WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def coded(original: Image.Image) -> bytes:
    return dsncodec.encode(original, base="jpeg", effort=0, threads=1, quality=30)


@pytest.fixture
def files(tmp_path: Path, original: Image.Image, coded: bytes) -> tuple[Path, Path]:
    original.save(tmp_path / "a.png")
    (tmp_path / "b.dsn").write_bytes(coded)
    return tmp_path / "a.png", tmp_path / "b.dsn"


# --- numbers


def test_scores_are_those_of_metrics(files: tuple[Path, Path], original: Image.Image) -> None:
    found = dsncodec.compare(*files, threads=1)
    ours, theirs = np.asarray(original), np.asarray(dsncodec.decode(files[1], threads=1))
    assert (found.width, found.height) == (WIDTH, HEIGHT)
    assert found.psnr_db == metrics.psnr_db(ours, theirs)
    assert found.psnr_y_db == metrics.psnr_db(metrics.luma(ours), metrics.luma(theirs))
    assert found.ssim == metrics.ssim(ours, theirs)
    assert found.ms_ssim == metrics.ms_ssim(ours, theirs)
    assert found.ssimulacra2 == metrics.ssimulacra2(ours, theirs)
    apart = np.abs(ours.astype(int) - theirs)
    assert found.differing == apart.any(-1).mean() and found.largest == apart.max()
    assert (found.reference_bytes, found.other_bytes) == tuple(path.stat().st_size for path in files)
    assert found.other_bpp == pytest.approx(8 * files[1].stat().st_size / (WIDTH * HEIGHT))
    assert found.alpha_psnr_db is None


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_equal_pictures(mode: str) -> None:
    image = picture(mode, 40, 24)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    found = dsncodec.compare(image, buffer.getvalue())
    assert found.psnr_db == math.inf and found.ssim == pytest.approx(1) and found.ssimulacra2 == 100
    assert (found.differing, found.largest, found.places) == (0, 0, ())
    assert found.alpha_psnr_db == (math.inf if mode.endswith("A") else None)
    assert found.ms_ssim is None
    assert (found.reference_bytes, found.reference_bpp) == (None, None)
    assert found.other_bytes == len(buffer.getvalue())


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 17), (7, 9), (13, 5), (97, 11)])
def test_small_pictures_have_the_scores_that_they_can(width: int, height: int) -> None:
    one = np.asarray(picture("L", width, height))
    found = dsncodec.compare(one, one ^ np.uint8(1))
    assert found.psnr_db == pytest.approx(10 * math.log10(255**2))
    assert (found.ssim is None) == (min(width, height) < 11)
    assert (found.ssimulacra2 is None) == (min(width, height) < 8)
    assert found.places and found.places[0][2:] <= (width, height)


def test_grey_beside_colour_is_grey_as_colour() -> None:
    grey = picture("L", 40, 24)
    assert dsncodec.compare(grey, grey.convert("RGB")).differing == 0


def test_what_nobody_sees_is_not_compared() -> None:
    one = np.asarray(picture("RGBA", 40, 24)).copy()
    one[:, :20, 3], one[:, 20:, 3] = 0, 255
    other = one.copy()
    other[:, :20, :3] ^= 255
    found = dsncodec.compare(one, other)
    assert found.psnr_db == math.inf and found.places == ()
    other[:, :20, 3] = 200
    found = dsncodec.compare(one, other)
    assert found.alpha_psnr_db is not None and found.alpha_psnr_db < 10
    assert found.places


def test_pictures_are_turned_as_their_exif_says() -> None:
    image, tags = picture("RGB", 40, 24), Image.Exif()
    tags[0x0112] = 6
    turned = io.BytesIO()
    image.transpose(Image.Transpose.ROTATE_90).save(turned, "PNG", exif=tags)
    assert dsncodec.compare(image, turned.getvalue()).differing == 0


def test_what_is_left_behind_is_said() -> None:
    frames = [picture("L", 40, 24, seed) for seed in range(2)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    with pytest.warns(LossWarning, match="frame 2"):
        dsncodec.compare(frames[0], buffer.getvalue())


def test_profiles_that_differ_are_named() -> None:
    image = picture("RGB", 40, 24)
    other = image.copy()
    other.info["icc_profile"] = b"p" * 200
    with pytest.warns(dsncodec.DsnWarning, match="profiles differ"):
        dsncodec.compare(image, other)


def test_different_sizes_are_refused_with_words(original: Image.Image) -> None:
    with pytest.raises(SettingError, match=r"200 x 168.*100 x 84$"):
        dsncodec.compare(original, original.resize((100, 84)))
    with pytest.raises(SettingError, match="turned by 90 degrees"):
        dsncodec.compare(original, original.transpose(Image.Transpose.ROTATE_90))


def test_limits_are_those_of_decode(original: Image.Image, coded: bytes) -> None:
    with pytest.raises(LimitExceeded):
        dsncodec.compare(original, coded, max_pixels=100)


# --- places


def test_the_worst_place_comes_first_and_none_lies_over_another() -> None:
    one = np.full((300, 400, 3), 128, np.uint8)
    two = one.copy()
    two[30:40, 300:310] += 20
    two[220:240, 50:70] += 90
    two[150:152, 200:202] += 5
    found = dsncodec.compare(one, two).places
    assert len(found) == 3
    for (left, top, right, below), (x, y) in zip(found, [(60, 230), (305, 35), (201, 151)]):
        assert left <= x < right and top <= y < below
        assert right - left == below - top == comparison.CROP
    covered = np.zeros((300, 400), int)
    for left, top, right, below in found:
        covered[top:below, left:right] += 1
    assert covered.max() == 1
    assert dsncodec.compare(one, two, places=1).places == found[:1]


def test_window_sums_are_sums_over_windows() -> None:
    cells = np.random.default_rng(1).integers(0, 99, (7, 9))
    found = comparison.window_sums(cells, 3, 2)
    for i in range(5):
        for j in range(8):
            assert found[i, j] == cells[i : i + 3, j : j + 2].sum()


def test_the_sheet_shows_the_pixels_of_the_places(files: tuple[Path, Path], original: Image.Image) -> None:
    found = dsncodec.compare(*files, threads=1)
    sheet, crop = np.asarray(found.sheet), np.asarray(original.crop(found.places[0]))
    zoom = comparison._SHOWN // comparison.CROP
    large = crop.repeat(zoom, 0).repeat(zoom, 1)
    places = [
        (y, 8)
        for y in range(len(sheet) - len(large) + 1)
        if np.array_equal(sheet[y : y + len(large), 8 : 8 + large.shape[1]], large)
    ]
    assert len(places) == 1


# --- the verb


def test_verb(files: tuple[Path, Path], tmp_path: Path, call: Call) -> None:
    sheet = tmp_path / "sheet.png"
    code, out, err = call("compare", *files, "-o", sheet, "--threads", 1)
    assert (code, err) == (0, "")
    assert f"beside {files[1]}, {WIDTH} x {HEIGHT}" in out
    assert all(word in out for word in ("PSNR", "SSIM ", "MS-SSIM", "SSIMULACRA 2", "bits per pixel", "%"))
    with Image.open(sheet) as image:
        assert image.format == "PNG"
    code, _, err = call("compare", *files, "-o", sheet)
    assert code == 1 and "exists; --force" in err
    assert call("compare", *files, "-o", sheet, "--force", "--quiet") == (0, "", "")


def test_verb_json(files: tuple[Path, Path], call: Call) -> None:
    code, out, _ = call("compare", *files, "--json", "--places", 2)
    report, found = json.loads(out), dsncodec.compare(*files)
    assert code == 0 and report["ok"] and not report["equal"]
    assert report["psnr_db"] == found.psnr_db and report["other_bytes"] == found.other_bytes
    assert report["places"] == [list(box) for box in found.places[:2]]
    code, out, _ = call("compare", files[0], files[0], "--json")
    assert json.loads(out)["equal"] and json.loads(out)["psnr_db"] is None
    assert "all equal" in call("compare", files[0], files[0])[1]


def test_verb_says_which_picture_is_at_fault(files: tuple[Path, Path], tmp_path: Path, call: Call) -> None:
    code, out, err = call("compare", files[0], tmp_path / "none.png")
    assert (code, out) == (1, "") and "none.png: No such file" in err
    broken = tmp_path / "broken.dsn"
    broken.write_bytes(files[1].read_bytes()[:-3])
    code, _, err = call("compare", files[0], broken)
    assert code == 1 and "broken.dsn: " in err
    small = tmp_path / "small.png"
    picture("RGB", 5, 5).save(small)
    code, _, err = call("compare", files[0], small)
    assert code == 1 and "200 x 168" in err and "small.png 5 x 5" in err


@pytest.mark.parametrize("place", ["a.png", "b.dsn", "sheet.dsn", "sheet.txt"])
def test_verb_writes_over_nothing_that_it_reads(place: str, files: tuple[Path, Path], call: Call) -> None:
    before = [path.read_bytes() for path in files]
    code, _, err = call("compare", *files, "-o", files[0].with_name(place), "--force")
    assert code in (1, 2) and err
    assert [path.read_bytes() for path in files] == before
    assert sorted(path.name for path in files[0].parent.iterdir()) == ["a.png", "b.dsn"]


def test_verb_asks_other_referees(
    files: tuple[Path, Path], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    from dsncodec.bench import referees

    monkeypatch.setattr(referees, "_butteraugli", lambda folder: None)
    row = referees.Referee(lambda folder: lambda reference: lambda image: float(image.shape[2]), 8)
    monkeypatch.setitem(referees.REFEREES, "butteraugli", row)
    code, out, _ = call("compare", *files, "--referees", "butteraugli", "--json")
    assert code == 0 and json.loads(out)["butteraugli"] == 3
    code, _, err = call("compare", *files, "--referees", "nobody")
    assert code == 2 and "no referee nobody" in err
