"""The probability model: symbols of any grids survive, by NumPy and by numba, to the same bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsncodec import kernels
from dsncodec.entropy.range_coder import TOTAL
from dsncodec.errors import Corrupt
from dsncodec.methods.latentgrid import entropy_model
from dsncodec.methods.latentgrid.bitstream import grid_shapes
from dsncodec.methods.latentgrid.entropy_model import (
    Context,
    Int8Array,
    band_bits,
    decode_band,
    encode_band,
    tables,
)

SHAPES = [(1, 1), (1, 17), (17, 1), (2, 3), (33, 21), (64, 70), (5, 300)]
BELL, FLAT, WILD = 0.7, 30.0, 0.05


@pytest.fixture(params=["0", "1"], ids=["NumPy", "numba"], autouse=True)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("DSNCODEC_NUMBA", request.param)
    if request.param == "1" and not kernels.available():
        pytest.skip("numba is not installed (extra [fit])")
    yield request.param


def model(seed: int, spread: float = 3000.0) -> Context:
    rng = np.random.default_rng(seed)
    weights, biases = (np.rint(rng.normal(0, spread, count)).astype(np.int64) for count in (544, 130))
    biases[-1] += 30 * 512
    return Context.of(weights, biases)


def symbols(shape: tuple[int, int], scale: float, seed: int = 0) -> list[Int8Array]:
    rng = np.random.default_rng(seed)
    return [
        np.clip(np.rint(rng.laplace(0, scale, sides)), -127, 127).astype(np.int8)
        for sides in grid_shapes(shape)
    ]


# --- tables


def test_the_ratios_are_what_the_page_says() -> None:
    getcontext().prec = 40
    for s, ratio in enumerate(entropy_model.RATIOS):
        b = Decimal("0.02") * Decimal(2) ** (Decimal(s) / 8)
        assert int((2**32 * (-1 / (16 * b)).exp()).to_integral_value()) == ratio


def test_the_tails_are_those_of_a_bell() -> None:
    found = tables()
    assert found.shape == (96, 2048) and (found[:, 0] == 2**23).all() and (np.diff(found) <= 0).all()
    for s in (0, 40, 64, 95):
        b = 0.02 * 2 ** (s / 8)
        wanted = [2**23 * math.exp(-d / 16 / b) for d in range(2048)]
        np.testing.assert_allclose(found[s], wanted, rtol=2e-4, atol=2)


def test_every_symbol_has_counts() -> None:
    v = np.arange(-127, 129)
    for m in (-2032, -77, 0, 5, 2032):
        for s in range(96):
            cum = entropy_model._counts(v, np.full(256, m), np.full(256, s))
            assert cum[0] == 0 and cum[-1] == TOTAL and (np.diff(cum) > 0).all()


# --- there and back


@pytest.mark.parametrize("scale", [BELL, FLAT, WILD])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_symbols_survive(
    shape: tuple[int, int], scale: float, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    grids, net = symbols(shape, scale), model(3)
    data = encode_band(grids, net)
    back = decode_band(data, grid_shapes(shape), net)
    for one, other in zip(back, grids, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == np.int8
    bits = band_bits(grids, net)
    assert bits / 8 - 1 < len(data) < bits / 8 + 1
    monkeypatch.setenv("DSNCODEC_NUMBA", "0")
    assert encode_band(grids, net) == data
    assert band_bits(grids, net) == pytest.approx(bits)


@pytest.mark.parametrize("value", [-127, 127])
def test_extreme_symbols_and_weights(value: int) -> None:
    """The largest sums that the limits allow, exact in float64."""
    grids = [np.full(sides, value, np.int8) for sides in grid_shapes((9, 20))]
    for sign in (-1, 1):
        net = Context.of(np.full(544, sign * 2**16), np.full(130, 2**20))
        data = encode_band(grids, net)
        for one, other in zip(decode_band(data, grid_shapes((9, 20)), net), grids):
            np.testing.assert_array_equal(one, other)


def test_the_network_is_the_one_of_the_page() -> None:
    """In Python's integers."""
    net = model(5, 20_000.0)
    x = np.random.default_rng(2).integers(-127, 128, (16, 50))
    m, s = net.distributions(2, x.astype(np.float64))
    whole = {name: getattr(net, name).astype(int).tolist() for name in ("w1", "w2", "w3", "b1", "b2", "b3")}
    for column, (location, scale) in enumerate(zip(m, s)):
        a1 = [
            b + sum(w * int(v) for w, v in zip(row, x[:, column]))
            for row, b in zip(whole["w1"], whole["b1"][2])
        ]
        h1 = [min(max(a, 0), 2**20) for a in a1]
        a2 = [(b << 12) + sum(w * h for w, h in zip(row, h1)) for row, b in zip(whole["w2"], whole["b2"])]
        h2 = [h + min(max((a + 2**11) >> 12, 0), 2**20) for a, h in zip(a2, h1)]
        o = [(b << 12) + sum(w * h for w, h in zip(row, h2)) for row, b in zip(whole["w3"], whole["b3"])]
        assert location == min(max((o[0] + 2**19) >> 20, -2032), 2032)
        assert scale == min(max((o[1] + 2**20) >> 21, 0), 95)


def test_a_model_that_knows_costs_less() -> None:
    grids = symbols((40, 40), BELL)
    weights, biases = np.zeros(544, np.int64), np.zeros(130, np.int64)
    costs = []
    for s in (20, 40, 70):
        biases[-1] = 512 * s
        costs.append(band_bits(grids, Context.of(weights, biases)))
    assert costs[1] < costs[0] and costs[1] < costs[2]


def test_coarse_grids_alone() -> None:
    grids, net = symbols((40, 30), 2.0), model(4)
    data = encode_band(grids, net)
    for finest in range(7):
        back = decode_band(data, grid_shapes((40, 30)), net, finest)
        for k in range(finest, 7):
            np.testing.assert_array_equal(back[k], grids[k])
        assert all(grid.size == 0 for grid in back[:finest])


# --- broken bytes


def test_bytes_left_over_are_refused() -> None:
    data = encode_band(symbols((9, 9), BELL), model(1))
    for more in (b"\0", b"left over"):
        with pytest.raises(Corrupt):
            decode_band(data + more, grid_shapes((9, 9)), model(1))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=60), seed=st.integers(0, 3))
def test_any_bytes_are_symbols_or_refused(data: bytes, seed: int) -> None:
    net, shapes = model(seed), grid_shapes((6, 7))
    try:
        grids = decode_band(data, shapes, net)
    except Corrupt:
        return
    for one, other in zip(decode_band(encode_band(grids, net), shapes, net), grids):
        np.testing.assert_array_equal(one, other)
    assert [grid.shape for grid in grids] == shapes
    assert all(np.abs(grid.astype(int)).max() <= 127 for grid in grids)


def test_both_ways_see_the_same_in_any_bytes(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    if path == "0":
        pytest.skip("compares both ways: the case with numba does it once")
    rng, net = np.random.default_rng(8), model(2)
    for _ in range(30):
        data = rng.integers(0, 256, 400, np.uint8).tobytes()
        found = []
        for way in "01":
            monkeypatch.setenv("DSNCODEC_NUMBA", way)
            found.append(decode_band(data, grid_shapes((20, 11)), net, 1))
        for one, other in zip(*found):
            np.testing.assert_array_equal(one, other)
