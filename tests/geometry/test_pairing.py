"""Which photo goes with which depth map when a folder is converted: by name, by a list, by rank where asked for."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from depth_folders import CAMERA, HEIGHT, WIDTH, depth, greys, photo, run

from bench.core.errors import UserError
from bench.geometry.io.convert import Converted
from bench.geometry.io.release import read_depth, read_intrinsics

PAIRED = {
    "the same names": ["kitchen_0001", "office_0001"],
    "KITTI's selection": ["drive_0002_sync_image_0000000005_image_02", "drive_0002_sync_image_0000000080_image_02"],
    "a word for the kind": ["00001_colors", "00002_colors"],
    "folders": ["a/0001", "b/0001"],
}
DEPTH_NAMES = {
    "the same names": ["kitchen_0001", "office_0001"],
    "KITTI's selection": [
        "drive_0002_sync_groundtruth_depth_0000000005_image_02",
        "drive_0002_sync_groundtruth_depth_0000000080_image_02",
    ],
    "a word for the kind": ["00001_colors_depth", "2_colors_depth"],
    "folders": ["a/0001", "b/0001"],
}


@pytest.mark.parametrize("kind", PAIRED)
def test_photos_and_depth_maps_are_paired_by_name(tmp_path: Path, kind: str) -> None:
    for grey, names in zip((50, 150), zip(PAIRED[kind], DEPTH_NAMES[kind], strict=True), strict=True):
        photo(tmp_path / "in/rgb" / f"{names[0]}.png", grey)
        depth(tmp_path / "in/depth" / f"{names[1]}.png", grey)
    done = run(tmp_path / "in", tmp_path / "out")
    assert greys(tmp_path / "out") == dict(zip(PAIRED[kind], (50, 150), strict=True))
    assert done == Converted(tuple(PAIRED[kind]), "name", 2, (), pytest.approx((0.5, 1.0, 1.5)))


def test_names_are_compared_in_composed_unicode_letters(tmp_path: Path) -> None:
    """macOS stores an accent as a letter of its own, Linux mostly with the letter."""
    for grey, name in ((50, "Küche"), (150, "Café")):
        photo(tmp_path / "in/rgb" / f"{unicodedata.normalize('NFD', name)}.png", grey)
        depth(tmp_path / "in/depth" / f"{unicodedata.normalize('NFC', name)}.png", grey)
    run(tmp_path / "in", tmp_path / "out")
    assert greys(tmp_path / "out") == {"Küche": 50, "Café": 150}


NOT_PAIRED = {
    "frames 5 and 80": (["d_0005_image_02"], ["d_depth_0080_image_02"], "no photo and depth map pair for rgb/d_0005"),
    "one number, other rooms": (["kitchen_0001"], ["office_0001"], "no photo and depth map pair for rgb/kitchen_0001"),
    "one left over": (["a", "b"], ["a"], r"no photo and depth map pair for rgb/b\.png"),
    "a depth map left over": (["a"], ["a", "b"], r"no photo and depth map pair for depth/b\.png"),
    "one number twice": (["img_1", "img_01"], ["depth_1", "depth_001"], "which of these belong together: rgb/img_01"),
    "no name in common": (["rgb"], ["depth"], "no photo and depth map pair"),
}


@pytest.mark.parametrize("kind", NOT_PAIRED)
def test_what_does_not_pair_is_refused_and_nothing_is_written(tmp_path: Path, kind: str) -> None:
    photos, depths, message = NOT_PAIRED[kind]
    for name in photos:
        photo(tmp_path / "in/rgb" / f"{name}.png", 50)
    for name in depths:
        depth(tmp_path / "in/depth" / f"{name}.png", 50)
    with pytest.raises(UserError, match=message):
        run(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pairing_by_rank_is_asked_for_and_recorded(tmp_path: Path) -> None:
    for grey, name, other in ((50, "IMG_2034", "0"), (150, "IMG_2099", "1")):
        photo(tmp_path / "in/rgb" / f"{name}.png", grey)
        depth(tmp_path / "in/depth" / f"{other}.png", grey)
    with pytest.raises(UserError, match="--pair rank"):
        run(tmp_path / "in", tmp_path / "out")
    assert run(tmp_path / "in", tmp_path / "out", pairing="rank").pairing == "rank"
    assert greys(tmp_path / "out") == {"IMG_2034": 50, "IMG_2099": 150}
    origin = json.loads((tmp_path / "out/IMG_2034/meta.json").read_text())["origin"]
    assert origin == {
        "photo": "rgb/IMG_2034.png",
        "depth": "depth/0.png",
        "mask": None,
        "paired_by": "rank",
        "metres_per_unit": 0.001,
        "farthest": None,
    }
    photo(tmp_path / "in/rgb/IMG_3000.png", 9)
    with pytest.raises(UserError, match="3 photos and 2 depth maps cannot be paired by rank"):
        run(tmp_path / "in", tmp_path / "elsewhere", pairing="rank")


def test_hidden_files_are_never_data(tmp_path: Path) -> None:
    photo(tmp_path / "in/rgb/0000.jpg", 50)
    depth(tmp_path / "in/depth/0000.png", 50)
    for name in ("rgb/._0000.jpg", "depth/._0000.png", "rgb/.DS_Store", "._rgb", "rgb/.cache/0001.jpg"):
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\0\5\x16\7")
    assert run(tmp_path / "in", tmp_path / "out").samples == ("0000",)


def annotated(source: Path, entries: list[dict[str, Any]]) -> None:
    (source / "test_annotations.json").write_text(json.dumps({"files": entries}), encoding="utf-8-sig")


def test_equal_names_in_several_folders_are_samples_of_their_own(tmp_path: Path) -> None:
    """KITTI's drives count their frames from 0; the annotations' lists name them by other machines' paths."""
    entries = []
    for grey, drive in ((50, "drive_0002_sync"), (150, "drive_0009_sync")):
        photo(tmp_path / "in" / drive / "image_02/data/0000000005.png", grey)
        depth(tmp_path / "in" / drive / "proj_depth/0000000005.png", grey)
        entries.append(
            {
                "rgb": f"/home/them/kitti/{drive}/image_02/data/0000000005.png",
                "depth": f"kitti\\{drive}\\proj_depth\\0000000005.png",
                "cam_in": list(CAMERA),
                "depth_scale": 1000,
                "sem": None,
            }
        )
    annotated(tmp_path / "in", entries)
    done = run(tmp_path / "in", tmp_path / "out", depth_unit=None, intrinsics=None)
    names = ["drive_0002_sync/image_02/data/0000000005", "drive_0009_sync/image_02/data/0000000005"]
    assert greys(tmp_path / "out") == dict(zip(names, (50, 150), strict=True))
    assert done.pairing == "annotations"
    assert done.unused == ("test_annotations.json: field 'sem'",)


