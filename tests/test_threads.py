"""Several threads at once: the same bytes and pixels as one, no more threads than asked for, an interpreter that goes on."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

import dsncodec
import dsncodec.pillow_plugin
from dsncodec import processes
from dsncodec.carriers.lossy import jpeg
from dsncodec.networks import registry
from dsncodec.networks.inference import Network

from .conftest import METHODS, picture
from .fuzz import campaigns

SETTINGS = [
    {"base": "avif", "effort": 3},
    {"base": "jpeg", "quality": 90},
    {"method": "dsn", "scale": 2, "entropy_coder": "auto", "effort": 2},
    {"method": "dsn", "scale": 3, "entropy_coder": "lzma2", "effort": 4},
    {"method": "dsn", "scale": 4, "entropy_coder": "j2k", "effort": 0},
]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def encoded_by_pillow(image: Image.Image, settings: dict[str, object]) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "DSN", threads=1, **settings)
    return buffer.getvalue()


def decoded_by_pillow(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        return image.tobytes()


def test_eight_threads_give_what_one_gives() -> None:
    """All methods, pictures of several modes, through the API and through Pillow."""
    jobs = [
        (picture(mode, 50 + 9 * i, 40 + 7 * i, seed=i), settings)
        for i, mode in enumerate(("RGB", "LA"))
        for settings in SETTINGS
    ]

    def trip(job: tuple[Image.Image, dict[str, object]]) -> list[bytes]:
        image, settings = job
        data = dsncodec.encode(image, threads=1, **settings)  # type: ignore[arg-type]
        full, part = dsncodec.decode(data, threads=1), dsncodec.decode(data, region=(3, 5, 40, 30), threads=1)
        small = dsncodec.decode(data, preview=True)
        by_pillow = encoded_by_pillow(image, settings)
        return [
            data,
            full.tobytes(),
            part.tobytes(),
            small.tobytes(),
            by_pillow,
            decoded_by_pillow(by_pillow),
        ]

    alone = [trip(job) for job in jobs]
    barrier = threading.Barrier(8)

    def the_rest(start: int) -> list[list[bytes]]:
        barrier.wait()
        return [trip(job) for job in jobs[start:]]

    with ThreadPoolExecutor(8) as pool:
        for start, together in enumerate(pool.map(the_rest, range(8))):
            assert together == alone[start:]


def test_the_buffer_for_jpeg_is_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise that outgrows Pillow's guess, and flat pictures beside it: each file whole, the setting as it was."""
    rng = np.random.default_rng(0)
    noise = 255 * rng.integers(0, 2, (300, 300, 3), np.uint8)
    flat = np.zeros((8, 8, 3), np.uint8)
    before = ImageFile.MAXBLOCK
    alone = [jpeg.encode(colour, 94, 5, 1) for colour in (noise, flat)]
    assert len(alone[0]) > noise.shape[0] * noise.shape[1]  # Pillow's guess
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda i: jpeg.encode((noise, flat)[i % 2], 94, 5, 1), range(40))
        assert [*found] == alone * 20
    assert before == ImageFile.MAXBLOCK


# --- threads= is obeyed

_COUNT = """
import json, os, sys
import numpy as np
import dsncodec
from PIL import Image

image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8))
settings = json.loads(sys.argv[1])
dsncodec.decode(dsncodec.encode(np.zeros((1, 1), np.uint8), entropy_coder="lzma2", scale=2, threads=1), preview=True)
import dsncodec.networks.inference

# numba brings SciPy, whose BLAS may start threads of its own when it is loaded
dsncodec.metrics.ssimulacra2(np.zeros((16, 16, 3), np.uint8), np.ones((16, 16, 3), np.uint8))
before = len(os.listdir("/proc/self/task"))
data = dsncodec.encode(image, threads=1, **settings)
dsncodec.decode(data, threads=1)
print(len(os.listdir("/proc/self/task")) - before)
"""


