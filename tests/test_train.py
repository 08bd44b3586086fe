"""Recipes, data, the loop and its optimiser, at the smallest size that still learns."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsncodec.errors import SettingError

from .conftest import gradient, picture

torch = pytest.importorskip("torch", reason="torch is not installed (extra [train])")

from dsncodec.methods.dsn.quantise import chroma_shift as shift_of
from dsncodec.networks import registry
from dsncodec.train import tasks
from dsncodec.train import trainer as loop
from dsncodec.train.data.images import PackedImages, find_images
from dsncodec.train.export import pretrained
from dsncodec.train.nets.sampling import SamplingConfig, SamplingNets
from dsncodec.train.optim.muon import Muon, orthogonalise
from dsncodec.train.tasks import sampling
from dsncodec.train.tasks.sampling import DataSettings, LossSettings, SamplingRecipe, SamplingTask
from dsncodec.train.trainer import OptimSettings, Trainer

RECIPES = Path(loop.__file__).parent / "recipes"
torch.set_num_threads(1)  # tiny tensors: threads would only wait for each other


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures: one flat, one gradient, two with more in them."""
    path = tmp_path_factory.mktemp("pictures")
    Image.new("RGB", (40, 32), (200, 90, 30)).save(path / "flat.png")
    Image.fromarray(gradient(36, 44)).save(path / "gradient.png")
    (path / "more").mkdir()
    for seed in range(2):
        picture("RGB", 48, 40, seed).save(path / "more" / f"{seed}.png")
    (path / "notes.txt").write_text("not a picture")
    return path


def tiny(folder: Path, **optim: object) -> SamplingRecipe:
    settings = {"steps": 8, "bf16": False, "lr": 2e-3} | optim
    return SamplingRecipe(
        name="tiny",
        model=SamplingConfig(scale=2, width=8, blocks=1, chroma_width=8),
        data=DataSettings(train=(str(folder),), held_out=(str(folder),), patch=16, batch=4, micro_batch=2),
        optim=OptimSettings(**settings),  # type: ignore[arg-type]
        loss=LossSettings(levels=(256, 16), level_share=(0.5, 0.5), rate_weight=1e-4),
    )


# --- recipes


@pytest.mark.parametrize(
    "path", sorted([*RECIPES.glob("dsn-x?.toml"), *RECIPES.glob("paper-*.toml")]), ids=lambda p: p.stem
)
def test_shipped_recipes(path: Path) -> None:
    recipe = tasks.read(path).recipe
    assert isinstance(recipe, SamplingRecipe) and recipe.name == path.stem
    luma_only = recipe.loss.chroma_weight == 0
    assert recipe.data.patch % (recipe.model.scale if luma_only else recipe.model.chroma_scale) == 0
    assert recipe.data.batch % recipe.data.micro_batch == 0
    assert len(recipe.loss.levels) == len(recipe.loss.level_share)
    assert all(2 <= levels <= 256 for levels in recipe.loss.levels)
    assert not any("test" in source or "tune" in source for source in recipe.data.train)
    assert loop.make_optimizers(SamplingNets(replace(recipe.model, width=8)), recipe.optim)
    assert 0 < loop.rate_factor(recipe.optim, 0, 0.5) <= 1.01


def trainer_of(recipe: SamplingRecipe, out: Path) -> Trainer:
    return Trainer(SamplingTask(recipe), out, "cpu")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_a_recipe_overrides_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, '[model]\nscale = 4\n[optim]\nlr = 1\n[data]\ntrain = ["a", "b"]\n')
    recipe = tasks.read(path, {"optim.seed": "7", "name": '"other"', "loss.levels": "[16, 32]"}).recipe
    assert isinstance(recipe, SamplingRecipe)
    assert (recipe.name, recipe.model.scale, recipe.data.train) == ("other", 4, ("a", "b"))
    assert (recipe.optim.lr, recipe.optim.seed, recipe.loss.levels) == (1.0, 7, (16, 32))
    assert recipe.optim.steps == OptimSettings().steps
    assert tasks.read(path).recipe.name == "mine"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("colour = 1", "unknown key.*colour.*allowed"),
        ("[optim]\nlearning_rate = 1.0", r"\[optim\].*learning_rate"),
        ("[optim]\nlr = 'fast'", "lr must be a float"),
        ("[optim]\nsteps = 1.5", "steps must be a int"),
        ("[optim]\nbf16 = 1", "bf16 must be a bool"),
        ("[optim]\nseed = true", "seed must be a int"),
        ("name = 3", "name must be a str"),
        ("task = 'painting'", "sampling, restoration"),
        ("task = 'restoration'\n[loss]\nlevels = [2]", "unknown key.*loss"),
        ("[optim", "recipe"),
    ],
)
def test_wrong_recipes(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingError, match=says):
        tasks.read(written(tmp_path, text))


