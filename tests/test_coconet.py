"""The method "coconet": weights to pixels in NumPy, files that lie, and the fit."""

from __future__ import annotations

import functools
import io
import math
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import dsncodec
from dsncodec import container
from dsncodec.container import Header
from dsncodec.encoding import floats_to
from dsncodec.entropy import adaptive_coder
from dsncodec.errors import Corrupt, DsnError, LimitExceeded, MissingComponent, SettingError
from dsncodec.methods import rate_control
from dsncodec.methods.coconet import bitstream as coordinates
from dsncodec.methods.coconet import compress
from dsncodec.methods.coconet import encoder as coconet
from dsncodec.methods.coconet import fit as fitting
from dsncodec.methods.coconet.bitstream import Parameters, Shape, code_of, step_of
from dsncodec.methods.coconet.soap import Soap
from dsncodec.methods.sections import encode_alpha
from dsncodec.metrics import psnr_db
from dsncodec.options import CocoNet

from .conftest import CHANNELS, MODES, UInt8Array, picture, with_fixed_checksums

SHAPES = (Shape("paper", 3, 9), Shape("sine", 2, 7, 3), Shape("sine", 1, 5, 0))


def integers_of(shape: Shape, planes: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    sides = shape.matrices(planes)
    lists = [rng.integers(-40, 41, rows * columns, np.int32) for rows, columns in sides]
    return [*lists, rng.integers(-40, 41, sum(rows for rows, _ in sides), np.int32)]


def file_of(shape: Shape, mode: str, width: int, height: int) -> bytes:
    """A network of random weights."""
    header = Header("coconet", mode, width, height)
    parameters = Parameters(shape, (code_of(0.05),) * (shape.layers + 2))
    sections = [("PARM", parameters.pack())]
    sections.append(("NETW", adaptive_coder.encode(integers_of(shape, header.colour_planes))))
    if header.has_alpha:
        sections.append(("ALPH", encode_alpha(ramp(width, height), 0)))
    return container.pack(header, sections)


def ramp(width: int, height: int) -> UInt8Array:
    return (np.add.outer(7 * np.arange(height), 3 * np.arange(width)) % 256).astype(np.uint8)


def by_hand(shape: Shape, planes: int, size: tuple[int, int], at: tuple[int, int]) -> list[float]:
    """A pixel (column, row) as docs/format.md says it, in double precision and with nothing of ours."""
    step = step_of(code_of(0.05))
    (width, height), (column, row) = size, at
    x, y = (column + 0.5) / width, (row + 0.5) / height
    if shape.variant == "paper":
        across, down = (x - 0.5) * width, (y - 0.5) * height
        radius = math.hypot(across, down) / (math.hypot(width, height) / 2)
        h = [x, y, 1 - x, 1 - y, radius, math.atan2(down, across) / math.tau + 0.5]
        inside = math.tanh
    else:
        u, v = ((2 * p - 1) * side / max(size) for p, side in ((x, width), (y, height)))
        h = [u, v]
        for octave in range(shape.octaves):
            turns = math.pi * 2**octave
            h += [math.sin(u * turns), math.sin(v * turns), math.cos(u * turns), math.cos(v * turns)]
        inside = math.sin
    *matrices, biases = integers_of(shape, planes)
    for layer, (numbers, (rows, columns)) in enumerate(zip(matrices, shape.matrices(planes))):
        matrix, bias, biases = numbers.reshape(rows, columns) * step, biases[:rows] * step, biases[rows:]
        z = [sum(w * value for w, value in zip(line, h)) + b for line, b in zip(matrix, bias)]
        h = [inside(value) for value in z] if layer < shape.layers else z
    return [1 / (1 + math.exp(-z)) if shape.variant == "paper" else z + 0.5 for z in h]


# --- weights to pixels


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 17), (33, 1), (70, 130)], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pixels_are_what_the_page_says(shape: Shape, size: tuple[int, int], mode: str) -> None:
    data = file_of(shape, mode, *size)
    dsncodec.verify(data)
    image = dsncodec.decode(data, threads=1)
    assert (image.mode, image.size) == (mode, size)
    pixels = np.asarray(image).reshape(size[1], size[0], CHANNELS[mode])
    planes = 3 if mode.startswith("RGB") else 1
    for column, row in {(0, 0), (size[0] - 1, size[1] - 1), (size[0] // 2, size[1] // 3)}:
        want = [255 * value for value in by_hand(shape, planes, size, (column, row))]
        np.testing.assert_allclose(pixels[row, column, :planes], np.clip(want, 0, 255), atol=0.51)
    if mode.endswith("A"):
        np.testing.assert_array_equal(pixels[..., -1], ramp(*size))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_region_is_a_crop(threads: int) -> None:
    data = file_of(SHAPES[1], "RGBA", 150, 90)
    whole = np.asarray(dsncodec.decode(data, threads=1))
    for x0, y0, x1, y1 in ((0, 0, 150, 90), (63, 64, 65, 66), (149, 0, 150, 90), (5, 3, 130, 70)):
        part = np.asarray(dsncodec.decode(data, region=(x0, y0, x1, y1), threads=threads))
        np.testing.assert_array_equal(part, whole[y0:y1, x0:x1])


def test_any_size() -> None:
    """Pixels whose centres coincide have the same colour, and the picture keeps its place."""
    data = file_of(SHAPES[1], "RGBA", 20, 30)
    whole = np.asarray(dsncodec.decode(data)).astype(int)
    large = dsncodec.decode(data, size=(60, 90))
    assert large.size == (60, 90)
    apart = np.asarray(large)[1::3, 1::3, :3].astype(int) - whole[..., :3]
    assert np.abs(apart).max() <= 1
    assert dsncodec.decode(data, size=(1, 7)).size == (1, 7)
    part = dsncodec.decode(data, size=(60, 90), region=(50, 70, 60, 90))
    np.testing.assert_array_equal(np.asarray(part), np.asarray(large)[70:, 50:])


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (2.5, 3), (3,), 7, ("a", "b")], ids=str)
def test_impossible_sizes(size: object) -> None:
    with pytest.raises(SettingError, match="size"):
        dsncodec.decode(file_of(SHAPES[0], "L", 4, 4), size=size)  # type: ignore[arg-type]


