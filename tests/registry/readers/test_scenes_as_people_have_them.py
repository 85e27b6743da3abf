"""What real folders look like: renamed photos, subfolders, several models, scales in poses, half a calibration."""

from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import generated_scene as truth
import numpy as np
import pytest
from scene_writers import Posed, write_colmap_binary, write_colmap_text, write_photo

from bench.registry import datasets
from bench.types import MultiViewScene, UserError
from registry.datasets.colmap import Colmap
from registry.datasets.nerf import NeRF
from registry.datasets.reading.lens import Lens, colmap_lens, undistorted, undistorted_depth
from registry.datasets.rgbd import RGBD

PINHOLE = [("PINHOLE", truth.WIDTH, truth.HEIGHT, truth.LENS)]


def colmap_scene(root: Path, names: list[str], files: list[str], model: str = "sparse/0", chosen: int = truth.COUNT) -> Path:
    """A model that names photos, and photos that may be called otherwise."""
    folder = root / "colmap/s"
    for number, file in enumerate(files):
        write_photo(folder / "images" / file, truth.WIDTH, truth.HEIGHT, seed=number)
    images = [Posed(name, pose) for name, pose in zip(names, truth.POSES, strict=True)][:chosen]
    tracks = [[number for number in track if number <= chosen] for track in truth.TRACKS]
    write_colmap_binary(folder / model, PINHOLE, images, truth.POINTS, tracks)  # type: ignore[arg-type]
    return folder


def check_pairs(scene: MultiViewScene) -> None:
    """Each view's photo and camera belong together: the generated photo says whose camera it is."""
    for view in scene.views:
        (number,) = (n for n in range(truth.COUNT) if np.array_equal(view.image, truth.photo(n)))
        assert view.camera is not None
        np.testing.assert_allclose(view.camera.world_to_camera, truth.POSES[number], atol=1e-9)


def source_of(scene: MultiViewScene) -> Any:
    assert scene.source is not None
    return scene.source


# ------------------------------------------------------------------------------------------------------------------ pairing


def test_renamed_photos_are_never_paired_by_their_order(tmp_path: Path) -> None:
    colmap_scene(tmp_path, [f"{n + 1}.jpg" for n in range(6)], [f"frame_{n + 1:05d}.png" for n in range(6)])
    with pytest.raises(UserError, match=r"images\.bin: none of its 6 images has a photo.*never paired by their order"):
        Colmap().load_scene(tmp_path, "s")


ACCENTED = [unicodedata.normalize("NFD", f"é{n}.png") for n in range(6)]


@pytest.mark.parametrize(
    ("names", "files"),
    [
        ([f"cam{n // 3}/000{n % 3}.png" for n in range(6)], [f"cam{n // 3}/000{n % 3}.png" for n in range(6)]),
        ([f"cam{n // 3}\\000{n % 3}.png" for n in range(6)], [f"cam{n // 3}/000{n % 3}.png" for n in range(6)]),
        ([f"/home/me/set/images/p{n}.JPG" for n in range(6)], [f"p{n}.png" for n in range(6)]),
        ([f"./images/p{n}.png" for n in range(6)], [f"p{n}.png" for n in range(6)]),
        ([f"é{n}.png" for n in range(6)], ACCENTED),
        ([f"{n} a.png" for n in range(6)], [f"{n} a.png" for n in range(6)]),
    ],
    ids=["subfolders", "backslashes", "another machine", "from the scene", "Unicode", "spaces"],
)
def test_photos_are_found_by_the_names_that_the_model_gives(tmp_path: Path, names: list[str], files: list[str]) -> None:
    colmap_scene(tmp_path, names, files)
    scene = Colmap().load_scene(tmp_path, "s")
    assert source_of(scene).photos == 6
    check_pairs(scene)
    if "cam0" in names[0]:
        assert {view.name for view in scene.views} == {f"cam{n // 3}-000{n % 3}" for n in range(6)}


def test_a_photo_that_several_images_fit_belongs_to_none(tmp_path: Path) -> None:
    names = ["a/p0.png", "b/p0.png", *(f"p{n}.png" for n in range(2, 6))]
    colmap_scene(tmp_path, names, ["p0.png", "p1.png", *(f"p{n}.png" for n in range(2, 6))])
    scene = Colmap().load_scene(tmp_path, "s")
    check_pairs(scene)
    assert set(source_of(scene).left_out) == {"a/p0.png", "b/p0.png"}


