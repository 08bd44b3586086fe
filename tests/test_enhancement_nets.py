"""PPCN's enhancement networks: shapes, moments and tiles, the loss, training on pairs, and their ONNX files."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dsncodec.errors import MissingComponent, SettingError
from dsncodec.networks.inference import Network

from .conftest import picture

torch = pytest.importorskip("torch", reason="torch is not installed (extra [train])")
pytest.importorskip("onnx", reason="onnx is not installed (extra [train])")

from dsncodec.train import tasks
from dsncodec.train.export.onnx import export, load_nets
from dsncodec.train.losses import losses
from dsncodec.train.nets.enhancement import GENERATORS, EnhancementConfig, EnhancementNets, Generator
from dsncodec.train.tasks.enhancement import (
    EnhancementRecipe,
    EnhancementTask,
    LossSettings,
    PairSettings,
    enhanced,
    read_pairs,
)
from dsncodec.train.trainer import OptimSettings, Trainer

RECIPES = Path(tasks.__file__).parent.parent / "recipes"
SIDE = 32
torch.set_num_threads(1)  # tiny tensors: threads would only wait for each other

sizes = pytest.mark.parametrize("size", GENERATORS)


def restless(size: str, seed: int = 0) -> Generator:
    """A generator all of whose weights matter, as after training."""
    torch.manual_seed(seed)
    net = GENERATORS[size]()
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    return net.eval()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pairs: the camera's pictures are the phone's, brighter; the last two are alike."""
    folder = tmp_path_factory.mktemp("pairs")
    for kind in ("iphone", "canon"):
        (folder / kind).mkdir()
    for number in range(6):
        seen = picture("RGB", SIDE, SIDE, number)
        wanted = seen.point(lambda value: min(255, value + 60)) if number < 4 else seen
        seen.save(folder / "iphone" / f"{number}.jpg", quality=95)
        wanted.save(folder / "canon" / f"{number}.jpg", quality=95)
    return folder


def tiny(folder: Path, size: str = "student", **loss: object) -> EnhancementRecipe:
    """Without the contextual loss, whose network is not everywhere."""
    settings = {"contextual": 0.0} | loss
    return EnhancementRecipe(
        name=f"enhance-{size}",
        model=EnhancementConfig(size=size, critic_width=4, critic_side=SIDE),
        data=PairSettings(folder=str(folder), train=(0, 6), held_out=(0, 2), batch=2, micro_batch=2),
        loss=LossSettings(**settings),  # type: ignore[arg-type]
        optim=OptimSettings(steps=6, bf16=False, lr=2e-3),
    )


# --- the networks


@sizes
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (9, 14)])
def test_any_size_and_no_picture_knows_another(size: str, shape: tuple[int, int]) -> None:
    net = restless(size)
    shots = torch.rand(2, 3, *shape)
    with torch.no_grad():
        both = net(shots)
        assert both.shape == shots.shape and both.isfinite().all()
        assert both.min() >= -0.08 and both.max() <= 1.08
        torch.testing.assert_close(both[:1], net(shots[:1]), atol=1e-5, rtol=1e-4)


@sizes
def test_a_fresh_network_changes_little(size: str) -> None:
    torch.manual_seed(0)
    shot = torch.rand(1, 3, 24, 24) * 0.5 + 0.25
    with torch.no_grad():
        assert (GENERATORS[size]()(shot) - shot).abs().mean() < 0.08


@sizes
def test_contrast_and_norms_are_of_the_whole_picture(size: str) -> None:
    """One pixel in a corner moves all others: through the moments, and only through them outside the radius."""
    net, shot = restless(size), torch.rand(1, 3, 40, 40)
    other = shot.clone()
    other[..., 0, 0] = 1 - shot[..., 0, 0]
    with torch.no_grad():
        assert (net(shot) != net(other))[..., 30:, 30:].float().mean() > 0.9
        known = net.moments(shot)
        change = (net.with_moments(shot, known) - net.with_moments(other, known)).abs().amax((0, 1))
    reached = change.nonzero().max().item()
    assert reached == net.radius


