"""JPEG XL, lossless, as a bare codestream (no boxes): symbols, and whole pictures of 1 to 4 channels."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ...errors import Corrupt, SettingError
from .. import Kept, jxl_patches, jxl_trees
from ..boxes import box

UInt8Array = NDArray[np.uint8]
_SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ")
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
MAX_SIDE, MAX_SYMBOLS = 2**18, 2**28  # of level 5; the library puts what is larger into boxes
SIDES = ((8, 11, 14, 30), (0, 256, 2304, 18688))  # of a frame: widths and offsets
_LENGTHS = ((10, 14, 22, 30), (0, 1024, 17408, 4211712))  # of its parts
_ORDER_CONTEXTS = 8  # of the order of its parts
_PATCHES = 2  # the flag of a frame that shows parts of the frame before
_REGULAR, _REFERENCE = 0, 2  # kinds of frames
# What follows the SizeHeader, as (count, value): not all by default, no animation, preview or orientation, 8 bits; no extra
# channels or one of alpha; not XYB; the colours, which are grey, D65, sRGB, relative, or by default sRGB; no extensions, no
# transforms of its own
_PLAIN = ((6, 0b100000),)
_NO_ALPHA, _ALPHA = ((2, 0),), ((2, 1), (1, 1))
_GREYS = ((1, 0), (2, 0), (2, 1), (2, 1), (1, 0), (2, 2), (4, 11), (2, 1))
_COLOURS = ((1, 0), (1, 1))
_END = ((2, 0), (1, 1))
# Number of channels -> metadata
METADATA = {
    1: _PLAIN + _NO_ALPHA + _GREYS + _END,
    2: _PLAIN + _ALPHA + _GREYS + _END,
    3: _PLAIN + _NO_ALPHA + _COLOURS + _END,
    4: _PLAIN + _ALPHA + _COLOURS + _END,
}
# A JPEG file's coefficients: VarDCT, no smoothing of the lowest frequency; then its colours; then no upsampling,
# one pass, the picture's own size, replaces what was there, the last frame
_OF_JPEG = (((4, 0), (2, 2), (8, 111)), ((2, 0), (2, 0), (1, 0), (2, 0), (1, 1)))


def encode(symbols: UInt8Array, levels: int, effort: int) -> bytes:
    """Effort 7 of the library; from our effort 8 on also its 9, which wins at few levels."""
    if max(symbols.shape) > MAX_SIDE or symbols.size > MAX_SYMBOLS:
        raise SettingError(f"jxl holds at most {MAX_SIDE} symbols each way and {MAX_SYMBOLS} in all")
    tries = [7] if effort < 8 else [7, 9]
    coded = [
        imagecodecs.jpegxl_encode(symbols, lossless=True, effort=e, usecontainer=False, numthreads=1)
        for e in ([3] if effort < 4 else tries)
    ]
    return bytes(min(coded, key=len))


def decode(payload: bytes, shape: tuple[int, int], levels: int) -> UInt8Array:
    """The size in the codestream's own header is compared with ``shape`` first, and its frames are counted.

    An array that is there already makes the library refuse further channels and frames, undecoded.
    """
    if size_of(payload) != shape:
        raise Corrupt(f"the payload says {size_of(payload)}, the header {shape}", field="jxl")
    check_frames(payload)
    return np.asarray(imagecodecs.jpegxl_decode(payload, numthreads=1, out=np.empty(shape, np.uint8)))


def encode_picture(pixels: UInt8Array, thorough: bool) -> bytes:
    """(H, W, 1 to 4), alpha last, to a codestream: by effort 7 of the library; 9, too, if that is worth its time.

    Raises:
        SettingError: the picture is too large.
    """
    rows, columns, channels = pixels.shape
    if max(rows, columns) > MAX_SIDE or rows * columns > MAX_SYMBOLS:
        raise SettingError(f"jxl holds at most {MAX_SIDE} pixels each way and {MAX_SYMBOLS} in all")
    flat = pixels[..., 0] if channels == 1 else pixels
    files = [
        imagecodecs.jpegxl_encode(flat, lossless=True, effort=effort, usecontainer=False, numthreads=1)
        for effort in ((7, 9) if thorough else (7,))
    ]
    return bytes(min(files, key=len))


def decode_picture(payload: bytes, shape: tuple[int, int, int]) -> UInt8Array:
    """A codestream to exactly ``shape`` (H, W, 1 to 4); its headers are read first, as ``decode`` does."""
    if size_of(payload) != shape[:2]:
        raise Corrupt(f"the payload says {size_of(payload)}, the header {shape[:2]}", field="jxl")
    check_frames(payload, shape[2])
    room = np.empty(shape[:2] if shape[2] == 1 else shape, np.uint8)
    return np.asarray(imagecodecs.jpegxl_decode(payload, numthreads=1, out=room)).reshape(shape)


def picture_file(payload: bytes, shape: tuple[int, int, int]) -> bytes:
    """The payload is the file."""
    return payload


def enclose_picture(payload: bytes, shape: tuple[int, int, int], kept: Kept) -> tuple[bytes, dict[str, str]]:
    """The codestream in boxes, with EXIF and XMP beside it, its orientation in the codestream's own header.

    Source: ISO/IEC 18181-2 (boxes), 18181-1, annex D (headers).
    """
    check_frames(payload, shape[2])
    left_out = {"icc": "the colours of this JPEG XL are said to be sRGB"} if kept.icc else {}
    return in_boxes(_turned(payload, shape[2], kept.orientation), kept), left_out


def in_boxes(codestream: bytes, kept: Kept) -> bytes:
    """A JPEG XL file in boxes, with what is kept of EXIF and XMP."""
    parts = [_SIGNATURE]
    if kept.exif:
        parts.append(box(b"Exif", struct.pack(">I", len(kept.exif) - len(kept.exif)) + kept.exif))
    if kept.xmp:
        parts.append(box(b"xml ", kept.xmp))
    return b"".join([*parts, box(b"jxlc", codestream)])


def _turned(codestream: bytes, channels: int, orientation: int) -> bytes:
    """A codestream of a picture with an orientation in its header."""
    if orientation == 1:
        return codestream
    bits = Bits(codestream)
    read_size(bits)
    after_size = bits.at
    bits.match(METADATA[channels])
    bits.align()
    size = [codestream[at // 8] >> at % 8 & 1 for at in range(16, after_size)]
    # extra fields: the orientation, no size of its own, preview or animation; and at the end of the metadata, usual tones
    extra = (
        (2, 0b10),
        (3, orientation - 1),
        (3, 0),
        *((4, 0b1000),),
        *METADATA[channels][1 : -len(_END)],
        (1, 1),
        *_END,
    )
    fields = [value >> at & 1 for count, value in extra for at in range(count)]
    whole = sum(bit << at for at, bit in enumerate(size + fields))
    return codestream[:2] + whole.to_bytes(-(-len(size + fields) // 8), "little") + codestream[bits.at // 8 :]


def size_of(payload: bytes) -> tuple[int, int]:
    """(rows, columns) from the SizeHeader of a bare codestream."""
    return read_size(Bits(payload))


class Bits:
    """What follows the signature of a bare codestream, bit by bit, from the lowest of each byte up."""

    def __init__(self, payload: bytes) -> None:
        if payload[:2] != b"\xff\x0a" or len(payload) < 12:
            raise Corrupt("not a bare JPEG XL codestream", field="jxl")
        self.payload, self.at = payload, 16

    def take(self, count: int) -> int:
        """The next bits as a number."""
        stop = self.at + count
        if stop > 8 * len(self.payload):
            raise Corrupt("the codestream ends too soon", field="jxl")
        whole = int.from_bytes(self.payload[self.at // 8 : -(-stop // 8)], "little")
        value = whole >> self.at % 8 & ((1 << count) - 1)
        self.at = stop
        return value

    def one_of(self, *widths: int) -> tuple[int, int]:
        """Two bits that choose a width, and a number of that width."""
        chosen = self.take(2)
        return chosen, self.take(widths[chosen])

    def u32(self, kind: tuple[tuple[int, ...], tuple[int, ...]]) -> int:
        """A number of one of four (widths, offsets)."""
        chosen, value = self.one_of(*kind[0])
        return value + kind[1][chosen]

    def match(self, fields: tuple[tuple[int, int], ...]) -> bool:
        """Take fields of (count, value), and say whether they have these values."""
        return [self.take(count) for count, _ in fields] == [value for _, value in fields]

    def align(self) -> None:
        """On to the next whole byte."""
        self.at = -(-self.at // 8) * 8


def read_size(bits: Bits) -> tuple[int, int]:
    """(rows, columns) of a SizeHeader (ISO/IEC 18181-1, D.2)."""
    small = bits.take(1)

    def side() -> int:
        return (bits.take(5) + 1) * 8 if small else bits.one_of(9, 13, 18, 30)[1] + 1

    rows = side()
    ratio = bits.take(3)
    if ratio:
        numerator, denominator = _RATIOS[ratio]
        return rows, rows * numerator // denominator
    return rows, side()


@dataclass(frozen=True)
class Contents:
    """Where the parts of a frame are: the first, those of groups as (place, bytes), and what follows, in bits."""

    first: int
    groups: list[tuple[int, int]]
    end: int


def read_contents(bits: Bits, rows: int, columns: int, group: int) -> Contents:
    """A frame's table of contents. Source: ISO/IEC 18181-1, F.3."""
    groups, coarse = (-(-rows // side) * -(-columns // side) for side in (group, 8 * group))
    parts = 1 if groups == 1 else 2 + coarse + groups
    order = _order(bits, parts) if bits.take(1) else range(parts)
    bits.align()
    lengths = [bits.u32(_LENGTHS) for _ in range(parts)]
    bits.align()
    places, at = [], bits.at
    for length in lengths:
        places.append((at, length))
        at += 8 * length
    if at > 8 * len(bits.payload):
        raise Corrupt("the codestream ends too soon", field="jxl")
    return Contents(places[order[0]][0], [places[one] for one in order[2 + coarse :]], at)


def _order(bits: Bits, parts: int) -> list[int]:
    """Where in the file each part is. Source: ISO/IEC 18181-1, F.3.2."""
    numbers = jxl_patches.Numbers(bits, _ORDER_CONTEXTS)

    def following(before: int) -> int:
        return numbers.next(min(before.bit_length(), _ORDER_CONTEXTS - 1))

    rest, found, last = list(range(parts)), [], 0
    for _ in range(following(parts)):
        last = following(last)
        if last >= len(rest):
            raise Corrupt("parts of a frame that are not there", field="jxl")
        found.append(rest.pop(last))
    numbers.finish()
    return found + rest


@dataclass(frozen=True)
class _Frame:
    """What a frame's header says, as far as it says how much work the frame is."""

    kind: int
    patches: bool
    rows: int
    columns: int
    group_side: int


def check_frames(payload: bytes, channels: int = 1) -> None:
    """One frame of the picture's size; before it at most one of patches, which is not larger.

    A frame of one colour costs 20 bytes and is as much work as any other: a short file could hold a million. What patches
    are shown, and what is decided for each sample, costs no bytes either.
    Source: ISO/IEC 18181-1, F (frame header, table of contents), G.1 (what stands before the samples).

    Raises:
        Corrupt: more frames, or one such as a lossless picture of so many channels does not need.
    """
    bits = Bits(payload)
    rows, columns = read_size(bits)
    if not bits.match(METADATA[channels]):
        raise Corrupt(f"not a plain picture of 8 bits and {channels} channels", field="jxl")
    bits.align()
    alpha = channels in (2, 4)
    frame = _frame(bits, rows, columns, alpha)
    patched = frame.kind == _REFERENCE
    if patched:
        if frame.patches:
            raise Corrupt("patches of no frame", field="jxl")
        if frame.rows * frame.columns > max(rows * columns, 2**16):
            raise Corrupt("a frame of patches is larger than the picture", field="jxl")
        contents = read_contents(bits, frame.rows, frame.columns, frame.group_side)
        bits.at = contents.first
        jxl_trees.Trees(channels * frame.rows * frame.columns).check(bits, contents.groups)
        bits.at = contents.end
        frame = _frame(bits, rows, columns, alpha)
        if frame.kind == _REFERENCE:
            raise Corrupt("more than one frame of patches", field="jxl")
    if frame.patches and not patched:
        raise Corrupt("patches of no frame", field="jxl")
    contents = read_contents(bits, rows, columns, frame.group_side)
    bits.at = contents.first
    if frame.patches:
        jxl_patches.check(bits, rows, columns, alpha)
    jxl_trees.Trees(channels * rows * columns).check(bits, contents.groups)


def check_recompressed(codestream: bytes) -> None:
    """One frame, such as the library makes of a JPEG file without a profile.

    Raises:
        Corrupt: anything else.
    """
    for metadata in (METADATA[1], METADATA[3]):
        bits = Bits(codestream)
        read_size(bits)
        if bits.match(metadata):
            bits.align()
            before, behind = _OF_JPEG
            if not bits.match(before):
                continue
            # YCbCr, any of its halved; or R, G and B
            if bits.take(1):
                bits.take(6)
            if bits.match(behind):
                return
    raise Corrupt("not the one frame of a recompressed JPEG file", field="jxl")


def _frame(bits: Bits, rows: int, columns: int, alpha: bool = False) -> _Frame:
    """The next frame's header: modular, no upsampling, one pass; the last one if it is regular."""

    def expect(count: int, *values: int) -> int:
        value = bits.take(count)
        if value not in values:
            raise Corrupt("a frame such as a lossless picture does not need", field="jxl")
        return value

    expect(1, 0)  # not all defaults
    kind = expect(2, _REGULAR, _REFERENCE)
    expect(1, 1)  # modular
    flags = bits.take(4) + 1 if expect(2, 0, 1) else 0
    if flags not in (0, _PATCHES):
        raise Corrupt("noise or splines in a frame", field="jxl")
    expect(3, 0)  # not YCbCr, no upsampling
    if alpha:
        expect(2, 0)  # nor of alpha
    group_side = 128 << bits.take(2)
    if kind == _REGULAR:
        expect(2, 0)  # passes
        expect(1, 0)  # the picture's own size
        expect(2, 0)  # replaces what was there
        if alpha:
            expect(2, 0)  # alpha, too
        expect(1, 1)  # the last frame
    else:
        if expect(1, 0, 1):  # of its own size
            columns, rows = bits.u32(SIDES), bits.u32(SIDES)
        bits.take(3)  # the number it is kept under; before or after the colour transform
    expect(2, 0)  # no name
    expect(1, 0)  # no default filters after decoding
    expect(5, 0)  # nor others: smoothing, edge-preserving, extensions of both
    expect(2, 0)
    return _Frame(kind, flags == _PATCHES, rows, columns, group_side)
