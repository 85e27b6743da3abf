from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bench.core.registry import find_datasets
from bench.geometry.camera import field_of_view, points_from_depth
from bench.geometry.io.convert import convert_folder
from bench.geometry.io.release import (
    read_depth,
    read_index,
    read_intrinsics,
    read_segmentation,
    write_depth,
    write_index,
    write_sample,
)
from bench.registry import datasets
from bench.types import MonocularSample, Unavailable, UserError

#: folder, working size, metric, segments, sharp boundaries: the official evaluation's configuration
OFFICIAL = {
    "nyuv2": ("NYUv2", (640, 480), True, False, False),
    "kitti": ("KITTI", (750, 375), True, False, False),
    "eth3d": ("ETH3D", (2048, 1365), True, True, False),
    "ibims1": ("iBims-1", (640, 480), True, True, True),
    "gso": ("GSO", (512, 512), False, False, False),
    "sintel": ("Sintel", (872, 436), False, True, True),
    "ddad": ("DDAD", (1400, 700), True, True, False),
    "diode": ("DIODE", (1024, 768), True, True, False),
    "spring": ("Spring", (1920, 1080), False, False, True),
    "hammer": ("HAMMER", (1664, 832), True, False, True),
}
INTRINSICS = np.array([[0.9, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]])


def parts(seed: int = 0, height: int = 120, width: int = 160) -> dict[str, Any]:
    """A photo with depth (a hole, some sky) and three segments, the last one small."""
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.5, 80, (height, width))
    depth[:30], depth[40:50, 30:40] = np.inf, np.nan
    segmentation = np.where(np.arange(width) < 60, 7, 300) * np.ones((height, 1), int)
    segmentation[60:70, 60:70] = 5
    image = np.clip(np.cumsum(rng.integers(-3, 4, (height, width, 3)), axis=1) + 128, 0, 255).astype(np.uint8)
    labels = {"sofa": 7, "sky": 300, "pen": 5}
    return {"image": image, "depth": depth, "intrinsics": INTRINSICS, "segmentation": segmentation, "labels": labels}


def release(root: Path, name: str, samples: tuple[str, ...] = ("indoor/0001",)) -> Path:
    folder = root / OFFICIAL[name][0]
    for seed, sample in enumerate(samples):
        write_sample(folder / sample, **parts(seed))
    write_index(folder, samples)
    return folder


# ------------------------------------------------------------------------------------------------------------ the format


def test_depth_codes_are_those_of_the_release(tmp_path: Path) -> None:
    """Written by hand from the format's definition, read by the suite."""
    codes = np.array([[0, 1, 32767], [65534, 65535, 2]], np.uint16)
    text = PngInfo()
    text.add_text("near", "0.5")
    text.add_text("far", "50.0")
    Image.fromarray(codes).save(tmp_path / "depth.png", pnginfo=text)
    x = np.array([[np.nan, 0, 32766 / 65533], [1, np.nan, 1 / 65533]])
    expected = 0.5 ** (1 - x) * 50**x
    expected[1, 1] = np.inf
    np.testing.assert_allclose(read_depth(tmp_path / "depth.png"), expected, rtol=1e-6)
    text.add_text("unit", "0.001")
    Image.fromarray(codes).save(tmp_path / "depth.png", pnginfo=text)
    np.testing.assert_allclose(read_depth(tmp_path / "depth.png"), expected * 0.001, rtol=1e-6)


@pytest.mark.parametrize(("near", "far"), [(0.4, 120.0), (3.0, 3.0), (1e-3, 1e9)])
def test_depth_survives_writing_and_reading(tmp_path: Path, near: float, far: float) -> None:
    rng = np.random.default_rng(0)
    depth = np.exp(rng.uniform(np.log(near), np.log(far), (40, 50)))
    depth[0, 0], depth[1, :3], depth[2, :3] = near, np.nan, np.inf
    depth[3, 0] = 0.0
    write_depth(tmp_path / "depth.png", depth)
    found = read_depth(tmp_path / "depth.png")
    assert np.isnan(found[1, :3]).all()
    assert np.isnan(found[3, 0])
    np.testing.assert_array_equal(np.isinf(found), np.isinf(depth))
    known = np.isfinite(depth) & (depth > 0) & (depth < near * 1e5)
    step = max(min(far / near, 1e5), 1.1) ** (0.5 / 65533)
    np.testing.assert_allclose(found[known], depth[known], rtol=(step - 1) * 1.001 + 1e-6)
    assert np.nanmax(found[np.isfinite(found)]) <= near * 1e5 * 1.01


