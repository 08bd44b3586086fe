"""The method latentgrid: rate and distortion beside AVIF with and without its published inits, and what its time goes to.

What a step of the fit must compute, in multiplications with an addition (MACs) for each pixel, C = 32:

- the context network, 16 -> 16 -> 16 -> 2, for 4/3 symbols a pixel: 544 each forward, as many back to its inputs and
  as many to its weights;
- the synthesis, 7 -> C -> 3 and 7 -> 3: 10 C + 21 = 341, and both again on the way back;
- its last filter, 3 x 3 from 3 to 3: 81, and both again;
- upsampling: a plane's sample takes 6, four along a row and four along a column of half of the rows, and the six coarser
  grids are upsampled to 7.6 samples a pixel: 45; and both again.

Forward and to inputs 2 (725 + 341 + 81 + 45); to weights (725 + 341) / 4 + 81 + 45, as the networks learn from every fourth
row: 2.8 thousand. Rounding, the Laplace distributions and Adam are not counted. The floor of a step is this number of MACs at
the rate of the fit's own products of small matrices, measured alone.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import AvifImagePlugin, Image, ImageDraw

import dsncodec
from dsncodec.bench import peers
from dsncodec.metrics import Curve, bd_rate, bpp, psnr_db
from dsncodec.networks import registry
from dsncodec.options import INITS, LatentGrid

from . import results
from .common import UInt8Array, image_paths, opened, rgb_of
from .results import GrowingTable, Row, table

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SETS = {"Set14": None, "B100": 12, "div2k256": None}  # and how many pictures of each
MAX_PIXELS = 512 * 768  # larger pictures are left out
QUALITIES = (16, 32, 48, 64, 80)
AVIF_QUALITIES = tuple(range(2, 99, 4))
HEADER = ("codec", "init", "budget", "setting", "picture", "bytes", "bpp", "psnr_db", "encode_s")
PUBLISHED, ZERO = INITS
LOW_BPP = 0.15
TIMED = (512, 768)
REPEATS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument(
        "--part",
        choices=("curves", "low", "time", "decode", "hard"),
        default="curves",
        help="(default: %(default)s)",
    )
    parser.add_argument("--out", metavar="DIR", help="default: bench/results/VERSION/latentgrid")
    parser.add_argument("--sets", nargs="+", choices=tuple(SETS), default=tuple(SETS))
    parser.add_argument("--pictures", type=int, metavar="N", help="of each set (default: all; 12 of B100)")
    parser.add_argument(
        "--qualities", type=int, nargs="+", default=QUALITIES, metavar="Q", help="(default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, nargs="+", default=(), help="budgets (default: 30)")
    parser.add_argument("--steps", type=int, nargs="+", default=(), help="budgets counted in steps")
    parser.add_argument("--inits", nargs="+", choices=INITS, default=INITS, help="(default: both)")
    parser.add_argument("--threads", type=int, default=1, help="of each fit (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """One part, and its report."""
    out = Path(args.out) if args.out else results.RESULTS / "latentgrid"
    out.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Callable[[argparse.Namespace, Path], str]] = {
        "curves": curves,
        "low": low_rates,
        "time": times,
        "decode": decoding,
        "hard": hard,
    }
    text = parts[args.part](args, out)
    results.write_report(f"{args.part}.md", text, args.command, out)
    return 0


# --- files


@dataclass(frozen=True)
class Budget:
    """Of a fit: seconds or steps."""

    seconds: float | None = None
    steps: int | None = None

    def __str__(self) -> str:
        return f"{self.seconds:g} s" if self.steps is None else f"{self.steps} steps"


def budgets(args: argparse.Namespace) -> list[Budget]:
    """All that are asked for."""
    found = [Budget(seconds=value) for value in args.seconds] + [Budget(steps=value) for value in args.steps]
    return found or [Budget(seconds=30)]


def fitted(rgb: UInt8Array, quality: int, budget: Budget, threads: int, init: str = PUBLISHED) -> bytes:
    """A whole file of ours."""
    # its tables are of PSNR
    settings = LatentGrid(seconds=budget.seconds, steps=budget.steps, init=init, tune="psnr")
    return dsncodec.encode(rgb, settings, quality=quality, threads=threads)


def inits_id() -> str:
    """Which inits are published: rows that others made are no rows of these."""
    ids = sorted(row.wire_id[:2].hex() for row in registry.inits() if row.default)
    return "-".join(ids) or "none"


def of_avif(rgb: UInt8Array, quality: int) -> bytes:
    """Speed 6, 4:4:4, tune=psnr."""
    return peers.find("avif", "avif").encode(rgb, quality)


# --- rate and distortion


class Rows(GrowingTable):
    """What was coded, by way, init, budget, quality and picture."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, HEADER, 5)

    def code(self, key: tuple[str, ...], rgb: UInt8Array, encode: Callable[[], bytes]) -> Row:
        """Code, decode and measure, unless it was done."""
        if (row := self.find(key)) is not None:
            return row
        begun = time.perf_counter()
        data = encode()
        seconds = time.perf_counter() - begun
        found = opened(data)
        if found.shape != rgb.shape:
            raise SystemExit(f"{' '.join(key)}: decoded to {found.shape}, not {rgb.shape}")
        rate = bpp(len(data), rgb.shape[1], rgb.shape[0])
        psnr = f"{min(psnr_db(rgb, found), 99.0):.4f}"
        return self.add((*key, str(len(data)), f"{rate:.5f}", psnr, f"{seconds:.2f}"))

    def add_avif(self, stem: str, rgb: UInt8Array) -> list[Row]:
        """AVIF of all qualities."""
        return [
            self.code(("avif", "", "", str(quality), stem), rgb, lambda: of_avif(rgb, quality))
            for quality in AVIF_QUALITIES
        ]

    def add_fit(
        self, stem: str, rgb: UInt8Array, quality: int, budget: Budget, threads: int, init: str
    ) -> Row:
        """One of ours."""
        named = ZERO if init == ZERO else inits_id()
        key = ("latentgrid", named, str(budget), str(quality), stem)
        return self.code(key, rgb, lambda: fitted(rgb, quality, budget, threads, init))


