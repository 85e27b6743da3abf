"""Fixtures that every room of the tests shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

#: Small real samples that stand beside a developer's checkout; tests that need them are skipped, with the reason, elsewhere.
SHARED = Path(__file__).resolve().parents[2] / "shared"

#: The same examples in every run, however slow the machine is: what fails, fails for everyone. `make fuzz` draws others.
settings.register_profile("suite", derandomize="BENCH_FUZZ" not in os.environ, deadline=None)
settings.load_profile("suite")
os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is fetched for a test: not the gigabyte that a model or a metric would take


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("the real samples (../shared/data) are not on this machine")
    return folder


@pytest.fixture(scope="session")
def goldens() -> Path:
    folder = SHARED / "goldens"
    if not folder.is_dir():
        pytest.skip("the official code's numbers (../shared/goldens) are not on this machine")
    return folder
