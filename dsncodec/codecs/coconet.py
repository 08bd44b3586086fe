"""The method "coconet": one small network is fitted to one picture, and its quantised weights are the file."""

from __future__ import annotations

from .coordinates import decode

__all__ = ["decode"]
