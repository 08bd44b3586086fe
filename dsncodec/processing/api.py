"""Pictures to pictures: Down-SNet and Up-SNet as resamplers, networks fitted to the one picture at hand, holes, and styles."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .. import extras
from ..container import Header
from ..encoding import floats_to
from ..errors import MissingComponent, SettingError
from ..methods import OnProgress, Progress
from ..methods.coconet.bitstream import Shape, shape_for
from ..methods.dsn.bitstream import Parameters, Parsed, Point
from ..methods.dsn.codec import Encoder
from ..networks import registry
from ..networks.image_to_image import run
from ..options import deprecated
from ..planes import Picture, to_pillow
from ..processes import thread_count
from ..reading import ImageLike, read_picture
from ..validation import fraction, positive, whole
from . import noise
from .enhancement import enhanced
from .enlarge import enlarged
from .inpaint import filled

UInt8Array = NDArray[np.uint8]
Report = Callable[[float, float], None]

STYLE_METHODS = ("network", "optimise")
UPSAMPLERS = ("dsn", "ppcn", "perceptual", "coconet")
# How a picture is restored from itself; the first is ours, and was called variant "sine" until 0.2
DENOISING_METHODS = ("network", "blind_spot", "paper")
UPSAMPLING_METHODS = ("zero_shot", "paper")
INPAINTING_METHODS = ("exemplars", "paper")

# Hidden layers and their width
# Those of the paper, which says 15 layers for noise and 10 for the rest (4.3 to 4.5; the caption of its Figure 4 says 15 there, too)
PAPER_DENOISING = (15, 200)
PAPER_COMPLETING = PAPER_UPSAMPLING = (10, 200)


def downsample(image: ImageLike, scale: int = 3, *, threads: int | None = None) -> Image.Image:
    """Down-SNet as a resampler: the low-resolution picture from which ``upsample`` restores best.

    Args:
        image: as for ``dsncodec.encode``.
        scale: 2, 3 or 4.
        threads: default: the CPUs this process may use.
    Returns:
        A picture of ceil(W/scale) x ceil(H/scale) pixels, same mode and metadata.
    Raises:
        SettingError: no network has this scale.
    """
    model = registry.for_scale(scale)
    picture = read_picture(image)
    header = Header("dsn", picture.mode, *picture.size)
    encoder = Encoder(header, picture.pixels, threads, effort=0)
    point = Point(scale, 256, 256)
    luma, chroma = encoder.symbols(point)
    layer = Parsed(header, Parameters(point, model.wire_id), luma, chroma, encoder.alpha)
    return to_pillow(replace(picture, pixels=layer.preview()))


def upsample(
    image: ImageLike,
    scale: int = 3,
    *,
    model: str = "dsn",
    seconds: float | None = None,
    steps: int | None = None,
    method: str | None = None,
    threads: int | None = None,
    progress: OnProgress | None = None,
    **old_names: Any,
) -> Image.Image:
    """Enlarge a picture: with Up-SNet, as if it were the low-resolution layer of a file, or another network.

    Up-SNet restores best what ``downsample`` made, or a layer that ``decode`` showed, and knows such a picture by its pixels.
    Any other is taken to be a larger one that was shrunk bicubically. Colours stay the picture's in either case.

    Args:
        image: as for ``dsncodec.encode``.
        scale: 2, 3 or 4; with "ppcn" 4, with "perceptual" 4 or 8, with "coconet" 1 to 16.
        model: "dsn"; "ppcn"; "perceptual", which prefers what looks real to a high PSNR; or "coconet" (needs torch).
        method: of "coconet": "zero_shot", the default, fits a network to the picture and a smaller copy of it, takes it to be a
            larger one, shrunk by an antialiased filter, and ends by itself after 1200 steps. "paper" is the paper's network of
            coordinates, 10 layers of 200 neurons; its 3000 epochs of 256 x 256 pixels take some two hours of a processor core.
        seconds, steps: of "coconet", as for ``denoise``.
        threads: default: the CPUs this process may use.
        progress: called now and then with a ``Progress``: the part of the work that is done, and of "coconet" the mean squared error.
        old_names: ``variant`` and ``report``, as ``method`` and ``progress`` were called before 0.3.
    Returns:
        A picture of scale*W x scale*H pixels, same mode and metadata. Alpha is enlarged bicubically.
    Raises:
        SettingError: no network has this scale, or an unknown model.
    """
    of_fits = any(setting is not None for setting in (seconds, steps, method))
    method, progress = _of_old_names("upsample", old_names, method or "zero_shot", progress, "zero_shot")
    if model == "coconet":
        fit = _Fitting(seconds, steps, method, UPSAMPLING_METHODS, threads, progress)
        whole("scale", scale, 1, 16)
        return _with_colour(read_picture(image), scale, lambda colour: fit.enlarged(colour, scale))
    if model not in UPSAMPLERS:
        raise SettingError(f"model must be one of {', '.join(UPSAMPLERS)}, not {model!r}")
    if of_fits:
        raise SettingError("seconds, steps and method are settings of model 'coconet'")
    if model != "dsn":
        return _through(registry.image_network(model, f"x{scale}"), read_picture(image), threads, progress)
    registry.for_scale(scale)
    used, report = thread_count(threads), _shares_of(progress)
    return _with_colour(read_picture(image), scale, lambda colour: enlarged(colour, scale, used, report))


def enhance(
    image: ImageLike,
    model: str = "student",
    *,
    strength: float | None = None,
    threads: int | None = None,
    progress: OnProgress | None = None,
) -> Image.Image:
    """Make a dark or dull photo look more like a good camera's: contrast, colours, less noise.

    Trained on 297 pairs of patches from one phone (an iPhone 3GS) and one camera. What a picture needs is measured, and one
    that needs nothing comes back as it is. Hues are kept to a few degrees, a cast on what is nearly grey excepted; white and black
    stay, and no detail is burnt. The contrast and the colours of a picture are judged from all of it, or of more than 2**20 pixels from even
    strips, and the rest is done tile by tile.

    Args:
        image: as for ``dsncodec.encode``. Alpha is kept, and grey stays grey.
        model: "student", or "teacher", which takes about four times as long.
        strength: how far to go, from 0, the picture itself, to 1, all that the network would do; default: as far as the
            picture needs, which its tones and colours tell (docs/enhancement.md).
        threads: default: the CPUs this process may use.
        progress: called after each tile with a ``Progress``: the part of them that is done; no error is known.
    Returns:
        A picture of the same size, mode and metadata.
    Raises:
        SettingError: an unknown model; the message lists those there are. A strength outside 0..1.
    Source: Hui et al., "Perception-Preserving Convolutional Networks for Image Enhancement on Smartphones", 2018. The
        strength and what is kept are ours.
    """
    row = registry.image_network("enhance", model)
    part = None if strength is None else fraction("strength", strength)
    count, report = thread_count(threads), _shares_of(progress)
    return _with_colour(
        read_picture(image),
        1,
        lambda colour: enhanced(colour, part, lambda rgb: run(row, rgb, count, report)),
    )


def denoise(
    image: ImageLike,
    *,
    sigma: float | None = None,
    seconds: float | None = None,
    steps: int | None = None,
    method: str | None = None,
    threads: int | None = None,
    progress: OnProgress | None = None,
    **old_names: Any,
) -> Image.Image:
    """Remove noise: with a trained network, or with networks that are fitted to this picture only, and stopped before they learn the
    noise.

    The strength of the noise is measured: "network" looks at the flattest parts, too, as a camera smooths its noise; "blind_spot" takes it to
    differ from pixel to pixel and plane to plane. Where none is found "network" gives the picture back.

    Args:
        image: as for ``dsncodec.encode``. Alpha is kept.
        sigma: standard deviation of the noise in grey levels, with "network" up to 75; default: found in the picture. Not of "paper".
        seconds, steps: the most that the fit may take; default: 60 seconds, and of "paper" its 3000 epochs. "blind_spot" ends by
            itself when pixels that the networks were kept from are no longer shown better.
        method: "network", the default without ``seconds`` and ``steps``: one pass of a network trained on noise of many strengths, of
            sensors, and smoothed; "blind_spot": networks know a pixel's neighbours and where it is, and not its own colour; or "paper": one network
            that knows only where it is, six coordinates, 15 tanh layers of 200 neurons, Adam from 1e-4 to 1e-5. That takes hours:
            3000 epochs are some three minutes of a processor core for 32 x 32 pixels, and three hours for 256 x 256.
        threads: default: the CPUs this process may use.
        progress: called with a ``Progress`` after each tile, of fits after each step: the part of the work or of the budget, and of
            fits the mean squared error.
        old_names: ``variant`` and ``report``, as ``method`` and ``progress`` were called before 0.3.
    Raises:
        SettingError: an impossible setting.
        MissingComponent: torch is not installed, which fits need.
    Warns:
        FitWarning: a fit of "paper" ran away on its way, and went on from its best weights.
    """
    of_fits = seconds is not None or steps is not None
    default = "blind_spot" if of_fits else "network"
    method, progress = _of_old_names("denoise", old_names, method or default, progress, "blind_spot")
    if method not in DENOISING_METHODS:
        raise SettingError(f"method must be one of {', '.join(DENOISING_METHODS)}, not {method!r}")
    if sigma is not None:
        positive("sigma", sigma)
        if method == "paper":
            raise SettingError("sigma is a setting of the methods 'network' and 'blind_spot'")
    if method == "network":
        if of_fits:
            raise SettingError("seconds and steps are settings of the methods 'blind_spot' and 'paper'")
        count, report = thread_count(threads), _shares_of(progress)
        return _with_colour(
            read_picture(image), 1, lambda colour: noise.denoised(colour, sigma, count, report)
        )
    fit = _Fitting(seconds, steps, method, DENOISING_METHODS, threads, progress)
    return _with_colour(read_picture(image), 1, lambda colour: fit.denoised(colour, sigma))


def inpaint(
    image: ImageLike,
    mask: ImageLike | NDArray[np.bool_],
    *,
    seconds: float | None = None,
    steps: int | None = None,
    method: str = "exemplars",
    threads: int | None = None,
    progress: OnProgress | None = None,
) -> Image.Image:
    """Fill in missing regions from the rest of the picture: thin holes smoothly, wide ones with what fits there.

    Scratches and text, up to 10 pixels wide, become surfaces that carry edges on. A wider hole is filled with patches of its
    surroundings, joined without seams: texture and straight edges go on, but what the picture shows nowhere else (half a face)
    cannot come back. Only windows around holes are worked on, by NumPy alone. The same call gives the same pixels, whatever else the
    machine does and however many threads there are.

    Args:
        image: as for ``dsncodec.encode``. Alpha is kept.
        mask: a picture of the same size, or a bool array (H, W): pixels that are not black, or True, are missing.
        seconds: of "paper": the most that the fit may take, 60 by default. "exemplars" ends by itself, and looks at no clock.
        steps: the most iterations at each size of a wide hole, 10 by default; of "paper", of the fit, whose
            default is the paper's schedule, as for ``upsample``.
        method: "exemplars"; or "paper", a network of coordinates fitted to the whole picture, which blurs (needs torch).
        threads: default: the CPUs this process may use.
        progress: called after each hole with a ``Progress``: the part of the work that is done, and the mean squared distance of
            the hole's patches from their exemplars, as a part of 255**2; of "paper", as for ``denoise``.
    Raises:
        SettingError: an impossible setting, a mask of another size, or one that leaves nothing.
        MissingComponent: "paper" without torch.
    """
    if method not in INPAINTING_METHODS:
        raise SettingError(f"method must be one of {', '.join(INPAINTING_METHODS)}, not {method!r}")
    if seconds is not None:
        positive("seconds", seconds)
    if steps is not None:
        whole("steps", steps, 1)
    fit = (
        _Fitting(seconds, steps, method, INPAINTING_METHODS, threads, progress) if method == "paper" else None
    )
    workers = thread_count(threads)
    picture = read_picture(image)
    missing = _missing(mask, picture.size)
    if not missing.any():
        return to_pillow(picture)
    if fit is not None:
        return _with_colour(picture, 1, lambda colour: fit.completed(colour, missing))
    report = _floats_of(progress)
    return _with_colour(picture, 1, lambda colour: filled(colour, missing, steps, workers, report))


def complete(
    image: ImageLike,
    mask: ImageLike | NDArray[np.bool_],
    *,
    seconds: float | None = None,
    steps: int | None = None,
    variant: str = "exemplars",
    threads: int | None = None,
    report: Report | None = None,
) -> Image.Image:
    """``inpaint``, as it was called before 0.3: ``variant`` is ``method`` ("sine" stands for "exemplars"), ``report`` takes the
    floats of ``progress``."""
    deprecated("complete", "inpaint, its variant method, and its report progress", stacklevel=2)
    return inpaint(
        image,
        mask,
        seconds=seconds,
        steps=steps,
        method="exemplars" if variant == "sine" else variant,
        threads=threads,
        progress=None if report is None else floats_to(report),
    )


def stylize(
    image: ImageLike,
    style: str | ImageLike = "udnie",
    *,
    method: str = "network",
    loss_networks: str | os.PathLike[str] | None = None,
    steps: int | None = None,
    seconds: float | None = None,
    threads: int | None = None,
    progress: OnProgress | None = None,
    **old_names: Any,
) -> Image.Image:
    """The picture as if painted in the style of another.

    Strokes are some 10 to 30 pixels wide whatever the picture's size: a large photograph is best shrunk first. A network judges its tones
    from all of it, or of more than 2**20 pixels from even strips, and paints tile by tile, in about half a GiB of memory.

    Args:
        image: as for ``dsncodec.encode``. Alpha is kept; a grey picture becomes a coloured one.
        style: with "network" the name of a style that ships or that ``dsncodec export`` added; with "optimise" the
            picture to take the style from: as ``image``, so a path is one.
        method: "network", one pass through a network trained for the style (Johnson et al. 2016); or "optimise", which changes
            the pixels step by step, takes some thousand times longer and needs torch (Gatys et al. 2016).
        loss_networks: of "optimise", which needs it: the folder of the loss networks' weights, see docs/style.md.
        steps, seconds: of "optimise": the budget, whichever ends first; default: 500 steps.
        threads: default: the CPUs this process may use.
        progress: called after each tile with a ``Progress``: the part of them that is done; of "optimise" after each step: the part
            of the budget spent, and the loss.
        old_names: ``report``, as ``progress`` was called before 0.3.
    Raises:
        SettingError: an unknown style (the message lists those there are), or an impossible setting.
        MissingComponent: "optimise" without torch or without the loss networks.
        LimitExceeded: more than 2**20 pixels with "optimise"; more than 2**24 with a network exported before 0.3.
    """
    method, progress = _of_old_names("stylize", old_names, method, progress, None)
    if method == "network":
        if any(setting is not None for setting in (loss_networks, steps, seconds)):
            raise SettingError("loss_networks, steps and seconds are settings of method 'optimise'")
        if not isinstance(style, str):
            raise SettingError("method 'network' takes the name of a style; for a picture, method 'optimise'")
        row, count, report = (
            registry.image_network("style", style),
            thread_count(threads),
            _shares_of(progress),
        )
        return to_pillow(_painted(read_picture(image), lambda rgb: run(row, rgb, count, report)))
    if method != "optimise":
        raise SettingError(f"method must be one of {', '.join(STYLE_METHODS)}, not {method!r}")
    gatys = extras.load("dsncodec.processing.style_optimisation")
    if loss_networks is None:
        raise MissingComponent(
            "method 'optimise' needs the loss networks' weights, which do not ship: loss_networks must name their folder"
        )
    example = _rgb(read_picture(_style_picture(style)))
    settings = {
        "steps": None if steps is None else whole("steps", steps, 1),
        "seconds": None if seconds is None else positive("seconds", seconds),
        "threads": thread_count(threads),
        "report": _floats_of(progress),
    }
    return to_pillow(
        _painted(read_picture(image), lambda rgb: gatys.stylised(rgb, example, loss_networks, **settings))
    )


def _of_old_names(
    function: str, given: Mapping[str, Any], method: str, progress: OnProgress | None, sine: str | None
) -> tuple[str, OnProgress | None]:
    """``method`` and ``progress``, perhaps by the names they had before 0.3. ``sine``: what the variant of that name is called
    now; None: the function had no variants.

    Raises:
        TypeError: another keyword.
    """
    if unknown := given.keys() - ({"report"} if sine is None else {"report", "variant"}):
        raise TypeError(f"{function}() got an unexpected keyword argument {min(unknown)!r}")
    if sine is not None and "variant" in given:
        deprecated("variant", f'method, and its "sine" "{sine}"', stacklevel=3)
        method = sine if given["variant"] == "sine" else given["variant"]
    if (report := given.get("report")) is not None:
        deprecated("report", "progress", stacklevel=3)
        progress = floats_to(report)
    return method, progress


def _floats_of(progress: OnProgress | None) -> Report | None:
    """``progress`` for a fit that tells two floats."""
    return None if progress is None else lambda done, mse: progress(Progress(done, mse))


def _shares_of(progress: OnProgress | None) -> Callable[[float], None] | None:
    """``progress`` for work that knows no error."""
    return None if progress is None else lambda done: progress(Progress(done, math.nan))


def _style_picture(style: str | ImageLike) -> ImageLike:
    """``style``, unless it is the name of a network."""
    if isinstance(style, str) and not os.path.exists(style):
        known = [row.variant for row in registry.image_networks() if row.kind == "style"]
        if style in known:
            raise SettingError(f"method 'optimise' takes the style's picture, not the name {style!r}")
    return style


def _rgb(picture: Picture) -> UInt8Array:
    """Its colour as (H, W, 3)."""
    if picture.mode.startswith("RGB"):
        return np.ascontiguousarray(picture.pixels[..., :3])
    return picture.pixels[..., :1].repeat(3, 2)


def _painted(picture: Picture, change: Callable[[UInt8Array], UInt8Array]) -> Picture:
    """The picture with other colours, alpha kept. A profile for grey says nothing of them."""
    pixels, mode, profile = change(_rgb(picture)), "RGB", picture.icc_profile
    if picture.mode.startswith("L"):
        profile = b""
    if picture.mode.endswith("A"):
        pixels, mode = np.concatenate([pixels, picture.pixels[..., -1:]], -1), "RGBA"
    return replace(picture, pixels=pixels, mode=mode, icc_profile=profile)


def _missing(mask: ImageLike | NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask as (H, W) bool; its alpha is not looked at."""
    if isinstance(mask, np.ndarray) and mask.dtype == np.bool_:
        missing = np.asarray(mask, np.bool_)
    else:
        read = read_picture(cast(ImageLike, mask))
        missing = np.asarray(read.colour.any(-1))
    if missing.shape != (size[1], size[0]):
        shown = " x ".join(str(side) for side in missing.shape[::-1])
        raise SettingError(f"the mask is {shown} pixels, the picture {size[0]} x {size[1]}")
    if missing.all():
        raise SettingError("the mask covers the whole picture: nothing is left to complete it from")
    return missing


