"""`bench data convert` on folders as people have them: which depth map goes with which photo, what is refused, what is kept.

Each photo is of one grey value and each depth map of one depth, 100 times smaller in metres, so that a pair that was
mixed up shows in the sample.
"""

from __future__ import annotations

import json
import math
import os
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.core.errors import UserError
from bench.geometry.io import convert
from bench.geometry.io.convert import Converted, convert_folder
from bench.geometry.io.release import read_depth, read_image, read_index, read_intrinsics

EXAMPLES = int(os.environ.get("BENCH_FUZZ", "50"))
WIDTH, HEIGHT = 24, 16
CAMERA = (20.0, 20.0, 12.0, 8.0)


def photo(path: Path, grey: int, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT), (grey, grey, grey)).save(path, **options)


def depth(path: Path, grey: int) -> None:
    """The depth that belongs to a photo of this grey value, in millimetres, or, as .npy, in metres."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, np.full((HEIGHT, WIDTH), grey / 100, np.float32))
    else:
        Image.fromarray(np.full((HEIGHT, WIDTH), grey * 10, np.uint16)).save(path)


def run(source: Path, destination: Path, **options: Any) -> Converted:
    defaults: dict[str, Any] = {"depth_unit": 0.001, "intrinsics": CAMERA}
    return convert_folder(source, destination, **{**defaults, **options})


def greys(destination: Path) -> dict[str, int]:
    """Sample -> its photo's grey value, once it is shown that its depth map belongs to it."""
    found = {}
    for name in read_index(destination):
        grey = round(float(read_image(destination / name / "image.jpg").mean()))
        metres = read_depth(destination / name / "depth.png")
        np.testing.assert_allclose(metres, grey / 100, rtol=1e-4)
        found[name] = grey
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --------------------------------------------------------------------------------------------------------------- pairing

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


# ------------------------------------------------------------------------------------------------ cameras and orientation


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        ((0.86, 1.15, 0.5, 0.5), r"0\.86, 1\.15, 0\.5, 0\.5 do not fit its 24 x 16 pixels: .*look normalised"),
        ((20, 20, 0.5, 0.5), "principal point is not within the photo"),
        ((20, 20, 0, 0), "principal point is not within the photo"),
        ((20, 20, 1, -1), "principal point is not within the photo"),
        ((3.5, 3.5, 12, 8), "in another unit"),
        ((20, 50, 12, 8), "fx and fy are of different units"),
        ((4000, 4000, 12, 8), "in another unit"),
        ((80, 80, 48, 32), "principal point is not within the photo"),
        ((10, 10, 6, 4), r"look like those at 0\.5 times its size"),
        ((20, 20, math.nan, 8), "expected fx, fy, cx, cy in pixels"),
        ((20, -20, 12, 8), "focal lengths positive"),
        ([[20, 0.5, 12], [0, 20, 8], [0, 0, 1]], "a camera matrix is"),
        ([[20, 0, 12], [0, 20, 8], [0, 0, 2]], "a camera matrix is"),
    ],
)
def test_intrinsics_that_do_not_fit_the_photo_are_refused_with_their_values(
    tmp_path: Path, camera: Any, message: str
) -> None:
    photo(tmp_path / "in/rgb/a.png", 50)
    depth(tmp_path / "in/depth/a.png", 50)
    with pytest.raises(UserError, match=message):
        run(tmp_path / "in", tmp_path / "out", intrinsics=camera)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("k.json", "[20, 20, 12, 8]"),
        ("k.json", '{"fx": 20, "fy": 20, "cx": 12, "cy": 8, "model": "pinhole"}'),
        ("k.json", "[[20, 0, 12, 0], [0, 20, 8, 0], [0, 0, 1, 0], [0, 0, 0, 1]]"),
        ("k.txt", "20 0 12\n0 20 8\n0 0 1\n"),
        ("k.txt", "\ufeff20,20,12,8\r\n"),
        ("k.json", '{"a": [20, 20, 12, 8]}'),
        ("k.json", '{"rgb/a.png": [20, 20, 12, 8], "b": [1, 1, 1, 1]}'),
    ],
)
def test_intrinsics_of_a_file(tmp_path: Path, name: str, content: str) -> None:
    photo(tmp_path / "in/rgb/a.png", 50)
    depth(tmp_path / "in/depth/a.png", 50)
    (tmp_path / name).write_text(content, encoding="utf-8")
    run(tmp_path / "in", tmp_path / "out", intrinsics=tmp_path / name)
    matrix = read_intrinsics(tmp_path / "out/a/meta.json")
    np.testing.assert_allclose(matrix, [[20 / 24, 0, 0.5], [0, 20 / 16, 0.5], [0, 0, 1]])