def test_segmentation_and_intrinsics_survive(tmp_path: Path) -> None:
    content = parts()
    write_sample(tmp_path / "a", **content)
    labels, names = read_segmentation(tmp_path / "a" / "segmentation.png")
    np.testing.assert_array_equal(labels, content["segmentation"])
    assert names == {7: "sofa", 300: "sky", 5: "pen"}
    np.testing.assert_array_equal(read_intrinsics(tmp_path / "a" / "meta.json"), INTRINSICS)


# ----------------------------------------------------------------------------------------------------------- data sets


@pytest.mark.parametrize("name", OFFICIAL)
def test_every_data_set_of_the_release_is_read_at_its_working_size(tmp_path: Path, name: str) -> None:
    folder, (width, height), metric, segments, sharp = OFFICIAL[name]
    release(tmp_path, name)
    dataset = datasets[name]()
    assert dataset.tracks == ("geometry",)
    assert dataset.card.folder == folder
    assert list(dataset.scenes(tmp_path, "geometry")) == ["indoor/0001"]
    sample = dataset.load_sample(tmp_path, "indoor/0001")
    assert (sample.dataset, sample.name) == (name, "indoor/0001")
    assert sample.image.shape == (height, width, 3)
    assert sample.image.dtype == np.uint8
    assert sample.depth.shape == (height, width)
    assert (sample.metric, sample.sharp_boundaries) == (metric, sharp)
    assert np.isinf(sample.depth).any()
    known = np.isfinite(sample.depth)
    # No view is wider than the photo, and its depths are the photo's (the optical axis stays, so z stays).
    fov_x, fov_y = field_of_view(INTRINSICS)
    assert field_of_view(sample.intrinsics)[0] <= fov_x + 1e-9
    assert field_of_view(sample.intrinsics)[1] <= fov_y + 1e-9
    truth = parts()["depth"]
    stored = np.sort(truth[np.isfinite(truth)])
    near = np.searchsorted(stored, sample.depth[known]).clip(1, len(stored) - 1)
    gap = np.minimum(np.abs(stored[near] - sample.depth[known]), np.abs(stored[near - 1] - sample.depth[known]))
    assert np.median(gap / sample.depth[known]) < 0.01
    if segments:
        assert sample.segmentation is not None
        assert set(sample.labels.values()) <= {"sofa", "pen"}  # sky is no segment
        assert "sofa" in sample.labels.values()
    else:
        assert sample.segmentation is None


def test_small_segments_are_dropped_and_large_ones_come_first(tmp_path: Path) -> None:
    release(tmp_path, "ibims1")
    sample = datasets["ibims1"]().load_sample(tmp_path, "indoor/0001")  # 4 x the photo: the pen has 1600 pixels
    assert list(sample.labels) == [7, 5]
    release(tmp_path, "sintel")
    assert list(datasets["sintel"]().load_sample(tmp_path, "indoor/0001").labels) == [7, 5]
    content = parts()
    content["labels"] = {"sky": 300}
    write_sample(tmp_path / "iBims-1" / "indoor/0001", **content)
    assert datasets["ibims1"]().load_sample(tmp_path, "indoor/0001").segmentation is None


def test_own_photos_keep_their_size(tmp_path: Path) -> None:
    folder = tmp_path / "mono_folders"
    write_sample(folder / "a", **parts())
    write_index(folder, ["a"])
    sample = datasets["mono-folders"]().load_sample(tmp_path, "a")
    assert sample.image.shape == (120, 160, 3)
    truth = parts()["depth"]
    np.testing.assert_allclose(sample.depth, truth.astype(np.float32), rtol=1e-4)


def test_the_fingerprint_follows_every_file(tmp_path: Path) -> None:
    folder = release(tmp_path, "ibims1")
    dataset = datasets["ibims1"]()

    def fingerprint() -> str:
        return dataset.fingerprint(tmp_path, "indoor/0001", "geometry")

    seen = [fingerprint()]
    assert fingerprint() == seen[0]
    for file in ("image.jpg", "depth.png", "meta.json", "segmentation.png"):
        path = folder / "indoor/0001" / file
        path.write_bytes(path.read_bytes() + b" ")
        seen.append(fingerprint())
    assert len(set(seen)) == 5
    (folder / "indoor/0001" / "meta.json").unlink()
    with pytest.raises(UserError, match=r"meta\.json"):
        fingerprint()


