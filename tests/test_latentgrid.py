"""The encoder of latent grids: what a fit reaches, targets, errors, what effort 9 keeps, the command, Ctrl-C."""

from __future__ import annotations

import json
import math
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

import dsncodec
from dsncodec import container
from dsncodec.cli import encode as encode_verb
from dsncodec.cli import main
from dsncodec.container import Header
from dsncodec.encoding import floats_to
from dsncodec.errors import MissingComponent, SettingError
from dsncodec.methods import rate_control
from dsncodec.methods.latentgrid import bitstream as grids
from dsncodec.methods.latentgrid import encoder as latentgrid
from dsncodec.methods.latentgrid.encoder import Coded, Encoder, Point
from dsncodec.metrics import psnr_db, ssimulacra2
from dsncodec.networks import registry
from dsncodec.options import Best, LatentGrid, names

from .conftest import MODES, UInt8Array, noise, picture

pytest.importorskip("numba", reason="numba is not installed (extra [fit])")

# tests/test_visual_fit.py has those of the other tune
FAST: dict[str, Any] = {"method": "latentgrid", "steps": 40, "threads": 1, "tune": "psnr"}
EXIF = b"Exif\0\0" + bytes(90)


def pixels(image: Image.Image) -> UInt8Array:
    """(H, W, channels)."""
    found = np.asarray(image)
    return found.reshape(*found.shape[:2], -1)


def psnr_of(image: Image.Image, data: bytes) -> float:
    """Over the colours."""
    planes = 3 if image.mode.startswith("RGB") else 1
    return psnr_db(pixels(image)[..., :planes], pixels(dsncodec.decode(data))[..., :planes])


def encoder_of(image: Image.Image, **settings: Any) -> Encoder:
    header = Header("latentgrid", image.mode, *image.size)
    given = {"threads": 1, "steps": 40, "tune": "psnr"} | settings
    own = {name: given.pop(name) for name in names(LatentGrid) if name in given}
    return Encoder(header, pixels(image), given.pop("threads"), LatentGrid(**own), **given)


def line_art() -> Image.Image:
    image = Image.new("L", (64, 64), 255)
    draw = ImageDraw.Draw(image)
    draw.line((5, 8, 58, 54), 0, 2)
    draw.ellipse((10, 20, 40, 50), outline=0)
    return image


def interrupting(reports: list[tuple[float, ...]]) -> Any:
    """A report after which Ctrl-C is pressed, once."""

    def report(*numbers: float) -> None:
        reports.append(numbers)
        if len(reports) == 1:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it may be ignored
            signal.raise_signal(signal.SIGINT)

    return report


# --- what a fit reaches


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 17), (17, 1), (33, 21)], ids=str)
def test_any_picture(size: tuple[int, int], mode: str) -> None:
    image = picture(mode, *size)
    encoder = encoder_of(image)
    point = encoder.point_of_quality(75)
    data = container.pack(encoder.header, encoder.sections(point))
    dsncodec.verify(data)
    info = dsncodec.read_info(data)
    assert (info.method, info.size, info.mode) == ("latentgrid", size, mode)
    shown = pixels(dsncodec.decode(data))
    colours = encoder.header.colour_planes
    np.testing.assert_array_equal(shown[..., :colours], encoder.reconstruct(point))
    np.testing.assert_array_equal(shown[..., colours:], pixels(image)[..., colours:])
    assert dsncodec.encode(image, **FAST) == data


