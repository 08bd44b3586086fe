"""Raw rows on disk: one CSV file per codec, one line as soon as a file is measured."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import SettingError
from ..files import replacing


@dataclass(frozen=True)
class Row:
    """One file that was written and decoded again.

    Times are medians over the repeats, from pixels to bytes and back in memory, in seconds of CPU: what one
    thread takes on an idle machine. All threads count, and so do programs that a codec starts.
    ``peak_mib``: the most memory the process held while it coded, libraries included; nan where the system
    does not say. ``ssim_y``, ``ms_ssim`` (of RGB) and the scores of referees are nan for pictures too small for them, and
    those of referees where nobody asked them. ``boxes_bytes``: what a base codec's own file has around the coded picture,
    and this file leaves out.
    """

    image: str
    width: int
    height: int
    image_sha256: str  # of the RGB pixels, 16 hex digits
    codec: str
    version: str
    setting: float
    size_bytes: int
    boxes_bytes: int
    bpp: float
    psnr_db: float
    psnr_y_db: float
    ssim_y: float
    ms_ssim: float
    ssimulacra2: float
    butteraugli: float
    lpips: float
    dists: float
    encode_s: float
    decode_s: float
    peak_mib: float
    file_sha256: str  # 16 hex digits


HEADING = [field.name for field in fields(Row)]
TIMES = frozenset({"encode_s", "decode_s", "peak_mib"})  # the only fields that differ from run to run
_FORMATS = {
    "setting": "g",
    "bpp": ".6f",
    "psnr_db": ".5f",
    "psnr_y_db": ".5f",
    "ssim_y": ".7f",
    "ms_ssim": ".7f",
    "ssimulacra2": ".4f",
    "butteraugli": ".5f",
    "lpips": ".6f",
    "dists": ".6f",
    "encode_s": ".5f",
    "decode_s": ".5f",
    "peak_mib": ".1f",
}
_PARSERS: dict[str, Callable[[str], Any]] = {
    "str": lambda text: text.removeprefix("'"),
    "int": int,
    "float": float,
}


class Store:
    """The rows of one set in one folder.

    A run that was killed leaves at worst half a line at an end. It is not read, and the next run replaces it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def path(self, codec: str) -> Path:
        """The file of one codec's rows."""
        return self.folder / f"{codec}.csv"

    def read(self, codec: str) -> list[Row]:
        """All whole rows of a codec.

        Raises:
            SettingError: the file is not one of ours.
        """
        try:
            text = self.path(codec).read_text("utf-8", "surrogateescape")
        except FileNotFoundError:
            return []
        whole = text[: text.rfind("\n") + 1]
        if not whole and not ",".join(HEADING).startswith(text):  # not even half a heading
            raise SettingError(f"{self.path(codec)} has other columns: choose another -o, or remove it")
        try:
            heading, *lines = [*csv.reader(io.StringIO(whole))] or [HEADING]
            rows = [_parsed(line) for line in lines]
        except (csv.Error, ValueError) as exc:
            raise SettingError(f"{self.path(codec)} cannot be read ({exc}): remove it") from exc
        if heading != HEADING:
            raise SettingError(f"{self.path(codec)} has other columns: choose another -o, or remove it")
        return rows

    def append(self, row: Row) -> Row:
        """Add a row to a file that ``replace`` has begun; returns it as it will be read, with rounded values."""
        texts = _texts(row)
        with open(self.path(row.codec), "a", encoding="utf-8", errors="surrogateescape", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(texts)
        return _parsed(texts)

    def replace(self, codec: str, rows: Iterable[Row]) -> None:
        """Write a codec's file anew, by picture and setting: the same file however the run went."""
        with (
            replacing(str(self.path(codec)), force=True) as partial,
            open(partial, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADING)
            writer.writerows(
                _texts(row) for row in sorted(rows, key=lambda row: (row.image, row.size_bytes, row.setting))
            )


def _texts(row: Row) -> list[str]:
    return [
        guarded(value) if isinstance(value, str) else format(value, _FORMATS.get(name, ""))
        for name, value in asdict(row).items()
    ]


_FORMULA = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "'",
)  # how a cell begins that a spreadsheet does not show as it is


def guarded(text: str) -> str:
    """A cell of text, behind an apostrophe if a spreadsheet would take it for a formula.

    >>> guarded("=1+1"), guarded("a.png")
    ("'=1+1", 'a.png')
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def _parsed(texts: list[str]) -> Row:
    return Row(*(_PARSERS[str(field.type)](text) for field, text in zip(fields(Row), texts, strict=True)))
