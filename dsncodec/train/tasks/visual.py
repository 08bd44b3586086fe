"""Training restoration networks for the eye: after AVIF tuned for it, by SSIMULACRA 2 beside squared error.

A network may put out several corrections. The encoder has the original, solves for the weight of each, and sends them in a
few bytes; training does the same on each crop, and the slope goes through the solution.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ... import metrics
from ...errors import SettingError
from ..data.coded_pairs import CodedPairs, of_wide, spread_qualities
from ..data.images import PackedImages
from ..losses.perceptual import FeatureDistance, grid_loss, local_statistics, relative
from ..losses.ssimulacra2 import SMALLEST, Seen
from ..nets.restoration import RestorationConfig, RestorationNet
from ..recipe import Recipe
from ..trainer import Batch, picture_of, planes, whole_blocks
from .restoration import _numbers, coded_batch, known_rmse, relative_squared_error

WEIGHT_STEP = 1 / 32
# of the solution's equations, in units of a correction of one RMSE: pulls towards the first correction alone
RIDGE = 1e-3
# a nearly perfect picture, of a score of 97, does not outweigh the others
LEAST_ERRORS = 0.1


@dataclass(frozen=True)
class VisualDataSettings:
    """Where the pictures are, and what is cut out of them.

    So many ``crops``, squares of the side ``crop``, are coded, at qualities spread over ``qualities``, by ``codecs`` and at
    libavif's ``speeds`` in turn, as ``CodedPairs.code_in`` says, into the folder ``cache``; samples are squares of the side
    ``patch`` of those. The held-out pictures are coded whole, by the first codec at the first speed and the qualities
    ``judged``, into the folder beside it whose name ends in -held-out. ``codec`` is whose pictures are restored, and ``scale`` is 2
    where they were coded at half their size, as the ``codecs`` -half do.
    """

    codec: str = "avif"
    scale: int = 1
    train: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    cache: str = "runs/coded/avif-iq"
    codecs: tuple[str, ...] = ("avif-iq10", "avif-iq10", "avif-iq8")
    speeds: tuple[int, ...] = (6, 6, 5, 6, 6, 4, 6, 6, 5, 6, 6, 3)
    crops: int = 2000
    crop: int = 256
    qualities: tuple[float, ...] = (22.0, 88.0)
    judged: tuple[float, ...] = (30.0, 45.0, 60.0, 78.0)
    judged_pictures: int = 24
    coding_threads: int = 0
    patch: int = 192
    batch: int = 4
    micro_batch: int = 4
    align: int = 8


@dataclass(frozen=True)
class VisualLossSettings:
    """What is minimised: weights of the squared error, of the errors that SSIMULACRA 2 sees, and of the distances of ``layers`` of
    loss networks, place by place (``features``, which holds back what smooths) and of their local ``statistics`` (which asks for
    texture); each over the coded picture's own. The last two are taken in one step of ``features_every``, drawn, so many times
    as heavy. ``grid`` is the weight of patterns that repeat with the network's blocks, over the coded picture's squared error.
    ``loss_networks`` is the folder of the loss networks' weights.
    """

    squared: float = 0.3
    ssimulacra2: float = 1.0
    features: float = 0.0
    statistics: float = 0.0
    grid: float = 0.0
    features_every: int = 4
    layers: tuple[str, ...] = ("squeezenet.fire3", "squeezenet.fire5")
    loss_networks: str = "data/loss_network"


@dataclass(frozen=True)
class VisualRecipe(Recipe):
    """One network, for one codec at all its qualities. Encoders choose it for files of its ``tune``, "visual" or "psnr"; "perceptual" is a decoder that
    readers choose, and its pictures may have been coded at half their size too."""

    task: str = "visual"
    tune: str = "visual"
    model: RestorationConfig = field(default_factory=RestorationConfig)
    data: VisualDataSettings = field(default_factory=VisualDataSettings)
    loss: VisualLossSettings = field(default_factory=VisualLossSettings)


def solved_weights(corrections: Tensor, error: Tensor, rmse: Tensor) -> Tensor:
    """The weights (N, K) with which the corrections come nearest to the error, by least squares with a little ridge.

    Args:
        corrections: (N, K, 3, H, W).
        error: (N, 3, H, W), the original less the coded picture.
        rmse: (N, 1, 1, 1), about the error's own.
    """
    with torch.autocast(corrections.device.type, enabled=False):
        count = corrections.shape[1]
        units = corrections.float().flatten(2) / rmse.view(-1, 1, 1)
        wanted = (error.float() / rmse).flatten(1)[:, :, None]
        ridge = RIDGE * torch.eye(count, device=units.device)
        matrix = units @ units.transpose(1, 2) / units.shape[2] + ridge
        return torch.linalg.solve(matrix, units @ wanted / units.shape[2] + ridge[:, :1])[:, :, 0]


def rounded_weights(weights: Tensor) -> Tensor:
    """As a byte of each carries them."""
    return (weights / WEIGHT_STEP).round().clamp(-128, 127) * WEIGHT_STEP


class VisualTask:
    """What the trainer asks for, of a restoration network for the eye: see ``trainer.Task``."""

    def __init__(self, recipe: VisualRecipe) -> None:
        data, block = recipe.data, recipe.model.block
        if data.patch < SMALLEST or data.patch % block:
            raise SettingError(
                f"recipe {recipe.name}: patch must be a multiple of {block} and at least {SMALLEST}, not {data.patch}"
            )
        if not recipe.data.cache:
            raise SettingError(f"recipe {recipe.name}: cache must name a folder")
        self.recipe = recipe
        self.micro_batch = data.micro_batch

    @functools.cached_property
    def pairs(self) -> CodedPairs:
        data = self.recipe.data
        rng = np.random.default_rng(self.recipe.optim.seed)
        pictures = PackedImages.read(data.train)
        # one by one: their places take more memory than they do
        crops = np.concatenate([pictures.patches(rng, 1, data.crop) for _ in range(data.crops)])
        sizes = np.full((len(crops), 2), data.crop, np.int64)
        quality = spread_qualities(rng, 1, len(crops), data.qualities)
        return CodedPairs.code_in(
            data.cache,
            PackedImages(crops.reshape(-1, 3), sizes),
            data.codecs,
            quality,
            data.speeds,
            data.coding_threads,
        )

    @functools.cached_property
    def held_out(self) -> CodedPairs | None:
        data = self.recipe.data
        if not data.held_out:
            return None
        originals = PackedImages.read(data.held_out, limit=data.judged_pictures)
        quality = np.repeat(np.array(data.judged, np.float32)[:, None], len(originals), 1)
        return CodedPairs.code_in(
            data.cache + "-held-out",
            originals,
            data.codecs[:1],
            quality,
            data.speeds[:1],
            data.coding_threads,
        )

    @functools.cached_property
    def distance(self) -> FeatureDistance:
        return FeatureDistance(self.recipe.loss.loss_networks, self.recipe.loss.layers)

    @functools.cached_property
    def plain_scores(self) -> NDArray[np.float64]:
        """SSIMULACRA 2 of the held-out pictures as they were decoded, (K, images)."""
        assert self.held_out is not None
        pairs = self.held_out
        scores = np.empty(pairs.quality.shape)
        for k, i in np.ndindex(scores.shape):
            scores[k, i] = metrics.ssimulacra2(pairs.originals[i], of_wide(pairs.picture(k, i)))
        return scores

    def networks(self) -> RestorationNet:
        return RestorationNet(self.recipe.model)

    def load_from(self, nets: RestorationNet, weights: dict[str, Tensor]) -> None:
        """Weights of a network for another loss or codec, or of a smaller one."""
        nets.load_from(weights)

    def batch(self, rng: np.random.Generator) -> Batch:
        """See ``coded_batch``; coded patches are uint16."""
        data = self.recipe.data
        return coded_batch(self.pairs, rng, data.batch, data.patch, data.align)

    def loss(self, nets: RestorationNet, batch: Batch, progress: float) -> Tensor:
        coded, original, quality, rmse = batch
        settings, shown, wanted = self.recipe.loss, wide_planes(coded), planes(original)
        if not self.recipe.optim.channels_last:
            shown = shown.contiguous()
        if nets.config.hypotheses == 1:
            restored = nets(shown, quality, rmse)
        else:
            corrections = nets.corrections(shown, quality, rmse)
            weights = solved_weights(corrections, wanted - shown, rmse)
            # as far as rounding will move them
            weights = weights + WEIGHT_STEP * (torch.rand_like(weights) - 0.5)
            restored = shown + torch.einsum("nkchw,nk->nchw", corrections.float(), weights)
        total = settings.squared * relative_squared_error(restored, wanted, rmse)
        if settings.grid:
            total = total + settings.grid * grid_loss(restored / rmse, wanted / rmse, nets.config.block)
        if settings.ssimulacra2:
            seen = Seen(wanted)
            with torch.no_grad():
                before = seen.errors(shown).clamp(min=LEAST_ERRORS)
            total = total + settings.ssimulacra2 * (seen.errors(restored) / before).mean()
        wanted_too = settings.features or settings.statistics
        if wanted_too and torch.rand(()) * settings.features_every < 1:
            total = total + settings.features_every * self._far(restored.clamp(0, 1), shown, wanted)
        return total

    def _far(self, restored: Tensor, shown: Tensor, wanted: Tensor) -> Tensor:
        """The distances of the loss networks' features, weighed, over those of the coded picture."""
        settings = self.recipe.loss
        with torch.no_grad():
            theirs, coded = self.distance.features(wanted), self.distance.features(shown)
        ours = self.distance.features(restored)
        total = restored.new_zeros(())
        for weight, of in ((settings.features, torch.Tensor.float), (settings.statistics, local_statistics)):
            if weight:
                target = {name: of(maps) for name, maps in theirs.items()}
                before = relative({name: of(maps) for name, maps in coded.items()}, target)
                after = relative({name: of(maps) for name, maps in ours.items()}, target)
                ratios = [after[name] / before[name].clamp(min=1e-6) for name in after]
                total = total + weight * torch.stack(ratios).mean()
        return total

    def evaluate(self, nets: RestorationNet, device: str) -> dict[str, float]:
        """What the network adds to RGB PSNR in dB and to SSIMULACRA 2 over the held-out pictures: means, the least, the part of
        the pictures that come out worse, and means at each judged quality."""
        if self.held_out is None:
            return {}
        gains_db, gains = self.gains(nets, device)
        row = {
            "gain_db": float(gains_db.mean()),
            "least_gain_db": float(gains_db.min()),
            "gain_ssimulacra2": float(gains.mean()),
            "least_gain_ssimulacra2": float(gains.min()),
            "worse": float((gains < 0).mean()),
        }
        for q, db, points in zip(self.recipe.data.judged, gains_db, gains):
            row |= {f"gain_db_q{q:g}": float(db.mean()), f"gain_ssimulacra2_q{q:g}": float(points.mean())}
        return row

    @torch.no_grad()
    def gains(self, nets: RestorationNet, device: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What the network adds to each held-out picture's PSNR and SSIMULACRA 2, (K, images) both, outputs of 8 bits."""
        assert self.held_out is not None
        pairs = self.held_out
        gains_db, gains = np.empty(pairs.quality.shape), np.empty(pairs.quality.shape)
        for k, i in np.ndindex(gains.shape):
            rgb = pairs.originals[i]
            made = self.restored(nets, k, i, device)
            mse = float(np.square(made.astype(np.float32) - rgb).mean())
            gains_db[k, i] = 10 * math.log10(max(float(pairs.mse[k, i]), 1e-9) / max(mse, 1e-9))
            gains[k, i] = metrics.ssimulacra2(rgb, made) - self.plain_scores[k, i]
        return gains_db, gains

    @torch.no_grad()
    def restored(self, nets: RestorationNet, k: int, i: int, device: str) -> NDArray[np.uint8]:
        """Held-out picture i at its k-th quality, restored, (H, W, 3); weights as an encoder would send them."""
        assert self.held_out is not None
        pairs, side = self.held_out, nets.config.block
        given = wide_planes(whole_blocks(pairs.picture(k, i), side).to(device))
        wanted = planes(whole_blocks(pairs.originals[i], side).to(device))
        quality = _numbers(pairs.quality[k, i : i + 1] / 100).to(device)
        rmse = known_rmse(pairs.mse[k, i : i + 1]).to(device)
        weights = None
        if nets.config.hypotheses > 1:
            corrections = nets.corrections(given, quality, rmse)
            weights = rounded_weights(solved_weights(corrections, wanted - given, rmse))
        return picture_of(nets(given, quality, rmse, weights), pairs.originals.sizes[i])


def wide_planes(rgb: Tensor) -> Tensor:
    """(N, H, W, 3) uint16, of its whole range, to (N, 3, H, W) float32 in [0, 1]."""
    return rgb.permute(0, 3, 1, 2).float() / 65535
