from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scene_writers import ring, write_photo

from bench.registry import datasets
from bench.types import Unavailable, UserError
from registry.datasets.feat2gs_release import DTU, Casual
from registry.datasets.reading.splits import spread_split

NAMES = {
    "llff": "LLFF",
    "dtu": "DTU",
    "dl3dv": "DL3DV",
    "casual": "Casual",
    "mipnerf360": "MipNeRF360",
    "mvimgnet": "MVimgNet",
    "tanks": "Tanks",
}


def release(root: Path, folder: str, scene: str = "toy", count: int = 6, split: dict[str, list[str]] | None = None) -> None:
    for number in range(count):
        write_photo(root / folder / scene / "images" / f"{number:04d}.jpg", 64, 48, seed=number)
    if split is not None:
        name = next((name for name in NAMES.values() if name.lower() == folder.lower()), folder)
        (root / "dataset_split.json").write_text(json.dumps({name: {scene: split}}))


@pytest.mark.parametrize(("name", "folder"), NAMES.items())
@pytest.mark.parametrize("place", ["", "Feat2GS", "Feat2GS_Dataset"])
@pytest.mark.parametrize("lower", [False, True])
def test_all_seven_read_the_release_and_its_split(tmp_path: Path, name: str, folder: str, place: str, lower: bool) -> None:
    split = {"train": ["0004", "0001"], "test": ["0003"]}
    release(tmp_path / place, folder.lower() if lower else folder, split=split)
    dataset = datasets[name]()
    assert list(dataset.scenes(tmp_path, "probe")) == ["toy"]
    scene = dataset.load_scene(tmp_path, "toy")
    assert (scene.dataset, scene.name) == (name, "toy")
    assert [view.name for view in scene.train] == ["0004", "0001"]
    assert [view.name for view in scene.test] == ["0003"]
    assert scene.train[0].camera is None
    assert scene.train[0].image.shape == (48, 64, 3)


def test_without_a_split_file_the_views_are_spread_over_the_sequence(tmp_path: Path) -> None:
    release(tmp_path, "Casual", count=9)
    scene = Casual().load_scene(tmp_path, "toy")
    assert [view.name for view in scene.train] == ["0000", "0002", "0004", "0008"]
    assert [view.name for view in scene.test] == ["0001", "0003", "0006"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"Casual": {"other": {"train": ["a"], "test": ["b"]}}}, "no split for the scene 'toy'"),
        ({"Casual": {"toy": {"train": ["0000"], "test": ["0009"]}}}, "has no photo named 0009"),
        ({"Casual": {"toy": {"train": ["0000"], "test": ["0000"]}}}, "0000 trains and tests"),
        ({"Casual": {"toy": {"train": ["0000"], "test": []}}}, "at least one training and one test"),
        ({"Casual": {"toy": {"train": ["0000"]}}}, r"dataset_split\.json: not a split file"),
        ({"Casual": {"toy": {"train": "0000", "test": ["0001"]}}}, r"dataset_split\.json: not a split file"),
    ],
)
def test_faulty_splits_are_named(tmp_path: Path, content: object, message: str) -> None:
    release(tmp_path, "Casual")
    (tmp_path / "dataset_split.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        Casual().load_scene(tmp_path, "toy")


def test_what_is_not_on_disk_says_where_it_was_looked_for_and_where_it_is_offered(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"casual is not on disk: looked in .*Casual.*github\.com/fanegg/Feat2GS"):
        Casual().scenes(tmp_path, "probe")
    with pytest.raises(Unavailable, match="no data root"):
        Casual().scenes(None, "probe")
    release(tmp_path, "Casual")
    with pytest.raises(UserError, match="no scene 'nought'; there are toy"):
        Casual().load_scene(tmp_path, "nought")


def test_a_scene_of_one_photo_and_a_corrupt_one_are_named(tmp_path: Path) -> None:
    release(tmp_path, "Casual", "single", count=1)
    with pytest.raises(UserError, match="at least 2 photos"):
        Casual().load_scene(tmp_path, "single")
    release(tmp_path, "Casual", "broken", count=2)
    path = tmp_path / "Casual/broken/images/0001.jpg"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"0001\.jpg: not a readable image"):
        Casual().load_scene(tmp_path, "broken")


def test_only_the_chosen_photos_are_read_and_decide_the_fingerprint(tmp_path: Path) -> None:
    release(tmp_path, "Casual", split={"train": ["0000", "0001"], "test": ["0002"]})
    images = tmp_path / "Casual/toy/images"
    first = Casual().fingerprint(tmp_path, "toy", "probe")
    (images / "0005.jpg").write_bytes(b"broken")
    Casual().load_scene(tmp_path, "toy")
    assert Casual().fingerprint(tmp_path, "toy", "probe") == first
    write_photo(images / "0002.jpg", 64, 48, seed=99)
    second = Casual().fingerprint(tmp_path, "toy", "probe")
    release(tmp_path, "Casual", split={"train": ["0001", "0000"], "test": ["0002"]})
    assert len({first, second, Casual().fingerprint(tmp_path, "toy", "probe")}) == 3


def test_photos_without_calibration_are_turned_upright(tmp_path: Path) -> None:
    release(tmp_path, "Casual", count=2)
    for number in range(2):
        exif = Image.Exif()
        exif[274] = 6  # turned by 90 degrees
        Image.new("RGB", (64, 48), (9, 9, 9)).save(tmp_path / f"Casual/toy/images/000{number}.jpg", exif=exif)
    assert Casual().load_scene(tmp_path, "toy").train[0].image.shape == (64, 48, 3)