def test_a_data_set_that_is_not_there_says_where_it_comes_from(tmp_path: Path) -> None:
    for root in (tmp_path, None):
        with pytest.raises(Unavailable, match=r"monocular-geometry-evaluation.*--data-root"):
            datasets["sintel"]().scenes(root, "geometry")
    with pytest.raises(Unavailable, match="bench data convert"):
        datasets["mono-folders"]().scenes(tmp_path, "geometry")
    (tmp_path / "KITTI").mkdir()
    (tmp_path / "KITTI" / ".index.txt").write_text("\n")
    with pytest.raises(UserError, match=r"\.index\.txt: lists no sample"):
        datasets["kitti"]().scenes(tmp_path, "geometry")
    (tmp_path / "KITTI" / ".index.txt").write_text("gone\n")
    with pytest.raises(UserError, match="no sample folder"):
        datasets["kitti"]().load_sample(tmp_path, "gone")


def test_a_sample_outside_of_its_data_set_is_not_read(tmp_path: Path) -> None:
    release(tmp_path, "kitti")
    write_sample(tmp_path / "other", **parts())
    for name in ("../other", str(tmp_path / "other")):
        with pytest.raises(UserError, match="no sample folder"):
            datasets["kitti"]().load_sample(tmp_path, name)


# ------------------------------------------------------------------------------------------------------------ bad files


def save_depth(path: Path, codes: np.ndarray, **text: str) -> None:
    info = PngInfo()
    for key, value in text.items():
        info.add_text(key, value)
    Image.fromarray(codes).save(path, pnginfo=info)


CODES = np.full((120, 160), 1000, np.uint16)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: save_depth(f / "depth.png", CODES), r"depth\.png: the PNG text field 'near' is missing"),
        (lambda f: save_depth(f / "depth.png", CODES, near="1"), r"depth\.png: the PNG text field 'far' is missing"),
        (lambda f: save_depth(f / "depth.png", CODES, near="one", far="9"), r"'near' is not a number: 'one'"),
        (lambda f: save_depth(f / "depth.png", CODES, near="2", far="1"), r"depth\.png.*expected 0 < near <= far"),
        (lambda f: save_depth(f / "depth.png", CODES * 0, near="1", far="2"), r"depth\.png: no pixel .* known depth"),
        (
            lambda f: save_depth(f / "depth.png", CODES[:60], near="1", far="2"),
            r"depth\.png: \(60, 160\) pixels .*image\.jpg",
        ),
        (lambda f: (f / "depth.png").write_bytes(b"not a PNG"), r"depth\.png: not a readable image: its content is not PNG"),
        (lambda f: (f / "image.jpg").unlink(), r"image\.jpg: not a readable image"),
        (lambda f: (f / "meta.json").unlink(), r"meta\.json: cannot be read"),
        (lambda f: (f / "meta.json").write_text("{}"), r"meta\.json: the field 'intrinsics' is missing"),
        (lambda f: (f / "meta.json").write_text("[1"), r"meta\.json: not a JSON file"),
        (lambda f: (f / "meta.json").write_text('{"intrinsics": [[1, 2], [3]]}'), r"meta\.json: the field 'intrinsics'"),
        (lambda f: (f / "meta.json").write_text('{"intrinsics": [[0,0,0],[0,1,0],[0,0,1]]}'), "positive focal"),
        (
            lambda f: (f / "meta.json").write_text('{"intrinsics": [[500,0,320],[0,500,240],[0,0,1]]}'),
            "looks like pixels",
        ),
        (lambda f: (f / "segmentation.png").unlink(), r"segmentation\.png: not a readable image: there is no such file"),
        (lambda f: save_depth(f / "segmentation.png", CODES, labels="sofa"), r"segmentation\.png.*'labels' is not a JSON"),
        (lambda f: save_depth(f / "segmentation.png", CODES[:5], labels='{"a": 1}'), r"segmentation\.png: \(5, 160\)"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, spoil: Any, message: str) -> None:
    folder = release(tmp_path, "ibims1")
    spoil(folder / "indoor/0001")
    with pytest.raises(UserError, match=message):
        datasets["ibims1"]().load_sample(tmp_path, "indoor/0001")


def test_writing_refuses_what_cannot_be_read_back(tmp_path: Path) -> None:
    content = parts()
    with pytest.raises(UserError, match="differ in size"):
        write_sample(tmp_path / "a", **{**content, "depth": content["depth"][:5]})
    with pytest.raises(UserError, match="no pixel has a known depth"):
        write_sample(tmp_path / "a", **{**content, "depth": np.full((120, 160), np.nan)})


# ---------------------------------------------------------------------------------------------------------- conversion


