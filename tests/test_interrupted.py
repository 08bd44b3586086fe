"""Killed at random moments, or without room to write: what stands is whole, and the work can be finished."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import dsncodec
from dsncodec.cli import main

from .conftest import picture
from .fuzz.interrupted import WORKS, killed

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's signals and mounts")


@LINUX
@pytest.mark.parametrize("name", WORKS)
def test_killed_at_random_moments(name: str, tmp_path: Path) -> None:
    """A handful of what `python -m tests.fuzz interrupted` does a hundred times."""
    if name in ("train", "bench"):
        pytest.importorskip("torch" if name == "train" else "matplotlib")
    found = killed(name, tmp_path, kills=3, seed=len(name), count=8)
    assert found.kills == 3
    assert (found.broken, found.unfinished) == ([], [])


@LINUX
def test_termination_leaves_nothing_behind(tmp_path: Path) -> None:
    """SIGTERM while rows go to a file: the file that was being written is removed."""
    script = (
        "import sys, time; from dsncodec import cli, files\n"
        "def slow():\n"
        "    yield b'half'\n"
        "    print('begun', flush=True)\n"
        "    time.sleep(600)\n"
        "cli._heed_termination()\n"
        "files.write_parts(sys.argv[1], slow(), force=True)\n"
    )
    target = tmp_path / "out.ppm"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(target)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"begun\n"
        assert any(path.name.startswith(".dsncodec-") for path in tmp_path.iterdir())
        process.send_signal(signal.SIGTERM)
        assert process.wait() != 0
    assert sorted(path.name for path in tmp_path.iterdir()) == []


def test_a_terminated_batch_goes_on(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for i in range(20):
        picture("RGB", 60, 40, seed=i).save(source / f"{i}.png")
    arguments = ["batch", str(source), str(target), "-j", "1", "--backend", "jpeg"]
    with subprocess.Popen(
        [sys.executable, "-m", "dsncodec", *arguments], stderr=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None and not list(target.glob("*.dsn")):
            time.sleep(0.01)
        process.terminate()
        assert process.stderr is not None
        err = process.stderr.read()
    assert process.returncode in (0, 130)  # it may have been done by then
    assert process.returncode == 0 or "the same command goes on from there" in err
    assert main([*arguments, "--quiet"]) == 0
    assert len(list(target.glob("*.dsn"))) == 20


# --- training


def test_the_log_is_that_of_the_checkpoint(tmp_path: Path) -> None:
    """Rows behind the checkpoint, and half a row, of a run that was killed; and a log that had only been opened."""
    pytest.importorskip("torch")
    from dsncodec.train.trainer import Trainer

    trainer = Trainer.__new__(Trainer)
    trainer.step = 20
    log = tmp_path / "log.csv"
    assert not trainer._logged(log)
    for text, kept, begun in (
        (b"", b"", False),
        (b"step,lo", b"", False),
        (b"step,loss\r\n", b"step,loss\r\n", True),
        (b"step,loss\r\n10,0.5\r\n20,0.4\r\n30,0.3\r\n4", b"step,loss\r\n10,0.5\r\n20,0.4\r\n", True),
    ):
        log.write_bytes(text)
        assert trainer._logged(log) is begun
        assert log.read_bytes() == kept


# --- no room, and no permission


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True)
    if done.returncode:
        pytest.skip("only root may mount a small file system")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(2):
        picture("RGB", 400, 300, seed=i).save(folder / f"{i}.png")
    return folder


TINY = [
    "optim.steps=2",
    "data.patch=24",
    "data.batch=2",
    "model.width=32",
    "model.blocks=1",
    "optim.bf16=false",
]


def commands(sources: Path, place: Path) -> dict[str, list[str]]:
    """A call of each verb that writes, into ``place``; each result is larger than 64 KiB."""
    coded = sources / "coded.dsn"
    if not coded.exists():
        coded.write_bytes(dsncodec.encode(sources / "0.png", quality=100, effort=0, threads=1))
    train = [part for setting in TINY for part in ("--set", setting)]
    data = [f"data.{name}=['{sources.as_posix()}']" for name in ("train", "held_out")]
    return {
        "encode": [
            "encode",
            str(sources / "0.png"),
            "-o",
            str(place / "x.dsn"),
            "-q",
            "100",
            "--effort",
            "0",
            "--force",
        ],
        "decode": ["decode", str(coded), "-o", str(place / "x.png"), "--force"],
        "decode rows": ["decode", str(coded), "-o", str(place / "x.ppm"), "--force"],
        "upsample": ["upsample", str(sources / "0.png"), "-o", str(place / "x.webp"), "--force"],
        "batch": ["batch", str(sources), str(place), "-j", "1", "-q", "100", "--effort", "0"],
        "train": [
            "train",
            "dsn-x3",
            "-o",
            str(place),
            "--device",
            "cpu",
            *train,
            *(p for d in data for p in ("--set", d)),
        ],
        "bench": ["bench", str(sources), "-o", str(place), "--codecs", "jpeg", "--show", "none"],
    }


def one_message(err: str) -> str:
    (line,) = [line for line in err.splitlines() if line.startswith("dsncodec: ")]
    return line


@LINUX
@pytest.mark.parametrize("name", ["encode", "decode", "decode rows", "upsample", "batch", "train", "bench"])
def test_a_full_disk(name: str, full_disk: Path, sources: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if name in ("train", "bench"):
        pytest.importorskip("torch" if name == "train" else "matplotlib")
    existing = {f"x{suffix}": b"precious" for suffix in (".dsn", ".png", ".ppm", ".webp")}
    existing |= {"checkpoint.old": b"precious"}
    for file, data in existing.items():
        (full_disk / file).write_bytes(data)
    capsys.readouterr()
    assert main(commands(sources, full_disk)[name]) == 1
    err = capsys.readouterr().err
    assert os.strerror(errno.ENOSPC) in one_message(err)
    assert "Traceback" not in err
    assert not [path for path in full_disk.rglob("*") if path.name.startswith(".dsncodec-")]
    for file, data in existing.items():
        assert (full_disk / file).read_bytes() == data
    assert not (full_disk / "checkpoint.pt").exists()


@LINUX
@pytest.mark.parametrize("name", ["encode", "decode", "decode rows", "upsample", "batch", "train", "bench"])
def test_a_read_only_folder(
    name: str, tmp_path: Path, sources: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name in ("train", "bench"):
        pytest.importorskip("torch" if name == "train" else "matplotlib")
    place = tmp_path / "locked"
    place.mkdir()
    for suffix in (".dsn", ".png", ".ppm", ".webp"):
        (place / f"x{suffix}").write_bytes(b"precious")
    calls = commands(sources, place)
    if os.geteuid() == 0:  # whom permissions do not stop
        mounted = subprocess.run(["mount", "--bind", place, place], capture_output=True).returncode == 0
        if not mounted or subprocess.run(["mount", "-o", "remount,ro,bind", place]).returncode:
            pytest.skip("no read-only file system can be mounted here")
    else:
        mounted = False
        place.chmod(0o555)
    try:
        code = main(calls[name])
        err = capsys.readouterr().err
    finally:
        if mounted:
            subprocess.run(["umount", place], check=True)
        place.chmod(0o755)
    assert code == 1
    assert os.strerror(errno.EROFS if mounted else errno.EACCES) in one_message(err)
    assert sorted(path.name for path in place.iterdir()) == ["x.dsn", "x.png", "x.ppm", "x.webp"]
    assert all(path.read_bytes() == b"precious" for path in place.iterdir())


@LINUX
def test_a_full_device_is_no_success(sources: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", str(sources / "0.png"), "-o", "/dev/full", "--force", "--effort", "0"]) == 1
    assert os.strerror(errno.ENOSPC) in capsys.readouterr().err
    assert Path("/dev/full").is_char_device()
