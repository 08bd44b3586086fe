"""models/manifest.toml as text: rows are added and replaced, the others stay as they are. Needs no torch."""

from __future__ import annotations

import re
from pathlib import Path

NAME = "manifest.toml"
_HEAD = """\
# Published weights. Written by `dsncodec export`; the model card is README.md beside this file.
# wire_id: first 8 bytes of SHA-256 over the digests of the decoder's networks (up, chroma_up; restore; start), as text.
# [[model]]: the sampling networks of a scale; layer_map: the colours that its latents stand for, in docs/format.md, section 2.
# [[restorer]]: what follows a codec; radius: the halo of a tile, in pixels.
# [[look]]: a second `up` for the files of a model, by its wire id.
# [[network]]: from pictures to pictures; without a radius, each pixel of its output depends on the whole picture, and with
# a file of moments, or with statistics, on a few numbers of it beside what lies inside the radius.
# [[start]]: an init of latent grids, which the weights of a file are differences from; width: of the synthesis; lambda: squared error for a bit per pixel.
"""


def add(folder: str | Path, name: str, row: str) -> None:
    """Put a row, as TOML, into the manifest of a folder, in the place of one of the same name."""
    path = Path(folder) / NAME
    path.write_text("\n".join([_HEAD, *sorted([*_other_rows(path, name), row])]), "utf-8")


def _other_rows(manifest: Path, name: str) -> list[str]:
    if not manifest.exists():
        return []
    rows = re.split(r"^(?=\[\[)", manifest.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return [row.rstrip() + "\n" for row in rows if f'\nname = "{name}"\n' not in row]