@LINUX
@pytest.mark.parametrize("settings", [{"method": "dsn", "scale": 2}, {"base": "jpeg"}], ids=METHODS)
def test_one_thread_is_one_thread(settings: dict[str, object]) -> None:
    """A process that codes with ``threads=1`` has not one thread more than before."""
    command = [sys.executable, "-c", _COUNT, json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) == 0


_SESSION = """
import os, sys
from pathlib import Path
from dsncodec.networks.inference import Network

before = len(os.listdir("/proc/self/task"))
network = Network(Path(sys.argv[1]), int(sys.argv[2]))
print(len(os.listdir("/proc/self/task")) - before)
"""


@LINUX
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_network_has_the_threads_it_is_given(threads: int) -> None:
    """The one that calls, and the others of the runtime."""
    path = registry.checked_path(registry.for_scale(2), "up")
    done = subprocess.run(
        [sys.executable, "-c", _SESSION, str(path), str(threads)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == threads - 1


# --- the interpreter goes on


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_other_threads_run_meanwhile(settings: dict[str, object]) -> None:
    """A thread counts while another codes. With the interpreter's lock held all along it would count to one or two."""
    image = picture("RGB", 500, 400)
    ticks = 0
    stop = threading.Event()

    def count() -> None:
        nonlocal ticks
        while not stop.wait(0.001):
            ticks += 1

    def ticked(call: Callable[[], object]) -> int:
        before = ticks
        call()
        return ticks - before

    data = dsncodec.encode(image, threads=1, **settings)  # type: ignore[arg-type]
    counter = threading.Thread(target=count)
    counter.start()
    try:
        assert ticked(lambda: dsncodec.encode(image, threads=1, **settings)) > 5  # type: ignore[arg-type]
        assert ticked(lambda: dsncodec.decode(data, threads=1)) > 5
    finally:
        stop.set()
        counter.join()


def test_a_network_called_by_many_threads_is_one_network() -> None:
    path = registry.checked_path(registry.for_scale(3), "up")
    net = Network(path, 1)
    rng = np.random.default_rng(0)
    planes = [rng.random((1, 20 + i, 30), np.float32) for i in range(8)]
    alone = [net(plane).tobytes() for plane in planes]
    with ThreadPoolExecutor(8) as pool:
        assert [out.tobytes() for out in pool.map(net, planes * 5)] == alone * 5


# --- what threads means, and what becomes of them

DAEMON = """
import sys, threading, time
import dsncodec
data = open(sys.argv[1], "rb").read()
started = threading.Event()
def work():
    while True:
        dsncodec.decode(data, threads=1)
        started.set()
threading.Thread(target=work, daemon=True).start()
started.wait(300)
"""


@pytest.mark.slow
def test_a_daemon_thread_in_a_network_does_not_abort_the_process(tmp_path: Path) -> None:
    """The interpreter ends while ONNX Runtime works: its thread is not brought back into what is no more."""
    path = tmp_path / "a.dsn"
    path.write_bytes(dsncodec.encode(picture("RGB", 300, 300), "dsn", scale=2, effort=0))
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", DAEMON, str(path)], capture_output=True, text=True, timeout=600
        )
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("method", ["coconet", "latentgrid"])
@pytest.mark.parametrize(("threads", "used"), [(None, 3), (1, 1), (2, 2), (5000, 3)])
def test_threads_are_at_most_the_cpus(
    method: str, threads: int | None, used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And by default just those, whatever the method."""
    name = f"dsncodec.methods.{method}.bitstream"
    module = importlib.import_module(name)
    seen = []
    each = module.each
    monkeypatch.setattr(processes, "cpu_count", lambda: 3)
    monkeypatch.setattr(
        module, "each", lambda do, items, threads: (seen.append(threads), each(do, items, threads))[1]
    )
    variant = {"coconet": "sine", "latentgrid": "plain"}[method]
    dsncodec.decode(campaigns.small_file(method, variant, "RGB"), threads=threads)
    assert set(seen) == {used}
