"""Metrics against independent implementations and published numbers."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from dsncodec import kernels
from dsncodec.errors import SettingError
from dsncodec.metrics import METRICS, bd_psnr, bd_rate, bpp, luma, ms_ssim, psnr_db, ssim, ssimulacra2

from . import pictures
from .conftest import UInt8Array, flat, gradient, noise, picture

REFEREES = Path(__file__).parents[2] / "shared" / "referees"
PHOTO = Path(__file__).parent / "photos" / "astronaut.webp"
Points = list[tuple[float, float]]


def jpeg(image: Image.Image) -> UInt8Array:
    """What a coarse JPEG leaves of it."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=15)
    return np.asarray(Image.open(file))


def photo(box: tuple[int, int, int, int], mode: str) -> tuple[UInt8Array, UInt8Array]:
    """A crop of the photo (left, top, right, bottom), and its JPEG."""
    with Image.open(PHOTO) as image:
        crop = image.crop(box).convert(mode)
    return np.asarray(crop), jpeg(crop)


def grained(rows: int, columns: int, *channels: int) -> tuple[UInt8Array, UInt8Array]:
    """Noise, and the same with a little more noise."""
    rng = np.random.default_rng(rows)
    a = rng.integers(0, 256, (rows, columns, *channels), np.uint8)
    return a, np.clip(a + rng.integers(-20, 21, a.shape), 0, 255).astype(np.uint8)


# --- PSNR and rate


@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (300, 5, 3), (513, 4), (2, 3, 4)], ids=str)
def test_psnr_is_scikit_images(shape: tuple[int, ...]) -> None:
    skimage_metrics = pytest.importorskip("skimage.metrics")
    rng = np.random.default_rng(3)
    a, b = (rng.integers(0, 256, shape, np.uint8) for _ in range(2))
    close = np.clip(a.astype(int) + rng.integers(-3, 4, shape), 0, 255).astype(np.uint8)
    for other in (b, close):
        if (other != a).any():
            expected = skimage_metrics.peak_signal_noise_ratio(a, other, data_range=255)
            assert psnr_db(a, other) == pytest.approx(expected, abs=1e-9)


def test_psnr_of_equal_arrays_is_infinite() -> None:
    assert psnr_db(noise(9, 9), noise(9, 9)) == math.inf


def test_psnr_with_another_peak() -> None:
    a: UInt8Array = np.zeros((4, 4), np.uint8)
    assert psnr_db(a, a + np.uint8(1), peak=1.0) == 0


def test_psnr_wants_one_shape() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(3, 2\)"):
        psnr_db(noise(2, 3), noise(3, 2))


@given(size=st.integers(0, 10**9), width=st.integers(1, 10**5), height=st.integers(1, 10**5))
def test_bpp(size: int, width: int, height: int) -> None:
    assert bpp(size, width, height) * width * height == pytest.approx(8 * size)


# --- luma


@pytest.mark.parametrize("shape", [(1, 1), (1, 17), (255, 3), (257, 300), (600, 2)], ids=str)
def test_luma_is_pillows_mode_l(shape: tuple[int, int]) -> None:
    rgb = np.random.default_rng(5).integers(0, 256, (*shape, 3), np.uint8)
    grey = luma(rgb)
    assert grey.dtype == np.uint8
    np.testing.assert_array_equal(grey, np.asarray(Image.fromarray(rgb).convert("L")))


def test_luma_of_grey_is_the_grey_level() -> None:
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(luma(np.stack([levels] * 3, -1)[None]), levels[None])
    np.testing.assert_array_equal(luma(levels[None]), levels[None])


@pytest.mark.parametrize("shape", [(4,), (4, 4, 1), (4, 4, 4), (2, 4, 4, 3)], ids=str)
def test_luma_wants_rgb(shape: tuple[int, ...]) -> None:
    with pytest.raises(SettingError, match=r"\(H, W, 3\)"):
        luma(np.zeros(shape, np.uint8))


# --- SSIM


def scikit_image_ssim(a: UInt8Array, b: UInt8Array) -> float:
    return float(
        pytest.importorskip("skimage.metrics").structural_similarity(
            a,
            b,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=2 if a.ndim == 3 else None,
        )
    )


