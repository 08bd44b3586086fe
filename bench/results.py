"""Where results go, and how they look: CSV rows, Markdown reports, and the line that says what made them."""

from __future__ import annotations

import csv
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

import dsncodec

RESULTS = Path(__file__).parent / "results" / dsncodec.__version__


def environment() -> str:
    """One line that says what made the numbers."""
    names = ("numpy", "pillow", "onnxruntime", "imagecodecs", "py7zr")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    cpu = next(
        (line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")),
        platform.machine(),
    )
    return f"dsncodec {dsncodec.__version__}, Python {platform.python_version()}, {versions}; {cpu}, {platform.system()}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


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


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; the first column left, the others right."""
    lines = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"
