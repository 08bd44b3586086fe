"""The training loop of the sampling networks: a recipe in, a checkpoint and a CSV log out."""

from __future__ import annotations

import csv
import math
import os
import sys
import time
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import SettingError
from ..planes import TO_YCBCR
from ..quantise import NEUTRAL
from .data import PackedImages
from .muon import Muon
from .nets.qbrelu import qbrelu
from .nets.sampling import SamplingConfig, SamplingNets


@dataclass(frozen=True)
class DataSettings:
    """Where the pictures are, and what is cut out of them."""

    train: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    patch: int = 72
    batch: int = 16
    micro_batch: int = 8


@dataclass(frozen=True)
class OptimSettings:
    """How the weights move. The budget ends at ``steps`` or ``minutes``, whichever is reached first.

    ``threads`` is of torch on a CPU, 0 leaves it to torch; one is best where two runs share a machine.
    """

    optimizer: str = "adam"
    lr: float = 1e-3
    matrix_lr: float = 0.01
    tail_lr: float = 1.0
    schedule: str = "cosine"
    halve_every: int = 0
    warmup: float = 0.02
    steps: int = 20000
    minutes: float = 1e9
    ema: float = 0.999
    bf16: bool = True
    threads: int = 0
    seed: int = 1


@dataclass(frozen=True)
class LossSettings:
    """What is minimised; see ``sampling_loss``."""

    levels: tuple[int, ...] = (256,)
    level_share: tuple[float, ...] = (1.0,)
    l2_from: float = 1.0
    rate_weight: float = 0.0
    chroma_weight: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """One published weight file: networks, data, optimiser and loss, read from TOML."""

    name: str
    start_from: str = ""
    model: SamplingConfig = field(default_factory=SamplingConfig)
    data: DataSettings = field(default_factory=DataSettings)
    optim: OptimSettings = field(default_factory=OptimSettings)
    loss: LossSettings = field(default_factory=LossSettings)

    @classmethod
    def read(cls, path: str | Path, overrides: Mapping[str, str] = {}) -> Recipe:
        """Read a recipe. ``overrides`` maps "section.key" to a TOML value, as ``--set`` gives it.

        Raises:
            SettingError: the file is missing or not TOML, or a key is unknown or of a wrong type.
        """
        try:
            table = tomllib.loads(Path(path).read_text("utf-8"))
            for key, value in overrides.items():
                section, _, name = key.rpartition(".")
                target = table.setdefault(section, {}) if section else table
                target[name] = tomllib.loads(f"v = {value}")["v"]
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
            raise SettingError(f"recipe {path}: {exc}") from exc
        recipe: Recipe = _fill(cls, {"name": Path(path).stem, **table}, str(path))
        return recipe


def _fill(cls: type[Any], table: Mapping[str, Any], where: str) -> Any:
    """A frozen dataclass from a TOML table; unknown keys and wrong types are refused."""
    known = {f.name: f for f in fields(cls)}
    sections = {
        "model": SamplingConfig,
        "data": DataSettings,
        "optim": OptimSettings,
        "loss": LossSettings,
    }
    if unknown := set(table) - set(known):
        raise SettingError(f"{where}: unknown key {sorted(unknown)}; allowed: {sorted(known)}")
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name in sections and isinstance(value, dict):
            value = _fill(sections[name], value, f"{where} [{name}]")
        elif isinstance(value, list):
            value = tuple(value)
        else:
            wanted = str(known[name].type)
            if wanted == "float" and type(value) is int:
                value = float(value)
            if type(value).__name__ != wanted:
                raise SettingError(f"{where}: {name} must be a {wanted}, not {value!r}")
        values[name] = value
    return cls(**values)


def ycbcr(rgb: Tensor) -> Tensor:
    """Full-range BT.601 as in JPEG: (N, H, W, 3) uint8 to (N, 3, H, W) float32 in [0, 1]."""
    planes = rgb.float() @ torch.from_numpy(TO_YCBCR.T / 255).to(rgb.device)
    return (planes + torch.tensor([0, NEUTRAL, NEUTRAL], device=rgb.device)).permute(0, 3, 1, 2)