def test_a_size_has_the_callers_limit_and_a_method() -> None:
    data = file_of(SHAPES[0], "L", 4, 4)
    with pytest.raises(LimitExceeded):
        dsncodec.decode(data, size=(10**6, 10**6))
    with pytest.raises(SettingError, match="preview"):
        dsncodec.decode(data, size=(4, 4), preview=True)
    with pytest.raises(SettingError, match="coconet"):
        dsncodec.decode(dsncodec.encode(np.zeros((4, 4), np.uint8)), size=(4, 4))


def test_a_preview() -> None:
    data = file_of(SHAPES[1], "LA", 33, 16)
    small = dsncodec.decode(data, preview=True)
    assert (small.mode, small.size) == ("LA", (5, 2))


def test_info() -> None:
    info = dsncodec.read_info(file_of(Shape("sine", 2, 7, 3), "RGBA", 10, 9))
    assert (info.method, info.model, info.levels) == ("coconet", "sine, 2 x 7, 3 octaves", None)
    assert set(info.sections) == {"PARM", "NETW", "ALPH"} and set(info.backends) == {"ALPH"}


def test_memory_is_that_of_the_picture() -> None:
    """Features of 512 neurons exist for one tile only."""
    data = file_of(Shape("sine", 1, 512, 0), "RGB", 600, 600)
    tracemalloc.start()
    dsncodec.decode(data, threads=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6  # all at once would be 740 MB


# --- parameters and steps


def test_parameters_byte_by_byte() -> None:
    packed = Parameters(Shape("sine", 2, 300, 5), (192, 191, 0, 255)).pack()
    assert packed == b"\x02\x02\x2c\x01\x05\xc0\xbf\x00\xff"
    assert Parameters.unpack(packed) == Parameters(Shape("sine", 2, 300, 5), (192, 191, 0, 255))


def test_steps_are_exact_and_rise() -> None:
    steps = [step_of(code) for code in range(256)]
    assert steps == sorted(set(steps))
    assert all(float(np.float32(step)) == step for step in steps)
    assert [code_of(step) for step in steps] == list(range(256))
    limit = 2**adaptive_coder.MAX_BITS - 1
    assert all(float(np.float32(limit) * np.float32(step)) == limit * step for step in steps)


HOSTILE = {
    "nothing": b"",
    "unknown variant": b"\x03\x01\x05\x00\x00\xc0\xc0\xc0",
    "no layers": b"\x01\x00\x05\x00\x00\xc0\xc0",
    "17 layers": b"\x01\x11\x05\x00\x00" + b"\xc0" * 19,
    "no width": b"\x01\x01\x00\x00\x00\xc0\xc0\xc0",
    "65535 wide": b"\x01\x10\xff\xff\x00" + b"\xc0" * 18,
    "four million weights": b"\x01\x10\x00\x02\x00" + b"\xc0" * 18,
    "octaves of the paper": b"\x01\x01\x05\x00\x01\xc0\xc0\xc0",
    "too many octaves": b"\x02\x01\x05\x00\x0d\xc0\xc0\xc0",
    "a step too few": b"\x01\x01\x05\x00\x00\xc0\xc0",
    "a step too many": b"\x01\x01\x05\x00\x00\xc0\xc0\xc0\xc0",
}


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE)
def test_hostile_parameters_are_refused_before_anything_is_allocated(payload: bytes) -> None:
    data = container.pack(Header("coconet", "RGB", 4, 4), [("PARM", payload), ("NETW", b"\x01")])
    tracemalloc.start()
    for action in (dsncodec.decode, dsncodec.read_info, dsncodec.verify):
        with pytest.raises(Corrupt) as caught:
            action(data)
        assert caught.value.field == "PARM"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


