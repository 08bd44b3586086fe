"""Figure 9 of the DSN paper: luma PSNR on Set5 x3 against the time of up-sampling, one thread of a CPU."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import onnx
import torch
from PIL import Image
from torch import nn

import dsncodec
from dsncodec.methods.dsn.colours import luma_latent
from dsncodec.networks import registry
from dsncodec.train.nets.sampling import SamplingConfig, UpSNet

from .. import results
from ..common import FloatArray, UInt8Array, cropped, image_paths, rgb_of, studio_luma, to_uint8
from ..results import table, write_csv, write_report
from .dsn3 import (
    CONTENDERS,
    DEGRADATIONS,
    PUBLISHED_MINUTES,
    SCALE,
    Contender,
    Trained,
    enlarged,
    kept,
    luma_psnr_db,
    place,
)
from .sr_nets import channels_last

# PSNR in dB on Set5 x3: Cai et al. 2017, Table 4; SRCNN from Table 3
PUBLISHED = {
    "SRCNN": 32.75,
    "FSRCNN": 33.16,
    "VDSR": 33.66,
    "DRCN": 33.82,
    "DRRN": 34.03,
    "MemNet": 34.09,
    "DSN": 34.29,
}
RETRAINED = [("SRCNN", "bicubic"), ("VDSR", "bicubic"), ("Up-SNet", "bicubic"), ("Up-SNet", "Down-SNet")]
OURS = "DSN, ours"  # the pair in models/
COLOURS = {"bicubic": "#7f7f7f", "SRCNN": "#c44e52", "VDSR": "#8172b3", "Up-SNet": "#dd8452", OURS: "#1f77b4"}


@dataclass(frozen=True)
class Way:
    """One way to enlarge the pictures of the set: a network, its inputs, and what runs it."""

    name: str
    runtime: str
    inputs: str  # a key of DEGRADATIONS
    restore: Callable[[UInt8Array], UInt8Array]

    @property
    def label(self) -> str:
        """What it is called in the table and the figure."""
        return self.name if self.name in ("bicubic", OURS) else f"{self.name} on {self.inputs}"


def in_torch(net: nn.Module) -> Callable[[FloatArray], FloatArray]:
    """A network over (1, rows, columns) in eager torch, channels last, which is its faster layout."""
    net = channels_last(net.eval())

    def call(plane: FloatArray) -> FloatArray:
        with torch.inference_mode():
            return net(torch.from_numpy(plane)[None].contiguous(memory_format=torch.channels_last))[0].numpy()

    return call


def published_up_snet() -> UpSNet:
    """The published Up-SNet as a torch module: its graph stores the weights under torch's own names."""
    graph = onnx.load(registry.checked_path(registry.for_scale(SCALE), "up")).graph
    state = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in graph.initializer}
    net = UpSNet(SamplingConfig(scale=SCALE))
    net.load_state_dict({name: state[name] for name in net.state_dict()})
    return net


def latent(small: UInt8Array) -> UInt8Array:
    """What the published Up-SNet is given, of a picture that ``downsample`` shows."""
    luma = small.astype(np.float32) / np.float32(255)
    return to_uint8(luma_latent(luma, registry.for_scale(SCALE).layer_map) * np.float32(255))


def retrained(work: str | Path) -> dict[tuple[str, str], Trained]:
    """The networks of Table 3 that the figure shows; SystemExit when they are not there."""
    found = {key: kept(CONTENDERS[key[0]], place(work, *key)) for key in RETRAINED}
    if missing := [" on ".join(key) for key, one in found.items() if one is None]:
        raise SystemExit(
            f"not trained in {work}: {', '.join(missing)}; run `python -m bench table dsn-3` first"
        )
    return {key: one for key, one in found.items() if one}


def ways(trained: dict[tuple[str, str], Trained]) -> list[Way]:
    """Everything that is measured; each network in both runtimes."""
    found = [Way("bicubic", "Pillow", "bicubic", lambda small: to_uint8(enlarged(small)))]
    for (name, inputs), one in trained.items():
        for runtime, network in (("ONNX Runtime", one.network), ("eager torch", in_torch(one.net))):
            found.append(Way(name, runtime, inputs, partial(CONTENDERS[name].restored, network)))
    up = in_torch(published_up_snet())
    return [
        *found,
        Way(
            OURS,
            "ONNX Runtime",
            "Down-SNet",
            lambda small: np.asarray(dsncodec.upsample(Image.fromarray(small), SCALE, threads=1)),
        ),
        Way(
            OURS, "eager torch", "Down-SNet", lambda small: CONTENDERS["Up-SNet"].restored(up, latent(small))
        ),
    ]


