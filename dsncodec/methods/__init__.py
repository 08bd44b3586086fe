"""Coding methods: a picture -> a codestream, and back.

A method is a row of ``METHODS``: two modules, imported when they are used, that keep the protocols below. Its *parser* runs
no network and loads no runtime; its *coder* makes files. Nothing outside this folder compares a method's name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypedDict, cast

from ..container import Header
from ..errors import SettingError
from ..options import Best, CocoNet, DeepSampling, LatentGrid, Options, Restored

# a command that only says its --help loads none of these
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..planes import Picture
    from .rate_control import Target

    UInt8Array = NDArray[np.uint8]

Window = tuple[slice, slice]
Section = tuple[str, bytes]

DEFAULT_EFFORT = 5

# How a file can be shown. The first comes nearest to the original pixel by pixel; the second looks most like it,
# invents texture for that, and is further away in PSNR.
DECODERS = ("fidelity", "perceptual")
FIDELITY = DECODERS[0]


@dataclass(frozen=True)
class Progress:
    """How far a fit is.

    ``done``: the part of the budget spent, 0..1; 1 when the fit has ended by itself. ``mse``: the mean squared error so far,
    samples in 0..1, or a loss. ``bpp``: bits per pixel so far, where the method knows them. ``interrupted``: Ctrl-C has ended
    the fit, whatever becomes of it then.
    """

    done: float
    mse: float
    bpp: float | None = None
    interrupted: bool = False


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Job:
    """A picture on its way into a file. ``threads`` None: the CPUs this process may use. ``source``: the file that the picture was
    read from, where that is to be kept."""

    picture: Picture
    target: Target
    effort: int = DEFAULT_EFFORT
    threads: int | None = None
    progress: OnProgress | None = None
    source: bytes = b""

    def header(self, method: str) -> Header:
        """What the file of a method begins with."""
        return Header(method, self.picture.mode, *self.picture.size)

    @property
    def metadata(self) -> list[Section]:
        """The sections of ICC profile, EXIF and XMP, where there are any."""
        return self.picture.metadata_sections()


class Facts(TypedDict, total=False):
    """The fields of ``ImageInfo`` that are a method's own."""

    scale: int
    levels: int | None
    chroma_levels: int | None
    backends: dict[str, str]
    model: str
    model_id: str
    base_quality: int | None
    base_psnr_db: float | None
    strength: float | None
    gain_db: float | None
    gain_ssimulacra2: float | None
    lossless: bool
    kept: bool


class ParsedFile(Protocol):
    """The sections of a file, decoded as far as no network is needed."""

    @property
    def header(self) -> Header: ...

    @property
    def needs_network(self) -> bool:
        """Whether ``pixels`` shows more than ``preview``."""

    def preview(self) -> UInt8Array:
        """What is shown without a network, (rows, columns, channels) uint8 with alpha last."""

    def at_size(self, width: int, height: int) -> ParsedFile:
        """This file, drawn at another size. Raises SettingError unless the method can."""

    def pixels(self, window: Window | None, threads: int | None, decoder: str) -> UInt8Array:
        """A window of the picture, None for all of it, (rows, columns, channels) uint8 with alpha last.

        Raises:
            SettingError: the file's model has no such decoder.
            CodestreamError: the file needs a network that this release does not have.
        """


class Parser(Protocol):
    """The half of a method that runs no network."""

    TAGS: frozenset[str]
    # what ``extract`` takes out unless told otherwise: "picture", "luma", "network"; "": nothing that another program reads
    MAIN_PART: str

    def parse(self, header: Header, sections: dict[str, bytes]) -> ParsedFile:
        """Raises CodestreamError: a section is missing, or does not hold what the header promises."""

    def validate(self, header: Header, sections: dict[str, bytes]) -> None:
        """Check all that can be checked without decoding. Raises CodestreamError."""

    def describe(self, header: Header, parameters: bytes, first_bytes: dict[str, bytes]) -> Facts:
        """The method's own facts, from its PARM section and the first byte of its other sections."""

    def summary(self, facts: Mapping[str, object]) -> str:
        """The facts of ``describe`` in a few words."""


class Coder(Protocol):
    """The half of a method that makes files."""

    def encode(self, job: Job, options: Options) -> bytes:
        """A whole codestream; ``options`` are of the row's class. Raises as ``dsncodec.encode``."""


@dataclass(frozen=True)
class Method:
    """A row: the class of the settings, the modules of a method's two halves, and the decoders a reader can choose from."""

    options: type[Options]
    parser: str
    coder: str
    decoders: tuple[str, ...] = (FIDELITY,)


METHODS = {
    "dsn": Method(DeepSampling, "dsncodec.methods.dsn.bitstream", "dsncodec.methods.dsn.codec", DECODERS),
    "restored": Method(
        Restored, "dsncodec.methods.restored.bitstream", "dsncodec.methods.restored.codec", DECODERS
    ),
    "coconet": Method(CocoNet, "dsncodec.methods.coconet.bitstream", "dsncodec.methods.coconet.encoder"),
    "latentgrid": Method(
        LatentGrid,
        "dsncodec.methods.latentgrid.bitstream",
        "dsncodec.methods.latentgrid.encoder",
        DECODERS,
    ),
}
# Coders that make files of the methods above
COMBINATIONS = {Best.method: "dsncodec.methods.best"}


def coder(options: Options) -> Coder:
    """The coder of the method that the options are of.

    Raises:
        SettingError: they are of no method.
    """
    modules = {name: row.coder for name, row in METHODS.items()} | COMBINATIONS
    if options.method not in modules:
        raise SettingError(f"unknown method {options.method!r}; one of {', '.join(modules)}")
    return cast(Coder, importlib.import_module(modules[options.method]))


def parser(method: str) -> Parser:
    """The parser of a method that files name."""
    return cast(Parser, importlib.import_module(METHODS[method].parser))


def check_decoder(method: str, decoder: str) -> None:
    """Raises SettingError unless files of this method have this decoder."""
    if decoder not in DECODERS:
        raise SettingError(f"unknown decoder {decoder!r}; one of {', '.join(DECODERS)}")
    if decoder not in METHODS[method].decoders:
        *most, last = (name for name, row in METHODS.items() if decoder in row.decoders)
        raise SettingError(
            f"decoder {decoder!r} is for files of method {', '.join(most)} and {last}; this one is of method {method}: "
            f"{', '.join(METHODS[method].decoders)}"
        )
