"""Losses and loss networks: their values, their gradients, and what a missing or wrong weight file says."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsncodec import metrics
from dsncodec.errors import MissingComponent, SettingError

torch = pytest.importorskip("torch", reason="torch is not installed (extra [train])")
safetensors_torch = pytest.importorskip(
    "safetensors.torch", reason="safetensors is not installed (extra [train])"
)

from torch.autograd import gradcheck

from dsncodec.train.losses import losses, ssimulacra2
from dsncodec.train.losses.perceptual import local_statistics
from dsncodec.train.nets import loss_networks

from . import pictures

REAL = Path(__file__).parents[2] / "shared" / "data" / "loss_network"
torch.set_num_threads(1)


def doubles(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def style_of_one(features: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return losses.style_loss(
        {"a": features, "b": features[:, :2], "c": features}, {"a": wanted, "b": wanted[:, :2, :2]}
    )


# (the loss, shapes of its arguments); kinks lie elsewhere
GRADIENTS: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]]]] = {
    "pixel": (losses.pixel_loss, [(2, 3, 4, 5), (2, 3, 4, 5)]),
    "ssim": (losses.ssim_loss, [(2, 1, 12, 13), (2, 1, 12, 13)]),
    "ms_ssim": (losses.ms_ssim_loss, [(1, 1, 21, 23), (1, 1, 21, 23)]),
    "blurred_colour": (losses.blurred_colour_loss, [(2, 3, 4, 5), (2, 3, 4, 5)]),
    "total_variation": (losses.total_variation, [(2, 3, 4, 5)]),
    "feature": (losses.feature_loss, [(2, 6, 3, 4), (2, 6, 3, 4)]),
    "gram": (losses.gram, [(2, 6, 3, 4)]),
    "style": (style_of_one, [(2, 4, 3, 4), (1, 4, 4)]),
    "contextual": (losses.contextual_loss, [(2, 5, 3, 4), (2, 5, 4, 4)]),
    "adversarial": (losses.adversarial_loss, [(4, 1)]),
    "discriminator": (losses.discriminator_loss, [(4, 1), (3, 1)]),
    "distillation": (
        lambda a, b, c, d: losses.distillation_loss([a, b], [c, d]),
        [(2, 3, 4, 5), (2, 1, 2, 3), (2, 2, 4, 5), (2, 2, 2, 3)],
    ),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name: str) -> None:
    loss, shapes = GRADIENTS[name]
    inputs = [doubles(*shape, seed=i).requires_grad_() for i, shape in enumerate(shapes)]
    assert gradcheck(loss, inputs, fast_mode=name == "ms_ssim")  # many pixels


@pytest.mark.parametrize("name", sorted(set(GRADIENTS) - {"gram"}))
def test_scalars_in_full_precision_under_autocast(name: str) -> None:
    loss, shapes = GRADIENTS[name]
    inputs = [doubles(*shape, seed=i).bfloat16() for i, shape in enumerate(shapes)]
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(*inputs)
    assert found.shape == () and found.dtype == torch.float32
    torch.testing.assert_close(
        found.double(), loss(*(value.double() for value in inputs)), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", ["pixel", "ssim", "ms_ssim", "blurred_colour", "feature"])
def test_nothing_between_equal_pictures(name: str) -> None:
    x = doubles(2, 3, 24, 30)
    assert GRADIENTS[name][0](x, x).item() == pytest.approx(0, abs=1e-12)


def test_structural_similarity_is_that_of_the_metrics() -> None:
    rng = np.random.default_rng(3)
    a = rng.integers(0, 256, (170, 181, 3)).astype(np.uint8)
    b = np.clip(a + rng.normal(0, 30, a.shape), 0, 255).astype(np.uint8)
    planes = [torch.from_numpy(x.transpose(2, 0, 1)[None] / 255) for x in (a, b)]
    assert 1 - losses.ssim_loss(*planes).item() == pytest.approx(metrics.ssim(a, b), abs=1e-9)
    assert 1 - losses.ms_ssim_loss(*planes).item() == pytest.approx(metrics.ms_ssim(a, b), abs=1e-6)


def test_small_pictures() -> None:
    a, b = doubles(1, 3, 11, 12), doubles(1, 3, 11, 12, seed=1)
    assert losses.ms_ssim_loss(a, a).item() == pytest.approx(0)  # one scale, its exponents summing to as much
    assert 0 < losses.ms_ssim_loss(a, b).item() <= 1
    for loss in (losses.ssim_loss, losses.ms_ssim_loss):
        with pytest.raises(SettingError, match="at least 11"):
            loss(a[..., :10], b[..., :10])


def test_total_variation() -> None:
    ramp = torch.arange(5.0).expand(1, 3, 4, 5)
    assert losses.total_variation(ramp) == 1 and losses.total_variation(2 * ramp.mT) == 4


def test_blurred_colour() -> None:
    """The filter sums to 1, and what it blurs away does not count."""
    grey = torch.full((2, 3, 41, 41), 0.5, dtype=torch.float64)
    inside = torch.zeros_like(grey)
    inside[:, :, 20, 20] = 1
    spread = losses.blurred_colour_loss(grey + inside, grey).item()
    at = torch.arange(-10, 11).double()
    kernel = 0.053 * torch.exp(-(at[:, None] ** 2 + at**2) / 6)
    assert kernel.sum().item() == pytest.approx(1, abs=2e-3)
    assert spread == pytest.approx(3 * kernel.square().sum().item())
    checks = (torch.arange(41) % 2 * 2 - 1).double()
    assert losses.blurred_colour_loss(grey + 0.1 * checks, grey) < 0.05 * losses.blurred_colour_loss(
        grey + 0.1, grey
    )


def test_gram_and_style() -> None:
    features = doubles(2, 3, 4, 5)
    expected = np.einsum("nchw,ndhw->ncd", features, features) / 60
    np.testing.assert_allclose(losses.gram(features), expected)
    wanted = {"relu": losses.gram(features[:1])}
    other = losses.gram(features[1:]) - losses.gram(features[:1])
    assert losses.style_loss({"relu": features}, wanted).item() == pytest.approx(
        other.square().sum().item() / 2
    )
    turned = features.flip(3).roll(1, 2)  # where things are does not matter
    assert losses.style_loss({"relu": turned[:1]}, wanted).item() == pytest.approx(0, abs=1e-20)


def test_contextual_loss_by_its_equations() -> None:
    x, y, h = (
        doubles(1, 3, 2, 3)[0].flatten(1).numpy(),
        doubles(1, 3, 2, 2, seed=1)[0].flatten(1).numpy(),
        0.3,
    )
    mean = y.mean(1, keepdims=True)
    a, b = x - mean, y - mean
    distance = 1 - (a.T @ b) / np.outer(np.linalg.norm(a, axis=0), np.linalg.norm(b, axis=0))
    relative = distance / (distance.min(1, keepdims=True) + 1e-5)
    weights = np.exp((1 - relative) / h)
    affinity = weights / weights.sum(1, keepdims=True)
    expected = -math.log(affinity.max(0).mean())
    found = losses.contextual_loss(
        torch.from_numpy(x).view(1, 3, 2, 3), torch.from_numpy(y).view(1, 3, 2, 2), h=h
    )
    assert found.item() == pytest.approx(expected)


def test_contextual_loss_does_not_ask_where() -> None:
    y = doubles(1, 8, 5, 5)
    moved = y.flip(2).roll(2, 3)
    assert losses.contextual_loss(moved, y).item() == pytest.approx(0, abs=1e-3)
    assert losses.contextual_loss(doubles(1, 8, 5, 5, seed=1), y) > 0.5


def test_adversaries() -> None:
    for logit in (-3.0, 0.0, 2.0):
        said = 1 / (1 + math.exp(-logit))
        logits = torch.full((2, 1), logit)
        assert losses.adversarial_loss(logits).item() == pytest.approx(-math.log(said), rel=1e-5)
        both = losses.discriminator_loss(logits, logits).item()
        assert both == pytest.approx(-math.log(said) - math.log(1 - said), rel=1e-5)
    assert losses.adversarial_loss(torch.tensor([-1000.0])).item() == 1000  # no overflow


def test_distillation() -> None:
    a, b = doubles(2, 3, 4, 5), doubles(2, 7, 4, 5, seed=1)
    means = [x.mean(1).flatten(1) for x in (a, b)]
    lengths = [m / m.norm(dim=1, keepdim=True) for m in means]
    expected = (lengths[0] - lengths[1]).norm(dim=1).mean().item()
    assert losses.distillation_loss([a, a], [b, b]).item() == pytest.approx(2 * expected)
    same = (3 * a).requires_grad_()  # brightness does not count, and equal maps have a gradient
    losses.distillation_loss([same], [a]).backward()
    assert same.grad is not None and same.grad.isfinite().all()
    with pytest.raises(ValueError):
        losses.distillation_loss([a, a], [b])


def test_local_statistics_tell_texture_from_flatness_and_not_from_its_like() -> None:
    rng = np.random.default_rng(0)
    grain = torch.from_numpy(rng.normal(0.5, 0.1, (1, 3, 32, 32))).float()
    like = torch.from_numpy(rng.normal(0.5, 0.1, (1, 3, 32, 32))).float()
    flat = torch.full_like(grain, 0.5)
    found = {
        name: local_statistics(maps) for name, maps in (("grain", grain), ("like", like), ("flat", flat))
    }
    assert found["grain"].shape == (1, 6, 7, 7)
    torch.testing.assert_close(found["flat"][:, :3], flat[:, :, :7, :7])
    assert found["flat"][:, 3:].max() < 0.002 and abs(float(found["grain"][:, 3:].mean()) - 0.1) < 0.01
    near, far = ((found[name] - found["grain"]).square().mean() for name in ("like", "flat"))
    assert near < far / 10
    # place by place the smooth surface is the nearer one
    assert (like - grain).square().mean() > (flat - grain).square().mean()
    assert local_statistics(torch.rand(1, 2, 3, 5)).shape == (1, 4, 1, 3)


# --- loss networks


def fake(name: str, folder: Path, file: str = "") -> dict[str, torch.Tensor]:
    """Random weights in a form in which a network's are published."""
    torch.manual_seed(0)
    network: Any
    if name == "squeezenet":
        network = loss_networks.SqueezeNet()
    elif name == "vgg19":
        network = loss_networks.VGG(loss_networks._VGG19_START, caffe=True)
    else:
        network = loss_networks.VGG(loss_networks._VGG16, caffe=False)
    weights: dict[str, torch.Tensor] = network.state_dict()
    path = folder / (file or loss_networks.FILES[name])
    if path.suffix == ".pth":
        numbered = {
            f"features.{2 * (i // 2)}.{k.split('.')[1]}": v for i, (k, v) in enumerate(weights.items())
        }
        torch.save(numbered | {"classifier.0.weight": torch.zeros(2, 2)}, path)
    else:
        kept = {key: value.half() if "fp16" in path.name else value for key, value in weights.items()}
        safetensors_torch.save_file(kept | {"conv10.weight": torch.zeros(3, 2, 1, 1)}, path)
    return weights