@dataclass(frozen=True)
class Point:
    """A way with its mean PSNR over the set, and seconds per picture of each run over the whole set."""

    way: Way
    psnr_db: float
    times_s: list[float]  # of the processor

    @property
    def median_ms(self) -> float:
        """Of all runs, per picture."""
        return 1000 * statistics.median(self.times_s)


def measure(lumas: list[UInt8Array], found: list[Way], runs: int) -> list[Point]:
    """Quality of each way, which warms it up, then its time: all ways in turn, ``runs`` times.

    Time is the processor's, spent by this process in its one thread: other work on the machine matters less.
    """
    smalls = {name: [shrink(luma) for luma in lumas] for name, shrink in DEGRADATIONS.items()}
    psnr = [
        float(np.mean([luma_psnr_db(a, way.restore(b)) for a, b in zip(lumas, smalls[way.inputs])]))
        for way in found
    ]
    times: list[list[float]] = [[] for _ in found]
    for _ in range(runs):
        for way, of_way in zip(found, times):
            started = time.process_time()
            for small in smalls[way.inputs]:
                way.restore(small)
            of_way.append((time.process_time() - started) / len(lumas))
    return [Point(way, psnr_db, of_way) for way, psnr_db, of_way in zip(found, psnr, times)]


def spread_apart(values: list[float], gap: float) -> list[float]:
    """Rising values moved as little as keeps neighbours ``gap`` apart: where labels may stand.

    >>> spread_apart([1.0, 1.0, 5.0], 2.0)
    [0.0, 2.0, 5.0]
    """
    groups: list[list[float]] = []
    for value in values:
        groups.append([value])
        while len(groups) > 1 and _start(groups[-1], gap) < _start(groups[-2], gap) + gap * len(groups[-2]):
            last = groups.pop()
            groups[-1] += last
    return [_start(group, gap) + gap * i for group in groups for i in range(len(group))]


def _start(group: list[float], gap: float) -> float:
    """Where the first label of a group stands whose labels are ``gap`` apart around their mean."""
    return sum(group) / len(group) - gap * (len(group) - 1) / 2


def draw(points: list[Point], paths: list[Path]) -> None:
    """The scatter plot: filled for ONNX Runtime and Pillow, hollow for eager torch; published PSNR at the right."""
    style = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "svg.hashsalt": "dsn-9",
        "axes.edgecolor": "#888888",
        "xtick.color": "#444444",
        "ytick.color": "#444444",
    }
    with plt.rc_context(style):
        figure, axes = plt.subplots(figsize=(8, 4.8), layout="constrained")
        by_label: dict[str, list[Point]] = {}
        for point in points:
            by_label.setdefault(point.way.label, []).append(point)
        for label, of_label in by_label.items():
            colour = COLOURS[of_label[0].way.name]
            axes.plot(
                [p.median_ms for p in of_label], [p.psnr_db for p in of_label], color=colour, lw=1, alpha=0.4
            )
            for point in of_label:
                times_ms = [1000 * time for time in point.times_s]
                low, high = point.median_ms - min(times_ms), max(times_ms) - point.median_ms
                hollow = point.way.runtime == "eager torch"
                axes.errorbar(
                    point.median_ms,
                    point.psnr_db,
                    xerr=[[low], [high]],
                    fmt="*" if label == OURS else "o",
                    ms=13 if label == OURS else 7,
                    color=colour,
                    mfc="white" if hollow else colour,
                    elinewidth=1,
                    capsize=2,
                    zorder=3,
                )
            first = min(of_label, key=lambda p: p.median_ms)
            axes.annotate(
                label,
                (first.median_ms, first.psnr_db),
                # Up-SNet stands right below our pair
                (0, -17 if first.way.name == "Up-SNet" else 9),
                textcoords="offset points",
                ha="center",
                color=colour,
                weight="bold" if label == OURS else "normal",
            )
        low, high = axes.get_ylim()
        high = max(high, max(PUBLISHED.values()) + 0.15)
        axes.set(
            xscale="log",
            ylim=(low, high),
            xlabel="milliseconds of one processor per picture, mean over Set5 (log scale)",
            ylabel="PSNR of luma, dB",
            title="Set5, x3: quality against time of up-sampling on one CPU thread",
        )
        axes.xaxis.set_major_formatter("{x:g}")
        axes.grid(color="#e6e6e6", lw=0.7)
        axes.set_axisbelow(True)
        places = spread_apart(list(PUBLISHED.values()), (high - low) / 26)
        beside = axes.get_yaxis_transform()  # x in parts of the axes, y in dB
        for (name, psnr), place_db in zip(PUBLISHED.items(), places):
            axes.plot(
                [0.985, 1.015, 1.03],
                [psnr, psnr, place_db],
                color="#888888",
                lw=0.8,
                transform=beside,
                clip_on=False,
            )
            axes.text(
                1.035, place_db, f"{name} {psnr:.2f}", transform=beside, va="center", color="#555555", size=8
            )
        axes.text(
            1.035,
            places[-1] + (high - low) / 22,
            "published",
            transform=beside,
            va="center",
            color="#555555",
            size=8,
            style="italic",
        )
        for label, face in (("ONNX Runtime, Pillow", "#555555"), ("eager torch", "white")):
            axes.plot([], [], "o", ms=6, color="#555555", mfc=face, label=label)
        axes.legend(loc="lower right", frameon=False)
        for path in paths:
            metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
            figure.savefig(path, dpi=160, metadata=metadata)
        plt.close(figure)