SSIM_PAIRS: dict[str, Callable[[], tuple[UInt8Array, UInt8Array]]] = {
    "photo": lambda: photo((180, 60, 331, 173), "L"),
    "photo in colour": lambda: photo((180, 60, 331, 173), "RGB"),
    "noise": lambda: (noise(40, 50), noise(50, 40).T),
    "noise and its negative": lambda: (noise(40, 50), 255 - noise(40, 50)),
    "one window": lambda: grained(11, 11),
    "one row of windows": lambda: grained(11, 90),
    "one column of windows": lambda: grained(90, 11),
    "one strip": lambda: grained(42, 20),
    "one strip and a row": lambda: grained(43, 20),
    "colour": lambda: grained(80, 31, 3),
    "two channels": lambda: grained(30, 31, 2),
    "flat and darker": lambda: (flat(20, 20), flat(20, 20) - np.uint8(9)),
    "flat and noise": lambda: (flat(20, 20), noise(20, 20)),
    "black and white": lambda: (np.zeros((20, 20), np.uint8), np.full((20, 20), 255, np.uint8)),
    "gradient and noise": lambda: (gradient(20, 33), noise(20, 33)),
}


@pytest.mark.parametrize("name", SSIM_PAIRS)
def test_ssim_is_scikit_images(name: str) -> None:
    a, b = SSIM_PAIRS[name]()
    assert ssim(a, b) == pytest.approx(scikit_image_ssim(a, b), abs=1e-9)
    assert ssim(b, a) == pytest.approx(ssim(a, b), abs=1e-12)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_shift_by_one_pixel_costs(axis: int) -> None:
    a = np.asarray(picture("RGB", 180, 170))
    b = np.roll(a, 1, axis)
    assert ssim(a, b) == pytest.approx(scikit_image_ssim(a, b), abs=1e-9)
    assert ssim(a, b) < 0.99
    assert ms_ssim(a, b) < 0.9999
    assert psnr_db(a, b) < 40


@pytest.mark.parametrize("metric", [ssim, ms_ssim])
@pytest.mark.parametrize("pattern", [flat, gradient, noise])
def test_equal_pictures_score_one(metric: Callable[..., float], pattern: Callable[..., UInt8Array]) -> None:
    grey = pattern(163, 170)
    assert metric(grey, grey.copy()) == 1.0
    colour = np.stack([grey, grey.T[:163, :163].repeat(2, 1)[:, :170], 255 - grey], -1)
    assert metric(colour, colour.copy()) == 1.0


@pytest.mark.parametrize("metric", [ssim, ms_ssim])
def test_channels_are_averaged(metric: Callable[..., float]) -> None:
    a, b = grained(170, 165, 3)
    b[..., 0] = a[..., 0]
    each = [metric(a[..., c], b[..., c]) for c in range(3)]
    assert each[0] == 1.0 > max(each[1:])
    assert metric(a, b) == pytest.approx(np.mean(each), abs=1e-12)


@pytest.mark.parametrize(("metric", "smallest"), [(ssim, 11), (ms_ssim, 161)])
def test_smallest_picture(metric: Callable[..., float], smallest: int) -> None:
    assert metric(noise(smallest, smallest), noise(smallest, smallest)) == 1.0
    for shape in ((smallest - 1, smallest), (smallest, smallest - 1), (1, 1)):
        with pytest.raises(SettingError, match=f"at least {smallest} pixels"):
            metric(noise(*shape), noise(*shape))


@pytest.mark.parametrize("metric", [ssim, ms_ssim])
def test_pictures_that_do_not_fit(metric: Callable[..., float]) -> None:
    with pytest.raises(SettingError, match=r"\(161, 162\) and \(162, 161\)"):
        metric(noise(161, 162), noise(162, 161))
    with pytest.raises(SettingError, match="float64"):
        metric(np.zeros((161, 161)), np.zeros((161, 161)))
    with pytest.raises(SettingError, match=r"\(H, W\)"):
        metric(noise(1, 200)[0], noise(1, 200)[0])


# --- MS-SSIM


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("box", [(0, 0, 512, 512), (100, 40, 276, 232), (0, 0, 176, 512)], ids=str)
def test_ms_ssim_is_pytorch_msssims(mode: str, box: tuple[int, int, int, int]) -> None:
    """Sides of whole multiples of 16: where no scale has an odd side, no two conventions differ."""
    reference = pytest.importorskip("pytorch_msssim")
    torch = pytest.importorskip("torch")
    a, b = photo(box, mode)
    tensors = (torch.from_numpy(np.atleast_3d(x).transpose(2, 0, 1)[None].astype(float)) for x in (a, b))
    assert ms_ssim(a, b) == pytest.approx(float(reference.ms_ssim(*tensors)), abs=1e-5)


