"""PPCN's photo enhancement: a teacher, a student that runs on a phone, and the discriminator both are trained against.

Source: Hui et al., "Perception-Preserving Convolutional Networks for Image Enhancement on Smartphones", 2018,
Figures 3 and 4. The text gives kernels and no channels or activations; where it is silent, sizes, slopes and the
epsilon of the norms are those of the authors' published code. Ours: what lies beyond the edges of a picture (its edge, not black, which leaves a coloured fringe), how
weights start (the networks begin as nearly the identity, see ``_pass_on``), and a discriminator whose width is a setting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import SettingError

SLOPE = 0.05  # of the generators' leaky ReLU
CRITIC_SLOPE = 0.2
CONTRAST = 1.2
EPSILON = 1e-3  # beside the variances
GAIN, MIDDLE = 0.58, 0.5  # of the last tanh: its range is a little more than a picture's
GREY = (0.299, 0.587, 0.114)
FRESH_GAIN = 0.1  # of the norms that end a residual block: at first they add little


@dataclass(frozen=True)
class EnhancementConfig:
    """Which generator, and how wide the discriminator is (the paper's: 64 after the first layer; 0: none)."""

    size: str = "student"
    critic_width: int = 64
    critic_side: int = 100  # pixels of a side of the patches it judges


class Norm(nn.Module):
    """Instance norm, with moments of its own input or of another's: what is known of a picture makes a tile local."""

    def __init__(self, channels: int, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.full((channels,), gain))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, known: Tensor | None) -> tuple[Tensor, Tensor]:
        """The normalised maps, and the moments by which: (N, 2 C, 1, 1), means and then variances."""
        x = x.float()
        if known is None:
            mean = x.mean((2, 3), keepdim=True)
            known = torch.cat([mean, (x - mean).square().mean((2, 3), keepdim=True)], 1)
        mean, variance = known.chunk(2, 1)
        scale = self.gain[:, None, None] / (variance + EPSILON).sqrt()
        return (x - mean) * scale + self.shift[:, None, None], known


