"""Style transfer: the transformation network, its training, the optimisation it replaces, and the function and verb."""

from __future__ import annotations

import csv
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dsncodec
from dsncodec.cli import main
from dsncodec.errors import LimitExceeded, MissingComponent, SettingError
from dsncodec.metrics import psnr_db
from dsncodec.networks import image_to_image, registry

from . import fake_loss_networks
from .conftest import MODES, picture

torch = pytest.importorskip("torch", reason="torch is not installed (extra [train])")
pytest.importorskip("onnx", reason="onnx is not installed (extra [train])")

import torch.nn.functional as F

from dsncodec.processing import style_optimisation
from dsncodec.train import tasks
from dsncodec.train.export import onnx as export
from dsncodec.train.losses import losses
from dsncodec.train.nets.style import Enlarged, Normalised, StyleConfig, StyleNet
from dsncodec.train.tasks import style
from dsncodec.train.tasks.style import StyleDataSettings, StyleLoss, StyleLossSettings, StyleRecipe, StyleTask
from dsncodec.train.trainer import OptimSettings, Trainer, planes

RECIPES = Path(tasks.__file__).parent.parent / "recipes"
TINY = StyleConfig(width=4, blocks=1)
torch.set_num_threads(1)  # tiny tensors: threads would only wait for each other


