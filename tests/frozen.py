"""About 150 calls of ``encode`` and ``decode``, and what each gave when this page was written.

    python -m tests.frozen write    # after a change of behaviour that is meant
    python -m tests.frozen check    # every hash too: on the processor and with the packages that wrote them

A redesign of the face changes none of them. ``test_frozen.py`` compares errors and properties of files everywhere; bytes
depend on the base codecs' releases and, through float networks, on the processor.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import platform
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import dsncodec
from dsncodec.options import ALL_NAMES, OLD_NAMES, options_of_call

STORE = Path(__file__).parent / "golden" / "frozen-calls.json"
PACKAGES = ("numpy", "pillow", "onnxruntime", "imagecodecs", "numba", "torch")
INFO = (
    "width",
    "height",
    "mode",
    "method",
    "scale",
    "levels",
    "chroma_levels",
    "base_quality",
    "backends",
    "model",
)


def picture(mode: str = "RGB", width: int = 24, height: int = 17) -> Image.Image:
    """Smooth waves in every channel."""
    channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}[mode]
    y, x = np.mgrid[:height, :width]
    waves = [128 + 100 * np.sin(x / (3 + c) + c) * np.cos(y / (4 + c)) for c in range(channels)]
    pixels = np.stack(waves, -1).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels)


def calls() -> dict[str, tuple[str, dict[str, Any]]]:
    """Each call by a name that says all of it: the picture's mode, and the keywords of ``encode``."""
    fits = {"latentgrid": {"steps": 6}, "coconet": {"steps": 3}}
    targets: list[dict[str, Any]] = [
        {},
        {"quality": 0},
        {"quality": 20},
        {"quality": 100},
        {"target_bytes": 420},
        {"target_bytes": 40},
        {"target_bpp": 9.0},
        {"target_psnr_db": 28.0},
        {"target_psnr_db": 90.0},
        {"quality": 101},
        {"quality": "high"},
        {"target_bytes": 0},
        {"quality": 50, "target_bytes": 900},
    ]
    rows: list[tuple[str, dict[str, Any]]] = []
    for method, target in itertools.product((None, "restored", "dsn"), targets):
        rows.append(("RGB", {"method": method, **target}))
    for method, target in itertools.product(("latentgrid", "coconet"), targets):
        rows.append(("L", {"method": method, **target, **fits[method]}))
    for mode, method in itertools.product(("L", "LA", "RGBA"), ("restored", "dsn")):
        rows.append((mode, {"method": method}))
    rows += [("RGBA", {"method": "latentgrid", "steps": 6, "quality": 30})]
    for backend in ("avif", "jpeg", "jxl", "j2k", "7z", "lzma2", "jpegls", "webp", "auto", "zip"):
        rows += [("RGB", {"backend": backend}), ("RGB", {"backend": backend, "method": "dsn"})]
        rows += [("RGB", {"backend": backend, "method": "restored"})]
    settings: list[dict[str, Any]] = [
        {"scale": 2},
        {"scale": 3},
        {"scale": 4, "levels": 32},
        {"levels": 64},
        {"levels": 64, "chroma_levels": 16},
        {"scale": 1},
        {"scale": 5},
        {"levels": 1},
        {"levels": 300},
        {"scale": 2, "method": "restored"},
        {"scale": 1, "method": "restored"},
        {"scale": 3, "method": "restored"},
        {"levels": 64, "method": "restored"},
        {"base_quality": 40},
        {"base_quality": 40, "scale": 2, "method": "restored"},
        {"base_quality": 101},
        {"base_quality": 40, "quality": 50},
        {"base_quality": 40, "method": "dsn"},
        {"scale": 2, "quality": 40},
        {"scale": 2, "method": "latentgrid"},
        {"backend": "avif", "method": "coconet"},
        {"seconds": 1.0},
        {"steps": 5, "method": "dsn"},
        {"steps": 0, "method": "latentgrid"},
        {"seconds": -1, "method": "latentgrid"},
        {"variant": "paper", "method": "latentgrid"},
        {"width": 4, "method": "coconet", "steps": 2},
        {"width": 4, "quality": 3, "method": "coconet"},
        {"variant": "fast", "method": "coconet"},
        {"layers": 0, "method": "coconet"},
        {"layers": 2, "method": "coconet", "steps": 2},
        {"variant": "paper", "method": "coconet", "steps": 2},
        {"preview": "x.jpg", "method": "coconet"},
        {"method": "png"},
        {"effort": 10},
        {"effort": -1},
        {"effort": "most"},
        {"threads": 0},
        {"effort": 0},
        {"effort": 3},
        {"effort": 7},
        {"effort": 8, "quality": 30},
        {"effort": 0, "method": "dsn"},
        {"effort": 9, "method": "dsn"},
        {"effort": 9, "method": "restored"},
        {"icc_profile": b""},
        {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"},
        {"xmp": b"<x/>"},
        {"xmp": "text"},
        {"effort": 9, "steps": 6},
        {"effort": 9, "steps": 6, "target_bytes": 600},
        {"effort": 9, "scale": 2},
        {"effort": 9, "backend": "jpeg"},
        {"effort": 9, "variant": "paper"},
        {"backend": "jpeg", "scale": 2},
        {"backend": "jxl", "levels": 64},
        {"backend": "7z", "base_quality": 50},
        {"sharpness": 3},
    ]
    rows += [("RGB", row) for row in settings]
    return {f"{mode} {json.dumps(row, default=repr)}": (mode, row) for mode, row in rows}


def environment() -> str:
    """Where hashes are comparable."""
    return " ".join(
        [platform.processor() or platform.machine(), *(f"{name} {version(name)}" for name in PACKAGES)]
    )


def tuned_as_then(settings: dict[str, Any]) -> dict[str, Any]:
    """The call with tune "psnr", where its method has one: 0.2 had no other."""
    asked = {name: value for name, value in settings.items() if name in (*ALL_NAMES, *OLD_NAMES)}
    try:
        options = options_of_call(settings.get("method"), asked, settings.get("effort", 5), stacklevel=1)
    except (dsncodec.DsnError, TypeError):
        return settings
    return {**settings, "tune": "psnr"} if hasattr(options, "tune") else settings


def outcome(mode: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The file, or the error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            data = dsncodec.encode(picture(mode), **{"threads": 1, **tuned_as_then(settings)})
            shown = dsncodec.decode(data, threads=1)
            small = dsncodec.decode(data, reduce=True, threads=1)
        except (dsncodec.DsnError, TypeError) as exc:
            return {"error": type(exc).__name__, "text": str(exc)}
        info = dsncodec.read_info(data)
    return {
        "info": {name: getattr(info, name) for name in INFO},
        "sha256": hashlib.sha256(data).hexdigest(),
        "pixels": hashlib.sha256(shown.tobytes() + small.tobytes()).hexdigest(),
    }


def main() -> int:
    """Write the page, or compare with it."""
    found = {name: outcome(*call) for name, call in calls().items()}
    if sys.argv[1:] == ["write"]:
        page = {"environment": environment(), "calls": found}
        STORE.write_text(json.dumps(page, indent=0) + "\n", "utf-8")
        print(
            f"{len(found)} calls, {sum('error' in row for row in found.values())} of them errors -> {STORE}"
        )
        return 0
    kept = json.loads(STORE.read_text("utf-8"))
    print("same environment" if kept["environment"] == environment() else f"made on: {kept['environment']}")
    wrong = [name for name, row in found.items() if json.loads(json.dumps(row)) != kept["calls"].get(name)]
    for name in wrong:
        print(f"{name}\n  was {kept['calls'].get(name)}\n  is  {found[name]}")
    print(f"{len(found) - len(wrong)} of {len(found)} calls as before")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
