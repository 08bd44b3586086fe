"""The dearest legal files that are known, of each method and coder, and what each costs by each door.

No checksum and no guard refuses them: they are within the budget that docs/threat-model.md states, or the budget is wrong.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import dsncodec
from dsncodec import carriers, container
from dsncodec.carriers import BACKENDS, BASE_CODECS, LOSSLESS, jxl_trees
from dsncodec.carriers.lossless.jxl import Bits, read_size
from dsncodec.container import Header, varint
from dsncodec.entropy import adaptive_coder
from dsncodec.methods.coconet import bitstream as coconet
from dsncodec.methods.dsn import bitstream as dsn
from dsncodec.methods.latentgrid import bitstream as latentgrid
from dsncodec.methods.restored import bitstream as restored

from . import avif_writer as avif
from . import j2k_writer as j2k
from . import jpeg_writer as jpeg
from .jxl_writer import WEIGHTED_ERROR, Work, blocks, codestream, with_reference
from .results import table, write_report


@dataclass(frozen=True)
class Budget:
    """What a decode may take: seconds of a core for each megapixel, for each kilobyte, and whatever the file."""

    megapixel_s: float
    kilobyte_s: float
    file_s: float = 1.0

    def seconds(self, pixels: int, size_bytes: int) -> float:
        """Of a file."""
        return self.megapixel_s * pixels / 1e6 + self.kilobyte_s * size_bytes / 1e3 + self.file_s


# What is promised, by what reads the pixels: two to three times what the dearest file took of one of two cores of an AMD EPYC that
# about ten processes shared, with numba and one thread; and at least a second a megapixel
BUDGETS = {
    "dsn": Budget(5, 0.01),
    "restored": Budget(8, 0.01),
    "coconet": Budget(120, 0.02, 2),
    "latentgrid": Budget(6, 0.01),
    "jxl": Budget(1, 0.01),
    "jxl lossless": Budget(4, 0.01),
    "jxl lossy": Budget(4, 0.01),
    "jpeg": Budget(1, 0.01),
    "j2k": Budget(3, 0.01),
    "avif": Budget(1, 0.01),
    "others": Budget(1, 0.01),
}


@dataclass(frozen=True)
class Case:
    """A file, what it is, and whose budget it has."""

    name: str
    budget: str
    data: bytes
    preview: bool = False


def dsn_file(payload: bytes, coder: str, rows: int, columns: int, scale: int = 1) -> bytes:
    """A grey layer of (rows, columns), of a network that nobody has: for the preview."""
    header = Header("dsn", "L", columns * scale, rows * scale)
    parameters = dsn.Parameters(dsn.Point(scale, 256, 256), bytes(8)).pack()
    return container.pack(
        header, [("PARM", parameters), ("LUMA", bytes([BACKENDS[coder].wire_id]) + payload)]
    )


def restored_file(payload: bytes, base: str, mode: str, rows: int, columns: int) -> bytes:
    """A base codec's own file, without a network."""
    parameters = restored.Parameters(50, 40.0, 0, 0.0, b"").pack()
    whole = bytes([BASE_CODECS[base].wire_id]) + payload
    return container.pack(Header("restored", mode, columns, rows), [("PARM", parameters), ("BASE", whole)])


def lossless_file(payload: bytes, rows: int, columns: int) -> bytes:
    """A picture in RGBA, every pixel of it, by JPEG XL."""
    base = bytes([LOSSLESS["jxl"].wire_id]) + payload
    return container.pack(
        Header("restored", "RGBA", columns, rows), [("PARM", restored.LOSSLESS.pack()), ("BASE", base)]
    )


def network(
    shape: coconet.Shape, rows: int, columns: int, code: int = 160, value: int | None = None
) -> bytes:
    """A fitted network of one step for all weights, of one value or of noise."""
    header = Header("coconet", "RGB", columns, rows)
    sides = shape.matrices(3)
    counts = [*(r * c for r, c in sides), sum(r for r, _ in sides)]
    rng = np.random.default_rng(1)
    integers = [
        np.full(count, value, np.int32) if value is not None else rng.integers(-9, 10, count).astype(np.int32)
        for count in counts
    ]
    parameters = coconet.Parameters(shape, (code,) * (shape.layers + 2))
    return container.pack(header, [("PARM", parameters.pack()), ("NETW", adaptive_coder.encode(integers))])