def rgb(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.array(picture("RGB", width, height, seed))


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of loss networks with random weights, in the files' own names."""
    return str(fake_loss_networks.write(tmp_path_factory.mktemp("networks")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures")
    for seed, size in enumerate([(64, 48), (56, 72)]):
        picture("RGB", *size, seed).save(path / f"{seed}.png")
    return path


def tiny(folder: Path, networks: str, **data: object) -> StyleRecipe:
    settings = {
        "style": str(folder / "0.png"),
        "style_side": 40,
        "train": (str(folder),),
        "held_out": (str(folder),),
        "patch": 40,
        "judged": 1,
    } | data
    return StyleRecipe(
        name="style-tiny",
        model=TINY,
        data=StyleDataSettings(**settings),  # type: ignore[arg-type]
        loss=StyleLossSettings(loss_networks=networks),
        optim=OptimSettings(steps=6, bf16=False, lr=2e-3),
    )


# --- the network


@pytest.mark.parametrize("size", [(8, 8), (16, 40)])
def test_shapes(size: tuple[int, int]) -> None:
    net = StyleNet(TINY)
    out = net(torch.rand(2, 3, *size))
    assert out.shape == (2, 3, *size)
    assert out.isfinite().all() and out.min() >= -0.06 and out.max() <= 1.06


def test_each_picture_of_a_batch_is_normalised_by_itself() -> None:
    net = StyleNet(TINY)
    shots = torch.rand(2, 3, 16, 24)
    with torch.no_grad():
        torch.testing.assert_close(net(shots)[1:], net(shots[1:]))


def test_a_channel_is_normalised() -> None:
    layer = Normalised(3, 5)
    with torch.no_grad():
        layer.scale.uniform_(0.5, 2)
        layer.shift.normal_()
        out = layer(torch.rand(2, 3, 12, 9))
    torch.testing.assert_close(out.mean((2, 3)), layer.shift.expand(2, 5), atol=1e-5, rtol=0)
    spread = out.var((2, 3), correction=0).sqrt()
    torch.testing.assert_close(spread, layer.scale.expand(2, 5), atol=1e-2, rtol=1e-2)


def test_enlarging_is_nearest_neighbour_and_a_mirrored_convolution() -> None:
    layer = Enlarged(6, 5).double()
    f = torch.rand(2, 6, 3, 7).double()
    with torch.no_grad():
        expected = Normalised.forward(layer, F.interpolate(f, scale_factor=2.0))
        torch.testing.assert_close(layer(f), expected)


def test_every_weight_is_trained() -> None:
    net = StyleNet(TINY)
    (net(torch.rand(1, 3, 16, 16)) * torch.rand(1, 3, 16, 16)).sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in net.parameters())


# --- the loss


def test_the_style_itself_costs_nothing(networks: str) -> None:
    loss = StyleLoss(StyleLossSettings(loss_networks=networks), rgb(48, 40))
    own = planes(torch.from_numpy(rgb(48, 40)[None]))
    parts = loss.parts(own, loss.content(own))
    assert parts["content"] == 0 and parts["style"] < 1e-9 and parts["variation"] > 0
    other = planes(torch.from_numpy(rgb(48, 40, 3)[None]))
    changed = loss.parts(other, loss.content(own))
    assert changed["content"] > 0 and changed["style"] > 1e-6
    torch.testing.assert_close(loss(other, loss.content(own)), torch.stack(list(changed.values())).sum())


def test_weights_of_the_parts(networks: str) -> None:
    settings = StyleLossSettings(loss_networks=networks)
    made, photo = (planes(torch.from_numpy(rgb(40, 40, seed)[None])) for seed in (1, 2))
    found = []
    for factor in (1, 3):
        weighted = replace(
            settings, content_weight=factor, style_weight=factor**2, variation_weight=float(factor**3)
        )
        loss = StyleLoss(weighted, rgb(48, 40))
        found.append(loss.parts(made, loss.content(photo)))
    for power, name in enumerate(("content", "style", "variation"), 1):
        torch.testing.assert_close(found[1][name], 3**power * found[0][name])


def test_half_precision_grams() -> None:
    features = torch.rand(2, 8, 20, 30).relu()
    with torch.autocast("cpu", torch.bfloat16):
        half = style.gram(features)
    torch.testing.assert_close(style.gram(features), losses.gram(features))
    torch.testing.assert_close(half, losses.gram(features), rtol=0.01, atol=1e-4)


def test_loss_gradients(networks: str) -> None:
    loss = StyleLoss(
        replace(StyleLossSettings(loss_networks=networks), content_weight=1.0), rgb(40, 40)
    ).double()
    photo = torch.rand(1, 3, 32, 32).double()
    made, direction = torch.rand_like(photo).requires_grad_(), torch.randn_like(photo)
    content = loss.content(photo)
    (slope,) = torch.autograd.grad(loss(made, content), made)
    with torch.no_grad():
        ahead, behind = (loss(made + step * direction, content) for step in (1e-6, -1e-6))
    torch.testing.assert_close((slope * direction).sum(), (ahead - behind) / 2e-6, rtol=1e-3, atol=1e-9)


# --- the task


def test_training_lowers_the_loss(folder: Path, networks: str, tmp_path: Path) -> None:
    task = StyleTask(tiny(folder, networks))
    trainer = Trainer(task, tmp_path / "run", "cpu")
    before = task.evaluate(trainer.nets, "cpu")
    trainer.run(log_every=1e9)
    after = task.evaluate(trainer.nets, "cpu")
    assert set(after) == {"total", "content", "style", "variation"}
    assert after["total"] == pytest.approx(after["content"] + after["style"] + after["variation"])
    assert after["total"] < before["total"]

    next_style = replace(task.recipe, start_from=str(tmp_path / "run" / "checkpoint.pt"))
    started = Trainer(StyleTask(next_style), tmp_path / "other", "cpu")
    for name, value in trainer.averaged().state_dict().items():
        torch.testing.assert_close(started.nets.state_dict()[name], value)


def test_bad_recipes(folder: Path, networks: str, tmp_path: Path) -> None:
    for data in ({"patch": 44}, {"patch": 0}, {"style": ""}):
        with pytest.raises(SettingError, match="style-tiny"):
            StyleTask(tiny(folder, networks, **data))
    with pytest.raises(SettingError, match="nothing"):
        _ = StyleTask(tiny(folder, networks, style="nothing.png")).criterion
    with pytest.raises(MissingComponent, match="loss_networks"):
        _ = StyleTask(tiny(folder, str(tmp_path))).criterion
    recipe = tiny(folder, networks)
    with pytest.raises(SettingError, match="relu2_1"):
        StyleLoss(replace(recipe.loss, style=("relu9_1",)), rgb(40, 40))


def test_published_recipes() -> None:
    paths = sorted(RECIPES.glob("style-*.toml"))
    assert len(paths) >= 3
    for path in paths:
        task = tasks.read(path)
        assert isinstance(task, StyleTask) and tomllib.loads(path.read_text())["name"] == path.stem
        # what method "optimise" minimises, but for the weight
        paper = StyleLossSettings(style_weight=task.recipe.loss.style_weight)
        assert task.recipe.loss == paper


# --- a new style, from checkpoint to picture


@pytest.fixture
def styled(folder: Path, networks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StyleNet:
    """A published style "tiny" and the network behind it."""
    trainer = Trainer(StyleTask(tiny(folder, networks)), tmp_path / "run", "cpu")
    trainer.save()
    row = tomllib.loads(export.export(trainer.checkpoint, tmp_path / "models"))["network"][0]
    assert (row["kind"], row["variant"], row["scale"], row["unit"]) == ("style", "tiny", 1, 8)
    assert row["radius"] == 24 and row["statistics"] == trainer.nets.statistics
    monkeypatch.setattr(registry, "folder", lambda: tmp_path / "models")
    registry.image_networks.cache_clear()
    yield trainer.averaged()  # type: ignore[misc]
    registry.image_networks.cache_clear()


def test_a_new_style(styled: StyleNet) -> None:
    photo = rgb(37, 22)
    made = np.asarray(dsncodec.stylize(photo, "tiny", threads=1))
    padded = np.pad(photo, ((0, 2), (0, 3), (0, 0)), "edge")
    with torch.no_grad():
        expected = styled(planes(torch.from_numpy(padded[None])))[0].permute(1, 2, 0).clamp(0, 1) * 255
    assert np.abs(made - expected[:22, :37].numpy()).max() <= 0.51


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 17), (19, 30)])
def test_modes_and_sizes(styled: StyleNet, mode: str, size: tuple[int, int]) -> None:
    shot = picture(mode, *size)
    shot.info.update(icc_profile=b"profile", exif=b"Exif\0\0")
    made = dsncodec.stylize(shot, "tiny", threads=1)
    assert made.size == size and made.mode == ("RGBA" if mode.endswith("A") else "RGB")
    assert made.info["exif"] == b"Exif\0\0" and ("icc_profile" in made.info) == mode.startswith("RGB")
    if mode.endswith("A"):
        assert made.getchannel("A").tobytes() == shot.getchannel("A").tobytes()


