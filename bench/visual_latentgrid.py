"""Latent grids fitted for the eye and for squared error beside Pillow's default AVIF.

Whole files at budgets counted in steps, so that other work on the machine changes nothing. Referees: SSIMULACRA 2 (ours),
Butteraugli's 3-norm (``butteraugli_main`` of libjxl, where it is installed), LPIPS with AlexNet (its weights lie in
``loss_network/`` of the data; needs torch), and RGB PSNR. And what a step of both fits takes, part by part.
"""

from __future__ import annotations

import argparse
import functools
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

import dsncodec
from dsncodec.bench import referees
from dsncodec.bench.peers import saved
from dsncodec.bench.perceptual import Lpips
from dsncodec.metrics import bd_rate, psnr_db, ssimulacra2

from . import results
from .common import UInt8Array, image_paths, opened, rgb_of
from .results import GrowingTable, Row, table

SETS = {"Set14": 1, "B100": 1, "Urban100 (first 50)": 2}  # and by how much their pictures are reduced
QUALITIES = (30, 55, 75)
AVIF_QUALITIES = tuple(range(10, 95, 12))
TUNES = ("visual", "psnr")
REFEREES = ("ssimulacra2", "butteraugli_3norm", "lpips_alex", "psnr_db")
FALLING = ("butteraugli_3norm", "lpips_alex")
HEADER = ("codec", "steps", "quality", "picture", "bytes", "bpp", *REFEREES, "encode_s")
TIMED = (512, 768)
REPEATS = 9
THREADS = (1, 2)
WHOLE = "a step, psnr"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--part", choices=("curves", "time"), default="curves", help="(default: %(default)s)")
    parser.add_argument("--out", metavar="DIR", help="default: bench/results/VERSION/latentgrid")
    parser.add_argument("--pictures", nargs="+", metavar="SET/STEM", help="default: all of the sets")
    parser.add_argument("--steps", type=int, nargs="+", default=(1500,), help="(default: %(default)s)")
    parser.add_argument("--qualities", type=int, nargs="+", default=QUALITIES, metavar="Q")
    parser.add_argument("--tunes", nargs="+", choices=TUNES, default=TUNES)


def run(args: argparse.Namespace) -> int:
    """One part, and its report."""
    out = Path(args.out) if args.out else results.RESULTS / "latentgrid"
    out.mkdir(parents=True, exist_ok=True)
    text = curves(args, out) if args.part == "curves" else times()
    results.write_report("visual.md" if args.part == "curves" else "visual-time.md", text, args.command, out)
    return 0


# --- referees


@functools.cache
def _lpips(data: str) -> referees.Judge:
    return Lpips(f"{data}/loss_network").of


def butteraugli(reference: UInt8Array, image: UInt8Array) -> float:
    """The 3-norm: lower is better; NaN where the program is not installed."""
    if shutil.which(referees.BUTTERAUGLI) is None:
        return float("nan")
    return referees.butteraugli(reference, image)


# --- files


class Rows(GrowingTable):
    """What was coded, by the first four columns."""

    def __init__(self, path: Path, data: str) -> None:
        super().__init__(path, HEADER, 4)
        self.data = data

    def code(self, key: tuple[str, str, str, str], rgb: UInt8Array, encode: Callable[[], bytes]) -> None:
        """Code, decode and judge, unless it was done."""
        if self.find(key) is not None:
            return
        begun = time.perf_counter()
        data = encode()
        seconds = time.perf_counter() - begun
        found = opened(data)
        judged = (
            ssimulacra2(rgb, found),
            butteraugli(rgb, found),
            _lpips(self.data)(rgb)(found),
            psnr_db(rgb, found),
        )
        rate = 8 * len(data) / (rgb.shape[0] * rgb.shape[1])
        scores = (f"{value:.5f}" for value in judged)
        self.add((*key, str(len(data)), f"{rate:.4f}", *scores, f"{seconds:.1f}"))


def pictures(args: argparse.Namespace) -> list[tuple[str, UInt8Array]]:
    """(set/stem, RGB) of what is asked for; grey ones are left out."""
    found = []
    for name, reduced in SETS.items():
        for path in image_paths(args.data, name):
            title = f"{name.split()[0]}/{path.stem}"
            if args.pictures and title not in args.pictures:
                continue
            rgb = rgb_of(path)
            if reduced > 1:
                size = rgb.shape[1] // reduced, rgb.shape[0] // reduced
                rgb = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))
            if not (rgb == rgb[..., :1]).all():
                found.append((title, rgb))
    return found


def curves(args: argparse.Namespace, out: Path) -> str:
    """Code what is not there yet; BD-rates by every referee."""
    store = Rows(out / "visual.csv", args.data)
    chosen = pictures(args)
    for title, rgb in chosen:
        for quality in AVIF_QUALITIES:
            store.code(("avif", "", str(quality), title), rgb, lambda: saved(rgb, "AVIF", quality=quality))
    for steps in args.steps:
        for title, rgb in chosen:
            for quality in args.qualities:
                for tune in args.tunes:
                    options = dsncodec.LatentGrid(steps=steps, tune=tune)
                    store.code(
                        (tune, str(steps), str(quality), title),
                        rgb,
                        lambda: dsncodec.encode(rgb, options, quality=quality, threads=1),
                    )
    return report(store.rows)


