"""Base codecs' files written bit by bit from their standards (``fuzz/*_writer.py``): every feature is decoded, or refused before a
library is asked. What the dearest of them cost, ``python -m tests.fuzz dear`` measures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import ImageFile

from dsncodec.carriers.lossless import j2k as lossless_j2k
from dsncodec.carriers.lossy import avif as avif_base
from dsncodec.carriers.lossy import j2k as j2k_base
from dsncodec.carriers.lossy import jpeg as jpeg_base
from dsncodec.carriers.lossy import jxl as jxl_base
from dsncodec.errors import Corrupt

from .fuzz import avif_writer as avif
from .fuzz import entry_points
from .fuzz import j2k_writer as j2k
from .fuzz import jpeg_writer as jpeg
from .fuzz import jxl_writer as jxl
from .fuzz.written import KINDS, written

SIDE = 130
BYTES = np.random.default_rng(0).integers(0, 256, 800, np.uint8).tobytes()


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*args: Any, **kwargs: Any) -> None:
        pytest.fail("a library was asked")

    for name in ("jpeg2k_decode", "jpegxl_decode", "avif_decode"):
        monkeypatch.setattr(imagecodecs, name, asked)
    monkeypatch.setattr(ImageFile.ImageFile, "load", asked)
    monkeypatch.setattr("PIL.AvifImagePlugin.AvifImageFile.load", asked)


def decoded(module: ModuleType, payload: bytes, channels: int, side: int = SIDE) -> None:
    found = module.decode(payload, (side, side, channels))
    assert found.shape == (side, side, channels)


# --- AVIF

TILES = avif.Work(BYTES + bytes(2000), tiles=6)
TOOLS = {
    "palettes": replace(TILES, screen=True),
    "copies of blocks": replace(TILES, copies=True),
    "super-resolution": replace(TILES, superres=8),
    "large blocks": replace(TILES, large=True),
    "grain": replace(TILES, grain=True),
    "matrices": replace(TILES, matrices=True),
    "segments": replace(TILES, segments=True),
    "quantisers of blocks": replace(TILES, levels=True),
    "no filters": replace(TILES, filters=False),
    "Wiener's filter": replace(TILES, restored=2),
    "self-guided": replace(TILES, restored=3),
    "ten bits": replace(TILES, deep=True),
    "parts without meaning": replace(
        TILES, before=[(avif.PADDING, b""), (avif.METADATA, b"\1\0\0\0\0\x80")] * 9
    ),
    "zeros": replace(TILES, content=bytes(60)),
}


@pytest.mark.parametrize("name", TOOLS)
def test_tools_of_avif_are_decoded(name: str) -> None:
    decoded(avif_base, avif.avif(SIDE, SIDE, True, TOOLS[name]), 3)
    if not TOOLS[name].deep:
        decoded(avif_base, avif.avif(SIDE, SIDE, False, TOOLS[name]), 1)


PROPERTIES = {
    "turned": avif.box(b"irot", b"\1"),
    "mirrored": avif.box(b"imir", b"\1"),
    "cropped": avif.box(b"clap", np.array([8, 1, 8, 1, 0, 1, 0, 1], ">u4").tobytes()),
    "an operating point": avif.box(b"a1op", b"\0"),
    "a layer": avif.box(b"lsel", b"\0\0"),
    "an aspect": avif.box(b"pasp", b"\0\0\0\1\0\0\0\1"),
    "a profile": avif.box(b"colr", b"prof" + bytes(300)),
}


@pytest.mark.parametrize("name", PROPERTIES)
def test_properties_of_avif_change_no_pixel(name: str) -> None:
    """A picture is what is coded: what a viewer would do with it is metadata."""
    plain = avif_base.decode(avif.avif(SIDE, SIDE, True, TILES), (SIDE, SIDE, 3))
    boxes = avif.Boxes([PROPERTIES[name]] * (20 if name == "an aspect" else 1))
    file = avif.avif(SIDE, SIDE, True, TILES, boxes)
    np.testing.assert_array_equal(avif_base.decode(file, (SIDE, SIDE, 3)), plain)


BOXES = {
    "another size": avif.Boxes(size=(SIDE, 2 * SIDE)),
    "properties of other items": avif.Boxes(owners=60_000),
    "references": avif.Boxes(meta=avif.box(b"iref", bytes(4) + avif.box(b"dimg", b"\0\1\0\1\0\2"))),
    "data in the box of items": avif.Boxes(meta=avif.box(b"idat", bytes(9))),
    "groups": avif.Boxes(meta=avif.box(b"grpl", b"")),
    "boxes twice": avif.Boxes(meta=avif.box(b"pitm", b"\0\0\0\0\0\1")),
    "a film": avif.Boxes(before=avif.box(b"moov", b"")),
}


@pytest.mark.parametrize("name", BOXES)
def test_boxes_of_avif_are_refused(name: str, no_library: None) -> None:
    """libavif looks for each item among all: 120 KB of references took it 8 s."""
    with pytest.raises(Corrupt):
        avif_base.decode(avif.avif(SIDE, SIDE, True, TILES, BOXES[name]), (SIDE, SIDE, 3))


@pytest.mark.parametrize("before", [(avif.FRAME, b""), (3, b""), (avif.SEQUENCE, bytes(9))])
def test_further_frames_of_avif_are_refused(before: tuple[int, bytes], no_library: None) -> None:
    with pytest.raises(Corrupt):
        avif_base.decode(avif.avif(SIDE, SIDE, True, replace(TILES, before=[before])), (SIDE, SIDE, 3))


# --- JPEG 2000


@pytest.mark.parametrize("levels", [0, 1, 5])
@pytest.mark.parametrize("content", [b"", b"\xc0", BYTES[:100]])
def test_passes_of_jpeg_2000_are_decoded(levels: int, content: bytes) -> None:
    work = j2k.Work(content=content, levels=levels)
    layer = lossless_j2k.decode(j2k.codestream(SIDE, SIDE, 1, work), (SIDE, SIDE), 256)
    assert layer.shape == (SIDE, SIDE)
    for components in (1, 3):
        decoded(j2k_base, j2k.codestream(SIDE, SIDE, components, replace(work, lossy=True)), components)


STYLES: dict[str, dict[str, Any]] = {
    "order": {"order": 2},
    "layers": {"layers": 2},
    "small blocks": {"block": 0},
    "style": {"style": 1},
    "precincts": {"precincts": b"\x11"},
    "markers": {"markers": 6},
    "tiles": {"tile": 16},
    "parts": {"parts": 3},
    "a region": {"segments": (j2k.segment(0x5E, b"\0\0\7"),)},
    "changes of order": {"segments": (j2k.segment(0x5F, b"\0\0\0\1\1\1\0"),)},
    "packets' headers": {"segments": (j2k.segment(0x60, b"\0"),)},
    "styles of a component": {"segments": (j2k.segment(0x53, b"\0\0\0\4\4\0\1"),)},
    "steps of a component": {"segments": (j2k.segment(0x5D, b"\0\0\x40"),)},
    "lengths": {"segments": (j2k.segment(0x57, b"\0"),)},
    "a region of a tile": {"of_tile": (j2k.segment(0x5E, b"\0\0\7"),)},
    "packets' headers of a tile": {"of_tile": (j2k.segment(0x61, b"\0"),)},
    "other styles of a tile": {"of_tile": (j2k.segment(0x52, b"\0\0\0\1\0\0\4\4\0\1"),)},
}


@pytest.mark.parametrize("name", STYLES)
def test_styles_of_jpeg_2000_are_refused(name: str, no_library: None) -> None:
    work = j2k.Work(**STYLES[name])
    with pytest.raises(Corrupt):
        lossless_j2k.decode(j2k.codestream(SIDE, SIDE, 1, work), (SIDE, SIDE), 256)
    for components in (1, 3):
        with pytest.raises(Corrupt):
            decoded(j2k_base, j2k.codestream(SIDE, SIDE, components, replace(work, lossy=True)), components)


def test_many_components_of_jpeg_2000_are_refused(no_library: None) -> None:
    with pytest.raises(Corrupt):
        decoded(j2k_base, j2k.codestream(SIDE, SIDE, 200, j2k.Work(lossy=True)), 3)


# --- JPEG

ALL = ((1, 1),) * 3
WAYS = {
    "scans": jpeg.Work(),
    "scans of colours": jpeg.Work(ALL),
    "halved": jpeg.Work(((2, 2), (1, 1), (1, 1))),
    "quartered": jpeg.Work(((4, 2), (1, 1), (1, 1))),
    "thirds": jpeg.Work(((3, 1), (1, 1), (1, 1))),
    "luma halved": jpeg.Work(((1, 1), (2, 2), (2, 2))),
    "restarts": jpeg.Work(ALL, restarts=1),
    "tables": jpeg.Work(ALL, tables=20),
    "segments": jpeg.Work(segments=200, segment_bytes=60_000),
    "fill": jpeg.Work(segments=20, fill=1000),
    "lines": jpeg.Work(ALL, lines=True),
    "sequential": jpeg.Work(ALL, scans=1, frame=jpeg.BASELINE),
    "extended": jpeg.Work(ALL, scans=1, frame=0xC1),
}


@pytest.mark.parametrize("name", WAYS)
def test_ways_of_jpeg_are_decoded(name: str) -> None:
    decoded(jpeg_base, jpeg.jpeg(SIDE, SIDE, WAYS[name]), len(WAYS[name].sampled))


@pytest.mark.parametrize(
    "work",
    [
        *(jpeg.Work(ALL, scans=1, frame=frame) for frame in (0xC3, 0xC5, jpeg.ARITHMETIC, 0xCA, 0xCB)),
        jpeg.Work(ALL, scans=jpeg_base.MAX_SCANS + 1),
        jpeg.Work(ALL, bits=12),
        jpeg.Work(((1, 1),) * 4),
    ],
    ids=lambda work: f"{work.frame:x}, {work.scans}, {work.bits}, {len(work.sampled)}",
)
def test_other_ways_of_jpeg_are_refused(work: jpeg.Work, no_library: None) -> None:
    with pytest.raises(Corrupt):
        decoded(jpeg_base, jpeg.jpeg(SIDE, SIDE, work), 3)


def test_bytes_of_ones_are_read_once() -> None:
    """A run that no marker ends: as many steps as bytes, not their square, which took 2 s for 16 KB."""
    with pytest.raises(Corrupt):
        decoded(jpeg_base, b"\xff\xd8" + b"\xff" * 2**20 + b"\0", 1)


# --- JPEG XL


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(("depth", "tables"), [(0, False), (0, True), (40, True), (200, False)])
def test_trees_of_blocks_are_decoded(depth: int, tables: bool, own: bool) -> None:
    """Of lossy pictures they are not read: an eleventh of their pixels has a sample of such a tree."""
    work = jxl.Work(depth, value=1, own=own)
    decoded(jxl_base, jxl.blocks(SIDE, SIDE, work, tables), 3)
    decoded(jxl_base, jxl.blocks(300, 300, work, tables), 3, 300)


# --- features at random


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("part", range(5))
def test_features_at_random(part: int, tmp_path: Path) -> None:
    """A picture or an error of ours by every entry point; ``make fuzz`` goes on."""
    for seed in range(8 * part, 8 * (part + 1)):
        said = dict(entry_points.probe(written(seed)[1], entry_points.ALL, tmp_path))
        assert said["read_info"] == "done"


def test_every_codec_is_written() -> None:
    assert {written(seed)[0].partition(",")[0] for seed in range(40)} == set(KINDS)