def _with_colour(picture: Picture, scale: int, change: Callable[[UInt8Array], UInt8Array]) -> Image.Image:
    """The picture with its colour changed, and alpha enlarged bicubically, or kept at scale 1."""
    width, height = (side * scale for side in picture.size)
    pixels = change(np.ascontiguousarray(picture.colour))
    if picture.mode.endswith("A"):
        alpha = Image.fromarray(np.ascontiguousarray(picture.pixels[..., -1]))
        large = np.asarray(alpha if scale == 1 else alpha.resize((width, height), Image.Resampling.BICUBIC))
        pixels = np.concatenate([pixels, large[..., None]], -1)
    return to_pillow(replace(picture, pixels=pixels))


def _through(
    row: registry.ImageNetwork, picture: Picture, threads: int | None, progress: OnProgress | None
) -> Image.Image:
    """Run a network on a picture; a grey picture gives a grey one."""
    report = _shares_of(progress)

    def change(colour: UInt8Array) -> UInt8Array:
        made = run(row, colour, thread_count(threads), report)
        if colour.shape[2] == 3:
            return made
        return np.asarray(Image.fromarray(made).convert("L"))[..., None]

    return _with_colour(picture, row.scale, change)


class _Fitting:
    """The settings of a fit, checked, and what the modules that fit do with them."""

    def __init__(
        self,
        seconds: float | None,
        steps: int | None,
        method: str,
        known: tuple[str, ...],
        threads: int | None,
        progress: OnProgress | None,
    ) -> None:
        extras.load("dsncodec.processing.coordinate_network")  # so that a missing torch is told first
        self.seconds = None if seconds is None else positive("seconds", seconds)
        self.steps = None if steps is None else whole("steps", steps, 1)
        if method not in known:
            raise SettingError(f"method must be one of {', '.join(known)}, not {method!r}")
        self.is_papers = method == "paper"
        self.how: dict[str, Any] = {"threads": thread_count(threads), "report": _floats_of(progress)}

    def _budget(self, pixels: int) -> Any:
        """What the fit of so many pixels may cost."""
        return extras.load("dsncodec.processing.coordinate_network").budget_of(
            "paper" if self.is_papers else "sine", pixels, self.seconds, self.steps
        )

    def denoised(self, pixels: UInt8Array, sigma: float | None) -> UInt8Array:
        """A picture (H, W, planes) without its noise."""
        budget = self._budget(pixels.shape[0] * pixels.shape[1])
        if self.is_papers:
            shape = self._shape(PAPER_DENOISING, pixels)
            found: UInt8Array = extras.load("dsncodec.processing.coordinate_network").denoised(
                shape, pixels[None], budget, **self.how
            )[0]
        else:
            found = extras.load("dsncodec.processing.blind_spot").denoised(
                pixels[None], budget, sigma, **self.how
            )[0]
        return found

    def enlarged(self, pixels: UInt8Array, scale: int) -> UInt8Array:
        """A picture (H, W, planes) at ``scale`` times its size."""
        budget = self._budget(pixels.shape[0] * pixels.shape[1])
        if self.is_papers:
            shape = self._shape(PAPER_UPSAMPLING, pixels)
            found: UInt8Array = extras.load("dsncodec.processing.coordinate_network").enlarged(
                shape, pixels, scale, budget, **self.how
            )
        else:
            found = extras.load("dsncodec.processing.zero_shot_sr").enlarged(
                pixels, scale, budget, **self.how
            )
        return found

    def completed(self, pixels: UInt8Array, missing: NDArray[np.bool_]) -> UInt8Array:
        """A picture (H, W, planes) with its missing pixels (H, W) filled in, by the paper's network."""
        shape = self._shape(PAPER_COMPLETING, pixels)
        found: UInt8Array = extras.load("dsncodec.processing.coordinate_network").completed(
            shape, pixels, missing, self._budget(int(np.sum(~missing))), **self.how
        )
        return found

    def _shape(self, sides: tuple[int, int], pixels: UInt8Array) -> Shape:
        """The paper's network of coordinates, with ``sides`` (layers, width)."""
        height, width = pixels.shape[:2]
        return shape_for("paper", *sides, (width, height))
