"""Without a folder for machine code, reading compiles nothing, fitting does, and both say so once."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="numba is not installed (extra [fit])")

GOLDEN = Path(__file__).parent / "golden" / "0.2.0-rgb-latentgrid-2e-3.dsn"

# numba as it is where neither the modules' folder nor the user's can be written
WITHOUT_A_FOLDER = """
    import warnings
    import numba
    njit = numba.njit
    def without(*functions, cache=False, **options):
        if cache:
            def refused(function):
                raise RuntimeError("cannot cache function: no locator available")
            return refused
        return njit(*functions, **options)
    numba.njit = without
    import dsncodec
    from dsncodec import kernels
"""


def fresh(code: str, **environment: str) -> list[str]:
    """What a new interpreter prints, line by line."""
    root = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(WITHOUT_A_FOLDER) + textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": root, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


READS = f"""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(2):
            image = dsncodec.decode({str(GOLDEN)!r})
        score = dsncodec.metrics.ssimulacra2(*[__import__("numpy").asarray(image)] * 2)
    reading = __import__("sys").modules[kernels.READING]
    compiled = [name for name, one in vars(reading).items() if getattr(one, "signatures", None)]
    print(len(compiled) > 0, [one.category.__name__ for one in said], "NUMBA_CACHE_DIR" in str(said[0].message))
"""


def test_reading_compiles_nothing_and_says_so_once() -> None:
    assert fresh(READS) == ["False ['DsnWarning'] True"]


@pytest.mark.slow
def test_whoever_insists_has_machine_code() -> None:
    assert fresh(READS, DSNCODEC_NUMBA="1") == ["True ['DsnWarning'] True"]


def test_a_process_that_fits_reads_by_machine_code() -> None:
    code = """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            print(kernels.load(kernels.READING) is None)
            kernels.insist()
            print(kernels.load(kernels.READING) is None)
    """
    assert fresh(code) == ["True", "False"]
