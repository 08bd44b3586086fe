"""Write dsncodec/bench/published.json: curves from the literature, picked from a collection of them with sources."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent.parent / "dsncodec" / "bench" / "published.json"
SETS = {"Kodak": "kodak.json", "CLIC 2020 professional validation": "clic20-pro-valid.json"}
KODAK = (  # one curve per codec, the strongest published one where there are several
    "JPEG-420 (TFC)",
    "WebP (TFC)",
    "JPEG2000-OpenJPEG",
    "JPEG2000-Kakadu",
    "BPG-444",
    "HM",
    "AV1-aomenc",
    "VTM",
    "VTM-19.1 (10b 444)",
    "bmshj2018-factorized",
    "bmshj2018-hyperprior",
    "mbt2018-mean",
    "mbt2018",
    "cheng2020-anchor",
    "cheng2020-attn",
    "ELIC",
    "EVC-S",
    "EVC-L",
    "STF",
    "TCM-Large",
    "QARV",
    "MLIC+",
    "MLIC++",
    "COIN",
    "COIN++",
    "Strumpler-INR",
    "VC-INR",
    "RECOMBINER",
    "C3",
    "C3-adaptive",
    "LotteryCodec-5100mac",
    "Cool-chic 1.0",
    "Cool-chic 3.4",
    "Cool-chic 5.0.1",
)
GROUPS = {"classic": "classic", "ae": "learned", "overfit": "fitted to each picture"}
RATES = (0.03, 4.0)  # bpp worth drawing
MOST_POINTS = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument(
        "--anchors", default="../shared/anchors", help="the collection (default: %(default)s)"
    )


def picked(curve: dict[str, Any], set_name: str) -> dict[str, Any]:
    """A curve as the page takes it: at most MOST_POINTS points (bpp, RGB PSNR in dB), and where it is from."""
    points = sorted((p["bpp"], p["psnr_rgb"]) for p in curve["points"] if RATES[0] <= p["bpp"] <= RATES[1])
    stride = -(-len(points) // MOST_POINTS)
    kept = points[::stride] + ([points[-1]] if (len(points) - 1) % stride else [])
    return {
        "set": set_name,
        "label": curve["name"],
        "group": GROUPS[curve["group"]],
        "source": f"{curve['source']} ({curve['notes']})",
        "points": [[round(rate, 5), round(psnr, 4)] for rate, psnr in kept],
    }


def run(args: argparse.Namespace) -> int:
    """Pick and write."""
    curves = []
    for set_name, file in SETS.items():
        collection = json.loads((Path(args.anchors) / file).read_text("utf-8"))["curves"]
        by_name = {curve["name"]: curve for curve in collection}
        names = KODAK if set_name == "Kodak" else by_name
        curves += [picked(by_name[name], set_name) for name in names]
    lines = ",\n".join(json.dumps(curve, ensure_ascii=False) for curve in curves)
    OUT.write_text('{"curves": [\n' + lines + "\n]}\n", "utf-8")
    print(f"{OUT}: {len(curves)} curves")
    return 0