EXPECTED = {
    "vgg19": {
        "relu1_1": (64, 40, 33),
        "relu1_2": (64, 40, 33),
        "relu2_1": (128, 20, 16),
        "relu3_1": (256, 10, 8),
    },
    "squeezenet": {"conv1": (64, 19, 16), "fire2": (128, 9, 8), "fire4": (256, 4, 4), "fire9": (512, 2, 2)},
    "vgg16": {"relu1_2": (64, 40, 33), "relu2_2": (128, 20, 16), "relu3_3": (256, 10, 8)},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_layers_of_a_loss_network(name: str, tmp_path: Path) -> None:
    weights = fake(name, tmp_path)
    network = loss_networks.load(name, tmp_path, EXPECTED[name])
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, weights[key], atol=1e-3, rtol=1e-3)
    assert not network.training and not any(weight.requires_grad for weight in network.parameters())
    picture = torch.rand(2, 3, 40, 33, requires_grad=True)
    found = network(picture)
    assert {key: tuple(value.shape[1:]) for key, value in found.items()} == EXPECTED[name]
    assert all((value >= 0).all() for value in found.values())
    sum(value.mean() for value in found.values()).backward()
    assert picture.grad is not None and picture.grad.abs().max() > 0


def test_a_loss_network_computes_no_further_than_wanted(tmp_path: Path) -> None:
    fake("vgg19", tmp_path)
    network = loss_networks.load("vgg19", tmp_path)
    assert tuple(network(torch.rand(1, 3, 16, 16))) == network.layers
    network.keep(["relu1_2"])
    network.conv2_1 = None  # type: ignore[assignment]
    assert list(network(torch.rand(1, 3, 16, 16))) == ["relu1_2"]