def test_missing_recipe_and_wrong_override(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"absent\.toml"):
        tasks.read(tmp_path / "absent.toml")
    for override in ({"optim.speed": "1"}, {"optim.lr": "fast"}):
        with pytest.raises(SettingError):
            tasks.read(written(tmp_path, ""), override)


# --- data


def test_packed_images(folder: Path, tmp_path: Path) -> None:
    images = PackedImages.read([folder])
    paths = find_images([folder])
    assert len(images) == len(paths) == 4
    for i, path in enumerate(paths):
        np.testing.assert_array_equal(images[i], np.asarray(Image.open(path).convert("RGB")))
    images.save(tmp_path / "packed.npz")
    again = PackedImages.read([tmp_path / "packed.npz"])
    np.testing.assert_array_equal(again.pixels, images.pixels)
    np.testing.assert_array_equal(again.sizes, images.sizes)
    assert len(PackedImages.read([folder], limit=2)) == 2


def test_patches_are_cut_from_the_pictures(folder: Path) -> None:
    images = PackedImages.read([folder])
    patches = images.patches(np.random.default_rng(0), 30, 9)
    assert patches.shape == (30, 9, 9, 3) and patches.dtype == np.uint8
    windows = {
        window.tobytes()
        for i in range(len(images))
        for y in range(images[i].shape[0] - 8)
        for x in range(images[i].shape[1] - 8)
        for window in [images[i][y : y + 9, x : x + 9]]
    }
    for patch in patches:
        turned = [np.rot90(p, k) for p in (patch, patch[:, ::-1]) for k in range(4)]
        assert any(t.tobytes() in windows for t in turned)
    again = images.patches(np.random.default_rng(0), 30, 9)
    np.testing.assert_array_equal(again, patches)