def wild_folder(root: Path, depth_suffix: str = ".png") -> tuple[Path, np.ndarray]:
    """rgb/frame_*.png and depth/d*.png in millimetres (or metres in .npy), 0 or NaN = unknown."""
    rng = np.random.default_rng(0)
    source = root / "wild"
    for folder in ("rgb", "depth"):
        (source / folder).mkdir(parents=True)
    depth = rng.integers(500, 9000, (2, 30, 40))
    depth[:, 0] = 0
    for number, values in enumerate(depth):
        Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(source / "rgb" / f"frame_{number:03}.png")
        if depth_suffix == ".png":
            Image.fromarray(values.astype(np.uint16)).save(source / "depth" / f"d{number:03}.png")
        else:
            np.save(source / "depth" / f"d{number:03}.npy", np.where(values == 0, np.nan, values / 1000))
    return source, np.where(depth == 0, np.nan, depth / 1000)


def converted(root: Path) -> list[MonocularSample]:
    dataset = datasets["mono-folders"]()
    return [dataset.load_sample(root, name) for name in dataset.scenes(root, "geometry")]


@pytest.mark.parametrize(("suffix", "unit"), [(".png", 0.001), (".npy", 1.0)])
def test_a_folder_of_photos_and_depth_maps_is_converted(tmp_path: Path, suffix: str, unit: float) -> None:
    source, depth = wild_folder(tmp_path, suffix)
    assert convert_folder(source, tmp_path / "mono_folders", depth_unit=unit, intrinsics=(36, 36, 20, 15)).listed == 2
    assert read_index(tmp_path / "mono_folders") == ["frame_000", "frame_001"]
    for sample, truth in zip(converted(tmp_path), depth, strict=True):
        np.testing.assert_allclose(sample.depth, truth.astype(np.float32), rtol=1e-4)
        np.testing.assert_allclose(sample.intrinsics, [[0.9, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]])


@pytest.mark.parametrize(
    "content",
    [
        [36, 36, 20, 15],
        [[36, 0, 20], [0, 36, 15], [0, 0, 1]],
        {"frame_000": [36, 36, 20, 15], "frame_001.png": [[36, 0, 20], [0, 36, 15], [0, 0, 1]]},
    ],
)
def test_intrinsics_may_come_from_a_file(tmp_path: Path, content: Any) -> None:
    source, _ = wild_folder(tmp_path)
    cameras = tmp_path / "cameras.json"
    cameras.write_text(json.dumps(content))
    convert_folder(source, tmp_path / "mono_folders", depth_unit=0.001, intrinsics=cameras)
    for sample in converted(tmp_path):
        np.testing.assert_allclose(sample.intrinsics, [[0.9, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]])


def test_depth_beyond_the_farthest_is_unknown(tmp_path: Path) -> None:
    source, depth = wild_folder(tmp_path)
    convert_folder(source, tmp_path / "mono_folders", depth_unit=0.001, intrinsics=(36, 36, 20, 15), farthest=4.0)
    for sample, truth in zip(converted(tmp_path), depth, strict=True):
        np.testing.assert_array_equal(np.isfinite(sample.depth), truth <= 4.0)


