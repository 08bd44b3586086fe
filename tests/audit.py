"""Known vulnerabilities of what is installed here, by pip-audit. `make check` ends with it.

Exit codes: 0, none is known; 1, some are; 3, the service had no answer about a package that every user has, so that
nothing is known: that is not the same as none.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
CLEAN, VULNERABLE, NOT_AUDITED = 0, 1, 3


def base_packages() -> set[str]:
    """The packages that every installation has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return {re.split(r"[^\w.-]", row, maxsplit=1)[0] for row in project["dependencies"]}


def verdict(report: dict[str, Any], needed: set[str]) -> tuple[int, list[str]]:
    """What pip-audit's JSON amounts to: an exit code, and what there is to say.

    Args:
        needed: packages without an answer about which the audit has not been done.
    """
    found, silent = [], []
    for package in report["dependencies"]:
        if package["name"] == "dsncodec":
            continue
        if "skip_reason" in package:
            silent.append(package["name"])
        found += [
            f"VULNERABLE {package['name']} {package['version']}: {flaw['id']}, "
            f"fixed in {', '.join(flaw['fix_versions']) or 'no version'}"
            for flaw in package.get("vulns", [])
        ]
    asked = {package["name"] for package in report["dependencies"]} - set(silent)
    missing = sorted(needed - asked)
    if missing:
        found.append(f"NOT AUDITED: no answer about {', '.join(missing)}; nothing is known of them")
    if silent:
        found.append(f"no answer about {len(silent)} of {len(report['dependencies'])} packages")
    if any(line.startswith("VULNERABLE") for line in found):
        return VULNERABLE, found
    return (NOT_AUDITED if missing else CLEAN), found


def main() -> int:
    """Run pip-audit over this environment."""
    command = [sys.executable, "-m", "pip_audit", "--local", "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        code, lines = verdict(json.loads(done.stdout), base_packages())
    except ValueError:
        code, lines = NOT_AUDITED, [f"NOT AUDITED: {done.stderr.strip().splitlines()[-1:]}"]
    print("\n".join(lines or ["no known vulnerability"]))
    return code


if __name__ == "__main__":
    sys.exit(main())
