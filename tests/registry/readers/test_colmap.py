from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from scene_writers import Lens, Posed, ring, write_colmap_binary, write_colmap_text, write_photo

from bench.types import UserError
from registry.datasets.colmap import Colmap
from registry.datasets.reading.lens import Lens as Calibration
from registry.datasets.reading.lens import undistorted

PINHOLE: Lens = ("PINHOLE", 64, 48, (60.0, 61.0, 31.0, 25.0))
POINTS = np.array([[0.0, 0, 0], [0.3, 0.1, 0.2], [-0.2, 0.3, -0.1], [0.5, -0.1, 0.1]])
TRACKS = [[1, 2, 3, 4, 5], [1, 2], [3, 4], [2, 5]]


def make(
    root: Path,
    kind: str = "binary",
    lenses: list[Lens] | None = None,
    place: str = "sparse/0",
    size: tuple[int, int] = (64, 48),
) -> list[Posed]:
    scene, images = root / "colmap" / "toy", ring(5)
    for number, image in enumerate(images):
        write_photo(scene / "images" / image.name, *size, seed=number)
    lenses = lenses or [PINHOLE]
    if kind == "binary":
        write_colmap_binary(scene / place, lenses, images, POINTS, TRACKS)
    else:
        write_colmap_text(scene / place, lenses, images, POINTS, TRACKS, kind)
    return images


@pytest.mark.parametrize("kind", ["binary", "points", "empty", "none"])
@pytest.mark.parametrize("place", ["sparse/0", "sparse"])
def test_binary_and_text_models_give_the_written_cameras_points_and_tracks(tmp_path: Path, kind: str, place: str) -> None:
    images = make(tmp_path, kind, place=place)
    scene = Colmap().load_scene(tmp_path, "toy")
    assert Colmap().scenes(tmp_path, "probe") == ["toy"]
    assert len(scene.train) == 4
    assert len(scene.test) == 1
    poses = {Path(image.name).stem: image.pose for image in images}
    for view in scene.views:
        assert view.camera is not None
        np.testing.assert_allclose(view.camera.world_to_camera, poses[view.name], atol=1e-12)
        np.testing.assert_array_equal(view.camera.intrinsics, [[60, 0, 31], [0, 61, 25], [0, 0, 1]])
    assert scene.sparse is not None
    np.testing.assert_allclose(scene.sparse.points, POINTS)
    np.testing.assert_array_equal(scene.sparse.colours, [[10, 20, 30]] * 4)
    seen = {f"p{i - 1:02d}": [p for p, track in enumerate(TRACKS) if i in track] for i in range(1, 6)}
    assert {name: list(points) for name, points in scene.sparse.visible.items()} == seen


def test_photos_smaller_than_the_calibration_scale_the_intrinsics(tmp_path: Path) -> None:
    make(tmp_path, lenses=[("PINHOLE", 256, 192, (240.0, 244.0, 124.0, 100.0))])
    camera = Colmap().load_scene(tmp_path, "toy").train[0].camera
    assert camera is not None
    np.testing.assert_allclose(camera.intrinsics, [[60, 0, 31], [0, 61, 25], [0, 0, 1]])