def spoilt(source: Path, what: str) -> dict[str, Any]:
    options: dict[str, Any] = {"depth_unit": 0.001, "intrinsics": (36, 36, 20, 15)}
    depth = source / "depth" / "d001.png"
    if what == "size":
        Image.fromarray(np.full((30, 41), 9, np.uint16)).save(depth)
    elif what == "empty":
        Image.fromarray(np.zeros((30, 40), np.uint16)).save(depth)
    elif what == "8 bits":
        Image.fromarray(np.full((30, 40), 9, np.uint8)).save(depth)
    elif what == "broken":
        depth.write_bytes(b"?")
    elif what == "lonely":
        depth.unlink()
    elif what == "no depth":
        for path in (source / "depth").iterdir():
            path.unlink()
    elif what == "no unit":
        options["depth_unit"] = None
    elif what == "no camera":
        options["intrinsics"] = None
    elif what == "bad camera":
        options["intrinsics"] = (36, 0, 20, 15)
    elif what == "camera file":
        options["intrinsics"] = source / "cameras.json"
        (source / "cameras.json").write_text('{"frame_000": [36, 36, 20, 15]}')
    return options


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("size", r"d001\.png: \(30, 41\) pixels .*frame_001\.png has \(30, 40\)"),
        ("empty", r"d001\.png: no pixel has a known depth"),
        ("8 bits", r"d001\.png: a depth PNG must have one channel of 16 bits"),
        ("broken", r"d001\.png: not a readable image"),
        ("lonely", r"no photo and depth map pair for rgb/frame_001\.png"),
        ("no depth", "no depth map there"),
        ("no unit", r"d000\.png: the depth unit is unknown"),
        ("no camera", r"frame_000\.png: no intrinsics"),
        ("bad camera", "focal lengths positive"),
        ("camera file", "cameras.json has no entry .*'frame_001'"),
    ],
)
def test_what_cannot_be_converted_is_named_and_no_index_is_written(tmp_path: Path, what: str, message: str) -> None:
    source, _ = wild_folder(tmp_path)
    options = spoilt(source, what)
    with pytest.raises(UserError, match=message):
        convert_folder(source, tmp_path / "out", **options)
    assert not (tmp_path / "out" / ".index.txt").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"test_annotations\.json: not a JSON file of annotations"),
        ("[]", "expected a list of photos under 'files'"),
        ('{"files": [{"rgb": "x/rgb/frame_000.png"}]}', "entry 0 lacks the field 'depth'"),
        ('{"files": [{"rgb": "x/rgb/f.png", "depth": "x/depth/d000.png"}]}', r"names x/rgb/f\.png, which is not under"),
        (
            '{"files": [{"rgb": "x/rgb/frame_000.png", "depth": "x/depth/d000.png", "depth_scale": 0}]}',
            "'depth_scale' must be positive",
        ),
        (
            '{"files": [{"rgb": "x/rgb/frame_000.png", "depth": "x/depth/d000.png", "cam_in": [1, 2]}]}',
            "'cam_in': expected fx, fy, cx, cy",
        ),
    ],
)
def test_bad_annotations_are_named(tmp_path: Path, content: str, message: str) -> None:
    source, _ = wild_folder(tmp_path)
    (source / "test_annotations.json").write_text(content)
    with pytest.raises(UserError, match=message):
        convert_folder(source, tmp_path / "out", depth_unit=0.001)


def test_the_real_kitti_and_nyu_samples_convert(shared_data: Path, tmp_path: Path) -> None:
    """The road lies 1.65 m under KITTI's camera; both samples keep their known shares of valid pixels."""
    assert convert_folder(shared_data / "mono_kitti", tmp_path / "KITTI").listed == 3
    assert convert_folder(shared_data / "mono_nyu", tmp_path / "NYUv2", depth_unit=0.001).listed == 3
    for name in datasets["kitti"]().scenes(tmp_path, "geometry"):
        sample = datasets["kitti"]().load_sample(tmp_path, name)
        points = points_from_depth(sample.depth, sample.intrinsics)[np.isfinite(sample.depth)]
        road = points[(np.abs(points[:, 0]) < 3) & (points[:, 2] > 6) & (points[:, 2] < 15) & (points[:, 1] > 1)]
        _, height = np.polyfit(road[:, 2], road[:, 1], 1)
        assert height == pytest.approx(1.65, abs=0.12)
        stored = read_depth(tmp_path / "KITTI" / name / "depth.png")
        raw = np.asarray(Image.open(shared_data / "mono_kitti" / "depth" / f"{name}.png")) / 256
        assert 0.17 < np.isfinite(stored).mean() < 0.22
        np.testing.assert_allclose(stored[raw > 0], raw[raw > 0], rtol=1e-4)
    for name in datasets["nyuv2"]().scenes(tmp_path, "geometry"):
        stored = read_depth(tmp_path / "NYUv2" / name / "depth.png")
        assert 0.66 < np.isfinite(stored).mean() < 0.76
        assert datasets["nyuv2"]().load_sample(tmp_path, name).image.shape == (480, 640, 3)


def test_a_folder_of_your_own_is_a_data_set_by_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "_classes", dict(datasets._classes))
    for folder in ("My depth_set", "my-depth-set", ".hidden", "KITTI", "ünï", "?"):
        write_sample(tmp_path / folder / "a", **parts())
        write_index(tmp_path / folder, ["a"])
    (tmp_path / "empty").mkdir()
    before = set(datasets)
    find_datasets(tmp_path)
    find_datasets(tmp_path)
    find_datasets(None)
    assert set(datasets) - before == {"my-depth-set", "n"}  # the folder "my-depth-set" would have the name of the first one
    dataset = datasets["my-depth-set"]()
    assert dataset.card.folder == "My depth_set"
    assert list(dataset.scenes(tmp_path, "geometry")) == ["a"]
    assert dataset.load_sample(tmp_path, "a").dataset == "my-depth-set"
