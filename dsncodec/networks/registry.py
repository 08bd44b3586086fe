"""Manifest row -> checked file. The only code that knows where weights live."""

from __future__ import annotations

import functools
import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Corrupt, MissingComponent, SettingError, UnsupportedVersion

PARTS = ("down", "up", "up_gradient", "chroma_down", "chroma_up")
DECODER_PARTS = ("up", "chroma_up")


@dataclass(frozen=True)
class LayerMap:
    """What colours a model's latents stand for, where a layer is shown: nothing in the training ties them to the picture's.

    ``luma`` is the latent of flat grey at evenly spaced values from 0 to 1, strictly rising; ``neutral`` the chroma latent of
    grey. ``cb`` and ``cr`` are the coefficients of a cubic of the difference from ``neutral``, ``edges`` what is added at the
    two outermost rows and columns, where the networks see what is not there; see docs/format.md.
    """

    luma: tuple[float, ...]
    neutral: tuple[float, ...]
    cb: tuple[float, ...]
    cr: tuple[float, ...]
    edges: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, eq=False)
class Model:
    """One row of models/manifest.toml: the networks of one scale.

    ``wire_id`` is 8 bytes made from the content of the decoder's networks (see ``wire_id_of``), and
    stands in every file that needs them. Without a ``layer_map`` the layer is shown as it is.
    """

    name: str
    wire_id: bytes
    scale: int
    files: dict[str, str]
    sha256: dict[str, str]
    default: bool = True
    layer_map: LayerMap | None = None


def wire_id_of(sha256: dict[str, str]) -> bytes:
    """The first 8 bytes of the SHA-256 over the decoder networks' digests."""
    joined = "".join(sha256[part] for part in DECODER_PARTS)
    return hashlib.sha256(joined.encode("ascii")).digest()[:8]


