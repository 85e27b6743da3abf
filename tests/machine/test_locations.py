"""Where the cache and the data lie, also where variables are set to nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.machine.locations import cache_root, data_root, user_folder


@pytest.mark.skipif(sys.platform != "linux", reason="XDG is of Linux")
@pytest.mark.parametrize("value", ["", "relative", "./here"])
@pytest.mark.parametrize(("kind", "variable"), [("cache", "XDG_CACHE_HOME"), ("data", "XDG_DATA_HOME")])
def test_an_empty_or_relative_variable_counts_as_unset(
    kind: str, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable, raising=False)
    usual = user_folder(kind)
    monkeypatch.setenv(variable, value)
    assert user_folder(kind) == usual
    assert usual.is_absolute()


def test_what_is_named_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "nowhere"))
    assert cache_root() == tmp_path / "cache"
    assert data_root(tmp_path) == tmp_path
    with pytest.raises(UserError, match="BENCH_DATA: there is no folder"):
        data_root()
    monkeypatch.setenv("BENCH_CACHE", "")
    assert cache_root() == user_folder("cache")
