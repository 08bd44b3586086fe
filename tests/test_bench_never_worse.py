"""The study "never worse": what it says of a file is what the file is, and a run that was stopped goes on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra [bench])")

from bench import never_worse, results
from dsncodec.carriers import BASE_CODECS

from .pictures import photograph


@pytest.mark.weights
def test_files_have_no_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is by squared error, as the codec alone and the gain that a file tells are."""
    monkeypatch.setattr(never_worse, "RESULTS", tmp_path)
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(never_worse, "QUALITIES", (30,))
    shown = {"cat": np.ascontiguousarray(photograph("chelsea.png")[60:150, 100:220])}
    monkeypatch.setattr(never_worse, "pictures", lambda data, count: shown)
    calls: list[Any] = []
    judged = never_worse.judged

    def counted(*args: Any) -> never_worse.Case:
        calls.append(args)
        return judged(*args)

    monkeypatch.setattr(never_worse, "judged", counted)
    args = argparse.Namespace(
        data="", pictures=1, all_efforts=False, every=1, others_every=1, runs=0, timed_efforts=[], command=""
    )
    for _ in range(2):
        assert never_worse.run(args) == 0
        assert len(calls) == len(BASE_CODECS)
    report = (tmp_path / "never-worse.md").read_text("utf-8")
    rows = [line.strip("| ").split(" | ") for line in report.splitlines() if line.startswith("| ")]
    faults = {row[0]: row[-1] for row in rows if row[0] in BASE_CODECS}
    gains = {row[0]: float(row[4]) for row in rows if row[0] in BASE_CODECS}
    assert faults == dict.fromkeys(BASE_CODECS, "0") and min(gains.values()) > 0
