"""Names that strangers write, in listings, archives, manifests and folders: none leads elsewhere, or does anything when shown."""

from __future__ import annotations

import concurrent.futures
import csv
import dataclasses
import hashlib
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import dsncodec
from dsncodec.batch import Batch, folders
from dsncodec.batch.run import MANIFEST
from dsncodec.cli import main
from dsncodec.cli.common import shown
from dsncodec.errors import SettingError
from dsncodec.files import check_name, find, replacing

fsspec = pytest.importorskip("fsspec")

SETTINGS = {"method": "restored", "base": "jpeg", "effort": 0}
NO_LINKS = not hasattr(os, "symlink") or os.name == "nt"
linked = pytest.mark.skipif(NO_LINKS, reason="no links here")


def png(colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def run(source: str, target: Path, **settings: Any) -> list[Any]:
    batch = Batch(source, str(target), SETTINGS, **settings)
    return [*batch.run(lambda: concurrent.futures.ThreadPoolExecutor(1), lambda: 1)]


# --- the one check


BAD = ["", "/", "/a.png", "a//b.png", "../a.png", "a/../b.png", "a/..", ".", "./a.png", "a/", "a\0b.png"]
BAD_ON_WINDOWS = [
    "C:\\a.png",
    "c:a.png",
    "a\\..\\b.png",
    "\\\\server\\a.png",
    "con",
    "a/NUL.png",
    "a/b.png.",
    "x:stream",
    "aux/b",
]


@pytest.mark.parametrize("name", BAD)
def test_names_that_lead_elsewhere(name: str) -> None:
    for windows in (False, True):
        with pytest.raises(SettingError):
            check_name(name, windows)


@pytest.mark.parametrize("name", BAD_ON_WINDOWS)
def test_names_that_lead_elsewhere_on_windows(name: str) -> None:
    assert check_name(name, windows=False) == name
    with pytest.raises(SettingError):
        check_name(name, windows=True)


@pytest.mark.parametrize("name", ["a.png", "a/b c.png", "..a/b..png", "ümlaut/ñ.png", "console/a.nul.png"])
def test_other_names(name: str) -> None:
    for windows in (False, True):
        assert check_name(name, windows) == name


@pytest.mark.parametrize("kind", ["local", "memory"])
@pytest.mark.parametrize("name", ["/elsewhere/a.png", "../a.png", "a//b.png"])
def test_a_folder_has_no_such_files(kind: str, name: str, tmp_path: Path) -> None:
    folder = folders.opened(str(tmp_path) if kind == "local" else "memory://names")
    for action in (folder.read, folder.remove, lambda name: folder.write(name, b"")):
        with pytest.raises(SettingError):
            action(name)


# --- listings


def zipped(path: Path, *names: str) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, png())
    return f"file://{path}"


def test_keys_with_two_slashes_write_nothing_outside_the_target(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "mine.dsn").write_bytes(b"precious")
    url = zipped(tmp_path / "e.zip", "raw/a.png", f"raw/{victim}/mine.png", f"raw/{victim}/new/x.png")
    rows = run(f"zip://raw::{url}", tmp_path / "out", force=True)
    assert {row.picture: bool(row.error) for row in rows} == {
        "a.png": False,
        f"{victim}/mine.png": True,
        f"{victim}/new/x.png": True,
    }
    assert [*victim.iterdir()] == [victim / "mine.dsn"] and (victim / "mine.dsn").read_bytes() == b"precious"
    assert (tmp_path / "out" / "a.dsn").is_file()


@pytest.mark.parametrize("root", ["zip://::", "zip:///::"])
def test_the_root_of_an_archive_keeps_first_letters(root: str, tmp_path: Path) -> None:
    url = zipped(tmp_path / "e.zip", "k/a.png", "b.png")
    rows = run(root + url, tmp_path / "out")
    assert [(row.picture, row.error) for row in rows] == [("b.png", ""), ("k/a.png", "")]
    assert (tmp_path / "out" / "k" / "a.dsn").is_file()


# --- the manifest


def prepared(tmp_path: Path) -> tuple[Path, Path, dict[str, Any]]:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    (source / "a.png").write_bytes(png())
    run(str(source), target)
    return source, target, json.loads((target / MANIFEST).read_text())


def test_the_manifest_does_not_say_where_an_output_is(tmp_path: Path) -> None:
    source, target, row = prepared(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"hello")
    row |= {"output": str(elsewhere), "output_sha256": hashlib.sha256(b"hello").hexdigest()}
    (target / MANIFEST).write_text(json.dumps(row) + "\n")
    (target / "a.dsn").unlink()
    rows = run(str(source), target)
    assert [(one.output, one.unchanged, one.error) for one in rows] == [("a.dsn", False, "")]
    assert (target / "a.dsn").is_file() and elsewhere.read_bytes() == b"hello"


@pytest.mark.parametrize(
    "change",
    [
        {"picture": [1]},
        {"picture": 5},
        {"output": None},
        {"settings": "x"},
        {"error": {"a": 1}},
        {"source_bytes": "9"},
        {"width": True},
        {"output_sha256": 3},
        {"replaces": []},
    ],
    ids=str,
)
def test_a_manifest_with_other_types_is_named(change: dict[str, Any], tmp_path: Path) -> None:
    source, target, row = prepared(tmp_path)
    (target / MANIFEST).write_text(json.dumps(row | change) + "\n")
    with pytest.raises(SettingError, match="cannot be read"):
        run(str(source), target)