def wangs_ms_ssim(a: UInt8Array, b: UInt8Array) -> float:
    """Wang's msssim.m, line by line, on SciPy's filters: whole maps, and borders cut at the end."""
    ndimage = pytest.importorskip("scipy.ndimage")

    def blurred(image: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(image, 1.5, radius=5)[5:-5, 5:-5]

    x, y, score = a.astype(float), b.astype(float), 1.0
    for scale, exponent in enumerate([0.0448, 0.2856, 0.3001, 0.2363, 0.1333]):
        if scale:  # 2 x 2 means with mirrored borders, of which every second one is kept
            x, y = (ndimage.uniform_filter(p, 2, mode="reflect", origin=-1)[::2, ::2] for p in (x, y))
        mean_x, mean_y = blurred(x), blurred(y)
        var_x, var_y = blurred(x**2) - mean_x**2, blurred(y**2) - mean_y**2
        values = (2 * (blurred(x * y) - mean_x * mean_y) + 58.5225) / (var_x + var_y + 58.5225)
        if scale == 4:
            values *= (2 * mean_x * mean_y + 6.5025) / (mean_x**2 + mean_y**2 + 6.5025)
        score *= values.mean() ** exponent
    return score


@pytest.mark.parametrize("size", [(176, 192), (161, 161), (163, 176), (177, 255), (199, 170)], ids=str)
def test_ms_ssim_is_wangs_whatever_the_size(size: tuple[int, int]) -> None:
    a, b = photo((150, 0, 150 + size[0], size[1]), "L")
    assert ms_ssim(a, b) == pytest.approx(wangs_ms_ssim(a, b), abs=1e-9)


def test_ms_ssim_of_opposites_is_zero() -> None:
    a = np.asarray(picture("L", 170, 170))
    assert ms_ssim(a, 255 - a) == 0.0


# --- SSIMULACRA 2


@pytest.fixture(params=["0", "1"], ids=["NumPy", "numba"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way to compute it."""
    if request.param == "1" and not kernels.available():
        pytest.skip("numba is not installed (extra [fit])")
    monkeypatch.setenv("DSNCODEC_NUMBA", request.param)
    return str(request.param)


def astronaut() -> UInt8Array:
    with Image.open(PHOTO) as image:
        return np.asarray(image.convert("RGB"))


def lined(image: UInt8Array) -> UInt8Array:
    """Every eighth row at half its values."""
    darker = image.copy()
    darker[::8] //= 2
    return darker


# computed by vapoursynth-vszip 23.1.0, from R, G and B with _Transfer=13
PUBLISHED: dict[str, tuple[Callable[[UInt8Array], tuple[UInt8Array, UInt8Array]], float]] = {
    "posterised": (lambda a: (a, a // 24 * 24 + 12), 32.307294609672525),
    "softened": (
        lambda a: (a[:, 1:], ((a[:, :-1].astype(int) + a[:, 1:] + 1) // 2).astype(np.uint8)),
        55.135336218915995,
    ),
    "lines": (lambda a: (a, lined(a)), -30.624802457199337),
    "a corner": (lambda a: (a[:100, :130], a[:100, :130] // 8 * 8 + 4), 80.92651029620332),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_ssimulacra2_is_anothers(name: str, machine: str) -> None:
    make, expected = PUBLISHED[name]
    assert ssimulacra2(*make(astronaut())) == pytest.approx(expected, abs=0.1)


@pytest.mark.skipif(not REFEREES.exists(), reason="the referees' scores are not here")
def test_ssimulacra2_is_the_referees() -> None:
    def read(name: str) -> UInt8Array:
        with Image.open(REFEREES / name) as image:
            return np.asarray(image.convert("RGB"))

    with open(REFEREES / "scores.csv", newline="") as file:
        for row in csv.DictReader(file):
            found = ssimulacra2(read(row["reference"]), read(row["distorted"]))
            assert found == pytest.approx(float(row["ssimulacra2"]), abs=0.25), row["distorted"]


SEEN: dict[str, Callable[[], UInt8Array]] = {
    "photograph": lambda: pictures.photograph("coffee.png"),
    "odd sides": lambda: pictures.photograph("chelsea.png")[:151, :193],
    "text": pictures.text_page,
    "flat": lambda: pictures.flat("sky"),
    "grey": lambda: luma(pictures.photograph("chelsea.png")[:120, :90]),
    "smallest": lambda: noise(8, 8),
    "thin": lambda: noise(8, 200),
}


@pytest.mark.parametrize("name", SEEN)
def test_ssimulacra2_falls_as_noise_grows(name: str, machine: str) -> None:
    reference = SEEN[name]()
    grain = np.random.default_rng(7).normal(size=reference.shape)
    scores = [
        ssimulacra2(reference, np.clip(reference + sigma * grain, 0, 255).round().astype(np.uint8))
        for sigma in (0, 2, 6, 18, 54)
    ]
    assert scores[0] == 100
    assert scores == sorted(scores, reverse=True) and scores[-1] < 60


@pytest.mark.parametrize("name", SEEN)
def test_ssimulacra2_is_one_with_numba_and_without(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    reference = SEEN[name]()
    noisy = reference + np.random.default_rng(8).normal(0, 9, reference.shape)
    other = np.clip(noisy, 0, 255).astype(np.uint8)
    found = []
    for machine in "01":
        monkeypatch.setenv("DSNCODEC_NUMBA", machine)
        assert (kernels.load(kernels.SEEING) is None) == (machine == "0")
        found.append(ssimulacra2(reference, other))
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_ssimulacra2_of_grey_is_that_of_three_equal_channels() -> None:
    a, b = noise(40, 50), np.clip(noise(40, 50) + 9.0, 0, 255).astype(np.uint8)
    assert ssimulacra2(a, b) == ssimulacra2(np.stack([a] * 3, 2), np.stack([b] * 3, 2))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((7, 40, 3), "at least 8"),
        ((40, 7), "at least 8"),
        ((9, 9, 4), r"\(H, W, 3\)"),
        ((9, 9, 1), r"\(H, W, 3\)"),
    ],
    ids=str,
)
def test_ssimulacra2_of_what_it_cannot_see(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        ssimulacra2(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8))


# --- BD-rate and BD-PSNR

# JCTVC-E137 (Geneva, 2011): anchor, test (kbit/s, dB) and the BD-rate in percent, as repeated by the tests
# of Netflix's VMAF (python/test/bd_rate_calculator_test.py)
E137: list[tuple[Points, Points, float]] = [
    (
        [(108048.8736, 43.6471), (61279.976, 40.3953), (33905.6656, 37.247), (18883.6928, 34.2911)],
        [(108061.2784, 43.6768), (61299.9936, 40.4232), (33928.7472, 37.2761), (18910.912, 34.3147)],
        -0.465215420752807,
    ),
    (
        [(40433.8848, 37.5761), (7622.7456, 35.3756), (2394.488, 33.8977), (1017.6184, 32.0603)],
        [(40370.12, 37.5982), (7587.0024, 35.4025), (2390.0944, 33.9194), (1017.0984, 32.0822)],
        -1.8779823450567612,
    ),
]

# Kodak, means over the 24 pictures, published in CompressAI's results/image/kodak:
# hm.json, bpg_444_x265_ycbcr.json and compressai-mbt2018_mse_cuda.json
HM = [
    (0.051438, 25.411122),
    (0.120870, 27.746435),
    (0.266663, 30.446609),
    (0.529528, 33.504949),
    (0.950374, 36.782495),
    (1.559601, 39.994898),
    (2.476062, 43.087960),
    (3.845565, 46.143205),
]
BPG = [
    (0.067768, 26.195128),
    (0.161023, 28.681549),
    (0.351554, 31.594657),
    (0.684697, 34.857474),
    (1.199665, 38.259887),
    (1.929712, 41.478873),
    (3.057876, 44.703110),
    (4.703143, 47.632516),
]
MBT2018 = [
    (0.110531, 28.088470),
    (0.186971, 29.645498),
    (0.287696, 31.362275),
    (0.432339, 33.085947),
    (0.638767, 35.093758),
    (0.885305, 36.988820),
    (1.200365, 38.933501),
    (1.587345, 40.639067),
]

METHODS = ("pchip", "akima")


@pytest.mark.parametrize(("anchor", "test", "percent"), E137)
def test_bd_rate_is_the_published_one(anchor: Points, test: Points, percent: float) -> None:
    assert bd_rate(anchor, test) == pytest.approx(percent, abs=1e-8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("anchor", "test", "percent"),
    [(HM, MBT2018, -11.4), (BPG, MBT2018, -11.2), (BPG, HM, 0.8), (HM, BPG, -0.8)],
)
def test_bd_rate_on_kodak(anchor: Points, test: Points, percent: float, method: str) -> None:
    """Figures of a study of these curves made with SciPy; the two interpolations differ by less than 0.3."""
    tolerance = 0.05 if method == "pchip" else 0.3
    assert bd_rate(anchor, test, method) == pytest.approx(percent, abs=tolerance)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("anchor", "test"),
    [(HM, MBT2018), (BPG, HM), (HM, BPG[2:5]), *((anchor, test) for anchor, test, _ in E137)],
    ids=["learned", "near", "few points", "E137 a", "E137 b"],
)
def test_bd_is_the_bjontegaard_packages(anchor: Points, test: Points, method: str) -> None:
    reference: ModuleType = pytest.importorskip("bjontegaard")
    columns = [column for curve in (anchor, test) for column in np.array(sorted(curve)).T]
    options = {"method": method, "require_matching_points": False, "min_overlap": 0}
    assert bd_rate(anchor, test, method) == pytest.approx(reference.bd_rate(*columns, **options), abs=1e-9)
    # the package takes decimal logarithms of the rate; the mean over an interval is the same
    assert bd_psnr(anchor, test, method) == pytest.approx(reference.bd_psnr(*columns, **options), abs=1e-9)


@st.composite
def curves(draw: st.DrawFn) -> Points:
    """Increasing points of which each pair around 0.5 bpp and 33 dB overlaps."""
    size = draw(st.integers(2, 8))
    gaps = st.lists(st.floats(0.05, 3), min_size=size, max_size=size)
    log_rate, psnr = np.cumsum(draw(gaps)), np.cumsum(draw(gaps))
    rates = np.exp(log_rate - log_rate.mean() + np.log(0.5))
    return list(zip(rates.tolist(), (psnr - psnr.mean() + 33).tolist()))


# two straight halves: where they meet, Akima's weights are 0 / 0
KINKED = [(0.1, 30.0), (0.2, 31.0), (0.4, 32.0), (1.6, 33.0), (6.4, 34.0)]


@example(anchor=HM, test=KINKED, method="akima")
@example(anchor=HM, test=KINKED, method="pchip")
@given(anchor=curves(), test=curves(), method=st.sampled_from(METHODS))
def test_bd_is_scipys_interpolation_integrated(anchor: Points, test: Points, method: str) -> None:
    interpolate = pytest.importorskip("scipy.interpolate")
    interpolator = {"pchip": interpolate.PchipInterpolator, "akima": interpolate.Akima1DInterpolator}[method]
    (anchor_rate, anchor_psnr), (test_rate, test_psnr) = (np.array(c).T for c in (anchor, test))

    def mean_gap(anchor_x, anchor_y, test_x, test_y):  # type: ignore[no-untyped-def]
        low, high = max(anchor_x[0], test_x[0]), min(anchor_x[-1], test_x[-1])
        x = low + (np.arange(20000) + 0.5) / 20000 * (high - low)
        return np.mean(interpolator(test_x, test_y)(x) - interpolator(anchor_x, anchor_y)(x))

    logs = np.log(anchor_rate), np.log(test_rate)
    log_gap = mean_gap(anchor_psnr, logs[0], test_psnr, logs[1])
    assert math.log1p(bd_rate(anchor, test, method) / 100) == pytest.approx(log_gap, abs=1e-6)
    psnr_gap = mean_gap(logs[0], anchor_psnr, logs[1], test_psnr)
    assert bd_psnr(anchor, test, method) == pytest.approx(psnr_gap, abs=1e-6)


@given(curve=curves(), method=st.sampled_from(METHODS), seed=st.integers(0, 99))
def test_what_bd_must_not_depend_on(curve: Points, method: str, seed: int) -> None:
    assert bd_rate(curve, curve, method) == bd_psnr(curve, curve, method) == 0
    shuffled = np.random.default_rng(seed).permutation(np.array(curve))
    assert bd_rate(HM, shuffled, method) == bd_rate(HM, curve, method)
    assert bd_psnr(HM, shuffled, method) == bd_psnr(HM, curve, method)
    in_kbit = [[(1000 * rate, psnr) for rate, psnr in points] for points in (HM, curve)]
    assert bd_rate(*in_kbit, method) == pytest.approx(bd_rate(HM, curve, method), abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_bd_the_other_way_round(method: str) -> None:
    forth, back = bd_rate(HM, MBT2018, method), bd_rate(MBT2018, HM, method)
    assert (1 + forth / 100) * (1 + back / 100) == pytest.approx(1)
    assert bd_psnr(HM, MBT2018, method) == pytest.approx(-bd_psnr(MBT2018, HM, method))


@pytest.mark.parametrize("method", METHODS)
def test_bd_between_two_straight_lines(method: str) -> None:
    """Two points, then three on a line: ln(rate) is linear, and the middle of the overlap is the mean."""
    anchor, test = [(1.0, 30.0), (math.e, 32.0)], [(0.5, 30.0), (0.5 * math.e, 31.0), (0.5 * math.e**2, 32.0)]
    assert bd_rate(anchor, test, method) == pytest.approx(100 * math.expm1(0.5 + math.log(0.5)))


@pytest.mark.parametrize("method", METHODS)
def test_points_that_another_one_beats_are_left_out(method: str) -> None:
    worse = [
        (0.3, 30.0),  # dearer than the third point of HM, and worse
        (0.529528, 33.0),  # as dear as the fourth, and worse
        (0.6, 33.504949),  # dearer, and as good
        (9.0, 46.0),  # beyond the last one, and worse
        HM[0],
    ]
    assert bd_rate(BPG, HM + worse, method) == bd_rate(BPG, HM, method)
    assert bd_psnr(worse + HM, BPG, method) == bd_psnr(HM, BPG, method)


def test_one_bad_first_point_costs_one_point_only() -> None:
    assert bd_rate(HM, [(0.2, 26.0), *MBT2018]) == bd_rate(HM, MBT2018)


LOW, HIGH = [(0.1, 20.0), (0.2, 25.0)], [(0.3, 26.0), (0.4, 30.0)]


@pytest.mark.parametrize("function", [bd_rate, bd_psnr])
@pytest.mark.parametrize(
    ("curve", "message"),
    [
        (HIGH, "no range in common"),
        ([(0.2, 25.0), (0.3, 26.0)], "no range in common"),  # they touch
        (LOW[:1], "at least two points"),
        ([], "at least two points"),
        ([(0.1, 25.0), (0.2, 20.0)], "at least two points"),
        ([(0.0, 20.0), (0.2, 25.0)], "rates above 0"),
        ([(-0.1, 20.0), (0.2, 25.0)], "rates above 0"),
        ([(0.1, math.nan), (0.2, 25.0)], "finite"),
        ([(0.1, 20.0), (0.2, math.inf)], "finite"),
    ],
)
def test_curves_that_cannot_be_compared(function: Callable[..., float], curve: Points, message: str) -> None:
    for pair in ((LOW, curve), (curve, LOW)):
        with pytest.raises(SettingError, match=message):
            function(*pair)


def test_unknown_interpolation() -> None:
    with pytest.raises(SettingError, match="pchip, akima, not 'cubic'"):
        bd_rate(HM, BPG, "cubic")


# --- the table

ORIGINAL = np.asarray(picture("RGB", 170, 165))
DAMAGED = jpeg(Image.fromarray(ORIGINAL))
SAMPLES = {  # what a row needs: a good case, and a worse one
    "size": ((1000, 80, 100), (2000, 80, 100)),
    "pictures": ((ORIGINAL, ORIGINAL), (ORIGINAL, DAMAGED)),
    "luma": ((luma(ORIGINAL), luma(ORIGINAL)), (luma(ORIGINAL), luma(DAMAGED))),
    "curves": ((HM, MBT2018), (MBT2018, HM)),
}


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_tells_good_from_bad(name: str) -> None:
    row = METRICS[name]
    good, bad = (row.function(*sample) for sample in SAMPLES[row.needs])
    assert type(good) is type(bad) is float
    assert (good > bad) == row.higher_is_better
    assert good != bad
    assert row.function.__doc__
    assert name.endswith("_db") == (row.unit == "dB") or name == "bd_psnr"
