"""Fuzzing: files that are broken or that lie, and commands that are killed. ``python -m tests.fuzz``."""
