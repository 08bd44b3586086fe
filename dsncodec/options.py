"""The settings of each coding method: one frozen dataclass a method. The API, the command, Pillow, batches and benchmarks
read names, defaults, checks and help from here.

>>> LatentGrid(seconds=120)
LatentGrid(seconds=120.0, steps=None, init='published', tune='visual', preview=None, checkpoint=None)
>>> options_of("dsn", {"levels": 64}).levels
64
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .errors import SettingError
from .validation import positive, whole

PREVIEWS = (".gif", ".png", ".webp")
VARIANTS = ("sine", "paper")
INITS = ("published", "zero")
TUNES = ("visual", "psnr")
PathLike = str | os.PathLike[str]


def setting(default: Any, help: str, metavar: str, kind: str) -> Any:
    """A field of options. ``kind`` is how a command line reads it: "int", "float" or "str"; ``help`` says the rest."""
    return field(default=default, metadata={"help": help, "metavar": metavar, "kind": kind})


def flag(help: str, *aliases: str) -> Any:
    """A field of options that is True or False, False by default. ``aliases`` are other names of it in the command."""
    return field(default=False, metadata={"help": help, "metavar": None, "kind": "bool", "aliases": aliases})


def _yes_or_no(name: str, value: Any) -> bool:
    """Raises SettingError unless this is True or False."""
    if not isinstance(value, bool):
        raise SettingError(f"{name} must be True or False, not {value!r}")
    return value


class Options:
    """What all methods' options share. ``method`` is the name on the wire; ``explicit`` names the settings that fix the
    operating point in the place of a quality or a target."""

    method: ClassVar[str]
    title: ClassVar[str]
    explicit: ClassVar[tuple[str, ...]] = ()
    # settings that are of one picture: no default for several
    single: ClassVar[tuple[str, ...]] = ()
    # whether the file that is given is to come back byte for byte
    keep: bool = False

    def is_lossless(self, quality: int | None) -> bool:
        """Whether every pixel is to come back, at this quality."""
        return self.keep

    def given(self) -> dict[str, Any]:
        """The settings that differ from their defaults, by name."""
        return {
            f.name: value
            for f in dataclasses.fields(self)  # type: ignore[arg-type]
            if (value := getattr(self, f.name)) != f.default
        }

    def fixed(self) -> list[str]:
        """The settings given that fix the operating point."""
        return [name for name in self.explicit if getattr(self, name) not in (None, False)]

    def _check(self, name: str, checked: Any) -> None:
        """Keep a checked value in the place of what the caller gave."""
        object.__setattr__(self, name, checked)


def _check_tune(tune: str) -> None:
    """Raises SettingError unless this is one of TUNES."""
    if tune not in TUNES:
        raise SettingError(f"tune must be one of {', '.join(TUNES)}, not {tune!r}")


@dataclass(frozen=True, kw_only=True)
class Restored(Options):
    """A standard codec, and a network that restores what it lost. The default; about a second.

    Args:
        base: the base codec, "avif", "jpeg", "jxl" or "j2k"; "auto": avif, for sides beyond 32768 jpeg, beyond 65500 jxl.
        base_quality: 0..100, the base codec's own quality, in the place of ``quality``; at full size unless ``scale`` is 2.
        scale: 1, or 2 for the base codec at half the size; None: with tune "psnr" from effort 4 on 2 at low rates, where it
            serves better.
        tune: "visual": what people see, by SSIMULACRA 2; "psnr": squared error.
        lossless: every pixel comes back; so it does at ``quality`` 100, unless a base codec or a scale is named.
        keep: the file that is given, a path, a binary file or bytes of a JPEG, AVIF, JPEG XL or JPEG 2000 file, comes back byte by
            byte from ``extract``; a JPEG is recompressed by JPEG XL, and shown restored. No other setting goes with it.
    Raises:
        SettingError: an impossible value.
    """

    method = "restored"
    title = "a standard codec under a network, the default"
    explicit = ("base_quality", "lossless", "keep")

    base: str = setting("auto", "the codec inside: avif (default), jpeg, jxl, j2k", "NAME", "str")
    base_quality: int | None = setting(None, "of the codec inside, its own scale", "0..100", "int")
    scale: int | None = setting(None, "the codec inside at full size, 1, or at half of it, 2", "1..4", "int")

    tune: str = setting("visual", "for the eye (visual, default) or for squared error (psnr)", "NAME", "str")
    lossless: bool = flag("every pixel comes back")
    keep: bool = flag(
        "the file itself inside, of a JPEG a fifth smaller: extract gives it back byte for byte", "keep_jpeg"
    )

    @property
    def may_be_lossless(self) -> bool:
        """Whether the encoder may code without loss of its own accord."""
        return self.base == "auto" and self.scale is None and self.base_quality is None

    def is_lossless(self, quality: int | None) -> bool:
        """See ``Options``."""
        return self.lossless or self.keep or (quality == 100 and self.may_be_lossless)

    def __post_init__(self) -> None:
        _check_tune(self.tune)
        self._check("lossless", _yes_or_no("lossless", self.lossless))
        self._check("keep", _yes_or_no("keep", self.keep))
        if (self.lossless or self.keep) and len(self.given()) > 1:
            both = " and ".join(self.given())
            raise SettingError(f"{both}: lossless and keep leave nothing else to choose")
        if self.base != "auto":
            # loads NumPy and the codec's package
            from . import carriers

            carriers.load_base(self.base)
        if self.scale is not None:
            self._check("scale", whole("scale", self.scale, 1, 2))
        if self.base_quality is not None:
            self._check("base_quality", whole("base_quality", self.base_quality, 0, 100))


@dataclass(frozen=True, kw_only=True)
class DeepSampling(Options):
    """Deep sampling (Cai et al. 2017): a small picture that a network made to be enlarged by another.

    With any of ``scale``, ``levels`` and ``chroma_levels`` given, the others are 3, 256, and the levels of luma.

    Args:
        scale: 2, 3 or 4, of the low-resolution layer.
        levels: 2..256, the alphabet of its luma.
        chroma_levels: 2..256, the alphabet of its chroma.
        entropy_coder: what carries the symbols: "lzma2", "7z", "j2k", "jxl", "jpegls", "webp"; "auto": the smallest of those
            tried.
    Raises:
        SettingError: an impossible value.
    """

    method = "dsn"
    title = "deep sampling: a small picture between two networks"
    explicit = ("scale", "levels", "chroma_levels")

    scale: int | None = setting(None, "of the low-resolution layer (default 3)", "2..4", "int")
    levels: int | None = setting(None, "of its luma (default 256)", "2..256", "int")
    chroma_levels: int | None = setting(None, "of its chroma (default: as luma)", "2..256", "int")
    entropy_coder: str = setting(
        "auto",
        "what carries the symbols: 7z, lzma2, j2k, jxl, jpegls, webp, or the smallest (default)",
        "NAME",
        "str",
    )

    def __post_init__(self) -> None:
        if self.entropy_coder != "auto":
            # loads NumPy and the coder's package
            from . import carriers

            carriers.load(self.entropy_coder)
        if self.scale is not None:
            from .networks import registry

            self._check("scale", registry.for_scale(self.scale).scale)
        for name in ("levels", "chroma_levels"):
            if getattr(self, name) is not None:
                self._check(name, whole(name, getattr(self, name), 2, 256))


def _check_budget(options: LatentGrid | CocoNet | Best) -> None:
    """The budget of a fit, as numbers."""
    if options.seconds is not None:
        options._check("seconds", positive("seconds", options.seconds))
    if options.steps is not None:
        options._check("steps", whole("steps", options.steps, 1))


_SECONDS = "how long the fit may take"
_STEPS = "and how many steps (default: no limit)"
_PREVIEW = "a .gif, .png or .webp that shows the picture as it grows"
_CHECKPOINT = "keep the fit there when it is stopped, and go on from there"


def _check_files(options: LatentGrid | CocoNet) -> None:
    """The files of a fit's checkpoint and preview as strings, the latter of a known kind."""
    if options.checkpoint is not None:
        options._check("checkpoint", os.fspath(options.checkpoint))
    if options.preview is None:
        return
    options._check("preview", os.fspath(options.preview))
    if os.path.splitext(options.preview)[1].lower() not in PREVIEWS:
        raise SettingError(f"a preview is a {', '.join(PREVIEWS)} file, not {options.preview}")


