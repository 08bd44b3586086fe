"""Copy tables and plots of bench/results into docs/results.md, between its markers: generated, never typed."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from dsncodec.bench import report
from dsncodec.bench.plots import plot

from .results import newest
from .sets import TITLES

PAGE = Path(__file__).parent.parent / "docs" / "results.md"
PLOTS = Path(__file__).parent.parent / "docs" / "plots"
# what the README's plot shows
SET = "bsd100"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options."""


def first_screen() -> str:
    """The summary over each set; and the plot of one in light and dark."""
    path = newest("report.json")
    data = json.loads(path.read_text("utf-8"))
    plotted = next(found for found in data["sets"] if found["name"] == SET)
    lead = report.leading(data)
    for name, dark in (("rate-distortion", False), ("rate-distortion-dark", True)):
        plot(data, plotted, lead.key, lead.axis, PLOTS / name, dark=dark, formats=(".svg",))
    return f"""<picture>
  <source media="(prefers-color-scheme: dark)" srcset="plots/rate-distortion-dark.svg">
  <img alt="{lead.label} against bits per pixel over {plotted["pictures"]} pictures of B100" src="plots/rate-distortion.svg">
</picture>

{"".join(_of_set(data, one) for one in data["sets"] if one["curves"])}BD-rate by PCHIP on ln(bpp): negative is fewer bytes than the anchor at equal quality, also of Butteraugli and LPIPS, where less is better. Files are
compared at the same bytes on the same picture, the anchor between its settings. Times are of one thread, in brackets as multiples of the anchor's. The worst files by name, the
whole matrix and every codec's settings: [report.md](../bench/results/{path.parent.name}/report.md). The command also writes a page to explore, which is too large to keep here.

`{data["command"]}`"""


def _of_set(data: dict[str, Any], one: dict[str, Any]) -> str:
    title = f"### {TITLES.get(one['name'], one['name'])}: {one['pictures']} pictures, {one['megapixels']:.1f} megapixels"
    texts = [say(data, one) for say in (report.summary, report.container_lines, report.worse_counts)]
    return "\n".join([title, "", *(text for text in texts if text)]) + "\n"


def study(name: str) -> str:
    """A study's report: its tables up to the first list of curves, and its command."""
    path = newest(f"{name}.md")
    text = path.read_text("utf-8")
    body = re.split(r"<!-- details -->|\nReproduce: ", text.split("\n", 1)[1])[0]
    command = re.search(r"Reproduce: `(.*?)`", text)
    assert command
    # links beside the report, and the page's own headings above it
    body = re.sub(r"\]\((?!https?:|\.\.|#)([^)]+)\)", rf"](../bench/results/{path.parent.name}/\1)", body)
    body = re.sub(r"^#", "##", body, flags=re.MULTILINE)
    return f"{body.strip()}\n\n`{command[1]}`"


def with_tables(text: str) -> str:
    """The page with each marked place filled."""
    for name in re.findall(r"<!-- begin (\S+) -->", text):
        filling = first_screen() if name == "sets" else study(name)
        block = f"<!-- begin {name} -->\n{filling}\n<!-- end {name} -->"
        text = re.sub(rf"<!-- begin {name} -->.*?<!-- end {name} -->", lambda _: block, text, flags=re.DOTALL)
    return text


def run(args: argparse.Namespace) -> int:
    """Rewrite the page in place."""
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
    return 0
