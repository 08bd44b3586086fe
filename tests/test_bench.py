"""The bench: peers, raw rows, a run that is stopped and goes on, and the report."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from dsncodec import carriers
from dsncodec.bench import measure, peers, processes, referees, report, samples
from dsncodec.bench.store import TIMES, Row, Store
from dsncodec.cli import main
from dsncodec.errors import SettingError
from dsncodec.metrics import bd_rate

from .bench_tasks import behave
from .conftest import picture


def quick(codec: peers.Codec) -> peers.Codec:
    """A codec that fits does so for a few steps."""
    if not codec.key.startswith("latentgrid"):
        return codec
    fitted: Any = codec.encode
    return dataclasses.replace(codec, encode=partial(fitted.func, fitted.args[0], 40))


AVAILABLE = [(family, quick(codec)) for family, codecs in peers.available()[0].items() for codec in codecs]
QUICK = "jpeg,jpeg-444,j2k"  # these code a small picture in milliseconds


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two pictures, one in a folder below."""
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    picture("RGB", 48, 40, seed=1).save(folder / "a.png")
    picture("L", 37, 26, seed=2).save(folder / "below" / "b.webp", lossless=True)
    return folder


def rows_in(folder: Path) -> list[Row]:
    return [row for path in sorted(folder.glob("*.csv")) for row in Store(folder).read(path.stem)]


def without_times(row: Row) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(row).items() if name not in TIMES}


# --- peers


def test_the_folder_is_the_list_of_families():
    folder = Path(peers.__file__).parent
    assert set(peers.families()) == {path.stem for path in folder.glob("*.py")} - {"__init__"}


def test_keys_are_unique_and_file_names():
    keys = [codec.key for _, codec in AVAILABLE]
    assert len(set(keys)) == len(keys)
    assert all(key.replace("-", "").isalnum() and key == key.lower() for key in keys)


# Fits of other lengths differ by a number
DISTINCT = [codec for _, codec in AVAILABLE if not codec.key.endswith("-1500")]


@pytest.mark.parametrize("codec", DISTINCT, ids=lambda codec: codec.key)
@pytest.mark.parametrize("size", [(40, 33), (1, 1), (17, 2)])
def test_every_peer_codes_and_decodes_a_picture(codec: peers.Codec, size: tuple[int, int]):
    pixels = np.asarray(picture("RGB", *size))
    for setting in (codec.settings[0], codec.settings[-1]):
        try:
            decoded = codec.decode(codec.encode(pixels, setting))
        except Exception as exc:
            if min(size) < 16 and codec.kind != "ours":
                pytest.skip(f"{codec.label} cannot code {size}: {exc}")
            raise
        assert decoded.shape == pixels.shape
        assert decoded.dtype == np.uint8


@pytest.mark.parametrize("codec", DISTINCT, ids=lambda codec: codec.key)
def test_settings_run_from_small_to_large_files_and_from_bad_to_good(codec: peers.Codec):
    pixels = np.asarray(picture("RGB", 64, 64))
    files = [codec.encode(pixels, setting) for setting in (codec.settings[0], codec.settings[-1])]
    errors = [np.abs(codec.decode(data).astype(int) - pixels).mean() for data in files]
    assert len(files[0]) < len(files[1])
    assert errors[0] > errors[1]
    multiples = np.array(codec.settings) / codec.step
    assert np.allclose(multiples, np.round(multiples)), "a setting between the steps"


def test_a_peer_gives_the_same_bytes_twice():
    pixels = np.asarray(picture("RGB", 40, 40))
    for _, codec in AVAILABLE:
        assert codec.encode(pixels, codec.settings[2]) == codec.encode(pixels, codec.settings[2]), codec.key


def test_a_family_that_cannot_run_is_named_with_the_reason(monkeypatch: pytest.MonkeyPatch):
    peers.family.cache_clear()
    monkeypatch.setattr("shutil.which", lambda name: None)
    _, missing = peers.choose(["cjxl", "jpeg"])
    peers.family.cache_clear()
    assert "libjxl-tools" in missing["cjxl"]


