"""Licences of dependencies, and a base package that works without the LGPL ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from . import licences

ROOT = Path(__file__).parent.parent

WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("py7zr", "pybcj", "bcj", "pyppmd", "inflate64", "multivolumefile"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from PIL import Image
import dsncodec
golden = sys.argv[1]
assert dsncodec.decode(f"{golden}/0.2.0-rgb-x3-64-7z.dsn").size
dsncodec.verify(f"{golden}/0.1.0-rgb-x3-64-7z.dsn")
image = Image.new("RGB", (20, 10), "red")
for options in ({}, {"method": "dsn", "scale": 2}, {"method": "dsn", "scale": 2, "entropy_coder": "lzma2"}):
    assert dsncodec.decode(dsncodec.encode(image, effort=0, **options)).size == (20, 10)
try:
    dsncodec.encode(image, "dsn", scale=2, entropy_coder="7z", effort=0)
except dsncodec.MissingComponent as exc:
    assert "pip install py7zr" in str(exc)
else:
    raise SystemExit("7z was written without py7zr")
"""


def test_all_but_writing_7z_works_without_py7zr() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(ROOT / "tests" / "golden")],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("licence", "copyleft"),
    [
        ("GPL-3.0-only", True),
        ("AGPL-3.0-or-later", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("GNU Affero General Public License v3", True),
        ("LGPL-2.1-or-later", False),
        ("GNU Lesser General Public License v2 or later (LGPLv2+)", False),
        ("GNU Library or Lesser General Public License (LGPL)", False),
        ("MIT OR GPL-2.0-only", False),
        ("BSD-3-Clause", False),
        ("not stated", False),
    ],
)
def test_what_is_copyleft(licence: str, copyleft: bool) -> None:
    assert licences.is_copyleft(licence) is copyleft
    code, lines = licences.verdict([("one", licence), ("two", "MIT")])
    assert code == copyleft and (f"NOT ALLOWED one: {licence}" in lines) is copyleft
    assert f"one: {licence}" in lines and "two: MIT" in lines


def test_nothing_installed_here_is_copyleft(capsys: pytest.CaptureFixture[str]) -> None:
    assert licences.main() == 0, capsys.readouterr().out


def test_the_notice_names_what_is_lesser() -> None:
    notice = (ROOT / "NOTICE").read_text("utf-8")
    for name in ("py7zr", "pybcj", "pyppmd", "inflate64", "multivolumefile"):
        assert name in notice


def test_make_check_lists_licences() -> None:
    recipe = (ROOT / "Makefile").read_text("utf-8").split("\ncheck:")[1].split("\n\n")[0]
    assert "$(BIN)/python tests/licences.py" in recipe
