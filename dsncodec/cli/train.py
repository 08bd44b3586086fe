"""dsncodec train: a recipe in, a checkpoint out. Needs the extra [train]; inits of latent grids need [fit] instead."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import signal
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dsncodec

from ..errors import SettingError
from ..files import replacing
from .common import EXIT_DONE, EXIT_INTERRUPTED, Progress, add_talk, complain, load, positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "source",
        nargs="+",
        metavar="RECIPE",
        help="a .toml file, or the name of a published recipe; with --pack: pictures, folders",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        help="folder of checkpoint.pt and log.csv (default runs/NAME), of inits an .npz file each; with --pack: the .npz file",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_override,
        metavar="SECTION.KEY=VALUE",
        help="change the recipe, such as optim.steps=1000; may be repeated",
    )
    parser.add_argument(
        "--anneal",
        metavar="DIR",
        help="begin where the run in DIR is, and let its learning rate fall over this recipe's budget: DIR itself goes on later",
    )
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, ... (default: a GPU if there is one)")
    parser.add_argument(
        "--log-every",
        type=positive,
        default=120.0,
        metavar="SECONDS",
        help="how often to log and to save a checkpoint (default 120)",
    )
    parser.add_argument("--pack", action="store_true", help="put pictures into one .npz file to train from")
    parser.add_argument(
        "--force", action="store_true", help="overwrite the .npz files of --pack and of inits"
    )
    add_talk(parser)


def _override(text: str) -> tuple[str, str]:
    """Key and TOML value; a bare word is taken as a string."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not SECTION.KEY=VALUE")
    try:
        tomllib.loads(f"v = {value}")
    except tomllib.TOMLDecodeError:
        value = json.dumps(value)
    return key, value


def run(args: argparse.Namespace) -> int:
    """Train, go on training, or pack."""
    if args.pack:
        return _pack(args)
    if len(args.source) != 1:
        raise SettingError("give one recipe (or --pack, for pictures)")
    path = _recipe_path(args.source[0])
    if load("recipe").read_table(path, dict(args.set)).get("task") == "latentgrid":
        return _train_inits(args, path)
    changes = dict(args.set) | ({} if args.anneal is None else {"optim.schedule": '"anneal"'})
    task = load("tasks").read(path, changes)
    recipe = task.recipe
    out = Path(args.output or Path("runs", recipe.name))
    trainer = _trainer(load("loop"), task, out, args.device, args.anneal)
    if trainer.step and not args.quiet:
        complain(f"going on from step {trainer.step} of {trainer.checkpoint}")
    trainer.watch = bar = Progress(recipe.name, args.quiet)
    try:
        talk = contextlib.redirect_stderr(io.StringIO()) if args.quiet else contextlib.nullcontext()
        with talk, _ending_at_a_step(trainer):
            trainer.run(args.log_every)
        if trainer.stopping and trainer.progress < 1:
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        bar.clear()
        trainer.save()
        complain(f"stopped at step {trainer.step}; the same command goes on from there")
        return EXIT_INTERRUPTED
    finally:
        bar.clear()
    if not args.quiet:
        print(f"{recipe.name}: {trainer.step} steps -> {trainer.checkpoint}")
    return EXIT_DONE


def _train_inits(args: argparse.Namespace, path: Path) -> int:
    """The inits of latent grids, one file each."""
    if args.device is not None:
        raise SettingError("--device: inits of latent grids are trained on the processor")
    inits = load("inits")
    recipe = inits.read(path, dict(args.set))
    out = Path(args.output or Path("runs", recipe.name))
    with contextlib.redirect_stderr(io.StringIO()) if args.quiet else contextlib.nullcontext():
        trainer = inits.Trainer(recipe, out, args.force)
        trainer.watch = bar = Progress(recipe.name, args.quiet)
        try:
            trainer.run(args.log_every)
        except KeyboardInterrupt:
            bar.clear()
            complain(
                f"stopped; {len(trainer.done)} of {len(recipe.lmbdas)} inits are in {out}; the same command goes on"
            )
            return EXIT_INTERRUPTED
        finally:
            bar.clear()
    if not args.quiet:
        print(f"{recipe.name}: {len(trainer.done)} inits -> {out}")
    return EXIT_DONE


def _recipe_path(text: str) -> Path:
    """A path as it is; a bare name among the recipes of the package."""
    path = Path(text)
    if path.suffix == ".toml" or len(path.parts) > 1:
        return path
    folder = Path(dsncodec.__file__).parent / "train" / "recipes"
    shipped = {path.stem: path for path in sorted(folder.glob("*.toml"))}
    if text not in shipped:
        raise SettingError(f"no recipe {text!r}; give a .toml file, or one of {', '.join(shipped)}")
    return shipped[text]


def _trainer(loop: Any, task: Any, out: Path, device: str | None, anneal: str | None) -> Any:
    if device is not None:
        try:
            loop.torch.empty(1, device=device)
        except (RuntimeError, AssertionError) as exc:  # torch raises both
            why = str(exc).splitlines()[0]
            raise SettingError(f"device {device!r} cannot be used: {why}") from exc
    try:
        return loop.Trainer(task, out, device, anneal)
    except (RuntimeError, KeyError, ValueError) as exc:
        if not (out / "checkpoint.pt").exists():
            raise
        raise SettingError(f"{out}/checkpoint.pt is of another recipe: choose another -o") from exc


@contextlib.contextmanager
def _ending_at_a_step(trainer: Any) -> Iterator[None]:
    """SIGTERM ends the run after the step it is in, with a checkpoint."""

    def stop(number: int, frame: Any) -> None:
        trainer.stopping = True

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _pack(args: argparse.Namespace) -> int:
    if args.output is None or not args.output.endswith(".npz"):
        raise SettingError("--pack needs -o FILE.npz")
    images = load("data").PackedImages.read(args.source)
    with replacing(args.output, args.force) as partial:
        images.save(partial)
    if not args.quiet:
        print(f"{args.output}: {len(images)} pictures, {len(images.pixels):,} pixels")
    return EXIT_DONE
