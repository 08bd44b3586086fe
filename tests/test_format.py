"""The worked examples of docs/format.md are files that the code writes and reads."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest

import dsncodec
from dsncodec import codecs, container
from dsncodec.api import read_structure
from dsncodec.backends import BACKENDS, BASE_CODECS
from dsncodec.codecs import base, layer

FORMAT = Path(__file__).parent.parent / "docs" / "format.md"


def worked_examples() -> list[bytes]:
    """One for each method, in the order of their numbers."""
    examples = []
    for block in re.findall(r"```hexdump\n(.*?)```", FORMAT.read_text("utf-8"), re.DOTALL):
        lines = [re.match(r"(?:[0-9a-f]{2}(?: |$))+", line) for line in block.splitlines()]
        examples.append(bytes.fromhex("".join(line[0] for line in lines if line)))
    assert len(examples) == len(container.METHODS)
    return examples


def test_the_first_example_decodes_to_what_the_page_says() -> None:
    data = worked_examples()[0]
    dsncodec.read_info(data)
    stream = io.BytesIO(data)
    header, sections, size_bytes = read_structure(stream, None)
    assert (header.mode, header.width, header.height, size_bytes) == ("L", 5, 3, len(data))
    coded = layer.read_layer(header, dict(container.iter_payloads(stream, sections)))
    assert (coded.parameters.point.scale, coded.parameters.point.levels) == (3, 4)
    assert coded.luma.tolist() == [[[1, 2]]]
    assert np.asarray(dsncodec.decode(data, reduce=True)).tolist() == [[85, 170]]


def test_the_second_example_decodes_to_what_the_page_says() -> None:
    data = worked_examples()[1]
    dsncodec.verify(data)
    info = dsncodec.read_info(data)
    assert (info.method, info.mode, info.size, info.base_quality) == ("restored", "L", (5, 3), 50)
    assert (info.strength, info.gain_db, info.model, info.backends) == (0, 0, "", {"BASE": "jpeg"})
    assert np.asarray(dsncodec.decode(data)).tolist() == [[128] * 5] * 3


def test_parameters_of_a_restored_picture_are_what_the_page_says() -> None:
    parameters = base.Parameters(quality=70, psnr_db=33.5, strength=80, gain_db=0.46, model_id=b"abcdefgh")
    packed = parameters.pack()
    assert packed == bytes([1, 70, 134, 80, 23]) + b"abcdefgh"
    assert base.Parameters.unpack(packed) == parameters


@pytest.mark.parametrize("data", worked_examples(), ids=["dsn", "restored"])
def test_a_worked_example_is_what_we_write(data: bytes) -> None:
    stream = io.BytesIO(data)
    header, sections, _ = read_structure(stream, None)
    payloads = dict(container.iter_payloads(stream, sections))
    assert container.pack(header, list(payloads.items())) == data


def test_the_tables_name_every_backend_mode_and_section() -> None:
    text = FORMAT.read_text("utf-8")
    for name, row in (BACKENDS | BASE_CODECS).items():
        assert f"| {row.wire_id} | `{name}` |" in text
    for number, mode in container.MODES.items():
        assert f"{number} = {mode}" in text
    for number in container.METHODS:
        assert re.search(rf"\b{number} = [^|]*\(section \d", text)
    for tag in {"iccp", "exif", "xmp "}.union(*(codecs.load_layer(name).TAGS for name in codecs.METHODS)):
        assert f"| `{tag}` |" in text