def test_the_input_is_bgr_less_its_mean(tmp_path: Path) -> None:
    fake("vgg19", tmp_path)
    network = loss_networks.load("vgg19", tmp_path)
    mean_rgb = torch.tensor([123.68, 116.779, 103.939]).view(1, 3, 1, 1) / 255
    assert network.prepared(mean_rgb).abs().max() < 1e-4
    red = network.prepared(mean_rgb + torch.tensor([0.1, 0, 0]).view(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(red, torch.tensor([0.0, 0.0, 25.5]), atol=1e-4, rtol=0)


def test_missing_and_wrong_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    for name in loss_networks.FILES:
        with pytest.raises(MissingComponent, match=r"loss_networks to the folder") as caught:
            loss_networks.load(name, tmp_path)
        assert ("torchvision.models.vgg" in str(caught.value)) == (name in ("vgg16", "vgg19-full"))
    for name in ("vgg19", "vgg16"):
        (tmp_path / loss_networks.FILES[name]).write_bytes(b"not weights")
        with pytest.raises(SettingError, match="does not hold"):
            loss_networks.load(name, tmp_path)
    with pytest.raises(SettingError, match="one of vgg19, squeezenet"):
        loss_networks.load("alexnet", tmp_path)
    with pytest.raises(SettingError, match="some of relu1_1"):
        loss_networks.load("vgg19", tmp_path, ["relu5_4"])
    (tmp_path / "cache" / "checkpoints").mkdir(parents=True)
    (tmp_path / loss_networks.FILES["vgg16"]).unlink()
    # where torchvision leaves it
    fake("vgg16", tmp_path / "cache" / "checkpoints", loss_networks.TORCHVISION["vgg16"])
    loss_networks.load("vgg16", tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason="the loss networks' weights are not beside this checkout")
@pytest.mark.parametrize("name", ["vgg19", "squeezenet", "vgg16"])
def test_the_real_networks_tell_pictures_apart(name: str) -> None:
    network = loss_networks.load(name, REAL)
    y, x = np.mgrid[:64, :64] / 64
    stripes = (
        torch.from_numpy(np.stack([np.sin(40 * x), np.sin(40 * x), y]) / 2 + 0.5)[None].float().clamp(0, 1)
    )
    shifted = stripes.roll(1, 3)
    turned = stripes.transpose(2, 3)
    features, near, far = network(stripes), network(shifted), network(turned)
    for layer in ("fire4", "fire9") if name == "squeezenet" else ("relu2_1", "relu3_1"):
        assert (features[layer] > 0).float().mean() > 0.02  # alive
        assert losses.feature_loss(near[layer], features[layer]) < losses.feature_loss(
            far[layer], features[layer]
        )
    if name == "vgg19":  # normalised: mean activations are about 1 over photographs
        assert all(0.1 < value.mean() < 5 for value in features.values())


# --- SSIMULACRA 2


def shown(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.transpose(2, 0, 1)[None].astype(np.float32) / 255)


@pytest.mark.parametrize("sigma", [1, 4, 12, 40])
@pytest.mark.parametrize("name", ["photograph", "odd sides", "smallest", "text"])
def test_ssimulacra2_is_that_of_the_metrics(name: str, sigma: float) -> None:
    picture = {
        "photograph": lambda: pictures.photograph("coffee.png"),
        "odd sides": lambda: pictures.photograph("chelsea.png")[:151, :193],
        "smallest": lambda: pictures.photograph("astronaut.png")[100:196, 200:296],
        "text": lambda: pictures.text_page(400, 300),
    }[name]()
    noisy = picture + np.random.default_rng(4).normal(0, sigma, picture.shape)
    other = np.clip(noisy, 0, 255).astype(np.uint8)
    with torch.autocast("cpu", torch.bfloat16):
        errors = ssimulacra2.Seen(shown(picture)).errors(shown(other))
    assert errors.dtype == torch.float32 and errors.shape == (1,)
    assert ssimulacra2.score(errors).item() == pytest.approx(metrics.ssimulacra2(picture, other), abs=0.2)


def test_ssimulacra2_of_each_sample_and_of_equals() -> None:
    a, b = shown(pictures.photograph("coffee.png"))[..., :96, :128], doubles(1, 3, 96, 128).float()
    both = ssimulacra2.Seen(torch.cat([a, b])).errors(torch.cat([b, a]))
    one = [ssimulacra2.Seen(x).errors(y) for x, y in ((a, b), (b, a))]
    torch.testing.assert_close(both, torch.cat(one), rtol=1e-4, atol=1e-4)
    assert ssimulacra2.score(ssimulacra2.Seen(a).errors(a)).item() > 99.5
    with pytest.raises(SettingError, match="at least 96"):
        ssimulacra2.Seen(a[..., :95])


def test_the_slope_of_ssimulacra2() -> None:
    """Along its own slope the sum of errors changes as the slope says, and a step against it makes it less."""
    wanted = shown(pictures.photograph("coffee.png")[:100, :120])
    generator = torch.Generator().manual_seed(1)
    start = (wanted + 0.03 * torch.randn(wanted.shape, generator=generator)).clamp(0.01, 0.99)
    seen, made = ssimulacra2.Seen(wanted), start.clone().requires_grad_()
    seen.errors(made).sum().backward()
    assert made.grad is not None
    step = 1e-3 * made.grad / made.grad.norm()
    with torch.no_grad():
        rise = (seen.errors(start + step) - seen.errors(start - step)).item() / 2
    assert rise == pytest.approx(1e-3 * made.grad.norm().item(), rel=0.05)


@pytest.mark.parametrize("shape", [(1, 2, 12, 13), (1, 1, 5, 30), (2, 1, 3, 4), (1, 1, 1, 6)], ids=str)
def test_the_slope_of_a_mirrored_gaussian(shape: tuple[int, ...]) -> None:
    assert gradcheck(ssimulacra2._blurred, [doubles(*shape).requires_grad_()])
    flat = torch.full(shape, 0.3, dtype=torch.float64)
    torch.testing.assert_close(ssimulacra2._blurred(flat), flat)
