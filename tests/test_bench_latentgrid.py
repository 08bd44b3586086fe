"""The study of latent grids: tiny pictures, and another method's files in the place of fits."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra [bench])")

import dsncodec
from bench import common, latentgrid, results
from bench.__main__ import main
from dsncodec.bench.peers import saved
from dsncodec.networks import registry
from dsncodec.options import LatentGrid

from .conftest import picture

ENCODE = dsncodec.encode


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Image sets of tiny pictures; results go to the folder ``results`` beside them."""
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(latentgrid, "MAX_PIXELS", 48 * 45)
    monkeypatch.setattr(latentgrid, "AVIF_QUALITIES", (4, 24, 44, 64, 84))
    for name in ("test/set14", "test/bsd100", "tune/div2k256"):
        (tmp_path / name).mkdir(parents=True)
        for stem, mode, width in (
            ("a", "RGB", 48),
            ("b", "RGB", 40),
            ("grey", "L", 40),
            ("large", "RGB", 49),
        ):
            picture(mode, width, 45, seed=width).save(tmp_path / name / f"{stem}.png")
    return tmp_path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was asked of a fit, with which inits; files are of method "restored"."""
    found: list[dict[str, Any]] = []

    def encode(rgb: Any, options: LatentGrid, quality: int, **settings: Any) -> bytes:
        found.append({"quality": quality, **asdict(options), **settings})
        return ENCODE(rgb, "restored", quality=quality, effort=0)

    row = registry.Init("latentgrid-2e-3", bytes(8), 32, 2e-3, "", "")
    monkeypatch.setattr(registry, "inits", lambda: (row,))
    monkeypatch.setattr(dsncodec, "encode", encode, raising=False)
    return found


def test_curves(data: Path, calls: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    command = f"latentgrid --data {data} --sets Set14 div2k256 --seconds 2 --steps 9 --qualities 20 50 80"
    assert main(command.split()) == 0
    assert len(calls) == 2 * 2 * 2 * 2 * 3  # sets, pictures, budgets, inits, qualities
    assert [call["init"] for call in calls[:6]] == ["published"] * 3 + ["zero"] * 3
    assert (calls[0]["seconds"], calls[0]["steps"], calls[-1]["seconds"], calls[-1]["steps"]) == (
        2,
        None,
        None,
        9,
    )
    out = data / "results" / "latentgrid"
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["curves.md", *(f"{name}.{kind}" for name in ("set14", "div2k256") for kind in ("csv", "svg"))]
    )
    report = (out / "curves.md").read_text("utf-8")
    assert "Left out: grey (grey), large (49 x 45)." in report
    assert (
        report.count("**mean**") == 2 and "9 steps, zero init" in report and "2 s, published inits" in report
    )
    assert "nan" not in report
    # rows that are there are not made again; one more picture, say, is
    calls.clear()
    before = (out / "set14.csv").read_text("utf-8")
    assert main([*command.split(), "--pictures", "1"]) == 0 and not calls
    assert (out / "set14.csv").read_text("utf-8") == before
    assert main([*command.split(), "--steps", "10"]) == 0
    assert {call["steps"] for call in calls} == {10}
    capsys.readouterr()


def test_the_anchor_has_all_colours() -> None:
    """4:4:4: columns of red and green stay apart, and it is not what Pillow writes by default."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2, 0], stripes[:, 1::2, 1] = 200, 200
    shown = common.opened(latentgrid.of_avif(stripes, 90)).astype(int)
    assert np.abs(shown - stripes).mean() < 10
    default = common.opened(saved(stripes, "AVIF", quality=90)).astype(int)
    assert np.abs(default - stripes).mean() > 20