def test_of_several_models_the_one_with_most_photos_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    names = [f"p{n}.png" for n in range(6)]
    colmap_scene(tmp_path, names, names, chosen=2)
    colmap_scene(tmp_path, names, names, model="sparse/1")
    scene = Colmap().load_scene(tmp_path, "s")
    check_pairs(scene)
    assert source_of(scene).format == "COLMAP (binary, sparse/1)"
    assert source_of(scene).unused == ("sparse/0 (2 of 2 images with a photo)",)


def test_files_that_macos_leaves_are_no_frames(tmp_path: Path) -> None:
    folder = truth.write(truth.FORMATS["RGB-D"], tmp_path)
    for path in list(folder.iterdir()):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    scene = RGBD().load_scene(tmp_path, "s")
    assert source_of(scene).photos == 6
    assert not source_of(scene).left_out


# ------------------------------------------------------------------------------------------------------------------- points


def test_bad_points_are_told_when_a_scene_is_planned_not_inside_a_cell(tmp_path: Path) -> None:
    folder = truth.write(truth.FORMATS["COLMAP text"], tmp_path)
    path = folder / "sparse/0/points3D.txt"
    path.write_text(path.read_text().replace(" 10 20 30 ", " 10 20 300 ", 1))
    with pytest.raises(UserError, match=r"points3D\.txt: .*the colour \(10, 20, 300\), not three numbers from 0 to 255"):
        Colmap().fingerprint(tmp_path, "s", "probe")


def test_a_cloud_beside_the_model_stands_in_for_its_points(tmp_path: Path) -> None:
    folder = truth.write(truth.FORMATS["COLMAP binary"], tmp_path)
    (folder / "sparse/0/points3D.bin").unlink()
    truth.write_cloud(folder / "sparse/0/points3D.ply")
    scene = Colmap().load_scene(tmp_path, "s")
    assert scene.sparse is not None
    np.testing.assert_allclose(scene.sparse.points, truth.POINTS)
    np.testing.assert_array_equal(scene.sparse.colours, [[90, 100, 110]] * len(truth.POINTS))
    assert not scene.sparse.visible  # without tracks, points are projected
    assert Colmap().pointmap_of(tmp_path, "s") == "sparse"


def test_a_view_that_no_track_names_is_left_to_projection(tmp_path: Path) -> None:
    names = [f"p{n}.png" for n in range(6)]
    folder = colmap_scene(tmp_path, names, names)
    images = [Posed(name, pose) for name, pose in zip(names, truth.POSES, strict=True)]
    write_colmap_binary(folder / "sparse/0", PINHOLE, images, truth.POINTS, [[1, 2, 3, 4, 5]] * 40)  # type: ignore[arg-type]
    scene = Colmap().load_scene(tmp_path, "s")
    assert scene.sparse is not None
    assert "p5" in {view.name for view in scene.views}
    assert set(scene.sparse.visible) == {view.name for view in scene.views} - {"p5"}


# ------------------------------------------------------------------------------------------------------ poses, calibrations


@pytest.mark.parametrize("scale", [0.01, 2.5])
def test_a_scale_of_the_cameras_axes_does_not_move_them(tmp_path: Path, scale: float) -> None:
    folder = truth.write(truth.FORMATS["instant-ngp"], tmp_path)
    path = folder / "transforms.json"
    content = json.loads(path.read_text())
    for frame in content["frames"]:
        frame["transform_matrix"] = (np.array(frame["transform_matrix"]) @ np.diag([scale] * 3 + [1])).tolist()
    path.write_text(json.dumps(content))
    scene = NeRF().load_scene(tmp_path, "s")
    assert truth.reprojection_error(truth.FORMATS["instant-ngp"], scene) < 1e-6


ANGLE_Y = 2 * np.arctan(truth.HEIGHT / 2 / 44.0)


@pytest.mark.parametrize(
    ("fields", "overruled"),
    [
        ({"fl_y": 44}, ()),
        ({"camera_angle_y": ANGLE_Y}, ()),
        ({"y_fov": np.degrees(ANGLE_Y)}, ()),
        ({"fl_x": 44, "camera_angle_x": 2.0}, ("camera_angle_x (fl_x is used)",)),
        ({"fl_x": 99, "frame": {"fl_x": 44}}, ("fl_x (frames have fl_x)",)),
        ({"fl_x": 99, "frame": {"camera_angle_y": ANGLE_Y}}, ("fl_x (frames have camera_angle_y)",)),
        ({"fl_x": 88, "w": 2 * truth.WIDTH, "h": 2 * truth.HEIGHT}, ()),
        ({"fl_x": 44, "w": truth.WIDTH}, ()),
    ],
)
def test_half_of_a_pair_and_fields_of_frames_are_honoured(
    tmp_path: Path, fields: dict[str, Any], overruled: tuple[str, ...]
) -> None:
    folder = truth.write(truth.FORMATS["instant-ngp"], tmp_path)
    path = folder / "transforms.json"
    frames = [{**frame, **fields.get("frame", {})} for frame in json.loads(path.read_text())["frames"]]
    shared = {name: value for name, value in fields.items() if name != "frame"}
    path.write_text(json.dumps({**shared, "frames": frames}))
    scene = NeRF().load_scene(tmp_path, "s")
    assert truth.reprojection_error(truth.FORMATS["instant-ngp"], scene) < 1e-6
    assert source_of(scene).unused == ("sharpness", *overruled)


