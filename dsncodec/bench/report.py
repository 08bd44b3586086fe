"""Raw rows -> curves, BD-rates, times; and these as a page, as Markdown and as plots."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import platform
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata, resources
from pathlib import Path
from typing import Any, Literal

import numpy as np

import dsncodec

from ..errors import MissingComponent, SettingError
from ..files import Written
from ..metrics import bd_rate, quality_at
from .measure import Failure, PictureSet
from .page import render
from .peers import Codec, require
from .plots import plot, plot_name
from .store import Row, guarded


@dataclass(frozen=True)
class Metric:
    """A column of the rows. ``scale`` is how BD-rate takes it: "as is", or in dB a "similarity", 1 when equal, or a
    "distance", 0 when equal. ``plotted``: as a file of its own; the page plots all."""

    key: str
    label: str
    unit: str
    scale: Literal["as is", "similarity", "distance"]
    plotted: bool = False
    tabled: bool = False

    @property
    def axis(self) -> str:
        """Its name beside an axis."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def scaled(self, value: float) -> float:
        """On the scale that BD-rate integrates over, where more is better.

        >>> METRICS[1].label, METRICS[1].scaled(0.5) > METRICS[1].scaled(2)
        ('Butteraugli', True)
        """
        if self.scale == "as is":
            return value
        return -10 * math.log10(max(value if self.scale == "distance" else 1 - value, 1e-10))

    def unscaled(self, value: float) -> float:
        """Back from that scale."""
        if self.scale == "as is":
            return value
        distance = 10 ** (-value / 10)
        return float(distance if self.scale == "distance" else 1 - distance)


# In the order of reports; the first that was measured is the one that tables and plots lead with
METRICS = (
    Metric("ssimulacra2", "SSIMULACRA 2", "", "as is", plotted=True, tabled=True),
    Metric("butteraugli", "Butteraugli", "", "distance", plotted=True, tabled=True),
    Metric("ms_ssim", "RGB MS-SSIM", "", "similarity", plotted=True, tabled=True),
    Metric("psnr_db", "RGB PSNR", "dB", "as is", plotted=True, tabled=True),
    Metric("lpips", "LPIPS", "", "distance", tabled=True),
    Metric("dists", "DISTS", "", "distance", tabled=True),
    Metric("psnr_y_db", "luma PSNR", "dB", "as is"),
    Metric("ssim_y", "luma SSIM", "", "similarity"),
)
LOSSLESS_DB = 100.0  # what a picture without any error counts as in a mean
LEAST_IN_COMMON = 0.5  # dB, or points of SSIMULACRA 2: what a BD-rate is at least of
NAMED = 3  # of the files that are worse than the anchor's: the worst


@dataclass(frozen=True)
class Measured:
    """One set after its run: rows by codec, and what went wrong."""

    pictures: PictureSet
    rows: dict[str, list[Row]]
    failures: list[Failure]


def check_installed() -> None:
    """Raises MissingComponent unless what ``write`` needs is installed: known before hours of measuring, not after them."""
    try:
        require("matplotlib.pyplot")
    except MissingComponent as exc:
        raise MissingComponent(f"{exc}; the report needs it: pip install dsncodec[bench]") from exc


def build(
    measured: Sequence[Measured],
    codecs: Sequence[Codec],
    missing: dict[str, str],
    samples: Sequence[dict[str, Any]],
    *,
    title: str,
    command: str,
    anchor: str,
) -> dict[str, Any]:
    """Everything that the page, the Markdown and the plots show, as plain data.

    Args:
        codecs: those that ran, in the order of the report.
        missing: reasons by name of those codecs and referees that could not.
        anchor: the codec that others are compared with first.
    """
    rows = [row for one in measured for found in one.rows.values() for row in found]
    metrics = [metric for metric in METRICS if any(not math.isnan(getattr(row, metric.key)) for row in rows)]
    report: dict[str, Any] = {
        "title": title,
        "command": command,
        "made_by": made_by(codecs),
        "anchor": anchor,
        "metrics": [{"key": metric.key, "label": metric.label, "unit": metric.unit} for metric in metrics],
        "codecs": [
            {"key": c.key, "label": c.label, "detail": f"{c.detail}; {c.version}", "kind": c.kind}
            for c in codecs
        ],
        "missing": [{"codec": name, "reason": reason} for name, reason in missing.items()],
        "sets": [_set(one, codecs, anchor, metrics) for one in measured],
        "published": published(),
        "samples": list(samples),
    }
    for one in report["sets"]:
        one["verdict"] = verdict(report, one)
    return report


