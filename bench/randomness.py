"""Latent grids at low rates: random planes as further inputs of the synthesis, and a feature loss at the end of the fit.

Part "files" looks at files as they are: what both of their decoders show. Part "ways" is the prototype that led there. A picture is
fitted for the eye as ever; then its symbols stay, and torch moves the weights of the synthesis alone, or units beside it: with
statistics that are compared and without, with units that see pseudo-random planes and without. Weights stay real numbers, and
the bytes of the new ones are not counted. The feature loss compares means and deviations of VGG-16's
features over squares of 8 x 8 places (relu1_2 to relu3_3) of random crops of 128 x 128; it does not judge: LPIPS with AlexNet,
Butteraugli and an eye do, and DISTS, whose network is VGG-16 too.

Sources: common randomness and the loss after Qiu et al., "Wasserstein distortion: unifying fidelity and realism", 2023, and
Balle et al., "Good, cheap, and fast: overfitted image compression with Wasserstein distortion", 2024.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import dsncodec
from dsncodec import container
from dsncodec.bench.perceptual import Dists, Lpips
from dsncodec.bench.referees import butteraugli
from dsncodec.methods.latentgrid import bitstream, texture
from dsncodec.methods.sections import read_structure
from dsncodec.metrics import bpp, psnr_db, ssimulacra2
from dsncodec.planes import TO_YCBCR
from dsncodec.train.losses.perceptual import FeatureDistance, local_statistics, relative

from . import results
from .common import UInt8Array, image_paths, rgb_of
from .results import table

# the 5th, 12th, 30th and 44th, as in docs/decisions/0021-visual-fit.md
PICTURES = (4, 11, 29, 43)
# for files, and by how much their pictures are reduced
SETS = {"B100": 1, "Urban100 (first 50)": 2}
LAYERS = ("vgg16.relu1_2", "vgg16.relu2_2", "vgg16.relu3_3")
UNITS, PLANES = 8, 3
CROP = 128
OCTAVES = 3
RATE = 5e-3
SCORES = ("psnr_db", "ssimulacra2", "butteraugli_3norm", "lpips_alex", "dists")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--part", choices=("ways", "files"), default="ways", help="(default: %(default)s)")
    parser.add_argument(
        "--limit", type=int, default=4, help="pictures of each set, for files (default: %(default)s)"
    )
    parser.add_argument("--qualities", type=int, nargs="+", default=(12, 24), metavar="Q")
    parser.add_argument("--fit", type=int, default=800, help="steps of the fit (default: %(default)s)")
    parser.add_argument(
        "--more", type=int, default=300, help="steps of the synthesis alone (default: %(default)s)"
    )
    parser.add_argument("--weights", type=float, nargs="+", default=(0.5, 2.0), help="of the feature loss")
    parser.add_argument("--kinds", nargs="+", choices=("features", "bands"), default=("features", "bands"))
    parser.add_argument(
        "--ways", nargs="+", metavar="TEXT", help="only those whose names have one of these in them"
    )
    parser.add_argument("--shown", metavar="DIR", help="where to put the pictures, to be looked at")
    parser.add_argument("--out", metavar="DIR", help="default: bench/results/VERSION/latentgrid")


@dataclass(frozen=True)
class Way:
    """What happens to the synthesis: whether its own weights move, how many units see noise, the statistics that are compared,
    and the weight of that."""

    name: str
    moves: bool = False
    units: int = 0
    kind: str = ""
    weight: float = 0.0


class Synthesis(nn.Module):
    """The synthesis of a file, and beside it units that see its planes and random ones."""

    def __init__(self, nets: bitstream.Nets, units: int, noise: Tensor, moves: bool) -> None:
        super().__init__()
        (p, q, s), (bias, offset) = nets.matrices, nets.offsets
        self.p, self.q, self.s, self.bias, self.offset, self.kernel = (
            nn.Parameter(torch.from_numpy(np.array(part)), requires_grad=moves)
            for part in (p, q, s, bias, offset, nets.kernel)
        )
        self.noise, self.units = noise, units
        self.sees = nn.Parameter(torch.randn(units, len(noise) + len(p[0])) * 0.3)
        self.lifts = nn.Parameter(torch.zeros(units))
        self.gives = nn.Parameter(torch.zeros(3, units))

    def forward(self, planes: Tensor, part: tuple[slice, slice]) -> Tensor:
        """(7, H, W) to a window of the picture, (3, h, w), clipped."""
        v = planes[:, part[0], part[1]].flatten(1)
        g = self.q @ F.relu(self.p @ v + self.bias[:, None]) + self.s @ v + self.offset[:, None]
        if self.units:
            seen = torch.cat([self.noise[:, part[0], part[1]].flatten(1), v])
            g = g + self.gives @ F.relu(self.sees @ seen + self.lifts[:, None])
        g = g.view(1, 3, *planes[:, part[0], part[1]].shape[1:])
        return (g + F.conv2d(F.pad(g, (1, 1, 1, 1), mode="replicate"), self.kernel))[0].clamp(0, 1)


def noise_planes(shape: tuple[int, int], seed: int) -> Tensor:
    """White at the picture's size, and at a half and a quarter of it."""
    rng = np.random.default_rng(seed)
    found = []
    for k in range(PLANES):
        small = rng.normal(0, 1, (-(-shape[0] >> k), -(-shape[1] >> k))).astype(np.float32)
        found.append(small.repeat(2**k, 0).repeat(2**k, 1)[: shape[0], : shape[1]])
    return torch.from_numpy(np.stack(found))


