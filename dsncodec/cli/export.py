"""dsncodec export: a training checkpoint to weight files. Needs the extra [train]."""

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
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="checkpoint.pt of dsncodec train")
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR",
        help="gets four .onnx files, and their row in manifest.toml",
    )  # fmt: skip
    parser.add_argument("--name", help="of the model (default: the recipe's)")
    parser.add_argument("--force", action="store_true", help="replace the model of this name")
    add_talk(parser)


def run(args: argparse.Namespace) -> int:
    """Export beside the folder's own files, then rename one by one, the manifest last."""
    export = load("export")
    _, state = export.load_nets(args.checkpoint)
    name = args.name or state["recipe"]["name"]
    folder = Path(args.output)
    if not args.force and list(folder.glob(f"{name}-*.onnx")):
        raise FileExistsError(f"{folder} has a model {name}; --force replaces it")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".dsncodec-", dir=folder) as text:
        partial = Path(text)
        if (folder / _MANIFEST).exists():
            shutil.copyfile(folder / _MANIFEST, partial / _MANIFEST)
        row = export.export(args.checkpoint, partial, name)
        for path in [*partial.glob("*.onnx"), partial / _MANIFEST]:
            os.replace(path, folder / path.name)
    if not args.quiet:
        print(row, end="")
    return EXIT_DONE
