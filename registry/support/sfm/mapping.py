"""Cameras and points from correspondences: COLMAP's incremental mapper (Schönberger and Frahm, CVPR 2016), through pycolmap.

All photos of a scene share one pinhole camera whose principal point is the centre and whose focal length is estimated: the
photos of a probe are of one size, cut about their centres, and freed of distortion where it is known. More unknowns are not
determined by the few photos that a probe trains with: with a free radial distortion, five photos gave a field of view of 4
degrees.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.types import Array, Camera
from registry.support.sfm.correspondences import Correspondences

#: The least and the largest focal length, as shares of the long side.
FOCAL_BOUNDS = 0.4, 3.0
#: Few photos have few matches between them: the mapper starts from pairs of at least so many inliers (COLMAP: 100) at this
#: angle in degrees (16); points that two photos alone see are kept.
LEAST_PAIR_INLIERS = 30
LEAST_ANGLE = 4.0
#: So many pairs of photos, those with most matches, are offered to start from.
STARTS = 3
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


class Mapper:
    """COLMAP's database of some photos, verified, in a folder of its own, and the mapper run on it."""

    def __init__(self, folder: Path, found: Correspondences, width: int, height: int, focal: float) -> None:
        """found: as `reconstruct`. folder: empty; what is written there is not needed afterwards. focal: to begin with."""
        import pycolmap

        self._folder = folder
        self._names = [f"{photo:06d}" for photo in range(len(found.keypoints))]
        matched = {pair: matches for pair, matches in found.matches.items() if len(matches)}
        most_first = sorted(matched, key=lambda pair: (-len(matched[pair]), pair))
        #: Pairs of photos to start from.
        self.starts = [pair for pair in most_first if len(matched[pair]) >= LEAST_PAIR_INLIERS][:STARTS]
        camera = pycolmap.Camera(
            model="SIMPLE_PINHOLE",
            width=width,
            height=height,
            params=[focal, width / 2, height / 2],
            has_prior_focal_length=True,  # pairs are then verified by essential matrices, which planes do not mislead
        )
        self._options = _options(max(width, height))
        self._numbers = self._write(camera, found, matched)
        pairs = folder / "pairs.txt"
        pairs.write_text("".join(f"{self._names[i]} {self._names[j]}\n" for i, j in matched))
        options = pycolmap.TwoViewGeometryOptions()
        options.ransac.random_seed = 0
        if self.starts:
            pycolmap.set_random_seed(0)
            pycolmap.verify_matches(self._database, pairs, options)

    def models(self, refine_focal: bool, start: tuple[int, int] | None = None) -> list[SparseModel]:
        """What the mapper makes. start: the two photos to start from, for one model; None: the mapper's choice, and as many
        models as it takes."""
        import pycolmap

        if not self.starts:
            return []
        options = self._options
        options.ba_refine_focal_length = options.mapper.abs_pose_refine_focal_length = refine_focal
        options.multiple_models = start is None
        options.init_image_id1, options.init_image_id2 = (self._numbers[photo] for photo in start) if start else (-1, -1)
        with tempfile.TemporaryDirectory(dir=self._folder) as results:
            made = pycolmap.incremental_mapping(self._database, self._folder / "photos", results, options)
            return [_model(each, self._names) for each in made.values()]

    @property
    def _database(self) -> Path:
        return self._folder / "database.db"

    def _write(self, camera: Any, found: Correspondences, matched: Mapping[tuple[int, int], Array]) -> list[int]:
        """Fill the database; returns the numbers that it has for the photos."""
        import pycolmap

        (self._folder / "photos").mkdir()  # the mapper wants one, but reads no photo
        with pycolmap.Database.open(self._database) as database:
            camera.camera_id = database.write_camera(camera)
            rig = pycolmap.Rig()
            rig.add_ref_sensor(camera.sensor_id)
            rig.rig_id = database.write_rig(rig)
            numbers = []
            for name, keypoints in zip(self._names, found.keypoints, strict=True):
                image = pycolmap.Image(name=name, camera_id=camera.camera_id)
                image.image_id = database.write_image(image)
                frame = pycolmap.Frame()
                frame.rig_id = rig.rig_id
                frame.add_data_id(image.data_id)
                database.write_frame(frame)
                database.write_keypoints(image.image_id, keypoints.astype(np.float32))
                numbers.append(image.image_id)
            for (i, j), matches in matched.items():
                database.write_matches(numbers[i], numbers[j], matches.astype(np.uint32))
        return numbers


def _options(long_side: int) -> Any:
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions(
        num_threads=1,
        random_seed=0,
        min_model_size=2,
        extract_colors=False,
        min_focal_length_ratio=FOCAL_BOUNDS[0],
        max_focal_length_ratio=FOCAL_BOUNDS[1],
    )
    options.triangulation.ignore_two_view_tracks = False
    options.mapper.init_min_num_inliers = LEAST_PAIR_INLIERS
    options.mapper.init_min_tri_angle = LEAST_ANGLE
    # Without points in common COLMAP would place a photo by its pairs alone, wrongly where they show planes, and its other
    # matches are lost; left to a model of its own, it is joined over a photo that both models have.
    options.structure_less_registration_fallback = False
    options.mapper.filter_max_reproj_error = MOST_REPROJECTION_ERROR * long_side / 512
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
