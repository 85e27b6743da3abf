"""Cameras and points from correspondences: COLMAP's incremental mapper (Schönberger and Frahm, CVPR 2016), through pycolmap.

All photos of a scene share one pinhole camera whose principal point is the centre and whose focal length is estimated: the
photos of a probe are of one size, cut about their centres, and freed of distortion where it is known. More unknowns are not
determined by the few photos that a probe trains with: with a free radial distortion five photos of the plush toys gave a
field of view of 4 degrees.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.types import Array, Camera
from registry.support.sfm.correspondences import Correspondences, quiet

#: The first focal length, as a share of the long side; the mapper refines it within these bounds.
FOCAL_SHARE = 1.2
FOCAL_BOUNDS = 0.4, 4.0
#: Few photos have few matches between them: the mapper starts from pairs of at least so many inliers (COLMAP: 100) at this
#: angle in degrees (16), and adds photos of at least so many (30); points that two photos alone see are kept.
LEAST_PAIR_INLIERS = 30
LEAST_ANGLE = 4.0
LEAST_PHOTO_INLIERS = 15
#: Points are left out from this reprojection error on, in pixels of photos whose long side is 512.
MOST_REPROJECTION_ERROR = 2.0


@dataclass(frozen=True, eq=False)
class SparseModel:
    """Some photos' cameras, in one frame, and the points that they see.

    cameras: by the photo's number. points: (N, 3) float64. seen: by the photo's number (M, 2) int64: a keypoint, and the
    point that it shows. error: mean reprojection error in pixels.
    """

    cameras: Mapping[int, Camera]
    points: Array
    seen: Mapping[int, Array]
    error: float

    @property
    def focal(self) -> float:
        """In pixels; all photos share it."""
        return float(next(iter(self.cameras.values())).intrinsics[0, 0])


def reconstruct(found: Correspondences, width: int, height: int, focal: float | None = None) -> list[SparseModel]:
    """The models that the photos, all of width x height pixels, give: several where not all of them connect, and photos may
    be in more than one. Most photos first, then most points; none where no two photos match well enough.

    focal: in pixels, where it is known; it is then held. Seeded, on one thread: one machine gives the same model every time.
    """
    import pycolmap

    quiet(pycolmap)
    with tempfile.TemporaryDirectory(prefix="bench-sfm-") as name:
        folder = Path(name)
        database = folder / "database.db"
        names = _write_database(database, found, width, height, focal)
        pairs = folder / "pairs.txt"
        pairs.write_text("".join(f"{names[i]} {names[j]}\n" for (i, j), pair in found.matches.items() if len(pair)))
        if not pairs.stat().st_size:
            return []
        pycolmap.set_random_seed(0)
        verification = pycolmap.TwoViewGeometryOptions()
        verification.ransac.random_seed = 0
        pycolmap.verify_matches(database, pairs, verification)
        for empty in ("photos", "models"):
            (folder / empty).mkdir()
        made = pycolmap.incremental_mapping(
            database, folder / "photos", folder / "models", _options(focal is None, width, height)
        )
        models = [_model(each, names) for each in made.values()]
    return sorted(models, key=lambda model: (len(model.cameras), len(model.points)), reverse=True)


def _write_database(path: Path, found: Correspondences, width: int, height: int, focal: float | None) -> list[str]:
    """COLMAP's database of the photos; returns the names that it has for them."""
    import pycolmap

    with pycolmap.Database.open(path) as database:
        length = focal or FOCAL_SHARE * max(width, height)
        camera = pycolmap.Camera(
            model="SIMPLE_PINHOLE",
            width=width,
            height=height,
            params=[length, width / 2, height / 2],
            has_prior_focal_length=focal is not None,
        )
        camera.camera_id = database.write_camera(camera)
        rig = pycolmap.Rig()
        rig.add_ref_sensor(camera.sensor_id)
        rig.rig_id = database.write_rig(rig)
        names, numbers = [f"{photo:06d}" for photo in range(len(found.keypoints))], []
        for name, keypoints in zip(names, found.keypoints, strict=True):
            image = pycolmap.Image(name=name, camera_id=camera.camera_id)
            image.image_id = database.write_image(image)
            frame = pycolmap.Frame()
            frame.rig_id = rig.rig_id
            frame.add_data_id(image.data_id)
            database.write_frame(frame)
            database.write_keypoints(image.image_id, keypoints.astype(np.float32))
            numbers.append(image.image_id)
        for (i, j), pair in found.matches.items():
            if len(pair):
                database.write_matches(numbers[i], numbers[j], pair.astype(np.uint32))
    return names


def _options(refine_focal: bool, width: int, height: int) -> Any:
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions(
        num_threads=1,
        random_seed=0,
        min_model_size=2,
        extract_colors=False,
        ba_refine_focal_length=refine_focal,
        min_focal_length_ratio=FOCAL_BOUNDS[0],
        max_focal_length_ratio=FOCAL_BOUNDS[1],
    )
    options.triangulation.ignore_two_view_tracks = False
    options.mapper.init_min_num_inliers = LEAST_PAIR_INLIERS
    options.mapper.init_min_tri_angle = LEAST_ANGLE
    options.mapper.abs_pose_min_num_inliers = LEAST_PHOTO_INLIERS
    options.mapper.abs_pose_refine_focal_length = refine_focal
    options.mapper.filter_max_reproj_error = MOST_REPROJECTION_ERROR * max(width, height) / 512
    return options


def _model(made: Any, names: list[str]) -> SparseModel:
    """What pycolmap reconstructed. Photos and points are ordered by their numbers."""
    number = {name: photo for photo, name in enumerate(names)}
    order = {point: index for index, point in enumerate(sorted(made.points3D))}
    cameras, seen = {}, {}
    for image in sorted(made.images.values(), key=lambda image: str(image.name)):
        if not image.has_pose:
            continue
        photo = number[image.name]
        pose = np.vstack([image.cam_from_world().matrix(), [0.0, 0.0, 0.0, 1.0]])
        camera = made.cameras[image.camera_id]
        cameras[photo] = Camera(camera.calibration_matrix(), pose, camera.width, camera.height)
        seen[photo] = np.array(
            [(index, order[point.point3D_id]) for index, point in enumerate(image.points2D) if point.has_point3D()], np.int64
        ).reshape(-1, 2)
    points = np.array([made.points3D[point].xyz for point in order], np.float64).reshape(-1, 3)
    return SparseModel(cameras, points, seen, float(made.compute_mean_reprojection_error()))
