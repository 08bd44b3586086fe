"""dsncodec export: what a training left to weight files. A checkpoint needs the extra [train], a start of latent grids
none."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from .common import EXIT_DONE, add_talk, load

_MANIFEST = "manifest.toml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="checkpoint.pt of dsncodec train; or the .npz of a start"
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR",
        help="gets the .onnx files, or the .i32 file of a start, and their row in manifest.toml",
    )  # fmt: skip
    parser.add_argument("--name", help="of the model (default: the recipe's)")
    parser.add_argument("--force", action="store_true", help="replace the model of this name")
    add_talk(parser)


def run(args: argparse.Namespace) -> int:
    """Export beside the folder's own files, then rename one by one, the manifest last."""
    exporter = load("start_files" if args.checkpoint.endswith(".npz") else "export")
    own_name = exporter.name_of(args.checkpoint)
    name = args.name or own_name
    folder = Path(args.output)
    taken = [*folder.glob(f"{name}-*.onnx"), *folder.glob(f"{name}.i32")]
    if not args.force and taken:
        raise FileExistsError(f"{folder} has a model {name}; --force replaces it")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".dsncodec-", dir=folder) as text:
        partial = Path(text)
        if (folder / _MANIFEST).exists():
            shutil.copyfile(folder / _MANIFEST, partial / _MANIFEST)
        row = exporter.export(args.checkpoint, partial, name)
        for path in [*partial.glob("*.onnx"), *partial.glob("*.i32"), partial / _MANIFEST]:
            os.replace(path, folder / path.name)
    if not args.quiet:
        print(row, end="")
    return EXIT_DONE
