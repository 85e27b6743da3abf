"""One generated scene, written in every format that the readers know: the truth of their tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scene_writers import Array, Posed, quaternion, ring, write_colmap_binary, write_colmap_text, write_photo

from bench.types import MultiViewScene

COUNT, WIDTH, HEIGHT = 6, 48, 36
#: fx, fy, cx, cy; formats that can say less get a centred lens of one focal length.
LENS, CENTRED = (44.0, 45.0, 23.0, 19.0), (44.0, 44.0, WIDTH / 2, HEIGHT / 2)
POSES = [image.pose for image in ring(COUNT)]
POINTS = np.random.default_rng(3).uniform(-0.5, 0.5, (40, 3))
TRACKS = [[1 + (number + step) % COUNT for step in range(4)] for number in range(len(POINTS))]


@dataclass(frozen=True)
class Format:
    """How the generated scene is written in one format.

    Attributes:
        dataset: The registered data set that reads it.
        place: The scene's folder under the data root.
        write: Writes it into that folder.
        names: The views' names, by the number of the camera.
        lens: The cameras' fx, fy, cx, cy.
        depth: Whether the views have depth.
        points: Whether the scene has sparse points.
    """

    dataset: str
    place: str
    write: Callable[[Path], None]
    names: tuple[str, ...]
    lens: tuple[float, float, float, float] = LENS
    depth: bool = False
    points: bool = False


def intrinsics(lens: tuple[float, float, float, float]) -> Array:
    fx, fy, cx, cy = lens
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])


def opengl(pose: Array) -> list[list[float]]:
    """Camera-to-world with x right, y up, z backwards."""
    matrix: list[list[float]] = (np.linalg.inv(pose) @ np.diag([1.0, -1, -1, 1])).tolist()
    return matrix


def depth_of(number: int) -> Array:
    """A made-up depth map in millimetres."""
    return np.full((HEIGHT, WIDTH), 1500 + 10 * number, np.uint16)


def photos(folder: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        write_photo(folder / name, WIDTH, HEIGHT, seed=number)


def mask(path: Path, number: int) -> None:
    """A grey picture: bright is on the object."""
    path.parent.mkdir(exist_ok=True)
    grey = np.random.default_rng(90 + number).integers(0, 255, (5, 6), dtype=np.uint8)
    Image.fromarray(grey).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(path)


def photo(number: int) -> Array:
    """The photo of a camera, as written."""
    small = np.random.default_rng(number).integers(0, 255, (5, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small, "RGB").resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def matrix_text(matrix: Array) -> str:
    return "\n".join(" ".join(f"{value:.17g}" for value in row) for row in matrix) + "\n"


PNG = [f"p{number:02d}.png" for number in range(COUNT)]
STEMS = tuple(Path(name).stem for name in PNG)


def colmap(folder: Path, binary: bool) -> None:
    photos(folder / "images", PNG)
    images = [Posed(name, pose) for name, pose in zip(PNG, POSES, strict=True)]
    lenses = [("PINHOLE", WIDTH, HEIGHT, LENS)]
    write = write_colmap_binary if binary else write_colmap_text
    write(folder / "sparse/0", lenses, images, POINTS, TRACKS)  # type: ignore[operator]


def nerfstudio(folder: Path) -> None:
    photos(folder / "images", PNG)
    (folder / "depth").mkdir()
    frames = []
    for number, (name, pose) in enumerate(zip(PNG, POSES, strict=True)):
        Image.fromarray(depth_of(number)).save(folder / "depth" / name)
        mask(folder / "masks" / name, number)
        paths = {"file_path": f"images/{name}", "mask_path": f"masks/{name}", "depth_file_path": f"depth/{name}"}
        frames.append({**paths, "transform_matrix": opengl(pose)})
    write_cloud(folder / "sparse_pc.ply")
    fx, fy, cx, cy = LENS
    fields = {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "w": WIDTH, "h": HEIGHT, "camera_model": "OPENCV"}
    split = {"train_filenames": [f"images/{n}" for n in PNG[:4]], "test_filenames": [f"images/{n}" for n in PNG[4:]]}
    content = {**fields, **split, "ply_file_path": "sparse_pc.ply", "applied_scale": 1.0, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(content, indent=1))


def instant_ngp(folder: Path) -> None:
    photos(folder / "images", PNG)
    angle = {axis: 2 * np.arctan(side / 2 / CENTRED[0]) for axis, side in (("x", WIDTH), ("y", HEIGHT))}
    frames = [
        {"file_path": f"./images/{stem}", "sharpness": 20.0, "transform_matrix": opengl(pose)}
        for stem, pose in zip(STEMS, POSES, strict=True)
    ]
    fields = {"camera_angle_x": angle["x"], "camera_angle_y": angle["y"], "aabb_scale": 16, "w": WIDTH, "h": HEIGHT}
    (folder / "transforms.json").write_text(json.dumps({**fields, "frames": frames}, indent=1))


def blender(folder: Path) -> None:
    for half, chosen in (("train", range(4)), ("test", range(4, COUNT))):
        frames = []
        for number in chosen:
            write_photo(folder / half / f"r_{number}.png", WIDTH, HEIGHT, seed=number)
            frames.append({"file_path": f"./{half}/r_{number}", "rotation": 0.1, "transform_matrix": opengl(POSES[number])})
        content = {"camera_angle_x": 2 * np.arctan(WIDTH / 2 / CENTRED[0]), "frames": frames}
        (folder / f"transforms_{half}.json").write_text(json.dumps(content, indent=1))


def llff(folder: Path) -> None:
    photos(folder / "images", PNG)
    rows = []
    for pose in POSES:
        right, down, forward, centre = np.linalg.inv(pose)[:3].T
        size = np.array([HEIGHT, WIDTH, CENTRED[0]])
        rows.append(np.concatenate([np.stack([down, right, -forward, centre, size], axis=1).ravel(), [1.0, 9.0]]))
    np.save(folder / "poses_bounds.npy", np.array(rows))


def mvsnet(folder: Path) -> None:
    names = [f"{number:08d}.png" for number in range(COUNT)]
    photos(folder / "images", names)
    for part in ("cams", "depths", "binary_masks"):
        (folder / part).mkdir()
    for number, pose in enumerate(POSES):
        text = f"extrinsic\n{matrix_text(pose)}\nintrinsic\n{matrix_text(intrinsics(LENS))}\n425.0 2.5 192 935\n"
        (folder / "cams" / f"{number:08d}_cam.txt").write_text(text)
        np.save(folder / "depths" / f"{number:08d}.npy", depth_of(number).astype(np.float32))
        Image.new("L", (WIDTH, HEIGHT), 255).save(folder / "binary_masks" / f"{number:08d}.png")


def idr(folder: Path) -> None:
    names = [f"{number:03d}.png" for number in range(COUNT)]
    photos(folder / "image", names)
    matrices = {}
    for number, (name, pose) in enumerate(zip(names, POSES, strict=True)):
        calibration = np.eye(4)
        calibration[:3, :3] = intrinsics(LENS)
        matrices[f"world_mat_{number}"] = 2.5 * calibration @ pose
        matrices[f"world_mat_inv_{number}"] = np.linalg.inv(matrices[f"world_mat_{number}"])
        matrices[f"scale_mat_{number}"] = np.diag([3.0, 3, 3, 1])
        mask(folder / "mask" / name, number)
    np.savez(folder / "cameras_sphere.npz", **matrices)


def strecha(folder: Path) -> None:
    photos(folder / "images", PNG)
    (folder / "gt_dense_cameras").mkdir()
    for name, pose in zip(PNG, POSES, strict=True):
        inverse = np.linalg.inv(pose)
        parts = [matrix_text(intrinsics(LENS)), "0 0 0\n", matrix_text(inverse[:3, :3]), matrix_text(inverse[None, :3, 3])]
        (folder / "gt_dense_cameras" / f"{name}.camera").write_text("".join(parts) + f"{WIDTH} {HEIGHT}\n")


def rgbd(folder: Path) -> None:
    for number, pose in enumerate(POSES):
        write_photo(folder / f"frame-{number:06d}.color.png", WIDTH, HEIGHT, seed=number)
        Image.fromarray(depth_of(number)).save(folder / f"frame-{number:06d}.depth.png")
        (folder / f"frame-{number:06d}.pose.txt").write_text(matrix_text(np.linalg.inv(pose)))
    (folder / "camera-intrinsics.txt").write_text(matrix_text(intrinsics(LENS)))


def tum(folder: Path) -> None:
    for part in ("rgb", "depth"):
        (folder / part).mkdir(parents=True)
    lists: dict[str, list[str]] = {name: ["# comment"] for name in ("rgb", "depth", "groundtruth")}
    for number, pose in enumerate(POSES):
        time = 1305031102.1 + 0.1 * number
        write_photo(folder / f"rgb/{number}.png", WIDTH, HEIGHT, seed=number)
        Image.fromarray(depth_of(number) * 5).save(folder / f"depth/{number}.png")
        inverse = np.linalg.inv(pose)
        w, x, y, z = quaternion(inverse)
        lists["rgb"].append(f"{time:.6f} rgb/{number}.png")
        lists["depth"].append(f"{time + 0.004:.6f} depth/{number}.png")
        numbers = " ".join(f"{value:.17g}" for value in (*inverse[:3, 3], x, y, z, w))
        lists["groundtruth"].append(f"{time - 0.003:.6f} {numbers}")
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    (folder / "camera-intrinsics.txt").write_text(matrix_text(intrinsics(LENS)))


def write_cloud(path: Path) -> None:
    """POINTS as ASCII PLY, grey."""
    header = ["ply", "format ascii 1.0", f"element vertex {len(POINTS)}"]
    header += [f"property double {axis}" for axis in "xyz"] + [f"property uchar {name}" for name in ("red", "green", "blue")]
    lines = [" ".join(f"{value:.17g}" for value in point) + " 90 100 110" for point in POINTS]
    path.write_text("\n".join([*header, "end_header", *lines]) + "\n")


FORMATS = {
    "COLMAP binary": Format("colmap", "colmap/s", lambda folder: colmap(folder, True), STEMS, points=True),
    "COLMAP text": Format("colmap", "colmap/s", lambda folder: colmap(folder, False), STEMS, points=True),
    "nerfstudio": Format("nerf", "nerf/s", nerfstudio, STEMS, depth=True, points=True),
    "instant-ngp": Format("nerf", "nerf/s", instant_ngp, STEMS, lens=CENTRED),
    "Blender": Format("nerf", "nerf/s", blender, tuple(f"r_{number}" for number in range(COUNT)), lens=CENTRED),
    "LLFF": Format("llff", "LLFF/s", llff, STEMS, lens=CENTRED),
    "MVSNet": Format("dtu", "DTU/s", mvsnet, tuple(f"{number:08d}" for number in range(COUNT)), depth=True),
    "IDR": Format("dtu", "DTU/s", idr, tuple(f"{number:03d}" for number in range(COUNT))),
    "Strecha": Format("tanks", "Tanks/s", strecha, STEMS),
    "RGB-D": Format("rgbd", "rgbd/s", rgbd, tuple(f"frame-{number:06d}" for number in range(COUNT)), depth=True),
    "TUM": Format("rgbd", "rgbd/s", tum, tuple(str(number) for number in range(COUNT)), depth=True),
}


def write(form: Format, root: Path) -> Path:
    """Write the scene under a data root; returns its folder."""
    folder = root / form.place
    folder.mkdir(parents=True)
    form.write(folder)
    return folder


def reprojection_error(form: Format, scene: MultiViewScene) -> float:
    """The greatest distance in pixels between where a loaded camera and the true one see a point."""
    worst = 0.0
    for view in scene.views:
        if view.camera is None:
            assert scene.source is not None
            assert scene.source.format == "photos without cameras"  # the file that gave them is gone
            continue
        local = POINTS @ POSES[form.names.index(view.name)][:3, :3].T + POSES[form.names.index(view.name)][:3, 3]
        true = (local / local[:, 2:]) @ intrinsics(form.lens)[:2].T
        worst = max(worst, float(np.abs(view.camera.project(POINTS)[0] - true).max()))
    return worst
