"""Conversion of folders: cameras and orientation, and what was there is kept."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from depth_folders import HEIGHT, WIDTH, depth, files, greys, photo, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from spoilt import EXAMPLES, spoilt

from bench.core.errors import UserError
from bench.geometry.io import convert
from bench.geometry.io.release import read_depth, read_image, read_index, read_intrinsics

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


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
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
    content = data.draw(spoilt(whole[name]))
    for each, own in whole.items():
        (folder / each).parent.mkdir(parents=True, exist_ok=True)
        (folder / each).write_bytes(content if each == name else own)
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