def planes_of(data: bytes) -> tuple[bitstream.Nets, Tensor]:
    """The weights of a file, and the seven planes that its synthesis sees."""
    stream = io.BytesIO(data)
    header, sections, _ = read_structure(stream, None)
    parsed = bitstream.parse(header, dict(container.iter_payloads(stream, sections)))
    grids = parsed.grids()
    synthesis = bitstream.Synthesis(parsed.nets, parsed.shape, 3)
    whole = slice(0, parsed.shape[0]), slice(0, parsed.shape[1])
    planes = synthesis.planes(lambda k, rows, columns: grids[k][rows, columns], 0, *whole)
    return parsed.nets, torch.from_numpy(planes)


Statistics = Callable[[Tensor], dict[str, Tensor]]


def features_of(distance: FeatureDistance) -> Statistics:
    """Means and deviations of VGG-16's features over squares of 8 x 8 places."""
    return lambda picture: {
        name: local_statistics(maps) for name, maps in distance.features(picture[None]).items()
    }


def bands_of(picture: Tensor) -> dict[str, Tensor]:
    """Logarithms of the energies of three octaves of Y, Cb and Cr over squares of 16 x 16 pixels, 8 apart."""
    y = torch.einsum("ij,jhw->ihw", torch.from_numpy(TO_YCBCR), picture)[:, None]
    found: dict[str, Tensor] = {}
    for octave in range(OCTAVES):
        step = 2**octave
        taps = torch.tensor([0.25, 0.5, 0.25])
        low = y
        for axis in (2, 3):
            pad = [0, 0, step, step] if axis == 2 else [step, step, 0, 0]
            kernel = taps.view((1, 1, 3, 1) if axis == 2 else (1, 1, 1, 3))
            low = F.conv2d(
                F.pad(low, pad, mode="replicate"), kernel, dilation=(step, 1) if axis == 2 else (1, step)
            )
        energy = F.avg_pool2d((y - low).square(), 16, 8)
        found[str(octave)] = torch.log1p(energy / 1e-5) * torch.tensor([1, 0.3, 0.3]).view(3, 1, 1, 1)
        y = low
    return found


def refined(
    nets: bitstream.Nets, planes: Tensor, rgb: UInt8Array, way: Way, steps: int, statistics: Statistics
) -> UInt8Array:
    """The picture after ``steps`` of Adam on the synthesis or on the units that see noise."""
    torch.manual_seed(1)
    wanted = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1))).float() / 255
    net = Synthesis(nets, way.units, noise_planes(rgb.shape[:2], 7), way.moves)
    whole = slice(0, rgb.shape[0]), slice(0, rgb.shape[1])
    with torch.no_grad():
        first = net(planes, whole)
    unit = float((first - wanted).square().mean())
    mover = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], RATE)
    rng = np.random.default_rng(3)
    for step in range(steps):
        for group in mover.param_groups:
            group["lr"] = RATE * (1 - step / steps)
        y, x = (int(rng.integers(0, max(side - CROP, 0) + 1)) for side in rgb.shape[:2])
        part = slice(y, y + CROP), slice(x, x + CROP)
        made, here = net(planes, part), wanted[:, part[0], part[1]]
        loss = (made - here).square().mean() / unit
        if way.weight:
            with torch.no_grad():
                theirs, before = statistics(here), statistics(first[:, part[0], part[1]])
                far = relative(before, theirs)
            near = relative(statistics(made), theirs)
            loss = (
                loss
                + way.weight * torch.stack([near[name] / far[name].clamp(min=1e-4) for name in near]).mean()
            )
        mover.zero_grad()
        loss.backward()
        mover.step()
    with torch.no_grad():
        made = net(planes, whole)
    return np.asarray((made * 255).round().byte().permute(1, 2, 0))


def run(args: argparse.Namespace) -> int:
    """One part, and its report."""
    out = Path(args.out) if args.out else results.RESULTS / "latentgrid"
    out.mkdir(parents=True, exist_ok=True)
    rows = ways(args) if args.part == "ways" else files(args)
    name = "randomness" if args.part == "ways" else "texture"
    with open(out / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("set", "picture", "quality", "synthesis", "bpp", *SCORES))
        writer.writerows([*row[:4], *(f"{value:.4f}" for value in row[4:])] for row in rows)
    text = report(rows)
    results.write_report(f"{name}.md", text, args.command, out)
    return 0


Row = list[Any]


