"""Outputs that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

STDOUT = "-"
PARTIAL = ".dsncodec-"  # how the names of files begin that are being written


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
    if os.path.isfile(target) and not force:
        raise FileExistsError(errno.EEXIST, f"{target} exists; --force overwrites it")


@contextlib.contextmanager
def replacing(target: str, force: bool) -> Iterator[Path]:
    """A path to write to. It becomes the target when the block ends well, and vanishes when not.

    It lies in the target's folder and has its suffix. Missing folders are made; a target that is
    no file at all, such as /dev/null, is written to directly.
    """
    check_free(target, force)
    path = Path(os.path.realpath(target))  # through a link, to what it points at
    if path.exists() and not path.is_file():
        yield path
        return
    partial = path.with_name(f"{PARTIAL}{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch(exist_ok=False)
        yield partial
        os.replace(partial, path)
    except OSError as exc:
        raise OSError(exc.errno, f"cannot write {target}: {exc.strerror or exc}") from exc
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write(target: str, data: bytes, force: bool) -> None:
    """Write a whole file, or to stdout."""
    if target == STDOUT:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    with replacing(target, force) as partial:
        partial.write_bytes(data)


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
