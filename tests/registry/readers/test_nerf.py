from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scene_writers import Posed, ring, write_photo

from bench.types import UserError
from registry.datasets.nerf import NeRF


def opengl(pose: np.ndarray) -> list[list[float]]:
    """Camera-to-world with x right, y up, z backwards."""
    result: list[list[float]] = (np.linalg.inv(pose) @ np.diag([1.0, -1, -1, 1])).tolist()
    return result


def make(root: Path, fields: dict[str, Any], stem: bool = False, mode: str = "RGB") -> list[Posed]:
    scene, images = root / "nerf" / "toy", ring(5)
    frames = []
    for number, image in enumerate(images):
        write_photo(scene / "images" / image.name, 64, 48, seed=number, mode=mode)
        name = image.name.removesuffix(".png") if stem else image.name
        frames.append({"file_path": f"./images/{name}", "transform_matrix": opengl(image.pose)})
    (scene / "transforms.json").write_text(json.dumps({**fields, "frames": frames}))
    return images


@pytest.mark.parametrize(
    ("fields", "stem", "intrinsics"),
    [
        ({"camera_angle_x": 2 * np.arctan(32 / 50)}, True, [[50, 0, 32], [0, 50, 24], [0, 0, 1]]),
        ({"fl_x": 51, "fl_y": 52, "cx": 30, "cy": 26, "w": 64, "h": 48}, False, [[51, 0, 30], [0, 52, 26], [0, 0, 1]]),
        ({"fl_x": 102, "cx": 60, "cy": 52, "w": 128, "h": 96}, False, [[51, 0, 30], [0, 51, 26], [0, 0, 1]]),
    ],
)
def test_cameras(tmp_path: Path, fields: dict[str, Any], stem: bool, intrinsics: list[list[float]]) -> None:
    images = make(tmp_path, fields, stem)
    scene = NeRF().load_scene(tmp_path, "toy")
    poses = {Path(image.name).stem: image.pose for image in images}
    for view in scene.views:
        assert view.camera is not None
        np.testing.assert_allclose(view.camera.world_to_camera, poses[view.name], atol=1e-9)
        np.testing.assert_allclose(view.camera.intrinsics, intrinsics, rtol=1e-9)


def test_distortion_is_undone_and_not_ignored(tmp_path: Path) -> None:
    plain, bent = {"fl_x": 51, "w": 64, "h": 48}, {"fl_x": 51, "w": 64, "h": 48, "k1": -0.2, "p1": 0.01}
    make(tmp_path, plain)
    before = NeRF().load_scene(tmp_path, "toy").train[0]
    make(tmp_path, bent)
    after = NeRF().load_scene(tmp_path, "toy").train[0]
    assert np.abs(after.image.astype(int) - before.image).max() > 10
    assert before.camera is not None
    assert after.camera is not None
    # A world point lands where the lens's own equation puts it in the photo, whose colour the undistorted photo shows there.
    point = before.camera.unproject(np.full((48, 64), 4.0))[10, 12]
    pixel, _ = after.camera.project(point)
    x, y = (pixel - [after.camera.intrinsics[0, 2], after.camera.intrinsics[1, 2]]) / after.camera.intrinsics[0, 0]
    r2 = x * x + y * y
    source = 51 * np.array([x * (1 - 0.2 * r2) + 0.02 * x * y, y * (1 - 0.2 * r2) + 0.01 * (r2 + 2 * y * y)]) + [32, 24]
    column, row = np.floor(source).astype(int)
    at_column, at_row = np.floor(pixel).astype(int)
    np.testing.assert_allclose(after.image[at_row, at_column], before.image[row, column], atol=16)


