"""The verb bench before it measures: what is missing is said first."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dsncodec import extras
from dsncodec.cli import bench as command
from dsncodec.cli import main
from dsncodec.errors import MissingComponent

from .conftest import picture

pytest.importorskip("matplotlib")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    picture("RGB", 24, 16).save(tmp_path / "in" / "a.png")
    return tmp_path / "in"


def test_without_matplotlib_nothing_is_measured(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dsncodec.bench import report

    def absent(package: str) -> None:
        raise MissingComponent(f"the package {package} cannot be imported: it is gone")

    monkeypatch.setattr(report, "require", absent)
    out = folder.parent / "out"
    assert main(["bench", str(folder), "-o", str(out), "--codecs", "jpeg", "--show", "none"]) == 1
    err = capsys.readouterr().err
    assert "matplotlib.pyplot cannot be imported" in err and "pip install dsncodec[bench]" in err
    assert not out.exists()


def test_without_the_extra_it_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.import_module

    def absent(module: str) -> Any:
        if module.startswith("dsncodec.bench"):
            raise ModuleNotFoundError("no", name="skimage")
        return real(module)

    monkeypatch.setattr(extras.importlib, "import_module", absent)
    assert main(["bench", str(folder)]) == 1
    assert "pip install dsncodec[bench]" in capsys.readouterr().err


def test_three_pictures_to_choose_from_and_one_of_each_folder() -> None:
    def shown(*sets: list[str], asked: list[str] = []) -> list[str]:
        found = [SimpleNamespace(usable=[SimpleNamespace(path=path) for path in paths]) for paths in sets]
        return command._shown(argparse.Namespace(show=asked), found)

    assert shown(["a", "b", "c", "d"]) == ["a", "b", "c"]
    assert shown(["a", "b"], ["x"]) == ["a", "x", "b"]
    assert shown(["a", "b"], [], ["x"], ["y"], ["z"]) == ["a", "x", "y", "z"]
    assert shown(["a"], asked=["m", "n"]) == ["m", "n"]
    assert shown(["a"], asked=["none"]) == shown([]) == []
