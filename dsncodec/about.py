"""What takes part: the versions of this package and of what it stands on."""

from __future__ import annotations

import importlib.metadata
import platform

from . import __version__, container

# distributions, those of extras too
_PACKAGES = (
    "numpy",
    "pillow",
    "onnxruntime",
    "imagecodecs",
    "py7zr",
    "numba",
    "torch",
    "glymur",
    "pillow-heif",
    "pillow-jxl-plugin",
)
# Pillow's names of the libraries inside of it
_LIBRARIES = {
    "avif": "libavif",
    "webp": "libwebp",
    "libjpeg_turbo": "libjpeg-turbo",
    "jpg_2000": "OpenJPEG",
    "libtiff": "libtiff",
    "littlecms2": "littleCMS",
}


def versions() -> dict[str, str]:
    """What a report of a fault should say: name -> version, of this package, the codestreams it reads, Python, the system, and
    each package and library that is there. Nothing heavy is loaded.

    >>> versions()["codestream"]
    '1, 2'
    """
    found = {
        "dsncodec": __version__,
        "codestream": ", ".join(str(number) for number in range(1, container.VERSION + 1)),
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    from PIL import features

    for feature, library in _LIBRARIES.items():
        if version := features.version(feature):
            found[library] = version
    return found
