"""What the system lends: how many CPUs there are, of an affinity and of the quotas of control groups, which containers set; memory."""

from __future__ import annotations

import math
import types
from pathlib import Path

import pytest

from dsncodec import processes
from dsncodec.processes import cpu_count, cpu_quota, thread_count

VERSION_2 = "0::{path}\n"
VERSION_1 = "4:memory:/box\n3:cpuset:/box\n1:cpu,cpuacct:{path}\n0::/\n"


def groups(tmp_path: Path, own: str, files: dict[str, str]) -> float:
    """The quota where control groups have these files, and the process is in these."""
    root = tmp_path / "cgroup"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    (tmp_path / "own").write_text(own, "utf-8")
    return cpu_quota(root, tmp_path / "own")


@pytest.mark.parametrize(
    ("own", "files", "quota"),
    [
        (VERSION_2.format(path="/"), {"cpu.max": "150000 100000\n"}, 1.5),
        (VERSION_2.format(path="/"), {"cpu.max": "max 100000\n"}, math.inf),
        (VERSION_2.format(path="/a/b"), {"a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000"}, 2),
        (VERSION_2.format(path="/a/b"), {"a/cpu.max": "400000 100000", "a/b/cpu.max": "50000 100000"}, 0.5),
        # the name is that of outside, the files are those of inside
        (VERSION_2.format(path="/docker/1f"), {"cpu.max": "300000 100000"}, 3),
        (VERSION_2.format(path="/../../x"), {"cpu.max": "300000 100000"}, 3),
        (
            VERSION_1.format(path="/box"),
            {"cpu/box/cpu.cfs_quota_us": "250000\n", "cpu/box/cpu.cfs_period_us": "100000\n"},
            2.5,
        ),
        (
            VERSION_1.format(path="/box"),
            {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "50000\n"},
            2,
        ),
        (
            VERSION_1.format(path="/box"),
            {"cpu/box/cpu.cfs_quota_us": "-1\n", "cpu/box/cpu.cfs_period_us": "100000\n"},
            math.inf,
        ),
        (VERSION_2.format(path="/"), {"cpu.max": "nonsense"}, math.inf),
        (VERSION_2.format(path="/"), {"cpu.max": "5 0"}, math.inf),
        ("", {"cpu.max": "1 1"}, math.inf),
        ("nonsense\n", {}, math.inf),
    ],
)
def test_a_quota(own: str, files: dict[str, str], quota: float, tmp_path: Path) -> None:
    assert groups(tmp_path, own, files) == quota


def test_no_control_groups(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "no", tmp_path / "absent") == math.inf


@pytest.mark.parametrize(("quota", "threads"), [(0.2, 1), (1.0, 1), (1.1, 2), (math.inf, 8), (20.0, 8)])
def test_threads_are_no_more_than_the_quota(
    quota: float, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(processes, "cpu_quota", lambda: quota)
    assert cpu_count() == thread_count(None) == thread_count(100) == threads
    assert thread_count(1) == 1


def test_memory_is_released_where_the_c_library_can(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    libraries = [types.SimpleNamespace(malloc_trim=asked.append), types.SimpleNamespace()]
    monkeypatch.setattr("ctypes.CDLL", lambda name: libraries.pop(0))
    processes.release_memory()
    processes.release_memory()
    assert asked == [0] and not libraries