def test_a_large_network_for_a_large_picture_is_refused() -> None:
    parameters = Parameters(Shape("paper", 3, 512), (192,) * 5).pack()
    data = container.pack(Header("coconet", "RGB", 2000, 2000), [("PARM", parameters), ("NETW", b"\x01")])
    with pytest.raises(Corrupt, match="behind the last byte"):
        dsncodec.decode(data)


def test_missing_sections() -> None:
    header, parameters = Header("coconet", "L", 4, 4), Parameters(SHAPES[0], (192,) * 5).pack()
    with pytest.raises(Corrupt, match="NETW"):
        dsncodec.decode(container.pack(header, [("PARM", parameters)]))
    with pytest.raises(Corrupt, match="NETW"):
        dsncodec.verify(container.pack(header, [("PARM", parameters)]))


@pytest.mark.parametrize("mode", ["L", "RGBA"])
@pytest.mark.filterwarnings("ignore:.*follow the last section:dsncodec.errors.DsnWarning")
def test_hostile_bytes(mode: str) -> None:
    """Every truncation and every change of a byte, checksums made right."""
    data = file_of(Shape("sine", 1, 3, 1), mode, 6, 5)
    for length in range(len(data)):
        for cut in (data[:length], with_fixed_checksums(data[:length])):
            with pytest.raises(DsnError):
                dsncodec.decode(cut)
    for at in range(5, len(data)):
        for flip in (0x01, 0x10, 0x80, 0xFF):
            changed = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
            try:
                info = dsncodec.read_info(with_fixed_checksums(changed), max_pixels=10**5)
                image = dsncodec.decode(with_fixed_checksums(changed), threads=1, max_pixels=10**5)
            except DsnError:
                continue
            assert (image.mode, image.size) == (info.mode, info.size)


def test_junk_behind_the_weights_is_refused() -> None:
    data = file_of(SHAPES[0], "L", 4, 4)
    stream = io.BytesIO(data)
    header = container.read_header(stream)
    sections = container.read_sections(stream, header, len(data), coordinates.TAGS)
    payloads = dict(container.iter_payloads(stream, sections))
    payloads["NETW"] += b"junk"
    with pytest.raises(Corrupt) as caught:
        dsncodec.decode(container.pack(header, list(payloads.items())))
    assert caught.value.field == "NETW"


# --- the fit


FAST: dict[str, Any] = {"method": "coconet", "steps": 40, "threads": 1}


@functools.cache
def fitted(mode: str, variant: str, width: int, height: int) -> bytes:
    return dsncodec.encode(picture(mode, width, height), **FAST, variant=variant, layers=2, width=8)


