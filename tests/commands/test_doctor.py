"""`bench doctor` on a narrow terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from bench.commands.doctor import doctor_command


def test_nothing_is_cut_on_a_narrow_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a-folder-whose-name-is-wider-than-the-terminal[view]"
    monkeypatch.setenv("BENCH_CACHE", str(folder))
    printed = io.StringIO()
    doctor_command(Console(file=printed, width=40))
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.getvalue().splitlines() if "│" in line]
    assert "…" not in printed.getvalue()
    assert str(folder) in "".join(text for _, text in lines)
    assert "transformers" in [name for name, _ in lines]
