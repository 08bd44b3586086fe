"""The other base codecs of the method restored, each beside the same codec alone: bytes at equal quality, by four judges."""

from __future__ import annotations

import argparse
import contextlib
import statistics
from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import numpy as np

import dsncodec
from dsncodec.bench import peers
from dsncodec.bench.referees import Panel
from dsncodec.errors import SettingError
from dsncodec.metrics import bd_rate, psnr_db
from dsncodec.networks import registry

from . import features
from .common import UInt8Array, image_paths, in_parallel, rgb_of
from .results import RESULTS, GrowingTable, Row, table, write_report

BASES = ("jpeg", "jxl", "j2k")
TUNES = ("visual", "psnr")
NAMES = {"jpeg": "JPEG", "jxl": "JPEG XL", "j2k": "JPEG 2000"}
POINTS = 5  # of each codec's settings, from the smallest files to the largest
LEFT_OUT = 1  # settings at the upper end: beyond what photographs are coded at
# Of each judge, whether more is better
JUDGES = {"psnr_db": 1, "ssimulacra2": 1, "butteraugli": -1, "lpips": -1}
TITLES = {
    "psnr_db": "RGB PSNR",
    "ssimulacra2": "SSIMULACRA 2",
    "butteraugli": "Butteraugli, 3-norm",
    "lpips": "LPIPS",
}


# ``tune`` is "plain" for the codec alone; ``network`` is the one that new files of ours name
HEADER = ("picture", "base", "tune", "network", "setting", "bytes", "bpp", *JUDGES)
KEYS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--bases", nargs="+", choices=BASES, default=BASES)
    parser.add_argument("--limit", type=int, default=24, help="pictures of B100 (default %(default)s)")
    features.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure what is not there yet, print, and write bases.csv and .md."""
    rows = GrowingTable(RESULTS / "bases.csv", HEADER, KEYS)
    folder = args.loss_networks or f"{args.data}/loss_network"
    panel = Panel([name for name in JUDGES if name != "psnr_db"], folder)
    keys = list[tuple[str, ...]]()
    for path in image_paths(args.data, "B100", args.limit):
        mine = [
            (path.stem, base, tune, network_of(base, tune), f"{setting:g}")
            for base in args.bases
            for tune in ("plain", *TUNES)
            for setting in settings_of(base, tune)
        ]
        rgb = rgb_of(path)
        missing = [key for key in mine if rows.find(key) is None]
        for values in in_parallel(partial(coded, rgb, panel), missing):
            rows.add(values)
        keys += mine
    found = [row for row in map(rows.find, keys) if row is not None]
    write_report("bases.md", report(found, args.bases), args.command)
    return 0


def settings_of(base: str, tune: str) -> tuple[float, ...]:
    """POINTS of a codec's settings: its own qualities for files of ours, those of the peer for the codec alone."""
    key = base if tune == "plain" else f"restored-{base}"
    settings = peers.find(base if tune == "plain" else "dsn", key).settings
    kept = settings[: len(settings) - LEFT_OUT]
    return tuple(kept[round(i * (len(kept) - 1) / (POINTS - 1))] for i in range(POINTS))


def network_of(base: str, tune: str) -> str:
    """The wire id of the network that files of a base codec are made for."""
    row = None if tune == "plain" else registry.restoration(base, False, 1, tune)
    return "" if row is None else row.wire_id.hex()


def coded(rgb: UInt8Array, panel: Panel, key: tuple[str, ...]) -> tuple[str, ...]:
    """A row: a file, whole, and what the judges say of it."""
    _, base, tune, _, setting = key
    if tune == "plain":
        peer = peers.find(base, base)
        data = peer.encode(rgb, float(setting))
        shown = peer.decode(data)
    else:
        options = dsncodec.Restored(base=base, base_quality=int(setting), tune=tune)
        data = dsncodec.encode(rgb, options, threads=1)
        shown = np.asarray(dsncodec.decode(data, threads=1))
    scores = {"psnr_db": psnr_db(rgb, shown), **panel.scores(rgb, shown)}
    rate = 8 * len(data) / (rgb.shape[0] * rgb.shape[1])
    return *key, str(len(data)), f"{rate:.5f}", *(f"{scores[name]:.5f}" for name in JUDGES)


def report(files: Sequence[Row], bases: Sequence[str]) -> str:
    """Mean BD-rates, and how many pictures need more bytes."""
    curves: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for file in files:
        curves[file["base"], file["tune"], file["picture"]].append(file)
    pictures, rows = sorted({file["picture"] for file in files}), []
    for base in bases:
        for tune in TUNES:
            of = [file for file in files if (file["base"], file["tune"]) == (base, tune)]
            rates = sorted(float(file["bpp"]) for file in of)
            cells = []
            for judge, sign in JUDGES.items():
                found = list[float]()
                for picture in pictures:
                    plain, ours = (
                        [
                            (float(file["bpp"]), sign * float(file[judge]))
                            for file in curves[base, way, picture]
                        ]
                        for way in ("plain", tune)
                    )
                    # without a range in common there is none
                    with contextlib.suppress(SettingError):
                        found.append(bd_rate(plain, ours))
                worse = sum(rate > 0 for rate in found)
                cells.append(f"{statistics.mean(found):+.1f} ({worse})" if found else "")
            span = f"{rates[0]:.2f} to {rates[-1]:.2f}"
            rows.append((NAMES[base], tune, of[0]["network"][:6], span, *cells))
    header = ["base codec", "tune", "network", "bpp", *TITLES.values()]
    return f"""# Other base codecs beside themselves

B100, the first {len(pictures)}; effort 5, whole files. BD-rate in percent against the codec alone (Pillow's progressive JPEG, JPEG XL of effort 7, JPEG 2000), means; in brackets how many pictures need more bytes.

{table(header, rows)}"""