def made_by(codecs: Iterable[Codec]) -> list[str]:
    """What made the numbers: libraries, Python, machine."""
    libraries = sorted({part for codec in codecs for part in codec.version.split(", ")})
    names = ("numpy", "onnxruntime")
    runtime = [f"{name} {metadata.version(name)}" for name in names]
    return [
        ", ".join(libraries),
        ", ".join([f"Python {platform.python_version()}", *runtime]),
        f"{processor()}, {os.cpu_count()} CPUs, {platform.system()}; every codec on one thread",
    ]


def processor() -> str:
    """The CPU's name, where the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def environment() -> str:
    """One line that says what made numbers: this package, Python, the libraries that code, the processor and the system."""
    names = ("numpy", "pillow", "onnxruntime", "imagecodecs", "py7zr")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    ours = f"dsncodec {dsncodec.__version__}, Python {platform.python_version()}"
    return f"{ours}, {versions}; {processor()}, {platform.system()}"


def published() -> list[dict[str, Any]]:
    """Curves from the literature, over other pictures; see published.json for their sources."""
    text = resources.files(__package__).joinpath("published.json").read_text("utf-8")
    curves: list[dict[str, Any]] = json.loads(text)["curves"]
    return curves


# --- one set


def _set(
    measured: Measured, codecs: Sequence[Codec], anchor: str, metrics: Sequence[Metric]
) -> dict[str, Any]:
    pictures = measured.pictures.usable
    present = [codec.key for codec in codecs if measured.rows.get(codec.key)]
    complete = {
        codec.key: _complete_pictures(measured.rows.get(codec.key, []), codec.settings) for codec in codecs
    }
    ran = [key for key in present if complete[key]]
    common = [p.name for p in pictures if all(p.name in complete[key] for key in ran)]
    rows = {key: [row for row in measured.rows[key] if row.image in set(common)] for key in ran}
    curves = {key: _mean_curve(found) for key, found in rows.items() if found}
    skipped = [{"file": p.name, "reason": p.reason} for p in measured.pictures.pictures if p.reason]
    skipped += [{"file": f.image, "reason": f"{f.codec}: {f.reason}"} for f in measured.failures]
    sizes = {p.name: p.width * p.height for p in pictures}
    ours = [codec.key for codec in codecs if codec.kind == "ours" and codec.key in rows]
    return {
        "name": measured.pictures.name,
        "pictures": len(common),
        "megapixels": sum(sizes[name] for name in common) / 1e6,
        "skipped": skipped,
        "curves": curves,
        "images": {
            name: {key: _picture_curve(found, name, metrics) for key, found in rows.items()}
            for name in common
        },
        "bd_rate": {metric.key: _matrix(curves, metric) for metric in metrics},
        "over_pictures": {metric.key: _over_pictures(rows, common, anchor, metric) for metric in metrics},
        "boxes": {key: _boxes(rows, key, anchor, metrics) for key in ours if _has_boxes(rows[key])},
        "worse": {
            key: {metric.key: _worse(rows, key, anchor, metric) for metric in metrics if metric.tabled}
            for key in ours
            if anchor in rows and key != anchor
        },
        "speed": _speeds(rows, anchor),
    }


def _complete_pictures(rows: Iterable[Row], settings: tuple[float, ...]) -> set[str]:
    """The pictures that have a row for every setting."""
    found: dict[str, set[float]] = {}
    for row in rows:
        found.setdefault(row.image, set()).add(row.setting)
    return {image for image, have in found.items() if have >= set(settings)}


def _mean_curve(rows: list[Row]) -> list[dict[str, Any]]:
    """Means over the pictures at each setting, from the smallest files on; times per megapixel by quartiles."""
    by_setting: dict[float, list[Row]] = {}
    for row in rows:
        by_setting.setdefault(row.setting, []).append(row)
    points = []
    for setting, found in by_setting.items():
        point: dict[str, Any] = {"setting": f"{setting:g}", "bpp": statistics.fmean(row.bpp for row in found)}
        for metric in METRICS:
            point[metric.key] = _mean([_counted(getattr(row, metric.key)) for row in found])
        for key in ("encode_s", "decode_s"):
            point[key] = _quartiles([getattr(row, key) / (row.width * row.height / 1e6) for row in found])
        peaks = [row.peak_mib for row in found if not math.isnan(row.peak_mib)]
        points.append({**point, "peak_mib": max(peaks) if peaks else None})
    return sorted(points, key=lambda point: float(point["bpp"]))


def _picture_curve(rows: list[Row], image: str, metrics: Sequence[Metric]) -> list[list[float | None]]:
    ours = sorted((row for row in rows if row.image == image), key=lambda row: row.bpp)
    values = [[row.bpp, *(_counted(getattr(row, metric.key)) for metric in metrics)] for row in ours]
    return [[_known(round(value, 5)) for value in point] for point in values]


def _counted(value: float) -> float:
    return LOSSLESS_DB if value == math.inf else value


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _mean(values: list[float]) -> float | None:
    """None unless every picture has the metric."""
    return _known(statistics.fmean(values))


def _quartiles(values: list[float]) -> list[float]:
    return [float(value) for value in np.percentile(values, (25, 50, 75))]


# --- comparisons


def _matrix(curves: dict[str, list[dict[str, Any]]], metric: Metric) -> dict[str, dict[str, Any]]:
    """BD-rate of each codec (inner key) against each anchor (outer key)."""
    scaled = {
        key: [(p["bpp"], metric.scaled(p[metric.key])) for p in points]
        for key, points in curves.items()
        if all(p[metric.key] is not None for p in points)
    }
    return {
        anchor: {test: _bd_rate(ours, theirs) for test, theirs in scaled.items() if test != anchor}
        for anchor, ours in scaled.items()
    }


Curve = list[tuple[float, float]]


def _bd_rate(anchor: Curve, test: Curve) -> dict[str, float] | None:
    """Percent, and the range of the metric that was integrated over; None where the curves share too little."""
    low = max(min(value for _, value in curve) for curve in (anchor, test))
    high = min(max(value for _, value in curve) for curve in (anchor, test))
    if not high - low >= LEAST_IN_COMMON:
        return None
    try:
        return {"percent": bd_rate(anchor, test), "low": low, "high": high}
    except SettingError:
        return None


def _over_pictures(
    rows: dict[str, list[Row]], common: list[str], anchor: str, metric: Metric
) -> dict[str, Any]:
    """BD-rate against the anchor on each picture by itself: mean, best, worst."""
    found: dict[str, Any] = {}
    by_picture = {key: _curves_by_picture(ours, metric) for key, ours in rows.items()}
    for key, curves in by_picture.items():
        if key == anchor or anchor not in by_picture:
            continue
        each = [_bd_rate(by_picture[anchor][name], curves[name]) for name in common]
        percents = [one["percent"] for one in each if one is not None]
        if percents:
            found[key] = {
                "mean": statistics.fmean(percents),
                "best": min(percents),
                "worst": max(percents),
                "pictures": len(percents),
            }
    return found


def _curves_by_picture(rows: list[Row], metric: Metric) -> dict[str, Curve]:
    found: dict[str, Curve] = {}
    for row in rows:
        found.setdefault(row.image, []).append((row.bpp, metric.scaled(_counted(getattr(row, metric.key)))))
    return found


def _has_boxes(rows: list[Row]) -> bool:
    return any(row.boxes_bytes for row in rows)


def _boxes(
    rows: dict[str, list[Row]], key: str, anchor: str, metrics: Sequence[Metric]
) -> dict[str, Any] | None:
    """What part of a gain is the container: BD-rate by the leading metric as files are, and with what they leave out of the
    base codec's own boxes put back."""
    put_back = [
        replace(row, bpp=row.bpp * (row.size_bytes + row.boxes_bytes) / row.size_bytes) for row in rows[key]
    ]
    curves = {"as it is": _mean_curve(rows[key]), "put back": _mean_curve(put_back)}
    if anchor in rows:
        curves[anchor] = _mean_curve(rows[anchor])
    against = _matrix(curves, metrics[0]).get(anchor, {})
    as_it_is, with_boxes = against.get("as it is"), against.get("put back")
    if not as_it_is or not with_boxes:
        return None
    return {
        "bytes": statistics.fmean(row.boxes_bytes for row in rows[key]),
        "percent": as_it_is["percent"],
        "percent_put_back": with_boxes["percent"],
    }


