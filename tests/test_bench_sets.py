"""The studies over the published sets: which pictures, and what a run leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra [bench])")

from bench import readme, results, sets, sheet
from bench.__main__ import main

from .conftest import picture


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Image sets of tiny pictures, one of them grey; results go to the folder ``0.3.0`` beside them."""
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results" / "0.3.0")
    for name in ("set14", "bsd100", "urban100"):
        folder = tmp_path / "test" / name
        folder.mkdir(parents=True)
        for stem, mode, width in (("a", "L", 40), ("b", "RGB", 48), ("c", "RGB", 50)):
            picture(mode, width, 42, seed=width).save(folder / f"{stem}.png")
    return tmp_path


def laid(data: Path, name: str, limit: int | None = None) -> dict[str, tuple[int, int]]:
    folder = data / f"laid-{name}"
    sets.lay(folder, name, str(data), limit)
    found = {}
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            found[path.name] = image.size
    return found


def test_set14_is_in_colour_and_urban100_has_two_sizes(data: Path) -> None:
    assert laid(data, "set14") == {"b.png": (48, 42), "c.png": (50, 42)}
    assert laid(data, "bsd100") == {"a.png": (40, 42), "b.png": (48, 42), "c.png": (50, 42)}
    assert laid(data, "urban100", 2) == {"a.png": (40, 42), "b.png": (48, 42)}
    assert laid(data, "urban100-half") == {"a.png": (20, 21), "b.png": (24, 21), "c.png": (25, 21)}


def test_the_codecs_of_the_study_are_there() -> None:
    pytest.importorskip("pyjpegli", reason="pyjpegli is not installed (extra [bench])")
    from dsncodec.bench.peers import available

    keys = {codec.key for codecs in available()[0].values() for codec in codecs}
    assert set(sets.CODECS) <= keys and set(sheet.CODECS) <= keys


def test_one_command_regenerates_all(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sets, "SHOWN", {})
    asked = ["--sets", "set14", "bsd100", "--codecs", "webp,jpeg", "--settings", "3"]
    command = ["sets", "--data", str(data), *asked, "--referees", "ssimulacra2"]
    assert main(command) == 0
    assert (results.RESULTS / "set14" / "jpeg.csv").read_text().count("\n") == 1 + 2 * 3
    report = json.loads((results.RESULTS / "report.json").read_text())
    assert [one["pictures"] for one in report["sets"]] == [2, 3]
    assert report["command"] == " ".join(["python -m bench", *command])
    assert {path.name for path in results.RESULTS.glob("*.svg")} == {
        f"{name}-{metric}.svg" for name in ("set14", "bsd100") for metric in ("ssimulacra2", "psnr")
    }
    monkeypatch.setattr(readme, "newest", lambda name: results.RESULTS / name)
    monkeypatch.setattr(readme, "PLOTS", data)
    shown = readme.first_screen()
    assert "### Set14 in colour: 2 pictures" in shown and "`python -m bench sets" in shown
    assert "SSIMULACRA 2" in (data / "rate-distortion.svg").read_text()


def test_the_sheet_has_a_crop_for_each_rate_and_codec(data: Path) -> None:
    asked = ["--pictures", "chelsea", "--rates", "0.5", "1", "--codecs", "webp", "jpeg"]
    assert main(["sheet", "--data", str(data), *asked]) == 0
    with Image.open(results.RESULTS / "sheet-chelsea.jpg") as made:
        pixels = np.asarray(made)
    rows, columns = (part.stop - part.start for part in sheet.SHOWN["chelsea"])
    line = rows * sheet.ZOOM + sheet.TITLE_ROWS + 2
    assert pixels.shape == (2 * line, 3 * (columns * sheet.ZOOM + 4), 3)
    text = (results.RESULTS / "sheet.md").read_text()
    rates = [float(row.split("|")[5]) for row in text.splitlines() if row.startswith("| chelsea")]
    assert len(rates) == 4
    assert rates == pytest.approx([0.5, 0.5, 1, 1], rel=0.1)
    assert "Reproduce: `python -m bench sheet" in text


def test_the_worst_files_are_shown_where_they_differ(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worst = [{"image": "b.png", "setting": 20, "bpp": 1.0, "by": 0.5}]
    said = {"ssimulacra2": {"worst": []}, "psnr_db": {"worst": worst}, "lpips": {"worst": worst}}
    report = {"anchor": "jpeg", "sets": [{"name": "set14", "worse": {"webp": said}}]}
    results.RESULTS.mkdir(parents=True)
    (results.RESULTS / "report.json").write_text(json.dumps(report))
    assert main(["worst", "--data", str(data), "--codec", "webp", "-o", str(data / "out")]) == 0
    with Image.open(data / "out" / "worst-set14.png") as made:
        assert made.size == (3 * (48 * sheet.ZOOM + 4), 42 * sheet.ZOOM + sheet.TITLE_ROWS + 2)
    assert "worst-set14.png" in capsys.readouterr().out
