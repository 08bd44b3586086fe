"""Whole files, broken in every place: an image or a DsnError, and nothing else.

Checksums catch an accident, so that most of the code behind them is only reached when they are made
right again after the change, as someone with bad intentions would.
"""

from __future__ import annotations

import argparse
import functools
import io
import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import imagecodecs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

import dsncodec
from dsncodec import carriers
from dsncodec.carriers import BACKENDS, BASE_CODECS, LOSSLESS
from dsncodec.container import MAX_PIXELS
from dsncodec.errors import DsnError, DsnWarning

from .conftest import carrier, header_bytes, picture, with_fixed_checksums, with_network
from .fuzz import bombs, campaigns, entry_points, mutations
from .fuzz.__main__ import main as fuzz

# mutations put bytes behind the end, too
pytestmark = pytest.mark.filterwarnings("ignore::dsncodec.errors.DsnWarning")

METHODS = {"dsn": BACKENDS, "restored": BASE_CODECS, "coconet": ("paper", "sine"), "latentgrid": ("plain",)}
FITTED = ("coconet", "latentgrid")
ALL = [(method, backend) for method, table in METHODS.items() for backend in table]
EVERY = pytest.mark.parametrize(("method", "backend"), ALL)
MODES = pytest.mark.parametrize("mode", ["L", "RGBA"])


@functools.cache
def small_file(mode: str, method: str, backend: str) -> bytes:
    if method in FITTED:
        return campaigns.small_file(method, backend, mode)
    image = picture(mode, 6, 5)
    image.info |= {"exif": b"Exif\0\0"}
    settings = {"scale": 2, "levels": 200} if method == "dsn" else {"quality": 30}
    data = dsncodec.encode(image, method, **settings, **carrier(method, backend), threads=1)
    return with_network(data, 64) if method == "restored" else data


