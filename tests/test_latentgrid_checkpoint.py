"""The setting ``checkpoint`` of latent grids: a fit that was stopped goes on, to the file it would have been."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsncodec
from dsncodec.cli import main
from dsncodec.errors import SettingError
from dsncodec.methods import Progress
from dsncodec.methods.latentgrid import checkpoint as checkpoints
from dsncodec.options import LatentGrid

from .conftest import picture

pytest.importorskip("numba", reason="numba is not installed (extra [fit])")


class Stopped(Exception):
    """The power is off."""


def stop_at(part: float) -> Any:
    def report(progress: Progress) -> None:
        if progress.done >= part:
            raise Stopped

    return report


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written after every step."""
    monkeypatch.setattr(checkpoints, "KEPT_EVERY", 0.0)
    monkeypatch.setattr(checkpoints, "KEPT_SHARE", 0.0)


@pytest.mark.parametrize("part", [0.3, 0.7, 0.96], ids=["early", "late", "rounded"])
@pytest.mark.parametrize("tune", ["psnr", "visual"])
@pytest.mark.parametrize("size", [(40, 30), (170, 130)], ids=["small", "from smaller pictures"])
def test_a_stopped_fit_becomes_the_same_file(
    size: tuple[int, int], tune: str, part: float, tmp_path: Path
) -> None:
    image, path = picture("RGB", *size), tmp_path / "fit.npz"
    options = LatentGrid(steps=150, tune=tune)
    whole = dsncodec.encode(image, options, quality=50, threads=1)
    kept = LatentGrid(steps=150, tune=tune, checkpoint=path)
    with pytest.raises(Stopped):
        dsncodec.encode(image, kept, quality=50, threads=1, progress=stop_at(part))
    assert [path] == list(tmp_path.iterdir())
    told = list[float]()
    data = dsncodec.encode(
        image, kept, quality=50, threads=1, progress=lambda progress: told.append(progress.done)
    )
    assert data == whole and told[0] >= part
    # and once more: nothing is left to do but the file
    again = list[float]()
    assert (
        dsncodec.encode(image, kept, quality=50, threads=1, progress=lambda now: again.append(now.done))
        == whole
    )
    assert again == [1.0]


@pytest.mark.parametrize("target", [{"target_bytes": 1200}, {"target_psnr_db": 26}], ids=str)
def test_towards_a_target(target: dict[str, Any], tmp_path: Path) -> None:
    """Pilot fits are not run again."""
    image, path = picture("RGB", 64, 48), tmp_path / "fit.npz"
    settings = {"method": "latentgrid", "steps": 200, "tune": "psnr", "threads": 1, **target}
    whole = dsncodec.encode(image, **settings)
    with pytest.raises(Stopped):
        dsncodec.encode(image, **settings, checkpoint=path, progress=stop_at(0.6))
    assert dsncodec.encode(image, **settings, checkpoint=path) == whole


def test_interrupted_it_has_a_file_and_goes_on(tmp_path: Path) -> None:
    image, path, pressed = picture("L", 50, 40), tmp_path / "fit.npz", list[float]()

    def press(progress: Progress) -> None:
        pressed.append(progress.done)
        if len(pressed) == 5:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.raise_signal(signal.SIGINT)

    kept = LatentGrid(steps=400, tune="psnr", checkpoint=path)
    first = dsncodec.encode(image, kept, threads=1, progress=press)
    told = list[float]()
    second = dsncodec.encode(image, kept, threads=1, progress=lambda progress: told.append(progress.done))
    assert told[0] >= 50 / 400 and told[-1] == 1
    errors = [
        np.square(np.asarray(dsncodec.decode(data)).astype(float) - np.asarray(image)).mean()
        for data in (first, second)
    ]
    assert errors[1] < errors[0]


def test_a_larger_budget_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Latents that were rounded move again, and are rounded again before the last steps."""
    from dsncodec.methods.latentgrid.objective import RDObjective

    image, path, told = picture("RGB", 40, 30), tmp_path / "fit.npz", list[float]()
    dsncodec.encode(image, LatentGrid(steps=60, checkpoint=path), threads=1)
    stages = list[str]()
    for stage in ("soft_round", "round_latents", "rdoq"):
        ordinary = getattr(RDObjective, stage)

        def told_of(*args: Any, stage: str = stage, ordinary: Any = ordinary) -> Any:
            stages.append(stage)
            return ordinary(*args)

        monkeypatch.setattr(RDObjective, stage, told_of)
    more = LatentGrid(steps=120, checkpoint=path)
    dsncodec.encode(image, more, threads=1, progress=lambda progress: told.append(progress.done))
    assert told[0] >= 0.5 and told[-1] == 1
    assert stages.count("soft_round") in (50, 51)
    last = len(stages) - stages[::-1].index("soft_round")
    assert stages[last : last + 2] == ["round_latents", "rdoq"]


def test_a_checkpoint_of_something_else(tmp_path: Path) -> None:
    path, image = tmp_path / "fit.npz", picture("RGB", 20, 20)
    dsncodec.encode(image, LatentGrid(steps=5, checkpoint=path), quality=40, threads=1)
    kept = path.read_bytes()
    for other, tune, quality in (
        (picture("RGB", 20, 19), "visual", 40),
        (picture("RGB", 20, 20, 1), "visual", 40),
        (image, "psnr", 40),
        (image, "visual", 41),
    ):
        with pytest.raises(SettingError, match="another picture, or of other settings"):
            dsncodec.encode(other, LatentGrid(steps=5, tune=tune, checkpoint=path), quality=quality)
    assert path.read_bytes() == kept
    array = tmp_path / "array.npy"
    np.save(array, np.zeros(3))
    unnamed = tmp_path / "unnamed.npz"
    np.savez(unnamed, steps=np.zeros(3))
    others = [array.read_bytes(), unnamed.read_bytes()]
    for junk in (b"", b"not a checkpoint", kept[: len(kept) // 2], kept[:-30], *others):
        path.write_bytes(junk)
        with pytest.raises(SettingError, match="not a checkpoint"):
            dsncodec.encode(image, LatentGrid(steps=5, checkpoint=path), quality=40)
        assert path.read_bytes() == junk


def test_a_state_that_lacks_something(tmp_path: Path) -> None:
    path, image = tmp_path / "fit.npz", picture("RGB", 20, 20)
    dsncodec.encode(image, LatentGrid(steps=5, checkpoint=path), threads=1)
    with np.load(path) as packed:
        state = {name: packed[name] for name in packed.files}
    for lacking in ("weights", "run.step", "latents.means.3", "soap.steps", "seconds", "first_lmbda"):
        np.savez(path, **{name: array for name, array in state.items() if name != lacking})
        with pytest.raises(SettingError, match="not a checkpoint"):
            dsncodec.encode(image, LatentGrid(steps=5, checkpoint=path), threads=1)


def test_the_command_keeps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.png", "b.png"):
        picture("RGB", 24, 20).save(tmp_path / name)
    sources, path = [str(tmp_path / name) for name in ("a.png", "b.png")], tmp_path / "c.npz"
    settings = ["--method", "latentgrid", "--steps", "4", "--checkpoint", str(path), "--quiet"]
    assert main(["encode", *sources, *settings]) != 0
    assert "--checkpoint" in capsys.readouterr().err and not path.exists()
    assert main(["encode", sources[0], *settings]) == 0 and path.exists()
    path.write_bytes(b"a stranger's")
    assert main(["encode", sources[0], *settings, "--force"]) == 1
    assert path.read_bytes() == b"a stranger's"
