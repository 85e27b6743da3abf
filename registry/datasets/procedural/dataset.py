"""`procedural`: scenes made by code, for both tracks; nothing is downloaded and the truth is exact."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from bench.machine.files import write_atomically
from bench.machine.locations import cache_root
from bench.machine.source import source_digest
from bench.registry import datasets
from bench.types import Camera, Dataset, DatasetCard, MonocularSample, MultiViewScene, Track, UserError, View
from registry.datasets.procedural.render import Stage, StageRenderer, look_at
from registry.datasets.procedural.stages import SOLIDS, built_stage

#: Part of every fingerprint: raise it with every change that alters a pixel.
GENERATOR_VERSION = 1

TRAIN_VIEWS, TEST_VIEWS = ("left", "middle", "right"), ("far-left", "above", "far-right")
SAMPLE_VIEWS = ("middle", "far-right")


@datasets.register("procedural")
class Procedural(Dataset):
    """Five textured scenes, three training and three held-out views each; two samples a scene for the geometry track."""

    card = DatasetCard(
        name="Procedural",
        scene_type="Indoor / Outdoor",
        complexity="Moderate",
        view_range="Small",
        train_views="3",
        license="Apache-2.0",
        unit="metre",
        note="made by code, ray-cast with Open3D",
    )
    tracks = ("probe", "geometry")
    default_pointmap = "simulated"
    # One scene outdoors and one indoors, and their samples: what five minutes hold.
    default_scenes = ("courtyard", "room", *(f"{stage}-{view}" for stage in ("courtyard", "room") for view in SAMPLE_VIEWS))

    def scenes(self, root: Path | None, track: Track) -> Sequence[str]:
        if track == "probe":
            return list(SOLIDS)
        return [f"{stage}-{view}" for stage in SOLIDS for view in SAMPLE_VIEWS]

    def load_scene(self, root: Path | None, name: str) -> MultiViewScene:
        if name not in SOLIDS:
            raise UserError(f"procedural: there is no scene {name!r}; there are {', '.join(SOLIDS)}")
        views = [_view(name, view) for view in (*TRAIN_VIEWS, *TEST_VIEWS)]
        return MultiViewScene("procedural", name, tuple(views[:3]), tuple(views[3:]), unit="metre")

    def load_sample(self, root: Path | None, name: str) -> MonocularSample:
        stage, _, view_name = name.partition("-")
        if name not in self.scenes(root, "geometry"):
            raise UserError(f"procedural: there is no sample {name!r}; there are {', '.join(self.scenes(root, 'geometry'))}")
        view = _view(stage, view_name)
        assert view.camera is not None
        assert view.depth is not None
        renderer = _renderer(stage)
        labels = {number: solid.label for number, solid in enumerate(renderer.stage.solids, start=1)}
        size = np.array([[view.camera.width], [view.camera.height], [1.0]])
        return MonocularSample(
            dataset="procedural",
            name=name,
            image=view.image,
            depth=view.depth,
            intrinsics=view.camera.intrinsics / size,
            segmentation=renderer.segmentation(view.camera),
            labels=labels,
            metric=True,
            sharp_boundaries=True,
        )

    def fingerprint(self, root: Path | None, name: str, track: Track) -> str:
        return hashlib.sha256(f"procedural {GENERATOR_VERSION} {track} {name}".encode()).hexdigest()


@functools.lru_cache(maxsize=len(SOLIDS))
def _renderer(stage: str) -> StageRenderer:
    return StageRenderer(built_stage(stage))


def _camera(stage: Stage, view: str) -> Camera:
    poses = dict(zip((*TRAIN_VIEWS, *TEST_VIEWS), (*stage.train, *stage.test), strict=True))
    return look_at(*poses[view], stage.fov_x)


@functools.lru_cache(maxsize=64)
def _rendered(stage: str, view: str) -> View:
    """A view, from the user's cache where it was rendered before: each model of a run has a process of its own."""
    path = cache_root() / "procedural" / _code()[:16] / f"{stage}-{view}.npz"
    held = _read(path, view)
    if held is None:
        renderer = _renderer(stage)
        held = renderer.view(view, _camera(renderer.stage, view))
        with contextlib.suppress(UserError):  # a cache that cannot be written to costs time alone
            write_atomically(path, functools.partial(_write, held))
    return held


@functools.cache
def _code() -> str:
    """What decides a rendered pixel."""
    versions = [version(package) for package in ("numpy", "open3d")]
    return hashlib.sha256(f"{GENERATOR_VERSION} {source_digest(Procedural)} {versions}".encode()).hexdigest()


def _write(view: View, path: Path) -> None:
    assert view.camera is not None
    assert view.depth is not None
    assert view.normal is not None
    np.savez(
        path,
        image=view.image,
        depth=view.depth,
        normal=view.normal,
        intrinsics=view.camera.intrinsics,
        world_to_camera=view.camera.world_to_camera,
    )


def _read(path: Path, name: str) -> View | None:
    try:
        with np.load(path, allow_pickle=False) as held:
            image = held["image"]
            camera = Camera(held["intrinsics"], held["world_to_camera"], image.shape[1], image.shape[0])
            return View(name, image, camera, held["depth"], held["normal"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def _view(stage: str, view: str) -> View:
    """A view of its own arrays, so that a caller that writes into them does not alter the cached one."""
    kept = _rendered(stage, view)
    assert kept.depth is not None
    assert kept.normal is not None
    return replace(kept, image=kept.image.copy(), depth=kept.depth.copy(), normal=kept.normal.copy())
