"""Exceptions and results on their way between processes: nothing of them is lost, and no pool breaks."""

from __future__ import annotations

import ast
import builtins
import copy
import copyreg
import dataclasses
import functools
import importlib
import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dsncodec
from dsncodec import errors
from dsncodec.batch import run as batch
from dsncodec.errors import CodestreamError, Corrupt, DsnError, LimitExceeded, MissingComponent
from dsncodec.processes import process_pool

from .conftest import picture

PACKAGE = Path(dsncodec.__file__).parent


def kinds() -> list[type[BaseException]]:
    """All exceptions and warnings of this package, wherever they are."""
    names = {
        name
        for name, value in vars(builtins).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    places = [
        (path, node)
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    found: dict[str, type[BaseException]] = {}
    for _ in range(9):  # a class may stand before the one it builds on
        for path, node in places:
            if (
                names & {ast.unparse(base).rpartition(".")[2] for base in node.bases}
                and node.name not in found
            ):
                names.add(node.name)
                module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
                found[node.name] = getattr(importlib.import_module(module), node.name)
    return list(found.values())


KINDS = kinds()


@pytest.fixture(autouse=True)
def nothing_else_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    """tblib, which dask brings, teaches pickle all exceptions that there are when it is loaded; a user need not have it."""
    for kind in KINDS:
        monkeypatch.delitem(copyreg.dispatch_table, kind, raising=False)


def made(kind: type[BaseException]) -> BaseException:
    """One with a message, and something for each keyword that its ``__init__`` takes."""
    keywords = [
        name
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if parameter.kind == parameter.KEYWORD_ONLY
    ]
    error = kind("so and so", **{name: 1000 + at for at, name in enumerate(keywords)})
    for name in keywords:
        assert hasattr(error, name)
    return error


WAYS: dict[str, Callable[[Any], Any]] = {
    **{
        f"pickle {protocol}": lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


def test_all_kinds_are_found() -> None:
    assert {DsnError, CodestreamError, Corrupt, LimitExceeded, MissingComponent, errors.FitWarning} < set(
        KINDS
    )
    assert set(DsnError.__subclasses__()) <= {*KINDS, Awkward}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_stays_what_it_is(kind: type[BaseException], way: Callable[[Any], Any]) -> None:
    error = made(kind)
    error.add_note("while reading a.dsn")
    back = way(error)
    assert type(back) is kind
    assert (str(back), back.args, back.__dict__) == (str(error), error.args, error.__dict__)
    assert back.__notes__ == ["while reading a.dsn"]
    assert errors.reason(back) == errors.reason(error) if isinstance(error, DsnError) else True
    if isinstance(error, ImportError):
        assert back.msg == error.msg
    again = way(back)
    assert (str(again), again.__dict__) == (str(error), error.__dict__)


class Awkward(Corrupt):
    """What a subclass of tomorrow may ask for."""

    def __init__(self, where: str, *, depth: int) -> None:
        super().__init__(f"{where} is broken", offset=depth, field="NETW")
        self.depth = depth


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_kind_that_asks_for_more_stays_what_it_is(way: Callable[[Any], Any]) -> None:
    error = Awkward("the payload", depth=3)
    back = way(error)
    assert type(back) is Awkward and str(back) == str(error)
    assert (back.depth, back.offset, back.field) == (3, 3, "NETW")


# --- what workers raise and give back


def decoded(data: bytes, max_pixels: int | None) -> Image.Image:
    return dsncodec.decode(data, threads=1, max_pixels=max_pixels)


@functools.cache
def file_of(method: str) -> bytes:
    fit = {"steps": 3} if method in ("coconet", "latentgrid") else {"effort": 0}
    return dsncodec.encode(picture("RGB", 12, 9), method, threads=1, **fit)  # type: ignore[arg-type]


def test_a_pool_goes_on_after_an_oversized_picture() -> None:
    """A picture that is too large, a broken one and a good one, in one worker."""
    data = dsncodec.encode(picture("RGB", 12, 9), effort=0, threads=1)
    jobs = [
        (data, 1),
        (data[:-5], None),
        (b"no such file", None),
        (data, None),
        (data, 12 * 9 - 1),
        (data, None),
    ]
    with process_pool(1) as pool:
        futures = [pool.submit(decoded, *job) for job in jobs]
        found = [future.exception(timeout=120) or future.result() for future in futures]
        info = pool.submit(dsncodec.read_info, data).result(timeout=120)
    assert [type(one).__name__ for one in found] == [
        "LimitExceeded",
        "Truncated",
        "NotADsnFile",
        "Image",
        "LimitExceeded",
        "Image",
    ]
    assert (found[0].asked, found[0].limit) == (108, 1)  # type: ignore[union-attr]
    assert (found[4].asked, found[4].limit) == (108, 107)  # type: ignore[union-attr]
    assert found[1].offset is None or found[1].offset > 0  # type: ignore[union-attr]
    np.testing.assert_array_equal(np.asarray(found[3]), np.asarray(dsncodec.decode(data, threads=1)))
    assert info == dsncodec.read_info(data)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_what_is_known_of_a_file_is_copied_whole(way: Callable[[Any], Any]) -> None:
    info = dsncodec.read_info(dsncodec.encode(picture("RGBA", 12, 9), effort=0, threads=1))
    assert way(info) == info
    row = batch.Row("a.png", "a.dsn", {"quality": 3})
    shard = batch.Shard("in", "out", {"quality": 3}, (batch.Task("a.png", "a.dsn", row),))
    assert way(shard) == shard


def dataclasses_of_the_package() -> dict[str, Any]:
    """One of each public dataclass, every field another than its default where it has a plain one."""
    data = dsncodec.encode(picture("RGBA", 12, 9), effort=0, threads=1)
    made = {
        "Comparison": dsncodec.compare(picture("RGBA", 12, 9), data),
        "Extracted": dsncodec.extract(data, format="png"),
        "ImageInfo": dsncodec.read_info(data),
        "Metadata": dsncodec.Metadata(b"icc", b"exif", b"xmp", (300.0, 150.0)),
        "Progress": dsncodec.Progress(0.5, 1e-3, 0.25, True),
    }
    for kind in (
        dsncodec.Best,
        dsncodec.CocoNet,
        dsncodec.DeepSampling,
        dsncodec.LatentGrid,
        dsncodec.Restored,
    ):
        made[kind.__name__] = kind()
    made["Restored, set"] = dsncodec.Restored(base="jpeg", base_quality=40, tune="psnr")
    made["DeepSampling, set"] = dsncodec.DeepSampling(scale=3, levels=64)
    return made


def test_every_public_dataclass_is_tried() -> None:
    public = {name for name in dsncodec.__all__ if dataclasses.is_dataclass(getattr(dsncodec, name))}
    assert public == {name.partition(",")[0] for name in dataclasses_of_the_package()}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_every_public_dataclass_is_copied_whole(way: Callable[[Any], Any]) -> None:
    for name, one in dataclasses_of_the_package().items():
        back = way(one)
        assert back == one and type(back) is type(one), name
        assert dataclasses.asdict(back) == dataclasses.asdict(one), name


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("method", ["dsn", "restored", "coconet"])
def test_rows_may_be_decoded_in_another_process(method: str, way: Callable[[Any], Any]) -> None:
    rows = dsncodec.decode_rows(file_of(method), threads=1)
    found, wanted = way(rows), rows
    assert (found.width, found.height, found.mode, found.metadata) == (12, 9, "RGB", {})
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_rows_of_latent_grids_stay_in_their_process() -> None:
    """As their page says; the way is to hand the file on."""
    rows = dsncodec.decode_rows(file_of("latentgrid"), threads=1)
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(rows)
    for one, other in zip(copy.copy(rows), rows, strict=True):
        np.testing.assert_array_equal(one, other)
