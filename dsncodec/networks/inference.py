"""Network file -> ONNX Runtime session, and the tiles that bound its memory.

The only importer of onnxruntime.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from .. import budget

FloatArray = NDArray[np.float32]
Window = tuple[slice, slice]  # rows, columns


class Network:
    """One ONNX file, ready to run. Safe to call from several threads at once."""

    def __init__(self, path: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.use_env_allocators", "1")
        _share_memory()
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._inputs = [node.name for node in self._session.get_inputs()]
        self._outputs = [node.name for node in self._session.get_outputs()]

    def __call__(self, *planes: FloatArray, output: int = 0) -> FloatArray:
        """Run on arrays of shape (C, H, W), in the order of the graph's inputs; one of its outputs, (C, H, W)."""
        budget.tick()
        feed = {name: value[None] for name, value in zip(self._inputs, planes, strict=True)}
        with _GATE:
            out: FloatArray = self._session.run([self._outputs[output]], feed)[0][0]
        return out


class _Gate:
    """Lets threads run networks until the interpreter ends.

    A daemon thread that comes back from ONNX Runtime while Python is being taken down ends the process by SIGABRT: so the end
    waits for those inside, and lets no more in.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside, self._open = 0, True
        atexit.register(self.shut)

    def __enter__(self) -> None:
        with self._changed:
            while not self._open:  # for as long as there is anything
                self._changed.wait()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def shut(self) -> None:
        """Wait until nobody is inside."""
        with self._changed:
            self._open = False
            while self._inside:
                self._changed.wait()


_GATE = _Gate()


@functools.cache
def _share_memory() -> None:
    """One pool of memory for all networks of the process: it grows to the largest need, not to the sum."""
    cpu = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    with contextlib.suppress(Exception):  # the program has registered one of its own, which serves as well
        onnxruntime.create_and_register_allocator(cpu, None)


@functools.lru_cache(maxsize=32)
def network(path: Path, threads: int) -> Network:
    """The network of a file, loaded once per process and thread count."""
    return Network(path, threads)


@dataclass(frozen=True)
class Tile:
    """A part of a plane, in the plane's own pixels.

    ``inner`` is what the tile is for, ``outer`` adds the halo and ends where the plane ends: there
    the network's own zero padding does what it does to the whole plane. ``crop`` is inner in outer.
    """

    inner: Window
    outer: Window
    crop: Window


def scaled(window: Window, factor: int) -> Window:
    """The same window on a plane ``factor`` times as large."""
    y, x = window
    return slice(y.start * factor, y.stop * factor), slice(x.start * factor, x.stop * factor)


def moved(window: Window, origin: Window) -> Window:
    """The same window, counted from the top left corner of ``origin``."""
    (y, x), (oy, ox) = window, origin
    return slice(y.start - oy.start, y.stop - oy.start), slice(x.start - ox.start, x.stop - ox.start)


def common(a: Window, b: Window) -> Window:
    """What two overlapping windows share."""
    (ay, ax), (by, bx) = a, b
    return (
        slice(max(ay.start, by.start), min(ay.stop, by.stop)),
        slice(max(ax.start, bx.start), min(ax.stop, bx.stop)),
    )


def grown(window: Window, halo: int, bounds: tuple[int, int]) -> Window:
    """``window`` with ``halo`` more pixels on each side, inside (rows, columns)."""
    y, x = window
    return (
        slice(max(0, y.start - halo), min(bounds[0], y.stop + halo)),
        slice(max(0, x.start - halo), min(bounds[1], x.stop + halo)),
    )


def tiles(window: Window, bounds: tuple[int, int], size: int, halo: int) -> Iterator[Tile]:
    """Cover ``window`` of a plane of ``bounds`` (rows, columns) by tiles of at most size x size.

    A network whose receptive radius is at most ``halo`` gives the same values tile by tile as over
    the whole plane. Tiles lie on one grid whatever the window is.
    """
    for top in range(window[0].start // size * size, window[0].stop, size):
        for left in range(window[1].start // size * size, window[1].stop, size):
            inner = (
                slice(max(top, window[0].start), min(top + size, window[0].stop)),
                slice(max(left, window[1].start), min(left + size, window[1].stop)),
            )
            outer = grown(inner, halo, bounds)
            yield Tile(inner, outer, moved(inner, outer))
