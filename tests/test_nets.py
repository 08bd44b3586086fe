"""The networks against a second computation in NumPy, and Q-BReLU against its equations."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dsncodec.methods.dsn.quantise import quantise

torch = pytest.importorskip("torch", reason="torch is not installed (extra [train])")

from dsncodec.train.nets.qbrelu import qbrelu
from dsncodec.train.nets.sampling import SamplingConfig, SamplingNets, UpGradient, UpSNet

FloatArray = NDArray[np.float64]
SCALES = pytest.mark.parametrize("scale", [2, 3, 4])
torch.set_num_threads(1)  # tiny tensors: threads would only wait for each other


# --- the second computation: float64, shifted sums, nothing of torch


def conv(x: FloatArray, net: Any) -> FloatArray:
    """(C, H, W) through a convolution: stride 1 and zero padding, or stride = kernel and none."""
    weight = net.weight.detach().double().numpy()
    bias = net.bias.detach().double().numpy()
    kernel, stride = weight.shape[2], net.stride[0]
    margin = kernel // 2 if stride == 1 else 0
    padded = np.pad(x, ((0, 0), (margin, margin), (margin, margin)))
    rows, columns = x.shape[1] // stride, x.shape[2] // stride
    out: FloatArray = np.zeros((weight.shape[0], rows, columns)) + bias[:, None, None]
    for dy in range(kernel):
        for dx in range(kernel):
            part = padded[:, dy : dy + rows * stride : stride, dx : dx + columns * stride : stride]
            out += np.tensordot(weight[:, :, dy, dx], part, 1)
    return out


def act(x: FloatArray) -> FloatArray:
    return np.where(x > 0, x, 0.05 * x)


def pool(x: FloatArray, s: int) -> FloatArray:
    channels, rows, columns = x.shape
    pooled: FloatArray = x.reshape(channels, rows // s, s, columns // s, s).mean((2, 4))
    return pooled


def to_blocks(x: FloatArray, s: int) -> FloatArray:
    """(1, s*h, s*w) to (s*s, h, w): map s*i + j holds row i, column j of every block."""
    return np.stack([x[0, i::s, j::s] for i in range(s) for j in range(s)])


def from_blocks(x: FloatArray, s: int) -> FloatArray:
    out = np.empty((1, x.shape[1] * s, x.shape[2] * s))
    for i in range(s):
        for j in range(s):
            out[0, i::s, j::s] = x[s * i + j]
    return out


def down_snet(x: FloatArray, net: Any, s: int) -> FloatArray:
    f = x
    for layer in net.features:
        f = act(conv(f, layer))
    return pool(x, s) + conv(f, net.shrink)


def up_snet(x: FloatArray, net: Any, s: int) -> FloatArray:
    seen = [act(conv(x, net.head))]
    for squeeze, grow in zip(net.squeeze, net.grow):
        seen.append(act(conv(act(conv(np.concatenate(seen), squeeze)), grow)))
    return from_blocks(conv(np.concatenate(seen), net.tail) + np.tile(x, (s * s, 1, 1)), s)


def chroma_down(x: FloatArray, net: Any, s: int) -> FloatArray:
    return pool(x, 2 * s) + conv(act(conv(act(conv(x, net.blocks)), net.mix)), net.tail)


def chroma_up(x: FloatArray, luma: FloatArray, net: Any, s: int) -> FloatArray:
    d = 2 * s
    f = np.concatenate([x, act(conv(luma, net.guide))])
    for layer in net.body:
        f = act(conv(f, layer))
    f = conv(f, net.tail)
    detail = to_blocks(luma, d) - pool(luma, d)
    planes = []
    for i in range(2):
        residual, gain = f[i * d * d : (i + 1) * d * d], f[2 * d * d + i]
        planes.append(from_blocks(residual + x[i] + gain * detail, d))
    return np.concatenate(planes)


def nets_of(scale: int) -> SamplingNets:
    """Networks whose every weight counts: residual layers and biases are not near zero."""
    torch.manual_seed(scale)
    nets = SamplingNets(SamplingConfig(scale=scale, width=16, chroma_width=12))
    with torch.no_grad():
        for name, weight in nets.named_parameters():
            if name.endswith("bias"):
                weight.normal_(0, 0.05)
            elif "tail" in name or "shrink" in name:
                weight.normal_(0, 0.1)
    return nets.eval()


@SCALES
def test_networks_are_what_they_say(scale: int) -> None:
    nets, s = nets_of(scale), scale
    rng = np.random.default_rng(scale)
    image = rng.random((1, 8 * s, 6 * s))
    latent, pair, wide_pair = rng.random((1, 7, 5)), rng.random((2, 4, 3)), rng.random((2, 8 * s, 6 * s))
    expected = {
        "down": (down_snet(image, nets.down, s), [image]),
        "up": (up_snet(latent, nets.up, s), [latent]),
        "chroma_down": (chroma_down(wide_pair, nets.chroma_down, s), [wide_pair]),
        "chroma_up": (chroma_up(pair, image, nets.chroma_up, s), [pair, image]),
    }
    for part, (result, inputs) in expected.items():
        with torch.no_grad():
            ours = getattr(nets, part)(*(torch.from_numpy(x).float()[None] for x in inputs))[0].numpy()
        assert ours.shape == result.shape, part
        assert np.abs(ours - result).max() < 1e-5, part


@SCALES
def test_untrained_networks_are_nearly_the_plain_resamplers(scale: int) -> None:
    """Residual layers start near zero: average pooling one way, repetition the other."""
    torch.manual_seed(0)
    nets = SamplingNets(SamplingConfig(scale=scale))
    image = np.random.default_rng(0).random((1, 4 * scale, 4 * scale))
    with torch.no_grad():
        down = nets.down(torch.from_numpy(image).float()[None])[0].numpy()
        up = nets.up(torch.from_numpy(image).float()[None])[0].numpy()
    assert np.abs(down - pool(image, scale)).max() < 0.2
    assert np.abs(up - image.repeat(scale, 1).repeat(scale, 2)).max() < 0.2


# --- shapes, as in Table 2


@SCALES
def test_table_2(scale: int) -> None:
    nets, d = SamplingNets(SamplingConfig(scale=scale)), scale
    shapes = {n: tuple(p.shape) for n, p in nets.named_parameters() if n.endswith("weight")}
    down = {n.removeprefix("down."): s for n, s in shapes.items() if n.startswith("down.")}
    assert down == {
        "features.0.weight": (64, 1, 3, 3),
        "features.1.weight": (64, 64, 3, 3),
        "features.2.weight": (64, 64, 3, 3),
        "shrink.weight": (1, 64, d, d),
    }
    up = {n.removeprefix("up."): s for n, s in shapes.items() if n.startswith("up.")}
    assert up == {
        "head.weight": (64, 1, 3, 3),
        "squeeze.0.weight": (64, 64, 1, 1),
        "grow.0.weight": (64, 64, 3, 3),
        "squeeze.1.weight": (64, 128, 1, 1),
        "grow.1.weight": (64, 64, 3, 3),
        "squeeze.2.weight": (64, 192, 1, 1),
        "grow.2.weight": (64, 64, 3, 3),
        "tail.weight": (d * d, 256, 1, 1),
    }
    assert nets.down.shrink.stride == (d, d)


@SCALES
def test_number_of_parameters(scale: int) -> None:
    nets, d = SamplingNets(SamplingConfig(scale=scale)), scale
    count = {part: sum(p.numel() for p in getattr(nets, part).parameters()) for part in ("down", "up")}
    assert count["down"] == 640 + 2 * 36_928 + 64 * d * d + 1
    assert count["up"] == 640 + (4_160 + 8_256 + 12_352) + 3 * 36_928 + 257 * d * d


@SCALES
def test_initial_weights(scale: int) -> None:
    torch.manual_seed(3)
    nets = SamplingNets(SamplingConfig(scale=scale))
    for name, weight in nets.named_parameters():
        if name.endswith("bias"):
            assert not weight.any()
            continue
        fan_in = weight[0].numel()
        residual = "tail" in name or "shrink" in name
        expected = 0.001 if residual else (2 / (1 + 0.05**2) / fan_in) ** 0.5
        assert weight.std().item() == pytest.approx(expected, rel=0.35 if weight.numel() < 1000 else 0.1), (
            name
        )


# --- Q-BReLU


def eq2(x: float, levels: int, t_min: Fraction, t_max: Fraction) -> Fraction:
    """Eq. 2 in exact arithmetic: the nearest of the levels, upwards when two are equally near."""
    step = (t_max - t_min) / (levels - 1)
    clipped = min(max(Fraction(x), t_min), t_max)
    return floor((clipped - t_min) / step + Fraction(1, 2)) * step + t_min


@pytest.mark.parametrize("levels", [2, 3, 5, 6, 16, 17, 100, 255, 256])
@pytest.mark.parametrize(("t_min", "t_max"), [(0.0, 1.0), (-1.0, 3.0), (0.25, 0.5)])
def test_forward_is_equation_2(levels: int, t_min: float, t_max: float) -> None:
    rng = np.random.default_rng(levels)
    span = t_max - t_min
    values = [t_min, t_max, *rng.uniform(t_min - 0.3 * span, t_max + 0.3 * span, 300).tolist()]
    values += [t_min + (2 * k + 1) * span / (2 * (levels - 1)) for k in range(levels - 1)]  # the ties
    ours = qbrelu(torch.tensor(values, dtype=torch.float64), levels, t_min, t_max).tolist()
    low, high = Fraction(t_min), Fraction(t_max)
    for value, result in zip(values, ours):
        exact = eq2(value, levels, low, high)
        if abs(result - exact) > 1e-9:  # float64 may fall on the other side of an inexact tie
            assert abs(abs(Fraction(value) - exact) - (high - low) / (levels - 1) / 2) < Fraction(1, 10**9)


def test_ties_go_up() -> None:
    for levels in (2, 3, 5, 9, 17, 129):
        ties = torch.tensor([(2 * k + 1) / (2 * (levels - 1)) for k in range(levels - 1)])
        steps = (qbrelu(ties, levels) * (levels - 1)).tolist()
        assert steps == list(range(1, levels))


def test_gradient_is_equation_3() -> None:
    values = [-0.5, -1e-6, 0.0, 1e-6, 0.3, 0.999, 1.0, 1.0001, 7.0]
    x = torch.tensor(values, requires_grad=True)
    upstream = torch.arange(1.0, 1 + len(values))
    torch.autograd.backward(qbrelu(x, 16), upstream)
    inside = torch.tensor([0.0 < v < 1.0 for v in values])
    assert x.grad is not None and torch.equal(x.grad, upstream * inside)


def test_each_sample_has_its_own_levels() -> None:
    x = torch.rand(3, 2, 4, 4)
    levels = torch.tensor([2.0, 16.0, 256.0]).view(-1, 1, 1, 1)
    together = qbrelu(x, levels)
    for i, q in enumerate((2, 16, 256)):
        assert torch.equal(together[i], qbrelu(x[i], q))


@pytest.mark.parametrize("levels", [2, 3, 6, 7, 16, 24, 32, 64, 100, 128, 200, 255, 256])
def test_inference_rounds_as_training_does(levels: int) -> None:
    latent = np.random.default_rng(levels).uniform(-0.2, 1.2, (1, 60, 60)).astype(np.float32)
    latent[0, 0, :5] = [0, 1, 0.5, -0.0, 0.25]
    trained = qbrelu(torch.from_numpy(latent), levels).numpy() * (levels - 1)
    np.testing.assert_array_equal(quantise(latent, levels), np.rint(trained).astype(np.uint8))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_written_out_gradient_is_autograds(scale: int) -> None:
    torch.manual_seed(scale)
    up = UpSNet(SamplingConfig(scale=scale, width=8)).double()
    for weight in up.parameters():
        torch.nn.init.normal_(weight, 0.0, 0.1)
    latent = torch.rand(2, 1, 7, 5, dtype=torch.float64, requires_grad=True)
    luma = torch.rand(2, 1, 7 * scale, 5 * scale, dtype=torch.float64)
    (0.5 * (up(latent) - luma).square().sum()).backward()
    written_out = UpGradient(up)(latent.detach(), luma)
    assert latent.grad is not None
    torch.testing.assert_close(written_out, latent.grad, rtol=1e-9, atol=1e-9)