def test_beyond_the_radius_a_picture_counts_by_its_statistics(styled: StyleNet) -> None:
    """Which are given, or its own, or something between."""
    shot, other = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    one, none = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    no_statistics = torch.zeros(1, styled.statistics, 1, 1)
    with torch.no_grad():
        whole, known = styled.with_statistics(shot, no_statistics, none)
        torch.testing.assert_close(whole, styled(shot))
        torch.testing.assert_close(styled.with_statistics(shot, known, one)[0], whole)
        assert (styled.with_statistics(other, known, one)[0] - styled(other)).abs().max() > 1e-3
        changed = shot.clone()
        changed[..., 0, 0] = 1 - changed[..., 0, 0]
        moved = (styled.with_statistics(changed, known, one)[0] - whole).abs().amax((0, 1))
        assert (styled(changed) - whole)[..., 40:, 40:].abs().max() > 0
    assert styled.radius == 24
    assert moved[23:].max() == 0 and moved[:, 23:].max() == 0 and moved[:12, :12].max() > 0


@pytest.mark.parametrize("size", [(190, 150), (33, 260), (1, 300), (300, 1)])
def test_tiles_leave_no_trace(
    styled: StyleNet, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, told = rgb(*size), list[float]()
    whole = np.asarray(dsncodec.stylize(photo, "tiny", threads=1))
    for name, value in {"TILE": 32, "LARGEST_TILE": 32, "SAMPLE_PIXELS": 99}.items():
        monkeypatch.setattr(image_to_image, name, value)
    monkeypatch.setattr(image_to_image, "sampled", lambda colour: colour)
    made = dsncodec.stylize(photo, "tiny", threads=1, progress=lambda now: told.append(now.done))
    assert np.abs(whole.astype(int) - np.asarray(made)).max() <= 1  # rounding
    assert len(told) > 1 and told == sorted(told) and told[-1] == 1


def test_a_large_picture_is_judged_by_even_strips(styled: StyleNet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture repeats itself, so that a part of it can stand for it."""
    photo = np.tile(rgb(64, 64), (4, 4, 1))
    whole = np.asarray(dsncodec.stylize(photo, "tiny", threads=1))
    for name, value in {"TILE": 32, "LARGEST_TILE": 32, "SAMPLE_PIXELS": 2**15}.items():
        monkeypatch.setattr(image_to_image, name, value)
    made = np.asarray(dsncodec.stylize(photo, "tiny", threads=1))
    assert 35 < psnr_db(whole, made) < 99


def test_a_picture_too_large_for_an_older_network(styled: StyleNet, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that sees it whole."""
    row = replace(registry.image_network("style", "tiny"), halo=None, statistics=0)
    monkeypatch.setattr(image_to_image, "MAX_WHOLE_PIXELS", 99)
    with pytest.raises(LimitExceeded) as caught:
        image_to_image.run(row, rgb(10, 10), 1)
    assert (caught.value.asked, caught.value.limit) == (100, 99)


def test_impossible_settings(styled: StyleNet, networks: str) -> None:
    photo = rgb(10, 10)
    with pytest.raises(SettingError, match="tiny"):
        dsncodec.stylize(photo, "cubism")
    with pytest.raises(SettingError, match="network, optimise"):
        dsncodec.stylize(photo, "tiny", method="magic")
    for setting in ({"steps": 3}, {"seconds": 3}, {"loss_networks": networks}):
        with pytest.raises(SettingError, match="optimise"):
            dsncodec.stylize(photo, "tiny", **setting)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="name of a style"):
        dsncodec.stylize(photo, rgb(8, 8))
    optimise: dict[str, Any] = {"method": "optimise", "loss_networks": networks}
    with pytest.raises(SettingError, match="the style's picture"):
        dsncodec.stylize(photo, "tiny", **optimise)
    with pytest.raises(OSError):
        dsncodec.stylize(photo, "no-such-picture.png", **optimise)
    for setting in ({"steps": 0}, {"steps": 1.5}, {"seconds": 0}, {"seconds": -1}, {"threads": 0}):
        with pytest.raises(SettingError):
            dsncodec.stylize(photo, photo, **optimise, **setting)


# --- optimisation


def test_optimisation_lowers_the_loss(networks: str) -> None:
    """And the published loss is what it lowers."""
    loss = StyleLoss(StyleLossSettings(loss_networks=networks, style_weight=1e4), rgb(48, 48, 9))
    photo, told = rgb(40, 36), list[tuple[float, float]]()
    made = style_optimisation.optimised(loss, photo, steps=8, report=lambda *now: told.append(now))
    assert made.shape == photo.shape and made.dtype == np.uint8
    assert [part for part, _ in told] == pytest.approx([step / 8 for step in range(1, 9)])
    assert told[-1][1] < told[0][1]
    with torch.no_grad():
        content = loss.content(planes(torch.from_numpy(photo[None])))
        reached = float(loss(planes(torch.from_numpy(made[None])), content))
    assert reached < told[0][1]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (40, 33)])
