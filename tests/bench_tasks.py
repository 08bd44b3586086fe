"""A task that misbehaves as it is told. Its process imports this module, so it is a small one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator


def behave(task: str) -> Iterator[int]:
    """Two results, unless the task's name says what happens between them."""
    yield 1
    if task == "raise":
        raise ValueError("two lines\nof words")
    if task == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if task == "exit":
        os._exit(3)
    if task == "hang":
        time.sleep(600)
    yield 2
