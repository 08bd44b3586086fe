"""Copy the tables of bench/results into README.md, between its markers: generated, never typed."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from .results import RESULTS

README = Path(__file__).parent.parent / "README.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options."""


def with_tables(text: str) -> str:
    """README.md with each marked place filled from the study's report: its tables up to the first list of curves."""
    for name in re.findall(r"<!-- begin (\S+) -->", text):
        report = (RESULTS / f"{name}.md").read_text("utf-8")
        body = re.split(r"<!-- details -->|\nReproduce: ", report.split("\n", 1)[1])[0]
        command = re.search(r"Reproduce: `(.*?)`", report)
        assert command
        block = f"<!-- begin {name} -->\n{body.strip()}\n\n`{command[1]}`\n<!-- end {name} -->"
        text = re.sub(rf"<!-- begin {name} -->.*?<!-- end {name} -->", lambda _: block, text, flags=re.DOTALL)
    return text


def run(args: argparse.Namespace) -> int:
    """Rewrite README.md in place."""
    README.write_text(with_tables(README.read_text("utf-8")), "utf-8")
    return 0
