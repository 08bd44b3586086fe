"""Copy tables and plots of bench/results into docs/results.md, between its markers: generated, never typed."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from dsncodec.bench import report

from .results import newest

PAGE = Path(__file__).parent.parent / "docs" / "results.md"
PLOTS = Path(__file__).parent.parent / "docs" / "plots"
# what the README's plot and the first table show
SET = "bsd100"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options."""


def first_screen() -> str:
    """The summary over one set, and its plot in light and dark."""
    data = json.loads(newest("report.json").read_text("utf-8"))
    one = next(found for found in data["sets"] if found["name"] == SET)
    for name, dark in (("rate-distortion", False), ("rate-distortion-dark", True)):
        report.plot(data, one, "psnr_db", PLOTS / name, dark=dark, formats=(".svg",))
    return f"""<picture>
  <source media="(prefers-color-scheme: dark)" srcset="plots/rate-distortion-dark.svg">
  <img alt="RGB PSNR against bits per pixel over {one["pictures"]} pictures of B100" src="plots/rate-distortion.svg">
</picture>

{report.summary(data, one)}
{one["pictures"]} pictures of B100. BD-rate by PCHIP on ln(bpp): negative is fewer bytes than the anchor at equal quality. Times are of one
thread. Set14, the tuning set, the whole matrix and every codec's settings: [report.md](../bench/results/{newest("report.json").parent.name}/report.md). `python -m bench sets` also
writes a page to explore, which is too large to keep here.

`python -m bench sets`"""


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
