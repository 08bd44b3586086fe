"""The tests of fits once more, as another processor would run them: ``python -m tests.kernels [arguments of pytest]``.

A fit makes much of the last bit of a sum. Processors differ there, because each library picks other instructions for each; so here
all are told to do with those of ten years ago, in one thread. What a test demands must hold both ways.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

ROOT = Path(__file__).parents[1]
FITS = (
    "test_guard.py",
    "test_coconet.py",
    "test_coconet_files.py",
    "test_restore_fitted.py",
    "test_latentgrid.py",
    "test_fit_kernels.py",
    "test_latentgrid_init.py",
)


def environment(cache: str) -> dict[str, str]:
    """Variables that PyTorch, MKL, oneDNN, OpenBLAS, NumPy and Numba look at; compiled functions go into ``cache``."""
    mine = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
    return {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": " ".join(mine),
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_DIR": cache,
        **dict.fromkeys(
            ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
        ),
    }


def main(arguments: list[str]) -> int:
    """Run them, and return what pytest says."""
    with tempfile.TemporaryDirectory() as cache:
        changed = environment(cache)
        print(*(f"{name}={value!r}" for name, value in changed.items()))
        command = [sys.executable, "-m", "pytest", "-q", *(f"tests/{name}" for name in FITS), *arguments]
        return subprocess.run(command, cwd=ROOT, env=os.environ | changed, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
