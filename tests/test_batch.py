"""Folders to folders: what is done is not done again, and no worker's death costs a file."""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import dsncodec
from dsncodec.batch import folders, run
from dsncodec.batch.run import MANIFEST, Batch, Row, Shard, Task, encode_shard
from dsncodec.cli import main
from dsncodec.errors import DsnError, MissingComponent, SettingError
from dsncodec.processes import process_pool

from . import batch_tasks
from .conftest import picture

FAST = {"effort": 0, "base": "jpeg", "quality": 50}
Urls = tuple[str, str]
_unused = itertools.count()


def fill(source: str, names: list[str]) -> None:
    folder = folders.opened(source)
    for seed, name in enumerate(names):
        image = picture("RGB", 20 + seed, 12, seed)
        buffer = io.BytesIO()
        image.save(buffer, Path(name).suffix[1:])
        folder.write(name, buffer.getvalue())


NAMES = ["a.png", "b.png", "deep/c.webp", "deep/er/d.png", "e.png"]


@pytest.fixture(params=["path", "file", "memory"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Urls:
    """Source, filled with NAMES, and target."""
    if request.param == "memory":
        pytest.importorskip("fsspec")
        root = f"memory://test-{next(_unused)}"
    else:
        root = str(tmp_path) if request.param == "path" else tmp_path.as_uri()
    source, target = f"{root}/source", f"{root}/target"
    fill(source, NAMES)
    return source, target


@pytest.fixture
def local(tmp_path: Path) -> Urls:
    fill(str(tmp_path / "source"), NAMES)
    return str(tmp_path / "source"), str(tmp_path / "target")


def ran(
    urls: Urls,
    settings: dict[str, Any] = FAST,
    start: Callable[[], Any] = lambda: ThreadPoolExecutor(2),
    capacity: int = 3,
    **options: Any,
) -> dict[str, Row]:
    """A whole run: picture -> row."""
    rows = list(Batch(*urls, settings, **options).run(start, lambda: capacity))
    assert len({row.picture for row in rows}) == len(rows)
    return {row.picture: row for row in rows}


def counts(rows: dict[str, Row]) -> Counter[str]:
    return Counter("failed" if r.error else "unchanged" if r.unchanged else "encoded" for r in rows.values())


def manifest(target: str) -> dict[str, Any]:
    lines = folders.opened(target).read(MANIFEST).decode("ascii").splitlines()
    rows = [json.loads(line) for line in lines]
    assert sorted(row["picture"] for row in rows) == [row["picture"] for row in rows]
    found = {row["picture"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def whole(urls: Urls, names: list[str] = NAMES, settings: dict[str, Any] = FAST) -> None:
    """Each picture's file is what ``encode`` makes of it, the manifest has each once, and nothing else is there."""
    source, target = map(folders.opened, urls)
    rows = manifest(urls[1])
    outputs = {os.path.splitext(name)[0] + ".dsn": name for name in names}
    assert set(target.files()) - {"died"} == {*outputs, MANIFEST}
    for output, name in outputs.items():
        data = target.read(output)
        assert data == dsncodec.encode(io.BytesIO(source.read(name)), **settings, threads=1)
        row = rows[name]
        assert (row["output"], row["output_bytes"], row["error"]) == (output, len(data), "")
        assert (row["width"], row["height"]) == dsncodec.read_info(data).size


# --- what is done, and what is done again


def test_a_folder_becomes_a_folder(urls: Urls) -> None:
    assert counts(ran(urls)) == {"encoded": 5}
    whole(urls)


def test_a_second_run_does_nothing(urls: Urls) -> None:
    ran(urls)
    before = {name: folders.opened(urls[1]).read(name) for name in folders.opened(urls[1]).files()}
    assert counts(ran(urls)) == {"unchanged": 5}
    assert before == {name: folders.opened(urls[1]).read(name) for name in folders.opened(urls[1]).files()}


def test_what_changed_is_done_again(urls: Urls) -> None:
    ran(urls)
    source, target = map(folders.opened, urls)
    source.write("b.png", source.read("a.png"))  # another content
    source.write("new.png", source.read("a.png"))
    target.remove("e.dsn")
    target.remove("deep/c.dsn")
    rows = ran(urls)
    assert {name for name, row in rows.items() if not row.unchanged} == {
        "b.png",
        "new.png",
        "e.png",
        "deep/c.webp",
    }
    whole(urls, [*NAMES, "new.png"])


def test_other_settings_are_done_again(urls: Urls) -> None:
    ran(urls)
    assert counts(ran(urls, FAST | {"threads": 2})) == {"unchanged": 5}  # the bytes would be the same
    other = FAST | {"quality": 20, "exif": b""}
    assert counts(ran(urls, other)) == {"encoded": 5}
    whole(urls, settings=other)
    assert counts(ran(urls, other, force=True)) == {"encoded": 5}


def test_a_bad_picture_is_named_and_tried_again(urls: Urls) -> None:
    folders.opened(urls[0]).write("bad.png", b"\x89PNG\r\n\x1a\n")
    for _ in range(2):
        rows = ran(urls)
        assert rows["bad.png"].error and not rows["a.png"].error
        assert manifest(urls[1])["bad.png"]["error"] == rows["bad.png"].error
    folders.opened(urls[0]).write("bad.png", folders.opened(urls[0]).read("a.png"))
    assert counts(ran(urls)) == {"unchanged": 5, "encoded": 1}


def test_what_is_hidden_or_no_picture_is_left_alone(urls: Urls) -> None:
    source = folders.opened(urls[0])
    for name in (".hidden.png", ".folder/x.png", "notes.txt", "done.dsn"):
        source.write(name, source.read("a.png"))
    assert set(ran(urls)) == set(NAMES)


def test_pictures_of_one_name_are_both_there(urls: Urls) -> None:
    """What was done before keeps its name; what comes then has its whole one."""
    ran(urls)
    source, target = map(folders.opened, urls)
    before = target.read("a.dsn")
    source.write("a.jpg", source.read("a.png"))
    assert counts(ran(urls)) == {"unchanged": 5, "encoded": 1}
    assert target.read("a.dsn") == before and "a.jpg.dsn" in target.files()
    for name in ("new.png", "new.webp"):
        source.write(name, source.read("a.png"))
    assert counts(ran(urls)) == {"unchanged": 6, "encoded": 2}
    assert {"new.png.dsn", "new.webp.dsn"} <= set(target.files())
    assert counts(ran(urls)) == {"unchanged": 8}


def test_what_cannot_begin(urls: Urls, tmp_path: Path) -> None:
    target = folders.opened(urls[1])
    with pytest.raises(SettingError, match="no such folder"):
        Batch(str(tmp_path / "nowhere"), urls[1], FAST)
    target.write("notes.txt", b"")
    with pytest.raises(SettingError, match="no pictures"):
        Batch(urls[1], urls[0], FAST)
    target.write(MANIFEST, b"not JSON\n")
    with pytest.raises(SettingError, match=r"manifest\.jsonl cannot be read"):
        Batch(*urls, FAST)
    with pytest.raises((SettingError, MissingComponent)):
        Batch("abacus://beads", urls[1], FAST)


def test_a_shard_done_twice_is_the_same(local: Urls) -> None:
    tasks = tuple(Task(name, os.path.splitext(name)[0] + ".dsn") for name in NAMES)
    shard = Shard(*local, FAST, tasks)
    assert encode_shard(shard) == encode_shard(shard)
    assert len(list(Path(local[1]).glob(".batch-*"))) == 1
    assert counts(ran(local)) == {"unchanged": 5}  # rows that no run has collected count
    whole(local)


def test_a_worker_of_another_release_is_refused(local: Urls) -> None:
    with pytest.raises(SettingError, match=r"the worker has dsncodec .*, the batch is of 0\.0\.0"):
        encode_shard(Shard(*local, FAST, (Task("a.png", "a.dsn"),), version="0.0.0"))


def test_left_overs_of_killed_writers_are_removed(urls: Urls) -> None:
    folders.opened(urls[1]).write("deep/.dsncodec-12ab34cd.dsn", b"half")
    ran(urls)
    whole(urls)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_no_room_ends_the_run(code: int, local: Urls, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be the same for every other picture. What stands, stands."""
    ran(local)
    write = folders.LocalFolder.write

    def full(self: folders.LocalFolder, name: str, data: bytes, force: bool = True) -> None:
        if name == "b.dsn":
            raise OSError(code, os.strerror(code))
        write(self, name, data, force)

    with monkeypatch.context() as patch:
        patch.setattr(folders.LocalFolder, "write", full)
        with pytest.raises(OSError, match=os.strerror(code)):
            ran(local, FAST | {"quality": 40})
    assert all(row["error"] == "" for row in manifest(local[1]).values())
    ran(local)
    whole(local)


def test_a_run_that_is_given_up_keeps_what_is_done(local: Urls) -> None:
    batch = Batch(*local, FAST)
    with contextlib.closing(batch.run(lambda: ThreadPoolExecutor(1), lambda: 1)) as rows:  # type: ignore[type-var]
        first = next(iter(rows))
    assert manifest(local[1])[first.picture]["error"] == ""
    assert ran(local)[first.picture].unchanged
    whole(local)


# --- workers that die


def test_processes(local: Urls) -> None:
    def start() -> Executor:
        return process_pool(2)

    assert counts(ran(local, start=start)) == {"encoded": 5}
    whole(local)


def test_a_worker_that_dies_costs_no_file(local: Urls) -> None:
    rows = ran(local, start=lambda: batch_tasks.Doing(2, batch_tasks.fatal_once))
    assert (Path(local[1]) / "died").exists()
    assert not any(row.error for row in rows.values())
    assert set(rows) == set(NAMES)
    whole(local)


def test_a_picture_that_kills_its_workers_is_named(local: Urls) -> None:
    fill(local[0], ["killer-1.png", "killer-2.png"])
    started = []

    def start() -> Any:
        started.append(batch_tasks.Doing(2, batch_tasks.fatal))
        return started[-1]

    rows = ran(local, start=start)
    assert {name for name, row in rows.items() if row.error} == {"killer-1.png", "killer-2.png"}
    assert "its worker died" in rows["killer-1.png"].error
    assert len(started) <= 6  # not for ever
    for name in ("killer-1.png", "killer-2.png"):
        Path(local[0], name).unlink()
    assert set(manifest(local[1])) == {*NAMES, "killer-1.png", "killer-2.png"}
    assert all(Path(local[1], os.path.splitext(name)[0] + ".dsn").exists() for name in NAMES)


def test_workers_that_all_die_end_the_run(local: Urls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where each takes longer to die than the time between two looks at the executor."""
    monkeypatch.setattr(run, "LOOK_EVERY_S", 0.01)
    with pytest.raises(DsnError, match="no worker lives long enough"):
        ran(local, start=lambda: batch_tasks.Doing(2, batch_tasks.always_fatal))


def test_a_worker_killed_from_outside(local: Urls) -> None:
    """Shards of one picture, half a second each: one worker is killed while both work."""
    batch = Batch(*local, FAST)
    rows = batch.run(lambda: batch_tasks.Doing(2, batch_tasks.slow), lambda: 3)
    first = next(rows)
    pids = [int(path.name.partition("-")[2]) for path in Path(local[1]).glob("worker-*")]
    os.kill(pids[-1], signal.SIGKILL)
    found = [first, *rows]
    assert sorted(row.picture for row in found) == sorted(NAMES)
    assert not any(row.error for row in found)
    for path in Path(local[1]).glob("worker-*"):
        path.unlink()
    whole(local)


# --- the command


def children_of(pid: int) -> list[int]:
    paths = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in paths for child in path.read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_command(local: Urls, capsys: pytest.CaptureFixture[str]) -> None:
    Path(local[0], "bad.png").write_bytes(b"")
    arguments = ["batch", *local, "-j", "2", "--backend", "jpeg", "--effort", "0", "-q", "50"]
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert "5 encoded, 0 unchanged, 1 failed" in out
    assert err == "dsncodec: bad.png: not a picture in any format that Pillow reads\n"
    Path(local[0], "bad.png").unlink()
    assert main([*arguments, "--json"]) == 0
    assert {json.loads(line)["picture"] for line in capsys.readouterr().out.splitlines()} == set(NAMES)
    assert main([*arguments, "--force", "--quiet", "--strip", "exif"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere", "target"], "no such folder"),
        (["source", "target", "-q", "101"], "quality"),
        (["source", "target", "--scale", "3", "-q", "5"], "one of"),
        (["memory://a", "target"], "one process"),
        (["source", "memory://b"], "one process"),
    ],
)
def test_bad_usage_of_the_command(
    arguments: list[str], words: str, local: Urls, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(Path(local[0]).parent)
    assert main(["batch", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not Path(local[1]).exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_run_leaves_no_process_and_goes_on(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    names = [f"{i}.png" for i in range(30)]
    fill(str(source), names)
    arguments = [
        "batch",
        str(source),
        str(target),
        "-j",
        "2",
        "--backend",
        "jpeg",
        "--effort",
        "0",
        "-q",
        "50",
    ]
    process = subprocess.Popen([sys.executable, "-m", "dsncodec", *arguments, "--quiet"])
    while process.poll() is None and len(list(target.glob("[!.]*.dsn"))) < 5:
        time.sleep(0.01)
    children = children_of(process.pid)
    process.kill()
    process.wait()
    assert len(children) >= 2
    while any(map(alive, children)):  # would hang if a worker outlived its parent
        time.sleep(0.01)
    for path in target.glob("[!.]*.dsn"):  # a hidden one is what the kill left of a write
        dsncodec.decode(path.read_bytes(), threads=1)
    assert main([*arguments, "--quiet"]) == 0
    whole((str(source), str(target)), names)


# --- a cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two worker processes of one thread."""
    distributed = pytest.importorskip("distributed")
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as one,
    ):
        yield one


DASK = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*:ResourceWarning")


@DASK
def test_a_cluster(cluster: Any, local: Urls) -> None:
    from dsncodec.batch.dask import capacity, connected, executor

    with connected(cluster.scheduler_address) as client:
        assert capacity(client) == 4
        assert counts(ran(local, start=lambda: executor(client))) == {"encoded": 5}
        assert counts(ran(local, start=lambda: executor(client))) == {"unchanged": 5}
    whole(local)


@DASK
def test_the_command_on_a_cluster(cluster: Any, local: Urls) -> None:
    source, target = (Path(url).as_uri() for url in local)
    arguments = ["--backend", "jpeg", "--effort", "0", "-q", "50", "--quiet"]
    assert main(["batch", source, target, "--cluster", cluster.scheduler_address, *arguments]) == 0
    whole(local)


class InPlaceOf:
    """The workers of a cluster, who do something else than they are asked."""

    def __init__(self, client: Any, task: Callable[[Shard], Any]) -> None:
        from dsncodec.batch.dask import executor

        self.real, self.task = executor(client), task

    def submit(self, asked: Any, shard: Shard) -> Any:
        return self.real.submit(self.task, shard)

    def shutdown(self, wait: bool = True) -> None:
        self.real.shutdown(wait)


@DASK
def test_a_cluster_worker_killed_in_the_middle(cluster: Any, local: Urls) -> None:
    from dsncodec.batch.dask import connected

    with connected(cluster.scheduler_address) as client:
        client.wait_for_workers(2)
        rows = Batch(*local, FAST).run(lambda: InPlaceOf(client, batch_tasks.slow), lambda: 4)  # type: ignore[arg-type, return-value]
        first = next(rows)
        victim = next(iter(client.run(os.getpid).values()))
        os.kill(victim, signal.SIGKILL)
        found = [first, *rows]
    assert sorted(row.picture for row in found) == sorted(NAMES)
    assert not any(row.error for row in found)
    for path in Path(local[1]).glob("worker-*"):
        path.unlink()
    whole(local)


@DASK
def test_a_picture_that_kills_cluster_workers_is_named(cluster: Any, local: Urls) -> None:
    from dsncodec.batch.dask import connected

    fill(local[0], ["killer.png"])
    with connected(cluster.scheduler_address) as client:
        client.wait_for_workers(1)
        rows = ran(local, start=lambda: InPlaceOf(client, batch_tasks.fatal))
    assert {name for name, row in rows.items() if row.error} == {"killer.png"}


@DASK
def test_a_cluster_of_threads_shares_memory_folders() -> None:
    distributed = pytest.importorskip("distributed")
    from dsncodec.batch.dask import connected, executor

    urls = (f"memory://test-{next(_unused)}/source", f"memory://test-{next(_unused)}/target")
    fill(urls[0], NAMES)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as one,
        connected(one.scheduler_address) as client,
    ):
        assert counts(ran(urls, start=lambda: executor(client))) == {"encoded": 5}
    whole(urls)


@DASK
def test_a_cluster_without_workers_ends_the_run(local: Urls, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    from dsncodec.batch.dask import connected, executor, watched

    monkeypatch.setattr(run, "LOOK_EVERY_S", 0.05)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as one,
        connected(one.scheduler_address) as client,
        pytest.raises(DsnError, match="no worker"),
    ):
        list(Batch(*local, FAST).run(lambda: executor(client), watched(client, patience_s=0.2)))


@DASK
def test_a_lost_scheduler_ends_the_run_in_one_line(
    local: Urls, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    distributed = pytest.importorskip("distributed")
    from dsncodec.batch.dask import connected, watched

    monkeypatch.setattr(run, "LOOK_EVERY_S", 0.05)
    one = distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0")
    with connected(one.scheduler_address) as client:
        client.wait_for_workers(1)
        look = watched(client)
        assert look() == 2
        one.close()
        with pytest.raises(DsnError, match="lost"):
            look()
    assert "Traceback" not in capfd.readouterr().err


def test_no_cluster_there(local: Urls, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("distributed")
    from dsncodec.batch import dask as cluster

    with (
        pytest.raises(DsnError, match="no Dask scheduler answers"),
        cluster.connected("tcp://127.0.0.1:9", timeout_s=0.5),
    ):
        pass