def test_data_that_is_not_there(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no such file or folder"):
        PackedImages.read([tmp_path / "absent"])
    with pytest.raises(SettingError, match="no pictures below"):
        PackedImages.read([tmp_path])
    with pytest.raises(SettingError, match="as large as a patch, 41 pixels"):
        PackedImages.read([folder]).patches(np.random.default_rng(0), 1, 41)


def test_training_sees_the_colours_that_inference_sees() -> None:
    from dsncodec.planes import to_planes

    pixels = np.random.default_rng(1).integers(0, 256, (9, 9, 3), np.uint8)
    ours = sampling.ycbcr(torch.from_numpy(pixels)[None])[0].numpy()
    np.testing.assert_allclose(ours, to_planes(pixels), atol=1e-6)


def test_training_shifts_chroma_as_inference_does() -> None:
    levels = torch.arange(2.0, 257.0)
    ours = [shift_of(q) for q in range(2, 257)]
    np.testing.assert_allclose(sampling.chroma_shift(levels).numpy(), ours, atol=1e-6)


# --- the loop


def losses(trainer: Trainer, steps: int) -> list[float]:
    return [trainer.train_step() for _ in range(steps)]


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_a_few_steps_lower_the_loss(tmp_path: Path, optimizer: str) -> None:
    folder = tmp_path / "stripes.png"  # sharp edges off the grid: much to learn, quickly
    stripes = np.tile(np.arange(48) // 3 % 2 * 200, (48, 1)).astype(np.uint8)
    Image.fromarray(stripes).save(folder)
    recipe = tiny(folder, steps=60, optimizer=optimizer, schedule="linear", lr=5e-3)
    if optimizer == "muon":  # which takes wide layers only
        recipe = replace(recipe, model=SamplingConfig(scale=2, width=32, blocks=1, chroma_width=8))
    trainer = trainer_of(recipe, tmp_path)
    assert len(trainer.optimizers) == (2 if optimizer == "muon" else 1)
    patches = PackedImages.read([folder]).patches(np.random.default_rng(4), 16, 16)
    planes = sampling.ycbcr(torch.from_numpy(patches))
    levels = torch.full((16, 1, 1, 1), 64.0)

    def judged() -> float:
        with torch.no_grad():
            return sampling.sampling_loss(trainer.nets, planes, levels, recipe.loss, 0.0).item()

    before = judged()
    assert np.isfinite(losses(trainer, 50)).all()
    assert judged() < 0.9 * before


def test_one_seed_one_run(folder: Path, tmp_path: Path) -> None:
    first, again, other = (
        losses(trainer_of(tiny(folder, seed=seed), tmp_path / name), 2)
        for seed, name in ((5, "a"), (5, "b"), (6, "c"))
    )
    assert first == again != other


def test_resuming(folder: Path, tmp_path: Path) -> None:
    trainer = trainer_of(tiny(folder), tmp_path)
    losses(trainer, 3)
    trainer.save()
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]
    resumed = trainer_of(tiny(folder), tmp_path)
    assert resumed.step == 3 and resumed.progress == 3 / 8
    for name, value in trainer.nets.state_dict().items():
        assert torch.equal(value, resumed.nets.state_dict()[name])
        assert torch.equal(trainer.ema[name], resumed.ema[name])
    assert np.isfinite(losses(resumed, 1)).all() and resumed.step == 4


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(folder: Path, tmp_path: Path) -> None:
    """Optimisers, random numbers and schedule: the same losses, number by number."""
    whole = losses(trainer_of(tiny(folder), tmp_path / "whole"), 6)
    first = trainer_of(tiny(folder), tmp_path / "parts")
    begun = losses(first, 3)
    first.save()
    assert begun + losses(trainer_of(tiny(folder), tmp_path / "parts"), 3) == whole


def test_a_run_that_goes_on_takes_the_rates_of_its_recipe(folder: Path, tmp_path: Path) -> None:
    recipe = tiny(folder, optimizer="muon")
    trainer_of(recipe, tmp_path).save()
    slower = replace(recipe, optim=replace(recipe.optim, lr=recipe.optim.lr / 5, matrix_lr=1e-4))
    found, fresh = trainer_of(slower, tmp_path), trainer_of(slower, tmp_path / "fresh")
    for ours, theirs in zip(found.optimizers, fresh.optimizers, strict=True):
        rates = [[group["max_lr"] for group in one.param_groups] for one in (ours, theirs)]
        assert rates[0] == rates[1]


def test_a_constant_rate_is_ended_by_a_copy(folder: Path, tmp_path: Path) -> None:
    """The copy's rate falls over a budget of its own; the run itself can go on."""
    constant = tiny(folder, schedule="constant", warmup_steps=2, steps=10**9)
    run = trainer_of(constant, tmp_path / "run")
    losses(run, 5)
    run.save()
    kept = run.checkpoint.read_bytes()
    optim = replace(constant.optim, schedule="anneal", steps=4)
    copy = Trainer(SamplingTask(replace(constant, optim=optim)), tmp_path / "copy", "cpu", tmp_path / "run")
    assert (copy.step, copy.progress) == (5, 0)
    copy.run()
    assert (copy.step, copy.progress) == (9, 1)
    assert run.checkpoint.read_bytes() == kept
    resumed = Trainer(
        SamplingTask(replace(constant, optim=optim)), tmp_path / "copy", "cpu", tmp_path / "run"
    )
    assert (resumed.step, resumed.progress) == (9, 1)
    with pytest.raises(SettingError, match="nothing to anneal"):
        Trainer(SamplingTask(constant), tmp_path / "other", "cpu", tmp_path / "absent")


def test_a_run_that_is_told_to_stop_ends_after_its_step(folder: Path, tmp_path: Path) -> None:
    trainer = trainer_of(tiny(folder, steps=10**6), tmp_path)
    step, taken = trainer.train_step, list[int]()

    def counted() -> float:
        taken.append(1)
        trainer.stopping = len(taken) == 3
        return step()

    trainer.train_step = counted  # type: ignore[method-assign]
    trainer.run()
    assert trainer.step == 3 == trainer_of(tiny(folder), tmp_path).step


def test_starting_from_a_published_network(folder: Path, tmp_path: Path) -> None:
    """By its name, or by one of its files."""
    model = registry.for_scale(2)
    recipe = replace(tiny(folder), model=SamplingConfig(scale=2), start_from="published:dsn-x2")
    nets = trainer_of(recipe, tmp_path / "a").nets
    published = pretrained.sampling_nets(SamplingConfig(scale=2)).state_dict()
    assert all(torch.equal(value, published[name]) for name, value in nets.state_dict().items())
    with pytest.raises(SettingError, match="no published network is called 'dsn-x9'"):
        trainer_of(replace(recipe, start_from="published:dsn-x9"), tmp_path / "b")
    own = pretrained.weights_in(registry.checked_path(model, "up"))
    assert all(torch.equal(value, published[f"up.{name}"]) for name, value in own.items())


def test_a_latent_is_tied_to_the_colours() -> None:
    planes = torch.rand(2, 2, 32, 32)
    pooled = torch.nn.functional.avg_pool2d(planes, 4)
    assert sampling.tie(pooled, planes).item() == pytest.approx(0, abs=1e-9)
    # detail that cancels out costs nothing, an offset does
    checks = 0.1 * (2.0 * (torch.arange(8) % 2) - 1)
    assert sampling.tie(pooled + checks, planes).item() == pytest.approx(0, abs=1e-6)
    assert sampling.tie(pooled + 0.1, planes).item() == pytest.approx(0.01 / 0.04, rel=1e-3)


def test_starting_from_another_run(folder: Path, tmp_path: Path) -> None:
    first = trainer_of(tiny(folder), tmp_path / "a")
    losses(first, 2)
    first.save()
    recipe = replace(tiny(folder, seed=9), start_from=str(first.checkpoint))
    second = trainer_of(recipe, tmp_path / "b")
    assert second.step == 0
    for name, value in second.nets.state_dict().items():
        assert torch.equal(value, first.ema[name])


def test_run_writes_a_log_and_stops_at_its_budget(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer_of(tiny(folder), tmp_path).run()
    with open(tmp_path / "log.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["step"] for row in rows] == ["8"]
    assert all(np.isfinite(float(value)) for value in rows[0].values())
    assert "100.0%" in capsys.readouterr().err
    assert trainer_of(tiny(folder), tmp_path).progress == 1


def test_a_run_that_diverges_keeps_its_checkpoint(folder: Path, tmp_path: Path) -> None:
    trainer_of(tiny(folder, steps=4), tmp_path).run()
    kept = (tmp_path / "checkpoint.pt").read_bytes()
    trainer = trainer_of(tiny(folder, steps=400), tmp_path)
    with torch.no_grad():
        next(trainer.nets.parameters()).fill_(math.nan)
    with pytest.raises(SettingError, match="the loss is nan after 5 steps"):
        trainer.run(log_every=0)
    assert (tmp_path / "checkpoint.pt").read_bytes() == kept


def test_unknown_optimizer_and_schedule(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="adam, muon"):
        trainer_of(tiny(folder, optimizer="sgd"), tmp_path)
    with pytest.raises(SettingError, match="halve, cosine, linear, constant, anneal"):
        loop.rate_factor(OptimSettings(schedule="stairs"), 0, 0.5)


def test_schedules() -> None:
    for schedule in ("cosine", "linear"):
        optim = OptimSettings(schedule=schedule, warmup=0.1)
        factors = [loop.rate_factor(optim, 0, p) for p in np.linspace(0, 1, 101)]
        assert all(a <= b for a, b in zip(factors[:10], factors[1:11]))
        assert all(a >= b for a, b in zip(factors[11:], factors[12:]))
        assert 0 < factors[-1] < 0.01 and max(factors) <= 1.002
    halving = OptimSettings(schedule="halve", halve_every=10)
    assert [loop.rate_factor(halving, step, 0) for step in (0, 9, 10, 25, 500)] == [1, 1, 0.5, 0.25, 0.01]
    constant = OptimSettings(schedule="constant", warmup_steps=4)
    assert [loop.rate_factor(constant, step, 0.9) for step in (0, 1, 3, 10**6)] == [0.25, 0.5, 1, 1]
    anneal = OptimSettings(schedule="anneal")
    assert [loop.rate_factor(anneal, 7, part) for part in (0, 0.5, 1)] == [1, 0.5, 1e-3]


def test_rate_proxy() -> None:
    """A plane costs nothing; a step of one level costs a bit where it is not foreseen."""
    ramp = torch.add(*torch.meshgrid(torch.arange(6.0), torch.arange(6.0), indexing="ij"))[None, None]
    assert sampling.rate_proxy(ramp / 255, torch.tensor(256.0)).item() == pytest.approx(0, abs=1e-4)
    checks = (ramp % 2) / 255  # left + above - above left is off by two everywhere
    assert sampling.rate_proxy(checks, torch.tensor(256.0)).item() == pytest.approx(np.log2(3), abs=1e-4)


# --- Muon


@pytest.mark.parametrize("shape", [(32, 32), (32, 288), (64, 33)], ids=str)
def test_orthogonalise(shape: tuple[int, int]) -> None:
    torch.manual_seed(1)
    update = torch.randn(shape)
    result = orthogonalise(update)
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.5 and values.max() < 1.5
    u, _, v = torch.linalg.svd(update, full_matrices=False)
    cosine = (result * (u @ v)).sum() / result.norm() / (u @ v).norm()
    assert cosine > 0.95


def test_muon_leaves_weights_without_a_gradient() -> None:
    idle, busy = (torch.nn.Parameter(torch.zeros(32, 32, 3, 3)) for _ in range(2))
    optimizer = Muon([idle, busy], lr=0.1)
    busy.grad = torch.randn_like(busy)
    optimizer.step()
    assert not idle.any() and busy.norm() > 0
