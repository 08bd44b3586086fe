"""Pillow opens and saves .dsn: ``import dsncodec.pillow_plugin`` or ``dsncodec.register_pillow()``.

Opening reads headers and metadata; pixels are decoded by ``load()``. ``draft()``, and with it
``thumbnail()``, is served by the low-resolution layer where that is large enough: no network runs.
Between opening and loading, ``im.decoder = "perceptual"`` chooses how a file of method "dsn", one with an AVIF inside, or one of "latentgrid"
with texture is shown.
Pillow's own limit on the size of a picture, ``Image.MAX_IMAGE_PIXELS``, holds.

A file that is not ours is a SyntaxError (``Image.open`` makes UnidentifiedImageError of it), a
broken one an OSError, an impossible option a ValueError. A truncated file is broken, whatever
``ImageFile.LOAD_TRUNCATED_IMAGES`` says: no network can be run on half a layer.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO, cast

from PIL import Image, ImageFile

from . import container, decoding, encoding, methods, options
from .errors import DsnError, NotADsnFile, SettingError
from .metadata import METADATA
from .methods.sections import read_structure
from .reading import read_picture

_METADATA = frozenset(METADATA.values())
_ASKED = ("quality", "target_bytes", "target_bpp", "target_psnr_db", "target_ssimulacra2")
# any of these replaces all of them in the registered defaults
_TARGETS = frozenset(_ASKED).union(*(cls.explicit for cls in options.CLASSES.values()))
_SETTINGS = frozenset(
    {*_ASKED, *options.ALL_NAMES, *options.OLD_NAMES, "method", "effort", "threads", "progress"}
)
_OF_OTHER_FORMATS = frozenset(  # said to every format in turn by a program that saves to several
    {
        "append_images",
        "comment",
        "compress_level",
        "keep_rgb",
        "lossless",
        "optimize",
        "progressive",
        "qtables",
        "speed",
        "subsampling",
    }
)

_defaults: dict[str, Any] = {}


def register_pillow(**defaults: Any) -> None:
    """Let Pillow open and save .dsn. May be called again at any time, and costs next to nothing.

    Args:
        defaults: for every later save: keywords of ``dsncodec.encode`` such as ``quality``,
            but not metadata. ``threads`` holds for loading, too. None takes a default back.
    """
    _warn_of_unknown(defaults, _SETTINGS, stacklevel=3)
    for name, value in _known(defaults).items():
        if value is None:
            _defaults.pop(name, None)
        else:
            _defaults[name] = value
    Image.register_open(DsnImageFile.format, DsnImageFile, _accept)
    Image.register_decoder("dsn", DsnDecoder)
    Image.register_save(DsnImageFile.format, _save)
    Image.register_save_all(DsnImageFile.format, _save_all)
    Image.register_extensions(DsnImageFile.format, [".dsn"])
    Image.register_mime(DsnImageFile.format, "image/x-dsn")


def _known(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name in _SETTINGS}


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(container.MAGIC)


@contextmanager
def _pillow_errors() -> Iterator[None]:
    """Our exceptions as OSError; a SettingError, which is a ValueError already, passes."""
    try:
        yield
    except SettingError:
        raise
    except DsnError as exc:
        raise OSError(str(exc)) from exc


class DsnImageFile(ImageFile.ImageFile):
    """An open .dsn file; ``info["dsn"]``: method, scale, levels, chroma_levels and model_id; or, of method
    "restored", also base_quality, strength and gain_db."""

    format = "DSN"
    format_description = "Deep Sampling Networks image"
    n_frames = 1
    is_animated = False
    # of an image that pickle made, which has never been opened
    _decoder, _scale, _reduced = methods.FIDELITY, 1, False

    def _open(self) -> None:
        stream = cast(BinaryIO, self.fp)
        with _pillow_errors():
            try:
                header, sections, _ = read_structure(stream, max_pixels=None)
            except NotADsnFile as exc:
                raise SyntaxError(str(exc)) from exc
            parser = methods.parser(header.method)
            payloads = {
                tag: container.read_payload(stream, section)
                for tag, section in sections.items()
                if tag == "PARM" or tag not in parser.TAGS
            }
            facts = decoding.read_facts(stream, header, sections, payloads.get("PARM", b""))
        self._mode, self._size = header.mode, (header.width, header.height)
        self.info.update(decoding.metadata(payloads))
        told = (
            "scale",
            "levels",
            "chroma_levels",
            "model_id",
            "base_quality",
            "base_psnr_db",
            "strength",
            "gain_db",
        )
        self.info["dsn"] = {"method": header.method} | {
            name: value for name, value in facts.items() if name in told
        }
        self._scale = facts["scale"]
        self._decoder = methods.FIDELITY
        self._set_tile(preview=False)

    def _set_tile(self, preview: bool) -> None:
        self._reduced = preview
        decoder = methods.FIDELITY if preview else self._decoder
        self.tile = [ImageFile._Tile("dsn", (0, 0, *self.size), 0, (preview, decoder))]

    @property
    def decoder(self) -> str:
        """How the picture will be shown, see ``dsncodec.decode``; to be chosen before it is loaded.

        Raises:
            SettingError: files of this method have no such decoder, or the picture is loaded.
        """
        return self._decoder

    @decoder.setter
    def decoder(self, name: str) -> None:
        methods.check_decoder(self.info["dsn"]["method"], name)
        if not self.tile:
            raise SettingError("the picture is loaded already: choose its decoder before")
        self._decoder = name
        self._set_tile(self._reduced)

    def _getexif(self) -> dict[int, Any] | None:
        """As Pillow's own formats have it for older programs: the tags of EXIF in one dict."""
        return self.getexif()._get_merged_dict() if "exif" in self.info else None

    def load_seek(self, pos: int) -> None:
        """Go to the tile. Being defined, it makes ``ImageFile.Parser`` wait for the whole file."""
        assert self.fp is not None
        self.fp.seek(pos)

    def draft(
        self, mode: str | None, size: tuple[int, int] | None
    ) -> tuple[str, tuple[int, int, float, float]] | None:
        """Have the low-resolution layer loaded if it is at least ``size``; the mode stays as it is.

        A layer of the full size, a base codec's picture, is for half of it at most: at more, what the network
        adds would be missed.

        Returns:
            The mode, and the box of the layer that the picture fills; None if nothing was changed.
        """
        if not self.tile or self._reduced or size is None:
            return None
        width, height = self.size
        if self._scale == 1 and 2 * size[0] > width and 2 * size[1] > height:
            return None
        reduced = -(-width // self._scale), -(-height // self._scale)
        if reduced[0] < size[0] or reduced[1] < size[1]:
            return None
        self._size = reduced
        self._im = None  # a load that failed leaves one of the full size
        self._set_tile(preview=True)
        return self.mode, (0, 0, width / self._scale, height / self._scale)

    def verify(self) -> None:
        """Check structure and all checksums, decode nothing, and close the file.

        Raises:
            OSError: the first thing that is wrong.
            RuntimeError: the picture was loaded or closed before.
        """
        if getattr(self, "fp", None) is None:
            raise RuntimeError("verify must be called directly after open")
        stream = cast(BinaryIO, self.fp)
        try:
            stream.seek(0)
            with _pillow_errors():
                decoding.verify(stream)
        finally:
            super().verify()


class DsnDecoder(ImageFile.PyDecoder):
    """Fills Pillow's image. Its arguments: whether the low-resolution layer is all that is wanted, and the decoder."""

    _pulls_fd = True

    def decode(self, buffer: Any) -> tuple[int, int]:
        """Called once, with ``fd`` at the start of the file; returns (-1, 0), which is: done."""
        assert self.fd is not None and self.im is not None
        preview, decoder = self.args
        with _pillow_errors():
            source, threads = cast(BinaryIO, self.fd), _defaults.get("threads")
            # beyond twice its limit Pillow has raised an error already; this one is about memory
            limit = None if Image.MAX_IMAGE_PIXELS is None else 2 * Image.MAX_IMAGE_PIXELS
            image = decoding.decode(
                source, preview=preview, decoder=decoder, max_pixels=limit, threads=threads
            )
        if (image.mode, image.size) != (self.mode, self.im.size):
            raise OSError("the file was changed after it had been opened")
        self.im.paste(image.im, self.state.extents())
        return -1, 0


def _save(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    """What ``Image.save`` calls. All keywords of ``dsncodec.encode`` are options.

    ICC profile, EXIF and XMP come from ``im.info`` unless an option says otherwise; None or ``b""``
    leaves them out.
    """
    given: dict[str, Any] = dict(im.encoderinfo)
    if isinstance(given.get("method"), int):  # of WebP, whose method is an effort
        del given["method"]
    _warn_of_unknown(given, _SETTINGS | _METADATA, stacklevel=4)  # the caller of Image.save
    if 0 in im.size:
        raise ValueError("cannot write empty image as DSN")
    try:
        picture = read_picture(im)
    except SettingError as exc:
        raise OSError(f"cannot write mode {im.mode} as DSN: {exc}") from exc
    settings = _with_defaults(_known(given))
    for name in _METADATA:
        value = given.get(name, getattr(picture, name))
        settings[name] = b"" if value is None else value
    with _pillow_errors():
        data = encoding.encode(picture.pixels, **settings)
    fp.write(data)


def _with_defaults(given: dict[str, Any]) -> dict[str, Any]:
    """The registered defaults under these settings; any target replaces all targets below it."""
    given = {name: value for name, value in given.items() if value is not None}
    hidden = _TARGETS if given.keys() & _TARGETS else frozenset()
    return {name: value for name, value in _defaults.items() if name not in hidden} | given


def _save_all(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    others: Iterable[Image.Image] = im.encoderinfo.get("append_images") or []
    frames = sum(getattr(frame, "n_frames", 1) for frame in (im, *others))
    if frames > 1:
        raise ValueError(f"a DSN file holds one picture, not {frames}; save them one by one")
    _save(im, fp, filename)


def _warn_of_unknown(given: Iterable[str], known: frozenset[str], stacklevel: int) -> None:
    for name in sorted(set(given) - known - _OF_OTHER_FORMATS):
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"
        warnings.warn(f"unknown DSN option {name!r} is ignored; {hint}", stacklevel=stacklevel)


register_pillow()
