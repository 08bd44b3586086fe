"""Files of method restored: parameters, and what a file may not say."""

from __future__ import annotations

import pytest

import dsncodec
from dsncodec.container import Header
from dsncodec.errors import (
    Corrupt,
    UnsupportedVersion,
)
from dsncodec.methods.restored.bitstream import NO_MODEL, UNIT_STRENGTH, Parameters, Parsed, parse

from .conftest import packed_1
from .restored import EVERY_BASE, Use, packed, parts, row_of

PARM = Parameters(40, 31.25, 64, 0.5, b"abcd").pack()


PARM_1 = PARM + b"efgh"  # as container version 1 has it


def test_parameters_survive() -> None:
    assert len(PARM) == 9
    assert Parameters.unpack(PARM) == Parameters(40, 31.25, 64, 0.5, b"abcd")
    assert Parameters.unpack(PARM_1) == Parameters(40, 31.25, 64, 0.5, b"abcdefgh")
    assert Parameters(40, 31.25, 64, 0.5, b"abcdefgh").pack() == PARM
    extremes = Parameters(100, 1e9, 255, 1e9, b"\xff" * 8).rounded()
    assert (extremes.psnr_db, extremes.gain_db) == (63.75, 255 * 0.02)
    assert Parameters(0, -3.0, 0, -3.0, NO_MODEL).rounded() == Parameters(0, 0.0, 0, 0.0, NO_MODEL)
    assert UNIT_STRENGTH == 64


@pytest.mark.parametrize(
    "parameters",
    [
        b"",
        PARM[:-1],
        PARM + b"\0",
        b"\0" + PARM[1:],
        b"\3" + PARM[1:],
        PARM[:1] + b"\x65" + PARM[2:],
        PARM[:1] + b"\xff" + PARM[2:],
        PARM[:-4] + bytes(4),
        PARM[:-4],
        PARM_1[:-8] + bytes(8),
    ],
    ids=repr,
)
def test_impossible_parameters(parameters: bytes) -> None:
    header, sections = parts()
    data = packed(header, {**sections, "PARM": parameters})
    for action in (
        dsncodec.decode,
        dsncodec.read_info,
        dsncodec.verify,
        lambda d: dsncodec.decode(d, preview=True),
    ):
        with pytest.raises(Corrupt) as caught:
            action(data)
        assert caught.value.field == "PARM"


@pytest.mark.parametrize("tag", ["PARM", "BASE", "ALPH"])
def test_a_missing_section_is_named(tag: str) -> None:
    header, sections = parts()
    del sections[tag]
    for action in (dsncodec.decode, dsncodec.verify):
        with pytest.raises(Corrupt, match="missing") as caught:
            action(packed_1(header, list(sections.items())))
        assert caught.value.field == tag


def test_sections_of_the_other_method_are_refused() -> None:
    header, sections = parts()
    with pytest.raises(UnsupportedVersion, match="critical"):
        dsncodec.verify(packed(header, {**sections, "LUMA": sections["ALPH"]}))


def test_an_unknown_network_is_named_and_the_base_picture_still_shows() -> None:
    header, sections = parts()
    expected = dsncodec.decode(packed(header, sections), preview=True).tobytes()
    data = packed(header, {**sections, "PARM": PARM})
    for action in (dsncodec.decode, dsncodec.verify):
        with pytest.raises(UnsupportedVersion, match=b"abcd".hex()) as caught:
            action(data)
        assert caught.value.field == "model"
    assert dsncodec.decode(data, preview=True).tobytes() == expected
    info = dsncodec.read_info(data)
    assert (info.model, info.model_id) == ("unknown", b"abcd".hex())


def test_a_network_of_another_base_codec(use: Use) -> None:
    row = row_of("avif")
    use(row)
    header, sections = parts("jpeg")
    data = packed(header, {**sections, "PARM": Parameters(40, 31.25, 64, 0.5, row.wire_id).pack()})
    for action in (dsncodec.decode, dsncodec.verify):
        with pytest.raises(Corrupt, match="network smoother is not for base codec jpeg"):
            action(data)
    assert dsncodec.decode(data, preview=True).size == (9, 8)


def test_unknown_codecs_in_a_file() -> None:
    header, sections = parts()
    for tag in ("BASE", "ALPH"):
        data = packed(header, {**sections, tag: b"\x63" + sections[tag][1:]})
        for action in (dsncodec.decode, dsncodec.verify, dsncodec.read_info):
            with pytest.raises(UnsupportedVersion, match="99"):
                action(data)


@EVERY_BASE
def test_a_layer_of_another_size_is_refused(base: str) -> None:
    _, sections = parts(base)
    for other in (Header("restored", "RGBA", 9, 80), Header("restored", "RGB", 8, 9)):
        with pytest.raises(Corrupt):
            parse(other, sections)
    grey_header = Header("restored", "L", 9, 8)  # colour where grey is due
    if base in ("jpeg", "jxl", "j2k"):
        with pytest.raises(Corrupt):
            parse(grey_header, sections)
    else:  # one plane of it
        grey = parse(grey_header, sections)
        assert isinstance(grey, Parsed) and grey.preview().shape == (8, 9, 1)
