from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scene_writers import ring, write_photo

from bench.types import UserError, View
from registry.datasets.rgbd import RGBD


def make(root: Path) -> None:
    frames = root / "rgbd" / "toy" / "rgbd-frames"
    for number, image in enumerate(ring(4)):
        write_photo(frames / f"frame-{number:06d}.color.png", 64, 48, seed=number)
        depth = np.full((48, 64), 1500 + number, np.uint16)
        depth[0], depth[1] = 0, 65535
        Image.fromarray(depth).save(frames / f"frame-{number:06d}.depth.png")
        np.savetxt(frames / f"frame-{number:06d}.pose.txt", np.linalg.inv(image.pose))
    np.savetxt(root / "rgbd/toy/camera-intrinsics.txt", [[60, 0, 32], [0, 61, 24], [0, 0, 1]])


def test_frames_have_metric_depth_and_poses(tmp_path: Path) -> None:
    make(tmp_path)
    assert RGBD().scenes(tmp_path, "probe") == ["toy"]
    scene = RGBD().load_scene(tmp_path, "toy")
    assert scene.unit == "metre"
    for view in scene.views:
        number = int(view.name[-6:])
        assert view.camera is not None
        assert view.depth is not None
        np.testing.assert_allclose(view.camera.world_to_camera, ring(4)[number].pose, atol=1e-9)
        assert np.isnan(view.depth[:2]).all()
        np.testing.assert_allclose(view.depth[2:], (1500 + number) / 1000)


def test_faults_are_named(tmp_path: Path) -> None:
    make(tmp_path)
    frames = tmp_path / "rgbd/toy/rgbd-frames"
    for change, reason in (
        (lambda: Image.new("RGB", (64, 48)).save(frames / "frame-000000.depth.png"), r"depth\.png: .*16 bits"),
        (lambda: Image.new("I;16", (64, 48)).save(frames / "frame-000000.depth.png"), "holds no measurement"),
        (lambda: Image.new("I;16", (48, 64), 9).save(frames / "frame-000000.depth.png"), "of other proportions"),
        (lambda: np.savetxt(frames / "frame-000000.pose.txt", np.full((4, 4), -np.inf)), "not finite"),
        (lambda: np.savetxt(frames / "frame-000000.pose.txt", np.diag([-1, 1, 1, 1])), "reflection"),
        (lambda: (frames / "frame-000000.pose.txt").write_text("1 2 3"), r"pose\.txt: must hold a 4x4 matrix"),
        (lambda: (frames / "frame-000000.pose.txt").unlink(), "is missing beside"),
    ):
        change()
        scene = RGBD().load_scene(tmp_path, "toy")
        assert {view.name for view in scene.views} == {f"frame-00000{number}" for number in (1, 2, 3)}
        assert scene.source is not None
        assert list(scene.source.left_out) == ["frame-000000.color.png"]
        assert re.search(reason, scene.source.left_out["frame-000000.color.png"])
    np.savetxt(tmp_path / "rgbd/toy/camera-intrinsics.txt", [[0.9, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]])
    with pytest.raises(UserError, match=r"camera-intrinsics\.txt: the focal length 0.9, 1.2 does not fit 64x48 pixels"):
        RGBD().load_scene(tmp_path, "toy")


def warped_error(source: View, target: View) -> np.ndarray:
    """Relative difference of the source's depth, seen from the target, to the target's own."""
    assert source.camera is not None
    assert target.camera is not None
    assert source.depth is not None
    assert target.depth is not None
    points = source.camera.unproject(source.depth)
    pixels, depth = target.camera.project(points[np.isfinite(points).all(axis=-1)])
    inside = (depth > 0) & (pixels >= 0).all(axis=1) & (pixels < (target.camera.width, target.camera.height)).all(axis=1)
    columns, rows = pixels[inside].astype(int).T
    error: np.ndarray = np.abs(target.depth[rows, columns] / depth[inside] - 1)
    return error[np.isfinite(error)]


def test_the_real_frames_agree_with_one_another(shared_data: Path) -> None:
    scene = RGBD().load_scene(shared_data, "rgbd_7scenes_kitchen")
    assert scene.train[0].image.shape == (480, 640, 3)
    for first, second in zip(scene.views[:-1], scene.views[1:], strict=True):
        assert np.median(warped_error(first, second)) < 0.01