def pattern(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A picture as a function of the viewing ray (x, y, 1)."""
    return np.stack([127 + 100 * np.sin(7 * x + 3 * y), 127 + 100 * np.cos(5 * y - 2 * x), 127 + 60 * np.sin(9 * x * y)], -1)


def distorted_pattern(model: str, parameters: tuple[float, ...], width: int, height: int) -> np.ndarray:
    """The photo that a distorting lens takes of `pattern`: each ray by fixed-point iteration of the model."""
    fx, fy = (parameters[0], parameters[0]) if model != "OPENCV" else parameters[:2]
    cx, cy, *k = parameters[1:] if model != "OPENCV" else parameters[2:]
    k1, k2, p1, p2 = (*k, *[0.0] * (4 - len(k)))
    u, v = np.meshgrid((np.arange(width) + 0.5 - cx) / fx, (np.arange(height) + 0.5 - cy) / fy)
    x, y = u.copy(), v.copy()
    for _ in range(60):
        r2 = x**2 + y**2
        radial = 1 + k1 * r2 + k2 * r2**2
        x = (u - 2 * p1 * x * y - p2 * (r2 + 2 * x**2)) / radial
        y = (v - p1 * (r2 + 2 * y**2) - 2 * p2 * x * y) / radial
    return np.rint(pattern(x, y)).astype(np.uint8)


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("SIMPLE_RADIAL", (150.0, 80.0, 58.0, 0.2)),
        ("RADIAL", (150.0, 80.0, 60.0, -0.25, 0.06)),
        ("OPENCV", (150.0, 154.0, 78.0, 60.0, -0.15, 0.02, 0.006, -0.004)),
    ],
)
def test_distortion_is_undone(tmp_path: Path, model: str, parameters: tuple[float, ...]) -> None:
    from PIL import Image

    make(tmp_path, lenses=[(model, 160, 120, parameters)], size=(160, 120))
    photo = distorted_pattern(model, parameters, 160, 120)
    for path in (tmp_path / "colmap/toy/images").iterdir():
        Image.fromarray(photo).save(path)
    view = Colmap().load_scene(tmp_path, "toy").train[0]
    assert view.camera is not None
    k = view.camera.intrinsics
    x, y = np.meshgrid((np.arange(160) + 0.5 - k[0, 2]) / k[0, 0], (np.arange(120) + 0.5 - k[1, 2]) / k[1, 1])
    difference = np.abs(view.image.astype(float) - pattern(x, y))
    assert difference.mean() < 0.8
    assert difference.max() < 6
    # The same comparison without undoing fails clearly: the check can tell.
    assert np.abs(photo.astype(float) - pattern(x, y)).max() > 12


def test_a_lens_without_distortion_leaves_the_photo_alone() -> None:
    image = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
    same, lens = undistorted(image, Calibration(8, 6, 5.0, 5.0, 4.0, 3.0))
    assert same is image
    assert lens.fx == 5


def test_photos_of_different_sizes_are_cut_to_one_with_their_cameras(tmp_path: Path) -> None:
    sizes = [(64, 48), (62, 49), (66, 47), (64, 48), (200, 150)]
    images = make(tmp_path, lenses=[("SIMPLE_PINHOLE", w, h, (w * 0.9, w / 2, h / 2)) for w, h in sizes])
    for image, (width, height) in zip(images, sizes, strict=True):
        write_photo(tmp_path / "colmap/toy/images" / image.name, width, height)
    scene = Colmap().load_scene(tmp_path, "toy")
    assert {view.image.shape for view in scene.views} == {(47, 62, 3)}
    for view in scene.views:
        assert view.camera is not None
        assert (view.camera.width, view.camera.height) == (62, 47)
        # All were centred pinholes of one field of view, so that the origin, looked at by all, stays near the centre.
        pixel, _ = view.camera.project(np.zeros(3))
        np.testing.assert_allclose(pixel, [31, 23.5], atol=0.6)
    shrunk = next(view for view in scene.views if view.name == "p04")
    assert shrunk.camera is not None
    assert shrunk.camera.intrinsics[0, 0] == pytest.approx(0.9 * 200 * 63 / 200, rel=0.02)


def damage(scene: Path, what: str) -> None:
    model = scene / "sparse/0"
    if what == "unknown model":
        write_colmap_binary(model, [("WAVE", 64, 48, (1.0, 1.0, 1.0))], ring(5), POINTS, TRACKS)
    elif what == "other model":
        lenses = [("FOV", 64, 48, (60.0, 60.0, 32.0, 24.0, -1.0))]
        write_colmap_text(model, lenses, ring(5), POINTS, TRACKS)
        for path in model.glob("*.bin"):
            path.unlink()
    elif what == "no images file":
        (model / "images.bin").unlink()
    elif what == "cut short":
        (model / "images.bin").write_bytes((model / "images.bin").read_bytes()[:150])
    elif what == "points cut short":
        (model / "points3D.bin").write_bytes((model / "points3D.bin").read_bytes()[:-3])
    elif what == "missing photo":
        (scene / "images/p02.png").unlink()
    elif what == "corrupt photo":
        (scene / "images/p00.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    elif what == "turned photo":
        write_photo(scene / "images/p00.png", 48, 64)
    elif what == "one photo":
        write_colmap_binary(model, [PINHOLE], ring(5)[:1], POINTS[:1], [[1]])
    elif what == "no photos":
        for path in (scene / "images").iterdir():
            path.unlink()
    elif what == "negative focal":
        write_colmap_binary(model, [("PINHOLE", 64, 48, (-60.0, 60.0, 32.0, 24.0))], ring(5), POINTS, TRACKS)
    elif what == "unknown camera":
        data = bytearray((model / "images.bin").read_bytes())
        struct.pack_into("<i", data, 8 + 60, 9)
        (model / "images.bin").write_bytes(data)
    elif what in ("pose not finite", "no rotation"):
        data = bytearray((model / "images.bin").read_bytes())
        if what == "no rotation":
            struct.pack_into("<4d", data, 8 + 4, 0, 0, 0, 0)
        else:
            struct.pack_into("<d", data, 8 + 4 + 32, float("nan"))
        (model / "images.bin").write_bytes(data)
    elif what == "point not finite":
        points = POINTS.astype(float)
        points[1, 2] = np.inf
        write_colmap_binary(model, [PINHOLE], ring(5), points, TRACKS)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("unknown model", r"cameras\.bin: camera 1 has the unknown model number 77"),
        ("no images file", "images.bin or images.txt is missing"),
        ("cut short", r"images\.bin: not a readable COLMAP file"),
        ("points cut short", r"points3D\.bin: not a readable COLMAP file"),
        ("one photo", "at least 2 photos"),
        ("no photos", r"images\.bin: none of its 5 images has a photo.*it names p00\.png, p01\.png"),
        ("negative focal", "must be positive"),
        ("point not finite", r"points3D\.bin: point number 1 lies at .*inf"),
    ],
)
def test_faults_are_named(tmp_path: Path, what: str, message: str) -> None:
    make(tmp_path)
    damage(tmp_path / "colmap/toy", what)
    assert Colmap().scenes(tmp_path, "probe") == ["toy"]
    with pytest.raises(UserError, match=message):
        Colmap().load_scene(tmp_path, "toy")


@pytest.mark.parametrize(
    ("what", "photo", "reason"),
    [
        ("missing photo", "p02.png", "there is no photo p02.png in images"),
        ("corrupt photo", "p00.png", "not a readable image"),
        ("turned photo", "p00.png", "of other proportions"),
        ("unknown camera", "p00.png", "names camera 9"),
        ("pose not finite", "p00.png", "its pose holds numbers that are not finite"),
        ("no rotation", "p00.png", "its quaternion is of length 0"),
    ],
)
def test_one_unusable_photo_is_left_out_and_named(tmp_path: Path, what: str, photo: str, reason: str) -> None:
    images = make(tmp_path)
    damage(tmp_path / "colmap/toy", what)
    scene = Colmap().load_scene(tmp_path, "toy")
    poses = {Path(image.name).stem: image.pose for image in images}
    assert {view.name for view in scene.views} == set(poses) - {Path(photo).stem}
    for view in scene.views:
        assert view.camera is not None
        np.testing.assert_allclose(view.camera.world_to_camera, poses[view.name], atol=1e-12)
    assert scene.source is not None
    assert list(scene.source.left_out) == [photo]
    assert reason in scene.source.left_out[photo]
    assert scene.source.note.startswith(f"1 of 5 photos left out: {photo} (")


def test_a_line_that_is_neither_image_nor_points_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "points")
    path = tmp_path / "colmap/toy/sparse/0/images.txt"
    path.write_text(path.read_text().replace("12.5 30.25 1", "12.5 30.25", 1))
    with pytest.raises(UserError, match="neither an image nor 2D points"):
        Colmap().load_scene(tmp_path, "toy")


def test_the_real_scene_reprojects_as_colmap_measured(shared_data: Path) -> None:
    """Keypoints of images.bin against the projected points: the fact that the sample's README states."""
    folder = shared_data / "colmap/bartoszek/dense/0/sparse"
    dataset = Colmap()
    assert "bartoszek" in dataset.scenes(shared_data, "probe")
    photo_set, _ = dataset._prepare(shared_data, "bartoszek")
    assert len(photo_set.photos) == 23
    data, at = (folder / "images.bin").read_bytes(), 8
    points = {}
    cloud, place = (folder / "points3D.bin").read_bytes(), 8
    for _ in range(struct.unpack_from("<Q", cloud)[0]):
        number, x, y, z = struct.unpack_from("<Q3d", cloud, place)
        points[number] = (x, y, z)
        place += 51 + 8 * struct.unpack_from("<Q", cloud, place + 43)[0]
    errors = []
    for _ in range(struct.unpack_from("<Q", data)[0]):
        end = data.index(b"\0", at + 64)
        photo = photo_set.by_name[Path(data[at + 64 : end].decode()).stem]
        (count,) = struct.unpack_from("<Q", data, end + 1)
        keys = np.frombuffer(data, np.dtype([("x", "<f8"), ("y", "<f8"), ("p", "<i8")]), count, end + 9)
        keys = keys[keys["p"] >= 0]
        at = end + 9 + 24 * count
        assert photo.lens is not None
        assert photo.world_to_camera is not None
        pixels, _ = photo.lens.camera(photo.world_to_camera).project(np.array([points[p] for p in keys["p"]]))
        errors.append(np.hypot(pixels[:, 0] - keys["x"], pixels[:, 1] - keys["y"]))
    assert np.median(np.concatenate(errors)) == pytest.approx(0.25, abs=0.02)
    scene = dataset.load_scene(shared_data, "bartoszek")
    assert len({view.image.shape for view in scene.views}) == 1
    assert scene.sparse is not None
    assert len(scene.sparse.points) == 1443
    assert dataset.fingerprint(shared_data, "bartoszek", "probe") == dataset.fingerprint(shared_data, "bartoszek", "probe")
