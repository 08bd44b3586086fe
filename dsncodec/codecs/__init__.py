"""Coding methods: a picture's pixels -> sections of bytes, and back.

A method is two modules, imported when they are used. Its *layer* runs no network::

    TAGS                                              the tags of its sections
    read_layer(header, sections) -> Layer             with picture(): what is shown without a network,
                                                      and is_final: whether that is all there is
    check(header, sections)                           all that can be checked without decoding
    facts(header, parameters, first_bytes) -> dict    its fields of ImageInfo

and its *coder* does: ``Encoder(header, pixels, threads, effort)`` with ``sections(point, backend)`` and what
``rate.Encoder`` asks for, and ``decode(layer, region, threads)``; with more than one look, ``look=`` too.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from ..errors import SettingError

DEFAULT_EFFORT = 5

# How a file can be shown. The first comes nearest to the original pixel by pixel; the second looks most like it,
# invents texture for that, and is further away in PSNR.
LOOKS = ("faithful", "perceptual")
FAITHFUL = LOOKS[0]


@dataclass(frozen=True)
class Method:
    """A row: the modules of a method's two halves, and the looks a reader can choose from."""

    layer: str
    coder: str
    looks: tuple[str, ...] = (FAITHFUL,)


METHODS = {
    "dsn": Method("dsncodec.codecs.layer", "dsncodec.codecs.dsn", LOOKS),
    "restored": Method("dsncodec.codecs.base", "dsncodec.codecs.restored"),
    "coconet": Method("dsncodec.codecs.coordinates", "dsncodec.codecs.coconet"),
    "latentgrid": Method("dsncodec.codecs.grids", "dsncodec.codecs.latentgrid"),
}


def load(name: str) -> Any:
    """The coder of a coding method.

    Raises:
        SettingError: no such method.
    """
    if name not in METHODS:
        raise SettingError(f"unknown method {name!r}; one of {', '.join(METHODS)}")
    return importlib.import_module(METHODS[name].coder)


def load_layer(name: str) -> Any:
    """The half of a method that runs no network; the name is one of METHODS."""
    return importlib.import_module(METHODS[name].layer)


def check_look(method: str, look: str) -> None:
    """Raises SettingError unless files of this method can be shown so."""
    if look not in LOOKS:
        raise SettingError(f"unknown look {look!r}; one of {', '.join(LOOKS)}")
    if look not in METHODS[method].looks:
        having = " and ".join(name for name, row in METHODS.items() if look in row.looks)
        raise SettingError(
            f"look {look!r} is for files of method {having}; this one is of method {method}: {', '.join(METHODS[method].looks)}"
        )
