"""What a model needs of the machine, told before anything is loaded."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from bench.machine import requirements
from bench.machine.requirements import check, free_bytes
from bench.types import Card, FeatureProvider, Unavailable


class _Needy(FeatureProvider):
    card = Card(name="Needy", weights="hf:a/b")
    needs = types.MappingProxyType({"json": "it is here", "no-such-package": "pip install it"})


class _Large(FeatureProvider):
    card = Card(name="Large", weights="hf:a/b")

    @classmethod
    def parameter_bytes(cls) -> int:
        return 3_000_000_000


def test_an_absent_package_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable, match="needy needs the package no-such-package: pip install it"):
        check("needy", _Needy, "random", "cpu")
    monkeypatch.setitem(sys.modules, "no-such-package", types.ModuleType("no-such-package"))
    check("needy", _Needy, "random", "cpu")


def test_a_model_that_cannot_be_built_without_its_checkpoint_is_refused_random_weights() -> None:
    bound = type("Bound", (FeatureProvider,), {"card": Card(name="Bound", weights="hf:a/b"), "random_weights": False})
    check("bound", bound, "pretrained", "cpu")
    with pytest.raises(Unavailable, match="bound cannot be built without its checkpoint"):
        check("bound", bound, "random", "cpu")


def test_parameters_that_do_not_fit_are_told_with_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    for free, fits in ((3_000_000_000, True), (None, True), (2_900_000_000, False)):
        monkeypatch.setattr(requirements, "free_bytes", lambda device, free=free: free)
        if fits:
            check("large", _Large, "random", "cpu")
        else:
            with pytest.raises(Unavailable, match=r"large does not fit: .* 3\.0 GB; 2\.9 GB of memory are free"):
                check("large", _Large, "random", "cpu")


def test_free_memory_is_what_the_system_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "meminfo"
    told.write_text("MemTotal:       24576000 kB\nMemFree:         1000 kB\nMemAvailable:    2048 kB\n")
    monkeypatch.setattr(requirements, "_MEMINFO", told)
    assert free_bytes("cpu") == 2048 * 1024
    monkeypatch.setattr(requirements, "_MEMINFO", tmp_path / "absent")
    whole = free_bytes("cpu")
    assert whole is None or whole > 2**28
