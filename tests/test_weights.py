"""The published weights are what their manifest says."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsncodec.carriers import BASE_CODECS
from dsncodec.errors import Corrupt, MissingComponent, SettingError, UnsupportedVersion
from dsncodec.methods.latentgrid.bitstream import ZERO_INIT, counts
from dsncodec.methods.restored.bitstream import NO_MODEL
from dsncodec.networks import registry

GOLDEN = Path(__file__).parent / "golden"
MIB = 2**20


def test_every_file_is_the_pinned_one() -> None:
    total = 0
    for model in registry.manifest():
        assert set(model.files) == set(model.sha256) == set(registry.PARTS)
        for part in registry.PARTS:
            data = registry.checked_path(model, part).read_bytes()
            assert hashlib.sha256(data).hexdigest() == model.sha256[part]
            assert len(data) < 25 * MIB
            total += len(data)
    assert total < 60 * MIB


def test_every_restoration_network_is_the_pinned_one() -> None:
    rows = registry.restorations()
    for row in rows:
        data = registry.checked_file(row).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row.sha256
        assert row.wire_id == hashlib.sha256(row.sha256.encode("ascii")).digest()[:8] != NO_MODEL
        assert len(data) < 5 * MIB
        assert row.base in BASE_CODECS and row.size in ("fast", "best")
        assert registry.restoration_of_wire_id(row.wire_id, row.base, row.scale) is row
    assert len({row.wire_id for row in rows}) == len({row.name for row in rows}) == len(rows)
    defaults = [(row.base, row.scale, row.size, row.tune, row.hypotheses > 1) for row in rows if row.default]
    assert len(set(defaults)) == len(defaults)
    for base, best, tune in itertools.product(BASE_CODECS, (False, True), ("psnr", "visual")):
        chosen = registry.restoration(base, best, tune=tune)
        assert chosen is None or (chosen.base == base and chosen.default)
        alone = registry.restoration(base, best, tune=tune, weighed=False)
        assert alone is None or alone.hypotheses == 1
        # without one for the eye, that for squared error
        assert chosen is None or chosen.tune == tune or registry.restoration(base, best) is chosen
    with pytest.raises(UnsupportedVersion, match="0102030405060708") as caught:
        registry.restoration_of_wire_id(bytes(range(1, 9)))
    assert caught.value.field == "model"


def test_every_start_is_the_pinned_one() -> None:
    rows = registry.inits()
    for row in rows:
        data = registry.checked_file(row).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row.sha256
        assert row.wire_id == hashlib.sha256(row.sha256.encode("ascii")).digest()[:8]
        assert len(data) == 4 * sum(counts(row.width))
        assert registry.init_of_wire_id(row.wire_id[:4]) is row
    assert len({row.wire_id[:4] for row in rows} | {ZERO_INIT}) == len(rows) + 1
    with pytest.raises(UnsupportedVersion, match="01020304") as caught:
        registry.init_of_wire_id(bytes(range(1, 5)))
    assert caught.value.field == "init"


def test_wire_ids() -> None:
    models = registry.manifest()
    for model in models:
        joined = model.sha256["up"] + model.sha256["chroma_up"]
        assert model.wire_id == hashlib.sha256(joined.encode()).digest()[:8]
        assert model.wire_id == registry.wire_id_of(model.sha256)
        assert registry.for_wire_id(model.wire_id) is model
    assert len({model.wire_id for model in models}) == len(models)
    assert len({model.name for model in models}) == len(models)


def test_one_default_model_for_each_scale() -> None:
    assert registry.scales() == [2, 3, 4]
    for scale in registry.scales():
        assert registry.for_scale(scale).scale == scale
        assert sum(m.default and m.scale == scale for m in registry.manifest()) == 1


def test_unknown_scale_and_wire_id() -> None:
    with pytest.raises(SettingError, match="one of 2, 3, 4, not 7"):
        registry.for_scale(7)
    with pytest.raises(UnsupportedVersion, match="0102030405060708") as caught:
        registry.for_wire_id(bytes(range(1, 9)))
    assert caught.value.field == "model"
    with pytest.raises(Corrupt, match="not for scale 2"):
        registry.for_wire_id(registry.for_scale(3).wire_id, 2)


def forget() -> None:
    for cached in (
        registry.manifest,
        registry.quality_table,
        registry.restorations,
        registry.looks,
        registry.inits,
        registry._checked,
    ):
        cached.cache_clear()


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the folder of weights, used in its place."""
    folder = tmp_path / "models"
    shutil.copytree(registry.folder(), folder)
    monkeypatch.setattr(registry, "folder", lambda: folder)
    forget()
    yield folder
    forget()


def test_a_changed_file_is_refused(copied: Path) -> None:
    model = registry.for_scale(3)
    path = copied / model.files["up"]
    assert registry.checked_path(model, "up") == path
    forget()
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(MissingComponent, match=r"not the published one: reinstall"):
        registry.checked_path(model, "up")
    assert registry.checked_path(model, "down").exists()


def test_a_missing_file_is_refused(copied: Path) -> None:
    model = registry.for_scale(3)
    (copied / model.files["down"]).unlink()
    with pytest.raises(MissingComponent, match=f"{model.files['down']} cannot be read: reinstall"):
        registry.checked_path(model, "down")


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("manifest.toml", registry.manifest),
        ("quality.toml", registry.quality_table),
        ("manifest.toml", registry.restorations),
        ("manifest.toml", registry.looks),
        ("manifest.toml", registry.inits),
    ],
)
def test_missing_tables(copied: Path, name: str, reader: object) -> None:
    (copied / name).unlink()
    assert callable(reader)
    with pytest.raises(MissingComponent, match=f"{name} cannot be read: reinstall"):
        reader()


def test_a_changed_restoration_network_is_refused(copied: Path) -> None:
    for row in registry.restorations():
        path = copied / row.file
        path.write_bytes(path.read_bytes() + b"\0")
        with pytest.raises(MissingComponent, match=r"not the published one: reinstall"):
            registry.checked_file(row)


def test_no_restoration_networks_at_all(copied: Path) -> None:
    (copied / "manifest.toml").write_text("# none yet\n")
    assert registry.restorations() == ()
    assert registry.restoration("avif", best=True) is None


def test_a_package_in_an_archive_says_so(tmp_path: Path) -> None:
    """Python imports it from there; its weights are no files."""
    package = Path(registry.__file__).parent.parent
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in package.rglob("*.py"):
            file.write(path, path.relative_to(package.parent))
    golden = str(GOLDEN / "0.1.0-rgb-x3-64-jxl.dsn")
    code = (
        "import dsncodec\n"
        f"try: dsncodec.decode({golden!r})\n"
        "except dsncodec.MissingComponent as exc: print(exc)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(archive)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"imported from the archive {archive}" in done.stdout and "reinstall" not in done.stdout, (
        done.stderr
    )