def test_annotations_that_mean_one_file_twice_or_one_outside_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "in"
    photo(source / "data/0005.png", 50)
    depth(source / "depth/0005.png", 50)
    entry = {"rgb": "drive_1/data/0005.png", "depth": "depth/0005.png"}
    annotated(source, [entry, {**entry, "rgb": "drive_2/data/0005.png"}])
    with pytest.raises(UserError, match=r"several entries mean the photo data/0005\.png"):
        run(source, tmp_path / "out")
    photo(tmp_path / "secret/0005.png", 9)
    for named in ("../secret/0005.png", str(tmp_path / "secret/0005.png")):
        annotated(source, [{**entry, "rgb": named}])
        with pytest.raises(UserError, match="which is not under"):
            run(source, tmp_path / "out")


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("beside", [True, False])
def test_diode_files_as_they_are(tmp_path: Path, masked: bool, beside: bool) -> None:
    """NAME.png, NAME_depth.npy of shape (H, W, 1) and NAME_depth_mask.npy: beside one another, or in rgb/ and depth/."""
    name = "00019_00183_indoors_000_000"
    rgb, maps = ("scene/scan", "scene/scan") if beside else ("rgb", "depth")
    photo(tmp_path / "in" / rgb / f"{name}.png", 50)
    (tmp_path / "in" / maps).mkdir(exist_ok=True)
    np.save(tmp_path / "in" / maps / f"{name}_depth.npy", np.full((HEIGHT, WIDTH, 1), 0.5, np.float32))
    valid = np.zeros((HEIGHT, WIDTH), np.float32)
    valid[3:9] = 1
    if masked:
        np.save(tmp_path / "in" / maps / f"{name}_depth_mask.npy", valid)
    (sample,) = run(tmp_path / "in", tmp_path / "out", depth_unit=1).samples
    assert sample == (f"scene/scan/{name}" if beside else name)
    metres = read_depth(tmp_path / "out" / sample / "depth.png")
    np.testing.assert_array_equal(np.isfinite(metres), valid.astype(bool) if masked else True)
    np.testing.assert_allclose(metres[4], 0.5, rtol=1e-4)


