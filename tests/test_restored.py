"""The method restored: the encoder's choice of a base codec's quality and of a network's strength, and its settings.

What a network is worth is measured in the bench. Here a smoother that anybody can compute stands in for one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dsncodec
from dsncodec import carriers, container
from dsncodec.carriers import BASE_CODECS, decode_base, encode_base
from dsncodec.carriers.lossy import avif
from dsncodec.container import Header
from dsncodec.errors import (
    Corrupt,
    DsnError,
    MissingComponent,
    SettingError,
)
from dsncodec.methods.restored import codec as restored
from dsncodec.methods.restored.bitstream import NO_MODEL, Parameters
from dsncodec.methods.restored.half_size import doubled
from dsncodec.metrics import psnr_db
from dsncodec.networks.inference import Tile

from .conftest import MODES, noise, picture
from .restored import EVERY_BASE, Use, array, line_art, photo, ramp, row_of, sections_of, squared_error
from .test_doors import loaded_after

PICTURES: dict[str, Callable[[int, int], Image.Image]] = {
    "ramp": ramp,
    "synthetic": lambda columns, rows: picture("RGB", columns, rows),
    "noise": lambda columns, rows: Image.fromarray(np.stack([noise(rows, columns)] * 3, -1)),
    "flat": lambda columns, rows: Image.new("RGB", (columns, rows), (90, 120, 40)),
    "line art": line_art,
    "photo": photo,
}


def never_worse(image: Image.Image, **settings: Any) -> dsncodec.ImageInfo:
    data = dsncodec.encode(image, "restored", tune="psnr", threads=1, **settings)
    wanted, info = array(image), dsncodec.read_info(data)
    shown = array(dsncodec.decode(data, preview=True))
    base = squared_error(shown if info.scale == 1 else doubled(shown, wanted.shape), wanted)
    reached = squared_error(array(dsncodec.decode(data, threads=1)), wanted)
    assert reached <= base
    assert info.gain_db is not None and (info.gain_db > 0) == (info.model != "")
    if base:
        assert info.base_psnr_db == pytest.approx(10 * np.log10(255**2 / base), abs=0.126)
    return info


# --- the encoder's choice


@EVERY_BASE
@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("size", [(61, 43), (300, 270)], ids=str)
def test_never_worse_than_the_base_codec(base: str, kind: str, size: tuple[int, int], use: Use) -> None:
    use(row_of(base))
    for quality in (8, 45, 90):
        info = never_worse(PICTURES[kind](*size), base=base, quality=quality, effort=4)
        if kind == "ramp" and quality == 8 and base == "jpeg":
            assert info.strength and info.strength > 0.5  # there is something to win


@pytest.mark.weights
@EVERY_BASE
@pytest.mark.parametrize("kind", PICTURES)
def test_the_published_networks_are_never_worse_either(base: str, kind: str) -> None:
    for quality in (10, 50, 90):
        never_worse(PICTURES[kind](150, 110), base=base, quality=quality)
        never_worse(PICTURES[kind](150, 110).convert("L"), base=base, quality=quality, effort=2)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(120, 90), (330, 300)], ids=str)
def test_the_gain_is_the_one_that_is_reached(mode: str, size: tuple[int, int], use: Use) -> None:
    use(row_of("jpeg"))
    image = ramp(*size).convert(mode)
    data = dsncodec.encode(image, base="jpeg", quality=8)
    base, reached = (psnr_db(array(image), array(dsncodec.decode(data, preview=r))) for r in (True, False))
    info = dsncodec.read_info(data)
    assert info.gain_db is not None and info.gain_db > 0.3
    assert reached - base == pytest.approx(info.gain_db, abs=0.05)


def test_no_other_strength_is_better(use: Use) -> None:
    use(row_of("jpeg"))
    image = ramp(200, 180)
    data = dsncodec.encode(image, base="jpeg", quality=8)
    header, sections = sections_of(data)
    chosen = Parameters.unpack(sections["PARM"])

    def error(strength: int) -> float:
        parameters = replace(chosen, strength=strength).pack()
        coded = container.pack(header, [("PARM", parameters), ("BASE", sections["BASE"])])
        return squared_error(array(dsncodec.decode(coded)), array(image))

    assert error(chosen.strength) <= 1.005 * min(error(chosen.strength + step) for step in range(-24, 25, 4))


# --- a sample of the correction


def test_the_network_runs_once_over_a_picture_that_memory_holds(use: Use) -> None:
    run = use(row_of("jpeg"))
    image = ramp(700, 500)
    for effort in (0, 5, 6):
        run.clear()
        info = never_worse(image, base="jpeg", quality=8, effort=effort)
        assert len(run) == 6 + 6 and info.strength  # and once in the reader


def test_of_a_larger_picture_a_sample_is_enough_to_find_the_strength(
    use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = use(row_of("jpeg"))
    image = ramp(700, 500)
    exact = never_worse(image, base="jpeg", quality=8)
    monkeypatch.setattr(restored, "MOST_KEPT_PIXELS", 700 * 500 - 1)
    run.clear()
    sampled = never_worse(image, base="jpeg", quality=8)
    assert len(run) == 4 + 6 + 6  # the sample, what a reader gets, and a reader
    assert sampled.strength == pytest.approx(exact.strength, rel=0.15)
    assert sampled.gain_db == pytest.approx(exact.gain_db, abs=0.05)


def test_where_a_sample_misleads_the_whole_picture_has_the_say(
    use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most of it ramp, which wants the correction; a part that no sample has seen is noise, which does not."""
    use(row_of("jpeg"))
    pixels = array(ramp(700, 500)).copy()
    pixels[:, 350:] = np.stack([noise(500, 350)] * 3, -1)
    image = Image.fromarray(pixels)
    exact = never_worse(image, base="jpeg", quality=60)
    monkeypatch.setattr(restored, "MOST_KEPT_PIXELS", 0)
    sample = restored.Encoder._sample

    def of_the_left(encoder: restored.Encoder, restorer: restored.Restorer) -> list[Tile]:
        blocks = list(restorer.blocks(restored.SAMPLE_BLOCK))
        return [tile for tile in blocks if tile.inner[1].stop <= 350] or sample(encoder, restorer)

    monkeypatch.setattr(restored.Encoder, "_sample", of_the_left)
    assert never_worse(image, base="jpeg", quality=60).strength == exact.strength


