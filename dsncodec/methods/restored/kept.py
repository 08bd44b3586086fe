"""A file that somebody else wrote, kept: its picture as it is coded, its metadata, and what it takes to bring it back byte for byte."""

from __future__ import annotations

from ... import carriers, container
from ...container import Header
from ...errors import CodestreamError, SettingError
from ...networks import registry
from .. import Job
from ..sections import encode_alpha
from . import rest, unseen
from .bitstream import NO_MODEL, NOT_KNOWN, REST, Parameters


def encode(job: Job, header: Header) -> bytes:
    """The codestream of ``job.source``.

    Raises:
        SettingError: the file is of a kind that is not kept, or has what this package does not decode; the message says what.
    """
    shape = header.height, header.width, header.colour_planes
    payload, adopted = carriers.adopt(job.source, shape)
    name = carriers.base_name(payload)
    try:
        carriers.decode_base(payload, shape)
    except CodestreamError as exc:
        raise SettingError(
            f"this {name} file cannot be kept as it is ({exc}): encode it without keep"
        ) from exc
    parameters = parameters_of(adopted.file) if name == "jpeg" else Parameters(*NOT_KNOWN, 0, 0.0, NO_MODEL)
    sections = [("PARM", parameters.pack()), ("BASE", payload)]
    if header.has_alpha:
        sections.append(("ALPH", encode_alpha(job.picture.pixels[..., -1], job.effort)))
    base_file = carriers.base_file(payload, shape)
    known = [content for tag, content in job.metadata if tag in rest.SOURCES]
    section = rest.pack(job.source, base_file, adopted.spans, known)
    if rest.unpack(section, base_file, known) != job.source:
        raise SettingError(f"this {name} file does not come back byte for byte: encode it without keep")
    return container.pack(header, [*sections, *job.metadata, (REST, section)])


def parameters_of(file: bytes) -> Parameters:
    """How a JPEG file is shown: with how much of the network's correction, by what the file shows of its losses."""
    seen = unseen.look(file)
    model = registry.restoration("jpeg", best=False)
    strength = unseen.strength_of(seen) if model is not None else 0
    model_id = model.wire_id if model is not None and strength else NO_MODEL
    return Parameters(seen.quality, unseen.psnr_db_of(seen), strength, 0.0, model_id).rounded()