def test_the_test_half_is_held_out_and_alpha_becomes_black_and_a_mask(tmp_path: Path) -> None:
    scene = tmp_path / "nerf" / "toy"
    images = ring(6)
    for half, chosen in (("train", images[:4]), ("test", images[4:])):
        frames = []
        for number, image in enumerate(chosen):
            pixels = write_photo(scene / half / f"r_{number}.png", 64, 48, seed=number, mode="RGBA")
            frames.append({"file_path": f"./{half}/r_{number}", "transform_matrix": opengl(image.pose)})
        (scene / f"transforms_{half}.json").write_text(json.dumps({"camera_angle_x": 0.9, "frames": frames}))
    loaded = NeRF().load_scene(tmp_path, "toy")
    assert {view.name for view in loaded.train} <= {f"train-r_{n}" for n in range(4)}
    assert {view.name for view in loaded.test} == {"test-r_0", "test-r_1"}
    view = next(view for view in loaded.test if view.name == "test-r_1")
    assert view.mask is not None
    np.testing.assert_array_equal(view.mask, pixels[..., 3] > 127)
    np.testing.assert_allclose(view.image, pixels[..., :3] * (pixels[..., 3:] / 255.0), atol=0.51)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"camera_model": "EQUIRECTANGULAR", "fl_x": 50}, "EQUIRECTANGULAR is not supported"),
        ({"fl_x": 50, "k4": 0.1}, "k4 = 0.1 is no coefficient of the camera model OPENCV"),
        ({}, "neither fl_x nor camera_angle_x"),
        ({"fl_x": -3}, "must be positive"),
        ({"fl_x": 50, "w": 64, "h": 64}, "of other proportions"),
        ({"fl_x": "wide"}, "fl_x must be a finite number, not 'wide'"),
        ({"fl_x": 50, "cx": None, "cy": 24}, "cx must be a finite number, not None"),
        ({"fl_x": 50, "cx": 30}, "cx and cy belong together"),
        ({"fl_x": 50, "w": 128}, "w and h belong together; only w .*, and the photo is 64x48"),
        ({"fl_x": 0.8, "fl_y": 1.1, "cx": 0.5, "cy": 0.5}, "focal length 0.8, 1.1 does not fit 64x48 pixels"),
        ({"fl_x": 50, "cx": 0.5, "cy": 0.5}, r"principal point \(0.5, 0.5\) lies at the edge"),
        ({"fl_x": 50, "fl_y": 1.1}, "do not belong together|does not fit"),
        ({"fl_x": 50, "k1": -3.0}, "cannot be undone"),
        ({"fl_x": 50, "from_mitsuba": True}, "from_mitsuba is not supported"),
        ({"fl_x": 50, "k2": float("nan")}, "k2 must be a finite number, not nan"),
        ({"camera_angle_x": 0}, "between 0 and pi"),
        ({"camera_angle_x": 69}, "between 0 and pi, in radians, not 69"),
    ],
)
def test_unusable_calibrations_are_refused(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    make(tmp_path, fields)
    with pytest.raises(UserError, match=message):
        NeRF().load_scene(tmp_path, "toy")


def left_out(root: Path) -> Mapping[str, str]:
    """Frame -> why it is not used, of a scene that runs with the others."""
    scene = NeRF().load_scene(root, "toy")
    poses = {Path(image.name).stem: image.pose for image in ring(5)}
    for view in scene.views:
        assert view.camera is not None
        np.testing.assert_allclose(view.camera.world_to_camera, poses[view.name], atol=1e-9)
    assert scene.source is not None
    return scene.source.left_out


def mirrored(frame: dict[str, Any]) -> None:
    frame["transform_matrix"] = (np.array(frame["transform_matrix"]) @ np.diag([-1.0, 1, 1, 1])).tolist()


@pytest.mark.parametrize(
    ("change", "name", "reason"),
    [
        (lambda frame: frame.pop("transform_matrix"), "images/p01.png", "lacks transform_matrix"),
        (lambda frame: frame.pop("file_path"), "frame 1", "lacks file_path"),
        (lambda frame: frame.update(file_path="../../other.png"), "../../other.png", "does not exist"),
        (lambda frame: frame.update(mask_path="../../other.png"), "images/p01.png", "mask_path .* in the scene's folder"),
        (lambda frame: frame.update(depth_file_path="/etc/hostname"), "images/p01.png", "depth_file_path .* scene's folder"),
        (lambda frame: frame.update(transform_matrix=[[1, 2], [3]]), "images/p01.png", "no 4x4 matrix of numbers"),
        (lambda frame: frame["transform_matrix"][0].__setitem__(3, float("nan")), "images/p01.png", "not finite"),
        (mirrored, "images/p01.png", r"reflection.*determinant -1"),
        (lambda frame: frame["transform_matrix"].pop(), "", ""),  # 3x4 is whole
        (lambda frame: frame["transform_matrix"].reverse(), "images/p01.png", "last row"),
        (
            lambda frame: frame.update(mask_path="masks/p01.png"),
            "images/p01.png",
            "mask_path masks/p01.png does not exist",
        ),
        (lambda frame: frame.update(fl_x="wide"), "images/p01.png", "fl_x must be a finite number, not 'wide'"),
    ],
)
def test_one_unusable_frame_is_left_out_and_named(tmp_path: Path, change: Any, name: str, reason: str) -> None:
    make(tmp_path, {"fl_x": 50})
    write_photo(tmp_path / "other.png", 64, 48)
    path = tmp_path / "nerf/toy/transforms.json"
    content = json.loads(path.read_text())
    change(content["frames"][1])
    path.write_text(json.dumps(content))
    found = left_out(tmp_path)
    assert list(found) == ([name] if name else [])
    if name:
        assert re.search(reason, found[name])


def test_faults_of_the_file_are_named(tmp_path: Path) -> None:
    make(tmp_path, {"fl_x": 50})
    path = tmp_path / "nerf/toy/transforms.json"
    content = json.loads(path.read_text())
    content["frames"][0]["transform_matrix"][0][0] += 0.5
    path.write_text(json.dumps(content))
    assert "is not a rotation" in left_out(tmp_path)["images/p00.png"]
    (tmp_path / "nerf/toy/images/p03.png").unlink()
    content["frames"][0]["transform_matrix"][0][0] -= 0.5
    path.write_text(json.dumps(content))
    assert left_out(tmp_path).keys() == {"images/p03.png"}
    assert "the photo of the frame does not exist" in left_out(tmp_path)["images/p03.png"]
    path.write_text("{")
    with pytest.raises(UserError, match="not a transforms file"):
        NeRF().load_scene(tmp_path, "toy")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: [1, 2], "list of objects, `frames`"),
        (lambda content: {**content, "frames": {"a": 1}}, "list of objects, `frames`"),
        (lambda content: {**content, "frames": [*content["frames"], 3]}, "list of objects, `frames`"),
    ],
)
def test_faults_of_the_list_of_frames_are_named(tmp_path: Path, change: Any, message: str) -> None:
    make(tmp_path, {"fl_x": 50})
    path = tmp_path / "nerf/toy/transforms.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(UserError, match=rf"transforms\.json: .*{message}"):
        NeRF().load_scene(tmp_path, "toy")
