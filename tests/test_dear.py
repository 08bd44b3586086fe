"""The dearest legal files of each method, by counted operations: in proportion to pixels and bytes, for what is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

import dsncodec
from dsncodec import budget, container, kernels
from dsncodec.carriers import BACKENDS, BASE_CODECS, jxl_patches
from dsncodec.methods.coconet import bitstream as coconet
from dsncodec.methods.latentgrid import bitstream as latentgrid
from dsncodec.methods.latentgrid import entropy_model
from dsncodec.networks.inference import Network

from . import limits
from .fuzz import dear
from .fuzz.jxl_writer import codestream

SHAPES = [(97, 130), (1, 5000), (5000, 1), (3, 2000), (64, 64)]


def shapes(function: Callable[..., None]) -> Any:
    return pytest.mark.parametrize("shape", SHAPES, ids=lambda one: f"{one[0]} x {one[1]}")(function)


@shapes
@pytest.mark.parametrize("preview", [False, True])
def test_coconet_draws_in_proportion(
    shape: tuple[int, int], preview: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole tiles: at most a tile's worth of each row and column too much."""
    rows, columns = shape
    drawn = []
    colours = coconet.Network.colours
    monkeypatch.setattr(coconet, "LONG", 1000)
    monkeypatch.setattr(
        coconet.Network, "colours", lambda net, x, y: (drawn.append(len(x)), colours(net, x, y))[1]
    )
    data = dear.network(coconet.Shape("sine", 2, 8, 3), rows, columns)
    dsncodec.decode(data, preview=preview, threads=1)
    seen = -(-rows // 8) * -(-columns // 8) if preview else rows * columns
    assert sum(drawn) <= 4 * seen + 64 * 1000


def test_coconet_reads_integers_in_proportion_to_weights_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dearest weights of no bytes are refused after as many as may be left out, and no pixel is drawn."""
    from dsncodec.entropy import adaptive_coder

    shape = coconet.Shape("sine", 14, 270, 12)
    header = container.Header("coconet", "RGB", 1, 1)
    parameters = coconet.Parameters(shape, (160,) * 16)
    data = container.pack(header, [("PARM", parameters.pack()), ("NETW", b"")])
    taken = []
    reader = adaptive_coder._Reader

    class Noted(reader):  # type: ignore[misc, valid-type]
        def __init__(self, data: bytes) -> None:
            super().__init__(data)
            taken.append(len(self.data))

    monkeypatch.setattr(adaptive_coder, "_Reader", Noted)
    monkeypatch.setattr(coconet.Network, "colours", lambda *_: pytest.fail("a pixel was drawn"))
    with pytest.raises(dsncodec.CodestreamError, match="behind the last byte"):
        dsncodec.decode(data, preview=True)
    assert taken == [adaptive_coder.MOST_UNWRITTEN]


@shapes
@pytest.mark.parametrize("preview", [False, True])
def test_latentgrid_reads_and_draws_in_proportion(
    shape: tuple[int, int], preview: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, columns = shape
    monkeypatch.setenv("DSNCODEC_NUMBA", "0")
    cells, drawn = [], []
    mlp, wave = latentgrid.synthesis_mlp, entropy_model._read_wave
    monkeypatch.setattr(
        latentgrid, "synthesis_mlp", lambda planes, nets: (drawn.append(planes[0].size), mlp(planes, nets))[1]
    )
    monkeypatch.setattr(
        entropy_model,
        "_read_wave",
        lambda decoder, lower, *rest: (cells.append(len(lower)), wave(decoder, lower, *rest))[1],
    )
    dsncodec.decode(dear.grids(rows, columns, 8), preview=preview, threads=1)
    seen = -(-rows // 8) * -(-columns // 8) if preview else rows * columns
    around = 2 * (rows + columns) + 64
    assert sum(cells) <= 4 / 3 * seen + around
    # three rows and columns for each one that is shown, of a thread
    assert seen <= sum(drawn) <= 1.1 * seen + 3 * around
    assert kernels.available() is False


@pytest.mark.parametrize(
    "settings", [{"method": "dsn", "scale": 2}, {"method": "dsn", "scale": 4}, {"base": "jpeg"}], ids=str
)
@pytest.mark.parametrize("size", [(300, 290), (1, 1500), (1500, 2)])
def test_networks_run_over_the_picture_and_little_more(
    settings: dict[str, Any], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Halos of tiles: at most the picture again, and a tile; and none at all for a preview."""
    data = dsncodec.encode(Image.new("RGB", size, (200, 90, 40)), effort=0, threads=1, **settings)
    seen = []
    run = Network.__call__
    monkeypatch.setattr(
        Network, "__call__", lambda net, *planes: (seen.append(planes[0][0].size), run(net, *planes))[1]
    )
    dsncodec.decode(data, threads=1)
    # luma, chroma and the base picture at most, once each
    assert sum(seen) <= 6 * size[0] * size[1] + 2 * 2**16
    seen.clear()
    dsncodec.decode(data, preview=True)
    dsncodec.read_info(data)
    dsncodec.verify(data)
    assert not seen


@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (1, 900), (300, 200)])
def test_patches_within_the_budget_are_those_that_are_read(rows: int, columns: int) -> None:
    """The dearest dictionary: its work is at most the bound, and one patch more is refused."""
    from dsncodec.carriers.lossless import jxl

    side = min(rows, columns, 8)
    cost = (side + jxl_patches.ROW_COST) * side + jxl_patches.PATCH_COST
    most = (jxl_patches.MAX_AREA * rows * columns + jxl_patches.MIN_ROOM) // cost
    jxl.check_frames(codestream(rows, columns, reference=(64, 64), shown=(1, most, side, side)))
    with pytest.raises(dsncodec.CodestreamError, match="patches of more"):
        jxl.check_frames(codestream(rows, columns, reference=(64, 64), shown=(1, most + 1, side, side)))


@pytest.mark.parametrize(
    "name",
    [
        "jxl: deep trees in",
        "jxl: a palette",
        "jxl: four channels",
        "jxl: deep trees before",
        "jpeg: 64 scans",
        "avif: noise under",
    ],
)
def test_the_dearest_files_of_libraries_are_legal(name: str) -> None:
    """They decode: the budget is about files that no guard refuses."""
    case = next(case for case in dear.cases(128) if case.name.startswith(name))
    image = dsncodec.decode(case.data, preview=case.preview, threads=1)
    assert image.size == (128, 128)
    assert case.budget in dear.BUDGETS


def test_a_library_is_asked_once_for_each_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    decode = imagecodecs.jpegxl_decode
    monkeypatch.setattr(
        imagecodecs, "jpegxl_decode", lambda *args, **kw: (asked.append(1), decode(*args, **kw))[1]
    )
    data = dear.dsn_file(codestream(64, 64), "jxl", 64, 64)
    assert np.asarray(dsncodec.decode(data, preview=True)).max() == 0
    assert len(asked) == 1


def test_every_coder_and_method_has_a_budget() -> None:
    assert {"dsn", "restored", "coconet", "latentgrid"} <= dear.BUDGETS.keys()
    for name in (*BACKENDS, *BASE_CODECS):
        assert name in dear.BUDGETS or "others" in dear.BUDGETS


def test_the_tables_of_the_page_are_the_code_s() -> None:
    """``python -m tests.limits`` writes them."""
    page = limits.PAGE.read_text("utf-8")
    assert limits.written(page) == page
    for name in limits.TABLES:
        assert f"<!-- {name}: made by" in page
    assert str(budget.BYTES_A_PIXEL) in limits.limits()
