"""A file that somebody else wrote, kept: its picture as it is coded, its metadata, and what it takes to bring it back byte for byte."""

from __future__ import annotations

import numpy as np

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
    base_file = carriers.base_file(payload, shape)
    known = [content for tag, content in job.metadata if tag in rest.SOURCES]
    spans = list(adopted.spans)
    if header.has_alpha:
        alpha, file, alpha_spans = _alpha(job)
        sections.append(("ALPH", alpha))
        behind = len(base_file) + sum(map(len, known))
        spans += [(at, behind + inside, length) for at, inside, length in alpha_spans]
        known += [file] if file else []
    section = rest.pack(job.source, base_file, spans, known)
    if rest.unpack(section, base_file, known) != job.source:
        raise SettingError(f"this {name} file does not come back byte for byte: encode it without keep")
    return container.pack(header, [*sections, *job.metadata, (REST, section)])


def _alpha(job: Job) -> tuple[bytes, bytes, tuple[tuple[int, int, int], ...]]:
    """The payload of alpha; and, where it is as the original codes it, its file and what of that is in the original: the smaller way of
    the two, and one that shows the plane as it is."""
    plane = job.picture.pixels[..., -1]
    exact = encode_alpha(plane, job.effort)
    found = carriers.adopt_alpha(job.source, *plane.shape)
    if found is None:
        return exact, b"", ()
    payload, adopted = found
    shape = (*plane.shape, 1)
    try:
        shown = carriers.eight_bits(carriers.decode_base(payload, shape))[..., 0]
    except CodestreamError:
        return exact, b"", ()
    # what is not in ALPH is in the rest: so small an exact plane is not worth it
    if not np.array_equal(shown, plane) or len(exact) + sum(length for _, _, length in adopted.spans) < len(
        payload
    ):
        return exact, b"", ()
    return payload, carriers.base_file(payload, shape), adopted.spans


def parameters_of(file: bytes) -> Parameters:
    """How a JPEG file is shown: with how much of the network's correction, by what the file shows of its losses."""
    seen = unseen.look(file)
    model = registry.restoration("jpeg", best=False, weighed=False)
    strength = unseen.strength_of(seen) if model is not None else 0
    model_id = model.wire_id if model is not None and strength else NO_MODEL
    return Parameters(seen.quality, unseen.psnr_db_of(seen), strength, 0.0, model_id).rounded()