def test_tum_lists_pair_by_time_stamp(tmp_path: Path) -> None:
    """Frame 3 has no depth map within 0.02 s; the nearest one goes to the photo that is nearer to it."""
    source = tmp_path / "in"
    photos = {"10.000": 50, "10.033": 100, "10.500": 150}
    depths = {"9.999": 50, "10.017": 7, "10.035": 100}
    for stamp, grey in photos.items():
        photo(source / f"rgb/{stamp}.png", grey)
    for stamp, grey in depths.items():
        depth(source / f"depth/{stamp}.png", grey)
    for name, stamps in (("rgb", photos), ("depth", depths)):
        lines = ["# color images", *(f"{stamp} {name}/{stamp}.png" for stamp in stamps)]
        (source / f"{name}.txt").write_text("\r\n".join(lines))
    (source / "groundtruth.txt").write_text("")
    done = run(source, tmp_path / "out")
    assert greys(tmp_path / "out") == {"10.000": 50, "10.033": 100}
    assert done.pairing == "time stamps"
    assert done.unused == ("2 photos and depth maps without a partner within 0.02 s", "groundtruth.txt")
    (source / "associations.txt").write_text("10.0 rgb/10.000.png 9.9 depth/9.999.png\n")
    assert run(source, tmp_path / "listed").samples == ("10.000",)


def test_what_was_not_used_is_said(tmp_path: Path) -> None:
    photo(tmp_path / "in/image/a.png", 50)
    depth(tmp_path / "in/groundtruth_depth/a.png", 50)
    (tmp_path / "in/velodyne_raw").mkdir()
    (tmp_path / "in/intrinsics").mkdir()
    (tmp_path / "in/image/notes.txt").write_text("")
    (tmp_path / "in/intrinsics/a.txt").write_text("20 0 12 0 20 8 0 0 1")
    assert run(tmp_path / "in", tmp_path / "out", intrinsics=None).unused == ("velodyne_raw/", "image/notes.txt")
    np.testing.assert_allclose(read_intrinsics(tmp_path / "out/a/meta.json")[0], [20 / 24, 0, 0.5])
    assert run(tmp_path / "in", tmp_path / "out2").unused == ("velodyne_raw/", "image/notes.txt", "intrinsics/")


def test_samples_that_cannot_lie_side_by_side_are_refused(tmp_path: Path) -> None:
    for name in ("a", "a/b"):
        photo(tmp_path / "in/rgb" / f"{name}.png", 50)
        depth(tmp_path / "in/depth" / f"{name}.png", 50)
    with pytest.raises(UserError, match="'a/b' would lie in the folder of the sample 'a'"):
        run(tmp_path / "in", tmp_path / "out")