def test_a_manifest_nested_without_end_is_named(tmp_path: Path) -> None:
    source, target, _ = prepared(tmp_path)
    (target / MANIFEST).write_text("[" * 100_000 + "\n")
    with pytest.raises(SettingError, match="cannot be read"):
        run(str(source), target)


@linked
def test_a_pipe_or_a_device_is_not_read(tmp_path: Path) -> None:
    source, target, _ = prepared(tmp_path)
    for make in (lambda at: os.mkfifo(at), lambda at: os.symlink("/dev/zero", at)):
        (target / "a.dsn").unlink()
        make(target / "a.dsn")
        (row,) = run(str(source), target)
        assert "not a regular file" in row.error


# --- links


@linked
def test_a_dangling_link_is_not_written_through(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    created, data = tmp_path / "elsewhere.png", tmp_path / "s"
    data.mkdir()
    (data / "a.dsn").write_bytes(dsncodec.encode(Image.new("RGB", (8, 8)), **SETTINGS))
    (data / "a.png").symlink_to(created)
    assert main(["decode", str(data / "a.dsn"), "-o", str(data / "a.png")]) == 1
    assert "link" in capsys.readouterr().err
    with pytest.raises(FileExistsError), replacing(str(data / "a.png"), force=False):
        pass
    main(["decode", str(data)])
    assert not created.exists()
    with replacing(str(data / "a.png"), force=True) as partial:
        partial.write_bytes(b"")
    assert created.exists()


@linked
def test_an_output_is_not_written_through_links_out_of_the_target(tmp_path: Path) -> None:
    source, target, elsewhere = tmp_path / "in", tmp_path / "out", tmp_path / "elsewhere"
    for folder in (source / "deep", target, elsewhere):
        folder.mkdir(parents=True)
    (source / "deep" / "a.png").write_bytes(png())
    (target / "deep").symlink_to(elsewhere)
    (row,) = run(str(source), target)
    assert "by a link" in row.error and not [*elsewhere.iterdir()]


@linked
@pytest.mark.parametrize("verb", ["encode", "batch"])
def test_links_in_a_folder_are_followed_where_asked(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, secret, out = tmp_path / "in", tmp_path / "secret.png", tmp_path / "out"
    source.mkdir()
    secret.write_bytes(png())
    (source / "a.png").write_bytes(png())
    (source / "link.png").symlink_to(secret)
    assert len(find(source, frozenset({".png"}))) == 2
    to = [str(out)] if verb == "batch" else ["-o", f"{out}{os.sep}"]
    common = ["--method", "restored", "--base", "jpeg", "--effort", "0"]
    assert main([verb, str(source), *to, *common]) == 0
    assert "1 links" in capsys.readouterr().err
    assert sorted(path.name for path in out.glob("*.dsn")) == ["a.dsn"]
    assert main([verb, str(source), *to, *common, "--follow-links", "--force"]) == 0
    assert sorted(path.name for path in out.glob("*.dsn")) == ["a.dsn", "link.dsn"]


# --- what is shown


def test_no_name_moves_the_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "esc\x1b]0;pwned\x07\r.png"
    path = tmp_path / name
    try:
        path.write_bytes(png())
    except OSError:
        pytest.skip("no such names here")
    assert main(["encode", str(path), "--effort", "0"]) == 0
    assert main(["info", str(path.with_suffix(".dsn"))]) == 0
    path.write_bytes(b"broken")
    assert main(["encode", str(path), "--force"]) == 1
    said = "".join(capsys.readouterr())
    assert "pwned" in said and not {"\x1b", "\x07", "\r"} & set(said)
    assert all(character.isprintable() for character in shown("a\x1b\x9b\u202e\u2028\udc80b"))


@pytest.mark.parametrize(
    "name", ["=cmd|' C calc'!A0.png", "@SUM(1).png", "+1.png", "-1.png", "'quoted.png", "a.png"]
)
def test_no_name_is_a_formula(name: str, tmp_path: Path) -> None:
    store = pytest.importorskip("dsncodec.bench.store")
    values = {"str": "x", "int": 1, "float": 1.0}
    one = store.Row(**{field.name: values[str(field.type)] for field in dataclasses.fields(store.Row)})
    one = dataclasses.replace(one, image=name)
    rows = store.Store(tmp_path)
    rows.replace(one.codec, [one])
    text = rows.path(one.codec).read_text()
    cell = next(csv.DictReader(io.StringIO(text)))["image"]
    assert not cell.startswith(("=", "+", "-", "@"))
    assert rows.read(one.codec)[0].image == name


def test_dollars_in_a_title_are_dollars() -> None:
    plots = pytest.importorskip("dsncodec.bench.plots")
    matplotlib = pytest.importorskip("matplotlib.mathtext")
    parser = matplotlib.MathTextParser("agg")
    assert parser.parse(plots._untypeset(r"a$\frac$ $x$"))