def pictures(data: str, name: str, limit: int | None) -> tuple[list[tuple[str, UInt8Array]], list[str]]:
    """(name, RGB) of those of a set that are colour and not too large, and the names of the others."""
    kept: list[tuple[str, UInt8Array]] = []
    left_out = []
    for path in image_paths(data, name, SETS[name]):
        rgb = rgb_of(path)
        grey = (rgb == rgb[..., :1]).all()
        if grey or rgb.shape[0] * rgb.shape[1] > MAX_PIXELS:
            left_out.append(f"{path.stem} ({'grey' if grey else f'{rgb.shape[1]} x {rgb.shape[0]}'})")
        else:
            kept.append((path.stem, rgb))
    return kept[:limit], left_out


def curves(args: argparse.Namespace, out: Path) -> str:
    """Code what is not there yet; BD-rates and plots of each set."""
    text = [
        "# Latent grids beside AVIF\n\nWhole files, RGB PSNR. AVIF: speed 6, 4:4:4, tune=psnr. BD-rate in percent (PCHIP) of each picture, and its "
        f"mean; negative: fewer bytes. Pictures of more than {MAX_PIXELS} pixels, and grey ones, are left out.\n"
    ]
    shared = inits_id()
    # none published: the zero init only
    inits = [init for init in args.inits if init == ZERO or shared != "none"]
    for name in args.sets:
        chosen, left_out = pictures(args.data, name, args.pictures)
        store = Rows(out / f"{name.lower()}.csv")
        for stem, rgb in chosen:
            store.add_avif(stem, rgb)
            for budget, init, quality in itertools.product(budgets(args), inits, args.qualities):
                store.add_fit(stem, rgb, quality, budget, args.threads, init)
        text.append(text_of_set(name, [stem for stem, _ in chosen], left_out, store.rows, shared, out))
    return "\n".join(text)