def report(rows: list[Row]) -> str:
    """Means and pictures, one table a budget and tune."""
    text = [
        "# Latent grids fitted for the eye beside Pillow's default AVIF\n\nWhole files. BD-rate in percent (PCHIP), negative: fewer "
        "bytes at the same score. The fit for the eye lessens SSIMULACRA 2 and a simplified Butteraugli; no fit saw LPIPS.\n"
    ]
    kinds = sorted({(row["codec"], int(row["steps"])) for row in rows if row["steps"]})
    for tune, steps in kinds:
        own = [row for row in rows if (row["codec"], row["steps"]) == (tune, str(steps))]
        stems = list(dict.fromkeys(row["picture"] for row in own))
        body, found = [], []
        for stem in stems:
            mine = [row for row in own if row["picture"] == stem]
            theirs = [row for row in rows if row["codec"] == "avif" and row["picture"] == stem]
            values = [saving(theirs, mine, referee) for referee in REFEREES]
            found.append(values)
            rates = sorted(float(row["bpp"]) for row in mine)
            body.append([stem, f"{rates[0]:.2f} to {rates[-1]:.2f}", *map(_percent, values)])
        worse = [sum(value > 0 for value in column) for column in zip(*found)]
        groups = [("all", found)]
        for name in dict.fromkeys(stem.split("/")[0] for stem in stems):
            groups.append((name, [row for stem, row in zip(stems, found) if stem.startswith(f"{name}/")]))
        means = [
            [
                f"**{name}, {len(of)} picture{'s' * (len(of) > 1)}**",
                "",
                *(_percent(float(np.nanmean(column))) for column in zip(*of)),
            ]
            for name, of in groups
        ]
        means.append(["pictures that need more bytes", "", *map(str, worse)])
        text.append(f"## tune={tune}, {steps} steps\n")
        head = ["picture", "bpp", "SSIMULACRA 2", "Butteraugli, 3-norm", "LPIPS-alex", "PSNR"]
        text.append(table(head, [*means, *body]))
    return "\n".join(text)


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:+.1f}"


def saving(anchor: list[Row], test: list[Row], referee: str) -> float:
    """BD-rate in percent; NaN without a common range."""
    sign = -1 if referee in FALLING else 1
    theirs, ours = (
        sorted((float(row["bpp"]), sign * float(row[referee])) for row in rows) for rows in (anchor, test)
    )
    try:
        return bd_rate(theirs, ours)
    except dsncodec.SettingError:
        return float("nan")


# --- time


def times() -> str:
    """A step of both fits on one thread and on two, in one run: milliseconds, and in parts of the psnr fit's step."""
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (16, 24, 3), np.uint8))
    rgb = np.asarray(smooth.resize(TIMED[::-1], Image.Resampling.BICUBIC))
    parts = [_parts(rgb, threads) for threads in THREADS]
    found: list[dict[str, list[float]]] = [{name: [] for name in of} for of in parts]
    for repeat in range(REPEATS + 1):
        for of, kept in zip(parts, found):
            for name, work in of.items():
                # a fit does it again and again: threads and caches are warm
                work()
                begun = time.perf_counter()
                work()
                if repeat:
                    kept[name].append(1e3 * (time.perf_counter() - begun))
    medians = [{name: float(np.median(values)) for name, values in kept.items()} for kept in found]
    body = [
        [name, *(cell for of in medians for cell in (f"{of[name]:.1f}", f"{of[name] / of[WHOLE]:.2f}"))]
        for name in medians[0]
    ]
    text = f"# Time of a step\n\n{TIMED[1]} x {TIMED[0]}, medians of {REPEATS}, in milliseconds and in steps of the psnr fit.\n\n"
    head = ["part"]
    for threads in THREADS:
        head += [f"{threads} thread{'s' * (threads > 1)}, ms", "of a step, psnr"]
    return text + table(head, body)


def _parts(rgb: UInt8Array, threads: int) -> dict[str, Callable[[], object]]:
    """What is timed: a step of both fits, and what of it is distortion. Decoding is that of a file of either."""
    from dsncodec.methods.latentgrid.objective import RDObjective
    from dsncodec.methods.latentgrid.visual import Distortion
    from dsncodec.methods.latentgrid.weights import random_weights

    rng = np.random.default_rng(0)
    weights = random_weights(32, 0)
    parts: dict[str, Callable[[], object]] = {}
    for tune in TUNES:
        objective = RDObjective(rgb, threads, visual=tune == "visual")
        for latents in objective.latents:
            latents[:] = rng.normal(0, 1, latents.shape)

        def step(objective: RDObjective = objective) -> None:
            objective.soft_round(0.3, 0.2, 1)
            objective.gradients(weights, 1e-3, 1)
            objective.step(1e-3, 0.01)

        parts[f"a step, {tune}"] = step
        if isinstance(objective.visual, Distortion):
            seen, out = objective.visual, np.empty_like(objective.target)
            near = np.float32(0.9) * objective.target
            parts["of it the distortion and its gradient"] = lambda: seen.value_and_gradient(near, out)
            parts["of that SSIMULACRA 2"] = lambda: seen.seen.value_and_gradient(near, out)
            parts["the distortion alone"] = lambda: seen.value(near)
    for tune in TUNES:
        data = dsncodec.encode(rgb, dsncodec.LatentGrid(steps=20, tune=tune), quality=40, threads=1)
        parts[f"decoding a file, {tune}"] = functools.partial(dsncodec.decode, data, threads=threads)
    return parts
