"""The tables of limits and of budgets in docs/threat-model.md, made from the code's own constants: python -m tests.limits writes them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from dsncodec import budget, container
from dsncodec.bench.report import table
from dsncodec.carriers import BASE_CODECS, jxl_patches, jxl_trees
from dsncodec.carriers.lossy import j2k, jpeg
from dsncodec.entropy import adaptive_coder
from dsncodec.methods.coconet import bitstream as coconet
from dsncodec.methods.latentgrid import bitstream as latentgrid
from dsncodec.methods.latentgrid import entropy_model

from .fuzz.dear import BUDGETS

PAGE = Path(__file__).parent.parent / "docs" / "threat-model.md"
_BEGIN, _END = "<!-- {}: made by python -m tests.limits -->", "<!-- end -->"


def number(value: int) -> str:
    """Powers of two as such, other numbers in groups of three.

    >>> number(2**31 - 1), number(178956970), number(64)
    ('2^31 - 1', '178 956 970', '64')
    """
    for less, text in ((0, ""), (1, " - 1")):
        if value + less >= 2**10 and (value + less) & (value + less - 1) == 0:
            return f"2^{(value + less).bit_length() - 1}{text}"
    return f"{value:,}".replace(",", " ")


def limits() -> str:
    """What is refused, whatever it costs."""
    sides = ", ".join(
        f"{name} {number(row.max_side)} each way and {number(row.max_pixels)} in all"
        for name, row in BASE_CODECS.items()
    )
    memory = budget.BYTES_A_PIXEL * container.MAX_PIXELS / 2**30
    rows = [
        (
            "pixels of a picture, W x H",
            f"{number(container.MAX_PIXELS)}, as Pillow's",
            "`max_pixels`; through Pillow, `Image.MAX_IMAGE_PIXELS`",
        ),
        (
            "memory of a decoder",
            f"{budget.BYTES_A_PIXEL} bytes for each pixel of `max_pixels`: {memory:.1f} GiB",
            "`max_pixels`",
        ),
        ("seconds of a decode", "none", "`max_seconds`, between tiles, bands and layers"),
        ("width, height", number(container.MAX_SIDE), ""),
        ("sections of a file", number(container.MAX_SECTIONS), ""),
        ("bytes of parameters", number(container.MAX_PARAMETERS), ""),
        ("a section's length", "the bytes that the file has", ""),
        ("bytes of a file", "none: they are read before they are checked", "the caller"),
        ("pixels of a base codec", sides, ""),
        (
            "depth and planes of a base codec",
            "AVIF 8 or 10 bits, others 8; JPEG 1 or 3 components, as the mode has",
            "",
        ),
        (
            "memory of JPEG 2000",
            f"{j2k.BYTES_A_PIXEL[3]} bytes a pixel of colour, {j2k.BYTES_A_PIXEL[1]} of grey, within a decoder's",
            "`max_pixels`",
        ),
        ("scans of a JPEG file", number(jpeg.MAX_SCANS), ""),
        ("markers of a recompressed JPEG file", number(jpeg.MAX_MARKERS), ""),
        (
            "frames of a JPEG XL codestream",
            "2: the picture, and one for patches of at most its size (lossy: twice that and 2^16)",
            "",
        ),
        (
            "patches of JPEG XL",
            f"{jxl_patches.MAX_AREA} times the picture, and {number(jxl_patches.MIN_ROOM)} pixels: a patch counts for its pixels, "
            f"{jxl_patches.ROW_COST} a row and {jxl_patches.PATCH_COST}",
            "",
        ),
        (
            "trees of a modular JPEG XL frame",
            f"{jxl_trees.MAX_DEPTH} decisions below each other, {number(jxl_trees.MIN_NODES)} in all and one for "
            f"{jxl_trees.SAMPLES_A_NODE} samples; {jxl_trees.MAX_TRANSFORMS} transforms of a part, none of them squeezing; palettes of "
            f"{number(jxl_trees.MIN_PALETTES)} samples, and as many as the frame has",
            "",
        ),
        ("frames of an AVIF file", "1", ""),
        (
            "weights of a fitted network",
            f"{number(coconet.MAX_WEIGHTS)}, at most {coconet.MAX_LAYERS} layers of {coconet.MAX_WIDTH}; products of weights and pixels, "
            f"and {coconet.NEURON_WORK} for each neuron and pixel: {number(coconet.MAX_WORK)}",
            "",
        ),
        (
            "bytes that a list of weights may lack",
            f"{number(adaptive_coder.MOST_UNWRITTEN)} zeros at its end",
            "",
        ),
        (
            "weights of latent grids",
            f"a context network of {sum(latentgrid.counts(8)[:2])} weights of at most {number(latentgrid.MAX_CONTEXT_WEIGHT)} (biases "
            f"{number(latentgrid.MAX_BIAS)}), a synthesis of at most {latentgrid.MAX_WIDTH} neurons; others below {number(latentgrid.WEIGHT_LIMIT)}",
            "",
        ),
        (
            "symbols of latent grids",
            f"{-entropy_model.LARGEST} .. {entropy_model.LARGEST}, some 4/3 W H; in bands of {latentgrid.BAND} rows",
            "",
        ),
        (
            "steps of latent grids without numba",
            f"{number(budget.SLOW_STEPS)} waves of cells, and one for {budget.PIXELS_A_SLOW_STEP} pixels: only long threads have more",
            "`max_pixels=None`",
        ),
        ("dictionary of LZMA2", "the reader's own: what the picture needs, at most 64 MiB", ""),
    ]
    return table(["what", "default", "changed by"], [list(row) for row in rows])


def budgets() -> str:
    """What a decode may take."""
    rows = [
        [name, f"{one.megapixel_s:g}", f"{one.kilobyte_s:g}", f"{one.file_s:g}"]
        for name, one in BUDGETS.items()
    ]
    return table(["what reads the pixels", "s a megapixel", "s a kilobyte", "s a file"], rows)


TABLES = {"limits": limits, "budgets": budgets}


def written(page: str) -> str:
    """The page with its tables as they are now."""
    for name, make in TABLES.items():
        begin = _BEGIN.format(name)
        around = re.compile(re.escape(begin) + r"\n.*?" + re.escape(_END), re.DOTALL)
        page = around.sub(lambda _: f"{begin}\n\n{make().strip()}\n\n{_END}", page)
    return page


def main() -> int:
    """Write the page."""
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
