"""A plug-in file for tests of the boundary: a tiny data set, honest models, and one model for each way to misbehave."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

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

HEIGHT, WIDTH = 32, 48
protocols.register(
    ProbeProtocol(
        "tiny-v1",
        feature_long_side=48,
        grid_long_side=16,
        photo_width=None,
        pca_channels=8,
        iterations=4,
        warm_start=2,
        instantsplat_iterations=4,
        test_pose_steps=1,
        quick=True,
    )
)


def _photo(name: str) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(len(name))
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    depth = (2 + rng.random((HEIGHT, WIDTH))).astype(np.float32)
    return image, depth, np.array([[1.0, 0, 0.5], [0, 1.5, 0.5], [0, 0, 1]])


@datasets.register("tiny")
class Tiny(Dataset):
    """Photos of noise with depth of noise."""

    card = DatasetCard(name="Tiny")
    tracks = ("probe", "geometry")
    default_pointmap = "ground-truth"

    def scenes(self, root: Path | None, track: str) -> Sequence[str]:
        return ["one", "three"]

    def fingerprint(self, root: Path | None, name: str, track: str) -> str:
        return f"tiny {track} {name}"

    def load_sample(self, root: Path | None, name: str) -> MonocularSample:
        image, depth, intrinsics = _photo(name)
        return MonocularSample("tiny", name, image, depth, intrinsics)

    def load_scene(self, root: Path | None, name: str) -> MultiViewScene:
        image, depth, intrinsics = _photo(name)
        pixels = intrinsics * np.array([[WIDTH], [HEIGHT], [1.0]])
        views = []
        for number in range(3):
            pose = np.eye(4)
            pose[0, 3] = 0.1 * number
            views.append(View(f"v{number}", image, Camera(pixels, pose, WIDTH, HEIGHT), depth))
        return MultiViewScene("tiny", name, tuple(views[:2]), tuple(views[2:]))


def _honest(image: Array) -> Prediction:
    """Depends on everything that a neighbour may have changed: types, precision, seeds, gradients, patched functions."""
    grey = torch.from_numpy(image.astype(np.float32) / 255).mean(-1)
    smooth = F.interpolate(grey[None, None], scale_factor=0.5, mode="bilinear")
    back = F.interpolate(smooth, size=grey.shape, mode="bilinear")[0, 0]
    mixed = back @ torch.linspace(0, 1, WIDTH * WIDTH).reshape(WIDTH, WIDTH)
    noise = torch.rand(HEIGHT, WIDTH) + float(np.random.rand()) + random.random()  # noqa: NPY002
    return Prediction(depth_metric=(1 + mixed + 0.1 * noise).numpy())


def _raises(error: BaseException) -> Callable[[Array], Any]:
    def predict(image: Array) -> Any:
        raise error

    return predict


def _then_honest(change: Callable[[], object]) -> Callable[[Array], Any]:
    def predict(image: Array) -> Any:
        change()
        return _honest(image)

    return predict


def _patch() -> None:
    F.interpolate = None  # type: ignore[assignment]
    np.random.rand = lambda *shape: 0.5
    Prediction.__init__ = lambda self, **fields: None  # type: ignore[method-assign]


def _precision() -> None:
    torch.set_float32_matmul_precision("medium")
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]


def _seeds() -> None:
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    random.seed(7)


class _Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class _Base(BaseException):
    pass


def _memory() -> None:
    held = np.ones(2 * 2**27)  # 2 GB
    time.sleep(60)
    del held


#: What a model may change around it before it answers honestly, and what its cell must say: None where it ends well, ""
#: where it may end either way.
CHANGES: dict[str, tuple[Callable[[], object], str | None]] = {
    "closed": (lambda: os.closerange(3, 256), ""),
    "double": (lambda: torch.set_default_dtype(torch.float64), ""),
    "device": (lambda: torch.set_default_device("meta"), ""),
    "precision": (_precision, None),
    "patched": (_patch, ""),
    "seeds": (_seeds, None),
    "protocols": (lambda: object.__setattr__(protocols["tiny-v1"], "iterations", 1), ""),
    "gradients": (lambda: torch.set_grad_enabled(False), None),
    "folder": (lambda: os.chdir("/"), None),
    "environment": (os.environ.clear, None),
    "threads": (lambda: torch.set_num_threads(3), None),
    "thread": (lambda: threading.Thread(target=time.sleep, args=(60,)).start(), None),
    "forks": (os.fork, None),
    "strict": (lambda: (np.seterr(all="raise"), warnings.simplefilter("error")), ""),
    "printing": (lambda: print("x" * 10, flush=True), None),
}
#: What each estimator does, and what the cell must say, as in CHANGES.
KINDS: dict[str, tuple[Callable[[Array], Any], str | None]] = {
    "exit0": (lambda image: sys.exit(0), "SystemExit"),
    "exit3": (lambda image: sys.exit(3), "SystemExit"),
    "os-exit": (lambda image: os._exit(0), "ended with exit code 0"),
    "abort": (lambda image: os.abort(), "SIGABRT"),
    "segfault": (lambda image: os.kill(os.getpid(), signal.SIGSEGV), "SIGSEGV"),
    "killed": (lambda image: os.kill(os.getpid(), signal.SIGKILL), "was killed"),
    "base": (_raises(_Base("x")), "_Base: x"),
    "interrupt": (_raises(KeyboardInterrupt()), "KeyboardInterrupt"),
    "unspeakable": (_raises(_Unspeakable()), "its message cannot be read"),
    "wordy": (_raises(ValueError("a" * 5_000_000)), "letters cut"),
    "terminal": (_raises(ValueError("\x1b[31mred\x00")), "ValueError: \N{REPLACEMENT CHARACTER}[31mred"),
    "recursion": (_raises(RecursionError("deep")), "RecursionError"),
    "none": (lambda image: None, "must return a Prediction, not NoneType"),
    "complex": (lambda image: Prediction(depth_metric=np.ones(image.shape[:2], complex)), "complex"),
    "turned": (lambda image: Prediction(depth_metric=np.ones(image.shape[1::-1], np.float32)), "has the shape"),
    "writes": (lambda image: (_honest(image), image.fill(0))[0], None),
    "text": (lambda image: Prediction(depth_metric="deep"), "has the shape"),  # type: ignore[arg-type]
    "hang": (lambda image: time.sleep(60), "it went over 20 seconds"),
    "memory": (_then_honest(_memory), "it went over"),
    **{name: (_then_honest(change), said) for name, (change, said) in CHANGES.items()},
}


def _register(name: str, predict: Callable[[Array], Any]) -> None:
    def bound(self: GeometryEstimator, image: Array, intrinsics: Array | None = None) -> Any:
        return predict(image)

    estimators.register(name)(
        type(name, (GeometryEstimator,), {"card": Card(name=name), "predict": bound, "__module__": __name__})
    )


for _kind, (_predict, _) in KINDS.items():
    _register(f"m-{_kind}", _predict)
for _good in ("a-good", "n-good", "z-good"):
    _register(_good, _honest)


class _Patches(FeatureProvider):
    """Means of 16 x 16 pixels."""

    def extract(self, images: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(images, 16).permute(0, 2, 3, 1)


@features.register("patches")
class Patches(_Patches):
    """Honest."""

    card = Card(name="Patches", channels=3, stride=16)


@features.register("patches-exit")
class Exiting(_Patches):
    """Ends its process without a word."""

    card = Card(name="Exiting", channels=3, stride=16)

    def extract(self, images: torch.Tensor) -> torch.Tensor:
        with Path(os.environ["BENCH_TESTED_LOG"]).open("a") as log:
            log.write("x")
        os._exit(0)


@features.register("patches-turned")
class Turned(_Patches):
    """Channels first."""

    card = Card(name="Turned", channels=3, stride=8)

    def extract(self, images: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(images, 8)


def _changing(change: Callable[[], object]) -> Callable[[_Patches, torch.Tensor], torch.Tensor]:
    def extract(self: _Patches, images: torch.Tensor) -> torch.Tensor:
        change()
        return _Patches.extract(self, images)

    return extract


for _name, (_change, _) in CHANGES.items():
    _card = Card(name=_name, channels=3, stride=16)
    _fields = {"card": _card, "extract": _changing(_change), "__module__": __name__}
    features.register(f"patches-{_name}")(type(_name, (_Patches,), _fields))
