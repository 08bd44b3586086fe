"""python -m bench: our published studies and tables, written to bench/results/; or any folder of pictures.

python -m bench table NAME [...]      one table of a paper, beside ours
python -m bench STUDY [...]           one study of our own
python -m bench FOLDER [...]          every codec over your pictures, as `dsncodec bench FOLDER`
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from dsncodec.cli import main as dsncodec_command

TABLES = {
    "dsn-3": (
        "bench.tables.dsn3",
        "DSN Table 3: three networks retrained on bicubic and on Down-SNet inputs",
    ),
    "dsn-4": ("bench.tables.dsn4", "DSN Table 4: luma PSNR and SSIM of x2, x3, x4"),
    "dsn-5": (
        "bench.tables.dsn5",
        "DSN Table 5: bpp and SSIM of Set5; and luma SSIM curves beside JPEG, JPEG 2000, AVIF",
    ),
    "dsn-9": ("bench.tables.dsn9", "DSN Figure 9: speed against PSNR"),
    "coconet-1": ("bench.tables.coconet1", "CocoNet Table 1: noise on CIFAR-10, beside filters"),
    "ppcn-1": ("bench.tables.ppcn1", "PPCN Table 1: luma PSNR and SSIM of x4, and the time it takes"),
    "coconet-2": ("bench.tables.coconet2", "CocoNet Table 2: Set5 x4, beside bicubic"),
    "ppcn-3": ("bench.tables.ppcn3", "PPCN Table 3: photo enhancement with and without a teacher"),
    "perceptual-sr": (
        "bench.tables.perceptual_sr",
        "Johnson et al., section 4.2: super-resolution on features and on pixels: PSNR and feature distance",
    ),
    "coconet-4": ("bench.tables.coconet4", "CocoNet Figure 4: parts of pictures missing, completed"),
}
STUDIES = {
    "sets": ("bench.sets", "every codec over Set14, B100 and Urban100: curves, BD-rates, page, plots"),
    "worst": ("bench.worst", "crops of the files that the report names as worst, where they differ most"),
    "sheet": ("bench.sheet", "crops at equal bytes, side by side: AVIF as Pillow writes it, JPEG XL, ours"),
    "twins": (
        "bench.twins",
        "Down-SNet and Up-SNet against average pooling and bicubic or Lanczos",
    ),
    "quality": (
        "bench.quality",
        "build models/quality.toml on the tuning set, and check that it is monotone",
    ),
    "speed": ("bench.speed", "encode and decode speed beside eager torch, AVIF and JPEG XL"),
    "restored": (
        "bench.restored",
        "what a network over a standard codec costs in time, and half the size at low rates",
    ),
    "never-worse": (
        "bench.never_worse",
        "the method restored beside the codec inside: PSNR, SSIM, the gain that a file tells, and time",
    ),
    "visual": (
        "bench.visual",
        "the tune for the eye: what its qualities mean by SSIMULACRA 2, and what each effort buys",
    ),
    "kept": (
        "bench.kept",
        "JPEG files kept byte for byte: what is saved, what the restored view wins; --fit: its strength",
    ),
    "graphics": (
        "bench.graphics",
        "forty screenshots, plots, icons and drawings beside PNG, WebP, JPEG XL and AVIF without loss",
    ),
    "targets": (
        "bench.targets",
        "target_bytes and target_psnr_db beside all qualities, on flat pictures and on photographs",
    ),
    "look": (
        "bench.look",
        "the two looks of method dsn: PSNR and feature distances; side by side as pictures",
    ),
    "perceptual-avif": (
        "bench.perceptual_avif",
        "the second decoder of files with an AVIF inside: PSNR, and what judges that did not train it say",
    ),
    "bases": (
        "bench.bases",
        "JPEG, JPEG XL and JPEG 2000 inside, beside the same codec alone, by four judges",
    ),
    "colours": (
        "bench.colours",
        "colours of what is shown of layers; enlarged pictures: colours, and PSNR beside bicubic",
    ),
    "coconet": ("bench.coconet", "networks fitted to each picture, beside JPEG and JPEG 2000"),
    "latentgrid": (
        "bench.latentgrid",
        "latent grids fitted to each picture, with and without the published inits, beside AVIF; their time",
    ),
    "visual-latentgrid": (
        "bench.visual_latentgrid",
        "latent grids fitted for the eye and for squared error, beside Pillow's AVIF, by four referees; their time",
    ),
    "latentgrid-large": (
        "bench.large",
        "latent grids of 12 megapixels beside AVIF: bytes, memory, seconds, a region",
    ),
    "randomness": (
        "bench.randomness",
        "latent grids at low rates: random planes and a feature loss for the synthesis, a prototype",
    ),
    "style": (
        "bench.tables.style",
        "style transfer: a network's loss and time beside 500 steps of optimisation",
    ),
    "denoise": ("bench.denoise", "noise taken out of photographs by us, BM3D, non-local means and wavelets"),
    "inpaint": ("bench.inpaint", "holes in whole photographs, filled by us, scikit-image and OpenCV"),
    "need": (
        "bench.need",
        "fit how much enhancement a picture needs, and judge it on pictures left out; needs torch",
    ),
    "soak": (
        "bench.soak",
        "hours of mixed work in one process: memory, descriptors and threads must stay flat",
    ),
    "memory": ("bench.memory", "peak memory of small, long and huge pictures, and what a region costs"),
    "batch": (
        "bench.batch",
        "pictures per second of one and two workers, and what a batch costs beside the bare codec",
    ),
    "published": ("bench.published", "pick the literature's curves out of a collection of them"),
    "readme": ("bench.readme", "copy tables and plots into docs/results.md"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one study; its module comes in only when it is asked for."""
    wanted = list(sys.argv[1:] if argv is None else argv)
    if wanted and not wanted[0].startswith("-") and wanted[0] not in ("table", *STUDIES):
        return dsncodec_command(["bench", *wanted])
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="STUDY")
    table = commands.add_parser("table", help="one table of a paper: " + ", ".join(TABLES))
    _add(table.add_subparsers(required=True, metavar="NAME"), TABLES, wanted[1:2])
    _add(commands, STUDIES, wanted[:1])
    args = parser.parse_args(wanted)
    args.command = " ".join(["python -m bench", *wanted])
    return int(args.run(args))


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    studies: dict[str, tuple[str, str]],
    wanted: list[str],
) -> None:
    for name, (module_name, help_text) in studies.items():
        command = commands.add_parser(name, help=help_text, description=help_text)
        if name in wanted:
            command.add_argument(
                "--data", default="../shared/data", help="folder of image sets (default: %(default)s)"
            )
            module = importlib.import_module(module_name)
            module.add_arguments(command)
            command.set_defaults(run=module.run)


if __name__ == "__main__":
    sys.exit(main())
