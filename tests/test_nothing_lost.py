"""No file is lost: what a command did not write is replaced only where --force names it."""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dsncodec
from dsncodec import encoding
from dsncodec import files as writing
from dsncodec.batch import folders
from dsncodec.batch import run as batch
from dsncodec.batch.run import MANIFEST, Batch
from dsncodec.cli import VERBS, main
from dsncodec.train.export import latentgrid_init

from .conftest import picture

PRECIOUS = b"precious"
READS_ONLY = {"info", "verify", "completion"}
EXTRA = {  # what a verb cannot do without, or what makes it quick
    "encode": ["--backend", "jpeg", "--effort", "0"],
    "inpaint": ["--mask", "{mask}", "--steps", "1"],
    "denoise": ["--steps", "1", "--sigma", "9"],
}
NEEDS_TORCH = {"inpaint", "denoise"}


@dataclass(frozen=True)
class Call:
    """A command that writes below ``place``."""

    name: str
    arguments: Callable[[Path, Path], list[str]]  # of the sources' folder and of ``place``
    needs: str = ""
    forces: bool = True  # it knows --force
    only: tuple[str, ...] = field(default=())  # suffixes of outputs that are tried; all if there are none


def parser_of(verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    importlib.import_module(VERBS[verb][0]).add_arguments(parser)
    return parser


def usual(verb: str) -> Call:
    """A verb that takes INPUT and -o, with the input that its help names."""
    helps = {action.dest: action.help or "" for action in parser_of(verb)._actions}
    source = "coded.dsn" if helps["inputs"].startswith(".dsn") else "photo.png"
    suffix = ".dsn" if verb == "encode" else ".png"

    def arguments(sources: Path, place: Path) -> list[str]:
        extra = [text.format(mask=sources / "mask.png") for text in EXTRA.get(verb, [])]
        return [verb, str(sources / source), "-o", str(place / f"x{suffix}"), *extra]

    return Call(verb, arguments, "torch" if verb in NEEDS_TORCH else "")


TINY = [
    "data.patch=24",
    "data.batch=2",
    "model.width=4",
    "model.chroma_width=4",
    "model.blocks=1",
    "optim.steps=1",
    "optim.optimizer=adam",
    "optim.bf16=false",
]


def train(sources: Path, place: Path) -> list[str]:
    folder = (sources / "pictures").as_posix()
    settings = [*TINY, f"data.train=['{folder}']", f"data.held_out=['{folder}']"]
    sets = [part for setting in settings for part in ("--set", setting)]
    return ["train", "dsn-x3", "-o", str(place), "--device", "cpu", *sets]


def starts(sources: Path, place: Path) -> list[str]:
    settings = [
        f"data.train=['{(sources / 'pictures').as_posix()}']",
        "data.shares=[1]",
        "data.crops=2",
        "data.again=2",
        "data.size=16",
        "lmbdas=[2e-3]",
        "first=2e-3",
        "batch=1",
        "threads=1",
        "middle.visits=1",
        "again.visits=1",
        "width=8",
        "fits.least_lmbda=1",
    ]
    sets = [part for setting in settings for part in ("--set", setting)]
    return ["train", "latentgrid", "-o", str(place), *sets]


SPECIAL = {
    "compare": [
        Call(
            "compare",
            lambda s, p: ["compare", str(s / "photo.png"), str(s / "coded.dsn"), "-o", str(p / "sheet.png")],
        ),
    ],
    "batch": [
        Call("batch", lambda s, p: ["batch", str(s / "pictures"), str(p), "-j", "1", *EXTRA["encode"]]),
    ],
    "bench": [
        Call(
            "bench",
            lambda s, p: ["bench", str(s / "pictures"), "-o", str(p), "--codecs", "jpeg", "--show", "none"],
            "matplotlib",
            only=("index.html", "report.json", "psnr.svg", "jpeg.csv", "written.sha256"),
        ),
    ],
    "train": [
        Call("train", train, "torch", forces=False),
        Call("train starts", starts, "numba"),
        Call("train --pack", lambda s, p: ["train", "--pack", str(s / "pictures"), "-o", str(p / "x.npz")]),
    ],
    "export": [
        Call("export", lambda s, p: ["export", str(s / "start.npz"), "-o", str(p), "--name", "tiny"]),
    ],
}
CALLS = [call for verb in VERBS if verb not in READS_ONLY for call in (SPECIAL.get(verb) or [usual(verb)])]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands read."""
    folder = tmp_path_factory.mktemp("sources")
    image = picture("RGB", 40, 32)
    image.save(folder / "photo.png")
    mask = np.zeros((32, 40), np.uint8)
    mask[8:12, 8:12] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    (folder / "coded.dsn").write_bytes(dsncodec.encode(image, base="jpeg", effort=0, threads=1))
    (folder / "pictures").mkdir()
    for i in range(2):
        picture("RGB", 40, 40, seed=i).save(folder / "pictures" / f"{i}.png")
    from dsncodec.methods.latentgrid.bitstream import counts

    flat = np.zeros(sum(counts(16)), np.float32)
    info = latentgrid_init.Info("latentgrid-starts", 1, 1.0, 0)
    latentgrid_init.TrainedInit(2e-3, 16, flat, info).save(folder / "start.npz")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """All below it, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def outputs(call: Call, sources: Path, place: Path) -> list[str]:
    """What a command writes into an empty folder: the names are found, not known."""
    if call.needs:
        pytest.importorskip(call.needs)
    place.mkdir()
    assert main(call.arguments(sources, place)) == 0
    found = [name for name in files(place) if not call.only or name.endswith(call.only)]
    assert found
    return found


def test_every_verb_is_here() -> None:
    """A new verb is tested as soon as it is in the table; what only reads says so here, and has no place to write to."""
    assert set(VERBS) >= READS_ONLY
    for verb in READS_ONLY:
        options = {text for action in parser_of(verb)._actions for text in action.option_strings}
        assert not options & {"-o", "--output", "--force"}
    assert {call.name.split()[0] for call in CALLS} == set(VERBS) - READS_ONLY


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_what_stands_there_stays(call: Call, sources: Path, tmp_path: Path) -> None:
    """A foreign file in the place of each output; and with --force, a result."""
    before = files(sources)
    for at, name in enumerate(outputs(call, sources, tmp_path / "first")):
        place = tmp_path / f"taken-{at}"
        (place / name).parent.mkdir(parents=True)
        (place / name).write_bytes(PRECIOUS)
        assert main(call.arguments(sources, place)) in (1, 2), name
        assert (place / name).read_bytes() == PRECIOUS, name
        assert not [left for left in files(place) if Path(left).name.startswith(writing.PARTIAL)]
    if call.forces:
        place = tmp_path / "forced"
        place.mkdir()
        target = next(
            name
            for name in files(tmp_path / "first")
            if Path(name).suffix not in (".jsonl", ".toml", ".sha256")
        )
        (place / target).parent.mkdir(parents=True, exist_ok=True)
        if not target.endswith(".csv"):  # rows, which are read before they are replaced
            (place / target).write_bytes(PRECIOUS)
        assert main([*call.arguments(sources, place), "--force"]) == 0
        assert (place / target).read_bytes() != PRECIOUS
    assert files(sources) == before


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_what_a_command_wrote_it_may_write_again(call: Call, sources: Path, tmp_path: Path) -> None:
    """Those that go on from what is there do; the others need --force, and say so."""
    outputs(call, sources, tmp_path / "first")
    again = 0 if call.name in ("batch", "bench", "train", "train starts") else 1
    assert main(call.arguments(sources, tmp_path / "first")) == again


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize(
    "call", [call for call in CALLS if call.needs != "torch"], ids=lambda call: call.name
)
def test_what_appears_meanwhile_stays(
    call: Call, links: bool, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the last look at a name and the moment it is given, whether the file system has hard links or not."""
    place, appeared, real = tmp_path / "out", list[Path](), writing._place

    def late(partial: Path, path: Path) -> None:
        if path.name != writing.LEDGER and not path.name.startswith(batch.PARTS):
            path.write_bytes(PRECIOUS)
            appeared.append(path)
        real(partial, path)

    def refused(*_: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if not links:
        monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr(writing, "_place", late)
    monkeypatch.setattr("dsncodec.cli.batch.process_pool", ThreadPoolExecutor)
    place.mkdir()
    assert main(call.arguments(sources, place)) == 1
    assert appeared and all(path.read_bytes() == PRECIOUS for path in appeared)
    assert not [name for name in files(place) if Path(name).name.startswith(writing.PARTIAL)]


def test_without_hard_links_files_are_written(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "link", refused)
    assert main(["decode", str(sources / "coded.dsn"), "-o", str(tmp_path / "x.png")]) == 0
    assert list(files(tmp_path)) == ["x.png"]
    with Image.open(tmp_path / "x.png") as image:
        assert image.size == (40, 32)


# --- beside the input


BESIDE = [call.name for call in CALLS if call.name not in SPECIAL and " " not in call.name]


@pytest.mark.parametrize("verb", BESIDE)
def test_beside_the_input(verb: str, sources: Path, tmp_path: Path) -> None:
    """Without -o: another name, or a refusal."""
    if verb in NEEDS_TORCH:
        pytest.importorskip("torch")
    names: list[str] = []
    for name in ("free", "taken"):
        place = tmp_path / name
        place.mkdir()
        for source in ("photo.png", "coded.dsn", "mask.png"):
            shutil.copy(sources / source, place)
        _, source, _, _, *extra = usual(verb).arguments(place, place)
        for one in names:
            (place / one).write_bytes(PRECIOUS)
        before = files(place)
        code = main([verb, source, *extra])
        after = files(place)
        assert {name: after[name] for name in before} == before
        new = sorted(set(after) - set(before))
        assert (code, len(new)) in ((0, 1), (1, 0))
        names = names or new
    assert names


@pytest.fixture
def home(sources: Path, tmp_path: Path) -> Path:
    """A photograph, its .dsn beside it, and another one of another name."""
    shutil.copy(sources / "photo.png", tmp_path / "orig.png")
    shutil.copy(sources / "coded.dsn", tmp_path / "orig.dsn")
    return tmp_path


def test_a_decode_beside_the_original(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(home)
    assert main(["decode", str(home / "orig.dsn")]) == 0
    assert "orig.decoded.png: 40 x 32" in capsys.readouterr().out
    assert set(files(home)) == {*before, "orig.decoded.png"}
    (home / "orig.decoded.png").write_bytes(PRECIOUS)
    assert main(["decode", str(home / "orig.dsn")]) == 1
    err = capsys.readouterr().err
    assert "orig.png and" in err and "name the result with -o" in err and "--force" not in err
    assert files(home) == {**before, "orig.decoded.png": PRECIOUS}
    assert main(["decode", str(home / "orig.dsn"), "-o", str(home / "orig.png")]) == 1
    assert main(["decode", str(home), "-o", str(home) + os.sep]) == 1
    assert files(home) == {**before, "orig.decoded.png": PRECIOUS}
    assert main(["decode", str(home / "orig.dsn"), "--force"]) == 0
    after = files(home)
    assert after["orig.png"] != before["orig.png"] and after["orig.decoded.png"] == PRECIOUS
    assert main(["decode", str(home / "orig.dsn"), "--format", "jpg"]) == 0
    assert (home / "orig.jpg").exists()


@pytest.mark.parametrize("suffix", [".jpg", ".PNG", ".webp", ".jxl", ".avif", ".tif", ".heic"])
def test_a_dsn_file_has_no_other_name(suffix: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(home)
    for force in ([], ["--force"]):
        target = str(home / f"new{suffix}")
        assert main(["encode", str(home / "orig.png"), "-o", target, *EXTRA["encode"], *force]) == 2
        assert "encode writes .dsn files" in capsys.readouterr().err
    assert files(home) == before


@pytest.mark.parametrize("verb", ["decode", "thumbnail", "upsample", "downsample"])
def test_a_picture_is_no_dsn_file(verb: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = home / ("orig.dsn" if verb in ("decode", "thumbnail") else "orig.png")
    dsncodec.register_pillow()  # which could write one
    before = files(home)
    for output in (["-o", str(home / "new.dsn")], ["--format", "dsn"]):
        assert main([verb, str(source), *output, "--force"]) == 2
        assert "dsncodec encode" in capsys.readouterr().err
    assert files(home) == before


# --- names that lead to what is read


def test_an_input_under_other_names(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = (home / "orig.png").read_bytes()
    os.symlink(home / "orig.png", home / "soft.png")
    os.link(home / "orig.png", home / "hard.png")
    for name in ("orig.png", "soft.png", "hard.png", "./orig.png"):
        assert main(["downsample", str(home / "orig.png"), "-o", str(home / name), "--force"]) == 1
        assert "same file" in capsys.readouterr().err
    assert (home / "orig.png").read_bytes() == original
    if (home / "ORIG.png").exists():  # a file system that does not tell case apart
        assert main(["downsample", str(home / "orig.png"), "-o", str(home / "ORIG.png"), "--force"]) == 1


def test_an_input_of_another_job(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A result that lies beside its input may have the name of the next input."""
    picture("RGB", 20, 16, seed=5).save(home / "orig-down3.png")
    before = files(home)
    assert main(["downsample", str(home / "orig.png"), str(home / "orig-down3.png"), "--force"]) == 1
    assert "this command reads it" in capsys.readouterr().err
    after = files(home)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"orig-down3-down3.png"}


def test_a_mask_and_a_style_are_inputs(home: Path, sources: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    mask = home / "mask.png"
    shutil.copy(sources / "mask.png", mask)
    before = files(home)
    asked = [
        "inpaint",
        str(home / "orig.png"),
        "--mask",
        str(mask),
        "--steps",
        "1",
        "-o",
        str(mask),
        "--force",
    ]
    assert main(asked) == 1
    assert "this command reads it" in capsys.readouterr().err
    asked = [
        "stylize",
        str(home / "orig.png"),
        "--method",
        "optimise",
        "--style",
        str(mask),
        "-o",
        str(mask),
        "--force",
    ]
    assert main(asked) == 1
    assert "this command reads it" in capsys.readouterr().err
    assert files(home) == before


def test_two_jobs_for_one_place(home: Path) -> None:
    (home / "a").mkdir()
    shutil.copy(home / "orig.png", home / "a" / "x.png")
    os.symlink(home / "a", home / "b")
    both = [str(home / "a" / "x.png"), str(home / "b" / "x.png")]
    assert main(["downsample", *both, "--force"]) == 2


FIT = ["--method", "coconet", "--steps", "2", "--target-bpp", "9", "--threads", "1"]


def test_previews_and_checkpoints(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    photo, target = str(home / "orig.png"), home / "new.dsn"
    for name in ("preview", "checkpoint"):
        (home / f"{name}.png").write_bytes(PRECIOUS)
    before = files(home)
    asked = ["encode", photo, "-o", str(target), *FIT]
    for kept in (
        ["--preview", str(home / "preview.png")],
        ["--preview", photo, "--force"],
        ["--checkpoint", str(home / "checkpoint.png"), "--force"],
        ["--checkpoint", photo, "--force"],
        ["--checkpoint", str(target), "--force"],
        ["--checkpoint", str(home / "k.png"), "--preview", str(home / "k.png"), "--force"],
    ):
        assert main([*asked, *kept]) in (1, 2), kept
        assert files(home) == before, kept
    assert main([*asked, "--preview", str(home / "preview.png"), "--force"]) == 0
    assert (home / "preview.png").read_bytes() != PRECIOUS
    # the checkpoint of another picture's fit
    assert main([*asked, "--force", "--checkpoint", str(home / "kept")]) == 0
    kept_bytes = (home / "kept").read_bytes()
    picture("RGB", 40, 32, seed=9).save(home / "other.png")
    capsys.readouterr()
    other = ["encode", str(home / "other.png"), "-o", str(home / "other.dsn"), *FIT]
    assert main([*other, "--checkpoint", str(home / "kept"), "--force"]) == 1
    assert "is of another picture" in capsys.readouterr().err
    assert (home / "kept").read_bytes() == kept_bytes and not (home / "other.dsn").exists()


@pytest.mark.parametrize("name", ["preview", "checkpoint"])
def test_a_preview_or_checkpoint_that_appears_meanwhile(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from dsncodec.methods.coconet import compress

    kept, run = home / "kept.png", compress._Compression.run

    def late(self: Any, watchers: Any) -> None:
        kept.write_bytes(PRECIOUS)
        run(self, watchers)

    monkeypatch.setattr(compress._Compression, "run", late)
    target = str(home / "new.dsn")
    assert main(["encode", str(home / "orig.png"), "-o", target, *FIT, f"--{name}", str(kept)]) == 1
    assert kept.read_bytes() == PRECIOUS


# --- batch


SETTINGS = {"effort": 0, "base": "jpeg", "tune": "psnr", "quality": 50}


@pytest.fixture
def folders_of(sources: Path, tmp_path: Path) -> tuple[str, str]:
    shutil.copytree(sources / "pictures", tmp_path / "in")
    return str(tmp_path / "in"), str(tmp_path / "out")


def ran(urls: tuple[str, str], **options: Any) -> dict[str, str]:
    """A whole run by threads: picture -> its error."""
    settings = SETTINGS | options.pop("settings", {})
    found = Batch(*urls, settings, **options)
    return {row.picture: row.error for row in found.run(lambda: ThreadPoolExecutor(1), lambda: 1)}


def test_a_batch_leaves_foreign_files(folders_of: tuple[str, str]) -> None:
    target = Path(folders_of[1])
    target.mkdir()
    (target / "0.dsn").write_bytes(PRECIOUS)
    (target / ".dsncodec-notes.txt").write_bytes(PRECIOUS)  # ours in name only
    (target / ".batch-notes.jsonl").write_bytes(PRECIOUS)
    for _ in range(2):  # also when the manifest knows the picture
        errors = ran(folders_of)
        assert "0.dsn was not written by this batch" in errors["0.png"] and "--force" in errors["0.png"]
        assert not errors["1.png"]
    kept = files(target)
    assert all(kept[name] == PRECIOUS for name in ("0.dsn", ".dsncodec-notes.txt", ".batch-notes.jsonl"))
    assert not any(ran(folders_of, force=True).values())
    assert dsncodec.read_info(target / "0.dsn").size == (40, 40)
    assert not any(ran(folders_of).values())


def test_a_batch_leaves_what_was_changed(folders_of: tuple[str, str]) -> None:
    """An output that is not what the batch wrote; with other settings, its own are replaced, and only those."""
    target = Path(folders_of[1])
    assert not any(ran(folders_of).values())
    own = (target / "0.dsn").read_bytes()
    (target / "0.dsn").write_bytes(PRECIOUS)
    errors = ran(folders_of, settings={"quality": 30})
    assert "was changed since" in errors["0.png"] and not errors["1.png"]
    assert (target / "0.dsn").read_bytes() == PRECIOUS
    assert dsncodec.read_info(target / "1.dsn").base_quality == 30
    (target / "0.dsn").write_bytes(own)  # put back: the batch still knows it
    assert not any(ran(folders_of, settings={"quality": 30}).values())
    assert dsncodec.read_info(target / "0.dsn").base_quality == 30


def unlike_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """No two encodings are the same, as where a fit has seconds."""
    real, count = encoding.encode, iter(range(1000))

    def encode(*args: Any, **settings: Any) -> bytes:
        return real(*args, **settings, xmp=b"%d" % next(count))

    monkeypatch.setattr(encoding, "encode", encode)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("first", [True, False])
def test_a_killed_batch_knows_its_own(
    first: bool, moment: str, folders_of: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed around the writing of an output, which may replace an earlier one: all of them are the batch's."""
    unlike_any_other(monkeypatch)
    if not first:
        assert not any(ran(folders_of).values())
    real = batch._placed

    def killed(*args: Any) -> Any:
        if moment == "after":
            real(*args)
        raise SystemExit  # as good as a kill: nothing in the shard comes after it

    tasks = Batch(*folders_of, SETTINGS).tasks
    with monkeypatch.context() as patch:
        patch.setattr(batch, "_placed", killed)
        with pytest.raises(SystemExit):
            batch.encode_shard(batch.Shard(*folders_of, {**SETTINGS, "quality": 30}, tuple(tasks)))
    for quality in (30, 20):
        assert not any(ran(folders_of, settings={"quality": quality}).values())
        assert dsncodec.read_info(Path(folders_of[1], "0.dsn")).base_quality == quality
    rows = [json.loads(line) for line in Path(folders_of[1], MANIFEST).read_text().splitlines()]
    assert [row["error"] for row in rows] == ["", ""]


def test_an_output_that_appears_while_it_is_encoded(
    folders_of: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    target, real = Path(folders_of[1]), encoding.encode

    def slow(*args: Any, **settings: Any) -> bytes:
        target.mkdir(exist_ok=True)
        (target / "0.dsn").write_bytes(PRECIOUS)
        return real(*args, **settings)

    monkeypatch.setattr(encoding, "encode", slow)
    errors = ran(folders_of)
    assert "was not written by this batch" in errors["0.png"] and not errors["1.png"]
    assert (target / "0.dsn").read_bytes() == PRECIOUS


def test_a_batch_behind_a_url() -> None:
    pytest.importorskip("fsspec")
    urls = ("memory://lost/in", "memory://lost/out")
    source, target = map(folders.opened, urls)
    buffer = io.BytesIO()
    picture("RGB", 20, 16).save(buffer, "PNG")
    for name in ("0.png", "1.png"):
        source.write(name, buffer.getvalue())
    target.write("0.dsn", PRECIOUS)
    with pytest.raises(FileExistsError):
        target.write("0.dsn", b"other", force=False)
    errors = ran(urls)
    assert "was not written by this batch" in errors["0.png"] and not errors["1.png"]
    assert target.read("0.dsn") == PRECIOUS


# --- whose a file is


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444, 0o755])
def test_a_file_that_replaces_another_has_its_mode(mode: int, home: Path) -> None:
    """Of every way to write one: a command, a batch, a report; nobody else reads it meanwhile."""
    target = home / "own.dsn"
    target.write_bytes(PRECIOUS)
    target.chmod(mode)
    owner = target.stat().st_uid, target.stat().st_gid
    with writing.replacing(str(target), force=True) as partial:
        assert partial.stat().st_mode & 0o777 == 0o600
        partial.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == mode
    assert (target.stat().st_uid, target.stat().st_gid) == owner
    assert main(["encode", str(home / "orig.png"), "-o", str(target), "--force", "--method", "dsn"]) == 0
    assert target.stat().st_mode & 0o777 == mode
    folders.LocalFolder(home).write("own.dsn", b"newer")
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"newer", mode)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_new_file_has_the_mode_that_the_user_wants(home: Path) -> None:
    before = os.umask(0o027)
    try:
        assert main(["encode", str(home / "orig.png"), "-o", str(home / "new.dsn"), "--method", "dsn"]) == 0
    finally:
        os.umask(before)
    assert (home / "new.dsn").stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="owners are given away by root alone")
def test_a_file_that_replaces_another_has_its_owner(tmp_path: Path) -> None:
    target = tmp_path / "theirs"
    target.write_bytes(PRECIOUS)
    os.chown(target, 12345, 23456)
    target.chmod(0o640)
    writing.write(str(target), b"new", force=True)
    found = target.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (12345, 23456, 0o640)


def test_times_of_the_input_are_kept_where_they_are_asked_for(home: Path) -> None:
    photo, coded = home / "orig.png", home / "made.dsn"
    os.utime(photo, (10**9, 10**9))
    assert main(["encode", str(photo), str(coded), "--preserve-times", "--effort", "0"]) == 0
    for arguments in (
        ["decode", "-o", str(home / "back.png")],
        ["decode", "-o", str(home / "b.ppm")],
        ["extract"],
    ):
        assert main([arguments[0], str(coded), *arguments[1:], "--preserve-times"]) == 0
    outputs = [coded, home / "back.png", home / "b.ppm", home / "made-layer.avif"]
    assert [path.stat().st_mtime for path in outputs] == [10**9] * 4