def report(points: list[Point], runs: int, minutes: float) -> str:
    """The page under the figure."""
    ours = next(p for p in points if p.way.label == OURS)
    rows = []
    for p in points:
        ratio = statistics.median(a / b for a, b in zip(p.times_s, ours.times_s))
        macs = "" if p.way.name == "bicubic" else f"{_contender(p).macs_per_pixel / 1000:.1f}"
        rows.append(
            (
                p.way.label,
                p.way.runtime,
                f"{p.psnr_db:.2f}",
                f"{p.median_ms:.1f}",
                f"{1000 * min(p.times_s):.1f} to {1000 * max(p.times_s):.1f}",
                f"{ratio:.2f}",
                macs,
            )
        )
    rows += [(f"{name}, published", "", f"{psnr:.2f}", "", "", "", "") for name, psnr in PUBLISHED.items()]
    header = ["network", "runtime", "PSNR dB", "median ms", "range ms", "times ours", "kMAC/pixel"]
    return f"""# Quality against time of up-sampling, Set5 x3 (paper's Figure 9)

![PSNR against milliseconds per picture](dsn-9.svg)

{table(header, rows)}
From the small 8-bit picture to the large one, enlargement and rounding included, on one CPU thread; processor time per picture, mean over Set5. Medians of {runs}
interleaved runs after a warm-up; "times ours" is the median ratio to our pair in ONNX Runtime within a run. PSNR as in dsn-3.md.

The retrained networks had {minutes:.1f} minutes of one core each (dsn-3.md), our pair {PUBLISHED_MINUTES}: their times compare, their PSNR only among the
retrained. Rows marked "published" are PSNR from the paper's Tables 3 and 4; their times on this machine are not known, and the paper's figure was
measured on another (Xeon E5-2620, GTX 1080). Our pair goes through `dsncodec.upsample`, by tiles; the other networks take the whole picture.
Eager torch is {torch.__version__}, channels last. Filled marks: ONNX Runtime and Pillow; hollow: eager torch; bars: the range.
"""


def _contender(point: Point) -> Contender:
    return CONTENDERS["Up-SNet" if point.way.name == OURS else point.way.name]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument(
        "--work", default="runs/dsn-3", help="where dsn-3 left its networks (default: %(default)s)"
    )
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--dry-run", action="store_true", help="print, but keep no results")


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write dsn-9.csv, dsn-9.md, dsn-9.svg and dsn-9.png."""
    torch.set_num_threads(1)
    trained = retrained(args.work)
    lumas = [cropped(studio_luma(rgb_of(path)), SCALE) for path in image_paths(args.data, "Set5")]
    points = measure(lumas, ways(trained), args.runs)
    text = report(points, args.runs, max(one.core_s for one in trained.values()) / 60)
    if args.dry_run:
        print(text)
    else:
        raw = [
            (p.way.label, p.way.runtime, f"{p.psnr_db:.4f}", i, f"{seconds:.6f}")
            for p in points
            for i, seconds in enumerate(p.times_s)
        ]
        write_csv("dsn-9.csv", ["network", "runtime", "psnr_y_db", "run", "seconds_per_picture"], raw)
        draw(points, [results.RESULTS / f"dsn-9{suffix}" for suffix in (".svg",)])
        write_report("dsn-9.md", text, "python -m bench table dsn-9")
    return 0
