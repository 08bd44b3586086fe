"""Where reports of fuzzing go, beside those of the studies, and the line that says what made them."""

from __future__ import annotations

from pathlib import Path

import dsncodec
from dsncodec.bench.report import environment, table

__all__ = ["RESULTS", "table", "write_report"]

RESULTS = Path(__file__).parents[2] / "bench" / "results" / dsncodec.__version__


def write_report(name: str, text: str, command: str) -> None:
    """Print a report, and keep it with what made it."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    print(text)
    footer = f"\nReproduce: `{command}`  \nMade by: {environment()}\n"
    (RESULTS / name).write_text(text.rstrip() + "\n" + footer, "utf-8")
