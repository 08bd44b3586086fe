"""Holes in whole photographs: no seams, no flat patches, no foreign colours; the same pixels whatever the machine does."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from skimage.restoration import inpaint_biharmonic

import dsncodec
from dsncodec.metrics import psnr_db
from dsncodec.processing.inpaint import areas, filled, smooth, wide_of

from . import pictures
from .conftest import MODES, UInt8Array, picture

PHOTOGRAPHS = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg", "ihc.png")


def scratches(shape: tuple[int, int], seed: int) -> areas.BoolArray:
    height, width = shape
    rng = np.random.default_rng(seed)
    drawn = Image.new("L", (width, height))
    for _ in range(10):
        ends = rng.integers(0, [width, height], (3, 2))
        ImageDraw.Draw(drawn).line([tuple(end) for end in ends.tolist()], 255, int(rng.integers(1, 5)))
    return np.asarray(drawn) > 0


def words(shape: tuple[int, int], seed: int = 0) -> areas.BoolArray:
    height, width = shape
    drawn = Image.new("L", (width, height))
    for top in range(5 + seed, height, 55):
        text = "The quick brown fox jumps over 13 lazy dogs. " * 3
        ImageDraw.Draw(drawn).text((5, top), text, 255, ImageFont.load_default(24))
    return np.asarray(drawn) > 127


def squares(shape: tuple[int, int], side: int, seed: int, count: int = 2) -> list[tuple[int, int]]:
    """Upper left corners, far from the edges and from each other."""
    rng = np.random.default_rng(seed)
    found: list[tuple[int, int]] = []
    while len(found) < count:
        top, left = (int(rng.integers(side, most - 2 * side)) for most in shape)
        if all(2 * max(abs(top - y), abs(left - x)) > 3 * side + 4 for y, x in found):
            found.append((top, left))
    return found


def covered(shape: tuple[int, int], side: int, corners: list[tuple[int, int]]) -> areas.BoolArray:
    missing = np.zeros(shape, bool)
    for top, left in corners:
        missing[top : top + side, left : left + side] = True
    return missing


def broken(pixels: UInt8Array, missing: areas.BoolArray) -> UInt8Array:
    """Magenta where it is missing: what shows through is seen."""
    return np.where(missing[..., None], np.array([255, 0, 255], np.uint8), pixels)


def completed(pixels: UInt8Array, missing: areas.BoolArray) -> UInt8Array:
    found = np.asarray(dsncodec.inpaint(broken(pixels, missing), missing, threads=1))
    np.testing.assert_array_equal(found[~missing], pixels[~missing])
    return found


def inside_db(clean: UInt8Array, other: UInt8Array, missing: areas.BoolArray) -> float:
    return psnr_db(clean[missing][None], other[missing][None])


# --- thin holes


@pytest.mark.parametrize("kind", ["scratches", "words"])
def test_thin_holes_are_filled_no_worse_than_by_biharmonic_surfaces(kind: str) -> None:
    gains = []
    for seed, name in enumerate(PHOTOGRAPHS):
        clean = pictures.photograph(name)
        missing = (scratches if kind == "scratches" else words)(clean.shape[:2], seed)
        assert not wide_of(missing).any()
        surface = inpaint_biharmonic(broken(clean, missing), missing, channel_axis=-1)
        other = np.clip(surface * 255 + 0.5, 0, 255).astype(np.uint8)
        ours = completed(clean, missing)
        gains.append(inside_db(clean, ours, missing) - inside_db(clean, other, missing))
    assert min(gains) > -0.3
    assert np.mean(gains) > 0


def test_a_scratch_over_a_straight_edge_leaves_it_sharp() -> None:
    y, x = np.mgrid[:60, :90]
    clean = np.where(y + 0.3 * x > 45, 200, 40).astype(np.uint8)[..., None].repeat(3, 2)
    missing = np.zeros((60, 90), bool)
    missing[:, 42:47] = True
    assert inside_db(clean, completed(clean, missing), missing) > 24


def test_a_plate_follows_a_slope() -> None:
    y, x = np.mgrid[:40, :50].astype(np.float32)
    clean = np.stack([2 * x + y, 200 - x - 3 * y, 0 * x + 7], -1)
    missing = scratches((40, 50), 3)
    # in the hole's middle, at the edges, and beside what is neither known nor sought
    outside = np.zeros_like(missing)
    outside[10:20, 20:30] = True
    missing &= ~outside
    seen = np.where((missing | outside)[..., None], np.float32(0), clean)
    found = smooth.plate(seen, missing, outside)
    np.testing.assert_allclose(found[missing], clean[missing], atol=0.5)


# --- wide holes


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_wide_holes_have_no_rim_no_flat_patch_and_no_foreign_colours(name: str, side: int) -> None:
    clean = pictures.photograph(name)
    corners = squares(clean.shape[:2], side, seed=side)
    missing = covered(clean.shape[:2], side, corners)
    found = completed(clean, missing).astype(float)
    down, right = (np.abs(np.diff(found, axis=axis)).mean(-1) for axis in (0, 1))
    for top, left in corners:
        bottom, end = top + side, left + side
        rim = np.concatenate(
            [
                down[[top - 1, bottom - 1], left:end].reshape(-1),
                right[top:bottom, [left - 1, end - 1]].reshape(-1),
            ]
        )
        # the inside, what is around it, and that at each side
        inner = slice(top + 2, bottom - 2), slice(left + 2, end - 2)
        sides = [
            (slice(top - 16, top - 1), slice(left, end)),
            (slice(bottom + 1, bottom + 16), slice(left, end)),
            (slice(top, bottom), slice(left - 16, left - 1)),
            (slice(top, bottom), slice(end + 1, end + 16)),
        ]
        within, *near = ((down[part].mean() + right[part].mean()) / 2 for part in (inner, *sides))
        assert rim.mean() < 1.4 * max(near) + 1.5
        # as textured as its smoothest side, or nearly so
        assert within > 0.4 * min(near) - 0.3
        around = np.concatenate([found[part].reshape(-1, 3) for part in sides])
        low, high = np.percentile(around, [0.5, 99.5], axis=0)
        middle = found[top:bottom, left:end].reshape(-1, 3)
        assert (middle.mean(0) > low).all() and (middle.mean(0) < high).all()


def test_a_straight_edge_goes_on_through_a_wide_hole() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:160, :200]
    above = y < 40 + 0.4 * x
    clean = np.where(above[..., None], (150, 180, 230), (70, 90, 50)) + rng.normal(0, 6, (160, 200, 1))
    clean = np.clip(clean, 0, 255).astype(np.uint8)
    missing = covered((160, 200), 40, [(60, 80)])
    found = completed(clean, missing).astype(int)
    sky = np.abs(found - (150, 180, 230)).sum(-1) < np.abs(found - (70, 90, 50)).sum(-1)
    assert (sky != above)[missing].mean() < 0.08
    assert 3 < found[90:98, 84:92].std((0, 1)).mean() < 12


def test_flat_pictures_stay_flat() -> None:
    for name in pictures.FLATS:
        clean = pictures.flat(name, 160, 120)
        missing = covered((120, 160), 40, [(0, 5), (50, 100)]) | words((120, 160))
        np.testing.assert_array_equal(completed(clean, missing), clean)


def test_pages_of_text_and_landscapes_keep_their_colours() -> None:
    for clean in (pictures.text_page(), pictures.scene()):
        missing = covered(clean.shape[:2], 40, [(0, 0), (200, 300)])
        found = completed(clean, missing)
        low, high = clean.min((0, 1)), clean.max((0, 1))
        assert (found >= low).all() and (found <= high).all()
        assert abs(found[missing].mean() - clean[missing].mean()) < 40


# --- of every shape


@pytest.mark.parametrize("mode", MODES)
def test_modes(mode: str) -> None:
    image = picture(mode, 90, 70)
    missing = covered((70, 90), 24, [(20, 30)]) | scratches((70, 90), 1)
    found = dsncodec.inpaint(image, missing)
    assert (found.mode, found.size) == (mode, (90, 70))
    before, after = (np.asarray(one).reshape(70, 90, -1) for one in (image, found))
    np.testing.assert_array_equal(after[~missing], before[~missing])
    if mode.endswith("A"):
        np.testing.assert_array_equal(after[..., -1], before[..., -1])


@pytest.mark.parametrize(
    "shape", [(1, 2), (1, 60), (60, 1), (3, 5), (7, 7), (15, 40), (40, 15), (64, 65)], ids=str
)
def test_small_pictures_and_masks_of_all_kinds(shape: tuple[int, int]) -> None:
    height, width = shape
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (height, width, 3), np.uint8)
    masks = [np.zeros(shape, bool) for _ in range(5)]
    masks[0][height // 2, width // 2] = True
    masks[1][:, : width // 2] = True
    masks[2][:] = True
    masks[2][-1, -1] = False
    masks[3][: height // 2 + 1, : width // 2] = True
    masks[4][:] = rng.random(shape) < 0.5
    for missing in masks:
        if missing.all():
            continue
        found = filled(broken(noise, missing), missing)
        np.testing.assert_array_equal(found[~missing], noise[~missing])
        plain = np.full_like(noise, 77)
        np.testing.assert_array_equal(filled(broken(plain, missing), missing), plain)


def test_nearly_everything_is_missing() -> None:
    clean = pictures.photograph("coffee.png")[::2, ::2]
    missing = np.ones(clean.shape[:2], bool)
    missing[50:70, 100:130] = False
    found = completed(clean, missing).reshape(-1, 3)
    seen = clean[~missing]
    assert (found.min(0) >= seen.min(0)).all() and (found.max(0) <= seen.max(0)).all()


# --- the same pixels


def test_the_same_pixels_whatever_the_threads_and_whatever_lay_in_the_holes() -> None:
    clean = pictures.photograph("coffee.png")
    shape = clean.shape[:2]
    # the second and third so near that they see each other's holes
    missing = covered(shape, 40, [(50, 60), (200, 300), (200, 370)]) | words(shape)
    first = dsncodec.inpaint(broken(clean, missing), missing, threads=1)
    black = np.where(missing[..., None], np.uint8(0), clean)
    for again in (
        dsncodec.inpaint(clean, missing, threads=1),
        dsncodec.inpaint(black, missing, threads=2),
        dsncodec.inpaint(black, missing, threads=5, seconds=0.001),
    ):
        np.testing.assert_array_equal(np.asarray(again), np.asarray(first))


def test_a_hole_does_not_change_with_what_is_far_away() -> None:
    clean = pictures.photograph("astronaut.png")
    near = covered((512, 512), 32, [(60, 70)])
    both = near | covered((512, 512), 32, [(400, 400)])
    one, two = completed(clean, near), completed(clean, both)
    np.testing.assert_array_equal(one[near], two[near])


def test_steps_and_progress() -> None:
    clean = pictures.photograph("chelsea.png")
    missing = covered(clean.shape[:2], 32, [(60, 70), (200, 300)]) | scratches(clean.shape[:2], 0)
    told: list[dsncodec.Progress] = []
    made = [
        np.asarray(dsncodec.inpaint(clean, missing, steps=steps, progress=told.append)) for steps in (1, 10)
    ]
    assert (made[0] != made[1]).any()
    parts, errors = zip(*((now.done, now.mse) for now in told))
    assert parts[-1] == 1 and list(parts[: len(parts) // 2]) == sorted(parts[: len(parts) // 2])
    assert 0 < max(errors) < 0.1


def test_it_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['skimage'] = sys.modules['scipy'] = sys.modules['numba'] = None\n"
        "import numpy as np, dsncodec\n"
        "from dsncodec.cli import main\n"
        "from dsncodec.errors import MissingComponent\n"
        "missing = np.zeros((60, 80), bool); missing[20:40, 30:50] = True\n"
        "image = np.full((60, 80, 3), 90, np.uint8)\n"
        "assert (np.asarray(dsncodec.inpaint(image, missing)) == 90).all()\n"
        "try: dsncodec.inpaint(image, missing, method='paper')\n"
        "except MissingComponent as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "dsncodec[train]" in done.stdout


def test_memory_of_a_large_picture_with_few_holes() -> None:
    tile = pictures.scene(640, 480)
    large = np.tile(tile, (5, 5, 1))
    shape = large.shape[:2]
    missing = covered(shape, 64, [(0, 0), (1000, 1500)]) | covered(
        shape, 6, [(2000, y) for y in range(9, 3000, 99)]
    )
    tracemalloc.start()
    try:
        found = filled(large, missing)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # two copies of the picture, a few masks, and windows
    assert peak < 3 * large.nbytes + 2**26
    assert (found[missing] != large[missing]).any()


# --- areas


def test_holes_apart() -> None:
    rng = np.random.default_rng(0)
    area = np.zeros((130, 210), bool)
    for _ in range(14):
        y, x = rng.integers(0, [120, 200])
        area[y : y + 9, x : x + 9] = True
    found = areas.holes(area)
    again = np.zeros_like(area)
    for window, own in found:
        assert own.any(0)[[0, -1]].all() and own.any(1)[[0, -1]].all()
        assert not (again[window.slices] & own).any()
        again[window.slices] |= own
        # what is near is one hole
        around = window.grown(8, area.shape)
        only = np.zeros_like(area)
        only[window.slices] = own
        assert not (areas.grown(only, 8) & area & ~only)[around.slices].any()
    np.testing.assert_array_equal(again, area)
    assert len(found) > 1


def test_depths() -> None:
    area = np.zeros((20, 30), bool)
    assert areas.deepest(area) == 0
    area[:, 4] = True
    assert areas.deepest(area) == 1
    area[5:12, 10:20] = True
    assert areas.deepest(area) == 4 == areas.depths(area, 9).max()
    assert areas.depths(area, 2).max() == 2
    # at the edge, as far as the known is
    area[:] = False
    area[:, :6] = True
    assert areas.deepest(area) == 6


def test_what_is_wide() -> None:
    missing = covered((90, 120), 32, [(20, 30)])
    missing[3:7, :] = True
    missing[:, 80:90] = True
    wide = wide_of(missing)
    np.testing.assert_array_equal(wide, covered((90, 120), 32, [(20, 30)]))
    np.testing.assert_array_equal(wide_of(np.tile(missing, (20, 20))), np.tile(wide, (20, 20)))
