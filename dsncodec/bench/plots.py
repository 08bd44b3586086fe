"""Curves as pictures, in the colours, dashes and marks of the page."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import replacing
from .page import colours
from .peers import require


def _untypeset(text: str) -> str:
    """Text that matplotlib shows as it is: between two dollars it would be mathematics."""
    return text.replace("$", r"\$")


# As page.html draws them: dashes of a family's members, and marks of hue and member together
_DASHES = ((), (7, 3), (2.5, 2.5), (10, 3, 2.5, 3), (1.5, 4))
_MARKS = ("o", "s", "^", "D", "v", "x", "+")
_HUES = 8
_WIDTHS = {"ours": 2.8, "peer": 1.5, "twin": 1.0}
_TICKS = (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20)


@dataclass(frozen=True)
class Style:
    """How a curve is drawn; ``colour`` is a name of the page's."""

    kind: str
    colour: str
    dash: tuple[float, ...]
    mark: str
    hollow: bool


def styles_of(codecs: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Style]]:
    """One hue a family, which is what stands before a key's first hyphen; its members differ in dash and mark. The page does the
    same in ``stylesOf``."""
    families: dict[str, int] = {}
    hues: dict[str, int] = {}
    for codec in codecs:
        key, kind = codec["key"], codec["kind"]
        family = key.split("-")[0] if kind == "peer" else kind
        member = families.get(family, 0)
        families[family] = member + 1
        if kind == "peer":
            hues.setdefault(family, len(hues))
        hue = hues.get(family, 0)
        colour = f"f{hue % _HUES}" if kind == "peer" else kind
        yield (
            key,
            Style(
                kind,
                colour,
                _DASHES[member % len(_DASHES)],
                _MARKS[(hue + member) % len(_MARKS)],
                member % 2 == 1,
            ),
        )


def plot_name(one: dict[str, Any], metric: str) -> str:
    """The name of its file, without suffix."""
    return f"{one['name']}-{metric.removesuffix('_db').replace('_', '-')}"


def plot(
    report: dict[str, Any],
    one: dict[str, Any],
    metric: str,
    label: str,
    path: Path,
    *,
    dark: bool = False,
    formats: Sequence[str] = (".svg", ".png"),
) -> None:
    """Rate against one metric, called ``label``, as path.svg and path.png.

    Raises:
        MissingComponent: matplotlib is not installed.
    """
    pyplot = require("matplotlib.pyplot")
    colour = colours(dark)
    ink, paper, edge = colour["ink"], colour["paper"], colour["edge"]
    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": "dsncodec",
        "font.family": "sans-serif",
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.edgecolor": edge,
        "xtick.color": edge,
        "ytick.color": edge,
        "xtick.labelcolor": colour["soft"],
        "ytick.labelcolor": colour["soft"],
        "lines.scale_dashes": False,
        "axes.facecolor": paper,
        "figure.facecolor": paper,
        "savefig.facecolor": paper,
    }
    with pyplot.rc_context(style):
        figure, axes = pyplot.subplots(figsize=(9.5, 5), dpi=130, layout="constrained")
        styles = dict(styles_of(report["codecs"]))
        for codec in report["codecs"]:
            points = [p for p in one["curves"].get(codec["key"], []) if p[metric] is not None]
            drawn = styles[codec["key"]]
            axes.plot(
                [p["bpp"] for p in points],
                [p[metric] for p in points],
                linestyle=(0, drawn.dash) if drawn.dash else "-",
                color=colour[drawn.colour],
                linewidth=_WIDTHS[drawn.kind],
                marker=drawn.mark,
                markersize=5 if drawn.kind == "ours" else 3.6,
                markerfacecolor=paper if drawn.hollow else colour[drawn.colour],
                zorder=3 if drawn.kind == "ours" else 2,
                label=_untypeset(codec["label"]),
            )
        axes.set_xscale("log")
        low, high = shown_rates(one)
        axes.set_xlim(low, high)
        axes.set_ylim(*_shown_values(one, metric, low, high))
        ticks = [tick for tick in _TICKS if low <= tick <= high]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("bits per pixel")
        axes.set_ylabel(label)
        axes.set_title(_untypeset(f"{one['name']}, {one['pictures']} pictures"), fontsize=11)
        axes.grid(color=colour["grid"], linewidth=0.8)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.legend(fontsize=9, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        for suffix in formats:
            with replacing(str(path) + suffix, force=True) as partial:
                no_date = {"Date": None} if suffix == ".svg" else None
                figure.savefig(partial, format=suffix[1:], metadata=no_date)
        pyplot.close(figure)


def shown_rates(one: dict[str, Any]) -> tuple[float, float]:
    """The range of bpp that at least half of the codecs reach."""
    curves = list(one["curves"].values())
    low = statistics.median_high(points[0]["bpp"] for points in curves)
    high = statistics.median_low(points[-1]["bpp"] for points in curves)
    return (0.8 * low, 1.1 * high) if low < high else (0.8 * min(low, high), 1.25 * max(low, high))


def _shown_values(
    one: dict[str, Any], metric: str, low: float, high: float
) -> tuple[float | None, float | None]:
    values = [
        p[metric]
        for points in one["curves"].values()
        for p in points
        if p[metric] is not None and low <= p["bpp"] <= high
    ]
    if not values:
        return None, None
    margin = 0.04 * (max(values) - min(values)) or 0.5
    return min(values) - margin, max(values) + margin
