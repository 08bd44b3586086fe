"""Every way by which bytes of a stranger come in, and what may come out: a picture, or a refusal."""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

import dsncodec
from dsncodec import container
from dsncodec.cli import extract
from dsncodec.cli.common import Job
from dsncodec.errors import DsnError
from dsncodec.methods.sections import read_structure

dsncodec.register_pillow()
REFUSALS = (DsnError,)
# What Pillow's users catch; it makes room for a picture itself, and says so if there is none
PILLOW_REFUSALS = (OSError, Image.DecompressionBombError, MemoryError)


class Broken(Exception):
    """Something else came out: the message says of which entry point, and what."""


# entry points: the API's, all of them, and all with networks behind
FEW, ALL, NETWORKS = range(3)


def probe(data: bytes, which: int, folder: Path) -> Iterator[tuple[str, str]]:
    """Try the entry points.

    Args:
        which: FEW, ALL or NETWORKS; without networks, pictures are those that need none.
        folder: for the files of the command line; what lies there may be overwritten.
    Yields:
        The entry point, and "done" or the name of the refusal.
    Raises:
        Broken: a picture of another size than the header's, or an exception that is no refusal.
    """
    network = which == NETWORKS
    known: list[tuple[str, Callable[[], object], tuple[type[Exception], ...]]] = [
        ("read_info", lambda: dsncodec.read_info(data), REFUSALS),
        ("verify", lambda: dsncodec.verify(data), REFUSALS),
        ("decode", lambda: _decoded(data, network), REFUSALS),
        ("sections", lambda: _sections(data), REFUSALS),
        ("extract", lambda: _extracted(data, folder), REFUSALS),
        ("Pillow", lambda: _opened(data, network), PILLOW_REFUSALS),
    ]
    for name, enter, refusals in known[: 3 if which == FEW else None]:
        try:
            enter()
        except refusals as exc:
            yield name, type(exc).__name__
        except Broken:
            raise
        except BaseException as exc:
            raise Broken(f"{name}: {type(exc).__name__}: {exc}") from exc
        else:
            yield name, "done"


def _sections(data: bytes) -> None:
    stream = io.BytesIO(data)
    _, sections, _ = read_structure(stream, None)
    for tag, payload in container.iter_payloads(stream, sections):
        if len(payload) != sections[tag].length:
            raise Broken(f"sections: {tag} has {len(payload)} bytes")


def _decoded(data: bytes, network: bool) -> None:
    reduced = dsncodec.decode(data, preview=True, threads=1)
    info = dsncodec.read_info(data)
    step = info.scale
    if (reduced.mode, reduced.size) != (info.mode, (-(-info.width // step), -(-info.height // step))):
        raise Broken(f"decode: a small picture of {reduced.mode} {reduced.size}")
    if not network:
        return
    whole = dsncodec.decode(data, threads=1)
    if (whole.mode, whole.size) != (info.mode, info.size):
        raise Broken(f"decode: a picture of {whole.mode} {whole.size}")
    box = (info.width // 3, info.height // 2, info.width, info.height)
    part = np.asarray(dsncodec.decode(data, region=box, threads=1))
    if not np.array_equal(part, np.asarray(whole.crop(box))):
        raise Broken("decode: a region that is not that of the whole picture")


def _extracted(data: bytes, folder: Path) -> None:
    """As the command does it: each plane as it is, and one as a picture. A plane may be absent."""
    source, target = folder / "hostile.dsn", folder / "layer"
    source.write_bytes(data)
    refused = None
    for plane, form in (
        (None, "png"),
        ("picture", "own"),
        ("luma", "own"),
        ("chroma", "png"),
        ("alpha", "png"),
    ):
        args = argparse.Namespace(
            plane=plane,
            format=form,
            stretch=form == "png",
            force=True,
            max_pixels=None,
            bare=False,
            quiet=True,
            preserve_times=False,
        )
        try:
            extract.extract(args, Job(str(source), f"{target}.{form}"))
        except DsnError as exc:
            if plane is None:
                refused = exc
    if refused is not None:
        raise refused


def _opened(data: bytes, network: bool) -> None:
    with Image.open(io.BytesIO(data)) as image:
        image.draft(None, (1, 1))
        image.load()
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    if network:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            if np.asarray(image).shape[:2] != image.size[::-1]:
                raise Broken(f"Pillow: {np.asarray(image).shape} for {image.size}")
