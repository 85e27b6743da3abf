"""The tiny scene that the probe's tests share."""

from __future__ import annotations

import pytest
from closed_form_scene import camera_at, rendered, truth

from bench.types import Initialisation, MultiViewScene


@pytest.fixture(scope="session")
def tiny_scene() -> MultiViewScene:
    """Three training and one held-out photo of 32x24 pixels, in metres."""
    train = [((-0.35, 0.0, 0.0), 5.0), ((0.35, 0.05, 0.05), -5.0), ((0.0, -0.3, 0.0), 0.0)]
    return MultiViewScene(
        "test",
        "wall",
        tuple(rendered(f"train{i}", camera_at(centre, yaw=yaw)) for i, (centre, yaw) in enumerate(train)),
        (rendered("test0", camera_at((0.05, 0.05, 0.1), yaw=1.0)),),
        unit="metre",
    )


@pytest.fixture(scope="session")
def tiny_truth(tiny_scene: MultiViewScene) -> Initialisation:
    return truth(tiny_scene)
