"""Where results go, and how they look: CSV rows, Markdown reports, and the line that says what made them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import dsncodec
from dsncodec.bench.report import environment, table

__all__ = ["RESULTS", "GrowingTable", "Row", "environment", "newest", "table", "write_csv", "write_report"]

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


def write_report(name: str, text: str, command: str, folder: Path | None = None) -> None:
    """Print a report, and keep it with what made it; in bench/results/<version>/ or another folder."""
    folder = folder or RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    print(text)
    footer = f"\nReproduce: `{command}`  \nMade by: {environment()}\n"
    (folder / name).write_text(text.rstrip() + "\n" + footer, "utf-8")


Row = dict[str, str]


class GrowingTable:
    """A CSV file that grows by a row at a time, so that a study which was stopped goes on.

    Args:
        header: the columns, of which the first ``keys`` tell rows apart.
    """

    def __init__(self, path: Path, header: Sequence[str], keys: int) -> None:
        self.path, self.header, self.keys = path, list(header), keys
        self._rows: dict[tuple[str, ...], Row] = {}
        if path.exists():
            with open(path, newline="", encoding="utf-8") as file:
                found = list(csv.DictReader(file))
            # the last row may have been cut off
            whole = [row for row in found if None not in row.values()]
            self._rows = {tuple(row.values())[:keys]: row for row in whole}
            if len(whole) == len(found):
                return
        path.parent.mkdir(parents=True, exist_ok=True)
        self._write_all()

    @property
    def rows(self) -> list[Row]:
        """All there are, by column."""
        return list(self._rows.values())

    def find(self, key: tuple[str, ...]) -> Row | None:
        """The row of a key, unless it is still to be measured."""
        return self._rows.get(key)

    def add(self, values: Sequence[str]) -> Row:
        """A row of all columns: kept, in the place of one with its key, and printed."""
        key, row = tuple(values[: self.keys]), dict(zip(self.header, values, strict=True))
        was_there, self._rows[key] = key in self._rows, row
        if was_there:
            self._write_all()
        else:
            self._write("a", [values])
        print(*values, flush=True)
        return row

    def _write_all(self) -> None:
        self._write("w", [self.header, *(list(row.values()) for row in self.rows)])

    def _write(self, mode: str, lines: Iterable[Sequence[str]]) -> None:
        with open(self.path, mode, newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(lines)
