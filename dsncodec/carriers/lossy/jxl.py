"""JPEG XL as a base codec: lossy, as a bare codestream (no boxes), by libjxl."""

from __future__ import annotations

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ...errors import Corrupt, SettingError
from ...planes import Picture
from .. import Adopted, Kept, checked_output, jxl_patches, jxl_trees
from ..boxes import codestream_in_boxes, listed
from ..lossless.jxl import SIDES, Bits, in_boxes, read_contents, read_size

UInt8Array = NDArray[np.uint8]

EFFORTS = (3, 3, 4, 5, 6, 7, 7, 7, 7, 7)  # libjxl's, of effort 0..9
_GREY = int("000001001001010001110110001"[::-1], 2)  # the metadata of a grey picture of 8 bits in sRGB
_PATCHES, _ROUGH_DC = 2, 128  # flags of a frame
_REGULAR, _REFERENCE = 0, 2  # kinds of frame
_COLOURS = 3  # channels of every frame, of grey pictures too


def distance(quality: int) -> float:
    """Butteraugli's, as libjxl's own tools give it to a quality; 100 is not lossless, but 0.1."""
    if quality >= 30:
        return 0.1 + (100 - quality) * 0.09
    return 53 / 3000 * quality**2 - 23 / 20 * quality + 25


def encode(colour: UInt8Array, quality: int, effort: int, threads: int, tune: str = "psnr") -> bytes:
    """(H, W, 1 or 3) to a JPEG XL codestream, whose tune is always its own, for the eye."""
    coded = bytes(
        imagecodecs.jpegxl_encode(
            colour[..., 0] if colour.shape[2] == 1 else colour,
            distance=distance(quality),
            effort=EFFORTS[effort],
            usecontainer=False,
            numthreads=threads,
        )
    )
    with checked_output(imagecodecs.jpegxl_version(), instead="avif"):
        shape_of(coded)
    return coded


def decode(payload: bytes, shape: tuple[int, int, int]) -> UInt8Array:
    """A JPEG XL codestream to exactly ``shape`` (H, W, 1 or 3); its headers are read before it is decoded."""
    if shape_of(payload) != shape:
        raise Corrupt(f"the payload says {shape_of(payload)}, the header {shape}", field="jxl")
    room = np.empty(shape[:2] if shape[2] == 1 else shape, np.uint8)
    return np.asarray(imagecodecs.jpegxl_decode(payload, numthreads=1, out=room)).reshape(shape)


# --- what else a file carries: boxes around the codestream


def enclose(file: bytes, shape: tuple[int, int, int], kept: Kept) -> tuple[bytes, dict[str, str]]:
    """The codestream in boxes, with EXIF and XMP beside it.

    Readers of JPEG XL turn a picture by its codestream's own header, whatever EXIF says: that header gets the
    orientation, and the frames stay as they are. A profile there would be one to convert the colours into.
    Source: ISO/IEC 18181-2 (boxes), 18181-1, annex D (headers).
    """
    left_out: dict[str, str] = {}
    if kept.alpha is not None:
        left_out["alpha"] = "JPEG XL codes it together with the colours"
    if kept.icc:
        left_out["icc"] = "the colours of this JPEG XL are coded as sRGB, and a profile would change them"
    shape_of(file)  # raises unless the header is one of the two that this module knows
    return in_boxes(_turned(file, kept.orientation), kept), left_out