class Generator(nn.Module):
    """What teacher and student share: contrast first, a bounded picture last, and moments in between.

    ``forward`` takes the moments of the picture it is given. A picture too large for that goes in two steps: ``moments``
    of a part that stands for it, then ``with_moments`` tile by tile, where ``radius`` is the halo.
    Input and output (N, 3, H, W) in [0, 1], the output up to 0.08 beyond.
    """

    radius: int  # pixels in each direction that ``with_moments`` sees
    widths: tuple[int, ...]  # channels of the norms, in their order
    tail: nn.Conv2d

    def forward(self, picture: Tensor) -> Tensor:
        return self._run(picture, None)[0]

    def features(self, picture: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The picture, and the maps (N, C, H, W) that distillation compares."""
        out, maps, _ = self._run(picture, None)
        return out, maps

    def moments(self, picture: Tensor) -> Tensor:
        """Means of the picture's channels, then means and variances of each norm: (N, S, 1, 1)."""
        return torch.cat(self._run(picture, None)[2], 1)

    def with_moments(self, picture: Tensor, moments: Tensor) -> Tensor:
        """``forward`` where ``moments`` are those of the picture."""
        parts = torch.split(moments, [3, *(2 * width for width in self.widths)], 1)
        return self._run(picture, list(parts))[0]

    def _run(
        self, picture: Tensor, known: Sequence[Tensor] | None
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        mean = picture.mean((2, 3), keepdim=True) if known is None else known[0]
        f, maps, found = self.body(mean + CONTRAST * (picture - mean), known[1:] if known else None)
        return GAIN * torch.tanh(self.tail(f).float()) + MIDDLE, maps, [mean, *found]

    def body(self, f: Tensor, known: Sequence[Tensor] | None) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The features the last convolution sees, maps for distillation, and the moments of each norm."""
        raise NotImplementedError


class Student(Generator):
    """2.6 kMAC per pixel: two separable pairs of 7, the second dilated and with a skip, then 3x3."""

    radius = 3 + 6 + 1
    widths = (16, 8)

    def __init__(self) -> None:
        super().__init__()
        self.across, self.down = (
            _conv(3, 8, (1, 7)),
            _conv(8, 8, (7, 1)),
        )
        self.far_across = _conv(8, 16, (1, 7), 2)
        self.far_down = _conv(16, 8, (7, 1), 2)
        self.norms = nn.ModuleList([Norm(16), Norm(8, FRESH_GAIN)])
        self.tail = _conv(8, 3, (3, 3))
        _pass_on(self.across, self.down)
        _pass_on(self.tail, contrast=True)

    def body(self, f: Tensor, known: Sequence[Tensor] | None) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        near = _act(self.down(_act(self.across(f))))  # (N, 8, H, W)
        f, first = self.norms[0](self.far_across(near), known and known[0])  # (N, 16, H, W)
        f, second = self.norms[1](self.far_down(_act(f)), known and known[1])
        f = _act(f) + near
        return f, [near, f], [first, second]


class Residual(nn.Module):
    """3x3 to 32 channels and back to 16, each with a norm; what comes in is added."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.wide = _conv(16, 32, (3, 3), dilation)
        self.narrow = _conv(32, 16, (3, 3), dilation)
        self.norms = nn.ModuleList([Norm(32), Norm(16, FRESH_GAIN)])

    def forward(self, f: Tensor, known: Sequence[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        inside, first = self.norms[0](self.wide(f), known and known[0])
        inside, second = self.norms[1](self.narrow(_act(inside)), known and known[1])
        return f + inside, [first, second]


class Teacher(Generator):
    """21.5 kMAC per pixel: a separable pair of 7, a residual block, a dilated one, both gathered by 1x1, then 3x3."""

    radius = 3 + 2 + 4 + 1
    widths = (32, 16, 32, 16)

    def __init__(self) -> None:
        super().__init__()
        self.across, self.down = (
            _conv(3, 16, (1, 7)),
            _conv(16, 16, (7, 1)),
        )
        self.near, self.far = Residual(1), Residual(2)
        self.gather = _conv(32, 16, (1, 1))
        self.tail = _conv(16, 3, (3, 3))
        _pass_on(self.across, self.down, self.gather)
        _pass_on(self.tail, contrast=True)

    def body(self, f: Tensor, known: Sequence[Tensor] | None) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        first = _act(self.down(_act(self.across(f))))  # (N, 16, H, W)
        near, moments = self.near(first, known and known[:2])
        far, more = self.far(near, known and known[2:])
        f = _act(self.gather(torch.cat([near, far], 1)))
        return f, [first, f], [*moments, *more]


class Critic(nn.Module):
    """Figure 4: six convolutions with leaky ReLU and two dense layers on grey; logits (N,), high for a real photo.

    The sigmoid is in the losses. Norms after all convolutions but the first, and strides, as in the authors' code.
    """

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        widths = [1, width, 2 * width, 3 * width, 3 * width, 4 * width, 4 * width]
        kernels, strides = (9, 5, 3, 3, 3, 3), (4, 2, 1, 1, 2, 1)
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, kernel, stride, kernel // 2)
            for a, b, kernel, stride in zip(widths, widths[1:], kernels, strides)
        )
        self.norms = nn.ModuleList(Norm(channels) for channels in widths[2:])
        for stride in strides:
            side = -(-side // stride)
        self.dense = nn.Linear(4 * width * side**2, 16 * width)
        self.last = nn.Linear(16 * width, 1)

    def forward(self, picture: Tensor) -> Tensor:
        """Of pictures (N, 3, side, side) in [0, 1]."""
        weights = torch.tensor(GREY, device=picture.device)[:, None, None]
        f = (picture * weights).sum(1, keepdim=True)  # (N, 1, side, side)
        for i, layer in enumerate(self.layers):
            f = F.leaky_relu(layer(f), CRITIC_SLOPE)
            if i:
                f = self.norms[i - 1](f, None)[0]
        logits: Tensor = self.last(F.leaky_relu(self.dense(f.flatten(1)), CRITIC_SLOPE)).flatten().float()
        return logits


GENERATORS: dict[str, type[Generator]] = {"student": Student, "teacher": Teacher}


class EnhancementNets(nn.Module):
    """A generator, and beside it the discriminator of its training, so that a checkpoint holds both."""

    scale, unit = 1, 1

    def __init__(self, config: EnhancementConfig) -> None:
        super().__init__()
        if config.size not in GENERATORS:
            raise SettingError(f"size of a generator: one of {', '.join(GENERATORS)}, not {config.size!r}")
        self.config = config
        self.generator = GENERATORS[config.size]()
        self.critic = Critic(config.critic_width, config.critic_side) if config.critic_width else None

    @property
    def radius(self) -> int:
        """The halo of a tile, the picture's moments given."""
        return self.generator.radius

    def forward(self, picture: Tensor) -> Tensor:
        """What the generator makes of it."""
        out: Tensor = self.generator(picture)
        return out

    def moments(self, picture: Tensor) -> Tensor:
        """What ``with_moments`` must know of a whole picture: see ``Generator``."""
        return self.generator.moments(picture)

    def with_moments(self, picture: Tensor, moments: Tensor) -> Tensor:
        """What the generator makes of a part of a picture."""
        return self.generator.with_moments(picture, moments)


def _conv(c_in: int, c_out: int, sides: tuple[int, int], dilation: int = 1) -> nn.Conv2d:
    """To the same size, the picture's edge repeated around it; He's weights and no biases."""
    padding = (sides[0] // 2 * dilation, sides[1] // 2 * dilation)
    conv = nn.Conv2d(c_in, c_out, sides, padding=padding, dilation=dilation, padding_mode="replicate")
    nn.init.kaiming_normal_(conv.weight, SLOPE)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


def _act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


@torch.no_grad()
def _pass_on(*layers: nn.Conv2d, contrast: bool = False) -> None:
    """Let red, green and blue through the first three channels; with ``contrast``, as the last tanh undoes the stretch.

    The generators have no path around themselves: from other weights they first spend thousands of steps on the identity.
    """
    gain = 1 / (GAIN * CONTRAST) if contrast else 1.0
    for layer in layers:
        assert layer.bias is not None
        middle = tuple(side // 2 for side in layer.kernel_size)
        layer.weight[:3] = 0
        for channel in range(3):
            layer.weight[channel, channel, *middle] = gain
        layer.bias[:3] = -gain * MIDDLE if contrast else 0
