"""Work and memory that no byte pays for: refused before a decoder is asked, or ended between two of its steps.

Nothing here looks at a clock but through ``max_seconds``, which is given as no time at all.
"""

from __future__ import annotations

import contextvars
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageDraw

import dsncodec
from dsncodec import budget, carriers, container, kernels
from dsncodec.carriers import jxl_patches, jxl_trees
from dsncodec.carriers.lossless import jxl
from dsncodec.carriers.lossy import j2k
from dsncodec.carriers.lossy import jxl as lossy_jxl
from dsncodec.container import Header
from dsncodec.entropy import adaptive_coder
from dsncodec.errors import Corrupt, DsnError, LimitExceeded, SettingError
from dsncodec.methods.coconet import bitstream as coconet
from dsncodec.methods.dsn.bitstream import Parameters, Point
from dsncodec.methods.latentgrid import bitstream as latentgrid
from dsncodec.methods.restored.bitstream import Parameters as RestoredParameters

from .conftest import UInt8Array
from .fuzz import campaigns
from .fuzz.jxl_writer import SQUEEZE, Work, codestream, with_reference
from .restored import sections_of

HERE = Path(__file__).parent
HOSTILE = sorted((HERE / "hostile").glob("*.dsn"))
# What libraries are asked to do
DECODERS = (
    "jpegxl_decode",
    "jpeg2k_decode",
    "jpegls_decode",
    "webp_decode",
    "avif_decode",
    "jpegxl_decode_jpeg",
)


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*args: Any, **kwargs: Any) -> None:
        pytest.fail("a library was asked")

    for name in DECODERS:
        monkeypatch.setattr(imagecodecs, name, asked)


# --- files of strangers


@pytest.mark.parametrize(
    "path", [p for p in HOSTILE if not p.stem.startswith(("lg-", "coconet-den"))], ids=lambda p: p.stem
)
def test_hostile_files_are_refused_before_a_library_is_asked(path: Path, no_library: None) -> None:
    for preview in (False, True):
        with pytest.raises(DsnError):
            dsncodec.decode(path, preview=preview, threads=1)


@pytest.mark.parametrize("path", HOSTILE, ids=lambda p: p.stem)
def test_what_shows_nothing_decodes_nothing(path: Path, no_library: None) -> None:
    dsncodec.read_info(path)
    dsncodec.verify(path)


# --- patches of JPEG XL


def dsn_file(payload: bytes, rows: int, columns: int) -> bytes:
    """Method dsn at scale 1, with a layer by JPEG XL."""
    header = Header("dsn", "L", columns, rows)
    parameters = Parameters(Point(1, 256, 256), bytes(8)).pack()
    wire = bytes([carriers.BACKENDS["jxl"].wire_id])
    return container.pack(header, [("PARM", parameters), ("LUMA", wire + payload)])


@pytest.mark.parametrize(
    "shown", [(1, 32768, 128, 128), (40, 1, 128, 128), (4, 10, 128, 128), (2000, 1000, 2, 2)]
)
def test_patches_without_end_are_refused(shown: tuple[int, int, int, int], no_library: None) -> None:
    payload = codestream(128, 128, reference=(128, 128), shown=shown)
    assert len(payload) < 60
    with pytest.raises(Corrupt, match="patches of more pixels"):
        dsncodec.decode(dsn_file(payload, 128, 128), preview=True)


@pytest.mark.parametrize("shown", [None, (1, 1, 128, 128), (3, 2, 100, 100), (5, 9, 8, 8)])
def test_a_few_patches_are_shown(shown: tuple[int, int, int, int] | None) -> None:
    payload = codestream(128, 128, reference=(128, 128), shown=shown)
    assert np.asarray(dsncodec.decode(dsn_file(payload, 128, 128), preview=True)).shape == (128, 128)


def test_patches_of_no_frame_are_refused(no_library: None) -> None:
    with pytest.raises(Corrupt):
        jxl.check_frames(codestream(128, 128, shown=(1, 1, 8, 8)))


