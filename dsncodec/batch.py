"""A folder of pictures to a folder of .dsn files, by many workers, some of which die.

``Batch`` finds what is to be done and cuts it into shards; ``encode_shard`` does one of them, in whatever process or
machine an executor runs it; rows of what was done come back, and stand in the target's manifest.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import hashlib
import io
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from . import __version__, api, folders, planes
from .errors import DsnError, SettingError, reason
from .folders import PICTURES, Folder

MANIFEST = "manifest.jsonl"
PARTS = ".batch-"  # how the names of files begin that hold rows of shards until the manifest has them
LARGEST_SHARD = 8
HOPELESS = 3  # deaths without a single row: it is not the pictures
_DIED = "its worker died, also with nothing else at hand: perhaps for want of memory"
_NO_ROOM = frozenset(
    {errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}
)  # for no other picture either


@dataclass(frozen=True)
class Row:
    """What became of one picture: a line of the manifest. ``error`` says why there is no output."""

    picture: str  # below the source; parts joined by /
    output: str  # below the target
    settings: dict[str, Any] = field(default_factory=dict)  # of encode, apart from those that change no byte
    version: str = __version__
    source_sha256: str = ""
    source_bytes: int = 0
    output_sha256: str = ""
    output_bytes: int = 0
    width: int = 0
    height: int = 0
    error: str = ""
    unchanged: bool = False  # it had been done before; not in the manifest

    def as_json(self) -> str:
        """One line, without its end."""
        return json.dumps({name: value for name, value in asdict(self).items() if name != "unchanged"})


@dataclass(frozen=True)
class Task:
    """One picture to be looked at, and what is known of it from before."""

    picture: str
    output: str
    known: Row | None = None


@dataclass(frozen=True)
class Shard:
    """Some pictures, and all a worker must know: ``settings`` are keywords of ``dsncodec.encode``."""

    source: str
    target: str
    settings: dict[str, Any]
    tasks: tuple[Task, ...]
    version: str = __version__


def encode_shard(shard: Shard) -> list[Row]:
    """Encode the pictures of a shard that are new, changed, or wanted with other settings.

    It depends on nothing but the shard and the two folders, and doing it again changes nothing: a file appears whole,
    with the same bytes, and a picture whose content, settings and output are as its row says is left alone.

    Raises:
        OSError: the target has no room, or is read-only. All else that goes wrong is a picture's, in its row.
        SettingError: this worker's release is another than the one that made the shard.
    """
    if shard.version != __version__:
        raise SettingError(f"the worker has dsncodec {__version__}, the batch is of {shard.version}")
    source, target = folders.opened(shard.source), folders.opened(shard.target)
    rows = [_encoded(task, shard.settings, source, target) for task in shard.tasks]
    if fresh := [row for row in rows if not row.unchanged]:
        lines = _lines(fresh)
        target.write(f"{PARTS}{hashlib.sha256(lines).hexdigest()[:16]}.jsonl", lines)
    return rows


def _encoded(task: Task, settings: dict[str, Any], source: Folder, target: Folder) -> Row:
    row = Row(task.picture, task.output, said(settings))
    try:
        data = source.read(task.picture)
        row = replace(row, source_sha256=_digest(data), source_bytes=len(data))
        if task.known is not None and _stands(task.known, row, target):
            return replace(task.known, unchanged=True)
        image = planes.loaded(io.BytesIO(data))
        coded = api.encode(image, **settings)
        target.write(task.output, coded)
    except Exception as exc:  # whatever is wrong with one picture, the others go on
        if isinstance(exc, OSError) and exc.errno in _NO_ROOM:
            raise
        return replace(row, error=reason(exc))
    return replace(
        row, output_sha256=_digest(coded), output_bytes=len(coded), width=image.width, height=image.height
    )


def _stands(known: Row, now: Row, target: Folder) -> bool:
    """Whether a picture and its output are still what a row of an earlier run says."""
    if known.error or (known.source_sha256, known.settings) != (now.source_sha256, now.settings):
        return False
    try:
        return _digest(target.read(known.output)) == known.output_sha256
    except OSError:
        return False


def said(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as the manifest has them: those that are given and that change the bytes, metadata in hexadecimal."""
    return {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in sorted(settings.items())
        if value is not None and name != "threads"
    }


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _lines(rows: Iterable[Row]) -> bytes:
    return "".join(f"{row.as_json()}\n" for row in rows).encode("ascii")


