"""Where reports of fuzzing go, beside those of the studies, and the line that says what made them."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

import dsncodec
from dsncodec.bench.report import processor, table

__all__ = ["RESULTS", "table", "write_report"]

RESULTS = Path(__file__).parents[2] / "bench" / "results" / dsncodec.__version__
# whose release may change what a broken file comes to
LIBRARIES = ("numpy", "pillow", "onnxruntime", "imagecodecs", "py7zr")


def write_report(name: str, text: str, command: str) -> None:
    """Print a report, and keep it with what made it."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    print(text)
    libraries = ", ".join(f"{library} {version(library)}" for library in LIBRARIES)
    made_by = (
        f"dsncodec {dsncodec.__version__}, Python {platform.python_version()}, {libraries}; {processor()}"
    )
    footer = f"\nReproduce: `{command}`  \nMade by: {made_by}, {platform.system()}\n"
    (RESULTS / name).write_text(text.rstrip() + "\n" + footer, "utf-8")
