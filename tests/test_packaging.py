"""The wheel holds all that a user needs, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dsncodec.networks import registry

ROOT = Path(__file__).parent.parent


def test_the_wheel_holds_package_weights_and_type_marker(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("py3-none-any.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "dsncodec/py.typed",
        "dsncodec/models/manifest.toml",
        "dsncodec/models/quality.toml",
        "dsncodec/bench/page.html",
        "dsncodec/bench/published.json",
        "dsncodec/bench/peers/avif.py",
    } <= names
    for model in registry.manifest():
        assert {f"dsncodec/models/{name}" for name in model.files.values()} <= names
    assert {f"dsncodec/models/{row.file}" for row in registry.restorations()} <= names
    assert {f"dsncodec/models/{row.file}" for row in registry.starts()} <= names
    assert any(name.startswith("dsncodec/train/recipes/") for name in names)
    assert not any(name.startswith(("tests/", "bench/")) for name in names)