def test_codecs_are_chosen_by_key():
    assert [codec.key for _, codec in peers.choose(["jpeg", "jpeg-*", "avif"])[0]] == [
        "avif",
        "jpeg",
        "jpeg-444",
    ]
    assert "dsn-best" not in [codec.key for _, codec in peers.choose()[0]]
    assert "dsn-best" in [codec.key for _, codec in peers.choose(["dsn-best"])[0]]
    with pytest.raises(SettingError, match=r"no codec bmp: one of avif, .*jpeg-444"):
        peers.choose(["bmp"])


# --- one file


def codec_of(key: str) -> peers.Codec:
    return next(codec for _, codec in AVAILABLE if codec.key == key)


def test_a_row_is_read_off_the_decoded_file():
    pixels = np.asarray(picture("RGB", 176, 176))
    codec = codec_of("jpeg")
    row, shown = measure.measure(codec, "p.png", pixels, 40, 2)
    data = codec.encode(pixels, 40)
    decoded = codec.decode(data)
    assert np.array_equal(shown, decoded)
    grey, decoded_grey = (np.asarray(measure.luma(p)) for p in (pixels, decoded))
    assert (row.size_bytes, row.file_sha256) == (len(data), measure.digest(data))
    assert row.bpp == 8 * len(data) / 176**2
    assert row.psnr_db == pytest.approx(peak_signal_noise_ratio(pixels, decoded), abs=1e-9)
    assert row.psnr_y_db == pytest.approx(peak_signal_noise_ratio(grey, decoded_grey), abs=1e-9)
    independent = structural_similarity(
        grey, decoded_grey, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert row.ssim_y == pytest.approx(independent, abs=1e-3)
    assert 0 < row.ms_ssim < 1
    assert row.encode_s > 0
    assert row.decode_s > 0


def test_metrics_that_a_small_picture_does_not_have_are_nan():
    pixels = np.zeros((5, 5, 3), np.uint8)
    row, decoded = measure.measure(codec_of("jpeg"), "p.png", pixels, 40, 1)
    row = referees.Panel().judged(row, pixels, decoded)
    assert math.isnan(row.ssimulacra2)
    assert not referees.Panel().lacks(row), "it would be measured again in vain"
    assert math.isnan(row.ssim_y)
    assert math.isnan(row.ms_ssim)


def test_a_codec_that_returns_another_shape_is_refused():
    codec = dataclasses.replace(codec_of("jpeg"), decode=lambda data: np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(measure.DsnError, match="decodes to uint8"):
        measure.measure(codec, "p.png", np.zeros((4, 4, 3), np.uint8), 40, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_peak_memory_is_that_of_the_codec_and_starts_anew():
    codec = codec_of("jpeg")
    hungry = dataclasses.replace(
        codec, encode=lambda p, s: codec.encode(p, s) if np.ones(75_000_000).sum() else b""
    )
    pixels = np.zeros((16, 16, 3), np.uint8)
    before, during, after = (
        measure.measure(c, "p", pixels, 40, 1)[0].peak_mib for c in (codec, hungry, codec)
    )
    assert during > before + 200
    assert after < before + 30


# --- rows on disk


def a_row(**changes: Any) -> Row:
    row = Row(
        "a, b.png",
        4,
        3,
        "0" * 16,
        "x",
        "X 1, Y 2",
        0.25,
        100,
        0,
        66.7,
        30.5,
        31.5,
        0.9,
        math.nan,
        -12.5,
        1.25,
        math.nan,
        0.01,
        1e-4,
        0.0,
        50.5,
        "f" * 16,
    )
    return dataclasses.replace(row, **changes)


def test_rows_come_back_as_they_were(tmp_path: Path):
    store = Store(tmp_path)
    rows = [a_row(), a_row(image='"quoted"\u00e9.png', psnr_db=math.inf, size_bytes=101)]
    store.replace("x", rows)
    store.append(a_row(image="z"))
    assert repr(store.read("x")) == repr(sorted([*rows, a_row(image="z")], key=lambda row: row.image))
    assert store.read("other") == []


def test_half_a_line_at_the_end_is_left_out(tmp_path: Path):
    store = Store(tmp_path)
    store.replace("x", [a_row(), a_row(image="b")])
    whole = store.path("x").read_bytes()
    for cut in range(1, 40):
        store.path("x").write_bytes(whole[:-cut])
        assert len(store.read("x")) == 1


@pytest.mark.parametrize("text", ["image,codec\n", "a,b,c\n1,2,3\n", "\0\n"])
def test_a_file_that_is_not_ours_is_refused_and_kept(tmp_path: Path, text: str):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(SettingError, match=r"x\.csv"):
        Store(tmp_path).read("x")
    assert (tmp_path / "x.csv").read_text() == text


# --- processes


def test_a_task_that_fails_costs_its_own_results_only():
    tasks = ["fine", "raise", "crash", "exit", "hang", "fine"]
    events = list(processes.run(behave, tasks, jobs=3, timeout_s=8))
    results = [event for event in events if event.kind == "result"]
    failed = {event.task: event.value for event in events if event.kind == "failed"}
    assert len(results) == 8
    assert [event.kind for event in events].count("done") == 2
    assert failed == {
        "raise": "ValueError: two lines",
        "crash": "its process died (SIGSEGV)",
        "exit": "its process died (exit code 3)",
        "hang": "no result for 8 seconds",
    }


def test_how_a_process_ended_is_learnt_while_others_start():
    events = list(processes.run(behave, ["crash"] * 60, jobs=6, timeout_s=60))
    assert {event.value for event in events if event.kind == "failed"} == {"its process died (SIGSEGV)"}


def test_a_caller_that_has_had_enough_leaves_no_process_behind():
    events = processes.run(behave, ["hang", "hang"], jobs=2, timeout_s=60)
    next(events)
    start = time.monotonic()
    events.close()
    assert time.monotonic() - start < 30


# --- a run


def bench(folder: Path, out: Path, *options: str) -> int:
    return main(
        ["bench", str(folder), "-o", str(out), "--codecs", QUICK, "--quiet", "--show", "none", *options]
    )


def test_a_run_gives_every_file_a_row_and_a_second_run_the_same(pictures: Path, tmp_path: Path):
    assert bench(pictures, tmp_path / "one", "-j", "2") == 0
    assert bench(pictures, tmp_path / "two") == 0
    one, two = (rows_in(tmp_path / name / "pictures") for name in ("one", "two"))
    assert len(one) == 2 * 27
    assert {row.image for row in one} == {"a.png", "below/b.webp"}
    assert repr([without_times(row) for row in one]) == repr([without_times(row) for row in two])


def test_a_run_that_was_killed_goes_on(pictures: Path, tmp_path: Path):
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "dsncodec",
        "bench",
        str(pictures),
        "-o",
        str(out),
        "--codecs",
        QUICK,
        "--quiet",
        "--show",
        "none",
    ]
    process = subprocess.Popen(command, start_new_session=True)
    csv_file = out / "pictures" / "jpeg.csv"
    while process.poll() is None and not (csv_file.exists() and csv_file.read_text().count("\n") > 4):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = rows_in(out / "pictures")
    assert before
    assert bench(pictures, out) == 0
    after = rows_in(out / "pictures")
    assert len(after) == 2 * 27
    kept = {repr(row) for row in after}
    assert all(repr(row) in kept for row in before), "a row was measured twice"


def test_only_what_changed_is_measured_again(pictures: Path, tmp_path: Path):
    out = tmp_path / "out"
    assert bench(pictures, out) == 0
    before = {(row.codec, row.image, row.setting): repr(row) for row in rows_in(out / "pictures")}
    picture("RGB", 48, 40, seed=9).save(pictures / "a.png")
    assert bench(pictures, out) == 0
    after = {(row.codec, row.image, row.setting): repr(row) for row in rows_in(out / "pictures")}
    assert after.keys() == before.keys()
    assert {key[1] for key in after if after[key] != before[key]} == {"a.png"}


def test_rows_of_other_pictures_stay(pictures: Path, tmp_path: Path):
    out = tmp_path / "out"
    assert bench(pictures, out) == 0
    (pictures / "a.png").rename(pictures / "c.png")
    assert bench(pictures, out) == 0
    assert {row.image for row in rows_in(out / "pictures")} == {"a.png", "below/b.webp", "c.png"}


def test_unreadable_pictures_are_reported_skipped_and_in_the_exit_code(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (pictures / "broken.png").write_bytes((pictures / "a.png").read_bytes()[:200])
    (pictures / "words.jpg").write_text("not a picture")
    assert bench(pictures, tmp_path / "out") == 1
    err = capsys.readouterr().err
    assert "broken.png: " in err
    assert "words.jpg: not a picture in any format that Pillow reads" in err
    assert {row.image for row in rows_in(tmp_path / "out" / "pictures")} == {"a.png", "below/b.webp"}
    text = (tmp_path / "out" / "report.md").read_text()
    assert "broken.png" in text
    assert "words.jpg" in text


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "give a folder"),
        (["nowhere"], "no such folder"),
        (["."], "no pictures in"),
        (["PICTURES", "--codecs", "bmp"], "no codec bmp"),
        (["PICTURES", "PICTURES"], "would share rows"),
        (["PICTURES", "--limit", "1,2"], "2 numbers for 1 folders"),
        (["PICTURES", "--show", "nothing.png"], "no such file"),
    ],
)
def test_bad_usage_is_said_before_anything_is_coded(
    arguments: list[str],
    words: str,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    assert main(["bench", *(str(pictures) if a == "PICTURES" else a for a in arguments)]) == 2
    assert words in capsys.readouterr().err
    assert not list(empty.iterdir())


def test_the_list_names_codecs_and_what_cannot_run(capsys: pytest.CaptureFixture[str]):
    assert main(["bench", "--list"]) == 0
    out = capsys.readouterr().out
    assert "4:4:4, tune=psnr, speed 3" in out
    assert "compressai" in out


# --- the report


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over two pictures, with everything a report has."""
    root = tmp_path_factory.mktemp("bench")
    folder = root / "pictures"
    folder.mkdir()
    for seed in (1, 2):
        picture("RGB", 200, 180, seed=seed).save(folder / f"{seed}.png")
    (folder / "broken.png").write_text("")
    main(
        [
            "bench",
            str(folder),
            "-o",
            str(root / "out"),
            "--codecs",
            "jpeg,webp,twin-bicubic",
            "-j",
            "2",
            "--anchor",
            "jpeg",
            "--quiet",
        ]
    )
    return root / "out"


def page_data(path: Path) -> dict[str, Any]:
    text = path.read_text("utf-8")
    start = text.index('type="application/json"')
    block = text[text.index(">", start) + 1 : text.index("</script>", start)]
    return dict(json.loads(block, parse_constant=pytest.fail))  # NaN and Infinity are not JSON


def test_the_report_is_made_of_the_rows(finished: Path):
    rows = rows_in(finished / "pictures")
    data = page_data(finished / "index.html")
    (one,) = data["sets"]
    ours = [row for row in rows if row.codec == "jpeg" and row.setting == 40]
    (point,) = [p for p in one["curves"]["jpeg"] if p["setting"] == "40"]
    assert one["pictures"] == 2
    assert point["bpp"] == pytest.approx(np.mean([row.bpp for row in ours]))
    assert point["psnr_db"] == pytest.approx(np.mean([row.psnr_db for row in ours]))
    assert point["ms_ssim"] == pytest.approx(np.mean([row.ms_ssim for row in ours]))
    assert point["encode_s"][1] == pytest.approx(np.median([row.encode_s / 0.036 for row in ours]))
    assert [p["bpp"] for p in one["curves"]["jpeg"]] == sorted(p["bpp"] for p in one["curves"]["jpeg"])


def test_bd_rates_are_those_of_the_mean_curves(finished: Path):
    (one,) = page_data(finished / "index.html")["sets"]
    curves = {key: [(p["bpp"], p["psnr_db"]) for p in points] for key, points in one["curves"].items()}
    found = one["bd_rate"]["psnr_db"]["jpeg"]["webp"]["percent"]
    assert found == pytest.approx(bd_rate(curves["jpeg"], curves["webp"]))
    similarity = {
        key: [(p["bpp"], -10 * math.log10(1 - p["ms_ssim"])) for p in points]
        for key, points in one["curves"].items()
    }
    found = one["bd_rate"]["ms_ssim"]["jpeg"]["webp"]["percent"]
    assert found == pytest.approx(bd_rate(similarity["jpeg"], similarity["webp"]))
    assert (
        f"{one['bd_rate']['psnr_db']['jpeg']['webp']['percent']:+.1f}" in (finished / "report.md").read_text()
    )


def test_a_picture_that_one_codec_lacks_is_in_no_mean(tmp_path: Path):
    folder = tmp_path / "set"
    folder.mkdir()
    for seed in (1, 2):
        picture("RGB", 40, 40, seed=seed).save(folder / f"{seed}.png")
    found = measure.PictureSet.find(folder)
    codecs = [codec_of("jpeg"), codec_of("webp")]
    rows, _ = measure.run(found, [("jpeg", codecs[0]), ("webp", codecs[1])], Store(tmp_path / "out"))
    rows["webp"] = [row for row in rows["webp"] if row.image == "1.png"]
    failures = [measure.Failure("2.png", "webp", "ValueError: no")]
    whole = report.build(
        [report.Measured(found, rows, failures)], codecs, {}, [], title="t", command="c", anchor="jpeg"
    )
    (one,) = whole["sets"]
    assert one["pictures"] == 1
    assert one["skipped"] == [{"file": "2.png", "reason": "webp: ValueError: no"}]
    assert "webp: ValueError" in report.markdown(whole)


def test_the_before_after_view_has_files_of_matched_size(finished: Path):
    sample, *_ = page_data(finished / "index.html")["samples"]
    assert (sample["name"], sample["width"], sample["height"]) == ("1", 200, 180)
    rates = [version["bpp"] for version in sample["versions"].values()]
    assert len(rates) >= 2
    assert all(0.8 * sample["target_bpp"] <= rate <= 1.25 * sample["target_bpp"] for rate in rates)


@pytest.mark.parametrize("key", ["jpeg", "jxl", "j2k", "avif"])
def test_the_nearest_file_is_near(key: str):
    codec, pixels = codec_of(key), np.asarray(picture("RGB", 96, 96))
    sizes = [len(codec.encode(pixels, setting)) for setting in (codec.settings[1], codec.settings[-2])]
    wanted = math.sqrt(sizes[0] * sizes[1])
    setting, data = samples.nearest_file(codec, lambda at: codec.encode(pixels, at), wanted)
    assert abs(math.log(len(data) / wanted)) < 0.12
    assert codec.encode(pixels, setting) == data


def test_a_lossless_picture_and_a_flat_one_make_a_report(tmp_path: Path):
    folder = tmp_path / "flat"
    folder.mkdir()
    picture("RGB", 8, 8).resize((8, 8)).save(folder / "tiny.png")
    picture("L", 1, 1).save(folder / "one.png")
    assert main(["bench", str(folder), "-o", str(tmp_path / "out"), "--codecs", "jpeg,webp", "--quiet"]) == 0
    (one,) = page_data(tmp_path / "out" / "index.html")["sets"]
    assert one["pictures"] == 2
    assert one["curves"]["jpeg"][0]["ms_ssim"] is None


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_of_files_mean_nothing_and_break_nothing(tmp_path: Path):
    folder = tmp_path / "set"
    folder.mkdir()
    names = ["</script><script>alert(1)<", 'a,b"c', "line\nfeed", "\udcff", "|x|`y`"]
    for name in names:
        picture("RGB", 20, 20).save(folder / f"{name.replace('/', '∕')}.png")
    for _ in range(2):  # the second run reads what the first wrote
        assert bench(folder, tmp_path / "out") == 0
    assert len(rows_in(tmp_path / "out" / "set")) == 27 * len(names)
    assert len(page_data(tmp_path / "out" / "index.html")["sets"][0]["images"]) == len(names)


def test_plots_are_there_and_the_same_every_time(finished: Path):
    svg, png = finished / "pictures-psnr.svg", finished / "pictures-psnr.png"
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "RGB PSNR (dB)" in svg.read_text()
    before = svg.read_bytes()
    folder = finished.parent / "pictures"
    main(
        [
            "bench",
            str(folder),
            "-o",
            str(finished),
            "--codecs",
            "jpeg,webp,twin-bicubic",
            "--anchor",
            "jpeg",
            "--quiet",
        ]
    )
    assert svg.read_bytes() == before


def test_published_curves_have_sources_and_rising_rates():
    curves = report.published()
    assert {curve["set"] for curve in curves} == {"Kodak", "CLIC 2020 professional validation"}
    names = {curve["label"] for curve in curves if curve["set"] == "Kodak"}
    assert names >= {"HM", "VTM", "ELIC", "MLIC++", "Cool-chic 5.0.1"}
    for curve in curves:
        rates = [rate for rate, _ in curve["points"]]
        assert curve["source"]
        assert rates == sorted(rates)


# --- referees


def test_a_panel_names_what_it_cannot_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    panel = referees.Panel(list(referees.REFEREES), tmp_path)
    assert panel.names == ["ssimulacra2"]
    assert "libjxl-devtools" in panel.missing["butteraugli"]
    assert panel.missing.keys() == {"butteraugli", "lpips", "dists"}
    monkeypatch.delenv(referees.FOLDER_VARIABLE, raising=False)
    assert "--loss-networks" in referees.Panel(["lpips"]).missing["lpips"]
    with pytest.raises(SettingError, match="no referee eye: one of ssimulacra2, butteraugli, lpips, dists"):
        referees.Panel(["eye"])


def test_rows_have_the_scores_that_were_asked_for(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A second run with another referee measures again, keeps the first one's scores, and a third has nothing to do."""
    monkeypatch.setitem(referees.REFEREES, "lpips", referees.Referee(lambda folder: distance, 8))
    out = tmp_path / "out"
    assert bench(pictures, out, "--settings", "2") == 0
    first = rows_in(out / "pictures")
    assert len(first) == 2 * 3 * 2
    assert all(row.ssimulacra2 < 100 and math.isnan(row.lpips) for row in first)
    assert bench(pictures, out, "--settings", "2", "--referees", "lpips") == 0
    second = rows_in(out / "pictures")
    assert [row.ssimulacra2 for row in second] == [row.ssimulacra2 for row in first]
    assert all(row.lpips > 0 for row in second)
    assert bench(pictures, out, "--settings", "2", "--referees", "ssimulacra2,lpips") == 0
    assert repr(rows_in(out / "pictures")) == repr(second)


def distance(reference: np.ndarray) -> referees.Score:
    return lambda shown: float(np.abs(reference.astype(float) - shown).mean())


def test_a_referee_that_fails_costs_its_own_score_only(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def judge(reference: np.ndarray) -> referees.Score:
        def score(shown: np.ndarray) -> float:
            raise measure.DsnError("no light")

        return score

    monkeypatch.setitem(referees.REFEREES, "butteraugli", referees.Referee(lambda folder: judge, 8))
    asked = ("--settings", "2", "--referees", "butteraugli", "--codecs", "jpeg")
    assert bench(pictures, tmp_path / "out", *asked) == 1
    assert "jpeg: no light" in capsys.readouterr().err
    rows = rows_in(tmp_path / "out" / "pictures")
    assert len(rows) == 4 and all(math.isnan(row.butteraugli) and row.psnr_db > 0 for row in rows)


@pytest.mark.skipif(shutil.which(referees.BUTTERAUGLI) is None, reason="libjxl's programs are not installed")
def test_butteraugli_is_nothing_for_equals_and_more_for_worse():
    reference = np.asarray(picture("RGB", 64, 48))
    shown = [reference, *(peers.opened(peers.saved(reference, "JPEG", quality=q)) for q in (90, 30))]
    none, little, much = (referees.butteraugli(reference, one) for one in shown)
    assert none == 0 < little < much


REFEREES_FOLDER = Path(__file__).parent.parent / "../shared/referees"


@pytest.mark.skipif(not REFEREES_FOLDER.is_dir(), reason="the published scores are not there")
def test_lpips_and_dists_agree_with_other_implementations():
    pytest.importorskip("torch")
    perceptual = pytest.importorskip("dsncodec.bench.perceptual")
    weights = REFEREES_FOLDER.parent / "data/loss_network"
    columns = {"lpips_alex": perceptual.Lpips(weights), "dists": perceptual.Dists(weights)}
    with open(REFEREES_FOLDER / "scores.csv", newline="") as file:
        scores = list(csv.DictReader(file))[::6]
    for row in scores:
        pair = [
            peers.opened((REFEREES_FOLDER / row[name]).read_bytes()) for name in ("reference", "distorted")
        ]
        for name, judge in columns.items():
            assert judge.of(pair[0])(pair[1]) == pytest.approx(float(row[name]), abs=1e-3)


# --- what the report says of referees and containers


def scored_row(codec: str, image: str, bpp: float, score: float, boxes: int = 0) -> Row:
    return a_row(
        image=image,
        codec=codec,
        setting=bpp,
        width=100,
        height=80,
        size_bytes=round(bpp * 1000),
        boxes_bytes=boxes,
        bpp=bpp,
        ssimulacra2=score,
        butteraugli=10 ** (-score / 50),
        dists=math.nan,
        ms_ssim=1 - 10 ** (-score / 40),
        encode_s=1e-3,
        decode_s=1e-3,
    )


@pytest.fixture
def judged() -> dict[str, Any]:
    """An anchor of which a file has 10 points more at each doubling; ours is 2 points better on one picture, 1 worse on the
    other, and leaves out boxes of a tenth."""
    rates = (0.1, 0.2, 0.4, 0.8)
    rows: dict[str, list[Row]] = {"avif-pillow": [], "restored": []}
    for image, better in (("a", 2.0), ("b", -1.0)):
        for i, rate in enumerate(rates):
            rows["avif-pillow"].append(scored_row("avif-pillow", image, rate, 50 + 10 * i))
            rows["restored"].append(
                scored_row("restored", image, rate, 50 + 10 * i + better, boxes=round(rate * 100))
            )
    pictures = tuple(measure.Picture(name, name, 100, 80, "0" * 16) for name in "ab")
    codecs = [
        dataclasses.replace(codec_of("jpeg"), key=key, label=label, kind=kind, settings=rates)
        for key, label, kind in (("restored", "ours", "ours"), ("avif-pillow", "anchor", "peer"))
    ]
    measured = report.Measured(measure.PictureSet("set", pictures), rows, [])
    return report.build(
        [measured], codecs, {"dists": "no weights"}, [], title="t", command="c", anchor="avif-pillow"
    )


def test_referees_lead_the_report(judged: dict[str, Any]):
    labels = ["SSIMULACRA 2", "Butteraugli", "RGB MS-SSIM", "RGB PSNR"]
    assert [metric["label"] for metric in judged["metrics"]][:4] == labels
    assert "dists" not in {metric["key"] for metric in judged["metrics"]}, "nobody measured it"
    (one,) = judged["sets"]
    heading = report.summary(judged, one).splitlines()[0]
    assert heading.startswith("| BD-rate in % against anchor | " + " | ".join(labels))
    text = report.markdown(judged)
    assert "- dists: no weights" in text
    assert "![SSIMULACRA 2](set-ssimulacra2.svg)" in text


def test_distances_enter_bd_rate_the_other_way_round(judged: dict[str, Any]):
    (one,) = judged["sets"]
    better = [
        one["bd_rate"][key]["avif-pillow"]["restored"]["percent"] for key in ("ssimulacra2", "butteraugli")
    ]
    assert all(percent < 0 for percent in better)
    assert one["over_pictures"]["ssimulacra2"]["restored"]["best"] == pytest.approx(
        100 * (2**-0.2 - 1), abs=0.1
    )


def test_the_container_has_a_line(judged: dict[str, Any]):
    (one,) = judged["sets"]
    found = one["boxes"]["restored"]
    assert 1 + found["percent_put_back"] / 100 == pytest.approx(1.1 * (1 + found["percent"] / 100))
    assert found["bytes"] == 37.5
    assert "points are the container" in report.markdown(judged)
    assert set(one["boxes"]) == {"restored"}


def test_files_worse_than_the_anchor_are_counted_and_named(judged: dict[str, Any]):
    (one,) = judged["sets"]
    found = one["worse"]["restored"]["ssimulacra2"]
    assert (found["files"], found["worse"]) == (8, 4)
    assert {file["image"] for file in found["worst"]} == {"b"}
    assert all(file["by"] == pytest.approx(1) for file in found["worst"])
    text = report.markdown(judged)
    assert "| ours | 4 of 8 | 4 of 8 |" in text
    assert "- ours, SSIMULACRA 2: b at 0.10 bpp, 1; b at" in text


def test_our_files_leave_out_the_boxes_of_the_codec_inside():
    pixels = np.asarray(picture("RGB", 48, 40))
    for key in ("restored", "restored-psnr"):
        codec = codec_of(key)
        data = codec.encode(pixels, codec.settings[3])
        assert codec.boxes is not None and codec.boxes(data) == 275  # of AVIF in colour: docs/format.md


def test_ours_cover_the_rates_of_the_anchor():
    """The same qualities of libavif's own, whatever our scale says."""
    anchor = codec_of("avif-pillow").settings
    for key, tune in (("restored", "visual"), ("restored-psnr", "psnr")):
        own = [carriers.BASE_CODECS["avif"].own_quality(int(q), tune) for q in codec_of(key).settings]
        assert len(own) == len(anchor)
        assert all(wanted <= found <= wanted + 2 for wanted, found in zip(anchor, own))
