"""Table 3 of the DSN paper: networks retrained on bicubic and on Down-SNet inputs, x3 luma PSNR."""

from __future__ import annotations

import argparse
import functools
import os
import shlex
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

import dsncodec
from dsncodec.metrics import psnr_db
from dsncodec.networks.inference import Network
from dsncodec.train.data.images import PackedImages
from dsncodec.train.export.onnx import to_onnx
from dsncodec.train.nets.sampling import SamplingConfig, UpSNet
from dsncodec.train.recipe import OptimSettings
from dsncodec.train.trainer import make_optimizers, rate_factor

from ..common import (
    FloatArray,
    UInt8Array,
    coded,
    cropped,
    image_paths,
    in_parallel,
    resized,
    rgb_of,
    studio_luma,
    to_uint8,
    without_border,
)
from ..results import table, write_csv, write_report
from .sr_nets import SRCNN, VDSR, channels_last

SCALE = 3
SETS = ("Set5", "Set14", "B100", "Urban100 (first 50)")
# Cai et al. 2017, Table 3: PSNR in dB over bicubic and over Down-SNet inputs, for each of SETS
PAPER = {
    "SRCNN": ((32.75, 33.24), (29.30, 29.78), (28.41, 28.67), (26.24, 26.90)),
    "VDSR": ((33.66, 33.85), (29.77, 29.93), (28.82, 29.11), (27.14, 28.02)),
    "Up-SNet": ((33.67, 33.98), (29.80, 30.19), (28.58, 28.92), (26.81, 27.66)),
}
PAPER_CO_TRAINED = (34.29, 30.30, 28.99, 28.03)
L2_FROM = 0.6  # of the budget: L1 before, squared error after, as in the recipe of the published x3 weights
L2_SIZE = 0.04  # a typical L1, so that both losses have gradients of one size
HEADER = [
    "set, network",
    "bicubic",
    "paper",
    "difference",
    "Down-SNet",
    "paper",
    "difference",
    "gain",
    "paper's gain",
]
HEADER = [
    "set, network",
    "bicubic",
    "paper",
    "difference",
    "Down-SNet",
    "paper",
    "difference",
    "gain",
    "paper",
]
CO_TRAINED = ("Up-SNet", "co-trained")
ENLARGED = "bicubic enlargement"
PUBLISHED_MINUTES = 56  # of training behind the published pair, see models/README.md


def shrunk_bicubically(luma: UInt8Array) -> UInt8Array:
    """Antialiased, 8-bit, 1/3 of the size."""
    rows, columns = luma.shape[0] // SCALE, luma.shape[1] // SCALE
    return to_uint8(resized(luma, rows, columns, Image.Resampling.BICUBIC))


def shrunk_by_down_snet(luma: UInt8Array) -> UInt8Array:
    """The published Down-SNet with 256 levels."""
    return np.asarray(dsncodec.downsample(luma, SCALE, threads=1))


DEGRADATIONS = {"bicubic": shrunk_bicubically, "Down-SNet": shrunk_by_down_snet}


def enlarged(small: UInt8Array) -> FloatArray:
    """Bicubic, three times the size, still in 0..255; not rounded."""
    return resized(small, SCALE * small.shape[0], SCALE * small.shape[1], Image.Resampling.BICUBIC)