def test_the_largest_payload_that_fits() -> None:
    """In fewer tries than by halves, where sizes rise evenly."""

    class Sizes(restored.Encoder):
        def __init__(self, sizes: list[int]) -> None:
            self.sizes, self.asked = sizes, set[int]()

        def _size(self, layer: restored.BaseLayer, quality: int) -> int:
            self.asked.add(quality)
            return self.sizes[quality]

    layer, rng = restored.BaseLayer("avif", 2), np.random.default_rng(0)
    tries = []
    for _ in range(300):
        count = int(rng.integers(1, 40))
        steps = rng.uniform(0.0, rng.choice([0.02, 0.15, 0.6]), count)
        coder = Sizes([int(size) for size in 500 * np.exp(steps.cumsum())])
        limit = int(rng.integers(400, 6000))
        found = coder._largest_within(layer, range(count), limit)
        fitting = [size for size in coder.sizes if size <= limit]
        tries.append(len(coder.asked))
        if not fitting:
            assert found is None
            continue
        assert found is not None
        assert fitting[-1] / restored.NEAR_ENOUGH <= coder.sizes[found] <= limit
    assert np.mean(tries) < 4.5


@pytest.mark.weights
def test_ranks_of_the_sample_cover_the_picture(use: Use) -> None:
    use(row_of("avif"))
    rng = np.random.default_rng(0)
    pixels = np.clip(128 + rng.normal(0, 1, (480, 960, 3)) * np.linspace(0, 60, 960)[:, None], 0, 255).astype(
        np.uint8
    )
    encoder = restored.Encoder(Header("restored", "RGB", 960, 480), pixels, 1, 5)
    flat = np.full_like(pixels, 128)
    restorer = restored.Restorer(row_of("avif"), flat, Parameters(50, 20.0, 0, 0.0, NO_MODEL), 1)
    columns = sorted(tile.inner[1].start for tile in encoder._sample(restorer))
    assert len(columns) == restored.SAMPLE_RANKS
    assert columns[0] < 240 and columns[-1] > 720


@EVERY_BASE
def test_nothing_is_run_where_there_is_nothing_to_win(base: str, use: Use) -> None:
    run = use(row_of(base))
    data = dsncodec.encode(PICTURES["noise"](40, 30), base=base, quality=90)
    assert run
    run.clear()
    info = dsncodec.read_info(data)
    assert (info.strength, info.gain_db, info.model, info.model_id) == (0, 0, "", "")
    assert len(sections_of(data)[1]["PARM"]) == 5
    assert dsncodec.decode(data).tobytes() == dsncodec.decode(data, preview=True).tobytes()
    assert not run


@EVERY_BASE
@pytest.mark.parametrize("mode", MODES)
def test_a_picture_without_a_network_loads_no_runtime(base: str, mode: str, use: Use, tmp_path: Path) -> None:
    use()
    path = tmp_path / "a.dsn"
    path.write_bytes(dsncodec.encode(picture(mode, 20, 15), "restored", tune="psnr", base=base, effort=0))
    assert dsncodec.read_info(path).strength == 0
    code = "import sys, dsncodec; dsncodec.decode(sys.argv[1], region=(3, 2, 17, 9))"
    assert not loaded_after(code, str(path)) & {"onnxruntime", "torch"}


