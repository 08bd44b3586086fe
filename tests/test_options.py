"""Options: checked when they are made, the same by either spelling, and the only list of settings."""

from __future__ import annotations

import argparse
import dataclasses
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dsncodec
from dsncodec import options, pillow_plugin
from dsncodec.cli import encode as encode_verb
from dsncodec.errors import SettingError
from dsncodec.options import CLASSES, Best, CocoNet, DeepSampling, LatentGrid, Options, Restored, options_of

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "base": st.sampled_from(["auto", "avif", "jpeg", "jxl", "j2k"]),
    "entropy_coder": st.sampled_from(["auto", "lzma2", "jpegls"]),
    "base_quality": st.integers(0, 100),
    "lossless": st.just(False),
    "keep": st.just(False),
    "levels": st.integers(2, 256),
    "chroma_levels": st.integers(2, 256),
    "seconds": st.floats(0.1, 1e6),
    "steps": st.integers(1, 10**6),
    "init": st.sampled_from(["published", "zero"]),
    "tune": st.sampled_from(["visual", "psnr"]),
    "variant": st.sampled_from(["sine", "paper"]),
    "layers": st.integers(1, 9),
    "width": st.integers(1, 99),
    "preview": st.sampled_from(["a.gif", "b.webp"]),
    "checkpoint": st.just("fit.ckpt"),
}


def value_of(cls: type[Options], name: str) -> st.SearchStrategy[Any]:
    if name == "scale":
        return st.integers(1, 2) if cls is Restored else st.integers(2, 4)
    return VALUES[name]


@given(data=st.data(), cls=st.sampled_from(list(CLASSES.values())))
def test_both_spellings_mean_the_same(data: st.DataObject, cls: type[Options]) -> None:
    chosen = data.draw(st.sets(st.sampled_from(options.names(cls))))
    settings = {name: data.draw(value_of(cls, name), name) for name in sorted(chosen)}
    made = cls(**settings)
    assert options_of(cls.method, settings) == made == options_of(made, {})
    assert cls(**made.given()) == made == pickle.loads(pickle.dumps(made))
    assert hash(made) == hash(cls(**settings))
    nones = dict.fromkeys(options.names(cls)) | settings
    assert options_of(cls.method, nones) == made


@pytest.mark.parametrize("cls", CLASSES.values())
def test_every_setting_is_a_flag_and_an_option_of_pillow(cls: type[Options]) -> None:
    parser = argparse.ArgumentParser()
    encode_verb.add_settings(parser)
    flags = {action.dest: action for action in parser._actions}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        assert field.metadata["help"] and field.metadata["kind"] in ("int", "float", "str", "bool")
        assert flags[field.name].metavar or field.metadata["kind"] == "bool", field.name
        assert field.name in pillow_plugin._SETTINGS


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Restored(base="zip"), "base codec 'zip'; one of auto, avif"),
        (lambda: Restored(scale=3), "scale must be a whole number from 1 to 2"),
        (lambda: Restored(base_quality=101), "base_quality must be a whole number from 0 to 100"),
        (lambda: Restored(lossless=1), "lossless must be True or False, not 1"),  # type: ignore[arg-type]
        (lambda: Restored(keep=True, base="jpeg"), "base and keep: lossless and keep leave nothing else"),
        (lambda: Restored(keep=True, lossless=True), "lossless and keep: lossless and keep leave"),
        (lambda: DeepSampling(scale=5), "scale must be one of 2, 3, 4"),
        (lambda: DeepSampling(levels=1), "levels must be a whole number from 2 to 256"),
        (lambda: DeepSampling(entropy_coder="avif"), "entropy_coder 'avif'; one of auto, lzma2"),
        (lambda: LatentGrid(seconds=0), "seconds must be a positive number"),
        (lambda: LatentGrid(init="mean"), "init must be one of published, zero"),
        (lambda: CocoNet(variant="fast"), "unknown variant 'fast'; one of paper, sine"),
        (lambda: CocoNet(preview="a.mp4"), r"a preview is a \.gif"),
        (lambda: Best(steps=2.5), "steps must be a whole number"),
        (
            lambda: options_of("zip", {}),
            "unknown method 'zip'; one of restored, dsn, latentgrid, coconet, best",
        ),
        (
            lambda: options_of("dsn", {"sharpness": 3}),
            "no method has a setting sharpness; dsn has scale, levels",
        ),
        (lambda: options_of("dsn", {"width": 3}), "width: of method coconet, not dsn"),
        (
            lambda: options_of("dsn", {"width": 3, "init": "zero"}),
            "width and init are settings of different methods",
        ),
        (lambda: options_of(Restored(), {"scale": 1}), r"scale: to be given in the options, Restored\(...\)"),
    ],
)
def test_what_is_impossible_is_said_at_once(make: Any, says: str) -> None:
    with pytest.raises(SettingError, match=says):
        make()


def test_options_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Restored().base = "jpeg"  # type: ignore[misc]


def test_a_fixed_point_and_a_target_are_one_too_many() -> None:
    for fixed in (
        Restored(base_quality=40),
        Restored(lossless=True),
        DeepSampling(levels=16),
        CocoNet(width=4),
    ):
        with pytest.raises(SettingError, match="give one of quality, "):
            dsncodec.encode("nowhere.png", fixed, quality=50)