@dataclass(frozen=True)
class Contender:
    """A network of the table and how it is trained: each step sees ``batch`` patches of ``patch`` image pixels.

    Batches and rates (of Adam, and of Muon for the wide convolutions) were chosen on tune/div2k256 in runs
    of a minute over bicubic inputs: at Up-SNet's rates VDSR diverges.
    """

    make: Callable[[], nn.Module]
    on_enlarged: bool  # its input is the bicubically enlarged picture, not the small one
    batch: int
    patch: int
    lr: float
    matrix_lr: float

    @property
    def macs_per_pixel(self) -> float:
        """Multiplications per pixel of the large picture."""
        weights = sum(w.numel() for w in self.make().parameters() if w.dim() == 4)
        return weights / (1 if self.on_enlarged else SCALE**2)

    def input_of(self, small: UInt8Array) -> FloatArray:
        """What the network sees of a small 8-bit plane: (rows, columns) float32, nominally 0..1."""
        return (enlarged(small) if self.on_enlarged else small.astype(np.float32)) / np.float32(255)

    def restored(self, network: Callable[[FloatArray], FloatArray], small: UInt8Array) -> UInt8Array:
        """The large 8-bit plane. ``network`` takes and gives (1, rows, columns)."""
        return to_uint8(network(self.input_of(small)[None])[0] * 255)


CONTENDERS = {
    "SRCNN": Contender(SRCNN, True, batch=8, patch=72, lr=1e-3, matrix_lr=0.03),
    "VDSR": Contender(VDSR, True, batch=4, patch=48, lr=3e-4, matrix_lr=0.005),
    "Up-SNet": Contender(
        lambda: UpSNet(SamplingConfig(scale=SCALE)), False, batch=16, patch=72, lr=1e-3, matrix_lr=0.03
    ),
}


