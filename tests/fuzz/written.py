"""Base codecs' files of features drawn at random, written from their standards: what mutation does not find, since it only makes sense
as a whole."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from . import avif_writer as avif
from . import j2k_writer as j2k
from . import jpeg_writer as jpeg
from . import jxl_writer as jxl
from .dear import dsn_file, lossless_file, restored_file

SIDES = (1, 2, 7, 17, 64, 65, 130, 257, 300)
CHANGED = 0.3  # of the files have bytes changed afterwards
REFUSED = 0.05  # have each of the features that guards know and refuse


def written(seed: int) -> tuple[str, bytes]:
    """(what it is, the file)."""
    rng = random.Random(seed)
    rows, columns = rng.choice(SIDES), rng.choice(SIDES)
    kind = rng.choice(list(KINDS))
    name, payload, enclose = KINDS[kind](rng, rows, columns)
    if rng.random() < CHANGED:
        changed = bytearray(payload)
        for _ in range(rng.randint(1, 3)):
            changed[rng.randrange(len(changed))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        payload, name = bytes(changed), f"{name}, changed"
    return f"{kind}, {rows} x {columns}: {name}", enclose(payload)


Written = tuple[str, bytes, Callable[[bytes], bytes]]


def drawn(rng: random.Random, often: float = 0.35, **choices: tuple[Any, ...]) -> dict[str, Any]:
    """Some features, each at one of its values."""
    return {name: rng.choice(values) for name, values in choices.items() if rng.random() < often}


def _content(rng: random.Random) -> bytes:
    length = rng.choice((1, 2, 30, 300, 2000))
    return rng.choice(
        (rng.randbytes(length), bytes(length), b"\xff" * length, rng.randbytes(length) + bytes(500))
    )


def _avif(rng: random.Random, rows: int, columns: int) -> Written:
    flags = ("screen", "copies", "filters", "large", "grain", "matrices", "segments", "levels", "deep")
    asked = drawn(
        rng,
        **dict.fromkeys(flags, (True, False)),
        tiles=(0, 1, 6),
        superres=tuple(range(9)),
        restored=(0, 1, 2, 3),
        quantiser=(0, 1, 255),
        before=([(avif.PADDING, b"")] * 50, [(avif.METADATA, bytes(20))]),
    )
    asked |= drawn(rng, REFUSED, before=([(avif.FRAME, b"")], [(9, b"a")]))
    around = drawn(
        rng,
        properties=tuple(
            [avif.box(name, content)] * rng.choice((1, 3, 100))
            for name, content in (
                (b"irot", b"\1"),
                (b"imir", b"\1"),
                (b"clap", bytes(32)),
                (b"a1op", b"\1"),
                (b"lsel", b"\0\1"),
                (b"a1lx", bytes(4)),
                (b"colr", b"prof" + bytes(200)),
                (b"grid", bytes(8)),
            )
        ),
        owners=(0, 2, 9000),
        meta=(avif.box(b"iref", bytes(4)), avif.box(b"idat", bytes(40)), avif.box(b"iprp", b"")),
        before=(avif.box(b"free", bytes(99)), avif.box(b"moov", b""), avif.box(b"meta", bytes(4))),
        size=((1, 1), (columns, rows), (2**31, 2**31)),
    )
    boxes = avif.Boxes(**around if rng.random() < 0.3 else {})
    colour = rng.random() < 0.6
    payload = avif.avif(rows, columns, colour, avif.Work(_content(rng), **asked), boxes)
    return (
        _said(asked),
        payload,
        lambda data: restored_file(data, "avif", "RGB" if colour else "L", rows, columns),
    )


def _j2k(rng: random.Random, rows: int, columns: int) -> Written:
    asked = drawn(
        rng,
        passes=(1, 2, 3, 6, 36, 37, 88, 164),
        levels=tuple(range(7)),
        planes=(1, 8, 29, 30, 31, 37),
    )
    asked |= drawn(
        rng,
        REFUSED,
        order=(1, 4),
        layers=(2,),
        block=(3,),
        style=(1, 8),
        precincts=(b"\xff",),
        markers=(2,),
        segments=((), (j2k.segment(0x64, b"\0\1a"),), (j2k.segment(0x5E, b"\0\0\7"),)),
        parts=(2,),
    )
    lossy, colour = rng.random() < 0.6, rng.random() < 0.5
    components = 3 if lossy and colour else 1
    payload = j2k.codestream(rows, columns, components, j2k.Work(content=_content(rng), lossy=lossy, **asked))
    if lossy:
        return (
            _said(asked),
            payload,
            lambda data: restored_file(data, "j2k", "RGB" if colour else "L", rows, columns),
        )
    return _said(asked), payload, lambda data: dsn_file(data, "j2k", rows, columns)


def _jpeg(rng: random.Random, rows: int, columns: int) -> Written:
    colour = rng.random() < 0.6
    sides = [(rng.randint(1, 4), rng.randint(1, 4)) for _ in range(3 if colour else 1)]
    asked = drawn(
        rng,
        sampled=(tuple(sides),),
        scans=(1, 2, 10, 64, 65),
        tables=(1, 30),
        restarts=(1, 7, 65535),
        segments=(1, 100),
        segment_bytes=(0, 1, 6000),
        fill=(1, 300),
        lines=(True,),
    )
    asked |= drawn(rng, REFUSED, frame=(0xC0, 0xC1, 0xC9, 0xCA), bits=(12,))
    work = jpeg.Work(**{"sampled": ((1, 1),) * len(sides), **asked})
    return (
        _said(asked),
        jpeg.jpeg(rows, columns, work),
        lambda data: restored_file(data, "jpeg", "RGB" if colour else "L", rows, columns),
    )


def _jxl(rng: random.Random, rows: int, columns: int) -> Written:
    kinds = (
        (),
        jxl.SQUEEZE,
        (0, 6),
        (0, 41),
        (3, 0),
        (0, 1, 2, 0),
        (0, 3, 300, 5),
        (0, 1, 70911, 66816),
        (1, 4, 1, 1),
    )
    transforms = tuple(tuple(rng.choice(kinds) for _ in range(rng.choice((1, 2, 8, 9)))) for _ in range(3))
    asked = drawn(
        rng,
        depth=(1, 2, 20, 64, 65, 500),
        decides=(2, 3, 9, 15, 25),
        value=(1, 3),
        own=(True,),
        transforms=transforms,
        of_groups=transforms,
    )
    work = jxl.Work(**asked)
    if rng.random() < 0.3:
        tables = rng.random() < 0.5
        payload = jxl.blocks(rows, columns, work, tables)
        return (
            f"blocks, {_said(asked)}",
            payload,
            lambda data: restored_file(data, "jxl", "RGB", rows, columns),
        )
    side = min(rows, columns)
    patches = drawn(
        rng, reference=((rows, columns), (9, 9)), shown=((1, 1, side, side), (3, 40, 1, 1), (1, 9, 9, 9))
    )
    channels = rng.choice((1, 4))
    payload = jxl.codestream(rows, columns, work=work, channels=channels, **patches)
    if channels == 4:
        return _said(asked), payload, lambda data: lossless_file(data, rows, columns)
    return _said(asked), payload, lambda data: dsn_file(data, "jxl", rows, columns)


def _said(asked: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value!r:.30}" for name, value in asked.items()) or "plain"


KINDS: dict[str, Callable[[random.Random, int, int], Written]] = {
    "AVIF": _avif,
    "JPEG 2000": _j2k,
    "JPEG": _jpeg,
    "JPEG XL": _jxl,
}
