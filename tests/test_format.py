"""The worked example of docs/format.md is a file that the code writes and reads."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np

import dsncodec
from dsncodec import container
from dsncodec.api import read_structure
from dsncodec.codecs.layer import read_layer

FORMAT = Path(__file__).parent.parent / "docs" / "format.md"


def worked_example() -> bytes:
    block = re.search(r"```hexdump\n(.*?)```", FORMAT.read_text("utf-8"), re.DOTALL)
    assert block
    lines = [re.match(r"(?:[0-9a-f]{2} )+", line) for line in block[1].splitlines()]
    return bytes.fromhex("".join(line[0] for line in lines if line))


def test_the_worked_example_decodes_to_what_the_page_says() -> None:
    data = worked_example()
    dsncodec.read_info(data)
    stream = io.BytesIO(data)
    header, sections, size_bytes = read_structure(stream, None)
    assert (header.mode, header.width, header.height, size_bytes) == ("L", 5, 3, len(data))
    layer = read_layer(header, dict(container.iter_payloads(stream, sections)))
    assert (layer.parameters.point.scale, layer.parameters.point.levels) == (3, 4)
    assert layer.luma.tolist() == [[[1, 2]]]
    assert np.asarray(dsncodec.decode(data, reduce=True)).tolist() == [[85, 170]]


def test_the_worked_example_is_what_we_write() -> None:
    data = worked_example()
    stream = io.BytesIO(data)
    header, sections, _ = read_structure(stream, None)
    payloads = dict(container.iter_payloads(stream, sections))
    assert container.pack(header, list(payloads.items())) == data


def test_the_tables_name_every_backend_mode_and_section() -> None:
    text = FORMAT.read_text("utf-8")
    from dsncodec.api import _KNOWN
    from dsncodec.backends import BACKENDS

    for name, row in BACKENDS.items():
        assert f"| {row.wire_id} | `{name}` |" in text
    for number, mode in container.MODES.items():
        assert f"{number} = {mode}" in text
    for tag in _KNOWN:
        assert f"| `{tag}` |" in text