# ---------------------------------------------------------------------------------------------------------------------- DTU


def dtu(root: Path, depth_shape: tuple[int, int] = (48, 64)) -> None:
    scene = root / "DTU" / "scan9"
    for number, image in enumerate(ring(4)):
        write_photo(scene / "images" / f"{number:08d}.png", 64, 48, seed=number)
        rows = "\n".join(" ".join(f"{value:.17g}" for value in row) for row in image.pose)
        scale = depth_shape[1] / 64
        text = (
            f"extrinsic\n{rows}\n\nintrinsic\n{60 * scale} 0 {31 * scale}\n0 {61 * scale} {25 * scale}\n0 0 1\n\n425.0 2.5\n"
        )
        (scene / "cams").mkdir(parents=True, exist_ok=True)
        (scene / "cams" / f"{number:08d}_cam.txt").write_text(text)
        depth = np.full(depth_shape, 600.0 + number, np.float32)
        depth[:5] = 0
        (scene / "depths").mkdir(exist_ok=True)
        np.save(scene / "depths" / f"{number:08d}.npy", depth)
        mask = np.zeros(depth_shape, np.uint8)
        mask[:, : depth_shape[1] // 2] = 255
        (scene / "binary_masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(scene / "binary_masks" / f"{number:08d}.png")


@pytest.mark.parametrize("depth_shape", [(48, 64), (96, 128)])
def test_dtu_has_cameras_depth_and_masks(tmp_path: Path, depth_shape: tuple[int, int]) -> None:
    dtu(tmp_path, depth_shape)
    scene = DTU().load_scene(tmp_path, "scan9")
    assert scene.unit == "millimetre"
    for view in scene.views:
        number = int(view.name)
        assert view.camera is not None
        assert view.depth is not None
        assert view.mask is not None
        np.testing.assert_allclose(view.camera.world_to_camera, ring(4)[number].pose, atol=1e-12)
        np.testing.assert_allclose(view.camera.intrinsics, [[60, 0, 31], [0, 61, 25], [0, 0, 1]])
        edge = (
            28 if depth_shape[1] == 64 else 30
        )  # the mask's 32 columns less the four (of the depth map) that erosion takes
        assert view.mask[:, :edge].all()
        assert not view.mask[:, edge:].any()
        known = np.isfinite(view.depth)
        assert (view.depth[known] == 600 + number).all()
        assert not known[:2].any()  # zero: unknown
        assert not known[:, edge:].any()  # outside the mask
        assert known[5:, :edge].all()


def test_faulty_dtu_files_are_named(tmp_path: Path) -> None:
    dtu(tmp_path)
    camera = tmp_path / "DTU/scan9/cams/00000000_cam.txt"
    text = camera.read_text()
    for bad, message in (
        (text.replace("intrinsic", "intrinsics"), "not a MVSNet camera"),
        (text.replace("0 31.0", "0 3.0"), "principal point"),
        (text.replace("extrinsic\n", "extrinsic\n5 "), "is a reflection|not a rotation|last row"),
    ):
        assert bad != text
        camera.write_text(bad)
        assert re.search(message, left_out_of_dtu(tmp_path))
    camera.unlink()
    assert "00000000_cam.txt: the camera of 00000000.png is missing" in left_out_of_dtu(tmp_path)
    camera.write_text(text)
    np.save(tmp_path / "DTU/scan9/depths/00000000.npy", np.zeros((2, 3, 4)))
    assert "expected a depth map (H, W)" in left_out_of_dtu(tmp_path)
    (tmp_path / "DTU/scan9/depths/00000000.npy").unlink()
    assert "the depth of 00000000.png is missing" in left_out_of_dtu(tmp_path)


def left_out_of_dtu(root: Path) -> str:
    """Why the first photo is not used; the others are."""
    scene = DTU().load_scene(root, "scan9")
    assert {view.name for view in scene.views} == {f"0000000{number}" for number in (1, 2, 3)}
    assert scene.source is not None
    assert list(scene.source.left_out) == ["00000000.png"]
    return scene.source.left_out["00000000.png"]


# ------------------------------------------------------------------------------------------------------------------- splits


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 25), st.integers(1, 7), st.integers(1, 4))
def test_a_spread_split_is_sound_deterministic_and_greedily_farthest(seed: int, count: int, train: int, test: int) -> None:
    positions = np.random.default_rng(seed).normal(size=(count, 3))
    names = [f"v{i:02d}" for i in range(count)]
    split = spread_split(names, positions, train, test)
    assert split == spread_split(names, positions, train, test)
    assert not set(split.train) & set(split.test)
    assert len(split.train) == min(train, count - 1)
    assert len(split.test) == min(test, count - len(split.train))
    where = dict(zip(names, positions, strict=True))
    away = {name: min(np.linalg.norm(where[name] - where[other]) for other in split.train) for name in names}
    rest = set(names) - set(split.train)
    assert max(rest, key=lambda name: away[name]) in split.test


def test_held_out_views_never_train() -> None:
    names = [f"v{i}" for i in range(6)]
    split = spread_split(names, np.arange(6.0)[:, None], 3, 2, held_out=["v0", "v5", "v3"])
    assert set(split.train) == {"v1", "v2", "v4"}
    assert set(split.test) <= {"v0", "v3", "v5"}