class Judges:
    """What is said of pictures beside an original."""

    def __init__(self, folder: str) -> None:
        self._lpips, self._dists = Lpips(folder), Dists(folder)

    def of(self, rgb: UInt8Array) -> Callable[[UInt8Array], tuple[float, ...]]:
        """SCORES."""
        lpips, dists = self._lpips.of(rgb), self._dists.of(rgb)
        return lambda made: (
            psnr_db(rgb, made),
            ssimulacra2(rgb, made),
            butteraugli(rgb, made),
            lpips(made),
            dists(made),
        )


def files(args: argparse.Namespace) -> list[Row]:
    """Files with texture, as both decoders show them."""
    judges, rows = Judges(f"{args.data}/loss_network"), list[Row]()
    for name, part in SETS.items():
        for path in image_paths(args.data, name, args.limit):
            with Image.open(path) as image:
                rgb = np.asarray(image.convert("RGB").reduce(part))
            scores = judges.of(rgb)
            for quality in args.qualities:
                data = dsncodec.encode(rgb, dsncodec.LatentGrid(steps=args.fit), quality=quality, threads=1)
                rate = bpp(len(data), rgb.shape[1], rgb.shape[0])
                if texture.TAG not in dsncodec.read_info(data).sections:
                    print(path.name, quality, f"{rate:.3f} bpp: no texture", flush=True)
                    continue
                for decoder in ("fidelity", "perceptual"):
                    made = dsncodec.decode(data, decoder=decoder, as_array=True)
                    rows.append([name, path.name, quality, decoder, rate, *scores(made)])
                    print(*rows[-1][1:4], *(f"{value:.4f}" for value in rows[-1][4:]), flush=True)
                    show(args, f"{name.split()[0]}-{path.stem}-{quality}-{decoder}", made)
    return rows


def show(args: argparse.Namespace, name: str, picture: UInt8Array) -> None:
    """Keep a picture, where that is asked for."""
    if args.shown:
        Path(args.shown).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(Path(args.shown, f"{name}.png"))


def ways(args: argparse.Namespace) -> list[Row]:
    """Fitted pictures whose synthesis goes on by torch, in each of the ways."""
    folder = f"{args.data}/loss_network"
    judges, distance = Judges(folder), FeatureDistance(folder, LAYERS)
    every = image_paths(args.data, "div2k256")
    chosen = [Way("as fitted"), Way("squared error alone", moves=True)]
    for kind in args.kinds:
        for weight in args.weights:
            chosen.append(Way(f"{kind} {weight:g}, no noise", True, 0, kind, weight))
            chosen.append(Way(f"{kind} {weight:g}, noise", True, UNITS, kind, weight))
            chosen.append(Way(f"{kind} {weight:g}, noise alone", False, UNITS, kind, weight))
    chosen = [way for way in chosen if not args.ways or any(text in way.name for text in args.ways)]
    statistics = {"features": features_of(distance), "bands": bands_of, "": bands_of}
    rows = list[Row]()
    for path in [every[i] for i in PICTURES]:
        rgb = rgb_of(path)
        scores = judges.of(rgb)
        for quality in args.qualities:
            data = dsncodec.encode(rgb, dsncodec.LatentGrid(steps=args.fit), quality=quality, threads=1)
            nets, planes = planes_of(data)
            for way in chosen:
                made = dsncodec.decode(data, as_array=True)
                if way.moves or way.units:
                    made = refined(nets, planes, rgb, way, args.more, statistics[way.kind])
                rate = bpp(len(data), rgb.shape[1], rgb.shape[0])
                rows.append(["div2k256", path.name, quality, way.name, rate, *scores(made)])
                print(*rows[-1][1:4], *(f"{value:.4f}" for value in rows[-1][4:]), flush=True)
                show(args, f"{path.stem}-{quality}-{way.name.replace(' ', '')}", made)
    return rows


def report(rows: list[Row]) -> str:
    """Means over the pictures, by set, quality and synthesis: differences of PSNR and score, quotients of the distances."""
    body = []
    names = list(dict.fromkeys(row[3] for row in rows))
    for of_set, quality in dict.fromkeys((row[0], row[2]) for row in rows):
        mine = {
            name: np.array([row[4:] for row in rows if row[0] == of_set and row[2:4] == [quality, name]])
            for name in names
        }
        plain = mine[names[0]]
        for name, values in mine.items():
            moved = (values - plain).mean(0)[1:3]
            ratios = np.exp(np.log(values[:, 3:] / plain[:, 3:]).mean(0))
            body.append(
                [
                    f"{of_set}, {len(values)}",
                    str(quality),
                    f"{values[:, 0].mean():.3f}",
                    name,
                    *(f"{value:+.2f}" for value in moved),
                    *(f"{value:.2f}" for value in ratios),
                ]
            )
    head = [
        "set, pictures",
        "quality",
        "bpp",
        "synthesis",
        "PSNR, dB",
        "SSIMULACRA 2",
        "Butteraugli",
        "LPIPS",
        "DISTS",
    ]
    title = "# Random planes for latent grids at low rates\n\nMeans; the last three over those of the first row.\n\n"
    return title + table(head, body)