def _worse(rows: dict[str, list[Row]], key: str, anchor: str, metric: Metric) -> dict[str, Any]:
    """Files of a codec beside the anchor at the same bytes, on the same picture: how many could be compared, how many are
    worse, and the worst of those, ``by`` how much in the metric's own unit."""
    curves = _curves_by_picture(rows[anchor], metric)
    files, worse = 0, []
    for row in rows[key]:
        value = _counted(getattr(row, metric.key))
        try:
            theirs = quality_at(curves[row.image], row.bpp)
        except SettingError:  # no score, or the same at every setting
            theirs = None
        if theirs is None or math.isnan(value):
            continue
        files += 1
        apart = theirs - metric.scaled(value)
        if apart > 0:
            by = abs(metric.unscaled(theirs) - value)
            worse.append((apart, {"image": row.image, "setting": row.setting, "bpp": row.bpp, "by": by}))
    worse.sort(key=lambda pair: -pair[0])
    return {"files": files, "worse": len(worse), "worst": [one for _, one in worse[:NAMED]]}


def _speeds(rows: dict[str, list[Row]], anchor: str) -> dict[str, Any]:
    """Seconds per megapixel by quartiles, and how many times the anchor's on the same picture (medians)."""
    per_picture = {
        key: {
            column: {
                name: statistics.median(
                    getattr(row, column) / (row.width * row.height / 1e6) for row in ours if row.image == name
                )
                for name in {row.image for row in ours}
            }
            for column in ("encode_s", "decode_s")
        }
        for key, ours in rows.items()
    }
    found = {}
    for key, columns in per_picture.items():
        speed: dict[str, Any] = {}
        for column, times in columns.items():
            speed[column] = _quartiles(list(times.values()))
            if anchor in per_picture:
                reference = per_picture[anchor][column]
                ratios = [seconds / reference[name] for name, seconds in times.items() if name in reference]
                speed[column.replace("_s", "_ratio")] = _quartiles(ratios)
        peaks = [row.peak_mib for row in rows[key] if not math.isnan(row.peak_mib)]
        found[key] = {**speed, "peak_mib": max(peaks) if peaks else None}
    return found


