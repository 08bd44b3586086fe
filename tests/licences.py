"""The licences of what is installed here. `make check` prints them, and fails if one is the GPL or the AGPL alone."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Iterable
from email.message import Message

# What a strong copyleft licence is called; the LGPL is none, and a choice between it and another is none
_COPYLEFT = re.compile(r"\bA?GPL|(?<!Lesser )(?<!Library )General Public License", re.IGNORECASE)
_LESSER = re.compile(r"LGPL\S*|(GNU )?(Lesser|Library)( or Library)? General Public License", re.IGNORECASE)
# Programs of the system or of a build, not of the package: name -> why
ALLOWED: dict[str, str] = {}


def stated(package: Message) -> str:
    """The licence that a package's metadata tells, in one line."""
    for name in ("License-Expression", "License"):
        text = (package.get(name) or "").strip()
        if text and "\n" not in text and len(text) < 100:
            return text
    classes = [
        one.split("::")[-1].strip()
        for one in package.get_all("Classifier") or []
        if one.startswith("License ::")
    ]
    first = (package.get("License") or "").strip().splitlines()
    return " OR ".join(classes) or (first[0] if first else "not stated")


def is_copyleft(licence: str) -> bool:
    """Whether there is no other choice than the GPL or the AGPL.

    >>> is_copyleft("GPL-3.0-only"), is_copyleft("MIT OR GPL-2.0"), is_copyleft("LGPL-2.1-or-later")
    (True, False, False)
    """
    choices = re.split(r"\bOR\b|/|\bor\b(?!-)", _LESSER.sub("", licence.replace("-or-later", "")))
    return all(_COPYLEFT.search(one) for one in choices)


def verdict(packages: Iterable[tuple[str, str]]) -> tuple[int, list[str]]:
    """An exit code, and a line for each (name, licence), those that fail last."""
    rows = sorted(set(packages))
    bad = [(name, licence) for name, licence in rows if is_copyleft(licence) and name not in ALLOWED]
    lines = [f"{name}: {licence}" for name, licence in rows]
    return int(bool(bad)), lines + [f"NOT ALLOWED {name}: {licence}" for name, licence in bad]


def main() -> int:
    """List this environment."""
    found = ((one.metadata["Name"], stated(one.metadata)) for one in importlib.metadata.distributions())
    code, lines = verdict(found)
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
