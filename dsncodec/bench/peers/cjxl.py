"""JPEG XL with its own down- and up-sampling, by libjxl's programs: Python's builds do not offer it.

The closest classical relative of DSN: the encoder shrinks the picture, the decoder enlarges it by a
filter that the file names.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ...errors import DsnError, MissingComponent
from . import Codec, UInt8Array

DISTANCES = {  # by how much the picture is shrunk
    2: (15, 11, 7.5, 5, 3.4, 2.2, 1.4, 0.8, 0.4),
    4: (12, 8, 5, 3, 1.8, 1, 0.6, 0.3, 0.1),
}


def codecs() -> list[Codec]:
    """One setting is one Butteraugli distance, at each resampling that this cjxl accepts (0.7 refuses 2)."""
    if shutil.which("cjxl") is None or shutil.which("djxl") is None:
        raise MissingComponent("the programs cjxl and djxl are not installed (Debian: libjxl-tools)")
    words = _run("cjxl", "--version")
    version = re.search(r"v(\d+\.\d+\.\d+)", words)
    found = [
        Codec(
            key=f"jxl-resampling{factor}",
            label=f"JPEG XL, resampling {factor}",
            detail=f"cjxl effort 7, --resampling={factor}, bare codestream; times with the program's start",
            kind="twin",
            version=f"libjxl {version[1] if version else words.splitlines()[0]}",
            settings=distances,
            step=0.01,
            encode=partial(_encode, factor),
            decode=_decode,
        )
        for factor, distances in DISTANCES.items()
        if _accepts(factor)
    ]
    if not found:
        raise MissingComponent("this cjxl accepts no --resampling")
    return found


def _accepts(factor: int) -> bool:
    try:
        _encode(factor, np.zeros((16, 16, 3), np.uint8), 1.0)
    except DsnError:
        return False
    return True


def _run(program: str, *arguments: str) -> str:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DsnError(f"{program} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return done.stdout + done.stderr


def _encode(factor: int, picture: UInt8Array, distance: float) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "picture.ppm"), Path(folder, "picture.jxl")
        Image.fromarray(picture).save(source)
        options = "--effort=7", "--num_threads=0", "--container=0"
        _run("cjxl", str(source), str(target), f"--distance={distance:g}", f"--resampling={factor}", *options)
        return target.read_bytes()


def _decode(data: bytes) -> UInt8Array:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "picture.jxl"), Path(folder, "picture.ppm")
        source.write_bytes(data)
        _run("djxl", str(source), str(target), "--num_threads=0")
        with Image.open(target) as image:
            return np.asarray(image.convert("RGB"))