# --- the verdict


def verdict(report: dict[str, Any], one: dict[str, Any]) -> str:
    """What comes of a set, in words: the first codec of ours, or the one of the fewest bytes, beside the anchor."""
    anchor, lead = report["anchor"], leading(report)
    labels = {codec["key"]: codec["label"] for codec in report["codecs"]}
    if not one["curves"]:
        return "No picture was coded by every codec."
    against = one["bd_rate"][lead.key].get(anchor, {})
    ours = [c["key"] for c in report["codecs"] if c["kind"] == "ours" and c["key"] in one["curves"]]
    test = next((key for key in ours if key != anchor), None)
    if test is None:
        known = {key: cell["percent"] for key, cell in against.items() if cell is not None}
        test = min(known, key=known.__getitem__, default=None)
    if test is None:
        return (
            f"{labels[anchor]} was measured alone." if anchor in one["curves"] else "Nothing to compare with."
        )
    cell = against.get(test)
    if cell is None:
        return (
            f"{labels[test]} and {labels.get(anchor, anchor)} share too little {lead.label} to be compared."
        )
    words = [f"{labels[test]} needs {_bytes(cell['percent'])} than {labels[anchor]} at equal {lead.label}"]
    over = one["over_pictures"][lead.key].get(test)
    if over and over["pictures"] > 1:
        best, worst = over["best"], over["worst"]
        if round(best) * round(worst) > 0:
            words.append(f"on single pictures {abs(best):.0f} to {_bytes(worst)}")
        else:
            words.append(f"on single pictures from {_bytes(best)} to {_bytes(worst)}")
    text = ", ".join(words) + "."
    counted = one["worse"].get(test, {}).get(lead.key)
    if counted and counted["files"]:
        text += f" Of its files {counted['worse']} of {counted['files']} are worse at the same bytes."
    speed = one["speed"].get(test, {})
    if "encode_ratio" in speed and "decode_ratio" in speed:
        times = [
            f"{speed[f'{column}_ratio'][1]:.2g} times as long to {column}" for column in ("encode", "decode")
        ]
        text += f" It takes {' and '.join(times)}."
    return text