@dataclass(frozen=True, kw_only=True)
class LatentGrid(Options):
    """Grids of symbols and small networks, fitted to this picture: the fewest bytes. Needs numba, the extra ``[fit]``.

    Args:
        seconds, steps: the fit's budget, whichever ends first; default: 1 to 180 seconds, by effort.
        init: "published": the fit begins with a published init of the weights; "zero": with none.
        tune: what the fit lessens: "visual", the errors that a person sees; "psnr", the squared error.
        preview: a .gif, .png or .webp file that shows the picture as it grows; it is overwritten.
        checkpoint: a file that is written every few seconds and when the fit is interrupted; a fit goes on from it, with a larger
            budget if one is given. Pilot fits towards a target, and fits after the first 12 000 steps, are not kept.
    Raises:
        SettingError: an impossible value.
    """

    method = "latentgrid"
    title = "grids of symbols, fitted to the picture; needs numba"
    single = ("preview", "checkpoint")

    seconds: float | None = setting(None, f"{_SECONDS} (default: 1 to 180, by effort)", "S", "float")
    steps: int | None = setting(None, _STEPS, "N", "int")
    init: str = setting("published", "weights to begin with: published (default) or zero", "NAME", "str")
    tune: str = setting("visual", "what the fit is for: visual, the eye (default), or psnr", "NAME", "str")
    preview: PathLike | None = setting(None, _PREVIEW, "FILE", "str")
    checkpoint: PathLike | None = setting(None, _CHECKPOINT, "FILE", "str")

    def __post_init__(self) -> None:
        _check_budget(self)
        _check_files(self)
        if self.init not in INITS:
            raise SettingError(f"init must be one of {', '.join(INITS)}, not {self.init!r}")
        _check_tune(self.tune)


