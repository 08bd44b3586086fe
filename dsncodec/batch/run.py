"""A folder of pictures to a folder of .dsn files, by many workers, some of which die.

``Batch`` finds what is to be done and cuts it into shards; ``encode_shard`` does one of them, in whatever process or
machine an executor runs it; rows of what was done come back, and stand in the target's manifest.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import functools
import hashlib
import json
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from .. import __version__, decoding, encoding, files, reading
from ..errors import DsnError, SettingError, heard, reason
from . import folders
from .folders import Folder, LocalFolder

MANIFEST = "manifest.jsonl"
PARTS = ".batch-"  # how the names of files begin that hold rows of shards until the manifest has them
LARGEST_SHARD = 8
LOOK_EVERY_S = 5.0  # at an executor that says nothing: it may have lost its workers
MAX_CRASHES = 3  # deaths without a single row: it is not the pictures
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
    warnings: list[str] = field(default_factory=list)  # what was lost on the way from the picture
    replaces: str = ""  # digest of an earlier output of the batch, which may still stand if this one does not
    unchanged: bool = False  # it had been done before; not in the manifest

    def as_json(self) -> str:
        """One line, without its end."""
        left_out = {"unchanged"} | {name for name in ("replaces", "warnings") if not getattr(self, name)}
        return json.dumps({name: value for name, value in asdict(self).items() if name not in left_out})

    @property
    def outputs(self) -> set[str]:
        """Digests of what the batch has written for this picture, or was about to."""
        return {self.output_sha256, self.replaces} - {""}


@dataclass(frozen=True)
class Task:
    """One picture to be looked at, and what is known of it from before."""

    picture: str
    output: str
    known: Row | None = None


@dataclass(frozen=True)
class Shard:
    """Some pictures, and all a worker must know: ``settings`` are keywords of ``dsncodec.encode``; with ``force`` all is
    done again, and whatever stands in an output's place is replaced."""

    source: str
    target: str
    settings: dict[str, Any]
    tasks: tuple[Task, ...]
    force: bool = False
    version: str = __version__


def encode_shard(shard: Shard) -> list[Row]:
    """Encode the pictures of a shard that are new, changed, or wanted with other settings.

    It depends on nothing but the shard and the two folders, and doing it again changes nothing: a file appears whole,
    with the same bytes, and a picture whose content, settings and output are as its row says is left alone. Rows are
    written before the outputs that they speak of: whoever finds an output after a kill can tell whose it is.

    Raises:
        OSError: the target has no room, or is read-only. All else that goes wrong is a picture's, in its row.
        SettingError: this worker's release is another than the one that made the shard.
    """
    if shard.version != __version__:
        raise SettingError(f"the worker has dsncodec {__version__}, the batch is of {shard.version}")
    source, target = folders.opened(shard.source), folders.opened(shard.target)
    owned = _Owned(target)
    coded = [_encoded(task, shard, source, target, owned) for task in shard.tasks]
    _tell(shard, target, [row for row, _ in coded])
    rows = [
        row if data is None else _placed(task, row, data, shard, target, owned)
        for task, (row, data) in zip(shard.tasks, coded)
    ]
    if rows != [row for row, _ in coded]:
        _tell(shard, target, rows)
    return rows


def _tell(shard: Shard, target: Folder, rows: list[Row]) -> None:
    """Write a shard's rows, in the place of those it has written before."""
    if fresh := [row for row in rows if not row.unchanged]:
        named = "\n".join(task.picture for task in shard.tasks).encode("utf-8", "surrogateescape")
        target.write(f"{PARTS}{_digest(named)[:16]}.jsonl", _lines(fresh))


class _Owned:
    """Which outputs the batch has written: as the rows say that the manifest has, or those of killed runs."""

    def __init__(self, target: Folder) -> None:
        self._target = target

    def has(self, task: Task, digest: str) -> bool:
        """Whether an output of a picture is one of them."""
        if task.known is not None and digest in task.known.outputs:
            return True
        return any(row.picture == task.picture and digest in row.outputs for row in self._rows)

    @functools.cached_property
    def _rows(self) -> list[Row]:
        """Of runs and workers that died before anybody had collected them."""
        return [row for name in self._target.files() if _is_part(name) for row in _parsed(self._target, name)]


