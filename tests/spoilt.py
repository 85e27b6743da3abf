"""Damaged files for property tests of readers: valid content with bytes changed, cut or added."""

from __future__ import annotations

import os

from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("BENCH_FUZZ", "50"))  #: `make fuzz` tries more


@st.composite
def spoilt(draw: st.DrawFn, whole: bytes) -> bytes:
    """The content with one to four changes at any place."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(content) - 1, 0)))
        change = draw(st.sampled_from(["set", "cut", "add"]))
        if change == "set" and content:
            content[place] = draw(st.integers(0, 255))
        elif change == "cut":
            del content[place:]
        else:
            content[place:place] = draw(st.binary(min_size=1, max_size=8))
    return bytes(content)
