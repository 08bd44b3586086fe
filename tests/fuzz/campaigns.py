"""Hostile bytes at every entry point: truncations, single bytes, structure-aware mutations, and bombs.

Files are tried in a process of its own, with 2 GiB of address space beyond what it has at the start; when it dies or
is silent for too long, the file at hand is to blame, and a new one goes on behind it.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import dsncodec
from dsncodec.carriers import BACKENDS, BASE_CODECS, base_name
from dsncodec.container import Header, pack
from dsncodec.entropy import adaptive_coder
from dsncodec.methods.coconet import bitstream as coordinates
from dsncodec.methods.coconet.bitstream import shape_for
from dsncodec.methods.latentgrid import bitstream as grids
from dsncodec.methods.latentgrid.texture import SEEN, TAG, Texture
from dsncodec.methods.restored.bitstream import Parameters
from dsncodec.methods.sections import encode_alpha
from dsncodec.networks.registry import restoration
from dsncodec.options import CARRIERS

from .bombs import bombs
from .entry_points import ALL, FEW, NETWORKS, Broken, probe
from .jxl_writer import codestream
from .mutations import File, Part, mutated, taken_apart, with_right_checksums
from .results import RESULTS, table, write_report
from .written import written

ROOM = 2 << 30  # bytes of address space beyond those at the start
PATIENCE_S = 20.0  # for one file
PATIENCE_S_PER_MEGAPIXEL = (
    1.0  # beyond that, for what it is a picture of: each plane of it is shown, and written as PNG
)
PATIENCE_WITH_A_BOMB_S = 180.0  # those that are a picture are as large as the default limit allows
ALL_EVERY, NETWORKS_EVERY = (
    10,
    50,
)  # of so many single bytes, one goes to all entry points, or also through the networks
MUTATED_NETWORKS_EVERY = 20  # of so many mutations
Case = tuple[str, bytes, int]  # what it is, the file, and which entry points
Cases = Callable[[list[File], argparse.Namespace], Iterator[Case]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the campaigns."""
    parser.add_argument("--mutations", type=int, default=100_000, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--written", type=int, default=20_000, metavar="N", help="(default: %(default)s)")
    parser.add_argument(
        "--first", type=int, default=0, metavar="SEED", help="of the first mutation (default: 0)"
    )
    parser.add_argument(
        "--values",
        type=int,
        default=255,
        metavar="N",
        help="other values tried of each byte (default: all 255)",
    )
    parser.add_argument(
        "--keep", default="hostile", metavar="DIR", help="where reproducers go (default: %(default)s)"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=("truncations", "bytes", "mutations", "written", "bombs"),
        help="some campaigns; the others keep their rows",
    )
    parser.add_argument(
        "--carriers",
        nargs="+",
        metavar="METHOD/NAME",
        help="files of these backends only, in a row of its own",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help="for so long, all campaigns together, whatever --mutations and --written say",
    )
    parser.add_argument("--dry-run", action="store_true", help="print, but keep no results")


# --- the files


def _picture(mode: str, width: int, height: int) -> Image.Image:
    """Smooth, with some grain, from a fixed seed."""
    channels = len(mode)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([128 + 90 * np.sin(x / (5 + c) + c) * np.cos(y / (7 + c)) for c in range(channels)], -1)
    grain = np.random.default_rng(width).normal(0, 4, waves.shape)
    pixels = np.clip(waves + grain, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels)


def small_file(
    method: str, backend: str, mode: str, width: int = 6, height: int = 5, tune: str | None = None
) -> bytes:
    """A tiny file by one backend or base codec, by a network of one variant, or on latent grids.

    Args:
        tune: of base codecs; default: for the eye with mode RGBA, for squared error with others.
    """
    image = _picture(mode, width, height)
    if method == "latentgrid":
        return _grids(mode, width, height, image)
    if method == "coconet":
        return _network(backend, mode, width, height, image)
    settings: dict[str, Any] = {"scale": 2, "levels": 200} if method == "dsn" else {"base_quality": 30}
    settings[CARRIERS[method]] = backend
    if method == "restored":
        settings["tune"] = tune or ("visual" if mode == "RGBA" else "psnr")
    return dsncodec.encode(image, method, effort=0, threads=1, **settings)


def _network(variant: str, mode: str, width: int, height: int, image: Image.Image) -> bytes:
    """Weights from a fixed seed, which no fit has seen."""
    shape = shape_for(variant, 2, 4, (width, height))
    header = Header("coconet", mode, width, height)
    sides = shape.matrices(header.colour_planes)
    counts = [*(rows * columns for rows, columns in sides), sum(rows for rows, _ in sides)]
    rng = np.random.default_rng(width)
    integers = [np.rint(rng.normal(0, 12, count)).astype(np.int32) for count in counts]
    parameters = coordinates.Parameters(shape, (160,) * (shape.layers + 2))
    sections = [("PARM", parameters.pack()), ("NETW", adaptive_coder.encode(integers))]
    if header.has_alpha:
        sections.append(("ALPH", encode_alpha(np.asarray(image.getchannel("A")), 0)))
    return pack(header, sections)


def _grids(mode: str, width: int, height: int, image: Image.Image) -> bytes:
    """Symbols and weights from a fixed seed, around a model that codes them well and a synthesis that shows them."""
    header = Header("latentgrid", mode, width, height)
    rng = np.random.default_rng(width)
    parameters = grids.Parameters(8, grids.ZERO_INIT, (8, 8, 10, 8, 8, 8))
    spread = (20, 40, 2, 12, 12, 6)
    differences = [
        np.rint(rng.normal(0, sigma, n) * (rng.random(n) < 0.2)) for sigma, n in zip(spread, grids.counts(8))
    ]
    differences[grids.BIASES][-1] = 40 * 32  # a scale of 0.64
    differences[grids.OFFSETS][-3:] += 128  # a middle grey
    symbols = [
        np.clip(np.rint(rng.laplace(0, 1, shape)), -127, 127).astype(np.int8)
        for shape in grids.grid_shapes((height, width))
    ]
    whole = [d.astype(np.int64) for d in differences]
    sections = grids.pack_sections(header, parameters, whole, symbols)
    if header.has_alpha:
        sections.append(("ALPH", encode_alpha(np.asarray(image.getchannel("A")), 0)))
    return pack(header, sections)


def carriers() -> list[str]:
    """Every backend, base codec, variant of fitted networks and init, as METHOD/NAME."""
    fitted = [f"coconet/{name}" for name in coordinates.VARIANTS.values()] + ["latentgrid/plain"]
    return [f"dsn/{name}" for name in BACKENDS] + [f"restored/{name}" for name in BASE_CODECS] + fitted


def corpus(wanted: list[str] | None = None) -> list[File]:
    """What mutations begin with: each carrier in grey, in colour, and with alpha, of several sizes, in both versions;
    and each base codec under its network. ``wanted``: of these carriers only."""
    kinds = [("L", 6, 5), ("RGBA", 6, 5), ("RGB", 17, 9), ("LA", 1, 1)]
    names = [name.split("/") for name in wanted or carriers()]
    files = [taken_apart(small_file(method, name, *kind)) for method, name in names for kind in kinds]
    files = [_textured(_under_its_network(file)) for file in files]
    files += [_patched(file) for file in files[:1] if wanted is None]
    return files + [replace(file, version=1) for file in files[1::4]]


def _patched(file: File) -> File:
    """A grey file of JPEG XL that shows patches of a frame before."""
    payload = codestream(20, 30, reference=(8, 8), shown=(2, 3, 5, 5))
    small = replace(taken_apart(small_file("dsn", "jxl", "L", 60, 40)), width=60, height=40)
    return small.with_part(1, Part("LUMA", bytes([BACKENDS["jxl"].wire_id]) + payload))


def _textured(file: File) -> File:
    """A file of latent grids in colour, with units for texture."""
    if file.method != 4 or file.mode != 4:
        return file
    sees, offsets, gives = (np.arange(n, dtype=np.int32) - 2 for n in (2 * SEEN, 2, 6))
    units = Texture(sees.reshape(2, SEEN), offsets, gives.reshape(3, 2), 0)
    return replace(file, parts=(*file.parts, Part(TAG, units.pack())))


def _under_its_network(file: File) -> File:
    """A file of a base codec with strength 1, or one correction as it is, as if its encoder had found that best."""
    if file.method != 2:
        return file
    base = base_name(file.parts[1].payload)
    parameters = Parameters.unpack(file.parts[0].payload)
    tune = "visual" if file.parts[1].payload[0] == BASE_CODECS[base].deep_short_id else "psnr"
    row = restoration(base, False, parameters.scale, tune)
    if row is None:
        return file
    if row.hypotheses > 1:
        strong = replace(parameters, weights=(32, *(0,) * (row.hypotheses - 1)), model_id=row.wire_id)
    else:
        strong = replace(parameters, strength=64, weights=(), model_id=row.wire_id)
    return file.with_part(0, Part("PARM", strong.pack()))


# --- the campaigns: name -> cases. Made again in each process, from the same files


def truncations(files: list[File], args: argparse.Namespace) -> Iterator[Case]:
    """Every beginning of every file, as it is and with right checksums."""
    for number, file in enumerate(files):
        data = bytes(file)
        for length in range(len(data)):
            yield f"file {number}, {length} bytes", data[:length], ALL
            yield f"file {number}, {length} bytes, checksums right", with_right_checksums(data[:length]), ALL


def larger(files: list[File]) -> list[int]:
    """Where the file in RGBA of each carrier is, of version 2; and that of one carrier of each method, of version 1."""
    found = [number for number, file in enumerate(files) if file.mode == 4 and file.version == 2]
    old = {file.method: number for number, file in enumerate(files) if file.mode == 4 and file.version == 1}
    return found + sorted(old.values())


def single_bytes(files: list[File], args: argparse.Namespace) -> Iterator[Case]:
    """Every byte of the larger file of each carrier with other values, checksums made right; and once as it is."""
    count = itertools.count()
    for number in larger(files):
        data = bytes(files[number])
        for at in range(len(data)):
            changed = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
            yield f"file {number}, byte {at} inverted", changed, ALL
            for step in range(1, args.values + 1):
                value = (data[at] + (step * 255 // args.values)) & 255
                changed = with_right_checksums(data[:at] + bytes([value]) + data[at + 1 :])
                turn = next(count)
                which = NETWORKS if turn % NETWORKS_EVERY == 0 else ALL if turn % ALL_EVERY == 0 else FEW
                yield f"file {number}, byte {at} is {value}", changed, which


def mutations(files: list[File], args: argparse.Namespace) -> Iterator[Case]:
    """Structure-aware mutations, by their seeds."""
    for seed in _seeds(args, args.mutations):
        name, data = mutated(files, seed)
        yield f"seed {seed}: {name}", data, ALL if seed % MUTATED_NETWORKS_EVERY else NETWORKS


def features(files: list[File], args: argparse.Namespace) -> Iterator[Case]:
    """Base codecs' files written from their standards, by their seeds."""
    for seed in _seeds(args, args.written):
        name, data = written(seed)
        yield f"seed {seed}: {name}", data, ALL


def _seeds(args: argparse.Namespace, count: int) -> Iterator[int]:
    """So many, or without end if there is a time to stop at: a case can be made again after it."""
    return itertools.count(args.first) if args.seconds else iter(range(args.first, args.first + count))


def all_bombs(files: list[File], args: argparse.Namespace) -> Iterator[Case]:
    """Each bomb once."""
    for name, data in bombs():
        yield name, data, ALL


CAMPAIGNS: dict[str, tuple[Cases, float]] = {
    "truncations": (truncations, PATIENCE_S),
    "bytes": (single_bytes, PATIENCE_S),
    "mutations": (mutations, PATIENCE_S),
    "written": (features, PATIENCE_S),
    "bombs": (all_bombs, PATIENCE_WITH_A_BOMB_S),
}


# --- the process that opens them


def address_space() -> int:
    """Of this process, in bytes (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def confine() -> None:
    """Allow ``ROOM`` beyond what this process has now."""
    limit = address_space() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _work(pipe: Connection, campaign: str, files: list[File], args: argparse.Namespace, start: int) -> None:
    """Open the files of a campaign from one on; say of each what the entry points said, or what is wrong with them."""
    warnings.simplefilter("ignore")
    cases = CAMPAIGNS[campaign][0](files, args)
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        for file in files:  # everything is loaded before the limit is set
            list(probe(bytes(file), NETWORKS, Path(folder)))
        confine()
        pipe.send("ready")
        for name, data, which in itertools.islice(cases, start, None):
            if args.seconds and time.time() > args.ends:
                break
            began = time.perf_counter()
            try:
                said: list[tuple[str, str]] | str = list(probe(data, which, Path(folder)))
            except Broken as exc:
                said = str(exc)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            pipe.send((name, said, time.perf_counter() - began, peak))
    pipe.send(None)


# --- the parent


@dataclass
class Outcome:
    """What a campaign came to."""

    cases: int = 0
    pictures: int = 0
    refused: int = 0
    # entry point -> what it said -> how often
    entry_points: dict[str, dict[str, int]] = field(default_factory=dict)
    found: list[tuple[str, str]] = field(default_factory=list)  # what the file is, and what happened
    slowest: tuple[float, str] = (0.0, "")
    peak_bytes: int = 0
    seconds: float = 0.0


def run_campaign(campaign: str, files: list[File], args: argparse.Namespace) -> Outcome:
    """All cases of a campaign, with as many processes, one after the other, as it takes."""
    outcome, began = Outcome(), time.perf_counter()
    while not _run_process(campaign, files, args, outcome):
        pass
    outcome.seconds = time.perf_counter() - began
    return outcome


def _answer(pipe: Connection, pid: int, patience: float) -> Any:
    """The next answer of a process; TimeoutError when it has worked for ``patience`` seconds, or had ten times as long:
    others may be using the machine."""
    began, worked = time.perf_counter(), cpu_s(pid)
    while not pipe.poll(0.5):
        if cpu_s(pid) - worked > patience or time.perf_counter() - began > 10 * patience:
            raise TimeoutError("no answer in time")
    return pipe.recv()


def cpu_s(pid: int) -> float:
    """Seconds that a process has worked, all threads together (Linux)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:  # it is no more, which the pipe will say
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _run_process(campaign: str, files: list[File], args: argparse.Namespace, outcome: Outcome) -> bool:
    """Go on with a campaign until it is done (True) or its process is lost to a file (False)."""
    make, patience = CAMPAIGNS[campaign]
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, campaign, files, args, outcome.cases), daemon=True)
    process.start()
    theirs.close()
    assert ours.recv() == "ready"  # or the process died before any case
    try:
        while True:
            try:
                answer = _answer(ours, process.pid or 0, patience)
            except TimeoutError:
                _, data, _ = _case(make, files, args, outcome.cases)
                answer = _answer(ours, process.pid or 0, PATIENCE_S_PER_MEGAPIXEL * _megapixels(data))
            if answer is None:
                return True
            _count(outcome, make, files, args, *answer)
            if outcome.cases % 1000 == 0:
                print(
                    f"{campaign}: {outcome.cases:,}, {len(outcome.found)} found", file=sys.stderr, flush=True
                )
    except (TimeoutError, EOFError) as exc:
        process.kill()
        process.join()
        what = (
            str(exc) if isinstance(exc, TimeoutError) else f"the process died, exit code {process.exitcode}"
        )
        name, data, _ = _case(make, files, args, outcome.cases)
        _keep(outcome, args, name, data, what)
        outcome.cases += 1
        return False
    finally:
        process.join(5)


def _case(make: Cases, files: list[File], args: argparse.Namespace, number: int) -> Case:
    return next(itertools.islice(make(files, args), number, None))


def _megapixels(data: bytes) -> float:
    """Of the picture that a file says it is; 0 if it says none."""
    try:
        info = dsncodec.read_info(data)
    except dsncodec.DsnError:
        return 0.0
    return info.width * info.height / 1e6


def _count(
    outcome: Outcome,
    make: Cases,
    files: list[File],
    args: argparse.Namespace,
    name: str,
    said: list[tuple[str, str]] | str,
    seconds: float,
    peak: int,
) -> None:
    if isinstance(said, str):
        _, data, _ = _case(make, files, args, outcome.cases)
        _keep(outcome, args, name, data, said)
    else:
        for entry_point, answer in said:
            answers = outcome.entry_points.setdefault(entry_point, {})
            answers[answer] = answers.get(answer, 0) + 1
        decoded = dict(said)["decode"] == "done"
        outcome.pictures += decoded
        outcome.refused += not decoded
    outcome.cases += 1
    outcome.slowest = max(outcome.slowest, (seconds, name))
    outcome.peak_bytes = max(outcome.peak_bytes, peak)


def _keep(outcome: Outcome, args: argparse.Namespace, name: str, data: bytes, what: str) -> None:
    """Write a reproducer, and say so."""
    folder = Path(args.keep)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{len(list(folder.iterdir())):04d}.dsn"
    path.write_bytes(data)
    outcome.found.append((name, what))
    print(f"FOUND {path}: {name}: {what}", file=sys.stderr, flush=True)


# --- the report


def run(args: argparse.Namespace) -> int:
    """The campaigns; prints, and writes hostile.json and hostile.md. The exit code is 1 if anything was found."""
    files = corpus(args.carriers)
    names = args.only or list(CAMPAIGNS)
    kept = RESULTS / "hostile.json"
    rows: dict[str, dict[str, Any]] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    failed = False
    for name in names:
        # worker processes come and go: they share a moment, and not a time to run
        args.ends = time.time() + (args.seconds or 0) / len(names)
        outcome = run_campaign(name, files, args)
        label = " ".join([name, *(args.carriers or [])])
        rows[label] = {"what": describe(name, files, args, outcome.cases), **asdict(outcome)}
        failed = failed or bool(outcome.found)
        print(f"{label}: {outcome.cases:,} files, {len(outcome.found)} found", file=sys.stderr, flush=True)
        if not args.dry_run:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    if args.dry_run:
        print(report(rows))
    else:
        write_report("hostile.md", report(rows), "python -m tests.fuzz hostile")
    return int(failed)


def describe(campaign: str, files: list[File], args: argparse.Namespace, cases: int) -> str:
    """What a campaign was run over, in so many cases."""
    return {
        "truncations": f"every beginning of {len(files)} files, as it is and with right checksums",
        "bytes": f"every byte of {len(larger(files))} files with {args.values} other values and right checksums; "
        "and once with the checksums as they were",
        "mutations": f"seeds {args.first} to {args.first + cases - 1}, from {len(files)} files",
        "written": f"seeds {args.first} to {args.first + cases - 1} of tests/fuzz/written.py",
        "bombs": "each of tests/fuzz/bombs.py",
    }[campaign]


def report(rows: dict[str, dict[str, Any]]) -> str:
    """The counts as Markdown."""
    lines = [
        (
            name,
            f"{o['cases']:,}",
            f"{o['pictures']:,}",
            f"{o['refused']:,}",
            len(o["found"]),
            f"{o['slowest'][0]:.2f}",
            f"{o['peak_bytes'] / 2**20:.0f}",
            f"{o['seconds']:.0f}",
        )
        for name, o in rows.items()
    ]
    heading = ("campaign", "files", "pictures", "refusals", "anything else", "slowest s", "peak MiB", "all s")
    total: dict[str, collections.Counter[str]] = {}
    for o in rows.values():
        for entry_point, answers in o["entry_points"].items():
            total.setdefault(entry_point, collections.Counter()).update(answers)
    said = sorted({answer for answers in total.values() for answer in answers})
    by_entry_point = [
        (entry_point, *(f"{answers[answer]:,}" for answer in said)) for entry_point, answers in total.items()
    ]
    what = "\n".join(f"- {name}: {o['what']}. Slowest: {o['slowest'][1]}" for name, o in rows.items())
    found = "\n".join(f"- {name}: {text}" for o in rows.values() for name, text in o["found"]) or "Nothing."
    return f"""# Hostile bytes

{table(heading, lines)}
A picture has the mode and size that its header says; a refusal is a `DsnError` (in Pillow an `OSError`). Anything else is
another exception, a process that died, or one that worked for {PATIENCE_S:.0f} s ({PATIENCE_WITH_A_BOMB_S:.0f} s with a bomb)
and {PATIENCE_S_PER_MEGAPIXEL:.0f} s for each megapixel of its picture. The process has
{ROOM >> 30} GiB of address space beyond that at its start; peak is its resident memory. Seconds are those of a machine busy with other work.

{what}

Mutations are those of tests/fuzz/mutations.py, one to three in a file, with right checksums. Entry points are `read_info`, `verify`, `decode`, the
sections one by one, `dsncodec extract`, and Pillow's open, draft, load and verify. Of the single bytes, one in {ALL_EVERY} goes to all of them,
the others to the first three; one in {NETWORKS_EVERY} also runs the networks, over the whole picture and a region of it, and so does one mutation
in {MUTATED_NETWORKS_EVERY}. One campaign again: `--only NAME`.

## By entry point

{table(("entry point", *said), by_entry_point)}
## Found

{found}
"""