@sizes
def test_moments_and_a_tile_make_what_the_whole_does(size: str) -> None:
    net, shot = restless(size), torch.rand(1, 3, 48, 40)
    with torch.no_grad():
        known, whole = net.moments(shot), net(shot)
        torch.testing.assert_close(net.with_moments(shot, known), whole)
        part = net.with_moments(shot[..., 4:48, 2:40], known)  # ends where the picture ends
    torch.testing.assert_close(
        part[..., net.radius :, net.radius :], whole[..., 4 + net.radius :, 2 + net.radius :]
    )
    assert known.shape == (1, 3 + 2 * sum(net.widths), 1, 1)
    torch.testing.assert_close(known[:, :3], shot.mean((2, 3), keepdim=True))


def test_sizes_are_those_of_the_paper() -> None:
    macs = {
        size: sum(w.numel() for w in GENERATORS[size]().parameters() if w.dim() == 4) for size in GENERATORS
    }
    assert macs == {"student": 2624, "teacher": 21504}
    critic = EnhancementNets(EnhancementConfig()).critic
    assert critic is not None and [layer.out_channels for layer in critic.layers] == [
        64,
        128,
        192,
        192,
        256,
        256,
    ]
    assert critic.dense.weight.shape == (1024, 256 * 7 * 7)
    with pytest.raises(SettingError, match="one of student, teacher"):
        EnhancementNets(EnhancementConfig(size="pupil"))


# --- the task


def test_shipped_recipes() -> None:
    found = {path.stem for path in RECIPES.glob("enhance-*.toml")}
    assert found == {"enhance-student", "enhance-teacher"}
    for name in found:
        recipe = tasks.read(RECIPES / f"{name}.toml").recipe
        assert isinstance(recipe, EnhancementRecipe) and recipe.name == name
        assert recipe.data.train == (0, 300) and recipe.model.size == name.split("-")[1]
        assert (recipe.loss.content, recipe.loss.contextual, recipe.loss.ssim) == (10, 4, 25)  # Eq. 7 and 13
        assert (recipe.loss.texture, recipe.loss.colour, recipe.loss.variation) == (1, 1, 2000)


def test_pairs_that_are_alike_are_left_out(pairs: Path) -> None:
    task = EnhancementTask(tiny(pairs))
    assert len(task.pairs[0]) == len(task.pairs[1]) == 4
    seen, wanted = task.batch(np.random.default_rng(0))
    assert seen.shape == wanted.shape == (2, SIDE, SIDE, 3) and seen.dtype == torch.uint8
    rise = wanted.float() - seen.float()
    assert rise.mean() > 40 and rise.std() < 15  # turned and mirrored alike


def test_each_network_sees_its_own_gradient_only(pairs: Path) -> None:
    """The sum of both losses gives what each would alone."""
    torch.manual_seed(0)
    task = EnhancementTask(tiny(pairs))
    nets = task.networks()
    assert nets.critic is not None
    batch = task.batch(np.random.default_rng(0))
    task.loss(nets, batch, 0.0).backward()
    found = {name: weight.grad.clone() for name, weight in nets.named_parameters() if weight.grad is not None}
    assert len(found) == len(list(nets.parameters()))

    seen, wanted = (part.permute(0, 3, 1, 2).float() / 255 for part in batch)
    nets.zero_grad()
    made, maps = nets.generator.features(seen)
    sum(task.terms(nets, seen, made, maps, wanted).values(), torch.zeros(())).backward()
    for name, weight in nets.generator.named_parameters():
        torch.testing.assert_close(found[f"generator.{name}"], weight.grad)
    assert all(weight.grad is None for weight in nets.critic.parameters())
    losses.discriminator_loss(nets.critic(wanted), nets.critic(made.detach())).backward()
    for name, weight in nets.critic.named_parameters():
        torch.testing.assert_close(found[f"critic.{name}"], weight.grad)


def test_a_few_steps_brighten_the_picture(pairs: Path, tmp_path: Path) -> None:
    recipe = replace(tiny(pairs), optim=OptimSettings(steps=60, bf16=False, lr=5e-3, ema=0.9))
    trainer = Trainer(EnhancementTask(recipe), tmp_path, "cpu")
    for _ in range(60):
        trainer.train_step()
    seen, wanted = read_pairs(pairs, 0, 1)
    made = enhanced(trainer.averaged(), seen[0], "cpu")
    assert made.dtype == np.uint8 and made.shape == seen[0].shape
    before, after = (np.square(one.astype(float) - wanted[0]).mean() for one in (seen[0], made))
    assert after < 0.2 * before


