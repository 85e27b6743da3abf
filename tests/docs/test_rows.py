"""The data dictionary names every column of a row, and every word that a closed column may hold."""

from __future__ import annotations

import re
from pathlib import Path

from bench.results.schema import CHOICES, PUBLISHED_COLUMNS

TEXT = (Path(__file__).resolve().parents[2] / "bench" / "docs" / "rows.md").read_text(encoding="utf-8")


def test_every_column_and_word_is_explained() -> None:
    table = {
        name: line
        for line in TEXT.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`([^`]+)`", line.split("|")[1])
    }
    assert list(table) == list(PUBLISHED_COLUMNS)
    for column, words in CHOICES.items():
        for word in words:
            assert f"`{word}`" in table[column], f"{column}: {word}"