def text_of_set(
    name: str, stems: list[str], left_out: list[str], rows: list[Row], shared: str, out: Path
) -> str:
    """BD-rates of a set, all inits and budgets there are, and its plot."""
    rows = [row for row in rows if row["picture"] in stems and row["init"] in ("", ZERO, shared)]
    kinds = sorted(
        {(row["budget"], row["init"]) for row in rows if row["codec"] != "avif"},
        key=lambda k: (k[1] == ZERO, k[0].split()[1], float(k[0].split()[0])),
    )
    labels = [f"{budget}, {'zero init' if init == ZERO else 'published inits'}" for budget, init in kinds]
    found: dict[str, list[float | None]] = {}
    shown: dict[str, Curve] = {"AVIF": mean_curve([row for row in rows if row["codec"] == "avif"], stems)}
    for stem in stems:
        own = [row for row in rows if row["picture"] == stem]
        anchor = curve_of([row for row in own if row["codec"] == "avif"])
        found[stem] = [
            saving(anchor, curve_of([row for row in own if (row["budget"], row["init"]) == kind]))
            for kind in kinds
        ]
    for kind, label in zip(kinds, labels):
        shown[label] = mean_curve([row for row in rows if (row["budget"], row["init"]) == kind], stems)
    file = f"{name.lower()}"
    draw(shown, [out / f"{file}{suffix}" for suffix in (".svg",)])
    means: list[str] = []
    for column in zip(*found.values()):
        there = [value for value in column if value is not None]
        missing = f" ({len(there)} of {len(column)})" if len(there) < len(column) else ""
        means.append(f"{np.mean(there):+.1f} %{missing}" if there else "-")
    body = [[stem, *("-" if v is None else f"{v:+.1f} %" for v in found[stem])] for stem in stems]
    left = f"\nLeft out: {', '.join(left_out)}.\n" if left_out else ""
    return (
        f"## {name}\n\n![rate and distortion]({file}.svg)\n\n"
        + table(["picture", *labels], [["**mean**", *means], *body])
        + left
    )


def curve_of(rows: list[Row]) -> list[tuple[float, float]]:
    """(bpp, PSNR) of each setting."""
    return sorted((float(row["bpp"]), float(row["psnr_db"])) for row in rows)


def mean_curve(rows: list[Row], stems: list[str]) -> list[tuple[float, float]]:
    """Means over the pictures, at the settings that all of them have."""
    points = []
    for setting in {row["setting"] for row in rows}:
        own = [row for row in rows if row["setting"] == setting]
        if len(own) == len(stems):
            rate, psnr = np.mean([(float(row["bpp"]), float(row["psnr_db"])) for row in own], 0)
            points.append((float(rate), float(psnr)))
    return sorted(points)


def saving(anchor: Curve, curve: Curve) -> float | None:
    """BD-rate in percent; None without a common range."""
    try:
        return bd_rate(anchor, curve)
    except dsncodec.SettingError:
        return None


def draw(shown: dict[str, Curve], paths: list[Path]) -> None:
    """Mean curves, those of AVIF as far as ours go."""
    highest = max((point[0] for name, curve in shown.items() if name != "AVIF" for point in curve), default=1)
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "dsncodec"}):
        figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
        for name, curve in shown.items():
            points = [point for point in curve if point[0] <= 1.1 * highest]
            if points:
                axes.plot(
                    *zip(*points),
                    marker="" if name == "AVIF" else "o",
                    markersize=4,
                    label=name,
                    color="0.4" if name == "AVIF" else None,
                )
        axes.set_xlabel("bits per pixel, whole files")
        axes.set_ylabel("RGB PSNR (dB)")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
        for path in paths:
            figure.savefig(
                path, dpi=130, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None}
            )
        plt.close(figure)


def low_rates(args: argparse.Namespace, out: Path) -> str:
    """What the published inits save at low rates: with and without them, beside AVIF of the same PSNR."""
    store = Rows(out / "low.csv")
    body, found = [], []
    for name in args.sets:
        for stem, rgb in pictures(args.data, name, args.pictures)[0]:
            anchor = curve_of(store.add_avif(stem, rgb))
            for budget, quality in itertools.product(budgets(args), args.qualities):
                rows = [
                    store.add_fit(stem, rgb, quality, budget, args.threads, init)
                    for init in (PUBLISHED, ZERO)
                ]
                rates = [(float(row["bpp"]), float(row["psnr_db"])) for row in rows]
                shared, zero = (share_of(anchor, *rate) for rate in rates)
                if rates[0][0] >= LOW_BPP or shared is None or zero is None:
                    continue
                found.append(shared / zero)
                body.append(
                    [
                        stem,
                        str(budget),
                        str(quality),
                        *(f"{rate:.3f}, {psnr:.2f}" for rate, psnr in rates),
                        *(f"{100 * (part - 1):+.1f} %" for part in (shared, zero, found[-1])),
                    ]
                )
    mean = f"{100 * (np.mean(found) - 1):+.1f} %" if found else "-"
    return (
        f"# Latent grids below {LOW_BPP} bpp\n\nWith the published inits and without. Bytes over AVIF's (speed 6, 4:4:4, "
        "tune=psnr) at the same PSNR, by AVIF's curve; and the one over the other: what the inits save.\n\n"
    ) + table(
        [
            "picture",
            "budget",
            "quality",
            "with: bpp, dB",
            "without",
            "with, beside AVIF",
            "without",
            "with, beside without",
        ],
        [["**mean**", *[""] * 6, mean], *body],
    )


