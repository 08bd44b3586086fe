"""The tables of the CocoNet paper and the study of fitted networks: filters by hand, and whole runs on almost nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="torch is not installed (extra [train])")
pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra [bench])")

from bench import results
from bench.__main__ import main
from bench.tables import coconet1, coconet2

from .conftest import picture


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Image sets of one or two tiny pictures; results go to the folder ``results`` beside them."""
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    (tmp_path / "test" / "cifar10").mkdir(parents=True)
    pictures = np.stack([np.asarray(picture("RGB", 32, 32, seed=i)) for i in range(2)])
    np.savez(tmp_path / "test" / "cifar10" / "test_batch.npz", images=pictures)
    for name in ("test/set5", "tune/div2k256"):
        (tmp_path / name).mkdir(parents=True)
        picture("RGB", 48, 45).save(tmp_path / name / "a.png")
    return tmp_path


def test_filters_of_one_bright_pixel() -> None:
    dot = np.zeros((1, 7, 7, 3), np.uint8)
    dot[0, 3, 3] = 90
    for side in (3, 5):
        made = {name: function(dot)[0, ..., 0] for name, function in coconet1.filters(side).items()}
        assert np.isclose(made["mean"][3, 3], 90 / side**2) and not made["median"].any()
        assert np.isclose(made["Gaussian"].sum(), 90) and (made["Gaussian"] > 0).sum() == side**2
    spread = 0.8  # of OpenCV's window of 3
    line = np.exp(-np.array([1, 0, 1]) / (2 * spread**2))
    expected = 90 * np.outer(line, line) / line.sum() ** 2
    np.testing.assert_allclose(coconet1.gaussian(dot, 3)[0, 2:5, 2:5, 0], expected)


def test_a_bilateral_filter_keeps_edges_and_with_a_wide_spread_is_the_mean() -> None:
    edge = np.zeros((1, 6, 6, 3), np.uint8)
    edge[:, :, 3:] = 200
    np.testing.assert_allclose(coconet1.bilateral(edge, 3, 10), edge, atol=1e-6)
    np.testing.assert_allclose(coconet1.bilateral(edge, 3, 1e6), coconet1.filters(3)["mean"](edge), atol=1e-3)


def test_windows_are_mirrored_at_the_edges() -> None:
    ramp = np.arange(5, dtype=np.uint8)[None, None, :, None].repeat(5, 1).repeat(3, 3)
    assert coconet1.neighbours(ramp, 3)[0, 0, 0, 0, 0] == 1


def test_shrinking() -> None:
    rgb = np.arange(64, dtype=np.uint8).reshape(8, 8, 1).repeat(3, 2)
    assert coconet2.shrunk(rgb, "point")[..., 0].tolist() == [[18, 22], [50, 54]]
    assert coconet2.shrunk(rgb, "mean").shape == coconet2.shrunk(rgb, "bicubic").shape == (2, 2, 3)
    assert abs(int(coconet2.shrunk(rgb, "mean")[0, 0, 0]) - rgb[:4, :4, 0].mean()) <= 1


@pytest.mark.parametrize(
    ("command", "written"),
    [
        (
            "table coconet-1 --limit 2 --copies 1 --steps 2 --paper 2 --layers 1 --width 4 --threads 1",
            "coconet-1",
        ),
        ("table coconet-2 --limit 1 --shrink mean --steps 2 --paper 2 --threads 1", "coconet-2-mean"),
        ("coconet --limit 1 --rates 1 2 --paper-rates 2 --seconds 0.1", "coconet"),
        ("table coconet-4 --limit 1 --steps 2 --threads 1", "coconet-4"),
    ],
)
def test_a_run(command: str, written: str, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--data", str(data)]) == 0
    report = (data / "results" / f"{written}.md").read_text("utf-8")
    assert (
        "Reproduce: `python -m bench " + command in report
        and report.split("\n\nReproduce")[0] in capsys.readouterr().out
    )
    assert (data / "results" / f"{written}.csv").read_text("utf-8").count("\n") > 2


def test_a_picture_that_is_shrunk_is_that_of_pillow() -> None:
    rgb = np.asarray(picture("RGB", 16, 12))
    want = Image.fromarray(rgb).resize((4, 3), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(coconet2.shrunk(rgb, "bicubic"), np.asarray(want))
