"""The DSN paper's tables that need training, and PPCN's: networks, patches, budget and arithmetic."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra [train])")
pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra [bench])")

from bench import results
from bench.tables import dsn3, dsn9, ppcn1
from bench.tables.dsn3 import CONTENDERS, ENLARGED, PAPER, Pairs
from bench.tables.sr_nets import SRCNN
from dsncodec.train.trainer import OptimSettings

from .conftest import noise, picture

torch.set_num_threads(1)
TINY = dsn3.Contender(CONTENDERS["Up-SNet"].make, False, batch=2, patch=9, lr=1e-3, matrix_lr=0.03)


def ramp(rows: int, columns: int) -> np.ndarray:
    """Even steps, 4 down and 2 to the right."""
    return np.asarray(np.add.outer(4 * np.arange(rows), 2 * np.arange(columns)), np.uint8)


# --- networks


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("SRCNN", 57_184),  # Dong et al. 2016, section 4.3.1: 9-5-5
        ("VDSR", 664_704),  # Kim et al. 2016: 3 x 3 x 64 in 20 layers
        ("Up-SNet", 9 * 64 + 64 * 64 * (1 + 2 + 3) + 3 * 9 * 64 * 64 + 256 * 9),  # Cai et al. 2017, Table 2
    ],
)
def test_a_network_has_the_weights_of_its_paper(name: str, weights: int) -> None:
    contender = CONTENDERS[name]
    net = contender.make()
    assert sum(w.numel() for w in net.parameters() if w.dim() == 4) == weights
    assert contender.macs_per_pixel == weights / (1 if contender.on_enlarged else 9)
    size = 24 if contender.on_enlarged else 8
    with torch.inference_mode():
        assert net(torch.rand(2, 1, size, size)).shape == (2, 1, 24, 24)


@pytest.mark.parametrize(("planes", "weights"), [(1, 8_032), (3, 20_000)])  # Dong et al. 2016: 9-1-5
def test_the_smaller_srcnn(planes: int, weights: int) -> None:
    net = SRCNN(planes, mapping=1)
    assert sum(w.numel() for w in net.parameters() if w.dim() == 4) == weights
    with torch.inference_mode():
        assert net(torch.rand(2, planes, 12, 14)).shape == (2, planes, 12, 14)


def test_vdsr_has_twenty_layers_and_starts_from_the_bicubic_picture() -> None:
    net = CONTENDERS["VDSR"].make()
    assert sum(isinstance(module, torch.nn.Conv2d) for module in net.modules()) == 20
    x = torch.rand(1, 1, 12, 12)
    with torch.inference_mode():
        assert (net(x) - x).abs().max() < 0.1


# --- patches


@pytest.mark.parametrize("on_enlarged", [False, True])
def test_patches_of_a_ramp_agree_before_and_after_degradation(on_enlarged: bool) -> None:
    contender = dsn3.Contender(TINY.make, on_enlarged, 1, 9, 0, 0)
    luma = ramp(36, 45)
    pairs = Pairs([luma], [dsn3.shrunk_bicubically(luma)], contender)
    inside = slice(9, -9)  # a resampled ramp bends where the picture ends
    pairs.targets = [plane[inside, inside] for plane in pairs.targets]
    edge = slice(9 // pairs.ratio, -9 // pairs.ratio)
    pairs.inputs = [plane[edge, edge] for plane in pairs.inputs]
    x, y = pairs.patches(np.random.default_rng(0), 64, 9)
    assert y.shape == (64, 1, 9, 9)
    centres = y if on_enlarged else y[..., 1::3, 1::3]
    assert x.shape == centres.shape and x.dtype == y.dtype == np.float32
    assert np.abs(x - centres).max() * 255 < 0.75  # the small picture is rounded to 8 bits


def test_patches_keep_the_orientation_of_the_degradation() -> None:
    lumas = [noise(33, 27), noise(24, 48)]
    pairs = Pairs(lumas, [luma[::3, ::3] for luma in lumas], TINY)  # as lopsided as can be
    x, y = pairs.patches(np.random.default_rng(0), 32, 9)
    np.testing.assert_array_equal(x, y[..., ::3, ::3])


def test_the_same_seed_gives_the_same_places_to_both_kinds_of_network() -> None:
    lumas = [noise(33, 27), noise(24, 48)]
    smalls = [dsn3.shrunk_bicubically(luma) for luma in lumas]
    targets = [
        Pairs(lumas, smalls, CONTENDERS[name]).patches(np.random.default_rng(4), 8, 12)[1]
        for name in ("VDSR", "Up-SNet")
    ]
    np.testing.assert_array_equal(*targets)
    assert len({patch.tobytes() for patch in targets[0]}) == 8


# --- budget


def test_training_stops_at_its_budget_and_is_not_repeated(tmp_path: Path) -> None:
    lumas = [picture_luma(30, 36, seed) for seed in range(2)]
    asked: list[str] = []

    def pairs() -> Pairs:
        asked.append("data")
        return Pairs(lumas, [dsn3.shrunk_bicubically(luma) for luma in lumas], TINY)

    path = dsn3.place(tmp_path, "Up-SNet", "Down-SNet")
    optim = OptimSettings(optimizer="muon", steps=2, threads=1)
    first = dsn3.train(TINY, pairs, optim, path)
    again = dsn3.train(TINY, pairs, optim, path)
    assert (first.steps, again.steps, len(asked)) == (2, 2, 1)
    assert again.core_s == first.core_s > 0
    small = dsn3.shrunk_bicubically(lumas[0])
    restored = TINY.restored(again.network, small)
    assert restored.shape == lumas[0].shape
    eager = TINY.restored(dsn9.in_torch(first.net), small)
    assert np.abs(restored.astype(int) - eager).max() <= 1  # the ONNX file is the network
    assert (
        dsn3.train(TINY, pairs, OptimSettings(optimizer="muon", steps=1), path).steps == 1
    )  # another budget
    assert len(asked) == 2
    no_time = OptimSettings(optimizer="muon", minutes=1e-9)
    assert dsn3.train(TINY, pairs, no_time, path).steps == 1


def picture_luma(rows: int, columns: int, seed: int) -> np.ndarray:
    return np.asarray(picture("L", columns, rows, seed))


# --- arithmetic


def papers_own() -> dict[tuple[str, str], float]:
    """The scores of Set5 as the paper has them, as if we had measured them."""
    found = {(ENLARGED, name): 30.39 for name in dsn3.DEGRADATIONS}
    for network, of_sets in PAPER.items():
        found |= {(network, name): psnr for name, psnr in zip(dsn3.DEGRADATIONS, of_sets[0])}
    return {**found, dsn3.CO_TRAINED: dsn3.PAPER_CO_TRAINED[0]}


def test_gains_of_the_paper_come_out_as_it_says() -> None:
    rows = {row[0]: row[1:] for row in dsn3.rows_of("Set5", papers_own())}
    assert {name: row[-2:] for name, row in rows.items()} == {
        "Set5, bicubic enlargement": ("+0.00", ""),
        "Set5, SRCNN": ("+0.49", "+0.49"),
        "Set5, VDSR": ("+0.19", "+0.19"),
        "Set5, Up-SNet": ("+0.31", "+0.31"),
        "Set5, Up-SNet co-trained": ("+0.62", "+0.62"),
    }
    assert rows["Set5, VDSR"][:6] == ("33.66", "33.66", "+0.00", "33.85", "33.85", "+0.00")
    assert all(len(row) == len(dsn3.HEADER) - 1 for row in rows.values())


def test_differences_are_ours_minus_the_papers() -> None:
    ours = papers_own() | {("SRCNN", "bicubic"): 31.75, ("SRCNN", "Down-SNet"): 32.00}
    row = dict((row[0], row[1:]) for row in dsn3.rows_of("Set5", ours))["Set5, SRCNN"]
    assert row == ("31.75", "32.75", "-1.00", "32.00", "33.24", "-1.24", "+0.25", "+0.49")


def test_labels_are_spread_apart_about_where_they_belong() -> None:
    assert dsn9.spread_apart([1.0, 1.0, 5.0], 2.0) == [0.0, 2.0, 5.0]
    places = dsn9.spread_apart(sorted(dsn9.PUBLISHED.values()), 0.2)
    assert min(np.diff(places)) > 0.2 - 1e-9
    assert list(dsn9.PUBLISHED.values()) == sorted(dsn9.PUBLISHED.values())


def test_rows_of_ppcn_1() -> None:
    found = {"Set5": [[31.0, 0.88, 28.4, 0.80], [32.0, 0.90, 28.6, 0.82]]}
    assert ppcn1.quality_rows(found) == [
        ("Set5", "31.50 / 0.8900", "31.37 / 0.8835", "+0.13", "28.50 / 0.8100", "28.42", "+3.00", "+2.95")
    ]
    times = {"PPCN": [30.0, 10.0, 20.0], "Up-SNet": [40.0], "SRCNN 9-1-5, RGB": [80.0]}
    assert ppcn1.time_rows(times)[0] == ("PPCN", "20", "10 to 30", "0.25", "0.50")


# --- the studies from end to end


def arguments(study: Any, *given: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data")
    study.add_arguments(parser)
    return parser.parse_args([str(value) for value in given])


def test_both_studies_run_on_two_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("train", "test/set5"):
        (tmp_path / folder).mkdir(parents=True)
        for seed in range(2):
            picture("RGB", 76, 73, seed).save(tmp_path / folder / f"{seed}.png")
    work, kept = tmp_path / "work", tmp_path / "results"
    monkeypatch.setattr(results, "RESULTS", kept)
    given = ("--data", tmp_path, "--work", work)
    with pytest.raises(SystemExit, match="dsn-3"):
        dsn9.run(arguments(dsn9, *given))
    assert dsn3.run(arguments(dsn3, *given, "--steps", 1, "--sets", "Set5", "--dry-run")) == 0
    assert not kept.exists() and "| Set5, VDSR |" in capsys.readouterr().out
    assert dsn3.run(arguments(dsn3, *given, "--steps", 1, "--sets", "Set5")) == 0
    assert dsn9.run(arguments(dsn9, *given, "--runs", 2)) == 0
    assert {path.name for path in kept.iterdir()} == {
        "dsn-3.csv",
        "dsn-3.md",
        "dsn-9.csv",
        "dsn-9.md",
        "dsn-9.svg",
    }
    page = (kept / "dsn-3.md").read_text()
    assert "Urban100: left out" in page and "table dsn-3 --minutes 5 --sets Set5`" in page
    assert len((kept / "dsn-3.csv").read_text().splitlines()) == 1 + 2
    assert "| VDSR on bicubic | eager torch |" in (kept / "dsn-9.md").read_text()
    assert "<svg" in (kept / "dsn-9.svg").read_text("utf-8")


def test_ppcn_1_runs_on_two_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test/set5").mkdir(parents=True)
    for seed in range(2):
        picture("RGB", 50, 43, seed).save(tmp_path / "test/set5" / f"{seed}.png")
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    given = ("--data", tmp_path, "--sets", "Set5", "--timed", "Set5", "--runs", 1)
    assert ppcn1.run(arguments(ppcn1, *given)) == 0
    assert {path.name for path in (tmp_path / "results").iterdir()} == {"ppcn-1.csv", "ppcn-1.md"}
    page = (tmp_path / "results" / "ppcn-1.md").read_text()
    assert "| SRCNN 9-1-5, RGB |" in page and "bench table ppcn-1`" in page
    assert len((tmp_path / "results" / "ppcn-1.csv").read_text().splitlines()) == 1 + 2
