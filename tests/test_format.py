"""The worked examples of docs/format.md are files that the code writes and reads."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest

import dsncodec
from dsncodec import container, methods
from dsncodec.carriers import BACKENDS, BASE_CODECS, load_base
from dsncodec.methods.dsn import bitstream as layer
from dsncodec.methods.latentgrid import bitstream as grids
from dsncodec.methods.restored import bitstream as base
from dsncodec.methods.sections import read_structure

FORMAT = Path(__file__).parent.parent / "docs" / "format.md"


def worked_examples() -> list[bytes]:
    """One for each method, in the order of their numbers, and the first of them once more in version 1, last."""
    examples = []
    for block in re.findall(r"```hexdump\n(.*?)```", FORMAT.read_text("utf-8"), re.DOTALL):
        lines = [re.match(r"(?:[0-9a-f]{2}(?: |$))+", line) for line in block.splitlines()]
        examples.append(bytes.fromhex("".join(line[0] for line in lines if line)))
    assert len(examples) == len(container.METHODS) + 1
    dsn, dsn_1, restored, coconet, latentgrid = examples
    return [dsn, restored, coconet, latentgrid, dsn_1]


def sections_of(data: bytes) -> dict[str, bytes]:
    stream = io.BytesIO(data)
    _, sections, _ = read_structure(stream, None)
    return dict(container.iter_payloads(stream, sections))


@pytest.mark.parametrize("data", worked_examples()[::4], ids=["version 2", "version 1"])
def test_the_first_example_decodes_to_what_the_page_says(data: bytes) -> None:
    dsncodec.read_info(data)
    stream = io.BytesIO(data)
    header, sections, size_bytes = read_structure(stream, None)
    assert (header.mode, header.width, header.height, size_bytes) == ("L", 5, 3, len(data))
    coded = layer.parse(header, dict(container.iter_payloads(stream, sections)))
    assert (coded.parameters.point.scale, coded.parameters.point.levels) == (3, 4)
    assert coded.luma.tolist() == [[[1, 2]]]
    assert np.asarray(dsncodec.decode(data, preview=True)).tolist() == [[85, 170]]


def test_the_second_example_decodes_to_what_the_page_says() -> None:
    data = worked_examples()[1]
    dsncodec.verify(data)
    info = dsncodec.read_info(data)
    assert (info.method, info.mode, info.size, info.base_quality) == ("restored", "L", (5, 3), 50)
    assert (info.strength, info.gain_db, info.model, info.backends) == (0, 0, "", {"BASE": "jpeg"})
    assert np.asarray(dsncodec.decode(data)).tolist() == [[128] * 5] * 3


def test_the_third_example_decodes_to_what_the_page_says() -> None:
    data = worked_examples()[2]
    dsncodec.verify(data)
    info = dsncodec.read_info(data)
    assert (info.method, info.mode, info.size, info.model) == ("coconet", "L", (5, 3), "sine, 1 x 1")
    assert np.asarray(dsncodec.decode(data)).tolist() == [[82, 103, 128, 152, 173]] * 3


def test_the_fourth_example_decodes_to_what_the_page_says() -> None:
    data = worked_examples()[3]
    dsncodec.verify(data)
    info = dsncodec.read_info(data)
    assert (info.method, info.mode, info.size, info.model) == (
        "latentgrid",
        "L",
        (5, 3),
        "zero init, width 8",
    )
    assert np.asarray(dsncodec.decode(data)).tolist() == [[64, 96, 128, 159, 191]] * 3
    header, sections = container.read_header(io.BytesIO(data)), sections_of(data)
    symbols = grids.parse(header, sections).grids()
    assert symbols[0].tolist() == [[-2, -1, 0, 1, 2]] * 3 and symbols[6].tolist() == [[4]]
    assert not any(grid.any() for grid in symbols[1:6])


def test_parameters_of_a_restored_picture_are_what_the_page_says() -> None:
    parameters = base.Parameters(quality=70, psnr_db=33.5, strength=80, gain_db=0.46, model_id=b"abcd")
    packed = parameters.pack()
    assert packed == bytes([1, 70, 134, 80, 23]) + b"abcd"
    assert base.Parameters.unpack(packed) == parameters


@pytest.mark.parametrize("data", worked_examples()[:4], ids=list(methods.METHODS))
def test_a_worked_example_is_what_we_write(data: bytes) -> None:
    header = container.read_header(io.BytesIO(data))
    assert container.pack(header, list(sections_of(data).items())) == data


@pytest.mark.parametrize(("base", "length"), [("avif", 275), ("j2k", 155)])
def test_the_file_around_a_coded_picture_is_what_the_page_says(base: str, length: int) -> None:
    """The page's table of bytes, read by machine."""
    module, shape = load_base(base), (35, 47, 3)
    table = re.search(rf"```\ncolour, {length} bytes.*?```", FORMAT.read_text("utf-8"), re.DOTALL)
    assert table is not None
    left = [re.split(r" {3,}", line.strip())[0] for line in table[0].splitlines()[2:-1]]
    file = module.encode(np.zeros(shape, np.uint8), 50, 5, 1)
    coded = module.strip_container(file, shape)
    level = (coded[4] & 7) << 2 | coded[5] >> 6
    n = len(coded)
    numbers = {"0": 0, "275": 275, "n": n, "n + 8": n + 8, "n + 14": n + 14, "columns": 47, "rows": 35}
    made = b""
    for token in re.findall(r"00 x \d+|\(20 \+ level\)|<[^>]*>|\"[^\"]*\"|[0-9a-f]{2}", " ".join(left)):
        if token.startswith("00 x"):
            made += bytes(int(token[4:]))
        elif token.startswith("("):
            made += bytes([0x20 + level])
        elif token.startswith("<"):
            made += numbers[token[1:-1]].to_bytes(4, "big")
        else:
            made += token[1:-1].encode() if token.startswith('"') else bytes([int(token, 16)])
    assert len(made) == length
    assert file.startswith(made + coded)


def test_the_tables_name_every_backend_mode_and_section() -> None:
    text = FORMAT.read_text("utf-8")
    for name, row in (BACKENDS | BASE_CODECS).items():
        for number in {row.wire_id, getattr(row, "short_id", None)} - {None}:
            assert f"| {number} | `{name}` |" in text
    for number, mode in container.MODES.items():
        assert f"{number} = {mode}" in text
    for number in container.METHODS:
        assert re.search(rf"\b{number} = [^|]*\(section \d", text)
    tags = {"iccp", "exif", "xmp ", "dpi "}.union(*(methods.parser(name).TAGS for name in methods.METHODS))
    assert tags == {"PARM", *container.TAGS.values()}
    for code, tag in ({"none": "PARM"} | container.TAGS).items():
        assert f"| {code} | `{tag}` |" in text