def test_a_name_that_two_photos_share_gives_no_camera(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        photo(tmp_path / "in/rgb" / folder / "0.png", 50)
        depth(tmp_path / "in/depth" / folder / "0.png", 50)
    (tmp_path / "k.json").write_text('{"0": [20, 20, 12, 8]}')
    with pytest.raises(UserError, match=r"has no entry 'rgb/a/0\.png' or 'rgb/a/0'"):
        run(tmp_path / "in", tmp_path / "out", intrinsics=tmp_path / "k.json")


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = orientation
    return exif


def test_a_depth_map_is_never_turned_against_its_photo(tmp_path: Path) -> None:
    """A quarter turn shows in the sizes: what lies as the photo is stored is taken so. A half turn does not: refused."""
    rng = np.random.default_rng(0)
    metres = rng.uniform(1, 9, (HEIGHT, WIDTH))
    pixels = np.repeat((metres * 25).astype(np.uint8)[..., None], 3, 2)
    for orientation in (1, 6):
        source, out = tmp_path / f"in{orientation}", tmp_path / f"out{orientation}"
        (source / "rgb").mkdir(parents=True)
        (source / "depth").mkdir()
        Image.fromarray(pixels).save(source / "rgb/a.png", exif=turned(orientation))
        np.save(source / "depth/a.npy", metres)
        run(source, out, depth_unit=1)
        np.testing.assert_allclose(read_depth(out / "a/depth.png"), metres, rtol=1e-4)
        np.testing.assert_allclose(read_image(out / "a/image.jpg"), pixels, atol=40)
    Image.fromarray(pixels).save(source / "rgb/a.png", exif=turned(3))
    with pytest.raises(UserError, match=r"a\.png: its EXIF orientation is 3.*which way does the depth map lie"):
        run(source, tmp_path / "out3", depth_unit=1)
    Image.fromarray((metres * 1000).astype(np.uint16)).save(source / "depth/a.png", exif=turned(3))
    (source / "depth/a.npy").unlink()
    run(source, tmp_path / "both")
    np.testing.assert_allclose(read_depth(tmp_path / "both/a/depth.png"), metres, rtol=1e-2)
    Image.fromarray(pixels).save(source / "rgb/a.png")
    with pytest.raises(UserError, match=r"its EXIF orientation is 1, that of .*a\.png is 3"):
        run(source, tmp_path / "other")


# ------------------------------------------------------------------------------------------------- what was there is kept


def two_folders(root: Path) -> tuple[Path, Path]:
    for folder, numbers in (("A", (0, 1)), ("B", (2, 3))):
        for number in numbers:
            photo(root / folder / f"rgb/{number:04}.png", 50 + number)
            depth(root / folder / f"depth/{number:04}.png", 50 + number)
    return root / "A", root / "B"


def test_a_second_conversion_adds_to_the_first(tmp_path: Path) -> None:
    first, second = two_folders(tmp_path)
    run(first, tmp_path / "out")
    before = files(tmp_path / "out")
    assert run(second, tmp_path / "out").listed == 4
    assert greys(tmp_path / "out") == {"0000": 50, "0001": 51, "0002": 52, "0003": 53}
    after = files(tmp_path / "out")
    assert all(after[name] == content for name, content in before.items() if name != ".index.txt")


def test_samples_are_replaced_only_where_that_is_asked_for(tmp_path: Path) -> None:
    first, second = two_folders(tmp_path)
    run(first, tmp_path / "out")
    before = files(tmp_path / "out")
    photo(second / "rgb/0001.png", 99)
    depth(second / "depth/0001.png", 99)
    with pytest.raises(UserError, match="holds samples of these names already: 0001; --overwrite replaces them"):
        run(second, tmp_path / "out")
    assert files(tmp_path / "out") == before
    run(second, tmp_path / "out", overwrite=True)
    assert greys(tmp_path / "out") == {"0000": 50, "0001": 99, "0002": 52, "0003": 53}


def test_something_else_in_a_samples_place_is_left_alone(tmp_path: Path) -> None:
    first, _ = two_folders(tmp_path)
    (tmp_path / "out/0001").mkdir(parents=True)
    (tmp_path / "out/0001/thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="something else lies where the sample would"):
        run(first, tmp_path / "out", overwrite=True)
    assert files(tmp_path / "out") == {"0001/thesis.tex": b"years of work"}


@pytest.mark.parametrize("fault", [KeyboardInterrupt, UserError, OSError])
@pytest.mark.parametrize("place", range(4))
def test_an_interrupted_conversion_leaves_what_was_there(
    tmp_path: Path, fault: type[BaseException], place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before the first, the second sample, before they are put in place, or before they are listed."""
    first, second = two_folders(tmp_path)
    run(first, tmp_path / "out")
    before = files(tmp_path / "out")
    calls = 0

    def stop(name: str, at: int) -> None:
        real = getattr(convert, name)

        def stopped(*args: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == at:
                raise fault("stopped")
            return real(*args, **options)

        monkeypatch.setattr(convert, name, stopped)

    stop(("write_sample", "write_sample", "_move_in", "write_index")[place], 2 if place == 1 else 1)
    with pytest.raises(KeyboardInterrupt if fault is KeyboardInterrupt else UserError):
        run(second, tmp_path / "out")
    monkeypatch.undo()
    after = files(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    assert (tmp_path / "out/.index.txt").read_text() == "0000\n0001\n"
    assert not list((tmp_path / "out").glob(".converting*"))
    run(second, tmp_path / "out")  # and the next one is none the worse for it
    assert greys(tmp_path / "out") == {"0000": 50, "0001": 51, "0002": 52, "0003": 53}


def test_what_a_killed_conversion_left_is_removed_and_a_running_one_is_not(tmp_path: Path) -> None:
    import socket

    first, _ = two_folders(tmp_path)
    strays = [tmp_path / "out" / f".converting-{socket.gethostname()}-{number}-x" for number in (2**22 + 1, os.getpid())]
    for stray in strays:
        (stray / "new").mkdir(parents=True)
    run(first, tmp_path / "out")
    assert [stray.exists() for stray in strays] == [False, True]


@pytest.mark.parametrize("name", ["Living room, day 2", "#6", '"quoted"', "NA", "1e5", "a .b", "ünï", "-x"])
def test_any_name_of_a_file_is_a_name_of_a_sample(tmp_path: Path, name: str) -> None:
    photo(tmp_path / "in/rgb" / f"{name}.png", 50)
    depth(tmp_path / "in/depth" / f"{name}.png", 50)
    run(tmp_path / "in", tmp_path / "out")
    assert greys(tmp_path / "out") == {name: 50}


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such names")
@pytest.mark.parametrize("name", [b"caf\xe9", b"a\nb"])
def test_a_name_that_is_no_text_is_refused(tmp_path: Path, name: bytes) -> None:
    for folder, write in (("rgb", photo), ("depth", depth)):
        write(tmp_path / "in" / folder / "x.png", 50)
        os.rename(tmp_path / "in" / folder / "x.png", os.fsencode(tmp_path / "in" / folder) + b"/" + name + b".png")  # noqa: PTH104
    with pytest.raises(UserError, match="cannot name a sample"):
        run(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "matrix",
    [
        [[1, 0, 0.5], [0, 1, 0.5], [0, 0, 0]],
        [[1, 0, 0.5], [0.1, 1, 0.5], [0, 0, 1]],
        [[0.0067, 0, 0.0039], [0, 0.012, 0.0052], [0, 0, 1]],
        [[99, 0, 0.5], [0, 0.21, 0.5], [0, 0, 1]],
        [[1, 0, 1.9], [0, 1, -0.9], [0, 0, 1]],
        [[1, 0, 3], [0, 1, 0.5], [0, 0, 1]],
        [[1e308, 0, 0.5], [0, 1e308, 0.5], [0, 0, 1]],
    ],
)
def test_a_sample_with_an_impossible_camera_is_refused_before_memory_is_taken(tmp_path: Path, matrix: Any) -> None:
    from bench.registry import datasets

    photo(tmp_path / "in/rgb/a.png", 50)
    depth(tmp_path / "in/depth/a.png", 50)
    run(tmp_path / "in", tmp_path / "mono_folders")
    (tmp_path / "mono_folders/a/meta.json").write_text(json.dumps({"intrinsics": matrix}))
    with pytest.raises(UserError, match=r"meta\.json: "):
        datasets["mono-folders"]().load_sample(tmp_path, "a")


@pytest.mark.parametrize("line", ["../elsewhere", "/etc", "a/../../b"])
def test_an_index_names_nothing_outside(tmp_path: Path, line: str) -> None:
    (tmp_path / ".index.txt").write_text(f"{line}\n")
    with pytest.raises(UserError, match=r"\.index\.txt: .* lies outside"):
        read_index(tmp_path)


def test_an_index_of_another_system_is_read(tmp_path: Path) -> None:
    (tmp_path / ".index.txt").write_bytes("\ufeffa b\r\n\r\nü\r\n".encode())
    assert read_index(tmp_path) == ["a b", "ü"]
    (tmp_path / ".index.txt").write_text("indoor\\0001\n")
    assert read_index(tmp_path) == ["indoor/0001"]
    (tmp_path / ".index.txt").write_text("a\na\n")
    with pytest.raises(UserError, match="lists a more than once"):
        read_index(tmp_path)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_spoilt_sample_is_one_or_one_message(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Bytes of one file of a sample changed, cut or added: its depth and camera are finite and sound, or a UserError names
    the file; nothing else is raised."""
    from bench.registry import datasets
    from bench.types import MonocularSample

    root = tmp_path_factory.getbasetemp() / "spoilt"
    if not root.exists():
        photo(root / "in/rgb/a.png", 50)
        depth(root / "in/depth/a.png", 50)
        run(root / "in", root / "good")
    folder = root / "mono_folders"
    whole = files(root / "good")
    name = data.draw(st.sampled_from(sorted(whole)))
    content = bytearray(whole[name])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, max(len(content) - 1, 0)))
        change = data.draw(st.sampled_from(["set", "cut", "add"]))
        if change == "set" and content:
            content[place] = data.draw(st.integers(0, 255))
        elif change == "cut":
            del content[place:]
        else:
            content[place:place] = data.draw(st.binary(min_size=1, max_size=8))
    for each, own in whole.items():
        (folder / each).parent.mkdir(parents=True, exist_ok=True)
        (folder / each).write_bytes(bytes(content) if each == name else own)
    dataset = datasets["mono-folders"]()
    try:
        (sample, *_) = [dataset.load_sample(root, each) for each in dataset.scenes(root, "geometry")]
    except UserError as error:
        assert str(folder) in str(error)  # noqa: PT017
    else:
        assert isinstance(sample, MonocularSample)
        assert np.isfinite(sample.intrinsics).all()
        assert np.isfinite(sample.depth).any()
        assert sample.image.shape[:2] == sample.depth.shape