@dataclass(frozen=True, kw_only=True)
class CocoNet(Options):
    """One coordinate network, fitted to this picture; its quantised weights are the file (Bricman and Ionescu 2018). Needs
    torch, the extra ``[train]``.

    Args:
        seconds, steps: the fit's budget, whichever ends first; default: 60 seconds.
        variant: "sine", ours; or "paper": six coordinates, tanh layers, Adam.
        layers, width: hidden layers, and neurons of each; default: 5, and what the bytes asked for allow.
        preview: a .gif, .png or .webp file that shows the picture as it grows; it is overwritten.
        checkpoint: a file that is written every few seconds and when the fit is interrupted; a fit goes on from it.
    Raises:
        SettingError: an impossible value.
    """

    method = "coconet"
    title = "one network fitted to the picture; needs torch"
    explicit = ("width",)
    single = ("preview", "checkpoint")

    seconds: float | None = setting(None, f"{_SECONDS} (default 60)", "S", "float")
    steps: int | None = setting(None, _STEPS, "N", "int")
    variant: str | None = setting(
        None, "ours (default), or the paper's coordinates and tanh layers", "NAME", "str"
    )
    layers: int | None = setting(None, "hidden layers (default 5)", "N", "int")
    width: int | None = setting(
        None, "neurons of a layer (default: what the bytes asked for allow)", "N", "int"
    )
    preview: PathLike | None = setting(None, _PREVIEW, "FILE", "str")
    checkpoint: PathLike | None = setting(None, _CHECKPOINT, "FILE", "str")

    def __post_init__(self) -> None:
        _check_budget(self)
        if self.variant not in (None, *VARIANTS):
            raise SettingError(f"unknown variant {self.variant!r}; one of {', '.join(sorted(VARIANTS))}")
        for name in ("layers", "width"):
            if getattr(self, name) is not None:
                self._check(name, whole(name, getattr(self, name), 1))
        _check_files(self)


@dataclass(frozen=True, kw_only=True)
class Best(Options):
    """Restored at effort 9, then a LatentGrid fit to the quality of that file or to the bytes given: the better file, by
    SSIMULACRA 2 or by squared error.

    Without numba, and for pictures that are too large to fit, it is Restored alone.

    Args:
        base_quality: of the standard codec, in the place of ``quality``.
        seconds, steps: the fit's budget, whichever ends first; default: 180 seconds.
        tune: of both, "visual" or "psnr".
    Raises:
        SettingError: an impossible value.
    """

    method = "best"
    title = "the first of these, then latent grids: the better file"
    explicit = ("base_quality",)

    base_quality: int | None = setting(None, "of the codec inside, its own scale", "0..100", "int")
    seconds: float | None = setting(None, f"{_SECONDS} (default 180)", "S", "float")
    steps: int | None = setting(None, _STEPS, "N", "int")
    tune: str = setting("visual", "for the eye (visual, default) or for squared error (psnr)", "NAME", "str")

    def __post_init__(self) -> None:
        _check_tune(self.tune)
        _check_budget(self)
        if self.base_quality is not None:
            self._check("base_quality", whole("base_quality", self.base_quality, 0, 100))


