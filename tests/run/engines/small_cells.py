"""A plug-in file for runs over many processes and machines: scenes of noise, and models of which a cell takes milliseconds.

Probe: 5 feature providers (small-0 …). Geometry: 8 estimators (flat-0 …), `slow` and two more, which take two seconds for a
photo, and `broken`, which fails.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from bench.core.protocols import ProbeProtocol
from bench.registry import datasets, estimators, features, protocols
from bench.types import (
    Array,
    Camera,
    Card,
    Dataset,
    DatasetCard,
    FeatureProvider,
    GeometryEstimator,
    MonocularSample,
    MultiViewScene,
    Prediction,
    View,
)

SCENES, PROVIDERS, ESTIMATORS = 15, 5, 8
HEIGHT, WIDTH = 32, 48
protocols.register(
    ProbeProtocol(
        "small-v1",
        feature_long_side=48,
        grid_long_side=16,
        photo_width=None,
        pca_channels=4,
        iterations=4,
        warm_start=2,
        instantsplat_iterations=4,
        test_pose_steps=1,
        quick=True,
    )
)


def _noise(name: str) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(int(name.removeprefix("s")))
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    depth = (2 + rng.random((HEIGHT, WIDTH))).astype(np.float32)
    return image, depth, np.array([[1.0, 0, 0.5], [0, 1.5, 0.5], [0, 0, 1]])


@datasets.register("small")
class Small(Dataset):
    """Photos of noise with depth of noise."""

    card = DatasetCard(name="Small")
    tracks = ("probe", "geometry")
    default_pointmap = "ground-truth"

    def scenes(self, root: Path | None, track: str) -> Sequence[str]:
        return [f"s{number:02d}" for number in range(SCENES)]

    def fingerprint(self, root: Path | None, name: str, track: str) -> str:
        return f"small {track} {name}"

    def load_sample(self, root: Path | None, name: str) -> MonocularSample:
        image, depth, intrinsics = _noise(name)
        return MonocularSample("small", name, image, depth, intrinsics)

    def load_scene(self, root: Path | None, name: str) -> MultiViewScene:
        image, depth, intrinsics = _noise(name)
        pixels = intrinsics * np.array([[WIDTH], [HEIGHT], [1.0]])
        views = []
        for number in range(3):
            pose = np.eye(4)
            pose[0, 3] = 0.1 * number
            views.append(View(f"v{number}", image, Camera(pixels, pose, WIDTH, HEIGHT), depth))
        return MultiViewScene("small", name, tuple(views[:2]), tuple(views[2:]))


def _provider(number: int) -> type[FeatureProvider]:
    class Provider(FeatureProvider):
        """Sines of the mean colours of patches of 8 pixels."""

        card = Card(name=f"Small {number}", channels=6, stride=8, supervision="none")

        def extract(self, images: torch.Tensor) -> torch.Tensor:
            patches = torch.nn.functional.avg_pool2d(images, 8).permute(0, 2, 3, 1)
            return torch.cat([torch.sin((number + 1) * patches), torch.cos((number + 1) * patches)], -1)

    return Provider


def _estimator(number: int, seconds: float = 0.0) -> type[GeometryEstimator]:
    class Estimator(GeometryEstimator):
        """Depth that falls with brightness."""

        card = Card(name=f"Flat {number}", supervision="none")

        def predict(self, image: Array, fov_x: float | None = None) -> Prediction:
            time.sleep(seconds)
            grey = image.mean(-1) / 255
            return Prediction(depth_metric=(3 - grey / (number + 1)).astype(np.float32))

    return Estimator


for place in range(PROVIDERS):
    features.register(f"small-{place}")(_provider(place))
for place in range(ESTIMATORS):
    estimators.register(f"flat-{place}")(_estimator(place))
for name in ("slow", "slow-1", "slow-2"):
    estimators.register(name)(_estimator(ESTIMATORS, seconds=2.0))


@estimators.register("broken")
class Broken(_estimator(ESTIMATORS)):  # type: ignore[misc]
    """Fails at every photo."""

    def predict(self, image: Array, fov_x: float | None = None) -> Prediction:
        raise ValueError("it is broken")