def test_optimised_modes_and_sizes(networks: str, mode: str, size: tuple[int, int]) -> None:
    shot = picture(mode, *size)
    made = dsncodec.stylize(shot, rgb(30, 20), method="optimise", loss_networks=networks, steps=2, threads=1)
    assert made.size == size and made.mode == ("RGBA" if mode.endswith("A") else "RGB")


def test_a_budget_in_seconds_ends(networks: str) -> None:
    told: list[float] = []
    dsncodec.stylize(
        rgb(33, 32),
        rgb(30, 30),
        method="optimise",
        loss_networks=networks,
        seconds=0.01,
        threads=1,
        progress=lambda now: told.append(now.done),
    )
    assert told[-1] >= 1 and all(part < 1 for part in told[:-1])


def test_the_former_name_of_progress(networks: str) -> None:
    photo, told = rgb(16, 16), list[tuple[float, float]]()
    settings = {"method": "optimise", "loss_networks": networks, "steps": 2, "threads": 1}
    with pytest.warns(DeprecationWarning, match="report is now called progress") as caught:
        dsncodec.stylize(photo, photo, report=lambda *now: told.append(now), **settings)
    assert caught[0].filename == __file__
    now: list[dsncodec.Progress] = []
    dsncodec.stylize(photo, photo, progress=now.append, **settings)
    assert told == [(one.done, one.mse) for one in now] and len(told) == 2
    with pytest.raises(TypeError, match="unexpected keyword argument 'variant'"):
        dsncodec.stylize(photo, "tiny", variant="paper")


