"""A second decoder of .dsn files, written from docs/format.md and from nothing else.

It shares no code with the package, and none of its habits: it takes whole planes through the networks where the
package works in tiles, trusts its input, and is slow. What both make of a file is what the page says.
"""

from __future__ import annotations

import functools
import hashlib
import io
import lzma
import math
import struct
import tomllib
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

MODELS = Path(__file__).parent.parent / "models"
Array = NDArray[Any]


@dataclass
class File:
    """Section 1: what the container says."""

    version: int
    method: int
    mode: str
    width: int
    height: int
    sections: dict[str, bytes] = field(default_factory=dict)

    @property
    def colour(self) -> bool:
        return self.mode in ("RGB", "RGBA")


def parse(data: bytes) -> File:
    """The container. Every checksum is compared."""
    assert data[:4] == bytes.fromhex("8E44534E")
    return parse_2(data) if data[4] == 2 else parse_1(data)


MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
CODES = {
    1: "LUMA",
    2: "CHRO",
    3: "BASE",
    4: "ALPH",
    5: "NETW",
    6: "LATS",
    128: "iccp",
    129: "exif",
    130: "xmp ",
    131: "dpi ",
    132: "rest",
    133: "txtr",
}


def varint_at(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        value += (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def parse_2(data: bytes) -> File:
    """Version 2: the parameters and a table of sections in the header, then the payloads."""
    at = 6

    def varint() -> int:
        nonlocal at
        value, at = varint_at(data, at)
        return value

    width, height = varint(), varint()
    file = File(2, data[5] // 16, MODES[data[5] % 16], width, height)
    length = varint()
    file.sections["PARM"] = data[at : at + length]
    at += length + 1
    table = []
    for _ in range(data[at - 1]):
        at += 1
        tag = CODES[data[at - 1]]
        table.append((tag, varint(), data[at : at + 4]))
        at += 4
    assert zlib.crc32(data[:at]) == int.from_bytes(data[at : at + 4], "little")
    at += 4
    for tag, length, crc in table:
        file.sections[tag] = data[at : at + length]
        assert zlib.crc32(file.sections[tag]) == int.from_bytes(crc, "little")
        at += length
    assert at == len(data)
    return file


def parse_1(data: bytes) -> File:
    """Version 1: a fixed header, then each section behind its own."""
    assert data[4:8] == bytes.fromhex("0D0A1A0A")
    version, flags, method, mode = data[8:12]
    assert (version, flags) == (1, 0)
    width, height, count, crc = struct.unpack("<IIHI", data[12:26])
    assert zlib.crc32(data[:22]) == crc
    file = File(version, method, MODES[mode], width, height)
    at = 26
    for _ in range(count):
        tag, length, crc = struct.unpack("<4sII", data[at : at + 12])
        payload = data[at + 12 : at + 12 + length]
        assert zlib.crc32(tag + payload) == crc
        file.sections[tag.decode("ascii")] = payload
        at += 12 + length
    assert at == len(data)
    return file


# --- section 3: symbols


def symbols(payload: bytes, planes: int, rows: int, columns: int, levels: int) -> Array:
    """(planes, rows, columns) of one section."""
    decoder = {1: lzma2, 2: sevenzip, 3: j2k, 4: jxl, 5: jpegls, 6: webp}[payload[0]]
    picture = decoder(payload[1:], planes * rows, columns, levels)
    assert picture.shape == (planes * rows, columns) and picture.max() < levels
    return picture.reshape(planes, rows, columns)


def inflate(data: bytes, size: int) -> bytes:
    """Raw LZMA2 under the dictionary that the page gives a reader."""
    dictionary = max(4096, min(size, 2**26))
    decoder = lzma.LZMADecompressor(
        lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": dictionary}]
    )
    out = decoder.decompress(data)
    assert len(out) == size and decoder.eof and not decoder.unused_data
    return out


def lzma2(data: bytes, rows: int, columns: int, levels: int) -> Array:
    return np.frombuffer(inflate(data, rows * columns), np.uint8).reshape(rows, columns)


def sevenzip(data: bytes, rows: int, columns: int, levels: int) -> Array:
    """A plain archive begins with its only packed stream, behind 32 bytes of start header."""
    assert data[:6] == b"7z\xbc\xaf\x27\x1c"
    offset, length, crc = struct.unpack("<QQI", data[12:32])
    assert zlib.crc32(data[12:32]) == int.from_bytes(data[8:12], "little")
    header = data[32 + offset : 32 + offset + length]
    assert zlib.crc32(header) == crc
    head = f"P5\n{columns} {rows}\n{levels - 1}\n".encode("ascii")
    member = inflate(data[32 : 32 + offset], len(head) + rows * columns)
    assert member[: len(head)] == head
    return np.frombuffer(member[len(head) :], np.uint8).reshape(rows, columns)


def j2k(data: bytes, rows: int, columns: int, levels: int) -> Array:
    return imagecodecs.jpeg2k_decode(data).astype(np.uint8)


def jxl(data: bytes, rows: int, columns: int, levels: int) -> Array:
    return imagecodecs.jpegxl_decode(data)


def jpegls(data: bytes, rows: int, columns: int, levels: int) -> Array:
    return imagecodecs.jpegls_decode(data)


def webp(data: bytes, rows: int, columns: int, levels: int) -> Array:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))[..., 1]


# --- networks


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def model_id(*paths: Path) -> bytes:
    return hashlib.sha256("".join(map(digest, paths)).encode("ascii")).digest()[:8]


def run(path: Path, threads: int, *inputs: Array) -> Array:
    """A network over arrays 1 x planes x rows x columns, in the order of its inputs."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed = {
        node.name: value.astype(np.float32) for node, value in zip(session.get_inputs(), inputs, strict=True)
    }
    return np.asarray(session.run(None, feed)[0])


# --- sections 2 to 4: deep sampling


@dataclass
class Sampled:
    """A file of method 1 up to the networks."""

    file: File
    scale: int
    levels: int
    chroma_levels: int
    model: bytes
    luma: Array
    chroma: Array | None
    alpha: Array | None


def sampled(file: File) -> Sampled:
    parameters = file.sections["PARM"]
    s, levels, chroma_levels = parameters[0], parameters[1] + 1, parameters[2] + 1
    height, width = file.height, file.width
    if file.colour:
        rows, columns = math.ceil(height / (2 * s)), math.ceil(width / (2 * s))
        luma = symbols(file.sections["LUMA"], 1, 2 * rows, 2 * columns, levels)
        chroma = symbols(file.sections["CHRO"], 2, rows, columns, chroma_levels)
    else:
        luma = symbols(file.sections["LUMA"], 1, math.ceil(height / s), math.ceil(width / s), levels)
        chroma = None
    return Sampled(file, s, levels, chroma_levels, parameters[3:11], luma, chroma, alpha_of(file))


def alpha_of(file: File) -> Array | None:
    if file.mode not in ("LA", "RGBA"):
        return None
    if file.sections["ALPH"][0] >= 16:
        return imagecodecs.avif_decode(alpha_file(file)).reshape(file.height, file.width)
    return symbols(file.sections["ALPH"], 1, file.height, file.width, 256)[0]


def alpha_file(file: File) -> bytes:
    """Alpha that is AVIF."""
    form, coded = file.sections["ALPH"][0], file.sections["ALPH"][1:]
    if form == 16:
        return coded
    assert form == 20
    grey = File(
        file.version, 2, "L", file.width, file.height, {"BASE": b"\x14", "PARM": file.sections["PARM"]}
    )
    return avif_of(grey, coded)


def latents(coded: Sampled) -> tuple[Array, Array | None]:
    """Section 4, step 1."""
    y = coded.luma / (coded.levels - 1)
    if coded.chroma is None:
        return y, None
    q = coded.chroma_levels
    return y, coded.chroma / (q - 1) - (math.floor(q / 2) / (q - 1) - 128 / 255)


def pixels_of(y: Array, chroma: Array | None) -> Array:
    """Step 4: (rows, columns, 1 or 3) of 0 .. 255."""
    if chroma is None:
        values = y[0][..., None]
    else:
        n = 128 / 255
        cb, cr = chroma[0] - n, chroma[1] - n
        values = np.stack(
            [y[0] + 1.402 * cr, y[0] - 0.344136286 * cb - 0.714136286 * cr, y[0] + 1.772 * cb], -1
        )
    return np.clip(np.floor(255 * values + 0.5), 0, 255).astype(np.uint8)


def sampled_picture(coded: Sampled, threads: int) -> Array:
    ups = [
        up.with_name(up.name.replace("-chroma_up.", "-up.")) for up in MODELS.glob("*-chroma_up.onnx")
    ]  # a look has no chroma_up of its own
    pairs = {model_id(up, up.with_name(up.name.replace("-up.", "-chroma_up."))): up for up in ups}
    up = pairs[coded.model]
    y, c = latents(coded)
    luma = np.floor(65535 * np.clip(run(up, threads, y[None])[0], 0, 1) + 0.5) / 65535
    chroma = None
    if c is not None:
        assert coded.chroma is not None
        if (coded.chroma == coded.chroma_levels // 2).all():
            chroma = np.full((2, *luma.shape[1:]), 128 / 255)
        else:
            chroma_up = up.with_name(up.name.replace("-up.", "-chroma_up."))
            chroma = run(chroma_up, threads, c[None], luma[None])[0]
    pixels = pixels_of(luma, chroma)[: coded.file.height, : coded.file.width]
    return with_alpha(pixels, coded.alpha)


def sampled_small(coded: Sampled) -> Array:
    """The low-resolution picture: the end of section 4."""
    y, c = colours(coded, *latents(coded))
    if c is not None:
        c = c.repeat(2, axis=1).repeat(2, axis=2)
    rows, columns = math.ceil(coded.file.height / coded.scale), math.ceil(coded.file.width / coded.scale)
    pixels = pixels_of(y, c)[:rows, :columns]
    return with_alpha(pixels, small_alpha(coded.alpha, coded.scale))


def colours(coded: Sampled, y: Array, c: Array | None) -> tuple[Array, Array | None]:
    """What latents are shown as, by the model's row."""
    rows = tomllib.loads((MODELS / "manifest.toml").read_text("utf-8"))["model"]
    known = [row["layer_map"] for row in rows if bytes.fromhex(row["wire_id"]) == coded.model]
    if not known:
        return y, c
    (model,) = known
    y = np.interp(y, model["luma"], np.arange(17) / 16)
    q = coded.chroma_levels
    if c is None or coded.chroma is None or (coded.chroma == q // 2).all():
        return y, c
    x, z = c[0] - model["neutral"][0], c[1] - model["neutral"][1]
    powers = [x, z, x**2, x * z, z**2, x**3, x**2 * z, x * z**2, z**3]
    shown = np.stack([128 / 255 + sum(k * p for k, p in zip(model[name], powers)) for name in ("cb", "cr")])
    shift = math.floor(q / 2) / (q - 1) - 128 / 255
    grey = [math.floor((q - 1) * min(1, max(0, n + shift)) + 0.5) for n in model["neutral"]]
    shown[:, (coded.chroma[0] == grey[0]) & (coded.chroma[1] == grey[1])] = 128 / 255
    height, width = x.shape
    edges = iter(model["edges"])
    for places in ((0, 1), (width - 1, width - 2)):
        for i in places:
            a, b, k, d, e, f = next(edges)
            if 0 <= i < width:
                shown[0, :, i] += a + b * x[:, i] + k * z[:, i]
                shown[1, :, i] += d + e * x[:, i] + f * z[:, i]
    for places in ((0, 1), (height - 1, height - 2)):
        for i in places:
            a, b, k, d, e, f = next(edges)
            if 0 <= i < height:
                shown[0, i] += a + b * x[i] + k * z[i]
                shown[1, i] += d + e * x[i] + f * z[i]
    return y, np.clip(shown, 0, 1)


def small_alpha(alpha: Array | None, s: int) -> Array | None:
    """The mean of each s x s block, rounded half up."""
    if alpha is None:
        return None
    rows, columns = math.ceil(alpha.shape[0] / s), math.ceil(alpha.shape[1] / s)
    padded = np.pad(
        alpha, ((0, rows * s - alpha.shape[0]), (0, columns * s - alpha.shape[1])), "edge"
    ).astype(int)
    sums = padded.reshape(rows, s, columns, s).sum((1, 3))
    return ((2 * sums + s * s) // (2 * s * s)).astype(np.uint8)


def with_alpha(pixels: Array, alpha: Array | None) -> Array:
    return pixels if alpha is None else np.concatenate([pixels, alpha[..., None]], -1)


# --- section 5: restored


def box(kind: str, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind.encode("ascii") + content


def scale_of(file: File) -> int:
    """Of either form of PARM."""
    first = file.sections["PARM"][0]
    return first & 63 if first > 127 else first


def base_size(file: File) -> tuple[int, int]:
    """Rows and columns of the base picture."""
    scale = scale_of(file)
    return math.ceil(file.height / scale), math.ceil(file.width / scale)


def avif_of(file: File, obus: bytes) -> bytes:
    """Short forms 20 and 23: the boxes that the page draws, and the OBUs."""
    deep = file.sections["BASE"][0] == 23
    n, colour = len(obus), file.colour
    rows, columns = base_size(file)
    level = (obus[4] & 7) << 2 | obus[5] >> 6
    brands = b"avif" + bytes(4) + b"avifmif1miaf" + (b"MA1A" if colour else b"")
    samples = bytes([3, *[10 if deep else 8] * 3]) if colour else bytes([1, 10 if deep else 8])
    high = 0x40 if deep else 0
    coded = bytes([0x81, 0x20 + level, high, 0]) if colour else bytes([0x81, level, 0x1C | high, 0])
    properties = box("ispe", bytes(4) + struct.pack(">II", columns, rows))
    properties += box("pixi", bytes(4) + samples) + box("av1C", coded)
    properties += box("colr", b"nclx" + bytes.fromhex("0001000d000680"))
    place = bytes.fromhex("0000000044000001000100000001") + struct.pack(">II", 275 if colour else 269, n)
    item = box("infe", bytes.fromhex("0200000000010000") + b"av01Color" + bytes(1))
    meta = bytes(4) + box("hdlr", bytes(8) + b"pict" + bytes(13)) + box("pitm", bytes.fromhex("000000000001"))
    meta += box("iloc", place) + box("iinf", bytes.fromhex("000000000001") + item)
    links = box("ipma", bytes.fromhex("000000000000000100010401028304"))
    meta += box("iprp", box("ipco", properties) + links)
    return box("ftyp", brands) + box("meta", meta) + box("mdat", obus)


def jpeg_of(short: bytes) -> bytes:
    """Short form 21, by libjxl."""
    (r,) = struct.unpack_from("<H", short, 0)
    (m,) = struct.unpack_from("<H", short, 2 + r)
    codestream = short[4 + r :]
    boxes = box("JXL ", bytes.fromhex("0d0a870a")) + box("ftyp", b"jxl " + bytes(4) + b"jxl ")
    boxes += box("jxlp", bytes(4) + codestream[:m]) + box("jbrd", short[2 : 2 + r])
    boxes += box("jxlp", bytes.fromhex("80000001") + codestream[m:])
    return bytes(imagecodecs.jpegxl_decode_jpeg(boxes))


QCD = """ff 5c 00 23 42 77 20 76 f0 76 f0 76 c0 6f 00 6f 00 6e e0 67 50 67 50 67 68 50 05 50 05 50 47 57 d3 57 d3 57 62"""


def j2k_of(file: File, packets: bytes) -> bytes:
    """Short form 22: the segments that the page lists, the packets, and EOC."""
    (rows, columns), count = base_size(file), 3 if file.colour else 1
    out = bytes.fromhex("ff4f ff51 00") + bytes([0x2F if file.colour else 0x29, 0, 0])
    out += struct.pack(">8I", columns, rows, 0, 0, columns, rows, 0, 0)
    out += bytes([0, count]) + bytes([7, 1, 1]) * count
    out += (
        bytes.fromhex("ff52 000c 00 00 0001") + bytes([count == 3]) + bytes.fromhex("05 04 04 00 00 " + QCD)
    )
    out += bytes.fromhex("ff64 0025 0001") + b"Created by OpenJPEG version 2.5.4"
    out += (
        bytes.fromhex("ff90 000a 0000") + struct.pack(">I", len(packets) + 14) + bytes.fromhex("00 01 ff93")
    )
    return out + packets + bytes.fromhex("ffd9")


def base_file(file: File) -> bytes:
    """The base codec's own file."""
    form, rest = file.sections["BASE"][0], file.sections["BASE"][1:]
    if form in (20, 23):
        return avif_of(file, rest)
    if form == 21:
        return jpeg_of(rest)
    if form == 22:
        return j2k_of(file, rest)
    assert form in (16, 17, 18, 19)
    return rest


def exact_picture(file: File) -> Array | None:
    """Forms 24 and 25: (H, W, channels); None of a base codec's."""
    form, rest = file.sections["BASE"][0], file.sections["BASE"][1:]
    channels = len(file.mode)
    if form == 24:
        return imagecodecs.jpegxl_decode(rest).reshape(file.height, file.width, channels)
    if form != 25:
        return None
    lead = file.width - 1 + 2**14 * (file.height - 1) + (2**28 if channels in (2, 4) else 0)
    stream = b"\x2f" + struct.pack("<I", lead) + rest
    chunk = b"VP8L" + struct.pack("<I", len(stream)) + stream + bytes(len(stream) % 2)
    with Image.open(io.BytesIO(b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk)) as image:
        pixels = np.asarray(image.convert("RGBA"))
    return pixels[..., {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]]


def original(file: File) -> bytes:
    """Section rest: the file that was kept."""
    section, at = file.sections["rest"], 0

    def varint() -> int:
        nonlocal at
        value, at = varint_at(section, at)
        return value

    length = varint()
    how, section = section[at], section[at + 1 :]
    if how == 1:
        section = inflate(section, length)
    assert how in (0, 1) and len(section) == length
    at = 0
    pieces = [(varint(), varint(), varint()) for _ in range(varint())]
    source = base_file(file) + b"".join(file.sections.get(tag, b"") for tag in ("iccp", "exif", "xmp "))
    if len(file.mode) in (2, 4) and file.sections["ALPH"][0] >= 16:
        source += alpha_file(file)
    out = b""
    for offset, copied, literal in pieces:
        out += source[offset : offset + copied] + section[at : at + literal]
        at += literal
    assert at == length
    return out


def deep_picture(file: File) -> Array | None:
    """Samples of 0 .. 1023, (ceil(H/s), ceil(W/s), 3); None where the file has 8 bits a sample."""
    if file.sections["BASE"][0] not in (16, 23):
        return None
    pixels = imagecodecs.avif_decode(base_file(file))
    return pixels if pixels.dtype == np.uint16 else None


def base_picture(file: File) -> Array:
    """(ceil(H/s), ceil(W/s), 1 or 3), as any program shows it."""
    deep = deep_picture(file)
    if deep is not None:
        return ((255 * deep.astype(np.int64) + 511) // 1023).astype(np.uint8)
    form, data = file.sections["BASE"][0], base_file(file)
    if form in (18, 19, 22):
        pixels = (imagecodecs.jpegxl_decode if form == 18 else imagecodecs.jpeg2k_decode)(data)
    else:
        with Image.open(io.BytesIO(data)) as image:
            pixels = np.asarray(image.convert("RGB" if file.colour else "L"))
    return pixels.reshape(*base_size(file), 3 if file.colour else 1)


def doubled(b: Array) -> Array:
    """Scale 2, before it is cut: along each column, then along each row."""
    r0, r1, r2, r3 = -9, 111, 29, -3
    t = b.astype(np.int64)
    for axis in (0, 1):
        count = t.shape[axis]

        def at(step: int) -> Array:
            return t.take(np.clip(np.arange(count) + step, 0, count - 1), axis)

        even = r3 * at(-2) + r2 * at(-1) + r1 * at(0) + r0 * at(1)
        odd = r0 * at(-1) + r1 * at(0) + r2 * at(1) + r3 * at(2)
        t = np.stack([even, odd], axis + 1).reshape(*t.shape[:axis], 2 * count, *t.shape[axis + 1 :])
    return np.clip((t + 8192) >> 14, 0, 255)


def restored_picture(file: File, threads: int) -> Array:
    exact = exact_picture(file)
    if exact is not None:
        assert file.sections["PARM"] == b""
        return exact
    parameters = file.sections["PARM"]
    weighed = parameters[0] > 127
    scale, q, p, t = scale_of(file), *parameters[1:4]
    weights = list(struct.unpack(f"{len(parameters) - 8}b", parameters[8:])) if weighed else []
    identity = parameters[4:8] if weighed else parameters[5:]
    base = base_picture(file)
    if scale == 2:
        base = doubled(base)[: file.height, : file.width].astype(np.uint8)
    if not any(weights) and (weighed or t == 0):
        return with_alpha(base, alpha_of(file))
    deep = deep_picture(file) if scale == 1 else None
    if deep is not None:
        base = 255 * deep.astype(np.float64) / 1023
    rows = tomllib.loads((MODELS / "manifest.toml").read_text("utf-8"))["restorer"]
    (row,) = (r for r in rows if model_id(MODELS / r["files"]["restore"]["name"]).startswith(identity))
    block = row["config"]["block"]
    below, right = -file.height % block, -file.width % block
    x = np.pad(base, ((0, below), (0, right), (0, 0)), "edge").astype(np.float32)
    x = np.repeat(x, 3, axis=2) if not file.colour else x
    x = (x / 255).transpose(2, 0, 1)[None]
    known = [np.full((1, 1, 1, 1), value) for value in (q / 100, 10 ** (-p / 80))]
    y = run(MODELS / row["files"]["restore"]["name"], threads, x, *known)
    if weighed:
        corrections = y[0].reshape(len(weights), 3, *y.shape[2:])
        added = sum(w / 32 * one for w, one in zip(weights, corrections))
    else:
        added = t / 64 * (y - x)[0]
    c = 255 * added[:, : file.height, : file.width].transpose(1, 2, 0)
    if not file.colour:
        c = (c @ np.array([0.299, 0.587, 0.114]))[..., None]
    values = np.floor(np.clip(base + c, 0, 255) + 0.5)
    return with_alpha(values.astype(np.uint8), alpha_of(file))


# --- sections 6 and 7: a network fitted to the picture


class Integers:
    """Section 7: bits, then integers."""

    def __init__(self, section: bytes) -> None:
        self.bytes = iter(section)
        self.r, self.c = 2**32 - 1, 0
        for _ in range(4):
            self.c = 256 * self.c + next(self.bytes, 0)

    def bit(self, p: int) -> int:
        b = self.r // 65536 * p
        one = self.c < b
        self.r, self.c = (b, self.c) if one else (self.r - b, self.c - b)
        while self.r < 2**24:
            self.r, self.c = 256 * self.r, (256 * self.c + next(self.bytes, 0)) % 2**32
        return int(one)

    def counted(self, contexts: dict[Any, list[int]], name: Any) -> int:
        t, n = contexts.setdefault(name, [0, 0])
        found = self.bit(min(max((2 * t + 1) * 2**15 // (n + 1), 64), 65472))
        t, n = t + found, n + 1
        contexts[name] = [t // 2, n // 2] if n == 1024 else [t, n]
        return found

    def read(self, count: int) -> Array:
        contexts: dict[Any, list[int]] = {}
        found = []
        for _ in range(count):
            digits = 0
            while digits < 15 and self.counted(contexts, digits):
                digits += 1
            m = min(digits, 1)
            for at in range(digits - 1):
                m = 2 * m + (self.counted(contexts, (digits, m)) if at < 2 else self.bit(32768))
            found.append(-m if m and self.bit(32768) else m)
        return np.array(found, np.float64)


def step(code: int) -> float:
    return (8 + code % 8) / 8 * 2.0 ** (code // 8 - 24)


def drawn(file: File, width: int, height: int) -> Array:
    """Section 6, in double precision."""
    parameters = file.sections["PARM"]
    variant, layers, w, k = struct.unpack("<BBHB", parameters[:5])
    steps = [step(code) for code in parameters[5:]]
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    x, y = (part.ravel() for part in np.meshgrid(x, y))
    if variant == 1:
        dx, dy = (x - 0.5) * file.width, (y - 0.5) * file.height
        r = np.hypot(dx, dy) / (math.hypot(file.width, file.height) / 2)
        h = np.stack([x, y, 1 - x, 1 - y, r, np.arctan2(dy, dx) / (2 * np.pi) + 0.5])
    else:
        longer = max(file.width, file.height)
        u, v = (2 * x - 1) * file.width / longer, (2 * y - 1) * file.height / longer
        rows = [u, v]
        for o in range(k):
            rows += [f(2**o * np.pi * part) for f in (np.sin, np.cos) for part in (u, v)]
        h = np.stack(rows)
    sides = [len(h), *[w] * layers, 3 if file.colour else 1]
    integers = Integers(file.sections["NETW"])
    weights = [
        integers.read(columns * rows).reshape(rows, columns) * s
        for columns, rows, s in zip(sides, sides[1:], steps)
    ]
    biases = integers.read(sum(sides[1:])) * steps[-1]
    for at, a in enumerate(weights):
        b, biases = biases[: len(a), None], biases[len(a) :]
        h = a @ h + b
        if at < layers:
            h = np.tanh(h) if variant == 1 else np.sin(h)
    samples = 255 / (1 + np.exp(-h)) if variant == 1 else 255 * (h + 0.5)
    pixels = np.floor(np.clip(samples, 0, 255) + 0.5).clip(0, 255).astype(np.uint8)
    return pixels.reshape(-1, height, width).transpose(1, 2, 0)


def fitted_picture(file: File, threads: int) -> Array:
    return with_alpha(drawn(file, file.width, file.height), alpha_of(file))


# --- section 9: latent grids

UNITS = (12, 12, 16, 16, 16, 16)
RATIOS = [188707693, 244584679, 310256049, 385867793, 471297971, 566166053, 669856227, 781551376]


@dataclass
class Weights:
    """Those of the first two lists as whole numbers."""

    w1: Array
    w2: Array
    w3: Array
    b1: Array
    b2: Array
    b3: Array
    taps: Array
    p: Array
    q: Array
    s: Array
    hidden: Array
    out: Array
    k: Array


def start_file(start: bytes) -> Path:
    rows = tomllib.loads((MODELS / "manifest.toml").read_text("utf-8"))["start"]
    (path,) = (p for row in rows if model_id(p := MODELS / row["files"]["start"]["name"]).startswith(start))
    return path


def grid_weights(file: File) -> Weights:
    parameters = file.sections["PARM"]
    c, start = parameters[0], parameters[1:5]
    e = [byte >> shift & 15 for byte in parameters[5:] for shift in (0, 4)]
    shapes = [
        (0, (16, 16)),
        (0, (16, 16)),
        (0, (2, 16)),
        (1, (7, 16)),
        (1, (16,)),
        (1, (2,)),
        (2, (6, 4)),
        (3, (c, 7)),
        (3, (3, c)),
        (3, (3, 7)),
        (4, (c,)),
        (4, (3,)),
        (5, (3, 3, 3, 3)),
    ]
    total = sum(math.prod(shape) for _, shape in shapes)
    if start == bytes(4):
        before = np.zeros(total, np.int64)
        before[674:698] = [-1536, 14848, 56832, -4608] * 6
    else:
        before = np.fromfile(start_file(start), "<i4").astype(np.int64)
    integers, found, at = Integers(file.sections["NETW"]), [], 0
    for number, shape in shapes:
        count = math.prod(shape)
        d = integers.read(count).astype(np.int64)
        whole = before[at : at + count] + d * 2 ** (UNITS[number] - e[number])
        found.append(whole.reshape(shape) if number < 2 else whole.reshape(shape) / 65536)
        at += count
    return Weights(*found)


@functools.cache
def tails(s: int) -> list[int]:
    def ratio(s: int) -> int:
        return RATIOS[s] if s < 8 else math.isqrt(2**32 * ratio(s - 8))

    found, t = [], 2**31
    for _ in range(2048):
        found.append(t >> 8)
        t = t * ratio(s) >> 32
    return found


def cum(v: int, m: int, s: int) -> int:
    if v == -127:
        return 0
    if v == 128:
        return 2**24
    t, d = tails(s), 16 * v - 8 - m
    f = t[min(-d, 2047)] if d <= 0 else 2**24 - t[min(d, 2047)]
    return v + 127 + (f * (2**24 - 255) >> 24)


class Symbols:
    """The coder of section 9, over one band's bytes."""

    def __init__(self, data: bytes) -> None:
        self.bytes = iter(data)
        self.r, self.c = 2**56 - 1, 0
        for _ in range(7):
            self.c = 256 * self.c + next(self.bytes, 0)

    def read(self, m: int, s: int) -> int:
        r = self.r >> 24
        count = self.c // r
        v = -127
        while cum(v + 1, m, s) <= count:
            v += 1
        self.c -= r * cum(v, m, s)
        self.r = r * (cum(v + 1, m, s) - cum(v, m, s))
        while self.r < 2**48:
            self.r, self.c = 256 * self.r, 256 * self.c + next(self.bytes, 0)
        return v


def located(w: Weights, k: int, x: list[int]) -> tuple[int, int]:
    h1 = np.clip(w.b1[k] + w.w1 @ np.array(x), 0, 2**20)
    a2 = (w.b2 << 12) + w.w2 @ h1
    h2 = h1 + np.clip((a2 + 2**11) >> 12, 0, 2**20)
    o = (w.b3 << 12) + w.w3 @ h2
    m, s = int(o[0] + 2**19) >> 20, int(o[1] + 2**20) >> 21
    return min(max(m, -2032), 2032), min(max(s, 0), 95)


def band_of(w: Weights, data: bytes, shapes: list[tuple[int, int]]) -> list[Array]:
    coder = Symbols(data)
    grids: list[Array] = [np.zeros((0, 0), int)] * 9  # two beyond the last, of no cells
    for k in range(6, -1, -1):
        rows, columns = shapes[k]
        grids[k] = np.zeros((rows, columns), int)

        def at(grid: int, y: int, x: int) -> int:
            inside = 0 <= y < grids[grid].shape[0] and 0 <= x < grids[grid].shape[1]
            return int(grids[grid][y, x]) if inside else 0

        for y, x in sorted(np.ndindex(rows, columns), key=lambda cell: (cell[1] + 3 * cell[0], cell[0])):
            v, u = y // 2, x // 2
            found = [at(k, y, x - n) for n in (1, 2, 3)]
            found += [at(k, y - 1, x + n) for n in (-2, -1, 0, 1, 2)]
            found += [at(k, y - 2, x + n) for n in (-1, 0, 1)] + [at(k, y - 3, x)]
            found += [
                at(k + 1, v, u),
                at(k + 1, v, u + (1 if x % 2 else -1)),
                at(k + 1, v + (1 if y % 2 else -1), u),
            ]
            found.append(at(k + 2, y // 4, x // 4))
            grids[k][y, x] = coder.read(*located(w, k, found))
    assert next(coder.bytes, None) is None
    return grids[:7]


def grid_symbols(file: File, w: Weights) -> list[Array]:
    lats, at, parts = file.sections["LATS"], 0, []
    heights, widths = [file.height], [file.width]
    for _ in range(6):
        heights.append(math.ceil(heights[-1] / 2))
        widths.append(math.ceil(widths[-1] / 2))
    count = math.ceil(file.height / 512)
    for b in range(count):
        length, at = varint_at(lats, at)
        ends = heights if b == count - 1 else [512 * (b + 1) >> k for k in range(7)]
        shapes = [(end - (512 * b >> k), width) for k, (end, width) in enumerate(zip(ends, widths))]
        parts.append(band_of(w, lats[at : at + length], shapes))
        at += length
    assert at == len(lats)
    return [np.concatenate(grids) for grids in zip(*parts)]


def doubled_plane(x: Array, a: Array) -> Array:
    """Step 2, along the first axis."""
    padded = np.pad(x, ((2, 2), (0, 0)), "edge")
    one, two, three, four, five = (padded[n : n + len(x)] for n in range(5))
    out = np.empty((2 * len(x), x.shape[1]))
    out[::2] = a[0] * one + a[1] * two + a[2] * three + a[3] * four
    out[1::2] = a[3] * two + a[2] * three + a[1] * four + a[0] * five
    return out


def noise_plane(seed: int, k: int, rows: int, columns: int) -> Array:
    """n_k of all pixels."""
    found = np.empty((rows, columns))
    for y, x in np.ndindex(rows, columns):
        h = (0x9E3779B1 * (x >> k) + 0x85EBCA77 * (y >> k) + 0xC2B2AE3D * k + seed) % 2**32
        h = (h ^ h >> 16) * 0x7FEB352D % 2**32
        h = (h ^ h >> 15) * 0x846CA68B % 2**32
        found[y, x] = (sum((h ^ h >> 16).to_bytes(4, "little")) - 510) / 128
    return found


def texture_of(file: File, v: Array) -> Array:
    """What the units add to g."""
    section = file.sections["txtr"]
    units = section[0]
    assert 1 <= units <= 16
    integers, seed = Integers(section[1:]), zlib.crc32(file.sections["LATS"])
    a = integers.read(10 * units).reshape(units, 10) / 16
    lift, g = integers.read(units) / 16, integers.read(3 * units).reshape(3, units) / 128
    u = np.concatenate([np.stack([noise_plane(seed, k, *v.shape[1:]) for k in range(3)]), v])
    return np.tensordot(g, np.maximum(np.tensordot(a, u, 1) + lift[:, None, None], 0), 1)


def grid_pixels(file: File, small: bool, textured: bool = False) -> Array:
    """Whole planes, in double precision."""
    w = grid_weights(file)
    grids = grid_symbols(file, w)
    level = 3 if small else 0
    planes = [grids[6].astype(np.float64)]
    for k in range(5, level - 1, -1):
        rows, columns = grids[k].shape
        more = [doubled_plane(doubled_plane(x, w.taps[k]).T, w.taps[k]).T[:rows, :columns] for x in planes]
        planes = [grids[k].astype(np.float64), *more]
    v = np.stack([np.zeros_like(planes[0])] * level + planes)
    h = np.maximum(np.tensordot(w.p, v, 1) + w.hidden[:, None, None], 0)
    g = np.tensordot(w.q, h, 1) + np.tensordot(w.s, v, 1) + w.out[:, None, None]
    if textured:
        g += texture_of(file, v)
    padded, c = np.pad(g, ((0, 0), (1, 1), (1, 1)), "edge"), g.copy()
    for o, i, r, s in np.ndindex(3, 3, 3, 3):
        c[o] += w.k[o, i, r, s] * padded[i, r : r + g.shape[1], s : s + g.shape[2]]
    if not file.colour:
        c = c.mean(0, keepdims=True)
    return np.floor(np.clip(255 * c, 0, 255) + 0.5).astype(np.uint8).transpose(1, 2, 0)


def grid_picture(file: File, threads: int) -> Array:
    return with_alpha(grid_pixels(file, small=False), alpha_of(file))


# --- all of it


DECODERS = {
    1: lambda file, threads: sampled_picture(sampled(file), threads),
    2: restored_picture,
    3: fitted_picture,
    4: grid_picture,
}


def decode(data: bytes, threads: int = 1) -> Array:
    """(H, W, channels)."""
    file = parse(data)
    return DECODERS[file.method](file, threads)


def decode_textured(data: bytes) -> Array:
    """Section 9 with its texture."""
    file = parse(data)
    return with_alpha(grid_pixels(file, small=False, textured=True), alpha_of(file))


def decode_small(data: bytes) -> Array:
    """What is shown as a preview: no network of ours is run."""
    file = parse(data)
    if file.method == 1:
        return sampled_small(sampled(file))
    if file.method == 3:
        return with_alpha(
            drawn(file, -(-file.width // 8), -(-file.height // 8)), small_alpha(alpha_of(file), 8)
        )
    if file.method == 4:
        return with_alpha(grid_pixels(file, small=True), small_alpha(alpha_of(file), 8))
    exact = exact_picture(file)
    if exact is not None:
        return exact
    return with_alpha(base_picture(file), small_alpha(alpha_of(file), scale_of(file)))