def _turned(codestream: bytes, orientation: int) -> bytes:
    """A codestream of the two kinds of header that ``_planes`` knows, with an orientation."""
    if orientation == 1:
        return codestream
    bits = Bits(codestream)
    read_size(bits)
    after_size = bits.at
    planes = _planes(bits)
    size = [codestream[at // 8] >> at % 8 & 1 for at in range(16, after_size)]
    # not all by default; with extra fields: the orientation, no size of its own, preview or animation
    extra = [0, 1, *(orientation - 1 >> at & 1 for at in range(3)), 0, 0, 0]
    # 8 bits, short buffers, no further channels, XYB; the colours; usual tones, no extensions, usual matrices
    plain = [0, 0, 0, 1, 0, 0, 1]
    colours = [1] if planes == 3 else [_GREY >> at & 1 for at in range(9, 24)]
    fields = [*size, *extra, *plain, *colours, 1, 0, 0, 1]
    whole = sum(bit << at for at, bit in enumerate(fields))
    return codestream[:2] + whole.to_bytes(-(-len(fields) // 8), "little") + codestream[bits.at // 8 :]


def shape_of(payload: bytes) -> tuple[int, int, int]:
    """(rows, columns, 1 or 3) of a codestream that is one lossy picture and nothing else.

    No film, preview, alpha or profile, no noise or splines, no frame that is larger than the picture: each
    would be room or time that nobody has asked for. One frame may stand before that of the picture: what
    libjxl has seen in it several times (text), or found hard to code (stars).
    Source: ISO/IEC 18181-1, annexes D (image header), F (frame header and table of contents).
    """
    bits = Bits(payload)
    rows, columns = read_size(bits)
    planes = _planes(bits)
    kind = _frame(bits, rows, columns, patched=False)
    if kind == _REFERENCE:
        kind = _frame(bits, rows, columns, patched=True)
    if kind != _REGULAR:
        raise Corrupt("more than one frame before that of the picture", field="jxl")
    return rows, columns, planes


def _planes(bits: Bits) -> int:
    """1 or 3, by the metadata of a grey or a colour picture of 8 bits in sRGB."""
    if bits.take(1):  # all of it by default; so are the matrices of its colours
        planes, plain = 3, bits.take(1) == 1
    else:
        planes, plain = 1, bits.take(26) << 1 == _GREY
    bits.align()
    if not plain:
        raise Corrupt("not a plain picture of 8 bits", field="jxl")
    return planes


def _frame(bits: Bits, rows: int, columns: int, patched: bool) -> int:
    """Go to the next frame, or as far into the last one as it says anything of its size, and of the work that it is; gives the
    frame's kind.

    Args:
        patched: whether a frame went before, of whose parts it may be made.
    """

    def require(*wanted: bool) -> None:
        if not all(wanted):
            raise Corrupt("a frame that this codec does not write", field="jxl")

    if bits.take(1):  # all by default: a regular frame, and the last
        return _REGULAR
    kind, modular, flags = bits.take(2), bits.take(1), _u64(bits)
    require(
        modular == (kind == _REFERENCE), kind in (_REGULAR, _REFERENCE), not flags & ~(_PATCHES | _ROUGH_DC)
    )
    shown = bool(flags & _PATCHES)
    require(not shown or patched)
    enlarged = 1 << bits.take(2)
    group = 256
    if modular:
        group = 128 << bits.take(2)
    else:
        bits.take(6)  # scales of X and B
    if kind == _REGULAR:
        require(bits.take(2) == 0)  # one pass
    if bits.take(1):  # a size of its own
        require(kind == _REFERENCE)  # else it would be a part of a picture, or more
        room = 2 * rows * columns + 2**16
        columns, rows = bits.u32(SIDES), bits.u32(SIDES)
        require(rows * columns <= room)
    if kind == _REGULAR:
        require(bits.take(2) == 0, bits.take(1) == 1)  # replaces all; is the last
        if not shown:
            return kind
    else:
        bits.take(3)  # the slot it is kept in, and in which colours
    require(bits.take(2) == 0)  # no name
    if not bits.take(1):  # filters, not all by default
        require(not bits.take(1) or not bits.take(1))  # Gabor-like, without weights of its own
        preserving = bits.take(2)  # edges, in so many rounds
        require(not preserving or not modular)
        require(not preserving or bits.take(3) == 0)  # nor those
        require(_u64(bits) == 0)
    require(_u64(bits) == 0)  # extensions
    frame = -(-rows // enlarged), -(-columns // enlarged)
    contents = read_contents(bits, *frame, group)
    bits.at = contents.first
    if kind == _REFERENCE:
        jxl_trees.Trees(_COLOURS * frame[0] * frame[1]).check(bits, contents.groups)
        bits.at = contents.end
    else:
        jxl_patches.check(bits, *frame)
    return kind


def _u64(bits: Bits) -> int:
    """As far as numbers go that are written here: below 273."""
    chosen, value = bits.one_of(0, 4, 8, 0)
    if chosen == 3:
        raise Corrupt("a number that this codec does not write", field="jxl")
    return value + (0, 1, 17)[chosen]


# --- files as others write them


def adopt(file: bytes) -> Adopted:
    """The codestream in a JPEG XL file, or the file that is one.

    Raises:
        SettingError: no codestream in one piece, with boxes of 32 bits.
    """
    if file.startswith(b"\xff\x0a"):
        return Adopted(file, ((0, 0, len(file)),))
    return codestream_in_boxes(file, b"jxlc", "JPEG XL")


def picture_of(file: bytes) -> Picture:
    """Colours, EXIF and XMP of a file whose codestream ``decode`` reads; compressed boxes are not opened.

    Raises:
        SettingError: it is another one.
        OSError: it is broken.
    """
    codestream = adopt(file).file
    try:
        shape = shape_of(codestream)
        colour = decode(codestream, shape)
    except Corrupt as exc:
        raise SettingError(f"this JPEG XL file cannot be kept as it is: {exc}") from exc
    except Exception as exc:
        raise OSError(f"the picture cannot be read: {exc}") from exc
    boxes = dict(listed(file, "jxl")) if codestream is not file else {}
    exif = boxes.get(b"Exif", b"")
    skipped = 4 + int.from_bytes(exif[:4], "big")
    return Picture(colour, "L" if shape[2] == 1 else "RGB", b"", exif[skipped:], boxes.get(b"xml ", b""))
