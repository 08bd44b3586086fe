"""The training loop: a task in, a checkpoint and a CSV log out."""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import SettingError
from ..files import write
from .optim.muon import Muon
from .recipe import OptimSettings, Recipe
from .watch import Watch

Batch = tuple[Tensor, ...]  # each (N, ...): one entry per sample


def planes(rgb: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32 in [0, 1], channels last in memory."""
    return rgb.permute(0, 3, 1, 2).float() / 255


def whole_blocks(picture: NDArray[Any], side: int) -> Tensor:
    """(H, W, 3) to (1, H, W, 3), its last row and column repeated until a block of this side fits a whole number of times."""
    rows, columns = picture.shape[:2]
    return torch.from_numpy(np.pad(picture, ((0, -rows % side), (0, -columns % side), (0, 0)), "edge"))[None]


def picture_of(made: Tensor, size: Sequence[int]) -> NDArray[np.uint8]:
    """(1, 3, H, W) to (rows, columns, 3) uint8 of a size (rows, columns, ...): clipped to [0, 1], rounded, what is beyond cut off."""
    rgb = made[0, :, : size[0], : size[1]].float().clamp(0, 1) * 255
    return rgb.round().byte().permute(1, 2, 0).cpu().numpy()


def has_bf16(device: str) -> bool:
    """Whether bf16 pays on a device: a CPU without AVX-512 only imitates it, many times slower than float32."""
    return not device.startswith("cpu") or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class Task(Protocol):
    """What a run trains and by what; the loop knows nothing else of it."""

    recipe: Recipe
    micro_batch: int  # samples per forward pass: feature maps stay in the cache of a CPU

    def networks(self) -> nn.Module:
        """The networks, with fresh weights. Layers named tail or shrink predict residuals."""

    def load_from(self, nets: Any, weights: dict[str, Tensor]) -> None:
        """Put another run's weights into fresh networks of ours, which may differ in shape."""

    def batch(self, rng: np.random.Generator) -> Batch:
        """The samples of one step, on the CPU. Pictures are read on the first call."""

    def loss(self, nets: Any, batch: Batch, progress: float) -> Tensor:
        """What is minimised, as a mean over the samples; ``progress`` is the part of the budget spent."""

    def evaluate(self, nets: Any, device: str) -> dict[str, float]:
        """The columns of the log, from held-out pictures; empty without any."""


def rate_factor(optim: OptimSettings, step: int, progress: float) -> float:
    """The learning rate at this moment, relative to its maximum."""
    if optim.schedule == "halve":  # the paper's: half as fast after each stretch, down to 1/100
        return max(0.01, 0.5 ** (step // max(1, optim.halve_every)))
    if optim.schedule == "constant":
        return min(1.0, (step + 1) / max(1, optim.warmup_steps))
    if optim.schedule == "anneal":
        return max(1 - progress, 1e-3)
    if progress < optim.warmup:
        return max(progress / optim.warmup, 1e-3)
    done = (progress - optim.warmup) / (1 - optim.warmup)
    if optim.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(done, 1.0))) + 1e-3
    if optim.schedule == "linear":
        return max(1 - done, 1e-3)
    raise SettingError(f"schedule {optim.schedule!r}: one of halve, cosine, linear, constant, anneal")


def make_optimizers(nets: nn.Module, optim: OptimSettings) -> list[torch.optim.Optimizer]:
    """Adam for everything, or Muon for the wide convolutions and Adam for the rest."""
    if optim.optimizer not in ("adam", "muon"):
        raise SettingError(f"optimizer {optim.optimizer!r}: one of adam, muon")
    wide: list[nn.Parameter] = []
    tail: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, weight in nets.named_parameters():
        if not weight.requires_grad:
            continue
        if optim.optimizer == "muon" and weight.dim() == 4 and min(weight.shape[:2]) >= 32:
            wide.append(weight)
        elif {"shrink", "tail"} & set(name.split(".")):
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


_LOG_BEGINS = b"step,"


def _is_log(log: bytes) -> bool:
    """Whether each whole row but the heading begins with a step."""
    rows = log[: log.rfind(b"\n") + 1].splitlines()[1:]
    return all(row.split(b",")[0].isdigit() for row in rows)


class Trainer:
    """One run: it can be stopped at any moment and goes on from its last checkpoint, as if it had not been stopped.

    Args:
        out: the folder of its checkpoint and its log.
        anneal: another run's folder. A new run takes all of that run's state, and its own budget begins there.
    """

    def __init__(
        self, task: Task, out: str | Path, device: str | None = None, anneal: str | Path | None = None
    ) -> None:
        self.task, self.recipe, self.out = task, task.recipe, Path(out)
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        optim = self.recipe.optim
        torch.manual_seed(optim.seed)
        if optim.threads:
            torch.set_num_threads(optim.threads)
        self.nets = task.networks().to(self.device)
        self.checkpoint = self.out / "checkpoint.pt"
        self.stopping = False
        self.watch: Watch | None = None
        if self.recipe.start_from and not self.checkpoint.exists() and anneal is None:
            self._load_from(self.recipe.start_from)
        if optim.channels_last:
            self.nets.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = {k: v.detach().clone() for k, v in self.nets.state_dict().items()}
        self.optimizers = make_optimizers(self.nets, optim)
        self.rng = np.random.default_rng(optim.seed)
        self.step, self.seconds, self.core_seconds = 0, 0.0, 0.0
        # where the budget began: elsewhere than at 0 in a run that anneals another
        self.first_step, self.first_seconds = 0, 0.0
        # whether what stands in the place of the checkpoint is this run's
        self.ours = self.checkpoint.exists()
        if self.ours:
            self._resume(self.checkpoint)
        elif anneal is not None:
            source = Path(anneal, "checkpoint.pt")
            if not source.exists():
                raise SettingError(f"nothing to anneal: {source} is not there")
            self._resume(source)
            self.first_step, self.first_seconds = self.step, self.seconds

    def _load_from(self, path: str) -> None:
        """Start from another run's averaged weights, from "published:NAME", or from a network's .onnx file, as far as the task can
        use them."""
        if path.startswith("published:") or path.endswith(".onnx"):
            # reads ONNX, which only some runs do
            from .export import pretrained

            if path.endswith(".onnx"):
                return self.task.load_from(self.nets, pretrained.weights_in(Path(path)))
            return self.task.load_from(self.nets, pretrained.weights_of(path.removeprefix("published:")))
        try:
            theirs = torch.load(path, map_location=self.device, weights_only=True)["ema"]
        except OSError as exc:
            raise SettingError(f"recipe {self.recipe.name} starts from {path}: {exc.strerror}") from exc
        self.task.load_from(self.nets, theirs)

    def _resume(self, checkpoint: Path) -> None:
        state = torch.load(checkpoint, map_location=self.device, weights_only=True)
        self.nets.load_state_dict(state["nets"])
        self.ema = state["ema"]
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            rates = [group["max_lr"] for group in optimizer.param_groups]
            optimizer.load_state_dict(saved)
            # the recipe's, which may be others than when the checkpoint was written
            for group, rate in zip(optimizer.param_groups, rates):
                group["max_lr"] = rate
        self.step, self.seconds = state["step"], state["seconds"]
        self.core_seconds = state.get("core_seconds", 0.0)
        self.first_step, self.first_seconds = state.get("first", (0, 0.0))
        self.rng = np.random.default_rng([self.recipe.optim.seed, self.step])
        # absent from checkpoints of 0.2.0
        if "random" in state:
            self.rng.bit_generator.state = json.loads(state["random"])
            torch.set_rng_state(state["torch_random"].cpu())

    def save(self) -> None:
        """Write the checkpoint, in the place of the last one: a kill or a full disk loses neither.

        Raises:
            OSError: it cannot be written.
        """
        buffer = io.BytesIO()  # torch says RuntimeError where a disk is full
        torch.save(
            {
                "nets": self.nets.state_dict(),
                "ema": self.ema,
                "optimizers": [o.state_dict() for o in self.optimizers],
                "step": self.step,
                "seconds": self.seconds,
                "core_seconds": self.core_seconds,
                "first": (self.first_step, self.first_seconds),
                "random": json.dumps(self.rng.bit_generator.state),
                "torch_random": torch.get_rng_state(),
                "recipe": asdict(self.recipe),
            },
            buffer,
        )
        write(str(self.checkpoint), buffer.getvalue(), force=self.ours)
        self.ours = True

    @property
    def progress(self) -> float:
        """The part of the budget that is spent, 0..1."""
        optim = self.recipe.optim
        steps, seconds = self.step - self.first_step, self.seconds - self.first_seconds
        return max(steps / optim.steps, seconds / (60 * optim.minutes))

    def train_step(self) -> float:
        """One update of the weights; returns the loss."""
        optim, progress = self.recipe.optim, self.progress
        batch = tuple(part.to(self.device) for part in self.task.batch(self.rng))
        samples, size = len(batch[0]), self.task.micro_batch
        total = torch.zeros((), device=self.device)
        for start in range(0, samples, size):
            part = tuple(tensor[start : start + size] for tensor in batch)
            with torch.autocast(
                self.device.split(":")[0], torch.bfloat16, enabled=optim.bf16 and has_bf16(self.device)
            ):
                loss = self.task.loss(self.nets, part, progress)
            loss = loss * (len(part[0]) / samples)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        factor = rate_factor(optim, self.step, progress)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["max_lr"] * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        decay = min(optim.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.ema.values()), list(self.nets.state_dict().values()), 1 - decay)
        self.step += 1
        return float(total)

    def averaged(self) -> nn.Module:
        """A copy of the networks with the averaged weights, for judging and for export."""
        nets = self.task.networks().to(self.device)
        nets.load_state_dict(self.ema)
        return nets.eval()

    def _logged(self, path: Path) -> bool:
        """Whether the log has begun. Rows behind the checkpoint, of a run that was killed, are taken back.

        Raises:
            FileExistsError: the file is no log of a training.
        """
        if not path.exists():
            return False
        log = path.read_bytes()
        if not (log.startswith(_LOG_BEGINS) or _LOG_BEGINS.startswith(log)) or not _is_log(log):
            raise FileExistsError(
                errno.EEXIST, f"{path} is no log of a training: choose another -o, or move it"
            )
        heading, *rows = log[: log.rfind(b"\n") + 1].splitlines(keepends=True) or [b""]
        kept = b"".join([heading, *(row for row in rows if int(row.split(b",")[0]) <= self.step)])
        if kept != log:
            write(str(path), kept, force=True)
        return bool(kept)

    def run(self, log_every: float = 120.0) -> None:
        """Train until the budget is spent or ``stopping`` is set, with a line and a checkpoint every ``log_every`` seconds.

        Raises:
            SettingError: the loss is no number any more; the last checkpoint is kept as it was.
        """
        self.task.batch(np.random.default_rng(0))  # reads the pictures: no part of the budget
        self.out.mkdir(parents=True, exist_ok=True)
        log_path = self.out / "log.csv"
        fresh = not self._logged(log_path)
        started, before, last_log = time.monotonic(), self.seconds, time.monotonic()
        core_started, core_before = time.process_time(), self.core_seconds
        running = 0.0
        with open(log_path, "a", newline="", buffering=1) as log_file:
            log = csv.writer(log_file)
            while self.progress < 1 and not self.stopping:
                loss = self.train_step()
                if not math.isfinite(loss):
                    raise SettingError(
                        f"recipe {self.recipe.name}: the loss is {loss} after {self.step} steps. {self.checkpoint} is as it "
                        "was before, if it was written: go on from it with a lower lr or matrix_lr"
                    )
                running = loss if not running else 0.99 * running + 0.01 * loss
                if self.watch is not None:
                    self.watch.part(self.progress, f"step {self.step}  loss {running:.4g}")
                self.seconds = before + time.monotonic() - started
                self.core_seconds = core_before + time.process_time() - core_started
                if time.monotonic() - last_log > log_every or self.progress >= 1:
                    last_log = time.monotonic()
                    scores = self.task.evaluate(self.averaged(), self.device)
                    row = {
                        "step": self.step,
                        "seconds": round(self.seconds),
                        "core_h": round(self.core_seconds / 3600, 3),
                        "loss": round(running, 6),
                    }
                    row |= {name: round(value, 3) for name, value in scores.items()}
                    if self.watch is not None:
                        self.watch.clear()
                    if fresh:
                        log.writerow(row)
                        fresh = False
                    log.writerow(row.values())
                    print(
                        f"{self.recipe.name}: {self.progress:6.1%}  "
                        + "  ".join(f"{name} {value:g}" for name, value in row.items()),
                        file=sys.stderr,
                        flush=True,
                    )
                    self.save()
        self.save()
