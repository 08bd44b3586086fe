"""dsncodec export: what a training left to weight files. A checkpoint needs the extra [train], an init of latent grids
none."""

from __future__ import annotations

import argparse
import errno
import shutil
import tempfile
import tomllib
from pathlib import Path

from ..files import replacing
from .common import EXIT_DONE, add_talk, load

_MANIFEST = "manifest.toml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="checkpoint.pt of dsncodec train; or the .npz of an init"
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="DIR",
        help="gets the .onnx files, or the .i32 file of an init, and their row in manifest.toml",
    )
    parser.add_argument("--name", help="of the model (default: the recipe's)")
    parser.add_argument("--force", action="store_true", help="replace the model of this name")
    add_talk(parser)


def run(args: argparse.Namespace) -> int:
    """Export beside the folder's own files, then rename one by one, the manifest last."""
    exporter = load("init_files" if args.checkpoint.endswith(".npz") else "export")
    own_name = exporter.name_of(args.checkpoint)
    name = args.name or own_name
    folder = Path(args.output)
    manifest = folder / _MANIFEST
    taken = [*folder.glob(f"{name}-*.onnx"), *folder.glob(f"{name}.i32")]
    if not args.force and (taken or _has_row(manifest, name)):
        raise FileExistsError(f"{folder} has a model {name}; --force replaces it")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".dsncodec-", dir=folder) as text:
        partial = Path(text)
        if manifest.exists():
            _check_manifest(manifest)
            shutil.copyfile(manifest, partial / _MANIFEST)
        row = exporter.export(args.checkpoint, partial, name)
        for path in [*partial.glob("*.onnx"), *partial.glob("*.i32")]:
            with replacing(str(folder / path.name), args.force) as free:
                shutil.copyfile(path, free)
        with replacing(str(manifest), force=True) as free:
            shutil.copyfile(partial / _MANIFEST, free)
    if not args.quiet:
        print(row, end="")
    return EXIT_DONE


def _has_row(manifest: Path, name: str) -> bool:
    """Whether a manifest lists a model of this name."""
    return manifest.exists() and f'\nname = "{name}"\n' in manifest.read_text("utf-8", "replace")


def _check_manifest(manifest: Path) -> None:
    """Raises FileExistsError: it is no list of models, and a row would replace all that it says."""
    try:
        rows = tomllib.loads(manifest.read_text("utf-8"))
    except ValueError:
        rows = {"": None}
    if not all(isinstance(row, list) for row in rows.values()):
        raise FileExistsError(errno.EEXIST, f"{manifest} is no list of models: choose another folder")
