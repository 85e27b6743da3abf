"""Fixtures that every room of the tests shares."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

#: Small real samples that stand beside a developer's checkout; tests that need them are skipped, with the reason, elsewhere.
SHARED = Path(__file__).resolve().parents[2] / "shared"


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
