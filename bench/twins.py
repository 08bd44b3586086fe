"""Learned sampling against its honest twins: average pooling, the same backend, bicubic or Lanczos."""

from __future__ import annotations

import argparse

import numpy as np
from PIL import Image

import dsncodec
from dsncodec import carriers
from dsncodec.methods.dsn.quantise import dequantise, quantise
from dsncodec.metrics import luma as full_luma
from dsncodec.metrics import psnr_db

from .common import UInt8Array, coded, cropped, image_paths, in_parallel, resized, rgb_of, to_uint8
from .results import table, write_csv, write_report

LEVELS = (256, 192, 128, 96, 64, 48, 32, 24, 16)
KERNELS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
GOAL_DB = 1.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--backend", default="jxl")
    parser.add_argument("--scales", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--sets", nargs="+", default=["Set14", "B100"])
    parser.add_argument("--efforts", type=int, nargs="+", default=[0, 5], help="(default: %(default)s)")
    parser.add_argument("--name", default="twins", help="of the result files (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="print, but keep no results")


def _twin(luma: UInt8Array, scale: int, levels: int, backend: str) -> tuple[int, dict[str, float]]:
    """Payload bytes, and PSNR in dB after each kernel."""
    rows, columns = luma.shape[0] // scale, luma.shape[1] // scale
    pooled = luma.reshape(rows, scale, columns, scale).mean((1, 3), dtype=np.float32) / 255
    symbols = quantise(pooled[None], levels)
    payload = carriers.encode(symbols, levels, backend, 5)
    small = dequantise(symbols, levels)[0] * 255
    height, width = luma.shape
    decoded = {name: to_uint8(resized(small, height, width, kernel)) for name, kernel in KERNELS.items()}
    return len(payload), {name: psnr_db(luma, image) for name, image in decoded.items()}


def gain_db(
    ours: list[tuple[float, float]], twin: list[tuple[float, float]]
) -> tuple[float, float, float, float]:
    """PSNR above a twin at equal bpp, over all rates both curves cover.

    Args:
        ours, twin: (bpp, PSNR in dB) points.
    Returns:
        Least and mean gain in dB, and the range of bpp. PSNR is interpolated linearly in ln(bpp).
    """
    (rate, psnr), (twin_rate, twin_psnr) = (np.array(sorted(curve)).T for curve in (ours, twin))
    low, high = max(rate[0], twin_rate[0]), min(rate[-1], twin_rate[-1])
    at = np.linspace(np.log(low), np.log(high), 200)
    gain = np.interp(at, np.log(rate), psnr) - np.interp(at, np.log(twin_rate), twin_psnr)
    return float(gain.min()), float(gain.mean()), float(low), float(high)


def measure(
    luma: UInt8Array, scale: int, backend: str, efforts: list[int]
) -> dict[str, list[tuple[float, float]]]:
    """Curve of each contender over one picture: (bpp, PSNR in dB) at each of LEVELS."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for effort in efforts:
        curves[f"effort {effort}"] = [
            (8 * len(data) / luma.size, psnr_db(luma, decoded))
            for data, decoded in coded(luma, scale, LEVELS, backend, effort)
        ]
    data, _ = next(coded(luma, scale, LEVELS[:1], backend, 0))
    around = len(data) - dsncodec.read_info(data).sections["LUMA"]  # the twin gets the same container
    for levels in LEVELS:
        size, twins = _twin(luma, scale, levels, backend)
        for kernel, value in twins.items():
            curves.setdefault(kernel, []).append((8 * (size + around) / luma.size, value))
    return curves


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write twins.csv and twins.md."""
    raw, rows, curves_text = [], [], ""
    ours = [f"effort {effort}" for effort in args.efforts]
    for scale in args.scales:
        for name in args.sets:
            lumas = [cropped(full_luma(rgb_of(path)), scale) for path in image_paths(args.data, name)]
            found = in_parallel(lambda luma: measure(luma, scale, args.backend, args.efforts), lumas)
            curves = {
                key: [tuple(point) for point in np.mean([one[key] for one in found], 0).tolist()]
                for key in found[0]
            }
            for key, curve in curves.items():
                raw += [(name, scale, key, q, f"{r:.5f}", f"{d:.4f}") for q, (r, d) in zip(LEVELS, curve)]
            better = max(KERNELS, key=lambda key: np.mean([psnr for _, psnr in curves[key]]))
            row: list[str] = [f"{name} x{scale}", better]
            for key in ours:
                least, mean, low, high = gain_db(curves[key], curves[better])
                row += [f"{least:+.2f}", f"{mean:+.2f}"]
            rows.append([*row, f"{low:.3f} to {high:.3f}"])
            print(rows[-1], flush=True)
            curves_text += f"\n{name} x{scale}, bpp / dB:\n\n" + table(
                ["levels", *curves],
                [
                    (q, *(f"{curves[key][i][0]:.3f} / {curves[key][i][1]:.2f}" for key in curves))
                    for i, q in enumerate(LEVELS)
                ],
            )
    header = ["set", "better twin"]
    for key in ours:
        header += [f"{key}: least gain dB", "mean gain dB"]
    header.append("bpp")
    text = f"""# Learned sampling against its twins at equal bytes

{table(header, rows)}
Goal: at least {GOAL_DB} dB at every rate. Effort 0 is Down-SNet alone; effort 5, the default, refines its latent.

Protocol: full-range luma as grey pictures, cropped to whole multiples of the scale; backend `{args.backend}`; the
twin is average pooling by the scale -> the same Q-BReLU levels -> the same backend in the same container ->
bicubic or Lanczos. bpp and PSNR are means over the set at one number of levels; PSNR over the whole picture;
curves over levels {LEVELS[0]}..{LEVELS[-1]}, interpolated in ln(bpp) over all rates that both cover.

<!-- details -->
{curves_text}"""
    if args.dry_run:
        print(text)
    else:
        write_csv(f"{args.name}.csv", ["set", "scale", "codec", "levels", "bpp", "psnr_y_db"], raw)
        write_report(f"{args.name}.md", text, args.command)
    return 0