def text(rows: int, columns: int) -> UInt8Array:
    """The same letters over and over, which libjxl makes patches of."""
    image = Image.new("L", (columns, rows), 255)
    for y in range(2, rows - 12, 13):
        ImageDraw.Draw(image).text((2, y), "patches " * (columns // 48), fill=0)
    return np.asarray(image)


@pytest.mark.parametrize("effort", [5, 7, 9])
@pytest.mark.parametrize("distance", [None, 1.0, 8.0])
def test_patches_of_an_encoder_are_read_to_their_end(
    effort: int, distance: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All its kinds of codes; those that end a range coder elsewhere than it began are refused."""
    picture = text(150, 300)
    seen = []
    check = jxl_patches.check
    monkeypatch.setattr(jxl_patches, "check", lambda *args: seen.append(check(*args)))
    if distance is None:
        coded = imagecodecs.jpegxl_encode(
            picture, lossless=True, effort=effort, usecontainer=False, numthreads=1
        )
        jxl.check_frames(bytes(coded))
        np.testing.assert_array_equal(jxl.decode(bytes(coded), picture.shape, 256), picture)
    else:
        colour = np.repeat(picture[..., None], 3, 2)
        coded = imagecodecs.jpegxl_encode(
            colour, distance=distance, effort=effort, usecontainer=False, numthreads=1
        )
        assert lossy_jxl.shape_of(bytes(coded)) == colour.shape
    assert seen or effort < 7, "libjxl made no patches of this picture"
    if seen:
        monkeypatch.setattr(jxl_patches, "MAX_AREA", 0)
        monkeypatch.setattr(jxl_patches, "MIN_ROOM", 0)
        with pytest.raises(Corrupt, match="patches of more pixels"):
            (jxl.check_frames if distance is None else lossy_jxl.shape_of)(bytes(coded))


# --- trees of decisions, and transforms, of JPEG XL

TOO_MUCH = {
    "a deep tree": (Work(depth=jxl_trees.MAX_DEPTH + 1), "below each other"),
    "one of a group": (Work(depth=jxl_trees.MAX_DEPTH + 1, own=True), "below each other"),
    "rotations": (Work(transforms=((0, 6),) * (jxl_trees.MAX_TRANSFORMS + 1)), "transforms"),
    "rotations of groups": (Work(of_groups=((0, 6),) * (jxl_trees.MAX_TRANSFORMS + 1)), "transforms"),
    "a palette": (Work(transforms=((0, 1, 70911, 66816),)), "palettes"),
    "palettes of groups": (Work(of_groups=((0, 1, 60000, 0),)), "palettes"),
    "squeezed": (Work(transforms=(SQUEEZE,)), "transform"),
    "squeezed groups": (Work(of_groups=(SQUEEZE,)), "transform"),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_work_for_every_sample_is_refused(name: str, no_library: None) -> None:
    """In a layer, in a picture without loss, and in a frame for reference before a lossy picture."""
    work, said = TOO_MUCH[name]
    with pytest.raises(Corrupt, match=said):
        jxl.check_frames(codestream(300, 300, work=work))
    with pytest.raises(Corrupt, match=said):
        jxl.check_frames(codestream(60, 300, work=work, channels=4), 4)
    lossy = bytes(
        imagecodecs.jpegxl_encode(
            np.full((60, 300, 3), 90, np.uint8), distance=1.0, effort=3, usecontainer=False
        )
    )
    head = jxl.Bits(lossy)
    jxl.read_size(head)
    head.at += 2
    head.align()
    with pytest.raises(Corrupt, match=said):
        lossy_jxl.shape_of(with_reference(lossy, head.at // 8, 60, 300, work))


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("rows", [60, 300])
def test_the_most_work_that_is_allowed_is_done(rows: int, own: bool) -> None:
    """The depth and the number of transforms that are allowed, of one group or of several."""
    most: Any = ((0, 6),) * jxl_trees.MAX_TRANSFORMS
    work = Work(jxl_trees.MAX_DEPTH, own=own, transforms=most, of_groups=most)
    payload = codestream(rows, rows, work=work, channels=4)
    assert jxl.decode_picture(payload, (rows, rows, 4)).shape == (rows, rows, 4)


def test_trees_of_more_decisions_than_a_picture_needs_are_refused(
    monkeypatch: pytest.MonkeyPatch, no_library: None
) -> None:
    """The decisions of all groups count together."""
    payload = codestream(1000, 1000, work=Work(40, own=True))
    jxl.check_frames(payload)
    monkeypatch.setattr(jxl_trees, "SAMPLES_A_NODE", 10**6)
    with pytest.raises(Corrupt, match="more decisions"):
        jxl.check_frames(payload)


def drawn(kind: str, rows: int, columns: int) -> UInt8Array:
    """Pictures that libjxl codes by other means each."""
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (rows, columns, 3), np.uint8)
    ramp = (np.add.outer(np.arange(rows), np.arange(columns)) // 3 % 256).astype(np.uint8)
    if kind == "noise":
        return noise
    if kind == "grey":
        return ramp + noise[..., 0] // 32
    if kind == "levels":
        return ramp // 43
    if kind == "alpha":
        return np.dstack([noise // 16 + ramp[..., None], ramp // 64 * 64])
    if kind == "palette":
        return np.asarray(
            Image.fromarray(np.dstack([ramp, ramp[::-1], noise[..., 0] // 64])).quantize(60).convert("RGB")
        )
    return np.repeat(text(rows, columns)[..., None], 3, 2)


@pytest.mark.parametrize("effort", [1, 2, 3, 5, 7, 9])
@pytest.mark.parametrize("kind", ["noise", "grey", "levels", "alpha", "palette", "text"])
def test_trees_of_an_encoder_are_read(kind: str, effort: int) -> None:
    picture = drawn(kind, 40 if effort > 7 else 260, 70)
    channels = picture.shape[2] if picture.ndim == 3 else 1
    coded = bytes(
        imagecodecs.jpegxl_encode(picture, lossless=True, effort=effort, usecontainer=False, numthreads=1)
    )
    read = jxl.decode_picture(coded, (*picture.shape[:2], channels))
    np.testing.assert_array_equal(read.reshape(picture.shape), picture)
    if kind in ("palette", "text"):
        coded = bytes(imagecodecs.jpegxl_encode(picture, distance=1.0, effort=effort, usecontainer=False))
        assert lossy_jxl.shape_of(coded) == picture.shape


@pytest.mark.parametrize("kind", ["grey", "alpha", "text"])
@pytest.mark.parametrize("effort", [2, 5])
def test_parts_in_another_order_are_read(kind: str, effort: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above 2048 pixels libjxl writes groups as it goes, each with a tree of its own."""
    seen = []
    order = jxl._order
    monkeypatch.setattr(jxl, "_order", lambda *args: (seen.append(1), order(*args))[1])
    picture = drawn(kind, 40, 2100)
    channels = picture.shape[2] if picture.ndim == 3 else 1
    coded = bytes(imagecodecs.jpegxl_encode(picture, lossless=True, effort=effort, usecontainer=False))
    read = jxl.decode_picture(coded, (*picture.shape[:2], channels))
    np.testing.assert_array_equal(read.reshape(picture.shape), picture)
    assert seen


# --- fitted networks


def test_integers_far_behind_the_bytes_are_refused() -> None:
    """Zeros that no byte says are the dearest integers: thirty bits each."""
    with pytest.raises(Corrupt, match="behind the last byte"):
        adaptive_coder.decode(b"", [2**20])
    few = np.full(100, -(2**15) + 1, np.int32)
    assert adaptive_coder.encode([few]) == b""
    np.testing.assert_array_equal(adaptive_coder.decode(b"", [100])[0], few)
    with pytest.raises(SettingError):
        adaptive_coder.encode([np.full(2**13, -(2**15) + 1, np.int32)])


def network(weights: list[UInt8Array], variant: str = "sine") -> coconet.Network:
    layers, width = len(weights) - 1, weights[0].shape[0]
    shape = coconet.Shape(variant, layers, width)
    found = [w.astype(np.float32) for w in weights]
    return coconet.Network(shape, found, [np.zeros(len(w), np.float32) for w in found], (64, 64))


def test_activations_are_zero_or_normal_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products with numbers below 1e-38 take a hundred times as long."""
    small = 2.0**-24
    net = network([np.full((8, 2), small), *[np.full((8, 8), small)] * 6, np.full((3, 8), small)])
    x = np.linspace(0, 1, 99, dtype=np.float32)
    seen: list[UInt8Array] = []
    sine = np.sin

    def noted(h: Any, out: Any) -> None:
        seen.append(np.abs(h))
        sine(h, out=out)

    monkeypatch.setattr(coconet.np, "sin", noted)
    net.colours(x, x)
    assert len(seen) == 7
    for before in seen:
        assert not ((before > 0) & (before < np.finfo(np.float32).tiny)).any()


def test_a_sine_is_asked_for_no_huge_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network([np.full((8, 2), 1e10), np.full((8, 8), 1e10), np.full((3, 8), 1.0)])
    x = np.linspace(0, 1, 99, dtype=np.float32)
    seen: list[float] = []
    sine = np.sin

    def noted(h: Any, out: Any) -> None:
        seen.append(float(np.abs(h).max()))
        sine(h, out=out)

    monkeypatch.setattr(coconet.np, "sin", noted)
    assert np.isfinite(net.colours(x, x)).all()
    assert 0 < max(seen) <= coconet.MOST_ARGUMENT


def test_work_counts_neurons_too() -> None:
    """Of narrow networks, functions are dearer than products."""
    shape = coconet.Shape("sine", 16, 1)
    assert shape.work(3) > 10 * shape.weights(3)
    pixels = coconet.MAX_WORK // shape.work(3)
    coconet.check_shape(shape, 3, pixels)
    with pytest.raises(SettingError):
        coconet.check_shape(shape, 3, pixels + 1)


@pytest.mark.parametrize("layers", [1, 4, 16])
def test_a_file_of_an_older_release_keeps_within_the_work(layers: int) -> None:
    """They allowed 2^40 products of weights and pixels, and as many pixels as ``MAX_PIXELS`` by default."""
    for width in (1, 2, 4, 8, 16, 32, 64, 128, 250):
        for octaves in (0, 12):
            shape = coconet.Shape("sine", layers, width, octaves)
            if shape.weights(3) <= coconet.MAX_WEIGHTS:
                pixels = min(2**40 // shape.weights(3), container.MAX_PIXELS)
                assert shape.work(3) * pixels <= coconet.MAX_WORK, (layers, width, octaves)


# --- long and narrow pictures


@pytest.mark.parametrize("shape", [(4000, 1), (1, 70_000), (900, 3), (2, 5000), (400, 400)])
def test_tiles_are_as_large_whatever_the_shape(shape: tuple[int, int]) -> None:
    rows, columns = shape
    found = list(latentgrid._tiles(slice(0, rows), slice(0, columns)))
    covered = np.zeros(shape, int)
    for y, x in found:
        covered[y, x] += 1
    assert (covered == 1).all()
    assert len(found) <= 2 + 2 * rows * columns // (latentgrid.TILE[0] * latentgrid.TILE[1])


@pytest.mark.parametrize("size", [(3, 700), (700, 3)])
def test_a_region_of_a_narrow_picture_is_that_of_the_whole(size: tuple[int, int]) -> None:
    data = narrow(*size)
    whole = np.asarray(dsncodec.decode(data))
    x0, y0, x1, y1 = size[0] // 3, size[1] // 3, size[0], size[1] // 2 + 1
    part = np.asarray(dsncodec.decode(data, region=(x0, y0, x1, y1)))
    np.testing.assert_array_equal(part, whole[y0:y1, x0:x1])


def narrow(width: int, height: int) -> bytes:
    """A latentgrid file of any size, of symbols that cost nothing."""
    header, sections = sections_of(campaigns.small_file("latentgrid", "plain", "L"))
    lats = bytes(-(-height // latentgrid.BAND))
    return container.pack(
        Header(header.method, "L", width, height),
        [("PARM", sections["PARM"]), ("NETW", sections["NETW"]), ("LATS", lats)],
    )


def test_without_compiled_code_a_thread_of_a_picture_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSNCODEC_NUMBA", "0")
    monkeypatch.setattr(budget, "SLOW_STEPS", 1000)
    with pytest.raises(LimitExceeded, match="steps in Python"):
        dsncodec.decode(narrow(5000, 1))
    assert dsncodec.decode(narrow(40, 40)).size == (40, 40)
    assert dsncodec.decode(narrow(5000, 1), max_pixels=None).size == (5000, 1)


# --- seconds


SMALL = {
    "dsn": lambda: dsncodec.encode(Image.new("RGB", (60, 50), "red"), "dsn", scale=2, threads=1),
    "restored": lambda: dsncodec.encode(
        Image.new("RGB", (60, 50), "red"), "restored", base="jpeg", threads=1
    ),
    "coconet": lambda: campaigns.small_file("coconet", "sine", "RGB"),
    "latentgrid": lambda: campaigns.small_file("latentgrid", "plain", "RGB"),
}


@pytest.mark.parametrize("method", SMALL)
@pytest.mark.parametrize(
    "settings", [{}, {"preview": True}, {"region": (0, 0, 2, 2)}, {"threads": 2}], ids=str
)
def test_no_time_is_no_picture(method: str, settings: dict[str, Any]) -> None:
    data = SMALL[method]()
    with pytest.raises(LimitExceeded, match="max_seconds") as caught:
        dsncodec.decode(data, max_seconds=1e-9, **settings)
    assert caught.value.limit == 1e-9 < caught.value.asked
    assert dsncodec.decode(data, max_seconds=1e6, **settings).size == dsncodec.decode(data, **settings).size


def test_what_is_done_with_the_rows_takes_none_of_the_decoder_s_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(budget.time, "monotonic", lambda: now[0])
    rows = iter(dsncodec.decode_rows(SMALL["dsn"](), max_seconds=5))
    next(rows)
    now[0] += 1000
    assert next(rows, None) is None


def test_an_allowance_ends_with_its_block() -> None:
    with budget.spending(budget.Allowance(max_seconds=1e-9)), pytest.raises(LimitExceeded):
        budget.tick()
    budget.tick()
    contextvars.copy_context().run(budget.tick)


@pytest.mark.parametrize("wrong", [0, -1, "5", float("nan"), float("inf")])
def test_an_impossible_time_is_named(wrong: Any) -> None:
    with pytest.raises(SettingError, match="max_seconds"):
        dsncodec.decode(b"", max_seconds=wrong)


# --- memory


def test_memory_is_asked_for_before_it_is_taken(no_library: None) -> None:
    side = 13_377
    parameters = RestoredParameters(50, 40.0, 0, 0.0, b"").pack()
    payload = bytes([carriers.BASE_CODECS["j2k"].short_id or 0]) + bytes(18)
    data = container.pack(Header("restored", "RGB", side, side), [("PARM", parameters), ("BASE", payload)])
    with pytest.raises(LimitExceeded, match="JPEG 2000 needs") as caught:
        dsncodec.decode(data)
    assert caught.value.asked == j2k.BYTES_A_PIXEL[3] * side * side
    assert caught.value.limit == budget.BYTES_A_PIXEL * container.MAX_PIXELS


def test_more_pixels_allow_more_memory() -> None:
    data = dsncodec.encode(Image.new("RGB", (60, 50), "red"), base="j2k", quality=50, threads=1)
    with pytest.raises(LimitExceeded, match="JPEG 2000 needs"):
        dsncodec.decode(data, max_pixels=3000)
    for allowed in (3500, None):
        assert dsncodec.decode(data, max_pixels=allowed).size == (60, 50)


def test_pillow_s_limit_is_one_of_memory_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dsncodec.register_pillow()
    path = tmp_path / "a.dsn"
    path.write_bytes(dsncodec.encode(Image.new("RGB", (60, 50), "red"), base="j2k", quality=50, threads=1))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3001)
    with Image.open(path) as image:
        image.load()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1501)
    with (
        pytest.warns(Image.DecompressionBombWarning),
        Image.open(path) as image,
        pytest.raises(OSError, match="JPEG 2000 needs"),
    ):
        image.load()


def test_jpeg_has_the_components_of_its_mode() -> None:
    import io

    for mode, shape in (("CMYK", (5, 6, 3)), ("RGB", (5, 6, 1)), ("L", (5, 6, 3))):
        buffer = io.BytesIO()
        Image.new(mode, (6, 5)).save(buffer, "JPEG")
        with pytest.raises(Corrupt, match="components"):
            carriers.load_base("jpeg").decode(buffer.getvalue(), shape)


# --- compiled code


def test_kernels_that_cannot_be_loaded_are_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ImportError("numba needs another NumPy")

    monkeypatch.setattr(kernels.importlib, "import_module", broken)
    monkeypatch.delenv("DSNCODEC_NUMBA", raising=False)
    monkeypatch.setattr(kernels, "_broken", set())
    with pytest.warns(RuntimeWarning, match="numba needs another NumPy"):
        assert kernels.load(kernels.READING) is None
    # told once
    assert kernels.load(kernels.READING) is None


CACHE = """
import sys, warnings
import numpy as np
from dsncodec.kernels.compile import compiled
@compiled
def doubled(x):
    return 2 * x
assert doubled(4) == 8 and doubled(np.ones(2)).tolist() == [2, 2]
@compiled
def more(x):
    return doubled(x) + 1
assert more(4) == 9
"""


def run_with_cache(folder: Path, script: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": str(HERE.parent)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["half", "empty", "junk", "a folder", "full"])
def test_a_damaged_cache_of_compiled_code_is_done_without(damage: str, tmp_path: Path) -> None:
    """Whatever lies there, or cannot be put there: the code is compiled again."""
    pytest.importorskip("numba")
    script, cache = tmp_path / "script.py", tmp_path / "cache"
    script.write_text(CACHE)
    if damage == "full":
        # no file of any length fits
        script.write_text(
            "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
            "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n" + CACHE
        )
        run_with_cache(cache, script)
        return
    run_with_cache(cache, script)
    files = [path for path in cache.rglob("*") if path.suffix in (".nbi", ".nbc")]
    assert files
    for path in files:
        data = path.read_bytes()
        path.unlink()
        if damage == "a folder":
            path.mkdir()
        else:
            path.write_bytes({"half": data[: len(data) // 2], "empty": b"", "junk": b"junk" * 99}[damage])
    run_with_cache(cache, script)