@pytest.mark.parametrize(("turned", "used"), [(1, 5), (2, 4), (3, 0)])
def test_photos_of_several_sizes_are_told_where_the_calibration_names_none(tmp_path: Path, turned: int, used: int) -> None:
    folder = truth.write(truth.FORMATS["Blender"], tmp_path)
    for number in range(turned):
        write_photo(folder / f"train/r_{number}.png", truth.HEIGHT, truth.WIDTH)
    if not used:
        with pytest.raises(UserError, match="the calibration does not say for which size it is"):
            NeRF().load_scene(tmp_path, "s")
        return
    scene = NeRF().load_scene(tmp_path, "s")
    assert source_of(scene).photos == used
    assert truth.reprojection_error(truth.FORMATS["Blender"], scene) < 1e-6


def test_the_tum_cameras_are_known_by_the_sequences_name(tmp_path: Path) -> None:
    folder = truth.write(truth.FORMATS["TUM"], tmp_path)
    (folder / "camera-intrinsics.txt").unlink()
    with pytest.raises(UserError, match="which camera took this TUM sequence"):
        RGBD().load_scene(tmp_path, "s")
    named = folder.with_name("rgbd_dataset_freiburg3_desk")
    shutil.move(folder, named)
    camera = RGBD().load_scene(tmp_path, named.name).train[0].camera
    assert camera is not None
    shrunk = truth.WIDTH / 640
    np.testing.assert_allclose(camera.intrinsics[[0, 1], [0, 1]], [535.4 * shrunk, 539.2 * shrunk], rtol=1e-9)


def test_lists_of_frames_name_no_file_outside_of_their_scene(tmp_path: Path) -> None:
    folder = truth.write(truth.FORMATS["TUM"], tmp_path)
    rows = (folder / "rgb.txt").read_text().splitlines()
    time, name = rows[-1].split()
    shutil.copy(folder / name, tmp_path / "other.png")
    for outside in ("../../other.png", str(tmp_path / "other.png")):
        (folder / "rgb.txt").write_text("\n".join([*rows[:-1], f"{time} {outside}"]))
        with pytest.raises(UserError, match=r"rgb\.txt: .* lies outside of the scene's folder"):
            RGBD().load_scene(tmp_path, "s")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_text_files_are_read_in_the_encodings_that_people_have(tmp_path: Path, encoding: str) -> None:
    names = [f"café {n}.png" for n in range(6)]
    folder = colmap_scene(tmp_path, names, names)
    shutil.rmtree(folder / "sparse")
    images = [Posed(name, pose) for name, pose in zip(names, truth.POSES, strict=True)]
    write_colmap_text(folder / "sparse/0", PINHOLE, images, truth.POINTS, truth.TRACKS)  # type: ignore[arg-type]
    for path in (folder / "sparse/0").iterdir():
        path.write_bytes(path.read_text(encoding="utf-8").replace("\n", "\r\n").encode(encoding))
    check_pairs(Colmap().load_scene(tmp_path, "s"))


# ------------------------------------------------------------------------------------------------------------------- lenses


def fisheye(x: np.ndarray, y: np.ndarray, k: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """OpenCV's fisheye model: the angle from the axis becomes a polynomial of itself."""
    radius = np.hypot(x, y)
    angle = np.arctan(radius)
    bent = angle * (1 + sum(value * angle ** (2 * power) for power, value in enumerate(k, start=1)))
    share = np.where(radius > 0, bent / np.maximum(radius, 1e-12), 1.0)
    return x * share, y * share


def test_a_fisheye_sees_where_its_own_equation_says() -> None:
    pytest.importorskip("pycolmap")
    k = (0.08, -0.02, 0.004, -0.001)
    lens = colmap_lens("OPENCV_FISHEYE", 200, 150, (70.0, 72.0, 98.0, 77.0, *k)).checked()
    x, y = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-0.8, 0.8, 7))
    bent_x, bent_y = fisheye(x, y, k)
    np.testing.assert_allclose(lens.distorted(x, y), (70 * bent_x + 98, 72 * bent_y + 77), atol=1e-9)


