"""Modules that need an extra of the package, imported when they are used: the only imports by name beside the tables of
methods, carriers, verbs and public names, which tests/test_doors.py lists.
"""

from __future__ import annotations

import importlib
from typing import Any

from .errors import MissingComponent

# module -> the extra that brings what it imports
MODULES = {
    "dsncodec.batch.dask": "cluster",
    "dsncodec.batch.remote": "batch",
    "dsncodec.carriers.jp2": "jp2",
    "dsncodec.methods.coconet.compress": "train",
    "dsncodec.methods.coconet.onnx_export": "train",
    "dsncodec.processing.coordinate_network": "train",
    "dsncodec.processing.blind_spot": "train",
    "dsncodec.processing.style_optimisation": "train",
    "dsncodec.processing.zero_shot_sr": "train",
    "dsncodec.train.tasks": "train",
    "dsncodec.train.trainer": "train",
    "dsncodec.train.export.onnx": "train",
    "dsncodec.train.tasks.latentgrid_init": "fit",
    "dsncodec.methods.latentgrid.fit": "fit",
    "dsncodec.bench.measure": "bench",
    "dsncodec.bench.peers": "bench",
    "dsncodec.bench.report": "bench",
    "dsncodec.bench.samples": "bench",
    "dsncodec.bench.store": "bench",
}


def load(module: str) -> Any:
    """Import one of MODULES.

    Raises:
        MissingComponent: what it needs is not installed; the message says the command that brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        raise MissingComponent(
            f"the package {exc.name} is not installed: pip install dsncodec[{MODULES[module]}]"
        ) from exc
