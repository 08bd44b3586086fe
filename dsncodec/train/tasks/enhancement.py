"""Training PPCN's photo enhancement: a phone's pictures towards a camera's of the same places."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from ...errors import SettingError
from ...metrics import psnr_db, ssim
from ..losses import losses
from ..nets import loss_networks
from ..nets.enhancement import EnhancementConfig, EnhancementNets, Generator
from ..recipe import Recipe
from ..trainer import Batch, picture_of, planes

UInt8Array = NDArray[np.uint8]


@dataclass(frozen=True)
class PairSettings:
    """Where the pairs are: ``folder``/iphone/N.jpg and ``folder``/canon/N.jpg show one place.

    ``train`` and ``held_out`` are the first N and the one behind the last; held-out pairs are judged, never trained on,
    and may be none. All pictures have one size.
    """

    folder: str = "data/test/dped"
    train: tuple[int, ...] = (0, 300)
    held_out: tuple[int, ...] = ()
    batch: int = 4
    micro_batch: int = 4


@dataclass(frozen=True)
class LossSettings:
    """The weights of Hui et al., Eq. 7 and 13, and what they need.

    ``loss_networks`` is the folder of loss networks. The paper's contextual loss compares conv4_2 of VGG-19; ``layer`` of
    SqueezeNet, which sees the picture at the same eighth of its size, stands in. ``teacher`` is the checkpoint of the
    teacher, of ``distillation`` only, and ``maps`` what it hands down: "first" and "last" feature maps as in the authors'
    code, and "colours", the red, the green and the blue of its output as three maps.
    """

    loss_networks: str = "data/loss_network"
    layer: str = "fire5"
    content: float = 10.0
    contextual: float = 4.0
    ssim: float = 25.0
    texture: float = 1.0
    colour: float = 1.0
    variation: float = 2000.0
    distillation: float = 0.0
    maps: tuple[str, ...] = ("first", "last")
    teacher: str = ""


@dataclass(frozen=True)
class EnhancementRecipe(Recipe):
    """One generator, student or teacher."""

    task: str = "enhancement"
    model: EnhancementConfig = field(default_factory=EnhancementConfig)
    data: PairSettings = field(default_factory=PairSettings)
    loss: LossSettings = field(default_factory=LossSettings)


def read_pairs(folder: str | Path, first: int, end: int) -> tuple[UInt8Array, UInt8Array]:
    """The phone's pictures and the camera's, each (end - first, H, W, 3).

    Raises:
        SettingError: a picture is missing, or not of the size of the others.
    """
    kinds: list[UInt8Array] = []
    for kind in ("iphone", "canon"):
        pictures = []
        for number in range(first, end):
            path = Path(folder) / kind / f"{number}.jpg"
            try:
                with Image.open(path) as image:
                    pictures.append(np.asarray(image.convert("RGB")))
            except OSError as exc:
                raise SettingError(f"pairs of pictures: {path} cannot be read: {exc}") from exc
            if pictures[-1].shape != (kinds[0][0] if kinds else pictures[0]).shape:
                raise SettingError(f"pairs of pictures: {path} is not of the size of the others")
        kinds.append(np.stack(pictures))
    return kinds[0], kinds[1]


class EnhancementTask:
    """What the trainer asks for, of a generator and its discriminator: see ``trainer.Task``.

    The discriminator is a part of the networks, so that checkpoints hold it and the loop's optimizer moves it; in
    ``loss`` each of the two sees only its own gradient. Both move at once, where the authors let them take turns.
    """

    def __init__(self, recipe: EnhancementRecipe) -> None:
        data = recipe.data
        for name, bounds in (("train", data.train), ("held_out", data.held_out)):
            if (name == "train" or bounds) and (len(bounds) != 2 or not 0 <= bounds[0] < bounds[1]):
                raise SettingError(
                    f"recipe {recipe.name}: {name} must be the first pair and the one behind the last"
                )
        if (recipe.loss.distillation > 0) != bool(recipe.loss.teacher):
            raise SettingError(f"recipe {recipe.name}: distillation and teacher need each other")
        if not recipe.loss.maps or not set(recipe.loss.maps) <= {"first", "last", "colours"}:
            raise SettingError(f"recipe {recipe.name}: maps are some of first, last, colours")
        if recipe.loss.texture > 0 and not recipe.model.critic_width:
            raise SettingError(f"recipe {recipe.name}: the texture loss needs a discriminator, critic_width")
        self.recipe = recipe
        self.micro_batch = data.micro_batch

    @functools.cached_property
    def pairs(self) -> tuple[UInt8Array, UInt8Array]:
        phone, camera = read_pairs(self.recipe.data.folder, *self.recipe.data.train)
        differ = (phone != camera).any(
            (1, 2, 3)
        )  # a few are white on both sides: nothing to learn, and no features
        return phone[differ], camera[differ]

    @functools.cached_property
    def held_out(self) -> tuple[UInt8Array, UInt8Array] | None:
        data = self.recipe.data
        return read_pairs(data.folder, *data.held_out) if data.held_out else None

    @functools.cached_property
    def loss_network(self) -> nn.Module:
        settings = self.recipe.loss
        network = loss_networks.load("squeezenet", settings.loss_networks, [settings.layer])
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @functools.cached_property
    def teacher(self) -> Generator:
        """The averaged generator of the teacher's checkpoint."""
        path = self.recipe.loss.teacher
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            nets = EnhancementNets(EnhancementConfig(**state["recipe"]["model"]))
            nets.load_state_dict(state["ema"])
        except OSError as exc:
            raise SettingError(f"teacher {path}: {exc.strerror}") from exc
        except Exception as exc:  # torch.load raises whatever the pickle's first wrong byte leads to
            raise SettingError(f"teacher {path} is not a checkpoint of this task") from exc
        return nets.generator.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def networks(self) -> EnhancementNets:
        return EnhancementNets(self.recipe.model)

    def load_from(self, nets: EnhancementNets, weights: dict[str, Tensor]) -> None:
        """Weights of a run of the same shape."""
        nets.load_state_dict(weights)

    def batch(self, rng: np.random.Generator) -> Batch:
        """Pictures of the phone and of the camera, (N, H, W, 3) uint8 each, turned and mirrored alike."""
        phone, camera = self.pairs
        drawn = rng.choice(len(phone), self.recipe.data.batch)
        flips = rng.integers(0, 2, (3, len(drawn)))
        parts = []
        for pictures in (phone, camera):
            picked = pictures[drawn].copy()
            for i, (upset, mirrored, turned) in enumerate(flips.T):
                one = picked[i, :: 1 - 2 * upset, :: 1 - 2 * mirrored]
                picked[i] = one.transpose(1, 0, 2).copy() if turned else one.copy()
            parts.append(torch.from_numpy(picked))
        return tuple(parts)

    def loss(self, nets: EnhancementNets, batch: Batch, progress: float) -> Tensor:
        """Eq. 13, and the discriminator's own loss, each with a gradient for its own network only."""
        given, wanted = (planes(part) for part in batch)
        made, maps = nets.generator.features(given)
        total = sum(self.terms(nets, given, made, maps, wanted).values(), torch.zeros((), device=made.device))
        if nets.critic is not None and self.recipe.loss.texture:
            total = total + losses.discriminator_loss(nets.critic(wanted), nets.critic(made.detach()))
        return total

    def terms(
        self, nets: EnhancementNets, given: Tensor, made: Tensor, maps: list[Tensor], wanted: Tensor
    ) -> dict[str, Tensor]:
        """The weighted parts of Eq. 13 by name, those of weight 0 left out."""
        weights, parts = self.recipe.loss, {}
        if weights.contextual:
            with torch.no_grad():
                seen = self.loss_network(wanted)[weights.layer]
            distance = losses.contextual_loss(self.loss_network(made)[weights.layer], seen)
            parts["contextual"] = weights.content * weights.contextual * distance
        if weights.ssim:
            parts["ssim"] = weights.content * weights.ssim * losses.ssim_loss(made, wanted)
        if weights.colour:
            parts["colour"] = weights.colour * losses.blurred_colour_loss(made, wanted)
        if weights.variation:
            parts["variation"] = weights.variation * losses.total_variation(made)
        if weights.texture and nets.critic is not None:
            nets.critic.requires_grad_(False)
            parts["texture"] = weights.texture * losses.adversarial_loss(nets.critic(made))
            nets.critic.requires_grad_(True)
        if weights.distillation:
            with torch.no_grad():
                shown = _named(*self.teacher.features(given))
            ours = _named(made, maps)
            pairs = [pair for name in weights.maps for pair in zip(ours[name], shown[name])]
            parts["distillation"] = weights.distillation * losses.distillation_loss(*zip(*pairs))
        return parts

    def evaluate(self, nets: EnhancementNets, device: str) -> dict[str, float]:
        """Mean PSNR in dB and SSIM over the held-out pairs, outputs rounded to 8 bits."""
        if self.held_out is None:
            return {}
        scores = []
        for given, wanted in zip(*self.held_out):
            made = enhanced(nets, given, device)
            scores.append((psnr_db(wanted, made), ssim(wanted, made)))
        psnr, similarity = np.mean(scores, 0)
        return {"psnr_db": float(psnr), "ssim": float(similarity)}


def _named(made: Tensor, maps: list[Tensor]) -> dict[str, list[Tensor]]:
    """What may be handed down, by the names of ``LossSettings.maps``."""
    return {"first": maps[:1], "last": maps[1:], "colours": list(torch.split(made, 1, 1))}


@torch.no_grad()
def enhanced(nets: EnhancementNets, picture: UInt8Array, device: str) -> UInt8Array:
    """What a generator makes of one picture (H, W, 3)."""
    return picture_of(nets(planes(torch.from_numpy(picture)[None]).to(device)), picture.shape)