def test_quality_raises_bytes_and_psnr() -> None:
    image = picture("RGB", 64, 48)
    files = [dsncodec.encode(image, **FAST | {"steps": 200}, quality=quality) for quality in (0, 50, 100)]
    assert sorted(files, key=len) == files
    psnr = [psnr_of(image, data) for data in files]
    assert psnr == sorted(psnr) and psnr[2] > 30
    assert encoder_of(image).point_of_quality(0).lmbda == pytest.approx(0.06)
    assert encoder_of(image).point_of_quality(100).lmbda == pytest.approx(5e-5)


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_flat_picture(mode: str, level: int) -> None:
    image = Image.new(mode, (40, 30), (level,) * 3 if mode == "RGB" else level)
    data = dsncodec.encode(image, **FAST | {"steps": 200}, quality=75)
    assert len(data) < 250
    assert psnr_of(image, data) >= 45
    # a bit that costs so much is not spent on the last grey level
    assert psnr_of(image, dsncodec.encode(image, **FAST | {"steps": 100}, quality=5)) >= 30


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_picture_is_small_with_other_last_bits(
    level: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes of 160 to 411 bytes, by the processor, are what rounding errors made when they were steps of the optimizer."""
    fit, rng = latentgrid.fitter(), np.random.default_rng(seed)
    begin = fit.Fit.__init__

    def shaken(self: Any, *arguments: Any, **more: Any) -> None:
        begin(self, *arguments, **more)
        self.weights.flat[:] *= 1 + 1e-6 * rng.standard_normal(self.weights.flat.size).astype(np.float32)

    monkeypatch.setattr(fit.Fit, "__init__", shaken)
    image = Image.new("RGB", (40, 30), (level, level // 2, level))
    data = dsncodec.encode(image, **FAST | {"steps": 150}, quality=75)
    assert len(data) < 250 and psnr_of(image, data) >= 45


@pytest.mark.parametrize("quality", [10, 75])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_black_lines_stay_black_on_white(mode: str, quality: int) -> None:
    image = line_art().convert(mode)
    shown = pixels(dsncodec.decode(dsncodec.encode(image, **FAST | {"steps": 300}, quality=quality)))
    was = pixels(image)
    assert psnr_db(was[58:, :40], shown[58:, :40]) >= 45  # the page, away from the lines
    assert shown[was == 0].mean() < 60 and shown[was == 255].mean() > 245


def test_noise_is_not_made_flat() -> None:
    image = Image.fromarray(noise(32, 32))
    shown = pixels(dsncodec.decode(dsncodec.encode(image, **FAST | {"steps": 150}, quality=90)))
    assert shown.std() > 0.7 * pixels(image).std()


def test_the_estimated_size_is_the_real_one() -> None:
    image = picture("RGB", 160, 120)
    fit = latentgrid.fitter()
    job = fit.Fit(pixels(image), 32, grids.ZERO_INIT, 1)
    job.run(fit.RateTarget(1e-5), fit.Budget(None, 60), pilot=True)  # networks that are nearer to their end
    fitted = job.finished()
    header = Header("latentgrid", "RGB", *image.size)
    sections = dict(grids.pack_sections(header, fitted.parameters, fitted.differences, fitted.grids))
    assert len(sections["LATS"]) > 1500
    assert len(sections["LATS"]) == pytest.approx(fitted.bits / 8, rel=0.01)


@pytest.mark.parametrize(
    ("lmbda", "published", "held"), [(1.01, True, True), (0.99, True, False), (1.01, False, False)]
)
def test_where_bits_are_dear_the_second_layer_of_contexts_is_the_starts(
    lmbda: float, published: bool, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = latentgrid.fitter()
    monkeypatch.setattr(fit, "HELD_FROM", 5e-4)  # all weights move at such a lmbda
    begin = fit.random_weights(16, 1)
    begin.parts["w3"][:] = np.random.default_rng(0).normal(0, 0.5, (2, 16))
    job = fit.Fit(pixels(picture("RGB", 40, 30)), 16, grids.ZERO_INIT, 1, init=begin if published else None)
    before = job.weights.copy()
    job.run(fit.RateTarget(lmbda * fit.HELD_FROM * 40 * 30 / 2**16), fit.Budget(None, 30))
    moved = {name for name, part in job.weights.parts.items() if not np.array_equal(part, before.parts[name])}
    assert {"w1", "w3"} < moved and ("w2" not in moved) is held
    if held:
        assert not job.finished().differences[0][256:512].any()


def test_a_fit_goes_from_the_nearest_init(init: registry.Init, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture("L", 20, 20)
    info = dsncodec.read_info(dsncodec.encode(image, **FAST))
    assert info.model == "init x, width 16"
    cheap, old = replace(init, name="y", lmbda=0.0001), replace(init, lmbda=0.0003, default=False)
    monkeypatch.setattr(registry, "inits", lambda: (init, replace(cheap, wire_id=b"12345678"), old))
    assert latentgrid.init_for(0.0011, "psnr") == (16, init.wire_id[:4])  # nearest in ratio
    assert latentgrid.init_for(0.0009, "psnr") == (16, b"1234")
    assert latentgrid.init_for(0.0009, "visual") == (16, b"1234")  # none of its own
    seen = replace(init, name="z", tune="visual", wire_id=b"abcdefgh")
    monkeypatch.setattr(registry, "inits", lambda: (init, replace(cheap, wire_id=b"12345678"), seen))
    assert latentgrid.init_for(0.0001, "visual") == (16, b"abcd")
    assert latentgrid.init_for(0.0001, "psnr") == (16, b"1234")
    monkeypatch.setattr(registry, "inits", lambda: ())
    assert latentgrid.init_for(0.0009, "psnr") == (32, grids.ZERO_INIT)


@pytest.mark.parametrize("target", [{"quality": 40}, {"psnr_db": 24}, {"max_bytes": 600}], ids=str)
def test_of_several_fits_the_best_is_kept(target: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    image, reports = picture("RGB", 40, 40), list[float]()
    monkeypatch.setattr(latentgrid, "ENOUGH_STEPS", 70)
    monkeypatch.setattr(latentgrid, "PILOTS", 0)
    fits, found = list[Any](), list[Coded]()
    opened, finished = Encoder._opened, Encoder._finished
    monkeypatch.setattr(Encoder, "_opened", lambda *args: (fits.append(args[2]), opened(*args))[1])

    def kept(*args: Any) -> Coded:
        found.append(finished(*args))
        return found[-1]

    monkeypatch.setattr(Encoder, "_finished", kept)
    encoder = encoder_of(image, steps=240, report=lambda spent, *_: reports.append(spent))
    point = encoder.point_for_target(rate_control.Target(**target), [])
    sections = encoder.sections(point)
    assert fits == [0, 1, 2]  # the 30 steps that are left are too few
    assert 1 <= len(found) <= 3
    best = min(found, key=lambda one: encoder._worth(one, point))
    assert sections == best.sections
    assert reports == sorted(reports) and reports[-1] == 1
    assert len({coded.sections[-1] for coded in found}) == len(found)  # none is another one again


# --- targets


@pytest.mark.parametrize("mode", ["L", "RGBA"])
@pytest.mark.parametrize("max_bytes", [1400, 2200])
def test_target_bytes(mode: str, max_bytes: int) -> None:
    image = picture(mode, 48, 40)
    image.putalpha(255) if mode == "RGBA" else None
    data = dsncodec.encode(image, **FAST, target_bytes=max_bytes, exif=EXIF)
    assert len(data) <= max_bytes
    assert psnr_of(image, data) > 20
    assert dsncodec.decode(data).info["exif"] == EXIF


def test_target_bpp() -> None:
    image = picture("RGB", 64, 64)
    data = dsncodec.encode(image, **FAST, target_bpp=2.5)
    assert dsncodec.read_info(data).bpp <= 2.5


def test_target_psnr() -> None:
    image = picture("RGB", 40, 40)
    data = dsncodec.encode(image, **FAST | {"steps": 200}, target_psnr_db=27)
    assert psnr_of(image, data) >= 27


def test_a_file_that_misses_its_target_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    image, fits = picture("RGB", 40, 40), list[Any]()
    monkeypatch.setattr(latentgrid, "CLOSE", 2.0)  # the first fit is to be too large
    module = latentgrid.fitter()
    run = module.Fit.run
    monkeypatch.setattr(
        module.Fit,
        "run",
        lambda self, target, *rest, **more: (fits.append(target), run(self, target, *rest, **more))[1],
    )
    data = dsncodec.encode(image, **FAST | {"steps": 200}, target_bytes=500)
    assert len(data) <= 500
    whole = [target for target in fits if not target.fixed]  # after short ones, to find the lmbda
    assert len(whole) < len(fits)
    assert whole[-1].max_bytes < whole[0].max_bytes


def test_a_target_costs_no_more_than_the_quality_that_leads_there() -> None:
    samples = pytest.importorskip("skimage.data", reason="scikit-image is not installed (extra [bench])")
    image = Image.fromarray(samples.chelsea()[60:156, 100:196])
    settings = FAST | {"steps": 600}
    data = dsncodec.encode(image, **settings, quality=45)
    psnr = psnr_of(image, data)
    by_size = dsncodec.encode(image, **settings, target_bytes=len(data))
    assert 0.92 * len(data) < len(by_size) <= len(data)
    assert psnr_of(image, by_size) > psnr - 0.7
    by_psnr = dsncodec.encode(image, **settings, target_psnr_db=psnr)
    assert psnr <= psnr_of(image, by_psnr) < psnr + 0.3
    assert len(by_psnr) < 1.15 * len(data)


def test_threads_do_not_change_a_byte() -> None:
    """Sums go part by part, and parts are made by the pixels: here two."""
    image = picture("RGB", 512, 260)
    files = {dsncodec.encode(image, LatentGrid(steps=4), quality=20, threads=threads) for threads in (1, 3)}
    assert len(files) == 1


def test_targets_out_of_reach() -> None:
    image = picture("RGB", 40, 40)
    with pytest.raises(SettingError, match=r"all but the picture takes \d+ bytes"):
        dsncodec.encode(image, **FAST, target_bytes=30)
    with pytest.raises(SettingError, match=r"the fit reached \d+ bytes, not 42"):
        dsncodec.encode(image, **FAST, target_bytes=42)
    with pytest.raises(SettingError, match=r"the fit reached \d+\.\d\d dB, not 80"):
        dsncodec.encode(image, **FAST, target_psnr_db=80)


# --- settings


def test_seconds_follow_effort() -> None:
    image = picture("L", 4, 4)
    budgets = [encoder_of(image, steps=None, effort=effort).seconds for effort in range(10)]
    assert budgets == list(latentgrid.SECONDS)
    assert encoder_of(image, effort=9).seconds is None
    assert encoder_of(image, steps=None, seconds=3, effort=9).steps is None


@pytest.mark.parametrize(
    "settings",
    [
        {"scale": 2},
        {"base": "avif"},
        {"levels": 4},
        {"base_quality": 4},
        {"width": 8},
        {"layers": 3},
        {"variant": "sine"},
        {"preview": "a.mp4"},
        {"seconds": 0},
        {"steps": 0},
        {"steps": 2.5},
        {"quality": 101},
        {"quality": 5, "target_bytes": 10},
    ],
    ids=str,
)
def test_impossible_settings(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        dsncodec.encode(picture("L", 4, 4), **FAST | settings)


def test_settings_of_a_fit_are_not_for_other_methods() -> None:
    image = picture("L", 4, 4)
    with pytest.raises(SettingError, match="of the methods latentgrid, coconet and best, not restored"):
        dsncodec.encode(image, steps=4)
    with pytest.raises(SettingError, match="width: of method coconet, not restored"):
        dsncodec.encode(image, width=4, effort=9)
    for other in ({"scale": 1}, {"base": "jpeg"}, {"levels": 8}):
        with pytest.raises(SettingError, match="steps: of the methods"):
            dsncodec.encode(image, steps=4, effort=9, **other)


def test_too_large_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latentgrid, "MAX_FIT_PIXELS", 99)
    with pytest.raises(SettingError, match="takes 99; the methods restored and dsn"):
        dsncodec.encode(picture("L", 10, 10), **FAST)
    assert dsncodec.read_info(dsncodec.encode(picture("L", 9, 11), **FAST)).size == (9, 11)


def test_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSNCODEC_NUMBA", "0")
    with pytest.raises(MissingComponent, match=r"pip install dsncodec\[fit\]"):
        dsncodec.encode(picture("L", 4, 4), **FAST)
    assert dsncodec.read_info(dsncodec.encode(picture("L", 4, 4), Best())).method == "restored"


# --- effort 9


class Found:
    """A fit that finds, at once, a picture this far from the original, and a file of so many bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: int, size: int) -> None:
        self.points: list[Point] = []

        def fit(encoder: Encoder, point: Point) -> Coded:
            self.points.append(point)
            if error > 100:
                raise SettingError("out of reach")
            colour = np.clip(encoder.colour.astype(int) + error, 0, 255).astype(np.uint8)
            sections = [("PARM", grids.Parameters(32, grids.ZERO_INIT, (0,) * 6).pack())]
            nets = grids.Nets(32, grids.zero_init(32))
            return Coded([*sections, ("NETW", b""), ("LATS", bytes(size))], colour, nets, ())

        monkeypatch.setattr(Encoder, "_fit", fit)


