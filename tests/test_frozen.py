"""What calls of ``encode`` gave when tests/golden/frozen-calls.json was written: errors, and what files say of themselves.

Bytes are compared by ``python -m tests.frozen check``, on the processor and with the packages that wrote them.
"""

from __future__ import annotations

import json

import pytest

from .frozen import STORE, calls, outcome

KEPT = json.loads(STORE.read_text("utf-8"))["calls"]


def test_the_list_is_the_one_that_was_kept() -> None:
    assert list(KEPT) == list(calls())


@pytest.mark.parametrize("name", KEPT)
def test_a_call_gives_what_it_gave(name: str) -> None:
    pytest.importorskip("torch")
    found, kept = outcome(*calls()[name]), KEPT[name]
    if "error" in kept and "the fit reached" in kept["text"]:
        assert found["error"] == kept["error"]
    elif "error" in kept:
        # how far a picture goes depends on the base codec's release
        assert found["error"] == kept["error"]
        assert found["text"].split(": the ")[0] == kept["text"].split(": the ")[0]
    else:
        assert "error" not in found, found
        # a network may serve a picture so small on one processor, and not on another
        steady = [key for key in kept["info"] if key not in ("model", "scale", "base_quality")]
        assert [found["info"][key] for key in steady] == [kept["info"][key] for key in steady]