def _encoded(
    task: Task, shard: Shard, source: Folder, target: Folder, owned: _Owned
) -> tuple[Row, bytes | None]:
    """A picture's row, and its output if that is to be written."""
    known = task.known
    row = Row(task.picture, task.output, manifest_settings(shard.settings))
    try:
        data = source.read(task.picture)
        row = replace(row, source_sha256=_digest(data), source_bytes=len(data))
        standing = _standing(target, task.output)
        if known is not None and not shard.force and _is_current(known, row, standing):
            return replace(known, output=task.output, unchanged=True), None
        if standing is not None and not shard.force and not owned.has(task, standing):
            return replace(row, error=_foreign(task.output), replaces=_last(known)), None
        with heard() as said:
            # what is kept is the file, and not what a program makes of it
            picture = data if shard.settings.get("keep") else reading.loaded(data)
            coded = encoding.encode(picture, **shard.settings)
            info = decoding.read_info(coded)
    except Exception as exc:  # whatever is wrong with one picture, the others go on
        if isinstance(exc, OSError) and exc.errno in _NO_ROOM:
            raise
        # what stands there may still be the batch's own
        return replace(row, error=reason(exc), replaces=_last(known)), None
    digest = _digest(coded)
    row = replace(
        row,
        output_sha256=digest,
        output_bytes=len(coded),
        width=info.width,
        height=info.height,
        warnings=list(dict.fromkeys(said)),
        replaces="" if standing in (None, digest) else standing,
    )
    return row, coded


def _placed(task: Task, row: Row, coded: bytes, shard: Shard, target: Folder, owned: _Owned) -> Row:
    """Write an output, unless its place has been taken meanwhile.

    Raises:
        OSError: the target has no room, or is read-only.
    """
    try:
        standing = _standing(target, row.output)
        if standing == row.output_sha256:
            return row
        if standing is None or shard.force or owned.has(task, standing):
            target.write(row.output, coded, force=standing is not None or shard.force)
            return row
        error = _foreign(row.output)
    except FileExistsError:
        error = _foreign(row.output)
    except Exception as exc:
        if isinstance(exc, OSError) and exc.errno in _NO_ROOM:
            raise
        error = reason(exc)
    return Row(
        row.picture,
        row.output,
        row.settings,
        source_sha256=row.source_sha256,
        source_bytes=row.source_bytes,
        error=error,
        replaces=row.replaces or _last(task.known),
    )


def _foreign(output: str) -> str:
    return f"{output} was not written by this batch, or was changed since: move it away, or give --force to replace it"


def _last(known: Row | None) -> str:
    """The digest of the output that a row says the batch wrote last."""
    return "" if known is None else known.output_sha256 or known.replaces


def _standing(target: Folder, output: str) -> str | None:
    """The digest of what stands in an output's place; None: nothing."""
    try:
        return _digest(target.read(output))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_current(known: Row, now: Row, standing: str | None) -> bool:
    """Whether a picture and its output are still what a row of an earlier run says."""
    same = (known.source_sha256, known.settings) == (now.source_sha256, now.settings)
    return same and not known.error and standing == known.output_sha256