def share_of(anchor: Curve, rate: float, psnr: float) -> float | None:
    """A rate over the anchor's at the same PSNR; None where the anchor does not reach that far."""
    rates, psnrs = np.transpose(anchor)
    if not psnrs[0] <= psnr <= psnrs[-1]:
        return None
    return float(rate / np.exp(np.interp(psnr, psnrs, np.log(rates))))


# --- time


def best_ms(function: Callable[[], Any], repeats: int = REPEATS) -> float:
    """The fastest of some calls, after one to warm up."""
    function()
    found = []
    for _ in range(repeats):
        begun = time.perf_counter()
        function()
        found.append(1e3 * (time.perf_counter() - begun))
    return min(found)


def sample(rows: int, columns: int) -> UInt8Array:
    """A picture of smooth colours and some grain, always the same."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:rows, :columns]
    waves = np.stack([128 + 90 * np.sin(x / a) * np.cos(y / b) for a, b in ((9, 31), (40, 12), (70, 55))], -1)
    return np.clip(waves + rng.normal(0, 5, waves.shape), 0, 255).astype(np.uint8)


def macs_per_pixel(width: int) -> tuple[float, float]:
    """Forward and to the inputs; to the weights."""
    from dsncodec.methods.latentgrid.objective import LEARN_EVERY

    doubled = sum((7 - level) / 4 ** (level - 1) for level in range(1, 7))  # samples a pixel that are made
    networks, others = 544 * 4 / 3 + 10 * width + 21, 81 + 6 * doubled
    return 2 * (networks + others), networks / LEARN_EVERY + others


def times(args: argparse.Namespace, out: Path) -> str:
    """A step of the fit and its stages, beside the floor and torch."""
    from dsncodec.methods.latentgrid.kernels.latents import RowSample
    from dsncodec.methods.latentgrid.objective import LEARN_EVERY, RDObjective
    from dsncodec.methods.latentgrid.weights import Weights, random_weights

    from .latentgrid_rate import mac_rates

    rows, columns = TIMED
    names = ("soft_round", "rate", "upsample", "synthesise", "upsample_back", "step")
    found = []
    for threads in (1, 2):
        objective = RDObjective(sample(rows, columns), threads)
        rng = np.random.default_rng(0)
        for grid in objective.latents:
            grid[:] = rng.normal(0, 2, grid.shape)
        nets, gradient = random_weights(32, 0), Weights.zeros(32)
        stages: dict[str, Callable[[], Any]] = {
            "soft_round": lambda: objective.soft_round(0.3, 0.2, 1),
            "rate": lambda: objective.rate(nets, gradient, learn_from=RowSample(LEARN_EVERY, 1)),
            "upsample": lambda: objective.upsample(nets),
            "synthesise": lambda: objective.synthesise(nets, gradient, learn_from=RowSample(LEARN_EVERY, 1)),
            "upsample_back": lambda: objective.upsample_back(nets, gradient),
            "step": lambda: objective.step(0.01, 0.05),
        }
        each = {name: best_ms(stages[name]) for name in names}

        def whole() -> None:
            objective.soft_round(0.3, 0.2, 1)
            objective.gradients(nets, 0.01, 1)
            objective.step(0.01, 0.05)

        total = best_ms(whole)
        objective.close()
        through, to_weights = (macs * rows * columns for macs in macs_per_pixel(32))
        with ThreadPoolExecutor(threads) as pool:
            rates = [sum(side) for side in zip(*pool.map(lambda _: mac_rates(), range(threads)))]
        floor = 1e3 * (through / rates[0] + to_weights / rates[1])
        other = torch_ms(rows, columns, threads)
        found.append(
            [
                str(threads),
                f"{total:.1f}",
                *(f"{each[name]:.1f}" for name in names),
                f"{floor:.1f}",
                f"{total / floor:.2f}",
                "-" if other is None else f"{other:.0f}",
                "-" if other is None else f"{other / total:.1f}",
            ]
        )
    return (
        f"# A step of a fit of latent grids\n\n{columns} x {rows} pixels, milliseconds, the fastest of {REPEATS}. "
        f"Floor: {sum(macs_per_pixel(32)):.0f} MACs a pixel at the rate of the products of small matrices alone, measured on as many threads. "
        "torch: the same computation, to weights from all rows, in float32, by autograd, as many threads.\n\n"
        + table(["threads", "step of all", *names, "floor", "over floor", "torch", "torch over ours"], found)
    )


def torch_ms(rows: int, columns: int, threads: int) -> float | None:
    """The same step by torch, or None where it is not installed."""
    try:
        from .latentgrid_torch import stepper
    except ModuleNotFoundError:
        return None
    return best_ms(stepper(sample(rows, columns), threads))


def decoding(args: argparse.Namespace, out: Path) -> str:
    """The time to decode a file, with and without machine code, beside libavif's."""
    rgb = sample(*TIMED)
    budget = budgets(args)[0]
    data = fitted(rgb, 64, budget, args.threads)
    quality = min(AVIF_QUALITIES, key=lambda q: abs(len(of_avif(rgb, q)) - len(data)))
    other = of_avif(rgb, quality)
    milliseconds = {"numba": best_ms(lambda: dsncodec.decode(data, threads=1))}
    kept = os.environ.get("DSNCODEC_NUMBA")
    try:
        os.environ["DSNCODEC_NUMBA"] = "0"
        milliseconds["NumPy"] = best_ms(lambda: dsncodec.decode(data, threads=1), 2)
    finally:
        if kept is None:
            del os.environ["DSNCODEC_NUMBA"]
        else:
            os.environ["DSNCODEC_NUMBA"] = kept
    threads = AvifImagePlugin.DEFAULT_MAX_THREADS
    try:
        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
        milliseconds["libavif"] = best_ms(lambda: opened(other))
    finally:
        AvifImagePlugin.DEFAULT_MAX_THREADS = threads
    rows = [
        [
            name,
            f"{len(other if name == 'libavif' else data)}",
            f"{ms:.1f}",
            f"{ms / milliseconds['libavif']:.1f}",
        ]
        for name, ms in milliseconds.items()
    ]
    return (
        f"# Decoding latent grids\n\n{TIMED[1]} x {TIMED[0]} pixels made by formula, quality 64, {budget}; one thread, the fastest of {REPEATS}; "
        "AVIF of nearly as many bytes.\n\n" + table(["reader", "bytes", "ms", "times libavif"], rows)
    )


