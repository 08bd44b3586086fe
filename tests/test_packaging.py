"""The wheel holds all that a user needs, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dsncodec.networks import registry
from dsncodec.processing.api import UPSAMPLERS

ROOT = Path(__file__).parent.parent


def loaded_files() -> set[str]:
    """The weight files that the registry's rows name."""
    found = {name for model in registry.manifest() for name in model.files.values()}
    single = (*registry.restorations(), *registry.looks(), *registry.inits(), *registry.image_networks())
    found |= {row.file for row in single}
    return found | {row.moments[0] for row in registry.image_networks() if row.moments is not None}


def test_every_image_network_has_a_verb() -> None:
    for row in registry.image_networks():
        assert row.kind in {*UPSAMPLERS, "denoise", "enhance", "style"}


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
    # and no weights that the registry does not load
    inside = {name.removeprefix("dsncodec/models/") for name in names if name.startswith("dsncodec/models/")}
    assert inside == {"README.md", "manifest.toml", "quality.toml", *loaded_files()}
    assert any(name.startswith("dsncodec/train/recipes/") for name in names)
    assert not any(name.startswith(("tests/", "bench/")) for name in names)
