"""The report of a benchmark as one HTML file that needs no network and no other file."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

_REPORT, _SCRIPT_HASH = "@REPORT@", "@SCRIPT_SHA256@"  # each is in page.html once
_SCRIPT_START, _SCRIPT_END = '<script id="program">', "</script>"
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


_COLOUR = re.compile(r"--(\w+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)")


def _page() -> str:
    return resources.files(__package__).joinpath("page.html").read_text("utf-8")


def colours(dark: bool = False) -> dict[str, str]:
    """The page's colours by name, in one of its schemes.

    >>> colours()["paper"], colours(dark=True)["ink"]
    ('#ffffff', '#e8eaed')
    """
    return {name: pair[dark] for name, *pair in _COLOUR.findall(_page())}


def render(report: Mapping[str, Any]) -> str:
    """The page that shows a report: `page.html` with the report's JSON in it.

    The JSON is plain ASCII without `<`, `>` and `&`, so no name in it can end its block or begin a tag or comment, and
    a file name that is not Unicode can still be written. The page itself shows every text by `textContent`, and its
    content security policy runs the page's own script only, known by its hash, and loads nothing but `data:` pictures.

    Args:
        report: title, command, made_by, metrics, codecs, missing, sets, published, samples; unknown numbers are None.
    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot say.
        TypeError: a value that JSON cannot hold.

    >>> page = render({"title": "</script>"})
    >>> page.count("</script>"), r'{"title":"\\u003c/script\\u003e"}' in page
    (2, True)
    """
    text = json.dumps(dict(report), allow_nan=False, separators=(",", ":")).translate(_ESCAPES)
    page = _page()
    script = page.partition(_SCRIPT_START)[2].partition(_SCRIPT_END)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return page.replace(_SCRIPT_HASH, digest, 1).replace(_REPORT, text, 1)
