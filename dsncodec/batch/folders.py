"""Folders of files, on this machine or behind a URL: what lies below them, and files that are whole or not there."""

from __future__ import annotations

import errno
import os
import stat
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Protocol

from .. import extras
from ..errors import SettingError
from ..files import check_name, is_partial, replacing


class Folder(Protocol):
    """A place of files. A name is a path below it, its parts joined by /; one that would lead elsewhere is a SettingError."""

    url: str

    def files(self) -> list[str]:
        """The names of all files, sorted; none where there is no folder yet."""

    def read(self, name: str) -> bytes:
        """A whole file."""

    def write(self, name: str, data: bytes, force: bool = True) -> None:
        """A whole file; nobody ever sees a part of it.

        Args:
            force: it replaces what may be there.
        Raises:
            FileExistsError: without ``force``, something is there.
        """

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""


class LocalFolder:
    """A folder that the file system shows."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        self.url = str(self.path)

    def files(self) -> list[str]:
        return sorted(p.relative_to(self.path).as_posix() for p in self.path.rglob("*") if p.is_file())

    def links(self) -> set[str]:
        """The names among them that are links."""
        return {name for name in self.files() if (self.path / name).is_symlink()}

    def read(self, name: str) -> bytes:
        path = self._path(name)
        # a pipe would be waited for, and a device has no end
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return path.read_bytes()

    def write(self, name: str, data: bytes, force: bool = True) -> None:
        path = self._path(name)
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise SettingError(f"{name!r} leads out of {self.url} by a link")
        with replacing(str(path), force) as partial:
            partial.write_bytes(data)

    def remove(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.path / check_name(name)


def opened(url: str) -> Folder:
    """The folder of a path, of ``file://``, or of any URL that fsspec knows.

    Raises:
        SettingError: nobody knows such URLs.
        MissingComponent: the package that knows them is not installed.
    """
    kind, mark, _ = url.partition("://")
    if not mark:
        return LocalFolder(url)
    if kind == "file":
        return LocalFolder(urllib.request.url2pathname(urllib.parse.urlsplit(url).path))
    folder: Folder = extras.load("dsncodec.batch.remote").RemoteFolder(url)
    return folder


def swept(folder: Folder) -> list[str]:
    """The names of all files, after what killed writers left behind is removed; nobody may be writing."""
    names = folder.files()
    partial = {name for name in names if is_partial(name.rpartition("/")[2])}
    for name in partial:
        folder.remove(name)
    return [name for name in names if name not in partial]


def check_source(folder: Folder) -> None:
    """Raises SettingError where a local folder is missing, which ``files`` takes for an empty one."""
    if isinstance(folder, LocalFolder) and not folder.path.is_dir():
        raise SettingError(f"no such folder: {folder.url}")
