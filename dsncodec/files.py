"""Files on this machine: pictures below a folder; outputs that appear whole or not at all, and never in the place of what
nobody has allowed to be replaced.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from .errors import SettingError

STDOUT = "-"
PARTIAL = ".dsncodec-"  # how the names of files begin that are being written
LEDGER = "written.sha256"  # in a folder that a command fills: what it wrote there, as sha256sum has it
# What a file system says that has no hard links
_NO_LINKS = frozenset(
    {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.EINVAL}
)


# What leads elsewhere in a name on Windows, or is a device there
_WINDOWS = re.compile(
    r'[\\:*?"<>|]|(?i:^|/)(con|prn|aux|nul|com\d|lpt\d)(\.[^/]*)?(/|$)|[. ](/|$)', re.IGNORECASE
)


def check_name(name: str, windows: bool = os.name == "nt") -> str:
    """A name of a file below a folder, its parts joined by /, as it is: one that leads nowhere else.

    Names come from listings: of object stores, archives, manifests, where anybody may have written them.

    Raises:
        SettingError: it is absolute, or has a part that is empty, "." or ".."; on Windows also: it has a backslash or names a
            drive or a device.

    >>> check_name("a/b.png")
    'a/b.png'
    """
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in name or (windows and _WINDOWS.search(name)):
        raise SettingError(f"{name!r} is no name of a file below a folder")
    return name


def suffix(name: str) -> str:
    """The suffix of a file's name in lower case, with its dot; "" for none.

    >>> suffix("a.b/Photo.PNG"), suffix("a.b/.png")
    ('.png', '')
    """
    stem, dot, end = name.rpartition("/")[2].rpartition(".")
    return f".{end.lower()}" if stem and dot else ""


def is_hidden(name: str) -> bool:
    """Whether a path, parts joined by /, goes through a hidden file or folder."""
    return any(part.startswith(".") for part in name.split("/"))


def find(root: str | Path, suffixes: frozenset[str]) -> list[Path]:
    """The files below a local folder that end so, sorted; what is hidden is left alone. Links to files are among them, links to
    folders are not followed."""
    return survey(root, suffixes)[0]


def survey(root: str | Path, suffixes: frozenset[str]) -> tuple[list[Path], list[Path]]:
    """The files below a local folder that end so, and all others, each sorted; what is hidden is left alone."""
    root = Path(root)
    visible = [
        path
        for path in root.rglob("*")
        if not is_hidden(path.relative_to(root).as_posix()) and path.is_file()
    ]
    taken = [path for path in visible if path.suffix.lower() in suffixes]
    return sorted(taken), sorted(set(visible) - set(taken))


def check_free(target: str, force: bool, source: str | None = None) -> None:
    """Refuse a target before any work is spent on it.

    Raises:
        OSError: it exists and ``force`` is not given, is a folder, or is the source itself.
    """
    both = source is not None and os.path.exists(source) and os.path.exists(target)
    if both and os.path.samefile(str(source), target):
        raise OSError(errno.EEXIST, "input and output are the same file")
    if os.path.isdir(target):
        raise IsADirectoryError(errno.EISDIR, f"cannot write {target}: it is a folder")
    if os.path.islink(target) and not os.path.exists(target) and not force:
        raise FileExistsError(
            errno.EEXIST, f"{target} is a link to what does not exist; --force writes there"
        )
    if os.path.isfile(target) and not force:
        raise FileExistsError(errno.EEXIST, f"{target} exists; --force overwrites it")


@contextlib.contextmanager
def replacing(target: str, force: bool) -> Iterator[Path]:
    """A path to write to. It becomes the target when the block ends well, and vanishes when not.

    It lies in the target's folder and has its suffix. Missing folders are made; a target that is
    no file at all, such as /dev/null, is written to directly. A file that replaces another has its mode and, where the system
    allows it, its owner and group; nobody else may read it meanwhile.

    Raises:
        OSError: as ``check_free``, also of a file that has appeared meanwhile.
    """
    check_free(target, force)
    path = Path(os.path.realpath(target))  # through a link, to what it points at
    if path.exists() and not path.is_file():
        yield path
        return
    partial = path.with_name(f"{PARTIAL}{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.stat() if force and path.is_file() else None
        partial.touch(0o666 if before is None else 0o600, exist_ok=False)
        yield partial
        if before is not None:
            _like(partial, before)
        if force:
            os.replace(partial, path)
        else:
            _place(partial, path)
    except _Taken as exc:
        raise FileExistsError(
            errno.EEXIST, f"{target} has appeared meanwhile; --force overwrites it"
        ) from exc
    except OSError as exc:
        raise OSError(exc.errno, f"cannot write {target}: {exc.strerror or exc}") from exc
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _like(path: Path, before: os.stat_result) -> None:
    """Give a file the owner, the group and the mode of the one that it replaces, as far as the system allows it."""
    now = path.stat()
    if hasattr(os, "chown") and (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        for owner in ((before.st_uid, before.st_gid), (-1, before.st_gid)):
            with contextlib.suppress(OSError):
                os.chown(path, *owner)
                break
    with contextlib.suppress(OSError):  # some file systems have no modes
        path.chmod(stat.S_IMODE(before.st_mode))


class _Taken(Exception):
    """Somebody was faster."""


def _place(partial: Path, path: Path) -> None:
    """Give a file its name, unless somebody has taken that by now: the file system decides, in one step."""
    try:
        if os.name == "nt":  # where renaming replaces nothing
            os.rename(partial, path)
            return
        try:
            os.link(partial, path)
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            # the name is ours from here on
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            os.replace(partial, path)
    except FileExistsError as exc:
        raise _Taken from exc


def is_partial(name: str) -> bool:
    """Whether a file's name is such as ``replacing`` gives to what it has not finished.

    >>> is_partial(".dsncodec-12ab34cd.dsn"), is_partial(".dsncodec-notes.txt")
    (True, False)
    """
    digits = name.removeprefix(PARTIAL).partition(".")[0]
    return name.startswith(PARTIAL) and len(digits) == 8 and set(digits) <= set("0123456789abcdef")


def write(target: str, data: bytes, force: bool) -> None:
    """Write a whole file, or to stdout."""
    if target == STDOUT:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    with replacing(target, force) as partial:
        partial.write_bytes(data)


def check_out(out: str | os.PathLike[str] | BinaryIO) -> None:
    """Look at where a result is to go, before any work is spent on it.

    Raises:
        SettingError: neither a path nor a binary file.
        OSError: the path is that of a folder.
    """
    if isinstance(out, (str, os.PathLike)):
        check_free(os.fspath(out), force=True)
    elif isinstance(out, io.TextIOBase) or not hasattr(out, "write"):
        raise SettingError(f"out must be a path or a binary file, not {type(out).__name__}")


def write_out(out: str | os.PathLike[str] | BinaryIO, data: bytes) -> None:
    """Write a result to a path, whose file it replaces, or to a file from where it stands."""
    if isinstance(out, (str, os.PathLike)):
        with replacing(os.fspath(out), force=True) as partial:
            partial.write_bytes(data)
        return
    left = memoryview(data)
    while left:  # an unbuffered file takes less than it is given
        count = out.write(left)
        left = left[len(left) if count is None else count :]


def write_parts(target: str, parts: Iterable[bytes], force: bool) -> None:
    """Write a file whose bytes come one part after the other."""
    if target == STDOUT:
        for part in parts:
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
        return
    with replacing(target, force) as partial, open(partial, "wb") as file:
        for part in parts:
            file.write(part)


class Written:
    """The files that a command has written into a folder, by their content: no others are replaced.

    The folder's ledger knows them from run to run. A content is in it before the file is in its place, so that a
    command which is killed in between knows its own.
    """

    def __init__(self, folder: str | os.PathLike[str], force: bool = False) -> None:
        """Args: force: replace whatever there is."""
        self.folder, self.force = Path(folder), force
        self._known: dict[str, set[str]] = {}
        ledger = self.folder / LEDGER
        with contextlib.suppress(FileNotFoundError):
            for line in ledger.read_text("utf-8", "surrogateescape").splitlines():
                digest, mark, name = line.partition("  ")
                if not mark or len(digest) != 64:
                    raise FileExistsError(errno.EEXIST, f"{ledger} is none that dsncodec writes: remove it")
                self._known.setdefault(name, set()).add(digest)

    def check(self, *names: str) -> None:
        """Raises FileExistsError: one of these files is there, and not as the command wrote it."""
        for name in names:
            path = self.folder / name
            if not self.force and path.is_file() and _digest(path) not in self._known.get(name, ()):
                raise FileExistsError(
                    errno.EEXIST,
                    f"{path} was not written by this command, or was changed since; --force replaces it",
                )

    @contextlib.contextmanager
    def replacing(self, name: str) -> Iterator[Path]:
        """As the function, of a file that is not there yet, or is as the command wrote it."""
        self.check(name)
        path = self.folder / name
        with replacing(str(path), self.force or path.is_file()) as partial:
            yield partial
            digest = _digest(partial)
            self._keep({**self._known, name: self._known.get(name, set()) | {digest}})
            self.check(name)
        self._keep({**self._known, name: {digest}})

    def _keep(self, known: dict[str, set[str]]) -> None:
        self._known = known
        lines = [f"{digest}  {name}\n" for name in sorted(known) for digest in sorted(known[name])]
        text = "".join(lines).encode("utf-8", "surrogateescape")
        write(str(self.folder / LEDGER), text, force=True)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
