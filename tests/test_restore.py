"""Down-SNet and Up-SNet as resamplers; and what the verbs on pictures were called before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dsncodec
from dsncodec.cli import main
from dsncodec.errors import SettingError
from dsncodec.metrics import psnr_db

from .conftest import MODES, picture
from .pictures import photograph

SCALES = (2, 3, 4)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 17), (25, 14)], ids=str)
def test_sizes_and_modes(mode: str, size: tuple[int, int], scale: int) -> None:
    image = picture(mode, *size)
    image.info |= {"icc_profile": b"profile", "exif": b"Exif\0\0", "xmp": b"<x/>"}
    small = dsncodec.downsample(image, scale, threads=1)
    assert (small.mode, small.size) == (mode, (-(-size[0] // scale), -(-size[1] // scale)))
    large = dsncodec.upsample(image, scale, threads=1)
    assert (large.mode, large.size) == (mode, (size[0] * scale, size[1] * scale))
    assert small.info == large.info == image.info


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("mode", MODES)
def test_downsample_is_the_layer_of_a_file(mode: str, scale: int) -> None:
    image = picture(mode, 26, 19)
    data = dsncodec.encode(image, scale=scale, levels=256, effort=0)
    layer = dsncodec.decode(data, preview=True)
    assert dsncodec.downsample(image, scale).tobytes() == layer.tobytes()


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("scale", SCALES)
def test_upsample_undoes_downsample_as_the_codec_does(scale: int, mode: str) -> None:
    image = Image.fromarray(photograph("coffee.png")[:240, :360]).convert(mode)
    data = dsncodec.encode(image, scale=scale, levels=256, effort=0)
    restored = dsncodec.upsample(dsncodec.downsample(image, scale), scale)
    original = np.asarray(image)
    decoded = psnr_db(original, np.asarray(dsncodec.decode(data)))
    # what is shown has 8 bits, as the symbols have
    assert psnr_db(original, np.asarray(restored)) > decoded - (0.1 if mode == "L" else 0.3)


@pytest.mark.parametrize("scale", SCALES)
def test_colours_are_about_right(scale: int) -> None:
    image = picture("RGB", 20, 15)
    large = dsncodec.upsample(image, scale)
    bicubic = image.resize(large.size, Image.Resampling.BICUBIC)
    assert psnr_db(np.asarray(large), np.asarray(bicubic)) > 20


def test_alpha_is_enlarged_bicubically() -> None:
    image = picture("RGBA", 9, 7)
    large = dsncodec.upsample(image, 2)
    expected = image.getchannel("A").resize((18, 14), Image.Resampling.BICUBIC)
    assert large.getchannel("A").tobytes() == expected.tobytes()


def test_impossible_settings() -> None:
    image = picture("L", 4, 4)
    for action in (dsncodec.downsample, dsncodec.upsample):
        with pytest.raises(SettingError, match="2, 3, 4"):
            action(image, 5)
        with pytest.raises(SettingError, match="threads"):
            action(image, 2, threads=0)
    with pytest.raises(SettingError, match="'nearest'"):
        dsncodec.upsample(image, model="nearest")


# --- names of the last release: they work, and the warning is of the line that used them


def warned(match: str, function: Any, *arguments: Any, **settings: Any) -> bytes:
    """The pixels of a call that warns, once."""
    with pytest.warns(DeprecationWarning, match=match) as caught:
        found = function(*arguments, **settings)
    assert [warning.filename for warning in caught] == [__file__]
    pixels: bytes = found.tobytes()
    return pixels


HOLED = np.asarray(picture("RGB", 40, 30))
MISSING = np.zeros((30, 40), bool)
MISSING[8:22, 10:26] = True


def test_complete_is_inpaint() -> None:
    new: list[dsncodec.Progress] = []
    old: list[tuple[float, ...]] = []
    want = dsncodec.inpaint(HOLED, MISSING, steps=2, threads=1, progress=new.append).tobytes()
    for settings in ({}, {"variant": "exemplars"}, {"variant": "sine"}):
        told = {"report": lambda *now: old.append(now)}
        asked = (HOLED, MISSING)
        assert want == warned(
            "complete is now called inpaint",
            dsncodec.complete,
            *asked,
            steps=2,
            threads=1,
            **settings,
            **told,
        )
    assert old == [(now.done, now.mse) for now in new] * 3 and new[-1].done == 1
    with pytest.raises(TypeError, match="variant"):
        dsncodec.inpaint(HOLED, MISSING, variant="exemplars")  # type: ignore[call-arg]
    with pytest.raises(SettingError, match="method must be one of exemplars, paper, not 'sine'"):
        dsncodec.inpaint(HOLED, MISSING, method="sine")


@pytest.mark.parametrize("ours, variant", [("zero_shot", "sine"), ("paper", "paper")])
def test_variant_of_upsample_is_method(ours: str, variant: str) -> None:
    pytest.importorskip("torch")
    fast: dict[str, Any] = {"model": "coconet", "steps": 2, "threads": 1}
    small = picture("RGB", 12, 9)
    want = dsncodec.upsample(small, 2, method=ours, **fast).tobytes()
    assert want == warned(
        "variant is now called method", dsncodec.upsample, small, 2, variant=variant, **fast
    )
    with pytest.raises(SettingError, match="method must be one of zero_shot, paper, not 'sine'"):
        dsncodec.upsample(small, 2, method="sine", **fast)
    with pytest.raises(SettingError, match="method are settings of model 'coconet'"):
        dsncodec.upsample(small, 2, method=ours)
    with pytest.raises(TypeError, match="unexpected keyword argument 'variants'"):
        dsncodec.upsample(small, 2, variants=variant)


@pytest.mark.parametrize("ours, variant", [("blind_spot", "sine"), ("paper", "paper")])
def test_variant_of_denoise_is_method(ours: str, variant: str) -> None:
    pytest.importorskip("torch")
    small, fast = picture("RGB", 12, 9), {"steps": 2, "threads": 1}
    want = dsncodec.denoise(small, method=ours, **fast).tobytes()
    assert want == warned("variant is now called method", dsncodec.denoise, small, variant=variant, **fast)
    with pytest.raises(SettingError, match="method must be one of network, blind_spot, paper, not 'sine'"):
        dsncodec.denoise(small, method="sine", **fast)


@pytest.mark.parametrize("method", ["blind_spot", "paper"])
def test_report_is_progress(method: str) -> None:
    pytest.importorskip("torch")
    small, fast = picture("RGB", 12, 9), {"steps": 3, "threads": 1, "method": method}
    new: list[dsncodec.Progress] = []
    old: list[tuple[float, ...]] = []
    dsncodec.denoise(small, progress=new.append, **fast)
    warned(
        "report is now called progress", dsncodec.denoise, small, report=lambda *now: old.append(now), **fast
    )
    assert old == [(now.done, now.mse) for now in new] and old
    new.clear()
    fast["method"] = "zero_shot" if method == "blind_spot" else method
    told = {"report": lambda *now: new.append(dsncodec.Progress(*now)), "model": "coconet"}
    warned("report is now called progress", dsncodec.upsample, small, 2, **told, **fast)
    assert new


def test_former_verb_and_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was called by the former names is found where it was."""
    Image.fromarray(HOLED).save(tmp_path / "a.png")
    Image.fromarray(MISSING).save(tmp_path / "mask.png")
    asked = [str(tmp_path / "a.png"), "--mask", str(tmp_path / "mask.png"), "--steps", "1"]
    assert main(["inpaint", *asked]) == 0
    assert capsys.readouterr().err == ""
    assert main(["complete", *asked, "--variant", "exemplars"]) == 0
    assert "complete is now called inpaint" in capsys.readouterr().err
    assert (tmp_path / "a-completed.png").read_bytes() == (tmp_path / "a-inpainted.png").read_bytes()
    assert main(["inpaint", *asked, "--method", "sine"]) == 2
    assert main(["--help"]) == 0
    assert "  inpaint  " in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["denoise", "upsample"])
def test_the_flag_variant_is_method(verb: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    ours = {"denoise": "blind_spot", "upsample": "zero_shot"}[verb]
    more = ["--sigma", "9"] if verb == "denoise" else ["--model", "coconet"]
    picture("RGB", 12, 9).save(tmp_path / "a.png")
    made = set()
    for number, flag in enumerate((["--method", ours], ["--variant", "sine"], [])):
        target = tmp_path / f"{number}.png"
        asked = [verb, str(tmp_path / "a.png"), "-o", str(target), "--steps", "2", "--threads", "1"]
        assert main([*asked, *more, *flag]) == 0
        made.add(target.read_bytes())
    assert len(made) == 1
    assert main([verb, str(tmp_path / "a.png"), "--variant", "tanh"]) == 2
    paper = [verb, str(tmp_path / "a.png"), "-o", str(tmp_path / "p.png"), "--steps", "2", "--threads", "1"]
    assert main([*paper, *(more if verb == "upsample" else []), "--variant", "paper"]) == 0