def psnr_of(data: bytes, image: Image.Image) -> float:
    return psnr_db(np.asarray(image), np.asarray(dsncodec.decode(data)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("variant", ["paper", "sine"])
@pytest.mark.parametrize("size", [(1, 1), (1, 17), (20, 14)], ids=str)
def test_every_mode_and_odd_size(size: tuple[int, int], variant: str, mode: str) -> None:
    data = fitted(mode, variant, *size)
    dsncodec.verify(data)
    image, back = picture(mode, *size), dsncodec.decode(data)
    assert (back.mode, back.size) == (mode, size)
    if mode.endswith("A"):
        np.testing.assert_array_equal(back.getchannel("A"), image.getchannel("A"))


def test_a_fit_sees_the_picture() -> None:
    """Better than the best single colour by far."""
    image = picture("RGB", 40, 30)
    pixels = np.asarray(image)
    plain = np.broadcast_to(pixels.mean((0, 1)).round().astype(np.uint8), pixels.shape)
    data = dsncodec.encode(image, "coconet", steps=250, layers=2, width=16, threads=1)
    assert psnr_of(data, image) > psnr_db(pixels, plain) + 6


@pytest.mark.parametrize("variant", ["paper", "sine"])
def test_a_reader_gets_the_fits_own_picture(variant: str) -> None:
    """Within 1 grey level, through NumPy, and through torch from the weights before they were integers."""
    image = picture("RGB", 33, 21)
    header = Header("coconet", "RGB", 33, 21)
    encoder = coconet.Encoder(
        header, np.asarray(image), 1, CocoNet(steps=40, variant=variant, layers=2, width=9)
    )
    point = encoder.point_for_target(rate_control.Target(), [])
    back = np.asarray(dsncodec.decode(container.pack(header, encoder.sections(point))))
    np.testing.assert_array_equal(back, encoder.reconstruct(point))
    fit = fitting.fit_to(point.shape, np.asarray(image), fitting.SETTINGS[variant])
    fit.run(fitting.Clock(fitting.Budget(steps=20)))
    codes = compress.fitting_codes(fit, point.max_bytes)
    steps = compress.steps_of_layers(fit, codes)
    with torch.no_grad():
        own = fit.predicted(fitting.rounded(fit.layers, steps), fit.inputs)[0] * 255 + 0.5
    net = coordinates.network(Parameters(point.shape, tuple(codes)), compress.integers_of(fit, codes), header)
    apart = own.clamp(0, 255).floor().numpy().T.reshape(21, 33, 3) - net.pixels((33, 21)).astype(int)
    assert np.abs(apart).max() <= 1 and (apart != 0).mean() < 0.01


def test_a_target_is_kept() -> None:
    image = picture("RGBA", 40, 40)
    alpha = len(encode_alpha(np.asarray(image)[..., 3], 5))
    for asked in (alpha + 150, alpha + 600):
        data = dsncodec.encode(image, **FAST, target_bytes=asked, exif=b"Exif\0\0")
        assert 0.6 * (asked - alpha) < len(data) - alpha <= asked - alpha
    data = dsncodec.encode(image.convert("RGB"), **FAST, target_bpp=2)
    assert len(data) <= 40 * 40 * 2 / 8


def test_quality_is_more_bytes() -> None:
    image = picture("L", 64, 64)
    sizes = [len(dsncodec.encode(image, **FAST | {"steps": 60}, quality=q)) for q in (0, 50, 80)]
    assert sizes == sorted(set(sizes))


def test_fits_repeat() -> None:
    image = picture("RGB", 20, 14)
    assert dsncodec.encode(image, **FAST, width=5) == dsncodec.encode(image, **FAST, width=5)


def test_steps_are_of_equal_slope() -> None:
    """They lose clearly less than one step for all layers does, at no more bytes: in all, for one limit may fall on a lucky step."""
    image = np.asarray(picture("RGB", 40, 30))
    fit = fitting.fit_to(Shape("sine", 2, 16), image, fitting.SETTINGS["sine"])
    fit.run(fitting.Clock(fitting.Budget(steps=150)))

    def error(codes: list[int]) -> float:
        steps = compress.steps_of_layers(fit, codes)
        with torch.no_grad():
            own = fit.predicted(fit.layers, fit.inputs)
            apart = fit.predicted(fitting.rounded(fit.layers, steps), fit.inputs) - own
        return float(apart.square().mean())

    apart, level_apart = [], []
    for most in (180, 210, 230, 250, 270, 300, 340):
        codes = compress.fitting_codes(fit, most)
        assert len(adaptive_coder.encode(compress.integers_of(fit, codes))) <= most
        apart.append(error(codes))
        level_apart.append(error(compress.coarsened(fit, [80] * len(codes), most)))
    assert np.log(apart).mean() < np.log(level_apart).mean() - 0.1


def test_rounding_is_learned() -> None:
    """Steps of the fit with rounded weights bring the rounded picture nearer, by far where they are rounded coarsely."""
    image = np.asarray(picture("RGB", 40, 30))
    fit = fitting.fit_to(Shape("sine", 2, 16, 3), image, fitting.SETTINGS["sine"])
    fit.run(fitting.Clock(fitting.Budget(steps=150)))
    steps = compress.steps_of_layers(fit, compress.fitting_codes(fit, 160))

    def error() -> float:
        with torch.no_grad():
            apart = fit.predicted(fitting.rounded(fit.layers, steps), fit.inputs) - fit.colours
        return float(apart.square().mean())

    before = error()
    fit.run(fitting.Clock(fitting.Budget(steps=100)), steps_of=steps, lr=(3e-3, 3e-4))
    assert error() < 0.85 * before


def test_the_progress_is_told() -> None:
    told: list[tuple[float, float]] = []
    dsncodec.encode(
        picture("L", 9, 9), **FAST, width=4, progress=floats_to(lambda part, mse: told.append((part, mse)))
    )
    assert len(told) == 40
    assert [part for part, _ in told] == [(i + 1) / 40 for i in range(40)]
    assert all(0 < mse < 1 for _, mse in told)


def test_a_budget_in_seconds_ends() -> None:
    told: list[float] = []
    dsncodec.encode(
        picture("L", 9, 9),
        "coconet",
        seconds=0.2,
        width=4,
        threads=1,
        progress=floats_to(lambda part, _: told.append(part)),
    )
    assert told == sorted(told) and told[-1] > 0.5


@pytest.mark.parametrize(
    "setting",
    [
        {"seconds": 0},
        {"seconds": -1},
        {"seconds": float("nan")},
        {"steps": 0},
        {"steps": 2.5},
        {"variant": "tanh"},
        {"layers": 0},
        {"layers": 17},
        {"width": 0},
        {"width": 513},
        {"layers": 16, "width": 512},
        {"width": 8, "quality": 3},
        {"scale": 2},
        {"base": "avif"},
        {"levels": 5},
        {"base_quality": 4},
        {"target_psnr_db": 30},
        {"target_bytes": 30},
        {"target_bpp": 0.001},
    ],
    ids=str,
)
def test_impossible_settings(setting: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        dsncodec.encode(picture("RGB", 8, 8), **{"method": "coconet", "steps": 1, "threads": 1} | setting)


@pytest.mark.parametrize("setting", [{"seconds": 5}, {"variant": "paper"}, {"width": 5}], ids=str)
def test_settings_of_a_fit_are_refused_elsewhere(setting: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match="coconet"):
        dsncodec.encode(picture("RGB", 8, 8), **setting)


def test_an_interrupt_passes_and_torch_keeps_its_threads() -> None:
    def stop(part: float, mse: float) -> None:
        raise KeyboardInterrupt

    before = torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        dsncodec.encode(picture("RGB", 8, 8), **FAST, width=4, progress=floats_to(stop))
    assert torch.get_num_threads() == before


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dsncodec.methods.coconet.compress", None)
    with pytest.raises(MissingComponent, match=r"dsncodec\[train\]"):
        dsncodec.encode(picture("L", 8, 8), **FAST)


def test_soap_is_far_ahead_of_adam_where_directions_differ_in_scale() -> None:
    """A least-squares problem in a turned basis, at the same learning rate and number of steps."""
    generator = torch.Generator().manual_seed(1)
    turn = torch.linalg.qr(torch.randn(2, 12, 12, generator=generator))[0]
    scales = torch.logspace(0, -2, 12)
    goal = torch.randn(2, 5, 12, generator=generator)

    def left_by(optimizer: type[torch.optim.Optimizer]) -> float:
        weight = torch.nn.Parameter(torch.zeros(2, 5, 12))
        steps = optimizer([weight], lr=0.03)  # type: ignore[call-arg]
        for _ in range(200):
            loss = (((weight - goal) @ turn) * scales).square().sum()
            loss.backward()
            steps.step()
            steps.zero_grad()
        return float(loss.detach())

    assert left_by(Soap) < 0.3 * left_by(torch.optim.Adam)


# --- the paper's network


def asked_of(monkeypatch: pytest.MonkeyPatch, call: Any) -> tuple[Shape, Any, Any]:
    """The shape, the budget and the settings of the first fit that a call begins; it ends there."""
    found: list[Any] = []

    class Begun(Exception):
        pass

    def run(self: Any, clock: Any, *more: Any, **settings: Any) -> None:
        found.append((self.shape, clock.budget, self.settings))
        raise Begun

    monkeypatch.setattr(fitting.Fit, "run", run)
    with pytest.raises(Begun):
        call()
    return found[0]  # type: ignore[no-any-return]


SEEN = np.eye(32, dtype=bool)
PAPERS: dict[str, tuple[Any, tuple[int, int], int]] = {  # what is called, layers and neurons, pixels
    "denoise": (lambda image: dsncodec.denoise(image, method="paper"), (15, 200), 1024),
    "upsample": (
        lambda image: dsncodec.upsample(image, 4, model="coconet", method="paper"),
        (10, 200),
        1024,
    ),
    "inpaint": (lambda image: dsncodec.inpaint(image, SEEN, method="paper"), (10, 200), 1024 - 32),
}


@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_network_and_schedule(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections 3.2 and 4.3 to 4.5: layers, neurons, Adam from 1e-4 to 1e-5, 3000 epochs."""
    call, sides, pixels = PAPERS[name]
    shape, budget, settings = asked_of(monkeypatch, lambda: call(picture("RGB", 32, 32)))
    assert (shape.variant, (shape.layers, shape.width), shape.inputs) == ("paper", sides, 6)
    assert (budget.seconds, budget.steps) == (None, 3000 * -(-pixels // 1024))
    assert (settings.optimizer, settings.lr, settings.epochs) == ("adam", 1e-4, 3000)


def test_the_papers_epochs_are_of_all_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture("RGB", 256, 256)
    _, budget, _ = asked_of(
        monkeypatch, lambda: dsncodec.encode(image, "coconet", variant="paper", threads=1)
    )
    assert (budget.seconds, budget.steps) == (None, 3000 * 64)
    _, budget, _ = asked_of(
        monkeypatch, lambda: dsncodec.encode(image, "coconet", variant="paper", seconds=3, threads=1)
    )
    assert (budget.seconds, budget.steps) == (3, None)
    _, budget, _ = asked_of(monkeypatch, lambda: dsncodec.encode(image, "coconet", threads=1))
    assert (budget.seconds, budget.steps) == (60, None)


def test_an_epoch_looks_at_each_pixel_once() -> None:
    pixels = np.arange(50 * 50, dtype=np.int64).reshape(50, 50, 1)
    fit = fitting.fit_to(Shape("paper", 1, 3), pixels.astype(np.uint8), fitting.SETTINGS["paper"])
    fit.inputs = (
        torch.arange(2500.0).expand(6, -1).contiguous()
    )  # a pixel's number in the place of its coordinates
    batches = fit._batches()
    for _ in range(2):
        parts = [next(batches)[0][0] for _ in range(fitting.steps_of_epoch(2500, 1024))]
        assert [len(part) for part in parts] == [1024, 1024, 452]
        assert torch.cat(parts).sort().values.tolist() == list(range(2500))


def test_the_papers_rates_and_moments() -> None:
    fit = fitting.fit_to(Shape("paper", 2, 4), np.asarray(picture("RGB", 9, 9)), fitting.SETTINGS["paper"])
    optimizer = fit.optimizer(1e-4)
    rates: list[float] = []
    clock = fitting.Clock(fitting.Budget(steps=50))
    fit.run(clock, report=lambda *_: rates.append(optimizer.param_groups[0]["lr"]), optimizer=optimizer)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == pytest.approx(1e-4, rel=0.01) and rates[-1] == pytest.approx(1e-5, rel=0.05)


def test_the_papers_largest_network_fits_a_file() -> None:
    """Whatever the methods of restoration fit, a file could hold; and files that hold it are read."""
    shape = Shape("paper", 15, 200)
    assert shape.weights(3) == 6 * 200 + 200 + 14 * (200 * 200 + 200) + 200 * 3 + 3 == 564_803
    parameters = Parameters(coordinates.check_shape(shape, 3, 1024), (code_of(0.05),) * 17)
    assert Parameters.unpack(parameters.pack()) == parameters
    zeros = [np.zeros(rows * columns, np.int32) for rows, columns in shape.matrices(3)]
    payload = adaptive_coder.encode([*zeros, np.zeros(sum(rows for rows, _ in shape.matrices(3)), np.int32)])
    data = container.pack(Header("coconet", "RGB", 5, 4), [("PARM", parameters.pack()), ("NETW", payload)])
    assert np.unique(np.asarray(dsncodec.decode(data))).tolist() == [128]
