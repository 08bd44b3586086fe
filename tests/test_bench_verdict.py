"""What a report says first: its verdict in words; and that its plots are drawn as the page draws."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra [bench])")

from dsncodec.bench import plots, report
from dsncodec.bench.page import colours

CODECS = [
    {"key": "restored", "label": "dsncodec", "detail": "", "kind": "ours"},
    {"key": "restored-psnr", "label": "dsncodec tune=psnr", "detail": "", "kind": "ours"},
    {"key": "avif-pillow", "label": "AVIF", "detail": "", "kind": "peer"},
    {"key": "avif", "label": "AVIF tune=psnr", "detail": "", "kind": "peer"},
    {"key": "jpeg", "label": "JPEG", "detail": "", "kind": "peer"},
    {"key": "twin-x2", "label": "twin", "detail": "", "kind": "twin"},
]


def found() -> dict[str, Any]:
    """A report, as far as the verdict reads it."""
    percents = {"restored": -14.6, "restored-psnr": 8.3, "avif": 19.0, "jpeg": 90.9}
    one = {
        "name": "set",
        "pictures": 12,
        "curves": {
            codec["key"]: [{"bpp": 0.1, "psnr_db": 30.0}, {"bpp": 1, "psnr_db": 40}] for codec in CODECS
        },
        "bd_rate": {
            "ssimulacra2": {"avif-pillow": {key: {"percent": value} for key, value in percents.items()}}
        },
        "over_pictures": {
            "ssimulacra2": {"restored": {"mean": -14.2, "best": -23.9, "worst": 1.6, "pictures": 12}}
        },
        "worse": {"restored": {"ssimulacra2": {"files": 26, "worse": 3, "worst": []}}},
        "speed": {"restored": {"encode_ratio": [3, 4.02, 5], "decode_ratio": [30, 34.6, 40]}},
    }
    metrics = [{"key": "ssimulacra2", "label": "SSIMULACRA 2", "unit": ""}]
    return {"anchor": "avif-pillow", "codecs": CODECS, "metrics": metrics, "sets": [one]}


def said(changed: dict[str, Any]) -> str:
    return report.verdict(changed, changed["sets"][0])


def test_ours_beside_the_anchor() -> None:
    assert said(found()) == (
        "dsncodec needs 15 % fewer bytes than AVIF at equal SSIMULACRA 2, on single pictures from 24 % fewer bytes to "
        "2 % more bytes. Of its files 3 of 26 are worse at the same bytes. It takes 4 times as long to encode and 35 times "
        "as long to decode."
    )


def test_pictures_on_one_side_are_said_shortly() -> None:
    one = found()
    one["sets"][0]["over_pictures"]["ssimulacra2"]["restored"]["worst"] = -6.6
    assert "on single pictures 24 to 7 % fewer bytes." in said(one)


def test_what_is_not_known_is_not_said() -> None:
    bare = found()
    bare["sets"][0] |= {"over_pictures": {"ssimulacra2": {}}, "worse": {}, "speed": {}}
    assert said(bare) == "dsncodec needs 15 % fewer bytes than AVIF at equal SSIMULACRA 2."
    bare["sets"][0]["bd_rate"]["ssimulacra2"]["avif-pillow"]["restored"] = None
    assert said(bare) == "dsncodec and AVIF share too little SSIMULACRA 2 to be compared."
    bare["sets"][0]["curves"] = {}
    assert said(bare) == "No picture was coded by every codec."


def test_without_ours_the_smallest_is_named() -> None:
    others = found()
    for key in ("restored", "restored-psnr"):
        del others["sets"][0]["curves"][key]
        del others["sets"][0]["bd_rate"]["ssimulacra2"]["avif-pillow"][key]
    assert said(others).startswith("AVIF tune=psnr needs 19 % more bytes than AVIF")
    others["sets"][0]["bd_rate"]["ssimulacra2"] = {}
    assert said(others) == "AVIF was measured alone."


def test_the_verdict_stands_on_top_of_the_markdown() -> None:
    whole = found() | {"title": "T", "missing": [], "command": "c", "made_by": []}
    whole["sets"][0] |= {"verdict": "Ours *wins*.", "megapixels": 1.0, "curves": {}, "skipped": []}
    assert report.markdown(whole).startswith("# T\n\n**set.** Ours \\*wins\\*.\n")


# --- plots


def test_a_family_has_one_colour_and_its_members_differ() -> None:
    styles = dict(plots.styles_of(CODECS))
    assert styles["restored"].colour == styles["restored-psnr"].colour == "ours"
    assert styles["avif-pillow"].colour == styles["avif"].colour == "f0"
    assert (styles["jpeg"].colour, styles["twin-x2"].colour) == ("f1", "twin")
    assert len({(one.colour, one.dash, one.mark) for one in styles.values()}) == len(CODECS)


@pytest.mark.parametrize("dark", [False, True])
def test_plots_have_the_colours_of_the_page(dark: bool, tmp_path: Path) -> None:
    whole = found()
    plots.plot(whole, whole["sets"][0], "psnr_db", "PSNR (dB)", tmp_path / "p", dark=dark, formats=(".svg",))
    text, page = (tmp_path / "p.svg").read_text(), colours(dark)
    for name in ("paper", "ink", "soft", "grid", "edge", "ours", "f0", "f1", "twin"):
        assert page[name] in text, name
    other = colours(not dark)
    assert not any(other[name] in text for name in ("paper", "ours", "f0", "f1"))


def test_colours_are_those_of_both_schemes() -> None:
    light, dark = colours(), colours(dark=True)
    assert light.keys() == dark.keys() >= {"paper", "ink", "ours", *(f"f{hue}" for hue in range(8))}
    assert all(light[name] != dark[name] for name in light)


def test_dollars_and_missing_scores_are_drawn(tmp_path: Path) -> None:
    whole = copy.deepcopy(found())
    whole["sets"][0]["name"] = r"$\frac$"
    whole["sets"][0]["curves"]["jpeg"][0]["psnr_db"] = None
    plots.plot(whole, whole["sets"][0], "psnr_db", "PSNR", tmp_path / "p", formats=(".svg",))
    assert r"$\frac$" in (tmp_path / "p.svg").read_text()
