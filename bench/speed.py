"""Encode and decode speed of a 512 x 768 picture, beside eager torch, AVIF and JPEG XL, in one run."""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

import dsncodec
from dsncodec.methods.dsn.bitstream import parse
from dsncodec.methods.dsn.quantise import dequantise, dequantise_chroma
from dsncodec.methods.sections import read_structure
from dsncodec.networks import registry
from dsncodec.planes import to_pixels

from .common import UInt8Array, image_paths, rgb_of
from .results import table, write_report

MEGAPIXELS = 512 * 768 / 1e6
AVIF: dict[str, Any] = {"quality": 60, "speed": 6, "subsampling": "4:4:4", "advanced": {"tune": "psnr"}}
JXL: dict[str, Any] = {"distance": 1.5, "effort": 7}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--scales", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--dry-run", action="store_true", help="print, but keep no results")


def picture(data: str) -> UInt8Array:
    """512 x 768 pixels of a photo."""
    return np.ascontiguousarray(rgb_of(image_paths(data, "Urban100 (first 50)")[3])[:512, :768])


def avif_file(image: Image.Image, threads: int) -> bytes:
    """The picture as AVIF."""
    buffer = io.BytesIO()
    image.save(buffer, "AVIF", **AVIF, max_threads=threads)
    return buffer.getvalue()


def torch_decoder(data: bytes, threads: int) -> Callable[[], UInt8Array]:
    """The same file through the same networks in eager torch, whole frame, from parse to pixels."""
    import torch

    from dsncodec import container, reading
    from dsncodec.train.nets.sampling import SamplingConfig, SamplingNets

    scale = dsncodec.read_info(data).scale
    nets = SamplingNets(SamplingConfig(scale=scale)).eval()
    _load_onnx_weights(nets, scale)

    def decode() -> UInt8Array:
        torch.set_num_threads(threads)
        with reading.opened(data) as stream, torch.inference_mode():
            header, sections, _ = read_structure(stream, None)
            layer = parse(header, dict(container.iter_payloads(stream, sections)))
            point = layer.parameters.point
            luma = nets.up(torch.from_numpy(dequantise(layer.luma, point.levels))[None]).clamp(0, 1)
            chroma = dequantise_chroma(layer.chroma, point.chroma_levels)
            decoded = nets.chroma_up(torch.from_numpy(chroma)[None], luma)
            planes = torch.cat([luma, decoded], 1)[0].numpy()
            return to_pixels(planes)[: header.height, : header.width]

    return decode


def _load_onnx_weights(nets: object, scale: int) -> None:
    """The published weights, which are stored in the graphs under torch's own names."""
    import onnx
    import torch

    model = registry.for_scale(scale)
    for part in registry.DECODER_PARTS:
        graph = onnx.load(registry.checked_path(model, part)).graph
        state = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in graph.initializer}
        net = getattr(nets, part)
        net.load_state_dict({k: v for k, v in state.items() if k in net.state_dict()})


def interleaved(calls: dict[str, Callable[[], object]], runs: int) -> dict[str, list[float]]:
    """Seconds of each call, taken in turn so that a noisy machine is noisy to all; one warm-up each."""
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return times


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write speed.md."""
    rgb = picture(args.data)
    image = Image.fromarray(rgb)
    text = "# Speed of a 512 x 768 picture\n"
    ratios, cpus = [], sorted(os.sched_getaffinity(0))
    for threads in (1, 2):
        os.sched_setaffinity(0, cpus[:threads])
        calls: dict[str, Callable[[], object]] = {}
        for scale in args.scales:
            data = dsncodec.encode(rgb, scale=scale, levels=128, threads=threads)
            for effort in (3, 5):
                calls[f"encode dsn x{scale}, effort {effort}"] = partial(
                    dsncodec.encode, rgb, scale=scale, levels=128, effort=effort, threads=threads
                )
            calls[f"decode dsn x{scale}"] = partial(dsncodec.decode, data, threads=threads)
            calls[f"decode dsn x{scale}, eager torch"] = torch_decoder(data, threads)
            ours = np.asarray(dsncodec.decode(data)).astype(int)
            assert np.abs(torch_decoder(data, threads)() - ours).max() <= 1, "not the same picture"
        avif, jxl = avif_file(image, threads), imagecodecs.jpegxl_encode(rgb, **JXL, numthreads=threads)
        calls["encode AVIF speed 6"] = lambda: avif_file(image, threads)
        calls["decode AVIF speed 6"] = lambda: Image.open(io.BytesIO(avif)).load()
        calls["encode JPEG XL effort 7"] = lambda: imagecodecs.jpegxl_encode(rgb, **JXL, numthreads=threads)
        calls["decode JPEG XL effort 7"] = lambda: imagecodecs.jpegxl_decode(jxl, numthreads=threads)
        times = interleaved(calls, args.runs)
        rows = []
        for name, values in times.items():
            median = statistics.median(values)
            rows.append(
                (
                    name,
                    f"{1000 * median:.1f}",
                    f"{1000 * min(values):.1f} to {1000 * max(values):.1f}",
                    f"{MEGAPIXELS / median:.2f}",
                )
            )
        text += f"\n## {threads} thread{'s' * (threads > 1)}\n\n" + table(
            ["what", "median ms", "range ms", "megapixels/s"], rows
        )
        for scale in args.scales:
            pairs = zip(times[f"decode dsn x{scale}, eager torch"], times[f"decode dsn x{scale}"])
            ratios.append((f"x{scale}", threads, f"{statistics.median(a / b for a, b in pairs):.2f}"))
    text += "\n## Decode beside eager torch on the same networks\n\n" + table(
        ["scale", "threads", "times as fast"], ratios
    )
    text += f"\nMedians of {args.runs} interleaved runs after a warm-up; a decode starts at bytes and ends at pixels. Goal: 1.5 at x3.\n"
    text += f"\n`python -X importtime -c 'import dsncodec'`: {_import_ms():.1f} ms (goal: under 150).\n"
    if args.dry_run:
        print(text)
    else:
        write_report("speed.md", text, "python -m bench speed")
    return 0


def _import_ms() -> float:
    """The median cumulative import time that the interpreter reports."""
    found = []
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", "import dsncodec"],
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(int(done.stderr.strip().splitlines()[-1].split("|")[1]) / 1000)
    return statistics.median(found)