def test_what_optimisation_needs(networks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = rgb(10, 10)
    with pytest.raises(MissingComponent, match="loss_networks"):
        dsncodec.stylize(photo, photo, method="optimise")
    with pytest.raises(MissingComponent, match="loss network"):
        dsncodec.stylize(photo, photo, method="optimise", loss_networks=tmp_path)
    monkeypatch.setattr(style_optimisation, "MAX_PIXELS", 99)
    with pytest.raises(LimitExceeded) as caught:
        dsncodec.stylize(photo, photo, method="optimise", loss_networks=networks)
    assert (caught.value.asked, caught.value.limit) == (100, 99)
    monkeypatch.delitem(sys.modules, "dsncodec.processing.style_optimisation")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingComponent, match=r"dsncodec\[train\]"):
        dsncodec.stylize(photo, photo, method="optimise", loss_networks=networks)


# --- the verb


def test_the_verb(
    styled: StyleNet, networks: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shot = tmp_path / "shot.png"
    picture("RGB", 20, 18).save(shot)
    assert main(["stylize", str(shot), "--style", "tiny", "--threads", "1"]) == 0
    with Image.open(tmp_path / "shot-stylized.png") as made:
        assert made.size == (20, 18)
        assert np.asarray(made).tobytes() == np.asarray(dsncodec.stylize(shot, "tiny", threads=1)).tobytes()
    optimise = ["--style", str(shot), "--method", "optimise", "--loss-networks", networks, "--steps", "2"]
    optimise += ["--threads", "1"]
    assert main(["stylize", str(shot), *optimise, "-o", str(tmp_path / "slow.jpg")]) == 0
    assert (tmp_path / "slow.jpg").exists()
    capsys.readouterr()
    for wrong in (["--style", "cubism"], ["--style", "tiny", "--steps", "3"]):
        assert main(["stylize", str(shot), "--force", *wrong]) == 2
    said = capsys.readouterr().err
    assert "cubism" in said and "tiny" in said and "--method optimise" in said
    without = ["stylize", str(shot), "--style", str(shot), "--method", "optimise", "--force"]
    assert main(without) == 1
    assert "loss_networks" in capsys.readouterr().err


# --- the study


def test_the_study(networks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A published style on one tiny picture, its optimised picture made once."""
    pytest.importorskip("skimage", reason="scikit-image is not installed (extra [bench])")
    from bench import results
    from bench.__main__ import main as bench
    from bench.tables import style as study

    for name in ("tune/div2k256", "style"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "loss_network").symlink_to(networks)
    picture("RGB", 40, 36).save(tmp_path / "tune/div2k256/0801.png")
    picture("RGB", 40, 36, 1).save(tmp_path / "style/udnie.jpg")
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    arguments = [
        "style",
        "--data",
        str(tmp_path),
        "--cache",
        str(tmp_path / "cache"),
        "--side",
        "32",
        "--steps",
        "2",
    ]
    assert bench(arguments) == 0
    (kept,) = (tmp_path / "cache").iterdir()
    written = kept.stat().st_mtime_ns
    assert bench(arguments) == 0
    assert kept.stat().st_mtime_ns == written
    (row,) = csv.DictReader((tmp_path / "results/style.csv").read_text().splitlines())
    assert row["style"] == "udnie" and row["picture"] == "0801"
    ratio = float(row["network_loss"]) / float(row["optimised_loss"])
    assert float(row["ratio"]) == pytest.approx(ratio, rel=1e-3)
    assert float(row["network_content"]) + float(row["network_style"]) < float(row["network_loss"])
    assert "| udnie | 1 |" in (tmp_path / "results/style.md").read_text()