class Pairs:
    """Whole pictures before and after degradation, and patches of both at one place.

    Patches lie on the grid of small pixels, so that the same seed gives the same places to every
    network and degradation. They are not turned or mirrored: Down-SNet is not symmetric, and its Up-SNet
    restores a small picture turned by a half 2.6 dB less well.
    """

    def __init__(self, lumas: list[UInt8Array], smalls: list[UInt8Array], contender: Contender) -> None:
        self.inputs, self.targets = [contender.input_of(small) for small in smalls], lumas
        self.ratio = 1 if contender.on_enlarged else SCALE  # of target pixels to input pixels
        self.areas = np.array([luma.size for luma in lumas]) / sum(luma.size for luma in lumas)

    def patches(self, rng: np.random.Generator, count: int, size: int) -> tuple[FloatArray, FloatArray]:
        """Random patches.

        Args:
            size: of a target patch in pixels, a multiple of SCALE; no picture is smaller.
        Returns:
            Inputs (count, 1, size/ratio, size/ratio) and targets (count, 1, size, size), float32, in 0..1.
        """
        inputs, targets = [], []
        for i in rng.choice(len(self.targets), count, p=self.areas):
            rows, columns = self.targets[i].shape
            top = SCALE * rng.integers(0, (rows - size) // SCALE + 1)
            left = SCALE * rng.integers(0, (columns - size) // SCALE + 1)
            inputs.append(_cut(self.inputs[i], top // self.ratio, left // self.ratio, size // self.ratio))
            targets.append(_cut(self.targets[i], top, left, size))
        return np.stack(inputs)[:, None], np.stack(targets)[:, None].astype(np.float32) / np.float32(255)


def _cut(plane: NDArray[Any], top: int, left: int, size: int) -> NDArray[Any]:
    return plane[top : top + size, left : left + size]


@dataclass
class Trained:
    """A network after its budget: averaged weights, and what the budget bought."""

    net: nn.Module = field(repr=False)
    path: Path  # of the same network as ONNX
    steps: int
    core_s: float
    wall_s: float
    squared_error: float  # over the last hundred or so batches, pixels in 0..1

    @functools.cached_property
    def network(self) -> Network:
        """In ONNX Runtime, on one thread."""
        return Network(self.path, 1)


def place(work: str | Path, name: str, degradation: str) -> Path:
    """Where the checkpoint of a network and its inputs lies."""
    return Path(work, f"{name}-on-{degradation}.pt".lower())


def kept(contender: Contender, path: Path, settings: dict[str, Any] | None = None) -> Trained | None:
    """A network that was trained before, under these settings or any, or None."""
    if not path.exists():
        return None
    state = torch.load(path, weights_only=True)
    if settings not in (None, state["settings"]):
        return None
    net = contender.make()
    net.load_state_dict(state["weights"])
    return Trained(net.eval(), path.with_suffix(".onnx"), **state["spent"])


def train(contender: Contender, pairs: Callable[[], Pairs], optim: OptimSettings, path: Path) -> Trained:
    """Train a network for a budget, or take the one that was already trained under the same settings.

    Args:
        pairs: makes the data; not called when nothing is left to do.
        optim: ``minutes`` are of the processor on one thread, which other processes do not use up.
        path: of the checkpoint; the network as ONNX is written beside it.
    """
    settings = {"optim": asdict(optim), "batch": contender.batch, "patch": contender.patch}
    found = kept(contender, path, settings)
    if found:
        return found
    weights, spent = _spend(contender, pairs(), optim)
    net = contender.make()
    net.load_state_dict(weights)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".onnx").write_bytes(to_onnx(net.eval(), (torch.rand(1, 1, 24, 24),), ["luma"]))
    partial = path.with_suffix(".partial")
    torch.save({"settings": settings, "weights": weights, "spent": spent}, partial)
    os.replace(partial, path)
    return Trained(net, path.with_suffix(".onnx"), **spent)


def _spend(contender: Contender, pairs: Pairs, optim: OptimSettings) -> tuple[dict[str, Any], dict[str, Any]]:
    """Averaged weights, and the fields of Trained that say what was spent on them."""
    torch.manual_seed(optim.seed)
    net = channels_last(contender.make())
    averaged = {name: weight.detach().clone() for name, weight in net.state_dict().items()}
    optimizers = make_optimizers(net, optim)
    rng = np.random.default_rng(optim.seed)
    step, core_s, running = 0, 0.0, 0.0
    started, wall_started = time.process_time(), time.monotonic()
    while step < optim.steps and core_s < 60 * optim.minutes:
        progress = max(step / optim.steps, core_s / (60 * optim.minutes))
        x, y = map(torch.from_numpy, pairs.patches(rng, contender.batch, contender.patch))
        with torch.autocast("cpu", torch.bfloat16, enabled=optim.bf16):
            restored = net(x.contiguous(memory_format=torch.channels_last))
        error = restored.float() - y
        squared = error.square().mean()
        (squared / L2_SIZE if progress >= L2_FROM else error.abs().mean()).backward()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["max_lr"] * rate_factor(optim, step, progress)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        decay = min(optim.ema, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(averaged.values()), list(net.state_dict().values()), 1 - decay)
        running = 0.99 * running + 0.01 * squared.item() if step else squared.item()
        step, core_s = step + 1, time.process_time() - started
    return averaged, {
        "steps": step,
        "core_s": core_s,
        "wall_s": time.monotonic() - wall_started,
        "squared_error": running,
    }


def training_lumas(data: str) -> list[UInt8Array]:
    """Studio luma of every training picture, cut to whole multiples of the scale; none smaller than a patch."""
    images = PackedImages.read([Path(data, "train")])
    lumas = [cropped(studio_luma(images[i]), SCALE) for i in range(len(images))]
    largest = max(contender.patch for contender in CONTENDERS.values())
    return [luma for luma in lumas if min(luma.shape) >= largest]


def train_all(data: str, work: str, minutes: float, steps: int, seed: int) -> dict[tuple[str, str], Trained]:
    """Every contender on every degradation, one after the other."""
    lumas = functools.cache(lambda: training_lumas(data))
    smalls = functools.cache(lambda degradation: [DEGRADATIONS[degradation](luma) for luma in lumas()])
    trained = {}
    for name, contender in CONTENDERS.items():
        optim = OptimSettings(
            optimizer="muon",
            lr=contender.lr,
            matrix_lr=contender.matrix_lr,
            minutes=minutes,
            steps=steps,
            threads=1,
            seed=seed,
        )
        for degradation in DEGRADATIONS:
            trained[name, degradation] = train(
                contender,
                lambda: Pairs(lumas(), smalls(degradation), contender),
                optim,
                place(work, name, degradation),
            )
            print(name, degradation, trained[name, degradation], flush=True)
    return trained


def luma_psnr_db(luma: UInt8Array, other: UInt8Array) -> float:
    """PSNR with SCALE border pixels left out."""
    a, b = (np.asarray(without_border(image, SCALE), np.uint8) for image in (luma, other))
    return psnr_db(a, b)


def measure(path: Path, trained: dict[tuple[str, str], Trained]) -> dict[tuple[str, str], float]:
    """PSNR in dB of every network over each of its inputs, of none, and of the published pair, on one picture."""
    luma = cropped(studio_luma(rgb_of(path)), SCALE)
    found = {}
    for degradation, shrink in DEGRADATIONS.items():
        small = shrink(luma)
        found[ENLARGED, degradation] = luma_psnr_db(luma, to_uint8(enlarged(small)))
        for name, contender in CONTENDERS.items():
            restored = contender.restored(trained[name, degradation].network, small)
            found[name, degradation] = luma_psnr_db(luma, restored)
    _, decoded = next(coded(luma, SCALE, [256], "jpegls", 0))
    found[CO_TRAINED] = luma_psnr_db(luma, decoded)
    return found


def _beside(ours: float, paper: float) -> tuple[str, str, str]:
    return f"{ours:.2f}", f"{paper:.2f}", f"{ours - paper:+.2f}"


def rows_of(name: str, psnr: dict[tuple[str, str], float]) -> list[tuple[str, ...]]:
    """The rows of one set: ours, the paper's and the difference for both inputs, then what Down-SNet gains."""
    bicubic, down = (psnr[ENLARGED, degradation] for degradation in DEGRADATIONS)
    rows: list[tuple[str, ...]] = [
        (f"{name}, {ENLARGED}", f"{bicubic:.2f}", "", "", f"{down:.2f}", "", "", f"{down - bicubic:+.2f}", "")
    ]
    for network, of_sets in PAPER.items():
        bicubic, down = (psnr[network, degradation] for degradation in DEGRADATIONS)
        paper_bicubic, paper_down = of_sets[SETS.index(name)]
        rows.append(
            (
                f"{name}, {network}",
                *_beside(bicubic, paper_bicubic),
                *_beside(down, paper_down),
                f"{down - bicubic:+.2f}",
                f"{paper_down - paper_bicubic:+.2f}",
            )
        )
    down, paper_down = psnr[CO_TRAINED], PAPER_CO_TRAINED[SETS.index(name)]
    bicubic, paper_bicubic = psnr["Up-SNet", "bicubic"], PAPER["Up-SNet"][SETS.index(name)][0]
    rows.append(
        (
            f"{name}, Up-SNet co-trained",
            "",
            "",
            "",
            *_beside(down, paper_down),
            f"{down - bicubic:+.2f}",
            f"{paper_down - paper_bicubic:+.2f}",
        )
    )
    return rows


def report(scores: dict[str, dict[tuple[str, str], float]], trained: dict[tuple[str, str], Trained]) -> str:
    """The whole page, from the mean PSNR of each set."""
    rows = [row for name, psnr in scores.items() for row in rows_of(name, psnr)]
    pairs = [(psnr[n, "bicubic"], psnr[n, "Down-SNet"]) for psnr in scores.values() for n in CONTENDERS]
    better = sum(down > bicubic for bicubic, down in pairs)
    spent = [
        (
            f"{name} on {degradation}",
            f"{one.core_s:.0f}",
            f"{one.wall_s:.0f}",
            one.steps,
            f"{one.steps * CONTENDERS[name].batch * CONTENDERS[name].patch ** 2 / 1e6:.0f}",
            f"{CONTENDERS[name].macs_per_pixel / 1000:.1f}",
            f"{-10 * np.log10(one.squared_error):.2f}",
        )
        for (name, degradation), one in trained.items()
    ]
    urban = "the first 50 pictures" if SETS[-1] in scores else "left out of this run"
    minutes = max(one.core_s for one in trained.values()) / 60
    return f"""# Networks retrained on bicubic and on Down-SNet inputs, x3 (paper's Table 3)

{table(HEADER, rows)}
Luma PSNR in dB; gain: Down-SNet minus bicubic, same network (co-trained: minus Up-SNet on bicubic). Down-SNet inputs are better in {better}
of {len(pairs)} cells of the retrained networks; in the paper in all 12.

Differences of protocol: each network had {minutes:.1f} minutes of one CPU core here, where the paper's DSN trained for about a day on a GPU (it does not say
how long the others did; its bicubic columns of SRCNN and VDSR are those networks' own published numbers). Data: t91, bsd200 and hq, the paper's
without hq. The co-trained pair is the one in models/, which had {PUBLISHED_MINUTES} minutes, so that its gain is not at equal budget. Urban100: {urban}.

Down-SNet is the one in models/, fixed, with 256 levels; bicubic is antialiased, 8-bit. SRCNN (9-5-5) and VDSR see the picture after bicubic
enlargement, at full resolution, so that a pixel costs them 4 and 43 times what it costs Up-SNet: equal seconds buy them fewer patches. Studio-range
luma, pictures cropped to multiples of 3, restored to 8 bits by ONNX Runtime in float32; {SCALE} border pixels left out; means over pictures.

## What the budget bought

{table(["network", "core s", "wall s", "steps", "megapixels", "kMAC/pixel", "training dB at the end"], spent)}
Patches by the million pixels of the large picture, the same places for both inputs; same seed, settings and schedule for both. Patches are
not turned or mirrored: Down-SNet is not symmetric, so that what it makes of a turned picture is not what it made of the picture, turned. Muon for the wide convolutions and Adam for the rest, cosine; L1, then squared error from {L2_FROM:.0%} of the
budget; averaged weights; bfloat16 autocast; torch {torch.__version__}, one thread. Nothing was chosen on the test sets.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument(
        "--work", default="runs/dsn-3", help="folder of the trained networks (default: %(default)s)"
    )
    parser.add_argument(
        "--minutes", type=float, default=5, help="of one core, a network (default: %(default)s)"
    )
    parser.add_argument(
        "--steps", type=int, default=1_000_000, help="at most, a network (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dry-run", action="store_true", help="print, but keep no results")


def command(args: argparse.Namespace) -> str:
    """What reproduces the page: the options that change numbers."""
    parts = [
        "python",
        "-m",
        "bench",
        "table",
        "dsn-3",
        "--minutes",
        f"{args.minutes:g}",
        "--sets",
        *args.sets,
    ]
    return shlex.join(parts)


def run(args: argparse.Namespace) -> int:
    """Train what is not trained yet, measure, print, and write dsn-3.csv and dsn-3.md."""
    torch.set_num_threads(1)
    trained = train_all(args.data, args.work, args.minutes, args.steps, args.seed)
    raw, scores = [], {}
    for name in args.sets:
        paths = image_paths(args.data, name)
        found = in_parallel(lambda path: measure(path, trained), paths)
        columns = list(found[0])
        raw += [(name, path.name, *(f"{one[key]:.4f}" for key in columns)) for path, one in zip(paths, found)]
        scores[name] = {key: float(np.mean([one[key] for one in found])) for key in columns}
        print(*rows_of(name, scores[name]), sep="\n", flush=True)
    text = report(scores, trained)
    if args.dry_run:
        print(text)
    else:
        header = [f"psnr_y_db {network} on {inputs}" for network, inputs in columns]
        write_csv("dsn-3.csv", ["set", "image", *header], raw)
        write_report("dsn-3.md", text, command(args))
    return 0
