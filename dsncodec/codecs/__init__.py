"""Coding methods: a picture's pixels -> sections of bytes, and back. ``load`` imports one when it is used."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import SettingError

DEFAULT_EFFORT = 5

METHODS = {"dsn": "dsncodec.codecs.dsn"}


def load(name: str) -> Any:
    """The module of a coding method.

    Raises:
        SettingError: no such method.
    """
    if name not in METHODS:
        raise SettingError(f"unknown method {name!r}; one of {', '.join(METHODS)}")
    return importlib.import_module(METHODS[name])
