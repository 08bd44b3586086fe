"""The pages: README's length, examples that run, links that lead somewhere, and the method that docs/adding.md adds."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dsncodec
from dsncodec import container, methods, options
from dsncodec.errors import Corrupt, SettingError

from .conftest import picture

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="only in a checkout: a wheel has no pages")
# whose examples need no torch
EXAMPLES = (
    "README.md",
    "docs/start.md",
    "docs/pillow.md",
    "docs/methods/restored.md",
    "docs/methods/dsn.md",
    "docs/methods/latentgrid.md",
    "docs/processing.md",
)


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Image.open(ROOT / "tests" / "photos" / "astronaut.webp") as photo:
        photo.crop((160, 40, 320, 160)).save(tmp_path / "photo.webp", lossless=True)
    monkeypatch.chdir(tmp_path)
    found = blocks(ROOT / name)
    assert found
    for block in found:
        exec(compile(block, name, "exec"), {})


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", ROOT / "models" / "README.md", *sorted(DOCS.rglob("*.md"))],
    ids=lambda page: f"{page.parent.name}/{page.name}",
)
def test_rows_of_a_table_have_its_columns(page: Path) -> None:
    columns = None
    for line in page.read_text("utf-8").splitlines():
        # bars within code, and with a backslash, are text
        cells = len(re.sub(r"`[^`]*`|\\\|", "", line).split("|")) if line.startswith("|") else None
        assert None in (cells, columns) or cells == columns, line
        columns = cells


@pytest.fixture
def raw(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The module of docs/adding.md, with its rows."""
    module = types.ModuleType("raw_method")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(blocks(DOCS / "adding.md")[0], "adding.md", "exec"), module.__dict__)
    row = methods.Method(module.Raw, module.__name__, module.__name__)
    monkeypatch.setitem(methods.METHODS, "raw", row)
    monkeypatch.setitem(container.METHODS, 9, "raw")
    monkeypatch.setitem(options.CLASSES, "raw", module.Raw)
    return module


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_new_method_on_one_page(mode: str, raw: types.ModuleType) -> None:
    image = picture(mode, 23, 17)
    data = dsncodec.encode(image, raw.Raw(level=9), metadata=dsncodec.Metadata(xmp=b"<x/>"))
    assert data == dsncodec.encode(image, "raw", level=9, xmp=b"<x/>")
    decoded = dsncodec.decode(data)
    np.testing.assert_array_equal(np.asarray(decoded), np.asarray(image))
    assert decoded.info["xmp"] == b"<x/>"
    cut = dsncodec.decode(data, region=(3, 2, 9, 11))
    np.testing.assert_array_equal(np.asarray(cut), np.asarray(image)[2:11, 3:9])
    assert dsncodec.read_info(data).method == "raw"
    dsncodec.verify(data)
    with pytest.raises(SettingError, match="no method has a setting depth; raw has level"):
        dsncodec.encode(image, "raw", depth=3)
    header = container.Header("raw", mode, 23, 17)
    with pytest.raises(Corrupt):
        dsncodec.decode(container.pack(header, [("PARM", b"\0"), ("BASE", b"no zlib")]))