def small() -> Image.Image:
    return picture("RGB", 48, 40)


@pytest.mark.parametrize(
    ("error", "size", "kept"),
    [
        (1, 1, "latentgrid"),
        (1, 10**5, "restored"),
        (60, 1, "restored"),
        (101, 1, "restored"),
    ],
)
@pytest.mark.parametrize("tune", ["visual", "psnr"])
@pytest.mark.parametrize(
    "asked",
    [{}, {"quality": 40}, {"base_quality": 40}, {"target_psnr_db": 30.0}, {"target_ssimulacra2": 50.0}],
    ids=str,
)
def test_at_equal_quality_the_smaller_file(
    asked: dict[str, Any], tune: str, error: int, size: int, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quality is a PSNR or a score that is asked for, else what the tune is for."""
    found = Found(monkeypatch, error, size)
    data = dsncodec.encode(small(), "best", tune=tune, **asked)
    assert dsncodec.read_info(data).method == kept
    plain = dsncodec.encode(small(), "restored", tune=tune, effort=9, **asked)
    scored = "target_ssimulacra2" in asked or (tune == "visual" and "target_psnr_db" not in asked)
    name, of = ("ssimulacra2", ssimulacra2) if scored else ("psnr_db", psnr_db)
    assert found.points[0].measure == name
    reached = of(pixels(small()), pixels(dsncodec.decode(plain)))
    assert found.points[0].level == asked.get(f"target_{name}", pytest.approx(reached))
    if kept == "restored":
        assert data == plain


@pytest.mark.parametrize(("error", "kept"), [(0, "latentgrid"), (60, "restored"), (101, "restored")])
@pytest.mark.parametrize("asked", [{"target_bytes": 900}, {"target_bpp": 4.0}], ids=str)
def test_at_equal_bytes_the_nearer_picture(
    asked: dict[str, Any], error: int, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Found(monkeypatch, error, 100)
    assert dsncodec.read_info(dsncodec.encode(small(), "best", **asked)).method == kept
    assert found.points[0].max_bytes == asked.get("target_bytes", 960)


def test_when_effort_9_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Found(monkeypatch, 0, 1)
    for settings in (
        {"effort": 8},
        {"effort": 9, "base": "avif"},
        {"effort": 9, "scale": 1},
        {"effort": 9, "method": "restored"},
        {"effort": 9, "method": "dsn", "levels": 256},
    ):
        assert dsncodec.read_info(dsncodec.encode(small(), **settings)).method != "latentgrid"
    monkeypatch.setattr(latentgrid, "MAX_FIT_PIXELS", 48 * 40 - 1)
    assert dsncodec.read_info(dsncodec.encode(small(), Best())).method == "restored"
    assert found.points == []


def test_effort_9_with_a_fit() -> None:
    """Metadata and alpha are there, whichever file is kept; report has three numbers."""
    image, reports = picture("RGBA", 24, 20), list[tuple[float, ...]]()
    data = dsncodec.encode(
        image, "best", steps=30, exif=EXIF, progress=floats_to(lambda *n: reports.append(n))
    )
    assert dsncodec.decode(data).info["exif"] == EXIF
    np.testing.assert_array_equal(pixels(dsncodec.decode(data))[..., 3], pixels(image)[..., 3])
    assert reports[-1][0] == 1 and all(len(numbers) == 3 for numbers in reports)


# --- Ctrl-C


def test_an_interrupted_fit_gives_what_it_has() -> None:
    image, reports = picture("RGB", 40, 30), list[tuple[float, ...]]()
    data = dsncodec.encode(image, **FAST | {"steps": 10**6}, progress=floats_to(interrupting(reports)))
    assert dsncodec.decode(data).size == (40, 30)
    assert reports[-1][0] < 1


@pytest.mark.parametrize("stage", ["_rdoq_weights", "objective.rdoq"])
def test_a_fit_interrupted_while_it_is_finished_gives_what_it_has(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, reports = picture("RGB", 40, 30), list[tuple[float, ...]]()
    fit = latentgrid.fitter()

    def press(*_: Any) -> None:
        raise KeyboardInterrupt

    place = fit.RDObjective if stage == "objective.rdoq" else fit.Fit
    monkeypatch.setattr(place, stage.split(".")[-1], press)
    monkeypatch.setattr(fit, "Schedule", partial(fit.Schedule, rounded=0.0))  # no moves but those at the end
    data = dsncodec.encode(image, **FAST, progress=floats_to(lambda *numbers: reports.append(numbers)))
    assert dsncodec.decode(data).size == (40, 30)
    assert all(spent < 1 for spent, *_ in reports)


def test_a_fit_interrupted_while_weights_are_rounded_rounds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    fit, calls, reports = latentgrid.fitter(), list[int](), list[float]()
    rounded = fit.Fit._rounded

    def press(job: Any, *args: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return rounded(job, *args)

    monkeypatch.setattr(fit.Fit, "_rounded", press)
    data = dsncodec.encode(
        picture("RGB", 40, 30), **FAST, progress=floats_to(lambda spent, *_: reports.append(spent))
    )
    assert dsncodec.decode(data).size == (40, 30)
    assert len(calls) == 2 and max(reports) < 1


@pytest.mark.parametrize("stage", ["__init__", "run", "_rounded"])
def test_another_fit_interrupted_leaves_the_one_before(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latentgrid, "ENOUGH_STEPS", 70)
    fit, reports = latentgrid.fitter(), list[float]()
    ordinary = getattr(fit.Fit, stage)

    def press(job: Any, *args: Any, **options: Any) -> Any:
        if options.get("seed", getattr(job, "seed", 0)) == 1:
            if stage == "run":
                job.interrupted = True
                job.steps = 3
                return None
            raise KeyboardInterrupt
        return ordinary(job, *args, **options)

    alone = encoder_of(picture("RGB", 40, 30), steps=70)
    point = alone.point_for_target(rate_control.Target(quality=40), [])
    expected = alone.sections(point)
    monkeypatch.setattr(fit.Fit, stage, press)
    encoder = encoder_of(picture("RGB", 40, 30), steps=240, report=lambda spent, *_: reports.append(spent))
    assert encoder.sections(point) == expected
    assert 0 < max(reports) < 1


def test_a_second_interrupt_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def press(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(latentgrid.fitter().Fit, "_rdoq_weights", press)
    with pytest.raises(KeyboardInterrupt):
        dsncodec.encode(
            picture("RGB", 40, 30), **FAST | {"steps": 10**6}, progress=floats_to(interrupting([]))
        )


def test_an_interrupted_fit_keeps_to_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latentgrid, "RETRY_SHARE", 1e-4)
    image = picture("RGB", 40, 30)
    data = dsncodec.encode(
        image, **FAST | {"steps": 10**6}, target_bytes=900, progress=floats_to(interrupting([]))
    )
    assert len(data) <= 900


def test_effort_9_interrupted_keeps_the_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture("RGB", 40, 30)
    data = dsncodec.encode(
        image, "best", quality=95, steps=10**6, threads=1, progress=floats_to(interrupting([]))
    )
    assert data == dsncodec.encode(image, "restored", effort=9, quality=95)


# --- the command


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    picture("RGB", 24, 20).save(path)
    return path


def test_the_command(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = source.with_suffix(".dsn")
    asked = ["--method", "latentgrid", "--steps", "30", "--threads", "1"]
    assert main(["encode", str(source), *asked, "--psnr"]) == 0
    said = capsys.readouterr().out
    assert "bpp" in said and "dB" in said and "width 32" in said and "interrupted" not in said
    assert main(["info", str(target)]) == 0
    said = capsys.readouterr().out
    assert "latentgrid, grids of symbols" in said and "section LATS" in said
    assert main(["encode", str(source), *asked, "--json", "--force"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["method"] == "latentgrid" and math.isfinite(report["bpp"])
    assert main(["encode", str(source), *asked, "--layers", "3", "--force"]) == 2
    assert "of method coconet" in capsys.readouterr().err


def test_a_usage_check_is_no_long_fit(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are checked without a fit; and pictures get the steps that were asked for."""
    steps: list[int | None] = []
    init = Encoder.__init__

    def noted(self: Encoder, *args: Any, **settings: Any) -> None:
        steps.append(args[3].steps)
        init(self, *args, **settings)

    monkeypatch.setattr(Encoder, "__init__", noted)
    for extra in (["--method", "latentgrid"], ["--method", "best"]):
        assert main(["encode", str(source), *extra, "--steps", "20", "--force", "--quiet"]) == 0
    assert steps == [20, 20]


def pressed_in_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C, once, after the first report that the command takes."""
    told, press = encode_verb._Progress.__call__, interrupting([])

    def pressed(self: Any, progress: dsncodec.Progress) -> None:
        told(self, progress)
        press(progress.done)

    monkeypatch.setattr(encode_verb._Progress, "__call__", pressed)


def test_fits_that_miss_their_targets_end_no_command(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fit that misses never reports that it is done; nobody pressed Ctrl-C for all that."""
    source.with_name("b.png").write_bytes(source.read_bytes())
    asked = ["--steps", "2", "--threads", "1", "-o", str(source.parent / "out"), "--json"]
    assert main(["encode", str(source.parent), "--effort", "9", "-q", "95", *asked]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(row["output"]).name for row in rows] == ["a.dsn", "b.dsn"]
    assert all(row["method"] == "restored" and "interrupted" not in row for row in rows)
    monkeypatch.setattr(latentgrid, "LEAST_RETRY_STEPS", 2)
    missed = ["--method", "latentgrid", "--target-psnr", "70", "--force"]
    assert main(["encode", str(source.parent), *asked, *missed]) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 2 and all("the fit reached" in row["error"] for row in rows)


def test_a_fit_that_is_interrupted_and_misses_ends_the_command(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C is not lost where the picture fails for another reason, and the reason is said."""
    source.with_name("b.png").write_bytes(source.read_bytes())
    pressed_in_the_command(monkeypatch)
    monkeypatch.setattr(
        Encoder, "_missed", lambda self, coded, point: 0.0 if point.max_bytes is None else 1.0
    )
    monkeypatch.setattr(latentgrid, "RETRY_SHARE", 1e-9)
    monkeypatch.setattr(latentgrid, "LEAST_RETRY_STEPS", 2)
    asked = ["--method", "latentgrid", "--steps", "1000000", "--threads", "1", "--target-bytes", "900"]
    assert main(["encode", str(source.parent), *asked, "-o", str(source.parent / "out")]) == 130
    err = capsys.readouterr().err
    assert "a.png: the fit reached" in err and "b.png" not in err
    assert not (source.parent / "out").exists()


def test_the_command_interrupted_at_effort_9(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever of the two files is kept, Ctrl-C is heard, and the file is written."""
    source.with_name("b.png").write_bytes(source.read_bytes())
    pressed_in_the_command(monkeypatch)
    asked = ["--effort", "9", "-q", "95", "--steps", "1000000", "--threads", "1"]
    assert main(["encode", str(source.parent), *asked, "-o", str(source.parent / "out")]) == 130
    assert "interrupted: the best so far" in capsys.readouterr().out
    assert [path.name for path in (source.parent / "out").iterdir()] == ["a.dsn"]


def test_the_command_interrupted(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file at hand is written, and no other is begun."""
    second = source.with_name("b.png")
    second.write_bytes(source.read_bytes())
    pressed_in_the_command(monkeypatch)
    asked = ["--method", "latentgrid", "--steps", "1000000", "--threads", "1"]
    assert main(["encode", str(source), str(second), *asked, "-o", str(source.parent) + "/"]) == 130
    assert "interrupted: the best so far" in capsys.readouterr().out
    assert dsncodec.decode(source.with_suffix(".dsn")).size == (24, 20)
    assert not second.with_suffix(".dsn").exists()


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_preview_grows(suffix: str, mode: str, tmp_path: Path) -> None:
    path, image = tmp_path / f"grows{suffix}", picture(mode, 120, 90)
    data = dsncodec.encode(image, LatentGrid(steps=90, tune="psnr", preview=path), quality=60, threads=1)
    with Image.open(path) as grown:
        assert grown.n_frames >= 5 and grown.size == (120, 90)
        grown.seek(grown.n_frames - 1)
        last = np.asarray(grown.convert("RGB")).astype(int)
    shown = np.asarray(dsncodec.decode(data).convert("RGB")).astype(int)
    assert np.abs(last - shown).mean() < (1 if suffix == ".png" else 14)  # the others lose some


def test_a_large_picture_has_a_small_preview(tmp_path: Path) -> None:
    path = tmp_path / "grows.png"
    dsncodec.encode(picture("RGB", 700, 350), LatentGrid(steps=12, preview=path), threads=1)
    with Image.open(path) as grown:
        assert grown.size == (320, 160)


def test_a_preview_is_of_one_picture_and_a_known_kind(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"\.gif, \.png, \.webp"):
        LatentGrid(preview=tmp_path / "grows.mp4")
    for name in ("a.png", "b.png"):
        picture("RGB", 20, 20).save(tmp_path / name)
    sources = [str(tmp_path / name) for name in ("a.png", "b.png")]
    arguments = ["--method", "latentgrid", "--steps", "2", "--preview", str(tmp_path / "p.gif"), "--quiet"]
    assert main(["encode", *sources, *arguments]) != 0
    assert main(["encode", sources[0], *arguments]) == 0 and (tmp_path / "p.gif").exists()