@pytest.mark.parametrize(
    ("model", "extra"),
    [
        ("OPENCV_FISHEYE", (0.05, -0.01, 0.002, 0.0)),
        ("FULL_OPENCV", (0.4, -0.02, 0.001, 0.002, 0.005, 0.05, 0.0, 0.0)),
        ("FOV", (0.9,)),
        ("SIMPLE_RADIAL_FISHEYE", (0.03,)),
        ("RADIAL_FISHEYE", (0.03, -0.01)),
        ("THIN_PRISM_FISHEYE", (0.03, 0.0, 0.001, 0.001, 0.0, 0.0, 0.001, 0.0)),
        ("SIMPLE_DIVISION", (-0.2,)),
        ("DIVISION", (-0.2,)),
        ("EUCM", (0.5, 1.1)),
    ],
)
def test_every_lens_of_colmap_is_undone(model: str, extra: tuple[float, ...]) -> None:
    """A photo of a picture that is known in every direction, taken by COLMAP's inverse of the lens."""
    pycolmap = pytest.importorskip("pycolmap")
    one = model in ("SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "SIMPLE_DIVISION")
    parameters = (150.0, *(() if one else (152.0,)), 78.0, 61.0, *extra)
    camera = pycolmap.Camera(model=model, width=160, height=120, params=parameters)
    columns, rows = np.meshgrid(np.arange(160) + 0.5, np.arange(120) + 0.5)
    rays = camera.cam_from_img(np.stack([columns.ravel(), rows.ravel()], axis=1))
    photo = pattern(rays[:, 0], rays[:, 1]).reshape(120, 160, 3)
    image, lens = undistorted(photo, colmap_lens(model, 160, 120, parameters).checked())
    x, y = (columns - lens.cx) / lens.fx, (rows - lens.cy) / lens.fy
    assert not lens.distorts
    assert np.abs(image.astype(float) - pattern(x, y)).max() < 6
    assert np.abs(photo.astype(float) - pattern(x, y)).max() > 12  # not undone, it would show


def pattern(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    layers = 127 + 100 * np.sin(7 * x + 3 * y), 127 + 100 * np.cos(5 * y - 2 * x), 127 + 60 * np.sin(9 * x * y)
    return np.rint(np.stack(layers, axis=-1)).astype(np.uint8)


def test_depth_follows_its_photo_through_the_lens() -> None:
    lens = Lens(80, 60, 70.0, 70.0, 40.0, 30.0, k1=-0.2)
    rows, columns = np.mgrid[:60, :80]
    depth = (100.0 * rows + columns).astype(np.float32)
    _, pinhole = undistorted(np.zeros((60, 80, 3), np.uint8), lens)
    found = undistorted_depth(depth, lens)
    for row, column in ((3, 5), (30, 40), (55, 70)):
        ray = (column + 0.5 - pinhole.cx) / pinhole.fx, (row + 0.5 - pinhole.cy) / pinhole.fy
        x, y = lens.distorted(np.array(ray[0]), np.array(ray[1]))
        assert found[row, column] == 100 * int(y) + int(x)


def test_models_of_the_present_colmap_with_rigs_are_read(tmp_path: Path) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig, options.num_points3D = 2, 2, 3, 30
    model = pycolmap.synthesize_dataset(options)
    images = {image.name: image for image in model.images.values()}
    for kind in ("binary", "text"):
        folder = tmp_path / kind / "colmap/s"
        (folder / "sparse/0").mkdir(parents=True)
        getattr(model, f"write_{kind}")(folder / "sparse/0")
        for name, image in images.items():
            camera = model.cameras[image.camera_id]
            write_photo(folder / "images" / name, camera.width // 16, camera.height // 16)
        photo_set, _ = Colmap()._prepare(tmp_path / kind, "s")
        assert len(photo_set.photos) == len(images) == 12
        assert any(name.startswith("rigs") for name in photo_set.unused)
        for photo in photo_set.photos:
            name = photo.path.relative_to(folder / "images").as_posix()
            assert photo.world_to_camera is not None
            np.testing.assert_allclose(photo.world_to_camera[:3], images[name].cam_from_world().matrix(), atol=1e-12)


def test_the_initialiser_follows_from_what_a_scene_has(tmp_path: Path) -> None:
    for name, expected in (("nerfstudio", "sparse"), ("MVSNet", "noisy-ground-truth"), ("RGB-D", "ground-truth")):
        form = truth.FORMATS[name]
        truth.write(form, tmp_path / name)
        assert datasets[form.dataset]().pointmap_of(tmp_path / name, "s") == expected