def _bytes(percent: float) -> str:
    """A BD-rate in words.

    >>> _bytes(-14.6), _bytes(3.2), _bytes(0.2)
    ('15 % fewer bytes', '3 % more bytes', 'as many bytes')
    """
    if round(percent) == 0:
        return "as many bytes"
    return f"{abs(percent):.0f} % {'fewer' if percent < 0 else 'more'} bytes"


# --- Markdown


def table(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; the first column left, the others right."""
    lines = ["| " + " | ".join(heading) + " |", "|---|" + "---:|" * (len(heading) - 1)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def percent(cell: dict[str, float] | None) -> str:
    """A cell of a BD-rate table."""
    return "" if cell is None else f"{cell['percent']:+.1f}"


def _plain(text: str) -> str:
    """A file's name or an error, as Markdown that means nothing."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|" else c for c in text)


def leading(report: dict[str, Any]) -> Metric:
    """The first metric that was measured."""
    return _tabled(report)[0]


def _tabled(report: dict[str, Any]) -> list[Metric]:
    measured = {metric["key"] for metric in report["metrics"]}
    return [metric for metric in METRICS if metric.tabled and metric.key in measured]


def summary(report: dict[str, Any], one: dict[str, Any]) -> str:
    """The table that a reader wants first: every codec against the anchor over one set."""
    anchor = report["anchor"]
    labels = {codec["key"]: codec["label"] for codec in report["codecs"]}
    metrics = _tabled(report)
    rows = []
    for key in one["curves"]:
        over = one["over_pictures"][metrics[0].key].get(key)
        speed = one["speed"][key]
        cells = [percent(one["bd_rate"][m.key].get(anchor, {}).get(key)) for m in metrics]
        rows.append(
            [
                labels[key],
                *(["0"] * len(metrics) if key == anchor else cells),
                f"{over['mean']:+.1f} ({over['best']:+.1f} to {over['worst']:+.1f})" if over else "",
                *(_time(speed, column) for column in ("encode", "decode")),
                "" if speed["peak_mib"] is None else f"{speed['peak_mib']:.0f}",
            ]
        )
    heading = [
        f"BD-rate in % against {labels.get(anchor, anchor)}",
        *(metric.label for metric in metrics),
        f"{metrics[0].label}, picture by picture",
        "encode s/MP",
        "decode s/MP",
        "peak MiB",
    ]
    return table(heading, rows)


def _time(speed: dict[str, Any], column: str) -> str:
    """Seconds per megapixel, and how many times the anchor's."""
    seconds, ratio = speed[f"{column}_s"][1], speed.get(f"{column}_ratio")
    return f"{seconds:.3g}" + (f" ({ratio[1]:.3g} x)" if ratio else "")


def container_lines(report: dict[str, Any], one: dict[str, Any]) -> str:
    """A line for each codec of ours: what part of its gain is the container."""
    labels = {codec["key"]: codec["label"] for codec in report["codecs"]}
    lead = leading(report).label
    lines = [
        f"- {labels[key]}: {found['percent']:+.1f} % by {lead}, {found['percent_put_back']:+.1f} % with the {found['bytes']:.0f} bytes "
        f"put back: {found['percent_put_back'] - found['percent']:.1f} points are the container."
        for key, found in one["boxes"].items()
        if found
    ]
    if not lines:
        return ""
    return "The base codec's own boxes, which our files leave out:\n\n" + "\n".join(lines) + "\n"


def worse_counts(report: dict[str, Any], one: dict[str, Any]) -> str:
    """How many of our files are worse than the anchor's at the same bytes, by each referee."""
    if not one["worse"]:
        return ""
    labels = {codec["key"]: codec["label"] for codec in report["codecs"]}
    metrics = [metric for metric in METRICS if metric.key in next(iter(one["worse"].values()))]
    counts = [
        [labels[key], *(f"{of[m.key]['worse']} of {of[m.key]['files']}" for m in metrics)]
        for key, of in one["worse"].items()
    ]
    heading = [f"files worse than {labels.get(report['anchor'], report['anchor'])} at the same bytes"]
    return table([*heading, *(m.label for m in metrics)], counts)


def worse_named(report: dict[str, Any], one: dict[str, Any]) -> str:
    """The worst of those, and by how much."""
    labels = {codec["key"]: codec["label"] for codec in report["codecs"]}
    named = [
        f"- {labels[key]}, {metric.label}: "
        + "; ".join(
            f"{_plain(file['image'])} at {file['bpp']:.2f} bpp, {file['by']:.2g}{metric.unit and ' ' + metric.unit}"
            for file in of[metric.key]["worst"]
        )
        for key, of in one["worse"].items()
        for metric in METRICS
        if metric.plotted and metric.key in of and of[metric.key]["worst"]
    ]
    return "The worst, and by how much:\n\n" + "\n".join(named) + "\n" if named else ""


def markdown(report: dict[str, Any]) -> str:
    """The report for reading in a repository."""
    labels = {codec["key"]: codec["label"] for codec in report["codecs"]}
    parts = [f"# {report['title']}\n"]
    parts += [f"**{_plain(one['name'])}.** {_plain(one['verdict'])}\n" for one in report["sets"]]
    parts.append(
        "Rates are of whole files, each decoded again before anything was measured. Curves are means over a set's\n"
        "pictures at one setting; BD-rate is by PCHIP on ln(bpp) over the range both curves cover (negative: fewer\n"
        "bytes than the anchor at equal quality; empty: less than 0.5 dB or points in common). SSIM and MS-SSIM s enter it\n"
        "as -10 log10(1 - s), distances d (Butteraugli's 3-norm, LPIPS with AlexNet, DISTS), where less is better, as\n"
        "-10 log10(d). Files are compared with the anchor at the same bytes on the same picture, between its settings by\n"
        "PCHIP, where its settings reach. Times are medians on one thread, in brackets beside the anchor's on the same\n"
        "picture. Peak memory counts the process with its libraries.\n"
    )
    for one in report["sets"]:
        parts.append(
            f"## {_plain(one['name'])}: {one['pictures']} pictures, {one['megapixels']:.2f} megapixels\n"
        )
        if not one["curves"]:
            parts.append("No picture was coded by every codec.\n")
        else:
            lead = leading(report)
            parts += [f"![{lead.label}]({plot_name(one, lead.key)}.svg)\n", summary(report, one)]
            parts += [
                text
                for text in (say(report, one) for say in (container_lines, worse_counts, worse_named))
                if text
            ]
            matrix = one["bd_rate"][lead.key]
            keys = list(one["curves"])
            parts.append(f"BD-rate in % ({lead.label}) of the row against the column:\n")
            parts.append(
                table(
                    ["", *(labels[key] for key in keys)],
                    [
                        [
                            labels[test],
                            *("" if a == test else percent(matrix.get(a, {}).get(test)) for a in keys),
                        ]
                        for test in keys
                    ],
                )
            )
        if one["skipped"]:
            parts.append("Left out:\n")
            parts.append(
                "\n".join(f"- {_plain(s['file'])}: {_plain(s['reason'])}" for s in one["skipped"]) + "\n"
            )
    if report["missing"]:
        parts.append("Not run:\n")
        parts.append("\n".join(f"- {m['codec']}: {_plain(m['reason'])}" for m in report["missing"]) + "\n")
    parts.append("## Settings\n")
    parts.append(table(["codec", "settings"], [[c["label"], _plain(c["detail"])] for c in report["codecs"]]))
    parts.append(
        f"Reproduce: `{report['command']}`  \nMade by: " + "; ".join(map(_plain, report["made_by"])) + "\n"
    )
    return "\n".join(parts)


def curves_csv(report: dict[str, Any]) -> str:
    """The mean curves as one CSV file."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    keys = [metric["key"] for metric in report["metrics"]]
    writer.writerow(["set", "codec", "setting", "bpp", *keys])
    for one in report["sets"]:
        for codec, points in one["curves"].items():
            for p in points:
                values = ("" if p[key] is None else f"{p[key]:.5f}" for key in keys)
                writer.writerow(
                    [guarded(one["name"]), guarded(codec), guarded(p["setting"]), f"{p['bpp']:.5f}", *values]
                )
    return buffer.getvalue()


# --- files


FILES = ("index.html", "report.md", "curves.csv", "report.json")


def write(report: dict[str, Any], folder: str | os.PathLike[str], force: bool = False) -> None:
    """index.html, report.md, curves.csv, report.json (all but the samples) and the plots.

    Args:
        force: replace also what no report of ours is.
    Raises:
        MissingComponent: matplotlib is not installed.
        OSError: a file cannot be written, or is not ours.
    """
    files = Written(folder, force)
    plots = [
        (one, metric.key)
        for one in report["sets"]
        if one["curves"]
        for metric in METRICS
        if metric.plotted
        and any(p[metric.key] is not None for points in one["curves"].values() for p in points)
    ]
    formats = (".svg", ".png")
    files.check(*FILES, *(plot_name(*of) + suffix for of in plots for suffix in formats))
    texts: dict[str, Callable[[], str]] = {
        "index.html": lambda: render(report),
        "report.md": lambda: markdown(report),
        "curves.csv": lambda: curves_csv(report),
        "report.json": lambda: json.dumps({**report, "samples": []}, allow_nan=False),
    }
    for name, text in texts.items():
        with files.replacing(name) as partial:
            partial.write_text(text(), "utf-8", "backslashreplace")
    with tempfile.TemporaryDirectory() as aside:
        for one, metric in plots:
            name = plot_name(one, metric)
            axis = next(row.axis for row in METRICS if row.key == metric)
            plot(report, one, metric, axis, Path(aside, name), formats=formats)
            for suffix in formats:
                with files.replacing(name + suffix) as partial:
                    shutil.copyfile(Path(aside, name + suffix), partial)