def manifest_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
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
    """A source, a target, and the rows of what is done; ``others`` are the source's files that are taken for no pictures.

    One run at a time may write to a target: it removes what killed writers left behind. What stands in the place of
    an output is replaced if the batch wrote it, by the manifest's digests; else the picture has an error.
    """

    def __init__(
        self,
        source: str,
        target: str,
        settings: Mapping[str, Any],
        force: bool = False,
        follow_links: bool = False,
    ) -> None:
        """Look into both folders.

        Args:
            source, target: paths, ``file://``, or URLs that fsspec knows.
            settings: keywords of ``dsncodec.encode``.
            force: encode everything again, done or not, and replace what stands in an output's place.
            follow_links: encode what links in a local source point at, too; ``links`` are those that were left out.
        Raises:
            SettingError: no such folder, no picture in it, two pictures of one name, or a broken manifest.
        """
        self.source, self.target = folders.opened(source), folders.opened(target)
        self.settings, self.force = {"threads": 1, **settings}, force
        folders.check_source(self.source)
        self.links: set[str] = set()
        if isinstance(self.source, LocalFolder) and not follow_links:
            self.links = {
                name
                for name in self.source.links()
                if files.suffix(name) in reading.suffixes() and not files.is_hidden(name)
            }
        self._fresh: dict[str, Row] = {}
        rows = self._merge_manifest()
        self.tasks = [
            Task(picture, output, rows.get(picture)) for output, picture in self._outputs(rows).items()
        ]

    def _outputs(self, rows: Mapping[str, Row]) -> dict[str, str]:
        """Output -> picture. Of a.jpg and a.png each keeps its whole name, a.jpg.dsn; what was done before keeps the name it
        has.

        Raises:
            SettingError: no picture at all, or two of one name nevertheless.
        """
        found: list[str] = []
        self.others: list[str] = []
        pictures = reading.suffixes()
        for name in self.source.files():
            if files.is_hidden(name) or name in self.links:
                continue
            if files.suffix(name) not in pictures:
                self.others.append(name)
                continue
            found.append(name)
        if not found:
            raise SettingError(f"no pictures in {self.source.url}")
        usual = {name: name[: -len(files.suffix(name))] + ".dsn" for name in found}
        count = Counter(usual.values())
        outputs: dict[str, str] = {}
        for name in found:
            fresh = usual[name] if count[usual[name]] == 1 else name + ".dsn"
            # a manifest is data: of what it says only the other name of the two is believed
            known = rows[name].output if name in rows else fresh
            output = known if known in (usual[name], name + ".dsn") else fresh
            if output in outputs:
                raise SettingError(f"{outputs[output]} and {name} would both become {output}")
            outputs[output] = name
        return outputs

    def run(self, start: Callable[[], Executor], capacity: Callable[[], int]) -> Iterator[Row]:
        """Do what is not done, and yield each picture's row as it comes; afterwards the manifest has them all.

        Args:
            start: gives an executor; called again when that one is broken.
            capacity: how many shards it shall have at hand; asked from time to time, it raises DsnError where nobody is left
                to do them.
        Raises:
            OSError: the target has no room, or is read-only.
            DsnError: the executor gave up. Whatever was done by then is kept, and not done again.
        """
        size = max(1, min(LARGEST_SHARD, len(self.tasks) // (4 * max(1, capacity()))))
        parts = (tuple(self.tasks[at : at + size]) for at in range(0, len(self.tasks), size))
        shards = [Shard(self.source.url, self.target.url, self.settings, part, self.force) for part in parts]
        try:
            for row in _rows_of(shards, start, capacity):
                self._fresh[row.picture] = replace(row, unchanged=False)
                yield row
        except BaseException:
            with contextlib.suppress(Exception):  # what the workers have written down will do
                self._merge_manifest()
            raise
        self._merge_manifest()

    def _merge_manifest(self) -> dict[str, Row]:
        """Put into one manifest what it says, then what workers have written beside it, and then what this run has seen."""
        names = folders.swept(self.target)
        parts = [name for name in names if _is_part(name)]
        stored: dict[str, Row] = {}
        for name in ([MANIFEST] if MANIFEST in names else []) + parts:
            for row in _parsed(self.target, name):
                stored[row.picture] = _later(stored.get(row.picture), row)
        rows = stored | self._fresh
        if rows != stored or parts:
            self.target.write(MANIFEST, _lines(rows[name] for name in sorted(rows)))
        for name in parts:
            self.target.remove(name)
        return rows


def _is_part(name: str) -> bool:
    """Whether a file holds rows of a shard."""
    digits = name.removeprefix(PARTS).removesuffix(".jsonl")
    return name == f"{PARTS}{digits}.jsonl" and len(digits) == 16 and set(digits) <= set("0123456789abcdef")


def _later(one: Row | None, other: Row) -> Row:
    """The later one of two rows of a picture, as far as they tell; the second, where they do not."""
    earlier = one is not None and one.replaces and one.replaces == other.output_sha256
    return one if earlier and one is not None else other


def _parsed(folder: Folder, name: str) -> list[Row]:
    """The rows of a manifest: data of whoever can write there, so that each field is looked at.

    Raises:
        SettingError: it is none.
    """
    try:
        return [_row(json.loads(line)) for line in folder.read(name).splitlines()]
    except (ValueError, TypeError, AttributeError, RecursionError, OSError) as exc:
        raise SettingError(f"{folder.url}/{name} cannot be read ({exc}): remove it") from exc


_KINDS: dict[str, type] = {"str": str, "int": int, "bool": bool, "list[str]": list, "dict[str, Any]": dict}


def _row(line: dict[str, Any]) -> Row:
    """One row, without what this release does not know.

    Raises:
        TypeError: a field is missing or of another kind.
    """
    known: dict[str, Any] = {}
    for one in fields(Row):
        if one.name in line:
            value, kind = line[one.name], _KINDS[str(one.type)]
            if type(value) is not kind:
                raise TypeError(f"{one.name} is {value!r:.40}, not of type {kind.__name__}")
            known[one.name] = value
    return Row(**known)


# --- shards to workers, and what becomes of those whose worker dies


def _rows_of(
    shards: Iterable[Shard], start: Callable[[], Executor], capacity: Callable[[], int]
) -> Iterator[Row]:
    """The rows of all shards.

    A worker that dies takes the shards with it that it, or its whole pool, had at hand. Their pictures are
    quarantined: they are done one by one at the end, with nothing else at hand, so that a death has one cause. Whose
    worker dies then is given up, by name.

    Raises:
        DsnError: no worker has done anything, and some have died.
    """
    waiting, quarantined = deque(shards), deque[Shard]()
    running: dict[Future[list[Row]], Shard] = {}
    executor, served, lost = start(), False, 0
    try:
        while waiting or running or quarantined:
            alone = not waiting and not running
            broken = not _submit(
                executor, quarantined if alone else waiting, running, 1 if alone else capacity()
            )
            done = _some_done(running, broken, capacity)
            for future in done:
                shard, fault = running.pop(future), _fault(future)
                if fault is None:
                    served = True
                    yield from future.result()
                    continue
                broken = broken or isinstance(fault, BrokenExecutor)
                if alone:
                    lost += 1
                    if lost >= MAX_CRASHES and not served:
                        raise DsnError(f"no worker lives long enough to do anything: {reason(fault)}")
                    yield from _given_up(shard, fault)
                else:
                    quarantined += [replace(shard, tasks=(task,)) for task in shard.tasks]
            if broken and not running:
                executor.shutdown()
                executor = start()
    except BaseException as exc:
        for future in running:
            future.cancel()
        # after an error of ours there may be nobody to wait for
        executor.shutdown(wait=not isinstance(exc, DsnError))
        raise
    executor.shutdown()


def _some_done(
    running: Collection[Future[list[Row]]], broken: bool, capacity: Callable[[], int]
) -> set[Future[list[Row]]]:
    """Wait for the first of what is running, or for all of a broken executor.

    Raises:
        DsnError: nobody is left to do them, as ``capacity`` says.
    """
    when = concurrent.futures.ALL_COMPLETED if broken else concurrent.futures.FIRST_COMPLETED
    while True:
        done = concurrent.futures.wait(running, timeout=LOOK_EVERY_S, return_when=when).done
        if done or not running:
            return done
        capacity()


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
        yield Row(
            task.picture,
            task.output,
            manifest_settings(shard.settings),
            error=error,
            replaces=_last(task.known),
        )
