"""Folders behind a URL, through fsspec. Needs the extra [batch], and for most kinds a package of the kind's own."""

from __future__ import annotations

import errno
import secrets

import fsspec

from ..errors import MissingComponent, SettingError
from ..files import PARTIAL, check_name, suffix


class RemoteFolder:
    """A folder of any file system that fsspec knows; see ``folders.Folder``.

    A file is written aside and renamed. Object stores have no rename, and copy instead: there, too, the
    file's place shows the old bytes, then the new ones.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            self._system, self._root = fsspec.core.url_to_fs(self.url)
        except ImportError as exc:
            raise MissingComponent(f"{url}: {exc}") from exc
        except ValueError as exc:
            raise SettingError(f"{url}: {exc}") from exc

    def files(self) -> list[str]:
        """The names of all files, sorted; none where there is no folder yet."""
        self._system.invalidate_cache()
        root = self._root.rstrip("/")
        # below no root at all, paths begin with a slash or not, as each kind of system likes
        below = f"{root}/" if root else ""
        try:
            found = self._system.find(self._root)
            return sorted(path.removeprefix(below) if below else path.removeprefix("/") for path in found)
        except FileNotFoundError:
            return []

    def read(self, name: str) -> bytes:
        """A whole file."""
        data: bytes = self._system.cat_file(self._path(name))
        return data

    def write(self, name: str, data: bytes, force: bool = True) -> None:
        """A whole file. Without ``force`` the last look at its place is just before the renaming, and not one with it:
        fsspec has no call that would refuse a name which is taken."""
        path = self._path(name)
        parent = path.rpartition("/")[0]
        partial = f"{parent}/{PARTIAL}{secrets.token_hex(4)}{suffix(name)}"
        self._system.makedirs(parent, exist_ok=True)
        try:
            self._system.pipe_file(partial, data)
            self._system.invalidate_cache()
            if not force and self._system.exists(path):
                raise FileExistsError(errno.EEXIST, f"{self.url}/{name} has appeared meanwhile")
            self._system.mv(partial, path)
        except BaseException:
            if self._system.exists(partial):
                self._system.rm_file(partial)
            raise

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        if self._system.exists(self._path(name)):
            self._system.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{check_name(name)}"