def test_effort_chooses_the_network(use: Use) -> None:
    run = use(row_of("jpeg", "fast", "fast one"), row_of("jpeg", "best", "best one"))
    for tune, effort in itertools.product(("visual", "psnr"), range(10)):
        dsncodec.encode(ramp(40, 30), base="jpeg", quality=8, effort=effort, tune=tune)
        best = effort >= restored.BEST_FROM_EFFORT[tune]
        assert set(run) == {"best one.onnx" if best else "fast one.onnx"}
        run.clear()
    run = use(row_of("jpeg", "best", "best one"))
    dsncodec.encode(ramp(40, 30), base="jpeg", quality=8, effort=0)
    assert set(run) == {"best one.onnx"}
    run = use(replace(row_of("jpeg"), default=False), row_of("avif"))
    assert dsncodec.read_info(dsncodec.encode(ramp(40, 30), base="jpeg", quality=8)).strength == 0
    assert not run


@pytest.mark.parametrize("effort", [0, 4, 9])
def test_every_tile_counts(effort: int, use: Use) -> None:
    """Smooth in the first and the last tile, and what smoothing ruins in between."""
    use(row_of("jpeg"))
    mixed = array(ramp(256 * 5, 40)).copy()
    mixed[:, 256:1024] = noise(40, 768)[..., None]
    info = never_worse(Image.fromarray(mixed), base="jpeg", quality=60, effort=effort)
    assert info.strength is not None and info.strength < 0.2


def test_effort_buys_bytes() -> None:
    """The same quality in fewer bytes: libavif's slower speeds."""
    for speeds in avif.SPEEDS.values():
        assert list(speeds) == sorted(speeds, reverse=True) and len(speeds) == 10
    colour = array(photo(256, 200))
    fast, slow = (encode_base(colour, 60, "avif", effort, 1) for effort in (0, 5))
    fast_db, slow_db = (psnr_db(colour, decode_base(coded, colour.shape)) for coded in (fast, slow))
    assert len(slow) < 0.98 * len(fast) and slow_db > fast_db - 0.1


@EVERY_BASE
def test_targets_count_the_restored_picture(base: str, use: Use) -> None:
    use(row_of(base))
    image = photo(120, 90) if base == "jxl" else ramp(120, 90)  # whose PSNR by libjxl does not always rise

    def reached(data: bytes, reduce: bool = False) -> float:
        return psnr_db(array(image), array(dsncodec.decode(data, preview=reduce)))

    def coded(**target: Any) -> bytes:
        return dsncodec.encode(image, base=base, tune="psnr", effort=4, **target)

    target_db = reached(coded(quality=30))
    found = coded(target_psnr_db=target_db)
    assert reached(found) >= target_db
    quality = dsncodec.read_info(found).base_quality
    assert quality is not None and quality <= BASE_CODECS[base].own_quality(30)
    assert quality == 0 or reached(coded(base_quality=quality - 1)) < target_db
    smallest = len(coded(quality=0))
    for target_bytes in (smallest, smallest + 200, 10**6):
        data = coded(target_bytes=target_bytes)
        assert len(data) <= target_bytes
    assert dsncodec.read_info(data).base_quality == 100
    assert dsncodec.read_info(coded(target_bpp=1.5)).bpp <= 1.5


# --- settings


@pytest.mark.parametrize("setting", [{"levels": 64}, {"chroma_levels": 16}])
def test_settings_of_the_other_method_are_refused(setting: dict[str, int]) -> None:
    with pytest.raises(SettingError, match="levels: of method dsn, not restored"):
        dsncodec.encode(picture("L", 5, 5), "restored", tune="psnr", **setting)


def test_unknown_backends_are_told_what_there_is() -> None:
    with pytest.raises(SettingError, match=r"one of auto, avif, jpeg, jxl, j2k$"):
        dsncodec.encode(picture("L", 5, 5), "restored", tune="psnr", base="webp")
    with pytest.raises(SettingError, match=r"entropy_coder 'zip'; one of auto, lzma2, .*webp"):
        dsncodec.encode(picture("L", 5, 5), entropy_coder="zip")


def test_effort_holds_for_the_base_codec_and_alpha(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    for name, at in (("encode", 3), ("encode_base", 3)):
        original = getattr(carriers, name)
        monkeypatch.setattr(carriers, name, lambda *a, f=original, at=at: (asked.append(a[at]), f(*a))[1])
    dsncodec.encode(picture("RGBA", 12, 9), "restored", tune="psnr", effort=2)
    assert asked == [2, 2]


def test_without_avif_in_pillow_a_jpeg_is_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    load = carriers.load_base

    def absent(name: str) -> object:
        if name == "avif":
            raise MissingComponent("Pillow is built without libavif")
        return load(name)

    monkeypatch.setattr(carriers, "load_base", absent)
    assert dsncodec.read_info(dsncodec.encode(picture("RGB", 20, 10))).backends["BASE"] == "jpeg"
    with pytest.raises(MissingComponent, match="libavif"):
        dsncodec.encode(picture("RGB", 20, 10), base="avif")


def test_an_avif_that_could_not_be_read_back_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(payload: bytes) -> tuple[int, int]:
        raise Corrupt("boxes of another age")

    monkeypatch.setattr("dsncodec.carriers.lossy.avif.size_of", refuse)
    with pytest.raises(DsnError, match=r"boxes of another age\): use base='jpeg'"):
        dsncodec.encode(picture("RGB", 20, 10))