class Batch:
    """A source, a target, and the rows of what is done.

    One run at a time may write to a target: it removes what killed writers left behind. What stands in the place of
    an output is replaced.
    """

    def __init__(self, source: str, target: str, settings: Mapping[str, Any], force: bool = False) -> None:
        """Look into both folders.

        Args:
            source, target: paths, ``file://``, or URLs that fsspec knows.
            settings: keywords of ``dsncodec.encode``.
            force: encode everything again, done or not.
        Raises:
            SettingError: no such folder, no picture in it, two pictures of one name, or a broken manifest.
        """
        self.source, self.target = folders.opened(source), folders.opened(target)
        self.settings = {"threads": 1, **settings}
        folders.check_source(self.source)
        self._rows: dict[str, Row] = {}
        self._settle()
        self.tasks = [
            Task(picture, output, None if force else self._rows.get(picture))
            for output, picture in self._outputs().items()
        ]

    def _outputs(self) -> dict[str, str]:
        """Output -> picture."""
        found: dict[str, str] = {}
        for name in self.source.files():
            if folders.suffix(name) not in PICTURES or folders.is_hidden(name):
                continue
            output = name[: -len(folders.suffix(name))] + ".dsn"
            if output in found:
                raise SettingError(f"{found[output]} and {name} would both become {output}")
            found[output] = name
        if not found:
            raise SettingError(f"no pictures in {self.source.url}")
        return found

    def run(self, start: Callable[[], Executor], capacity: Callable[[], int]) -> Iterator[Row]:
        """Do what is not done, and yield each picture's row as it comes; afterwards the manifest has them all.

        Args:
            start: gives an executor; called again when that one is broken.
            capacity: how many shards it shall have at hand.
        Raises:
            OSError: the target has no room, or is read-only.
            DsnError: the executor gave up. Whatever was done by then is kept, and not done again.
        """
        size = max(1, min(LARGEST_SHARD, len(self.tasks) // (4 * max(1, capacity()))))
        parts = (tuple(self.tasks[at : at + size]) for at in range(0, len(self.tasks), size))
        shards = [Shard(self.source.url, self.target.url, self.settings, part) for part in parts]
        try:
            for row in _rows_of(shards, start, capacity):
                self._rows[row.picture] = replace(row, unchanged=False)
                yield row
        except BaseException:
            with contextlib.suppress(Exception):  # what the workers have written down will do
                self._settle()
            raise
        self._settle()

    def _settle(self) -> None:
        """Read the rows of the target, and put them into one manifest together with ours."""
        names = folders.swept(self.target)
        parts = [name for name in names if name.startswith(PARTS) and name.endswith(".jsonl")]
        stored: dict[str, Row] = {}
        for name in ([MANIFEST] if MANIFEST in names else []) + parts:
            stored |= {row.picture: row for row in _parsed(self.target, name)}
        self._rows = stored | self._rows
        if self._rows != stored or parts:
            self.target.write(MANIFEST, _lines(self._rows[name] for name in sorted(self._rows)))
        for name in parts:
            self.target.remove(name)


def _parsed(folder: Folder, name: str) -> list[Row]:
    known = {one.name for one in fields(Row)}
    try:
        lines = [json.loads(line) for line in folder.read(name).splitlines()]
        return [Row(**{key: value for key, value in line.items() if key in known}) for line in lines]
    except (ValueError, TypeError, AttributeError) as exc:
        raise SettingError(f"{folder.url}/{name} cannot be read ({exc}): remove it") from exc


# --- shards to workers, and what becomes of those whose worker dies


def _rows_of(
    shards: Iterable[Shard], start: Callable[[], Executor], capacity: Callable[[], int]
) -> Iterator[Row]:
    """The rows of all shards.

    A worker that dies takes the shards with it that it, or its whole pool, had at hand. Their pictures are
    suspects: they are done one by one at the end, with nothing else at hand, so that a death has one cause. Whose
    worker dies then is given up, by name.

    Raises:
        DsnError: no worker has done anything, and some have died.
    """
    waiting, suspects = deque(shards), deque[Shard]()
    running: dict[Future[list[Row]], Shard] = {}
    executor, served, lost = start(), False, 0
    try:
        while waiting or running or suspects:
            alone = not waiting and not running
            broken = not _submit(
                executor, suspects if alone else waiting, running, 1 if alone else capacity()
            )
            done = concurrent.futures.wait(
                running, return_when=concurrent.futures.ALL_COMPLETED if broken else concurrent.futures.FIRST_COMPLETED
            ).done  # fmt: skip
            for future in done:
                shard, fault = running.pop(future), _fault(future)
                if fault is None:
                    served = True
                    yield from future.result()
                    continue
                broken = broken or isinstance(fault, BrokenExecutor)
                if alone:
                    lost += 1
                    if lost >= HOPELESS and not served:
                        raise DsnError(f"no worker lives long enough to do anything: {reason(fault)}")
                    yield from _given_up(shard, fault)
                else:
                    suspects += [replace(shard, tasks=(task,)) for task in shard.tasks]
            if broken and not running:
                executor.shutdown()
                executor = start()
    finally:
        for future in running:
            future.cancel()
        executor.shutdown()


def _submit(
    executor: Executor, queue: deque[Shard], running: dict[Future[list[Row]], Shard], capacity: int
) -> bool:
    """Move shards from the queue to the executor; False if it is broken."""
    while queue and len(running) < max(1, capacity):
        try:
            running[executor.submit(encode_shard, queue[0])] = queue[0]
        except BrokenExecutor:
            return False
        queue.popleft()
    return True


def _fault(future: Future[list[Row]]) -> BaseException | None:
    """Why a worker gave no rows.

    Raises:
        OSError: the target has no room.
        DsnError: the executor has lost all its work.
    """
    try:
        fault = future.exception()
    except CancelledError as exc:
        raise DsnError("the workers gave up: the same command goes on from here") from exc
    if isinstance(fault, OSError) and fault.errno in _NO_ROOM:
        raise fault
    return fault


def _given_up(shard: Shard, fault: BaseException) -> Iterator[Row]:
    error = _DIED if isinstance(fault, BrokenExecutor) else reason(fault)
    for task in shard.tasks:
        yield Row(task.picture, task.output, said(shard.settings), error=error)