CLASSES: dict[str, type[Options]] = {
    row.method: row for row in (Restored, DeepSampling, LatentGrid, CocoNet, Best)
}
# The setting that names what carries the picture, by method: 0.2 called both ``backend``
CARRIERS = {"restored": "base", "dsn": "entropy_coder"}
OLD_NAMES = ("backend", "report")


def names(cls: type[Options]) -> tuple[str, ...]:
    """The settings of a method."""
    return tuple(f.name for f in dataclasses.fields(cls))  # type: ignore[arg-type]


ALL_NAMES = tuple(dict.fromkeys(name for cls in CLASSES.values() for name in names(cls)))


def options_of_call(
    method: str | Options | None, settings: Mapping[str, Any], effort: int, stacklevel: int
) -> Options:
    """The options that a call of ``encode`` means, by today's names and by those of 0.2, with a DeprecationWarning for these.

    Args, Raises: as ``options_of``. ``effort`` 9 with neither a method nor settings but a fit's budget stood for "best".
    """
    if settings.get("backend") is not None:
        deprecated("backend", 'base (of "restored") or entropy_coder (of "dsn")', stacklevel + 1)
    given = {name for name, value in settings.items() if value is not None}
    if method is None and effort == 9 and given <= set(names(Best)):
        deprecated("effort=9 without a method", 'method "best"', stacklevel + 1)
        method = Best.method
    return options_of(method, settings)


def deprecated(old: str, new: str, stacklevel: int) -> None:
    """Say what a name is called now."""
    warnings.warn(
        f"{old} is now called {new}; the old name goes in 0.4", DeprecationWarning, stacklevel=stacklevel + 1
    )


def options_of(method: str | Options | None, settings: Mapping[str, Any]) -> Options:
    """The options that a call of ``encode`` means.

    Args:
        method: options as they are, a method's name, or None: the method that the settings are of, else "restored".
        settings: fields of the options, by name. None stands for the default. "backend" is the former name of "base" and of
            "entropy_coder".
    Raises:
        SettingError: an unknown method or setting, a setting of another method, or an impossible value.
    """
    settings = {name: value for name, value in settings.items() if value is not None}
    if isinstance(method, Options):
        if settings:
            raise SettingError(
                f"{', '.join(settings)}: to be given in the options, {type(method).__name__}(...)"
            )
        return method
    backend = settings.pop("backend", "auto")
    if method is None:
        method = _method_of(settings, backend)
    if method not in CLASSES:
        raise SettingError(f"unknown method {method!r}; one of {', '.join(CLASSES)}")
    cls = CLASSES[method]
    if wrong := [name for name in settings if name not in names(cls)]:
        raise SettingError(_not_of(wrong, method))
    if backend != "auto":
        if method not in CARRIERS:
            raise SettingError(_not_of(["backend"], method))
        settings[CARRIERS[method]] = backend
    return cls(**settings)


def _method_of(settings: Mapping[str, Any], backend: str) -> str:
    """The method that the settings are of. JPEG XL and JPEG 2000 carry symbols, or are base codecs: the latter where
    nothing else speaks of deep sampling.

    Raises:
        SettingError: no method has this backend.
    """
    from . import carriers

    if backend not in ("auto", *carriers.BASE_CODECS, *carriers.BACKENDS):
        known = f"auto, {', '.join(carriers.BASE_CODECS)} (restored), {', '.join(carriers.BACKENDS)} (dsn)"
        raise SettingError(f"unknown backend {backend!r}; one of {known}")
    if settings.keys() & {"base", "base_quality"}:
        return "restored"
    of_dsn = settings.keys() & {"levels", "chroma_levels", "entropy_coder"} or settings.get("scale", 1) != 1
    return "dsn" if of_dsn or backend not in ("auto", *carriers.BASE_CODECS) else "restored"


def _not_of(wrong: list[str], method: str) -> str:
    """Whose settings these are, and what this method has."""
    if unknown := [name for name in wrong if name not in (*ALL_NAMES, "backend")]:
        return f"no method has a setting {' or '.join(unknown)}; {method} has {', '.join(names(CLASSES[method]))}"
    takers = [
        name
        for name, cls in CLASSES.items()
        if set(wrong) - {"backend"} <= set(names(cls)) and ("backend" not in wrong or name in CARRIERS)
    ]
    if not takers:
        return f"{' and '.join(wrong)} are settings of different methods, and not of {method}"
    of = (
        f"method {takers[0]}"
        if len(takers) == 1
        else f"the methods {', '.join(takers[:-1])} and {takers[-1]}"
    )
    return f"{' and '.join(wrong)}: of {of}, not {method}"