# --- pictures that are no photographs


def hard_pictures() -> dict[str, UInt8Array]:
    """What a fit might make grey of."""
    art = Image.new("RGB", (192, 128), "white")
    pen = ImageDraw.Draw(art)
    for k in range(6):
        pen.line((8, 8 + 20 * k, 184, 120 - 18 * k), fill="black")
        pen.ellipse((20 + 22 * k, 30, 60 + 22 * k, 70), outline="black")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    return {
        "white": np.full((64, 96, 3), 255, np.uint8),
        "black": np.zeros((64, 96, 3), np.uint8),
        "1 x 1": np.full((1, 1, 3), (200, 30, 90), np.uint8),
        "line art": np.asarray(art),
        "noise": noise,
    }


def hard(args: argparse.Namespace, out: Path) -> str:
    """Bytes and PSNR of such pictures, and whether what came back is flat where the picture is not."""
    rows = []
    for name, rgb in hard_pictures().items():
        for budget in budgets(args):
            data = fitted(rgb, 75, budget, args.threads)
            found = opened(data)
            psnr = psnr_db(rgb, found)
            contrast = np.std(found.astype(float)) / max(np.std(rgb.astype(float)), 1e-9)
            flat = "-" if np.ptp(rgb) == 0 or rgb.shape[:2] == (1, 1) else "YES" if contrast < 0.1 else "no"
            size = f"{rgb.shape[1]} x {rgb.shape[0]}"
            rows.append(
                [
                    name,
                    size,
                    str(budget),
                    str(len(data)),
                    "lossless" if np.isinf(psnr) else f"{psnr:.2f}",
                    flat,
                ]
            )
    return "# Pictures that are no photographs\n\nQuality 75.\n\n" + table(
        ["picture", "size", "budget", "bytes", "PSNR, dB", "came back flat"], rows
    )
