"""How much enhancement a picture needs: fit the measure of dsncodec.processing.enhancement, and judge it on pictures left out."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dsncodec.networks import registry
from dsncodec.networks.image_to_image import run as run_network
from dsncodec.processing import enhancement
from dsncodec.processing.enhancement import EVERYTHING, NOTHING

from .common import UInt8Array, rgb_of
from .results import table, write_csv, write_report

FloatArray = NDArray[np.float64]

PAIRS = range(300)  # of DPED: the others are for testing
SIDE = 150  # pixels of the longer side of pictures that are spoilt
PATCH = 100  # pixels of a side of parts of good pictures
SPOILT = 2  # copies of each good picture
FOLDS = 5
STEPS, RATE, DECAY = 400, 0.03, 3e-3
# What a decibel lost weighs beside one gained, and what a strength of 1 costs, in dB, for a good picture and for a
# part of one or a camera's patch, which may be as dull as a phone's
LOSS, GOOD, PART, LEARNT = 0.4, 20.0, 0.1, 0.4
GROUPS = ("pair", "spoilt", "good", "part")
MODELS = ("student", "teacher")


@dataclass(frozen=True)
class Sample:
    """One picture: its statistics, and per network mean squares: the change n, n times what is wanted t, t."""

    group: str
    name: str
    statistics: FloatArray
    squares: FloatArray  # (MODELS, 3); zeros where nothing is wanted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--threads", type=int, default=1, help="(default: %(default)s)")


def samples(data: str, threads: int) -> Iterator[Sample]:
    """Pairs of DPED, good pictures, parts of them, and spoilt copies."""
    rng = np.random.default_rng(5)
    for number in PAIRS:
        seen, wanted = (rgb_of(Path(data) / f"test/dped/{kind}/{number}.jpg") for kind in ("iphone", "canon"))
        # a few are white on both sides
        if (seen != wanted).any():
            yield _sample("pair", str(number), seen, wanted, MODELS, threads)
            yield _sample("part", f"canon {number}", wanted)
    for folder in ("train/hq", "train/bsd200"):
        for path in sorted((Path(data) / folder).glob("*.webp")):
            good = rgb_of(path)
            yield _sample("good", path.stem, good)
            if path.stem.startswith("screen"):
                continue
            y, x = (int(rng.integers(0, side - PATCH)) for side in good.shape[:2])
            yield _sample("part", path.stem, good[y : y + PATCH, x : x + PATCH])
            if folder != "train/hq":
                continue
            image = Image.fromarray(good)
            image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
            small = np.asarray(image)
            for _ in range(SPOILT):
                yield _sample("spoilt", path.stem, spoilt(small, rng), small, MODELS[:1], threads)


def spoilt(picture: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """Darker and duller, darker, of low contrast and dull, or darker and with a cast."""
    x = picture.astype(np.float64) / 255
    kind = rng.integers(4)
    if kind == 2:
        black = rng.uniform(0.02, 0.2)
        x = black + (rng.uniform(0.55, 0.9) - black) * x
    else:
        x = x ** rng.uniform(1, 1.6) * rng.uniform(0.35, 0.8)
    if kind in (0, 2):
        luma = (x @ [0.299, 0.587, 0.114])[..., None]
        x = luma + (x - luma) * rng.uniform(0.3, 0.75)
    if kind == 3:
        x = x * np.exp(rng.normal(0, 0.08, 3))
    return np.asarray(np.clip(x, 0, 1) * 255 + 0.5, np.uint8)


def _sample(
    group: str,
    name: str,
    seen: UInt8Array,
    wanted: UInt8Array | None = None,
    models: tuple[str, ...] = (),
    threads: int = 1,
) -> Sample:
    squares = np.zeros((len(MODELS), 3))
    for i, model in enumerate(models):
        row = registry.image_network("enhance", model)
        made = enhancement.enhanced(seen, 1, lambda rgb: run_network(row, rgb, threads))
        change = made.astype(np.float64) - seen
        lacking = np.asarray(wanted, np.float64) - seen
        squares[i] = (change**2).mean(), (change * lacking).mean(), (lacking**2).mean()
    return Sample(group, name, enhancement.statistics(seen), squares)


def gain_db(strength: torch.Tensor, squares: torch.Tensor) -> torch.Tensor:
    """Change in PSNR to what is wanted, at strengths (N,), from mean squares (N, 3)."""
    change, product, lacking = squares.T
    return 10 * torch.log10(lacking / (lacking - 2 * strength * product + strength**2 * change).clamp_min(1))


def fit(terms: FloatArray, squares: FloatArray, groups: NDArray[np.str_]) -> FloatArray:
    """Weights of ``enhancement.terms`` by gradient descent."""
    x, seen = torch.from_numpy(terms), torch.from_numpy(squares[:, 0])
    masks = {name: torch.from_numpy(groups == name) for name in GROUPS}
    found = torch.zeros(terms.shape[1], dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.Adam([found], lr=RATE)
    for _ in range(STEPS):
        part = torch.sigmoid(x @ found)
        # a thousandth goes on beyond both ends, so that what got there can come back
        strength = 0.999 * ((part - NOTHING) / (EVERYTHING - NOTHING)).clamp(0, 1) + 0.001 * part
        cost = DECAY * found[1:].square().sum()
        cost = cost + GOOD * strength[masks["good"]].mean() + PART * strength[masks["part"]].mean()
        for name, weight in (("pair", 1.0), ("spoilt", LEARNT)):
            gain = gain_db(strength[masks[name]], seen[masks[name]]).clamp_min(-6)
            cost = cost - weight * (gain.clamp_max(6).mean() - LOSS * torch.relu(-gain).mean())
        optimizer.zero_grad()
        torch.autograd.backward(cost)
        optimizer.step()
    return found.detach().numpy()


def run(args: argparse.Namespace) -> int:
    """Fit on all, judge on folds, write."""
    torch.set_num_threads(args.threads)
    found = list(samples(args.data, args.threads))
    groups = np.array([one.group for one in found])
    squares = np.stack([one.squares for one in found])
    stats = np.stack([one.statistics for one in found])
    centre, spread = stats.mean(0).round(4), stats.std(0).round(4)
    terms = enhancement.terms(stats, centre, spread)
    # one picture's parts and copies stay together
    names = sorted({one.name.split()[-1] for one in found})
    drawn = dict(zip(names, np.random.default_rng(0).permutation(len(names)) % FOLDS))
    folds = np.array([drawn[one.name.split()[-1]] for one in found])
    strength = np.zeros(len(found))
    for fold in range(FOLDS):
        kept = folds != fold
        strength[~kept] = enhancement.on_scale(terms[~kept] @ fit(terms[kept], squares[kept], groups[kept]))
    final = fit(terms, squares, groups).round(3)
    write_csv(
        "need.csv",
        ["group", "picture", "strength"],
        [(one.group, one.name, f"{value:.3f}") for one, value in zip(found, strength)],
    )
    write_report("need.md", report(groups, squares, strength, (centre, spread, final)), args.command)
    return 0


def report(
    groups: NDArray[np.str_], squares: FloatArray, strength: FloatArray, numbers: tuple[FloatArray, ...]
) -> str:
    """The page."""
    rows = []
    for group, model in (("pair", 0), ("pair", 1), ("spoilt", 0)):
        of = groups == group
        for name, used in (("1", np.ones(of.sum())), ("measured", strength[of])):
            gain = gain_db(torch.from_numpy(used), torch.from_numpy(squares[of, model])).numpy()
            rows.append(
                (
                    f"{group}, {MODELS[model]}",
                    name,
                    f"{gain.mean():.2f}",
                    f"{(gain < -0.005).sum()} of {of.sum()}",
                    f"{(gain < -1).sum()}",
                    f"{gain.min():.1f}",
                    f"{used.mean():.2f}",
                )
            )
    shares = [
        (group, f"{strength[groups == group].mean():.2f}", f"{(strength[groups == group] == 0).mean():.0%}")
        for group in GROUPS
    ]
    lines = "\n".join(
        f"    {name} = ({', '.join(f'{value:g}' for value in values)})"
        for name, values in zip(("CENTRE", "SPREAD", "WEIGHTS"), numbers)
    )
    header = [
        "pictures, network",
        "strength",
        "gain, dB",
        "worse",
        "by more than 1 dB",
        "worst, dB",
        "mean strength",
    ]
    return f"""# How much enhancement a picture needs

The strength is fitted, in {FOLDS} folds, to gain most in PSNR on pairs {PAIRS.start} to {PAIRS.stop - 1} of DPED and on spoilt copies of train/hq (darker, duller, of low
contrast, with a cast), where a decibel lost weighs {1 + LOSS:g} times one gained; and to leave good pictures (train/hq, train/bsd200) as they are. Parts are
{PATCH} x {PATCH} pixels of good pictures, and the camera's side of the pairs. Each picture is judged by the fold that has not seen it.

{table(header, rows)}
{table(["pictures", "mean strength", "untouched"], shares)}
Fitted to all of them, for `dsncodec/enhancement.py`:

{lines}
"""
