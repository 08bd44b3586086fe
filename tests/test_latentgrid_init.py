"""The inits of method "latentgrid": recipe, crops, a training of a few steps, and the files that readers use."""

from __future__ import annotations

import csv
import hashlib
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dsncodec.cli import main
from dsncodec.errors import SettingError
from dsncodec.methods.latentgrid.bitstream import ZERO_INIT, Parameters, counts, init_lists, zero_init
from dsncodec.networks import registry
from dsncodec.train.export import latentgrid_init
from dsncodec.train.export.latentgrid_init import Info, TrainedInit, export_init, integers, short

from .conftest import picture
from .test_weights import forget

pytest.importorskip("numba", reason="numba is not installed (extra [fit])")

from dsncodec.methods.latentgrid.fit import Budget, Fit, RateTarget, weights_of
from dsncodec.methods.latentgrid.weights import random_weights
from dsncodec.train.tasks import latentgrid_init as training

RECIPE = Path(training.__file__).parent.parent / "recipes" / "latentgrid.toml"
INFO = Info("latentgrid", 12, 3.4, 5)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No manifest is remembered from one test to the next."""
    forget()
    yield
    forget()
    init_lists.__globals__["_published"].cache_clear()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two folders: three pictures, one of them small; and one."""
    for name, size in (("one/a", 40), ("one/b", 50), ("one/small", 20), ("two/c", 36)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        picture("RGB", size, size + 3, seed=size).save(tmp_path / f"{name}.png")
    return tmp_path


@pytest.fixture
def tiny(pictures: Path) -> list[str]:
    """Options that make the shipped recipe one of seconds."""
    settings = [
        f"data.train=['{pictures.as_posix()}/one', '{pictures.as_posix()}/two']",
        "data.shares=[2, 1]",
        "data.crops=5",
        "data.size=32",
        "batch=2",
        "width=8",
        "lmbdas=[1e-3, 2e-3, 4e-3]",
        "middle.visits=4",
        "outwards.visits=2",
        "data.again=4",
        "again.visits=2",
        "fits.crops=2",
        "fits.size=32",
        "fits.steps=8",
        "fits.least_lmbda=3e-3",
    ]
    return [part for setting in settings for part in ("--set", setting)]


# --- recipes and crops


def test_the_shipped_recipe() -> None:
    recipe = training.read(RECIPE)
    assert recipe == training.InitsRecipe("latentgrid")  # the defaults are the published ones
    assert recipe.chains == ([6e-4, 2e-4], [6e-3, 2e-2])
    assert not any("test" in folder or "tune" in folder for folder in recipe.data.train)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"first": "1e-3"}, "first must be one of lmbdas"),
        ({"width": "20"}, "multiple of 8"),
        ({"batch": "81"}, "batch"),
        ({"data.shares": "[1, 2]"}, "shares"),
        ({"data.size": "0"}, "at least 1"),
        ({"fits.steps": "0"}, "at least 1"),
        ({"optim.lr": "1.0"}, "unknown key"),
        ({"tune": "'ear'"}, "tune must be one of psnr, visual"),
        ({"begin": "'anywhere'"}, "begin one of random, published"),
    ],
)
def test_wrong_recipes(change: dict[str, str], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        training.read(RECIPE, change)


def test_crops_are_seeded_and_of_large_pictures_only(pictures: Path) -> None:
    settings = training.CropSettings((f"{pictures}/one", f"{pictures}/two"), (2, 1), 7, 32)
    crops = training.read_crops(settings, seed=1)
    assert [crop.shape for crop in crops] == [(32, 32, 3)] * 7
    again, other = training.read_crops(settings, seed=1), training.read_crops(settings, seed=2)
    assert all(np.array_equal(a, b) for a, b in zip(crops, again))
    assert not all(np.array_equal(a, b) for a, b in zip(crops, other))
    with pytest.raises(SettingError, match="two is as large as 38 pixels"):
        training.read_crops(training.CropSettings(settings.train, (2, 1), 7, 38), seed=1)


def test_turns() -> None:
    turns = training._turns(5, 2, seed=3)
    seen = [next(turns) for _ in range(50)]
    assert all(len(set(batch)) == 2 for batch in seen)
    assert len({*seen[0], *seen[1]}) == 4 and {*seen[0], *seen[1], *seen[2]} <= set(range(5))


# --- training


def test_train_and_export(tmp_path: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run, models = tmp_path / "run", tmp_path / "models"
    assert main(["train", "latentgrid", "-o", str(run), "--log-every", "0.001", *tiny]) == 0
    said = capsys.readouterr()
    assert said.out == f"latentgrid: 3 inits -> {run}\n"
    assert "latentgrid: 100.0%  lambda 4e-3" in said.err
    files = [run / f"latentgrid-{lmbda}e-3.npz" for lmbda in (1, 2, 4)]
    assert sorted(run.iterdir()) == [*files, run / "log.csv"]
    rows = list(csv.DictReader((run / "log.csv").read_text("utf-8").splitlines()))
    assert [row["lambda"] for row in rows] == (
        ["2e-3"] * 10 + ["1e-3"] * 5 + ["4e-3"] * 5 + ["2e-3"] * 4 + ["1e-3"] * 4 + ["4e-3"] * 4 + ["4e-3"]
    )
    assert [int(row["step"]) for row in rows[:20] if row["lambda"] != "1e-3"] == list(range(1, 16))
    assert [int(row["step"]) for row in rows[28:32]] == list(range(16, 20))
    low, middle, high = (TrainedInit.read(path) for path in files)
    assert (middle.lmbda, middle.width, middle.info.steps, low.info.steps) == (2e-3, 8, 14, 19)
    assert not np.array_equal(low.flat, high.flat) and np.isfinite(low.flat).all()

    for path in files:
        assert main(["export", str(path), "-o", str(models)]) == 0
    assert main(["export", str(files[0]), "-o", str(models)]) == 1  # it is there
    assert main(["export", str(files[0]), "-o", str(models), "--force", "--quiet"]) == 0
    rows = tomllib.loads((models / "manifest.toml").read_text("utf-8"))["start"]
    assert [row["name"] for row in rows] == [path.stem for path in files]
    assert rows[1]["recipe"] == "dsncodec/train/recipes/latentgrid.toml"
    capsys.readouterr()


def test_the_last_phase_ends_at_the_mean_of_fits(tmp_path: Path, pictures: Path) -> None:
    settings = training.CropSettings((f"{pictures}/one",), (1,))
    fits = training.FitsSettings(crops=3, size=32, steps=20)
    recipe = training.InitsRecipe("latentgrid", width=8, batch=2, data=settings, fits=fits)
    before = random_weights(8, 1)
    state = training._State([], before.copy(), 7)
    with ThreadPoolExecutor(2) as pool, open(tmp_path / "log", "w", newline="") as log:
        trainer = training.Trainer(recipe, tmp_path)
        trainer._fit(state, 6e-3, pool, csv.writer(log))
        trainer._save(state, 6e-3, training.FITTED)
    crops = training.read_crops(replace(settings, crops=3, size=32), recipe.seed + 13)
    ends = []
    for crop in crops:
        job = Fit(crop, 8, ZERO_INIT, 1, init=before)
        job.run(RateTarget(6e-3), Budget(None, 20))
        ends.append(job.weights.flat)
    np.testing.assert_array_equal(state.weights.flat, np.mean(ends, 0))
    assert np.abs(ends[0] - ends[1]).max() > 0.01
    assert TrainedInit.read(tmp_path / "latentgrid-6e-3.npz").info.steps == 7 + 20 * 3 // 2


def test_the_same_seed_gives_the_same_weights(tmp_path: Path, tiny: list[str]) -> None:
    found = []
    for run, threads in (("a", 1), ("b", 2)):
        arguments = ["train", "latentgrid", "-o", str(tmp_path / run), "--quiet", *tiny]
        assert main([*arguments, "--set", "lmbdas=[2e-3]", "--set", f"threads={threads}"]) == 0
        found.append(TrainedInit.read(tmp_path / run / "latentgrid-2e-3.npz").flat)
    np.testing.assert_array_equal(*found)


def test_an_interrupted_training_keeps_what_is_finished(
    tmp_path: Path, tiny: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train = training.Trainer._train

    def interrupted(self: training.Trainer, *arguments: object) -> None:
        if self.written:
            raise KeyboardInterrupt
        train(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(training.Trainer, "_train", interrupted)
    run = tmp_path / "run"
    assert main(["train", "latentgrid", "-o", str(run), *tiny]) == 130
    assert f"1 of 3 inits are in {run}" in capsys.readouterr().err
    assert (run / "latentgrid-2e-3.npz").exists()


def test_a_run_goes_on_where_it_was_interrupted(
    tmp_path: Path, tiny: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each phase in turn: the inits are those of a run that nothing stopped, and no phase that is over is run again."""
    names = ("_chains", "_train", "_fit")
    phases = {name: getattr(training.Trainer, name) for name in names}
    log = list[str]()

    def spied(name: str) -> Callable[..., None]:
        def phase(self: training.Trainer, *arguments: object) -> None:
            log.append(name)
            if len(log) == stop:
                raise KeyboardInterrupt
            phases[name](self, *arguments)

        return phase

    for name in names:
        monkeypatch.setattr(training.Trainer, name, spied(name))

    def run(folder: str, *more: str) -> int:
        return main(["train", "latentgrid", "-o", str(tmp_path / folder), "--quiet", *tiny, *more])

    stop = 0
    assert run("whole") == 0
    count = len(log)
    assert count == 1 + 3 + 3 + 1  # the chains, their phases, other crops, fits
    for at in range(5, count + 1):
        log, stop = [], at
        assert run(f"at-{at}") == 130
        log, stop = [], 0
        assert run(f"at-{at}") == 0
        assert len(log) == count - at + 1
        for path in (tmp_path / "whole").glob("*.npz"):
            found, expected = TrainedInit.read(tmp_path / f"at-{at}" / path.name), TrainedInit.read(path)
            np.testing.assert_array_equal(found.flat, expected.flat)
            assert found.info.steps == expected.info.steps
        head, *rows = (tmp_path / f"at-{at}" / "log.csv").read_text("utf-8").splitlines()
        assert head not in rows
    log = []
    assert run("whole") == 0 and not log  # nothing is left
    assert run("whole", "--set", "again.visits=3") == 1  # another run's
    assert "--force" in capsys.readouterr().err


def test_training_for_the_eye_begins_with_what_is_published(tmp_path: Path, tiny: list[str]) -> None:
    run = ["--set", "width=32", "--set", "lmbdas=[2e-3, 7e-3]", "--quiet"]
    arguments = ["-o", str(tmp_path), *tiny, *run, "--set", "first=2e-3"]
    assert main(["train", "latentgrid-visual", *arguments]) == 0
    for lmbda, near in ((2e-3, "2e-3"), (7e-3, "6e-3")):
        trained = TrainedInit.read(tmp_path / f"latentgrid-visual-{short(lmbda)}.npz")
        row = next(row for row in registry.inits() if row.name == f"latentgrid-{near}")
        begun = weights_of(init_lists(Parameters(32, row.wire_id[:4], (0,) * 6)), 32).flat
        assert 0 < np.abs(trained.flat - begun).max() < 0.2 < np.abs(begun).max()
        assert trained.info.tune == "visual"
        text = export_init(tmp_path / "models", "x", lmbda, trained.flat, 32, trained.info)
        assert tomllib.loads(text)["start"][0]["tune"] == "visual"
    with pytest.raises(SettingError, match="no init of width 8 is published"):
        training._published(2e-3, training.InitsRecipe("x", width=8))


def test_what_is_lessened_is_the_tune(tmp_path: Path, tiny: list[str]) -> None:
    found = []
    for tune in ("psnr", "visual"):
        out = str(tmp_path / tune)
        assert main(["train", "latentgrid", "-o", out, "--quiet", *tiny, "--set", f"tune={tune}"]) == 0
        found.append(TrainedInit.read(tmp_path / tune / "latentgrid-4e-3.npz"))
    assert [init.info.tune for init in found] == ["psnr", "visual"]
    assert not np.array_equal(found[0].flat, found[1].flat)


def test_bad_training(tmp_path: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "run")
    assert main(["train", "latentgrid", "-o", run, "--device", "cuda", *tiny]) == 2
    assert main(["train", "latentgrid", "-o", run, *tiny, "--set", "data.train=['nowhere', 'two']"]) == 2
    junk = tmp_path / "junk.npz"
    for write in (lambda: junk.write_bytes(b"no init"), lambda: np.savez(junk, weights=np.zeros(3))):
        write()
        assert main(["export", str(junk), "-o", run]) == 2
    assert main(["export", str(tmp_path / "absent.npz"), "-o", run]) == 2
    said = capsys.readouterr().err
    for words in ("--device", "nowhere", "junk.npz is not an init", "absent.npz: No such file"):
        assert words in said
    assert not Path(run).exists()


# --- files


@pytest.mark.parametrize(
    ("lmbda", "said"),
    [(2e-4, "2e-4"), (6e-4, "6e-4"), (2e-3, "2e-3"), (6e-3, "6e-3"), (2e-2, "2e-2"), (1.25e-3, "1.25e-3")],
)
def test_prices_in_names(lmbda: float, said: str) -> None:
    assert short(lmbda) == said and float(said) == lmbda


@pytest.mark.parametrize("width", [8, 32])
def test_what_a_reader_gets(width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flat = random_weights(width, 1).flat
    text = export_init(tmp_path, "latentgrid-2e-3", 2e-3, flat, width, INFO)
    data = (tmp_path / "latentgrid-2e-3.i32").read_bytes()
    monkeypatch.setattr(registry, "folder", lambda: tmp_path)
    (row,) = registry.inits()
    assert (row.name, row.width, row.lmbda, row.default) == ("latentgrid-2e-3", width, 2e-3, True)
    assert row.sha256 == hashlib.sha256(data).hexdigest()
    assert row.wire_id == hashlib.sha256(row.sha256.encode("ascii")).digest()[:8]
    said = tomllib.loads(text)["start"][0]
    assert (said["steps"], said["seconds"], said["seed"], said["licence"]) == (12, 3, 5, "Apache-2.0")
    lists = init_lists(Parameters(width, row.wire_id[:4], (0,) * 6))
    assert [len(numbers) for numbers in lists] == counts(width)
    found = np.concatenate([n * 2.0**-unit for n, unit in zip(lists, (12, 12, 16, 16, 16, 16))])
    np.testing.assert_allclose(found, flat, rtol=0, atol=2.0**-13)


def test_other_rows_stay(tmp_path: Path) -> None:
    published = (registry.folder() / "manifest.toml").read_text("utf-8")
    (tmp_path / "manifest.toml").write_text(published, "utf-8")
    export_init(tmp_path, "mine-2e-3", 2e-3, random_weights(8, 1).flat, 8, INFO)
    before, after = tomllib.loads(published), tomllib.loads((tmp_path / "manifest.toml").read_text("utf-8"))
    mine = [row for row in after.pop("start") if row["name"] != "mine-2e-3"]
    assert mine == before.pop("start", []) and after == before


def test_weights_that_no_file_may_have(tmp_path: Path) -> None:
    flat = random_weights(8, 1).flat
    for place, value in ((3, 16.5), (600, -257), (-1, 256), (700, np.nan)):
        wrong = flat.copy()
        wrong[place] = value
        with pytest.raises(SettingError, match="a weight of list"):
            export_init(tmp_path / "models", "wrong", 2e-3, wrong, 8, INFO)
    with pytest.raises(SettingError, match="an init of width 16 has"):
        integers(flat, 16)
    assert not (tmp_path / "models").exists()
    flat[3] = 16  # the largest
    assert integers(flat, 8)[3] == 2**16


def test_the_zero_init_is_one_too() -> None:
    lists = zero_init(8)
    flat = np.concatenate([n * 2.0**-unit for n, unit in zip(lists, (12, 12, 16, 16, 16, 16))])
    np.testing.assert_array_equal(integers(flat.astype(np.float32), 8), np.concatenate(lists))


def test_publishing_needs_neither_torch_nor_numba() -> None:
    from .test_doors import loaded_after

    assert not loaded_after(f"import {latentgrid_init.__name__}") & {"torch", "numba", "onnx"}