def grids(rows: int, columns: int, width: int = 64, seed: int = 1) -> bytes:
    """Latent grids of no byte, under a context network of noise, whose symbols differ from cell to cell."""
    rng = np.random.default_rng(seed)
    parameters = latentgrid.Parameters(width, latentgrid.ZERO_INIT, (8, 8, 10, 8, 8, 8))
    differences = [rng.integers(-40, 41, count).astype(np.int32) for count in latentgrid.counts(width)]
    lats = varint(0) * -(-rows // latentgrid.BAND)
    sections = [("PARM", parameters.pack()), ("NETW", latentgrid.pack_weights(differences)), ("LATS", lats)]
    return container.pack(Header("latentgrid", "RGB", columns, rows), sections)


def _written(side: int, noise: NDArray[np.uint8]) -> Iterator[Case]:
    """Base codecs' files of features that the guards let through, written from their standards."""
    content = noise.tobytes()[:800]
    tools = avif.Work(
        content, 6, screen=True, superres=8, grain=True, matrices=True, segments=True, levels=True
    )
    full = avif.Work(content, 6, large=True, deep=True, grain=True)
    padding = avif.Work(content, 6, before=[(avif.PADDING, b"")] * 100_000)
    for name, work in (("all tools", tools), ("ten bits", full), ("empty parts", padding)):
        picture = avif.avif(side, side, True, work)
        yield Case(f"avif: {name}", "avif", restored_file(picture, "avif", "RGB", side, side))
    copied = avif.avif(side, side, False, avif.Work(content, 6, copies=True))
    yield Case("avif: copies of blocks, grey", "avif", restored_file(copied, "avif", "L", side, side))
    for levels in (0, 5):
        passes = j2k.Work(content=b"\xc0", levels=levels)
        layer = j2k.codestream(side, side, 1, passes)
        yield Case(f"j2k: 88 passes, {levels} levels", "j2k", dsn_file(layer, "j2k", side, side), True)
        picture = j2k.codestream(side, side, 3, replace(passes, lossy=True))
        yield Case(
            f"j2k: 88 passes, {levels} levels, in colour",
            "j2k",
            restored_file(picture, "j2k", "RGB", side, side),
        )
    for name, writing in (
        ("64 scans", jpeg.Work(_ALL)),
        ("64 scans, halved", jpeg.Work(((2, 2), (1, 1), (1, 1)))),
        ("64 scans, tables, restarts", jpeg.Work(_ALL, tables=100, restarts=1, lines=True)),
        ("64 scans, grey", jpeg.Work()),
        ("segments and fill", jpeg.Work(_ALL, segments=20_000, fill=20)),
    ):
        mode = "L" if len(writing.sampled) == 1 else "RGB"
        yield Case(
            f"jpeg: {name}", "jpeg", restored_file(jpeg.jpeg(side, side, writing), "jpeg", mode, side, side)
        )
    # as deep as libjxl allows in a picture of this size; trees of lossy blocks are not read here
    deep = Work(min(2047, (1024 + 3 * side**2 // 16) // 2 - 1), value=1)
    picture = blocks(side, side, deep, tables=True)
    yield Case(
        "jxl: deep trees in blocks and tables", "jxl lossy", restored_file(picture, "jxl", "RGB", side, side)
    )


_ALL = ((1, 1),) * 3  # components, each with all samples


def cases(side: int = 1024) -> Iterator[Case]:
    """Files of side x side pixels, or as many in a row or a column."""
    area = side * side
    deep = Work(jxl_trees.MAX_DEPTH, WEIGHTED_ERROR, own=True)
    colours = Work(jxl_trees.MAX_DEPTH, transforms=((0, 1, min(area, 70911), 0),))
    for name, work in (("deep trees in each group", deep), ("a palette as large as can be", colours)):
        yield Case(
            f"jxl: {name}", "jxl", dsn_file(codestream(side, side, work=work), "jxl", side, side), True
        )
    turned = ((0, 6),) * jxl_trees.MAX_TRANSFORMS
    work = replace(deep, transforms=turned, of_groups=turned)
    shown = codestream(side, side, reference=(side, side), shown=(1, 7, side, side), work=work, channels=4)
    yield Case(
        "jxl: four channels, deep trees, transforms, patches",
        "jxl lossless",
        lossless_file(shown, side, side),
    )
    shown = codestream(side, side, reference=(side, side), shown=(1, 7, side, side))
    yield Case("jxl: 7 pictures of patches", "jxl", dsn_file(shown, "jxl", side, side), True)
    small = codestream(side, side, reference=(side, side), shown=(1, min(area * 8 // 83, 32768), 1, 1))
    yield Case("jxl: patches of one pixel", "jxl", dsn_file(small, "jxl", side, side), True)
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    for coder in BACKENDS:
        layer = np.ascontiguousarray(noise[..., 0])
        payload = carriers.load(coder).encode(layer, 256, 3)
        yield Case(
            f"{coder}: noise",
            "others" if coder not in ("jxl", "j2k") else coder,
            dsn_file(payload, coder, side, side),
            True,
        )
    for base, budget in (("avif", "avif"), ("jpeg", "jpeg"), ("jxl", "jxl lossy"), ("j2k", "j2k")):
        payload = carriers.load_base(base).encode(noise, 90, 2, 1)
        yield Case(f"{base}: noise, lossy", budget, restored_file(payload, base, "RGB", side, side))
    film = io.BytesIO()
    Image.fromarray(noise).save(
        film, "AVIF", quality=90, speed=8, subsampling="4:4:4", advanced={"film-grain-test": "16"}
    )
    yield Case(
        "avif: noise under film grain", "avif", restored_file(film.getvalue(), "avif", "RGB", side, side)
    )
    yield from _written(side, noise)
    plain = carriers.load_base("jxl").encode(np.full((side, side, 3), 90, np.uint8), 50, 0, 1)
    head = Bits(plain)
    read_size(head)
    head.at += 2
    head.align()
    before = with_reference(plain, head.at // 8, side, 2 * side, deep)
    yield Case(
        "jxl: deep trees before a lossy picture", "jxl lossy", restored_file(before, "jxl", "RGB", side, side)
    )
    shape = coconet.Shape("sine", 14, 270, 12)
    yield Case("coconet: a million weights of zero", "coconet", network(shape, 256, 256, value=0))
    yield Case("coconet: the same, one pixel", "coconet", network(shape, 1, 1, value=0))
    layers = coconet.Shape("sine", 16, 16, 12)
    yield Case("coconet: denormal weights", "coconet", network(layers, side // 2, side // 2, code=0, value=1))
    yield Case(
        "coconet: huge arguments", "coconet", network(layers, side // 2, side // 2, code=255, value=32767)
    )
    yield Case("coconet: one column", "coconet", network(layers, area // 8, 1))
    yield Case("latentgrid: square", "latentgrid", grids(side, side))
    yield Case("latentgrid: one row", "latentgrid", grids(1, area))
    yield Case("latentgrid: one column", "latentgrid", grids(area, 1))
    with Image.open(Path(__file__).parents[1] / "photos" / "astronaut.webp") as photo:
        picture = photo.convert("RGB").crop((0, 0, side // 2, side // 2))
    for settings in (
        {"method": "dsn", "scale": 4},
        {"method": "dsn", "scale": 2},
        {"base": "avif", "tune": "psnr", "effort": 6, "quality": 30},
        *({"base": base, "quality": 30} for base in BASE_CODECS),
    ):
        data = dsncodec.encode(picture, **{"effort": 0, **settings})
        name = " ".join(f"{key} {value}" for key, value in settings.items())
        yield Case(f"network: {name}", settings.get("method", "restored"), data)


_ONE = """
import json, sys, time
import dsncodec
path, golden, doors = sys.argv[1], sys.argv[2], sys.argv[3].split()
def resident(kind):
    status = open("/proc/self/status").read()
    return int(status.partition(kind + ":")[2].split()[0]) / 1024
dsncodec.decode(golden, threads=1)
open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
rows = {"start": resident("VmRSS")}
for door in doors:
    start = time.process_time()
    try:
        if door == "decode": dsncodec.decode(path, threads=1)
        if door == "preview": dsncodec.decode(path, preview=True, threads=1)
        if door == "read_info": dsncodec.read_info(path)
        if door == "verify": dsncodec.verify(path)
    except dsncodec.DsnError as exc:
        rows[door + " said"] = str(exc)[:80]
    rows[door] = time.process_time() - start
rows["peak"] = resident("VmHWM")
print(json.dumps(rows))
"""


def measured(case: Case, folder: Path) -> dict[str, Any]:
    """Seconds by door and the peak, in a process of its own without a limit on address space, that has decoded a small file
    before: compiled code is warm (Linux)."""
    path = folder / "dear.dsn"
    path.write_bytes(case.data)
    method = dsncodec.read_info(case.data).method
    golden = Path(__file__).parents[1] / "golden"
    warm = golden / {"latentgrid": "0.2.0-rgb-latentgrid-plain.dsn"}.get(method, "0.2.0-la-coconet-sine.dsn")
    doors = "read_info verify preview" + ("" if case.preview else " decode")
    command = [sys.executable, "-c", _ONE, str(path), str(warm), doors]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--side", type=int, default=1024, metavar="N", help="of the pictures (default: 1024)")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name has this in it")
    parser.add_argument("--dry-run", action="store_true", help="print, but keep no results")


def run(args: argparse.Namespace) -> int:
    """Measure all; 1 if one is dearer than its budget."""
    import tempfile

    rows, failed = [], False
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(args.side):
            if args.only not in case.name:
                continue
            found = measured(case, Path(folder))
            info = dsncodec.read_info(case.data)
            pixels = info.width * info.height
            due = BUDGETS[case.budget].seconds(pixels, len(case.data))
            spent = max(found.get("decode", 0.0), found["preview"])
            failed = failed or spent > due
            rows.append(
                [
                    case.name,
                    f"{info.width} x {info.height}",
                    f"{len(case.data):,}",
                    *(
                        f"{found[door]:.2f}" if door in found else ""
                        for door in ("read_info", "verify", "preview", "decode")
                    ),
                    f"{found['peak'] - found['start']:.0f}",
                    f"{due:.1f}",
                    "yes" if spent <= due else "NO",
                ]
            )
            print(" | ".join(map(str, rows[-1])), found.get("decode said", ""), file=sys.stderr, flush=True)
    header = [
        "file",
        "picture",
        "bytes",
        "info s",
        "verify s",
        "preview s",
        "decode s",
        "MiB",
        "budget s",
        "within",
    ]
    text = f"# The dearest legal files\n\n{table(header, rows)}\nSeconds of a core, with one thread; MiB at the peak, above those of the process when it was idle. {__doc__}"
    if args.dry_run:
        print(text)
    else:
        write_report("dear.md", text, args.command)
    return int(failed)