def folder() -> Path:
    """The folder of weights: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "models"
    return inside if inside.is_dir() else package.parent / "models"


@functools.cache
def manifest() -> tuple[Model, ...]:
    """All published models.

    Raises:
        MissingComponent: the manifest is not there.
    """
    return tuple(
        Model(
            name=row["name"],
            wire_id=bytes.fromhex(row["wire_id"]),
            scale=row["config"]["scale"],
            files={part: row["files"][part]["name"] for part in PARTS},
            sha256={part: row["files"][part]["sha256"] for part in PARTS},
            default=row.get("default", True),
            layer_map=_layer_map(row.get("layer_map")),
        )
        for row in _rows("model")
    )


def _layer_map(row: dict[str, Any] | None) -> LayerMap | None:
    if row is None:
        return None
    return LayerMap(
        luma=tuple(row["luma"]),
        neutral=tuple(row["neutral"]),
        cb=tuple(row["cb"]),
        cr=tuple(row["cr"]),
        edges=tuple(tuple(edge) for edge in row["edges"]),
    )


def _unreadable(path: Path) -> MissingComponent:
    """What to say of a file of the package that cannot be read."""
    archive = next((parent for parent in path.parents if parent.is_file()), None)
    if archive is not None:
        return MissingComponent(
            f"dsncodec is imported from the archive {archive}, where its weights are no files: install it with pip, or unpack it"
        )
    return MissingComponent(f"{path} cannot be read: reinstall dsncodec")


def _rows(kind: str, inside: str = "") -> list[dict[str, Any]]:
    path = folder() / inside / "manifest.toml"
    try:
        rows: list[dict[str, Any]] = tomllib.loads(path.read_text("utf-8")).get(kind, [])
    except OSError as exc:
        raise _unreadable(path) from exc
    return rows


@dataclass(frozen=True, eq=False)
class Restoration:
    """A row of models/manifest.toml: a network that restores the pictures of one base codec, coded at full size
    (``scale`` 1) or at half of it (2).

    Sides of what the network is given are multiples of ``unit``; ``halo`` is its receptive radius in
    pixels, a multiple of ``unit``. ``size`` is "fast" or "best". ``tune`` is what the base codec was tuned for, "psnr" or
    "visual". A network of several ``hypotheses`` puts out that many corrections, for the encoder to weigh; one of one puts out
    the restored picture.
    """

    name: str
    wire_id: bytes
    base: str
    size: str
    unit: int
    halo: int
    file: str
    sha256: str
    default: bool = True
    scale: int = 1
    tune: str = "psnr"
    hypotheses: int = 1


@functools.cache
def restorations() -> tuple[Restoration, ...]:
    """All published restoration networks.

    Raises:
        MissingComponent: the manifest is not there.
    """
    return tuple(
        Restoration(
            name=row["name"],
            wire_id=bytes.fromhex(row["wire_id"]),
            base=row["codec"],
            scale=row.get("scale", 1),
            size=row["name"].rsplit("-", 1)[1],
            unit=row["config"]["block"],
            halo=row["radius"],
            file=row["files"]["restore"]["name"],
            sha256=row["files"]["restore"]["sha256"],
            default=row.get("default", True),
            tune=row.get("tune", "psnr"),
            hypotheses=row["config"].get("hypotheses", 1),
        )
        for row in _rows("restorer")
    )


def restoration(
    base: str, best: bool, scale: int = 1, tune: str = "psnr", weighed: bool = True
) -> Restoration | None:
    """The network new files of a base codec are made for: the larger one if ``best``, and one of this tune, where there is
    one.

    Args:
        weighed: of networks alike that with most corrections; else one with a single one, which needs no original to be weighed by.
    """
    fitting = [row for row in restorations() if (row.base, row.scale) == (base, scale) and row.default]
    if not weighed:
        fitting = [row for row in fitting if row.hypotheses == 1]
    tuned = [row for row in fitting if row.tune == tune] or [row for row in fitting if row.tune == "psnr"]
    found = {row.size: row for row in sorted(tuned, key=lambda row: row.hypotheses)}
    return (found.get("best") if best else None) or found.get("fast") or found.get("best")


def restoration_of_wire_id(wire_id: bytes, base: str | None = None, scale: int | None = None) -> Restoration:
    """The network a file names, by its id or the id's first 4 bytes.

    Raises:
        UnsupportedVersion: this release does not have it.
        Corrupt: it is not for this base codec, or not for this scale.
    """
    for row in restorations():
        if row.wire_id.startswith(wire_id):
            if base not in (None, row.base):
                raise Corrupt(f"network {row.name} is not for base codec {base}", field="PARM")
            if scale not in (None, row.scale):
                raise Corrupt(f"network {row.name} is not for scale {scale}", field="PARM")
            return row
    known = ", ".join(f"{row.wire_id.hex()} ({row.name})" for row in restorations())
    raise UnsupportedVersion(
        f"the file needs network {wire_id.hex()}, which this release does not have; it has {known}",
        field="model",
    )


def restoration_of_decoder(base: str, decoder: str) -> Restoration:
    """The network that shows files of a base codec in another way than they say, at full size or half: the reader chooses it.

    Raises:
        SettingError: there is none.
    """
    for row in restorations():
        if (row.base, row.tune) == (base, decoder):
            return row
    raise SettingError(f"this release has no decoder {decoder!r} for files with base codec {base}")


@dataclass(frozen=True, eq=False)
class ImageNetwork:
    """A row of models/manifest.toml: a network from an RGB picture to one ``scale`` times as large.

    ``kind`` is what it is for, "ppcn" or "style", say, and ``variant`` which of them, "x4" or "udnie"; the name is both.
    Sides of what it is given are multiples of ``unit``; ``halo`` is its receptive radius in pixels of its input, a
    multiple of ``unit``, or None if each pixel depends on the whole picture. ``moments`` is the file, and its digest, of a
    second network that finds what the first must know of the whole picture, beside the halo. ``statistics`` is how many such numbers a
    network takes and gives by itself: its inputs are picture, statistics and the share of them to use, its outputs the picture and its own
    statistics; 0 if it has none.
    """

    kind: str
    variant: str
    scale: int
    unit: int
    halo: int | None
    file: str
    sha256: str
    moments: tuple[str, str] | None = None
    statistics: int = 0

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.variant}"


@functools.cache
def image_networks(inside: str = "") -> tuple[ImageNetwork, ...]:
    """All published networks from pictures to pictures.

    Args:
        inside: a folder in that of weights, which has a manifest of its own.
    Raises:
        MissingComponent: the manifest is not there.
    """
    return tuple(
        ImageNetwork(
            kind=row["kind"],
            variant=row["variant"],
            scale=row["scale"],
            unit=row["unit"],
            halo=row.get("radius"),
            file=(Path(inside) / row["files"]["net"]["name"]).as_posix(),
            sha256=row["files"]["net"]["sha256"],
            moments=(part["name"], part["sha256"]) if (part := row["files"].get("moments")) else None,
            statistics=row.get("statistics", 0),
        )
        for row in _rows("network", inside)
    )


def image_network(kind: str, variant: str) -> ImageNetwork:
    """The network of this kind and name.

    Raises:
        SettingError: there is none; the message lists those there are.
    """
    known = [row for row in image_networks() if row.kind == kind]
    for row in known:
        if row.variant == variant:
            return row
    names = ", ".join(row.variant for row in known) or "none"
    raise SettingError(f"no network {variant!r} of {kind}: there is {names}")


@dataclass(frozen=True, eq=False)
class Look:
    """A row of models/manifest.toml: a second Up-SNet for the files of one model, which shows the same symbols
    in another way. ``of`` is the model's wire id; files do not name looks, the reader chooses.
    """

    look: str
    of: bytes
    file: str
    sha256: str


@functools.cache
def looks() -> tuple[Look, ...]:
    """All published looks.

    Raises:
        MissingComponent: the manifest is not there.
    """
    return tuple(
        Look(row["look"], bytes.fromhex(row["of"]), row["files"]["up"]["name"], row["files"]["up"]["sha256"])
        for row in _rows("look")
    )


def look_of(model: Model, look: str) -> Look:
    """The network that shows this model's files so.

    Raises:
        SettingError: there is none.
    """
    for row in looks():
        if (row.of, row.look) == (model.wire_id, look):
            return row
    raise SettingError(f"this release has no decoder {look!r} for files of model {model.name}")


@dataclass(frozen=True, eq=False)
class Init:
    """A row [[start]] of models/manifest.toml: the weights that files of method "latentgrid" say their difference from.

    ``width`` is of the synthesis, ``lmbda`` the one that it was made for, the row's ``lambda``; ``tune`` is what was lessened
    meanwhile, "psnr" or "visual".
    """

    name: str
    wire_id: bytes
    width: int
    lmbda: float
    file: str
    sha256: str
    default: bool = True
    tune: str = "psnr"


@functools.cache
def inits() -> tuple[Init, ...]:
    """All published inits of method "latentgrid".

    Raises:
        MissingComponent: the manifest is not there.
    """
    return tuple(
        Init(
            name=row["name"],
            wire_id=bytes.fromhex(row["wire_id"]),
            width=row["width"],
            lmbda=row["lambda"],
            file=row["files"]["start"]["name"],
            sha256=row["files"]["start"]["sha256"],
            default=row.get("default", True),
            tune=row.get("tune", "psnr"),
        )
        for row in _rows("start")
    )


def init_of_wire_id(wire_id: bytes) -> Init:
    """The init a file names, by its id or the id's first 4 bytes.

    Raises:
        UnsupportedVersion: this release does not have it.
    """
    for row in inits():
        if row.wire_id.startswith(wire_id):
            return row
    known = ", ".join(f"{row.wire_id.hex()} ({row.name})" for row in inits()) or "none"
    raise UnsupportedVersion(
        f"the file needs init {wire_id.hex()}, which this release does not have; it has {known}",
        field="init",
    )


@functools.cache
def quality_table() -> tuple[tuple[int, int, int, float], ...]:
    """The operating points of quality 0..100: (scale, levels, chroma levels, SSIMULACRA 2), bytes, PSNR and score rising."""
    path = folder() / "quality.toml"
    try:
        rows = tomllib.loads(path.read_text("utf-8"))["points"]
    except OSError as exc:
        raise _unreadable(path) from exc
    return tuple(
        (int(scale), int(levels), int(chroma), float(score)) for scale, levels, chroma, score in rows
    )


def scales() -> list[int]:
    """The scales that have a model."""
    return sorted({model.scale for model in manifest() if model.default})


def for_scale(scale: int) -> Model:
    """The model new files of this scale are written with.

    Raises:
        SettingError: no model has this scale.
    """
    for model in manifest():
        if hasattr(scale, "__index__") and model.scale == scale and model.default:
            return model
    raise SettingError(f"scale must be one of {', '.join(map(str, scales()))}, not {scale!r}")


def for_wire_id(wire_id: bytes, scale: int | None = None) -> Model:
    """The model a file names.

    Raises:
        UnsupportedVersion: this release does not have it.
        Corrupt: it is not of this scale.
    """
    for model in manifest():
        if model.wire_id == wire_id:
            if scale not in (None, model.scale):
                raise Corrupt(f"model {model.name} is not for scale {scale}", field="PARM")
            return model
    raise UnsupportedVersion(
        f"the file needs model {wire_id.hex()}, which this release does not have; "
        f"it has {', '.join(f'{m.wire_id.hex()} ({m.name})' for m in manifest())}",
        field="model",
    )


def layer_map_of(wire_id: bytes, scale: int) -> LayerMap | None:
    """The colours of the layers that a model made; None of a model that this release does not have."""
    for model in manifest():
        if (model.wire_id, model.scale) == (wire_id, scale):
            return model.layer_map
    return None


def checked_path(model: Model, part: str) -> Path:
    """The path of one network, after its SHA-256 was compared with the manifest.

    Raises:
        MissingComponent: the file is absent or was changed.
    """
    return _checked(model.files[part], model.sha256[part])


def checked_file(row: Restoration | ImageNetwork | Look | Init) -> Path:
    """The path of a network, or init, that is one file; checked as ``checked_path`` does."""
    return _checked(row.file, row.sha256)


def checked_moments(row: ImageNetwork) -> Path | None:
    """The path of the network that finds a picture's moments, if the row has one; checked as ``checked_path`` does."""
    return None if row.moments is None else _checked(*row.moments)


@functools.cache
def _checked(name: str, sha256: str) -> Path:
    path = folder() / name
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as exc:
        raise _unreadable(path) from exc
    if digest != sha256:
        raise MissingComponent(f"the weight file {path} is not the published one: reinstall dsncodec")
    return path