def test_what_inits_save_at_low_rates(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fitted(rgb: Any, quality: int, budget: latentgrid.Budget, threads: int, init: str) -> bytes:
        found = latentgrid.of_avif(rgb, 44)
        return found if init != latentgrid.ZERO else found + bytes(len(found) // 4)

    monkeypatch.setattr(latentgrid, "fitted", fitted)
    command = f"latentgrid --data {data} --part low --sets div2k256 --qualities 15 --steps 9".split()
    report = data / "results" / "latentgrid" / "low.md"
    for limit, says in ((99.0, r"-(19\.[5-9]|20\.0) %"), (0.0, "-")):
        monkeypatch.setattr(latentgrid, "LOW_BPP", limit)
        assert main(command) == 0
        mean, *body = [line for line in report.read_text("utf-8").splitlines() if line[:2] == "| "][1:]
        assert re.fullmatch(rf"{says} \|", mean.split(" | ")[-1])
        assert len(body) == (2 if limit else 0)
        for row in body:
            # a quarter of the bytes, rounded down
            assert "| 9 steps | 15 |" in row and re.search(
                r"\| \+0\.0 % \| \+24\.[5-9] % \| -(19\.[5-9]|20\.0) % \|$", row
            )


def test_share_of_an_anchor() -> None:
    anchor = [(0.1, 20.0), (0.4, 30.0)]
    assert latentgrid.share_of(anchor, 0.1, 25) == pytest.approx(0.5)  # in logarithms of the rate
    assert latentgrid.share_of(anchor, 0.1, 19.9) is None and latentgrid.share_of(anchor, 9, 30.1) is None


def test_without_published_inits_there_is_the_zero_init_only(
    data: Path, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "inits", lambda: ())
    command = f"latentgrid --data {data} --sets B100 --pictures 1 --qualities 20 50 --out {data}/mine"
    assert main(command.split()) == 0
    assert len(calls) == 2 and calls[0]["seconds"] == 30
    assert "published" not in (data / "mine" / "curves.md").read_text("utf-8").split("Reproduce")[0]


def test_the_decoder_and_hard_pictures(
    data: Path, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latentgrid, "TIMED", (48, 64))
    for part, words in (("decode", "| libavif | "), ("hard", "| line art | 192 x 128 | 4 steps | ")):
        assert main(["latentgrid", "--part", part, "--steps", "4"]) == 0
        assert words in (data / "results" / "latentgrid" / f"{part}.md").read_text("utf-8")
    assert {call["steps"] for call in calls} == {4}


def test_operations() -> None:
    pytest.importorskip("numba", reason="numba is not installed (extra [fit])")
    networks, others = 725.33 + 341, 81 + 6 * 7.55
    found = 2 * (networks + others), networks / 4 + others
    assert latentgrid.macs_per_pixel(32) == pytest.approx(found, abs=0.6)


def test_time_of_a_step(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="numba is not installed (extra [fit])")
    from bench import latentgrid_rate

    monkeypatch.setattr(latentgrid, "TIMED", (32, 40))
    monkeypatch.setattr(latentgrid_rate, "LOOPS", 20)
    assert main(["latentgrid", "--part", "time"]) == 0
    lines = (data / "results" / "latentgrid" / "time.md").read_text("utf-8").splitlines()
    assert [line[:4] for line in lines if line[:3] in ("| 1", "| 2")] == ["| 1 ", "| 2 "]


def test_torch_computes_what_the_fit_does() -> None:
    pytest.importorskip("numba", reason="numba is not installed (extra [fit])")
    torch = pytest.importorskip("torch", reason="torch is not installed (extra [train])")
    from bench import latentgrid_torch
    from dsncodec.methods.latentgrid.objective import RDObjective
    from dsncodec.methods.latentgrid.weights import random_weights

    objective = RDObjective(np.asarray(picture("RGB", 53, 37)))
    rng = np.random.default_rng(0)
    for grid in objective.latents:
        grid[:] = rng.normal(0, 2, grid.shape)
    nets = random_weights(32, 0)
    nets.flat[:] += rng.normal(0, 0.05, nets.flat.size).astype(np.float32)
    objective.round_latents()
    loss = objective.loss(nets)
    q = [torch.tensor(grid.astype(np.float32)) for grid in objective.grids()]
    parts = {name: torch.tensor(part) for name, part in nets.parts.items()}
    assert float(latentgrid_torch.bits(q, parts)) == pytest.approx(loss.bits, rel=1e-4)
    assert float(latentgrid_torch.squared(q, parts, torch.tensor(objective.target))) == pytest.approx(
        loss.squared, rel=1e-4
    )


def test_a_table_grows_and_forgets_a_row_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.csv"
    first = results.GrowingTable(path, ("a", "b", "score"), 2)
    assert first.find(("x", "1")) is None
    assert first.add(("x", "1", "0.5")) == {"a": "x", "b": "1", "score": "0.5"}
    with open(path, "a", encoding="utf-8") as file:
        file.write("x,2")
    again = results.GrowingTable(path, ("a", "b", "score"), 2)
    assert again.find(("x", "1")) == first.rows[0] and again.find(("x", "2")) is None
    again.add(("x", "2", "0.7"))
    kept = results.GrowingTable(path, ("a", "b", "score"), 2)
    assert [row["score"] for row in kept.rows] == ["0.5", "0.7"]
    kept.add(("x", "1", "0.9"))
    assert path.read_text() == "a,b,score\nx,1,0.9\nx,2,0.7\n"
