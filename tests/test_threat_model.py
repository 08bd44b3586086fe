"""What docs/threat-model.md says of dependencies and limits is so."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from dsncodec import container
from dsncodec.carriers import BACKENDS, BASE_CODECS
from dsncodec.carriers.lossy import jpeg

from . import audit

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def tabled() -> dict[str, tuple[str, str]]:
    """Package -> (who needs it, its licence), from the page's table."""
    section = PAGE.split("## Dependencies")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([\w-]+)` \| ([^|]+) \| ([^|]+) \|", section, re.MULTILINE)
    return {name: (needed.strip(), licence.strip()) for name, needed, licence in rows}


def test_every_dependency_is_in_the_table() -> None:
    groups = {"base": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    listed = {
        (re.split(r"[^\w.-]", row, maxsplit=1)[0], group)
        for group, rows in groups.items()
        for row in rows
        if not row.startswith("dsncodec")
    }
    assert {(name, group.strip("[]")) for name, (group, _) in tabled().items()} == listed


@pytest.mark.parametrize("name", tabled())
def test_the_licence_is_the_one_the_package_states(name: str) -> None:
    try:
        stated = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed")
    told = " ".join(
        [
            stated.get("License-Expression") or "",
            stated.get("License") or "",
            *(stated.get_all("Classifier") or []),
        ]
    )
    family = tabled()[name][1].split("-")[0].split()[0]
    assert family in told
    assert not re.search(r"\bA?GPL", told.replace("LGPL", "")) or "OR" in told


@pytest.mark.parametrize(
    "limit",
    [
        container.MAX_PIXELS,
        container.MAX_SECTIONS,
        jpeg.MAX_SCANS,
        jpeg.MAX_MARKERS,
        container.MAX_PARAMETERS,
    ],
)
def test_the_limits_are_the_ones_in_the_code(limit: int) -> None:
    section = PAGE.split("## Limits")[1].split("\n## ")[0]
    assert f"{limit:,}".replace(",", " ") in section


@pytest.mark.parametrize("name", [*BACKENDS, *BASE_CODECS])
def test_every_coder_has_its_guard_on_the_page(name: str) -> None:
    section = PAGE.split("## What foreign code is given")[1].split("\n## ")[0]
    assert f"`{name}`" in section


# --- the audit that `make check` runs


def report(**answers: Any) -> dict[str, Any]:
    return {"dependencies": [{"name": name, **answer} for name, answer in answers.items()], "fixes": []}


FINE: dict[str, Any] = {"version": "1", "vulns": []}
SILENT = {"skip_reason": "not found"}
FLAWED = {"version": "1", "vulns": [{"id": "CVE-0", "fix_versions": ["2"], "aliases": []}]}


def test_the_audit_tells_a_flaw_from_silence() -> None:
    needed = {"numpy", "pillow"}
    assert audit.verdict(report(numpy=FINE, pillow=FINE, dsncodec=SILENT), needed) == (0, [])
    code, lines = audit.verdict(report(numpy=FINE, pillow=FLAWED), needed)
    assert code == 1 and lines == ["VULNERABLE pillow 1: CVE-0, fixed in 2"]
    code, lines = audit.verdict(report(numpy=FINE, pillow=SILENT), needed)
    assert code == 3 and "NOT AUDITED: no answer about pillow" in lines[0]
    code, lines = audit.verdict(report(numpy=FINE), needed)
    assert code == 3 and "pillow" in lines[0]
    assert audit.verdict(report(numpy=FINE, pillow=FINE, other=SILENT), needed)[0] == 0
    assert audit.verdict(report(numpy=FLAWED, pillow=SILENT), needed)[0] == 1


@pytest.mark.parametrize("said", ["", "Traceback\nConnectionError: no route"])
def test_an_audit_that_says_nothing_has_not_been_done(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.CompletedProcess([], 1, said, "no route")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: done)
    assert audit.main() == audit.NOT_AUDITED


def test_the_audit_reads_what_pip_audit_prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = report(**dict.fromkeys(audit.base_packages(), FINE))
    done = subprocess.CompletedProcess([], 0, json.dumps(everything), "")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: done)
    assert audit.main() == audit.CLEAN
    assert capsys.readouterr().out == "no known vulnerability\n"


def test_make_check_ends_with_the_audit() -> None:
    recipe = (ROOT / "Makefile").read_text("utf-8").split("\ncheck:")[1].split("\n\n")[0]
    assert recipe.strip().splitlines()[-1].strip() == "$(BIN)/python tests/audit.py"
    assert any(row.startswith("pip-audit") for row in PROJECT["optional-dependencies"]["check"])