def chroma_shift(levels: Tensor) -> Tensor:
    """What is added to chroma so that grey falls exactly on a level (see quantise.py)."""
    return torch.floor(levels / 2) / (levels - 1) - NEUTRAL


def code_luma(nets: SamplingNets, luma: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """The whole path of training luma, with Q-BReLU in the place of the backend.

    Args:
        luma: (N, 1, H, W) in [0, 1].
        levels: (N, 1, 1, 1), the alphabet size of each sample.
    Returns:
        Decoded luma (N, 1, H, W), and the latent before Q-BReLU.
    """
    latent = nets.down(luma)
    return nets.up(qbrelu(latent, levels)), latent


def code_chroma(
    nets: SamplingNets, chroma: Tensor, decoded_luma: Tensor, levels: Tensor
) -> tuple[Tensor, Tensor]:
    """The same for chroma (N, 2, H, W), guided by decoded luma (N, 1, H, W), which learns nothing from it."""
    shift = chroma_shift(levels)
    latent = nets.chroma_down(chroma)
    quantised = qbrelu(latent + shift, levels) - shift
    return nets.chroma_up(quantised, decoded_luma.detach()), latent


def rate_proxy(latent: Tensor, levels: Tensor) -> Tensor:
    """About how many bits a predictive coder spends per symbol: log2(1 + |prediction error|).

    The predictor is left + above - above left, the plane through three neighbours. It is a
    training signal only: every bpp that we report is a file's.
    """
    error = latent[..., 1:, 1:] - latent[..., 1:, :-1] - latent[..., :-1, 1:] + latent[..., :-1, :-1]
    return torch.log2(1 + error.float().abs() * (levels - 1)).mean()


def sampling_loss(
    nets: SamplingNets, planes: Tensor, levels: Tensor, loss: LossSettings, progress: float
) -> Tensor:
    """L1 (the paper's), or at the end of training a squared error, plus a light rate term.

    The squared error is divided by a typical L1 so that both have gradients of one size.
    """
    luma, latent = code_luma(nets, planes[:, :1], levels)
    total = _distance(luma, planes[:, :1], loss, progress)
    if loss.rate_weight:
        total = total + loss.rate_weight * rate_proxy(latent, levels)
    if loss.chroma_weight:
        chroma, latent = code_chroma(nets, planes[:, 1:], luma, levels)
        total = total + 2 * loss.chroma_weight * _distance(chroma, planes[:, 1:], loss, progress)
        if loss.rate_weight:
            total = total + 0.25 * loss.rate_weight * rate_proxy(latent, levels)
    return total


def _distance(decoded: Tensor, wanted: Tensor, loss: LossSettings, progress: float) -> Tensor:
    error = decoded.float() - wanted
    return error.square().mean() / 0.04 if progress >= loss.l2_from else error.abs().mean()


def rate_factor(optim: OptimSettings, step: int, progress: float) -> float:
    """The learning rate at this moment, relative to its maximum."""
    if optim.schedule == "halve":  # the paper's: half as fast after each stretch, down to 1/100
        return max(0.01, 0.5 ** (step // max(1, optim.halve_every)))
    if progress < optim.warmup:
        return max(progress / optim.warmup, 1e-3)
    done = (progress - optim.warmup) / (1 - optim.warmup)
    if optim.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(done, 1.0))) + 1e-3
    if optim.schedule == "linear":
        return max(1 - done, 1e-3)
    raise SettingError(f"schedule {optim.schedule!r}: one of halve, cosine, linear")


def make_optimizers(nets: SamplingNets, optim: OptimSettings) -> list[torch.optim.Optimizer]:
    """Adam for everything, or Muon for the wide convolutions and Adam for the rest."""
    if optim.optimizer not in ("adam", "muon"):
        raise SettingError(f"optimizer {optim.optimizer!r}: one of adam, muon")
    wide: list[nn.Parameter] = []
    tail: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, weight in nets.named_parameters():
        if optim.optimizer == "muon" and weight.dim() == 4 and min(weight.shape[:2]) >= 32:
            wide.append(weight)
        elif name.split(".")[1] in ("shrink", "tail"):
            tail.append(weight)
        else:
            rest.append(weight)
    groups: list[dict[str, Any]] = [{"params": rest}, {"params": tail, "lr": optim.lr * optim.tail_lr}]
    found: list[torch.optim.Optimizer] = [torch.optim.Adam(groups, optim.lr, fused=True)]
    if wide:
        found.append(Muon(wide, optim.matrix_lr))
    for optimizer in found:
        for group in optimizer.param_groups:
            group["max_lr"] = group["lr"]
    return found


@torch.no_grad()
def held_out_psnr_db(
    nets: SamplingNets, images: PackedImages, levels: int, device: str
) -> tuple[float, float]:
    """Mean PSNR in dB of luma, and of both chroma planes, decoded to 8 bits; images cropped to fit."""
    luma, chroma = [], []
    step = nets.config.chroma_scale
    for i in range(len(images)):
        image = images[i]
        image = image[: image.shape[0] // step * step, : image.shape[1] // step * step]
        planes = ycbcr(torch.from_numpy(image)[None].to(device))
        alphabet = torch.full((1, 1, 1, 1), float(levels), device=device)
        decoded_luma, _ = code_luma(nets, planes[:, :1], alphabet)
        decoded_chroma, _ = code_chroma(nets, planes[:, 1:], decoded_luma, alphabet)
        decoded = torch.cat([decoded_luma, decoded_chroma], 1)
        error = ((decoded.clamp(0, 1) * 255).round() - planes * 255).square().mean((0, 2, 3))
        luma.append(10 * math.log10(255**2 / max(error[0].item(), 1e-9)))
        chroma.append(10 * math.log10(255**2 / max(error[1:].mean().item(), 1e-9)))
    return float(np.mean(luma)), float(np.mean(chroma))


class Trainer:
    """One run: it can be stopped at any moment and goes on from its last checkpoint."""

    def __init__(self, recipe: Recipe, out: str | Path, device: str | None = None) -> None:
        self.recipe, self.out = recipe, Path(out)
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        optim, model, patch = recipe.optim, recipe.model, recipe.data.patch
        multiple = model.chroma_scale if recipe.loss.chroma_weight else model.scale
        if patch < 1 or patch % multiple:
            raise SettingError(f"recipe {recipe.name}: patch must be a multiple of {multiple}, not {patch}")
        torch.manual_seed(optim.seed)
        if optim.threads:
            torch.set_num_threads(optim.threads)
        self.nets = SamplingNets(recipe.model).to(self.device)
        self.checkpoint = self.out / "checkpoint.pt"
        if recipe.start_from and not self.checkpoint.exists():
            self._adopt(recipe.start_from)
        self.nets.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = {k: v.detach().clone() for k, v in self.nets.state_dict().items()}
        self.optimizers = make_optimizers(self.nets, optim)
        self.rng = np.random.default_rng(optim.seed)
        self.step, self.seconds = 0, 0.0
        if self.checkpoint.exists():
            self._resume()

    def _adopt(self, path: str) -> None:
        """Start from another run's weights: every tensor whose name and shape agree."""
        try:
            theirs = torch.load(path, map_location=self.device, weights_only=True)["ema"]
        except OSError as exc:
            raise SettingError(f"recipe {self.recipe.name} starts from {path}: {exc.strerror}") from exc
        ours = self.nets.state_dict()
        kept = {k: v for k, v in theirs.items() if k in ours and v.shape == ours[k].shape}
        self.nets.load_state_dict(kept, strict=False)

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.nets.load_state_dict(state["nets"])
        self.ema = state["ema"]
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        self.step, self.seconds = state["step"], state["seconds"]
        self.rng = np.random.default_rng([self.recipe.optim.seed, self.step])

    def save(self) -> None:
        """Write the checkpoint beside its place and rename it, so that a kill loses nothing."""
        self.out.mkdir(parents=True, exist_ok=True)
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(
            {
                "nets": self.nets.state_dict(),
                "ema": self.ema,
                "optimizers": [o.state_dict() for o in self.optimizers],
                "step": self.step,
                "seconds": self.seconds,
                "recipe": asdict(self.recipe),
            },
            partial,
        )
        os.replace(partial, self.checkpoint)

    @property
    def progress(self) -> float:
        """The part of the budget that is spent, 0..1."""
        optim = self.recipe.optim
        return max(self.step / optim.steps, self.seconds / (60 * optim.minutes))

    def train_step(self, images: PackedImages) -> float:
        """One update of the weights; returns the loss."""
        recipe, data = self.recipe, self.recipe.data
        progress = self.progress
        planes = ycbcr(torch.from_numpy(images.patches(self.rng, data.batch, data.patch)).to(self.device))
        share = np.array(recipe.loss.level_share) / np.sum(recipe.loss.level_share)
        drawn = self.rng.choice(recipe.loss.levels, data.batch, p=share)
        levels = torch.from_numpy(drawn).to(self.device, torch.float32).view(-1, 1, 1, 1)
        total = torch.zeros((), device=self.device)
        for part, q in zip(torch.split(planes, data.micro_batch), torch.split(levels, data.micro_batch)):
            with torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=recipe.optim.bf16):
                loss = sampling_loss(self.nets, part, q, recipe.loss, progress)
            loss = loss * (len(part) / data.batch)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        factor = rate_factor(recipe.optim, self.step, progress)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["max_lr"] * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        decay = min(recipe.optim.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.ema.values()), list(self.nets.state_dict().values()), 1 - decay)
        self.step += 1
        return float(total)

    def averaged(self) -> SamplingNets:
        """A copy of the networks with the averaged weights, for judging and for export."""
        nets = SamplingNets(self.recipe.model).to(self.device)
        nets.load_state_dict(self.ema)
        return nets.eval()

    def run(self, log_every: float = 120.0) -> None:
        """Train until the budget is spent, with a line and a checkpoint every ``log_every`` seconds."""
        data = self.recipe.data
        images = PackedImages.read(data.train)
        held_out = PackedImages.read(data.held_out, limit=24) if data.held_out else None
        self.out.mkdir(parents=True, exist_ok=True)
        log_path = self.out / "log.csv"
        fresh = not log_path.exists()
        started, before, last_log = time.monotonic(), self.seconds, time.monotonic()
        running = 0.0
        with open(log_path, "a", newline="", buffering=1) as log_file:
            log = csv.writer(log_file)
            if fresh:
                log.writerow(
                    [
                        "step",
                        "seconds",
                        "loss",
                        "luma_psnr_db_256",
                        "luma_psnr_db_32",
                        "chroma_psnr_db_64",
                    ]
                )
            while self.progress < 1:
                loss = self.train_step(images)
                running = loss if not running else 0.99 * running + 0.01 * loss
                self.seconds = before + time.monotonic() - started
                if time.monotonic() - last_log > log_every or self.progress >= 1:
                    last_log = time.monotonic()
                    row: list[float] = [self.step, round(self.seconds), round(running, 6)]
                    if held_out:
                        nets = self.averaged()
                        row += [
                            round(held_out_psnr_db(nets, held_out, q, self.device)[i], 3)
                            for q, i in ((256, 0), (32, 0), (64, 1))
                        ]
                    log.writerow(row)
                    print(
                        f"{self.recipe.name}: {self.progress:6.1%}  step {row[0]}  {row[1]:.0f} s  loss {row[2]:.5f}  held-out dB {row[3:]}",
                        file=sys.stderr,
                        flush=True,
                    )
                    self.save()
        self.save()
