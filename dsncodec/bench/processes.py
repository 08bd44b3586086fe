"""Tasks in processes: a task that crashes, hangs or eats memory costs its own results only."""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

# To start a process also asks whether others of this program have ended, and an end can be read once only: so one thread
# at a time starts a process or learns how one ended.
_PROCESSES = threading.Lock()

# results may be whole pictures: so many wait for a slow caller, and then the processes do
WAITING = 4


@dataclass(frozen=True)
class Event:
    """A task's news. ``kind`` is "result", "done", or "failed" with the reason as ``value``."""

    task: Any
    kind: str
    value: Any = None

    @property
    def is_last(self) -> bool:
        """A task has one last event."""
        return self.kind != "result"


def run(
    produce: Callable[[Any], Iterator[Any]], tasks: Sequence[Any], jobs: int, timeout_s: float
) -> Iterator[Event]:
    """Run each task in a fresh process, ``jobs`` at a time; its events as they come.

    Args:
        produce: a module's function of one task; what it yields are the results.
        timeout_s: the longest wait for a result, after which the process is ended.
    """
    events: queue.Queue[Event] = queue.Queue(WAITING)
    stop, lock, waiting = threading.Event(), threading.Lock(), iter(tasks)

    def work() -> None:
        while not stop.is_set():
            with lock:
                task = next(waiting, None)
            if task is None:
                return
            for event in _events_of(produce, task, timeout_s, stop):
                events.put(event)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(jobs, len(tasks)))]
    for thread in threads:
        thread.start()
    try:
        remaining = len(tasks)
        while remaining:
            event = events.get()
            remaining -= event.is_last
            yield event
    finally:  # the caller may have had enough
        stop.set()
        while any(thread.is_alive() for thread in threads):
            with contextlib.suppress(queue.Empty):
                events.get(timeout=0.02)


def _events_of(
    produce: Callable[[Any], Iterator[Any]], task: Any, timeout_s: float, stop: threading.Event
) -> Iterator[Event]:
    context = _context()
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, produce, task), daemon=True)
    try:
        with _PROCESSES:
            process.start()
        theirs.close()
        while True:
            try:
                kind, value = _received(ours, timeout_s, stop)
            except EOFError:
                kind, value = "failed", f"its process died ({_death(_ended(process))})"
            except TimeoutError as exc:
                kind, value = "failed", str(exc)
            event = Event(task, kind, value)
            yield event
            if event.is_last:
                return
    except OSError as exc:  # no process, no pipe
        yield Event(task, "failed", f"cannot be started: {exc}")
    finally:
        ours.close()
        if process.pid is not None:
            process.kill()
            _ended(process)
        process.close()


def _received(connection: Connection, timeout_s: float, stop: threading.Event) -> Any:
    """What the child sends next.

    Raises:
        EOFError: it is gone.
        TimeoutError: it sent nothing, or nobody wants it any more.
    """
    end = time.monotonic() + timeout_s
    while not connection.poll(0.2):
        if stop.is_set():
            raise TimeoutError("interrupted")
        if time.monotonic() > end:
            raise TimeoutError(f"no result for {timeout_s:g} seconds")
    return connection.recv()


def _ended(process: Any) -> int | None:
    """The exit code, once there is one."""
    wait([process.sentinel])
    with _PROCESSES:
        process.join()
        return process.exitcode


def _death(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"


def _child(connection: Connection, produce: Callable[[Any], Iterator[Any]], task: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the parent, which ends us
    try:
        for result in produce(task):
            connection.send(("result", result))
        connection.send(("done", None))
    except BrokenPipeError:  # the parent is gone
        pass
    except Exception as exc:  # whatever a codec raises becomes a line in the report
        lines = str(exc).splitlines() or [""]
        connection.send(("failed", f"{type(exc).__name__}: {lines[0]}"))


def _context() -> Any:
    """Processes that start clean, and quickly where the system can fork them from a prepared one."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dsncodec.bench.measure"])
    return context