def test_run_resume_and_distil(pairs: Path, tmp_path: Path) -> None:
    teacher = Trainer(EnhancementTask(tiny(pairs, "teacher")), tmp_path / "teacher", "cpu")
    teacher.run()
    assert (tmp_path / "teacher" / "log.csv").read_text().startswith("step,seconds,core_h,loss,psnr_db,ssim")
    assert Trainer(EnhancementTask(tiny(pairs, "teacher")), tmp_path / "teacher", "cpu").step == 6

    recipe = tiny(pairs, distillation=75.0, teacher=str(teacher.checkpoint))
    task = EnhancementTask(recipe)
    nets = task.networks()
    seen, wanted = (part.permute(0, 3, 1, 2).float() / 255 for part in task.batch(np.random.default_rng(0)))
    made, maps = nets.generator.features(seen)
    terms = task.terms(nets, seen, made, maps, wanted)
    assert set(terms) == {"ssim", "colour", "variation", "texture", "distillation"}
    theirs = teacher.averaged().generator.features(seen)[1]
    expected = 75 * losses.distillation_loss(maps, theirs)
    torch.testing.assert_close(terms["distillation"], expected, atol=1e-4, rtol=1e-4)
    colours = replace(recipe.loss, maps=("colours",), distillation=3.0)
    found = EnhancementTask(replace(recipe, loss=colours)).terms(nets, seen, made, maps, wanted)
    shown = teacher.averaged()(seen)
    expected = 3 * sum(
        losses.distillation_loss([made[:, i : i + 1]], [shown[:, i : i + 1]]) for i in range(3)
    )
    torch.testing.assert_close(found["distillation"], expected, atol=1e-4, rtol=1e-4)
    Trainer(task, tmp_path / "student", "cpu").run()


def test_wrong_settings(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="held_out must be the first pair"):
        EnhancementTask(replace(tiny(pairs), data=PairSettings(held_out=(3, 3))))
    with pytest.raises(SettingError, match="need each other"):
        EnhancementTask(tiny(pairs, distillation=75.0))
    with pytest.raises(SettingError, match="first, last, colours"):
        EnhancementTask(tiny(pairs, maps=("middle",)))
    with pytest.raises(SettingError, match="critic_width"):
        EnhancementTask(replace(tiny(pairs), model=EnhancementConfig(critic_width=0)))
    with pytest.raises(SettingError, match=r"6\.jpg cannot be read"):
        read_pairs(pairs, 0, 7)
    (tmp_path / "none.pt").write_bytes(b"no")
    for path, what in (("missing.pt", "No such file"), ("none.pt", "not a checkpoint")):
        task = EnhancementTask(tiny(pairs, distillation=1.0, teacher=str(tmp_path / path)))
        with pytest.raises(SettingError, match=what):
            _ = task.teacher
    task = EnhancementTask(tiny(pairs, contextual=4.0, loss_networks=str(tmp_path)))
    with pytest.raises(MissingComponent, match="squeezenet"):
        _ = task.loss_network


# --- the ONNX files


@sizes
def test_onnx_computes_what_torch_does(size: str, pairs: Path, tmp_path: Path) -> None:
    trainer = Trainer(EnhancementTask(tiny(pairs, size)), tmp_path / "run", "cpu")
    trainer.nets.generator.load_state_dict(restless(size).state_dict())
    trainer.ema = trainer.nets.state_dict()
    trainer.save()
    row = tomllib.loads(export(trainer.checkpoint, tmp_path / "models"))["network"][0]
    nets, _ = load_nets(trainer.checkpoint)
    assert (row["kind"], row["variant"], row["scale"], row["unit"]) == ("enhance", size, 1, 1)
    assert row["radius"] == nets.radius and set(row["files"]) == {"net", "moments"}
    net, moments = (
        Network(tmp_path / "models" / row["files"][part]["name"], 1) for part in ("net", "moments")
    )
    for rows, columns in ((1, 1), (18, 31), (40, 16)):
        shot = np.random.default_rng(rows).random((3, rows, columns), np.float32)
        with torch.no_grad():
            expected = nets(torch.from_numpy(shot)[None])[0].numpy()
        result = net(shot, moments(shot))
        assert result.shape == shot.shape
        assert np.abs(result - expected).max() < 1e-4
