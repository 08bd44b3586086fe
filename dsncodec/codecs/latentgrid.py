"""The method "latentgrid": symbols on grids of seven sizes, an integer probability model, and a small synthesis, all
fitted to one picture.

Reading is in ``grids``.
"""

from __future__ import annotations

from .grids import decode

__all__ = ["decode"]
