"""What a run says of itself: a bar on a terminal, none elsewhere; and its sums at the end."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from dsncodec.cli import common, main

from .conftest import picture


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if stderr were one."""
    monkeypatch.setattr(common, "on_terminal", lambda: True)
    monkeypatch.setattr(common.Progress, "REDRAW_S", 0.0)
    monkeypatch.setenv("COLUMNS", "400")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pictures = tmp_path / "in"
    pictures.mkdir()
    for seed in range(3):
        picture("RGB", 24, 16, seed).save(pictures / f"{seed}.png")
    return pictures


def drawn(err: str) -> list[str]:
    """What was drawn in the bar's line, one after the other."""
    return [line for line in re.split(r"\r\x1b\[K", err) if line]


# --- bars


def test_a_folder_has_a_bar_on_a_terminal(
    terminal: None, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["encode", str(folder), "-o", str(folder.parent / "out"), "--effort", "0"]) == 0
    lines = drawn(capsys.readouterr().err)
    assert [re.search(r"\d/3", line)[0] for line in lines] == ["0/3", "1/3", "2/3"]  # type: ignore[index]
    assert all("[" in line and f"{i}.png" in line for i, line in enumerate(lines))
    assert lines[2].count("#") == 16


def test_nothing_is_drawn_where_stderr_is_no_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["encode", str(folder), "-o", str(folder.parent / "out"), "--effort", "0"]) == 0
    assert capsys.readouterr().err == ""


def test_quiet_is_quiet_on_a_terminal(
    terminal: None, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["encode", str(folder), "-o", str(folder.parent / "out"), "--effort", "0", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_batch_has_a_bar(terminal: None, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["batch", str(folder), str(folder.parent / "out"), "--effort", "0", "-j", "1"])
    assert code == 0
    assert [re.search(r"\d/3", line)[0] for line in drawn(capsys.readouterr().err)] == ["1/3", "2/3", "3/3"]  # type: ignore[index]


def test_a_fit_has_a_bar(terminal: None, capsys: pytest.CaptureFixture[str]) -> None:
    show = common.fit_line(argparse.Namespace(quiet=False, jobs=1))
    assert show is not None
    for done in (0.0, 0.25, 1.0):
        show(SimpleNamespace(done=done, mse=1e-3, bpp=0.5))  # type: ignore[arg-type]
    first, _, last = drawn(capsys.readouterr().err)
    assert "  0%" in first and "30.00 dB  0.500 bpp" in first
    assert "#" * 24 in last and "100%" in last


def test_a_fit_beside_others_has_none(terminal: None) -> None:
    assert common.fit_line(argparse.Namespace(quiet=False, jobs=2)) is None


def test_a_training_has_a_bar(
    terminal: None, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    tiny = [
        f"data.train=['{folder.as_posix()}']",
        "data.held_out=[]",
        "data.patch=12",
        "data.batch=1",
        "model.width=4",
        "model.chroma_width=4",
        "model.blocks=1",
        "optim.steps=2",
        "optim.optimizer=adam",
        "optim.bf16=false",
    ]
    sets = [part for setting in tiny for part in ("--set", setting)]
    assert main(["train", "dsn-x3", "-o", str(tmp_path / "run"), "--device", "cpu", *sets]) == 0
    lines = drawn(capsys.readouterr().err)
    assert " 50% step 1  loss" in lines[0] and lines[0].startswith("dsn-x3 [############------------]")


def test_what_begins_again_counts_from_there(
    terminal: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(common.time, "monotonic", lambda: now)
    progress = common.Progress("run", False)
    for moment, share in ((0.0, 0.5), (10.0, 0.75), (20.0, 0.0), (30.0, 0.5)):
        now = moment
        progress.part(share, "")
    said = drawn(capsys.readouterr().err)
    assert "left" not in said[0]
    assert "10 s left" in said[1]
    assert "left" not in said[2]
    assert "10 s left" in said[3]


def test_lines_now_and_then_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(common.time, "monotonic", lambda: now)
    progress = common.Progress("set", False, line_every_s=60)
    for done in range(1, 101):
        now = 3.0 * done
        progress.show(done, 100, f"{done}.png")
    progress.clear()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert re.fullmatch(r"set 20/100 4 min left 20\.png", lines[0])
    assert not any("[" in line or "\x1b" in line for line in lines)


def test_no_name_moves_the_cursor(terminal: None, capsys: pytest.CaptureFixture[str]) -> None:
    common.Progress("a\x1b[2J", False).show(0, 2, "b\nc")
    assert drawn(capsys.readouterr().err) == [r"a\x1b[2J [------------------------] 0/2 b\nc"]


# --- sums


def test_a_folder_ends_with_its_sums(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "notes.txt").write_text("notes")
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "link.png").symlink_to(folder / "0.png")
    target = folder.parent / "out"
    target.mkdir()
    (target / "2.dsn").write_bytes(b"somebody's")
    code = main(["encode", str(folder), "-o", str(target), "--effort", "0"])
    assert code == 1
    before = sum((folder / f"{i}.png").stat().st_size for i in range(2))
    after = sum((target / f"{i}.dsn").stat().st_size for i in range(2))
    sums, left_out = capsys.readouterr().out.splitlines()[-2:]
    assert sums.startswith(f"2 files, {common.amount(before)} -> {common.amount(after)}, ")
    assert re.search(r"\d % saved, \d+\.\d s$", sums)
    assert left_out.startswith("left out: no pictures: 1 .txt; links: 1; ")
    assert "1 failed: not a picture in any format that Pillow reads" in left_out
    assert "1 failed: its file exists; --force overwrites it" in left_out


def test_a_batch_ends_with_its_sums(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "notes.txt").write_text("notes")
    target = folder.parent / "out"
    arguments = ["batch", str(folder), str(target), "--effort", "0", "-j", "1"]
    before = sum(path.stat().st_size for path in folder.glob("*.png"))
    for counts in ("3 encoded, 0 unchanged", "0 encoded, 3 unchanged"):
        assert main(arguments) == 0
        after = sum(path.stat().st_size for path in target.glob("*.dsn"))
        said, sums, left_out = capsys.readouterr().out.splitlines()
        assert counts in said
        assert sums.startswith(f"3 files, {common.amount(before)} -> {common.amount(after)}, ")
        assert left_out == "left out: no pictures: 1 .txt"


def test_one_file_has_no_sums(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", str(folder / "0.png"), "--effort", "0"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_files_that_grow_are_said_to() -> None:
    tally = common.Tally()
    tally.done(1000, 1500)
    assert "1 file, 1.0 KB -> 1.5 KB, 50 % more, " in tally.summary()
    assert tally.left_out() == ""


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 bytes"), (999, "999 bytes"), (999_600, "1.0 MB"), (5 * 10**15, "5000 TB")]
)
def test_amounts(size: int, words: str) -> None:
    assert common.amount(size) == words