def decodes_or_is_refused(data: bytes, reduce: bool = True, max_pixels: int | None = MAX_PIXELS) -> None:
    """A picture of the size the header now promises, or a DsnError."""
    try:
        info = dsncodec.read_info(data)
        image = dsncodec.decode(data, preview=reduce, threads=1, max_pixels=max_pixels)
    except DsnError:
        return
    step = info.scale if reduce else 1
    assert (image.mode, image.size) == (info.mode, (-(-info.width // step), -(-info.height // step)))


@EVERY
@MODES
def test_every_truncation(mode: str, method: str, backend: str) -> None:
    """Each promise of the header is broken, so none decodes, whether or not the checksums are right."""
    data = small_file(mode, method, backend)
    assert dsncodec.decode(data).size == (6, 5)
    for length in range(len(data)):
        for cut in (data[:length], with_fixed_checksums(data[:length])):
            for action in (dsncodec.decode, dsncodec.read_info, dsncodec.verify):
                with pytest.raises(DsnError):
                    action(cut)


@EVERY
@MODES
def test_every_one_byte_change(mode: str, method: str, backend: str) -> None:
    data = small_file(mode, method, backend)
    for at in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            changed = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
            decodes_or_is_refused(changed)


@EVERY
@MODES
def test_every_one_byte_change_behind_right_checksums(mode: str, method: str, backend: str) -> None:
    data = small_file(mode, method, backend)
    for at in range(8, len(data)):
        for flip in (0x01, 0x04, 0x10, 0x80, 0xFF):
            changed = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
            decodes_or_is_refused(with_fixed_checksums(changed))


@MODES
@pytest.mark.parametrize(("method", "backend"), [("dsn", "jpegls"), *ALL[len(BACKENDS) :]])
def test_header_and_parameters_through_the_networks(mode: str, method: str, backend: str) -> None:
    """All 255 other values of the bytes that decide what is run; of fitted networks, which draw a whole tile each
    time, every 15th."""
    data = small_file(mode, method, backend)
    fitted = method in FITTED
    most = 2**14 if fitted else MAX_PIXELS  # any size is a picture there, and takes its time
    for at in range(8, header_bytes(data)):
        for value in range(0, 256, 15 if fitted else 1):
            changed = data[:at] + bytes([value]) + data[at + 1 :]
            decodes_or_is_refused(with_fixed_checksums(changed), reduce=False, max_pixels=most)


@EVERY
@MODES
def test_changed_symbols_through_the_networks(mode: str, method: str, backend: str) -> None:
    data = small_file(mode, method, backend)
    for at in range(header_bytes(data), len(data), 5):
        changed = data[:at] + bytes([data[at] ^ 0x2A]) + data[at + 1 :]
        decodes_or_is_refused(with_fixed_checksums(changed), reduce=False)


@given(data=st.data())
def test_several_changes(data: st.DataObject) -> None:
    mode, (method, backend) = data.draw(st.sampled_from(["L", "RGBA"])), data.draw(st.sampled_from(ALL))
    changed = bytearray(small_file(mode, method, backend))
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(8, len(changed) - 1))] = data.draw(st.integers(0, 255))
    decodes_or_is_refused(with_fixed_checksums(bytes(changed)))


@given(junk=st.binary(max_size=200))
def test_junk(junk: bytes) -> None:
    for data in (
        junk,
        b"\x8eDSN\r\n\x1a\n" + junk,
        with_fixed_checksums(b"\x8eDSN\r\n\x1a\n\x01\0\x01\x01" + junk),
        with_fixed_checksums(b"\x8eDSN\r\n\x1a\n\x01\0\x02\x03" + junk),
    ):
        with pytest.raises(DsnError):
            dsncodec.decode(data)


@pytest.mark.parametrize(("method", "backend"), [("dsn", "lzma2"), *ALL[len(BACKENDS) :]])
def test_bytes_behind_the_end_are_ignored_with_a_warning(method: str, backend: str, tmp_path: Path) -> None:
    """By every entry point, in both versions; a second file behind the first is no more than that."""
    for mode in ("L", "RGBA"):
        data = small_file(mode, method, backend)
        wanted = dsncodec.decode(data).tobytes()
        for more in (data, b"\0", bytes(5000)):
            with pytest.warns(DsnWarning, match=f"^{len(more)} bytes that follow"):
                assert dsncodec.decode(data + more).tobytes() == wanted
            with pytest.warns(DsnWarning, match="bytes that follow"):
                dsncodec.verify(data + more)
            with pytest.warns(DsnWarning, match="bytes that follow"):
                assert dsncodec.read_info(data + more).size_bytes == len(data + more)
        path = tmp_path / "a.dsn"
        path.write_bytes(data + b"behind")
        with pytest.warns(DsnWarning, match="bytes that follow"), Image.open(path) as image:
            assert image.tobytes() == wanted


# --- the campaigns' own machinery, with a few hundred of its seeds


@functools.cache
def corpus() -> list[mutations.File]:
    return campaigns.corpus()


@pytest.mark.parametrize("number", range(len(ALL)), ids=["/".join(names) for names in ALL])
def test_mutations_at_every_entry_point(number: int, tmp_path: Path) -> None:
    """Of each carrier's four files, and of the one of version 1."""
    files = corpus()
    of = [*range(4 * number, 4 * number + 4), 4 * len(ALL) + number]
    seen = set()
    for seed in range(150):
        _, data = mutations.mutated(files, seed, of=of[seed % len(of)])
        seen |= set(
            entry_points.probe(data, entry_points.ALL if seed % 30 else entry_points.NETWORKS, tmp_path)
        )
    assert ("decode", "done") in seen and ("decode", "Corrupt") in seen  # neither harmless nor hopeless


def open_mutations(file: mutations.File, tmp_path: Path) -> None:
    """A hundred mutations by every entry point, some of which open and some of which do not; and the file under other sizes."""
    seen = set()
    for seed in range(100):
        seen |= set(entry_points.probe(mutations.mutated([file], seed)[1], entry_points.ALL, tmp_path))
    assert ("decode", "done") in seen and ("decode", "Corrupt") in seen
    for side in (1, 31, 41, 2000):
        list(entry_points.probe(bytes(replace(file, width=side, height=side)), entry_points.ALL, tmp_path))


@pytest.mark.parametrize(
    ("base", "tune"), [("avif", "psnr"), ("avif", "visual"), ("jpeg", "psnr"), ("j2k", "psnr")]
)
def test_mutations_of_short_forms(base: str, tune: str, tmp_path: Path) -> None:
    """Which JPEG 2000 has from 32 pixels each way on; also with another size in the header."""
    size = (200, 150) if base == "jpeg" else (40, 33)  # where the short form is the shorter one
    data = campaigns.small_file("restored", base, "RGB", *size, tune=tune)
    file = mutations.taken_apart(data)
    short = BASE_CODECS[base].short_id if tune == "psnr" else BASE_CODECS[base].deep_short_id
    assert file.parts[1].payload[0] == short
    open_mutations(file, tmp_path)


@pytest.mark.parametrize("kind", ["jpeg", "avif", *LOSSLESS])
def test_mutations_of_kept_files_and_of_pictures_without_loss(kind: str, tmp_path: Path) -> None:
    image = picture("RGBA" if kind in LOSSLESS else "RGB", 40, 33)
    if kind in LOSSLESS:
        with mock.patch.object(carriers, "LOSSLESS", {kind: LOSSLESS[kind]}):
            data = dsncodec.encode(image, lossless=True)
    else:
        buffer = io.BytesIO()
        exif = Image.Exif()
        exif[0x010F] = "a maker"
        image.save(buffer, kind, exif=exif)
        data = dsncodec.encode(buffer.getvalue(), keep=True)
    file = mutations.taken_apart(data)
    open_mutations(file, tmp_path)


def test_files_are_taken_apart_and_put_together() -> None:
    for file in corpus():
        data = bytes(file)
        assert mutations.taken_apart(data) == file
        assert mutations.with_right_checksums(data) == data
        dsncodec.verify(data)
    assert {file.version for file in corpus()} == {1, 2}


def test_a_seed_is_one_file() -> None:
    one, other = (mutations.mutated(corpus(), 17) for _ in range(2))
    assert one == other != mutations.mutated(corpus(), 18)


LARGE = (
    "by both, 16 there",
    "as large as that, 64 there",
    "said by both, 30 there",
    "said by both, 256 there",
    "the same in colour",
    "as many symbols",
    "2 scans of 13377",
)
SMALL = (
    "metadata of 32 MiB",
    "a dictionary of 4 GiB",
    "2 scans of",
    "a frame inside a comment",
)


def test_no_bomb_reaches_a_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are refused by what is read of them before, but for those that are what they say they are."""
    everything = list(bombs.bombs())

    def asked(*args: object, **kwargs: object) -> None:
        raise AssertionError("a decoder was asked")

    for name in ("jpeg2k", "jpegxl", "jpegls", "webp"):
        monkeypatch.setattr(imagecodecs, f"{name}_decode", asked)
    monkeypatch.setattr(imagecodecs, "jpegxl_decode_jpeg", asked)
    monkeypatch.setattr(ImageFile.ImageFile, "load", asked)
    monkeypatch.setattr("PIL.AvifImagePlugin.AvifImageFile.load", asked)
    reached = [name for name, data in everything if _asks_a_decoder(data)]
    allowed = (*LARGE, *SMALL, *THEIRS)
    assert reached and not [name for name in reached if not any(part in name for part in allowed)]


THEIRS = (
    "webp: a chunk of",
    "70 segments",
    "codestreams",
    "clap for pixi",
    "irot for av1C",
    "a recipe of",
)  # small, and libavif's or libjxl's to refuse


def _asks_a_decoder(data: bytes) -> bool:
    try:
        dsncodec.decode(data, preview=True, threads=1)
    except DsnError as exc:
        return isinstance(exc.__cause__, AssertionError)
    return False


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bombs_at_every_entry_point(tmp_path: Path) -> None:
    for name, data in bombs.bombs():
        if not any(part in name for part in LARGE):
            said = dict(entry_points.probe(data, entry_points.ALL, tmp_path))
            if said["decode"] == "done":
                assert any(part in name for part in (*SMALL, *THEIRS)), name


# --- what a campaign says when something is wrong


def _cases(files: list[mutations.File], args: argparse.Namespace) -> Iterator[campaigns.Case]:
    for number in range(6):
        yield f"case {number}", bytes([number]), entry_points.ALL
    yield "case 6", bytes(replace(files[0], width=1000, height=1000)), entry_points.ALL


def _probe(data: bytes, which: int, folder: Path) -> Iterator[tuple[str, str]]:
    """One case ends the process, one hangs, one is another exception, one asks for more memory than there is; a large picture
    takes its time."""
    began = time.process_time()
    while len(data) > 1 and time.process_time() < began + 1.2:
        pass
    if len(data) == 1:
        if data == b"\x01":
            os._exit(77)
        if data == b"\x02":
            time.sleep(600)
        if data == b"\x03":
            raise entry_points.Broken("decode: KeyError: 3")
        if data == b"\x04":
            try:
                bytearray(3 << 30)
            except MemoryError:
                yield "decode", "MemoryError"
                return
    yield "decode", "done"


WORK = campaigns._work


def _broken_work(*args: object) -> None:
    campaigns.CAMPAIGNS["test"] = (_cases, 1.0)
    campaigns.probe = _probe  # type: ignore[assignment]
    WORK(*args)


def test_crashes_hangs_exceptions_and_memory_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(campaigns.CAMPAIGNS, "test", (_cases, 1.0))
    monkeypatch.setattr(campaigns, "_work", _broken_work)
    args = argparse.Namespace(keep=str(tmp_path / "kept"), seconds=None)
    outcome = campaigns.run_campaign("test", corpus()[:1], args)
    assert [(name, what) for name, what in outcome.found] == [
        ("case 1", "the process died, exit code 77"),
        ("case 2", "no answer in time"),
        ("case 3", "decode: KeyError: 3"),
    ]
    assert (outcome.cases, outcome.pictures, outcome.refused) == (7, 3, 1)
    assert outcome.entry_points == {"decode": {"done": 3, "MemoryError": 1}}
    kept = sorted(path.read_bytes() for path in (tmp_path / "kept").iterdir())
    assert kept == [b"\x01", b"\x02", b"\x03"]


def test_a_case_is_made_again_after_the_time_is_up() -> None:
    """What a process was lost to at the last moment is kept as any other."""
    args = argparse.Namespace(first=7, mutations=1, written=1, seconds=1.0, ends=0.0)
    for cases in (campaigns.mutations, campaigns.features):
        made = itertools.islice(cases(corpus(), args), 2)
        assert [name.split(":")[0] for name, _, _ in made] == ["seed 7", "seed 8"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A few mutations of one backend, counted by entry point; nothing is written."""
    asked = ["hostile", "--only", "mutations", "--mutations", "30", "--carriers", "dsn/lzma2", "--dry-run"]
    assert fuzz([*asked, "--keep", str(tmp_path / "kept")]) == 0
    said = capsys.readouterr().out
    assert "| mutations dsn/lzma2 | 30 |" in said and "## By entry point" in said and "Nothing." in said
    for name in ("read_info", "verify", "decode", "sections", "extract", "Pillow"):
        assert f"| {name} |" in said
    assert not (tmp_path / "kept").exists()
