"""dsncodec: learned image compression from one pip install.

>>> import dsncodec
>>> data = dsncodec.encode("photo.png", quality=75)    # doctest: +SKIP
>>> image = dsncodec.decode(data)                      # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .about import versions
    from .comparison import Comparison, compare
    from .decoding import ImageInfo, Rows, decode, decode_rows, is_dsn, read_info, verify
    from .encoding import Metadata, encode
    from .errors import (
        CodestreamError,
        Corrupt,
        DsnError,
        DsnWarning,
        FitWarning,
        LimitExceeded,
        LossWarning,
        MissingComponent,
        NotADsnFile,
        SettingError,
        Truncated,
        UnsupportedVersion,
    )
    from .extraction import Extracted, extract
    from .methods import Progress
    from .options import Best, CocoNet, DeepSampling, LatentGrid, Restored
    from .pillow_plugin import register_pillow
    from .processing.api import complete, denoise, downsample, enhance, inpaint, stylize, upsample

__version__ = "0.3.0"

_HOME = {
    "encoding": ["Metadata", "encode"],
    "about": ["versions"],
    "comparison": ["Comparison", "compare"],
    "decoding": ["ImageInfo", "Rows", "decode", "decode_rows", "is_dsn", "read_info", "verify"],
    "errors": [
        "CodestreamError",
        "Corrupt",
        "DsnError",
        "DsnWarning",
        "FitWarning",
        "LimitExceeded",
        "LossWarning",
        "MissingComponent",
        "NotADsnFile",
        "SettingError",
        "Truncated",
        "UnsupportedVersion",
    ],
    "methods": ["Progress"],
    "options": ["Best", "CocoNet", "DeepSampling", "LatentGrid", "Restored"],
    "extraction": ["Extracted", "extract"],
    "pillow_plugin": ["register_pillow"],
    "processing.api": ["complete", "denoise", "downsample", "enhance", "inpaint", "stylize", "upsample"],
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Best",
    "CocoNet",
    "CodestreamError",
    "Comparison",
    "Corrupt",
    "DeepSampling",
    "DsnError",
    "DsnWarning",
    "Extracted",
    "FitWarning",
    "ImageInfo",
    "LatentGrid",
    "LimitExceeded",
    "LossWarning",
    "Metadata",
    "MissingComponent",
    "NotADsnFile",
    "Progress",
    "Restored",
    "Rows",
    "SettingError",
    "Truncated",
    "UnsupportedVersion",
    "compare",
    "complete",
    "decode",
    "decode_rows",
    "denoise",
    "downsample",
    "encode",
    "enhance",
    "extract",
    "inpaint",
    "is_dsn",
    "read_info",
    "register_pillow",
    "stylize",
    "upsample",
    "verify",
    "versions",
]


def __getattr__(name: str) -> Any:
    """Public names come from their module when first used, so that the import itself costs nothing."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
