"""Where results go, and how they look: CSV rows, Markdown reports, and the line that says what made them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import dsncodec
from dsncodec.bench.report import environment, table

__all__ = ["RESULTS", "environment", "newest", "table", "write_csv", "write_report"]

RESULTS = Path(__file__).parent / "results" / dsncodec.__version__


def newest(name: str) -> Path:
    """A file of results from the newest release that has it.

    Raises:
        FileNotFoundError: none has.
    """
    found = [path for path in RESULTS.parent.glob(f"*/{name}")]
    if not found:
        raise FileNotFoundError(f"no release has results called {name}")
    return max(found, key=lambda path: tuple(map(int, path.relative_to(RESULTS.parent).parts[0].split("."))))


def write_csv(name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Raw rows under bench/results/<version>/."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with open(RESULTS / name, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_report(name: str, text: str, command: str) -> None:
    """Print a report, and keep it with what made it."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    print(text)
    footer = f"\nReproduce: `{command}`  \nMade by: {environment()}\n"
    (RESULTS / name).write_text(text.rstrip() + "\n" + footer, "utf-8")
