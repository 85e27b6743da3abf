"""Depth maps against files written byte by byte and values worked out by hand."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from picture_bytes import exif, png, tiff
from PIL import Image
from spoilt import EXAMPLES, spoilt

from bench.core.errors import UserError
from bench.machine.pictures.depths import read_depth, read_numpy, read_valid

MILLIMETRES = np.array([[0, 1234, 65535], [500, 60000, 7]], np.uint16)
METRES = np.array([[np.nan, 1.25, 80.5], [0.5, np.inf, 7.0]])


def numpy_file(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def numpy_header(shape: str, dtype: str = "<f4") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def archive(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def pfm(values: np.ndarray) -> bytes:
    """Rows from the bottom up, a negative scale for little-endian numbers."""
    return f"Pf\n{values.shape[1]} {values.shape[0]}\n-1.0\n".encode() + values[::-1].astype("<f4").tobytes()


GOOD = {
    "d.png": (png(MILLIMETRES, 0, 16), MILLIMETRES),
    "turned.png": (png(MILLIMETRES, 0, 16, [(b"eXIf", exif(3))]), MILLIMETRES),
    "d.tif": (tiff(MILLIMETRES.astype("<u2").tobytes(), 3, 2, [16]), MILLIMETRES),
    "big-endian.tif": (tiff(MILLIMETRES.astype(">u2").tobytes(), 3, 2, [16], order=">"), MILLIMETRES),
    "turned.tif": (tiff(MILLIMETRES.astype("<u2").tobytes(), 3, 2, [16], orientation=6), MILLIMETRES),
    "halfway.tif": (tiff(METRES.astype("<f4").tobytes(), 3, 2, [32], 1, 3, orientation=3), METRES),
    "float.tiff": (tiff(METRES.astype("<f4").tobytes(), 3, 2, [32], 1, 3), METRES),
    "double.tiff": (tiff(METRES.astype("<f8").tobytes(), 3, 2, [64], 1, 3), METRES),
    "32 bits.tiff": (tiff(MILLIMETRES.astype("<u4").tobytes(), 3, 2, [32]), MILLIMETRES),
    "d.pfm": (pfm(METRES), METRES),
    "single.npy": (numpy_file(METRES.astype(np.float32)), METRES),
    "double.npy": (numpy_file(METRES), METRES),
    "half.npy": (numpy_file(METRES.astype(np.float16)), METRES),
    "big-endian.npy": (numpy_file(METRES.astype(">f4")), METRES),
    "columns first.npy": (numpy_file(np.asfortranarray(METRES)), METRES),
    "whole.npy": (numpy_file(MILLIMETRES), MILLIMETRES),
    "DIODE.npy": (numpy_file(METRES.astype(np.float32)[..., None]), METRES),
    "batch of one.npy": (numpy_file(METRES[None]), METRES),
    "d.npz": (archive(depth=METRES), METRES),
}


@pytest.mark.parametrize("name", GOOD)
def test_depth_is_as_stored(tmp_path: Path, name: str) -> None:
    content, truth = GOOD[name]
    (tmp_path / name).write_bytes(content)
    depth = read_depth(tmp_path / name)
    assert depth.dtype == np.float64
    np.testing.assert_array_equal(depth, truth)


def test_lzw_compressed_tiff_files_as_opencv_writes_them(tmp_path: Path) -> None:
    for values in (MILLIMETRES, METRES.astype(np.float32)):
        Image.fromarray(values).save(tmp_path / "d.tif", compression="tiff_lzw")
        np.testing.assert_array_equal(read_depth(tmp_path / "d.tif"), values)


COLOUR = np.zeros((2, 3, 3))
BAD = {
    "8 bits.png": (png(MILLIMETRES // 256, 0), "a depth PNG must have one channel of 16 bits"),
    "colour.png": (png(COLOUR, 2), "a depth PNG must have one channel of 16 bits"),
    "8 bits.tif": (tiff(bytes(6), 3, 2, [8]), "a depth TIFF must have one channel"),
    "large.png": (png(MILLIMETRES, 0, 16, size=(10**5, 10**5)), "too large"),
    "large.tif": (tiff(b"", 60000, 60000, [16]), "too large"),
    "large double.tif": (tiff(b"", 60000, 60000, [64], 1, 3), "too large"),
    "large.npy": (numpy_header("(100000, 100000)"), r"too large: 100000 x 100000 pixels"),
    "negative.npy": (numpy_header("(-1, 4)"), "not a readable depth map"),
    "short.npy": (numpy_header("(100, 100)") + bytes(7), "ends after 7 of 40000 bytes"),
    "empty.npy": (numpy_header("(0, 7)"), r"expected a depth map \(H, W\)"),
    "8 bits.npy": (numpy_file(np.zeros((2, 3), np.uint8)), "this file holds uint8"),
    "colour.npy": (numpy_file(COLOUR), r"found an array of shape \(2, 3, 3\)"),
    "complex.npy": (numpy_file(METRES.astype(complex)), "holds complex128"),
    "objects.npy": (numpy_file(np.array([[{}]], object)), "holds object"),
    "two.npz": (archive(a=METRES, b=METRES), r"holds 2 arrays \(a\.npy, b\.npy\)"),
    "text.npz": (b"text", "not a readable depth map"),
    "text.npy": (b"text", "it is no numpy array"),
    "text.tif": (b"text", "not a readable depth map"),
    "text.pfm": (b"text", "not a readable image"),
    "d.jpg": (b"", "depth maps are read from"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_depth_map_is_refused_by_name(tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        read_depth(tmp_path / name)
    assert str(tmp_path / name) in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for name in ("none.npy", "none.png", "none.npz", "none.tif"):
        with pytest.raises(UserError, match=f"{name}: not a readable .* there is no such file"):
            read_depth(tmp_path / name)


def test_an_archive_inflates_no_further_than_its_header_says(tmp_path: Path) -> None:
    """A hundred million zeros take a few kilobytes in the archive; the header is judged before they are made."""
    import zipfile

    with zipfile.ZipFile(tmp_path / "d.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("d.npy", numpy_header("(10000, 10000)") + bytes(10**6))
    with pytest.raises(UserError, match="too large: 10000 x 10000"):
        read_depth(tmp_path / "d.npz")


def test_exr_depth(tmp_path: Path) -> None:
    openexr = pytest.importorskip("OpenEXR")
    depth = np.where(np.isnan(METRES), 0, METRES).astype(np.float32)
    path = tmp_path / "d.exr"

    def write(**channels: np.ndarray) -> None:
        openexr.File({"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}, channels).write(str(path))

    for channels in ({"Z": depth}, {"Y": depth}, {"R": depth, "G": depth, "B": depth}, {"Z": depth, "R": depth + 1}):
        write(**channels)
        np.testing.assert_array_equal(read_depth(path), depth)
    write(R=depth, G=depth + 1, B=depth)
    with pytest.raises(UserError, match=r"d\.exr: which of its channels is depth\? It has B, G, R"):
        read_depth(path)
    path.write_bytes(b"v/1\x01 broken")
    with pytest.raises(UserError, match=r"d\.exr: not a readable depth map"):
        read_depth(path)


def test_without_its_package_an_exr_file_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(UserError, match=r"d\.exr: OpenEXR files are read by the package OpenEXR: pip install"):
        read_depth(tmp_path / "d.exr")


def test_a_mask_of_measurements(tmp_path: Path) -> None:
    truth = np.array([[True, False], [False, True]])
    for array in (truth, truth.astype(np.float32), truth.astype(np.uint8) * 255, truth[..., None]):
        np.save(tmp_path / "m.npy", array)
        np.testing.assert_array_equal(read_valid(tmp_path / "m.npy"), truth)
    np.save(tmp_path / "m.npy", np.zeros((2, 2, 2)))
    with pytest.raises(UserError, match=r"m\.npy: expected a mask"):
        read_valid(tmp_path / "m.npy")


def test_arrays_of_other_shapes_for_other_readers(tmp_path: Path) -> None:
    np.save(tmp_path / "poses.npy", np.arange(17.0)[None])
    np.testing.assert_array_equal(read_numpy(tmp_path / "poses.npy"), np.arange(17.0)[None])


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of broken EXIF blocks
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_spoilt_depth_map_is_one_or_one_message(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(GOOD)))
    one_or_one_message(tmp_path_factory.getbasetemp() / f"fuzz{Path(name).suffix}", data.draw(spoilt(GOOD[name][0])))


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_spoilt_exr_depth_map_is_one_or_one_message(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    openexr = pytest.importorskip("OpenEXR")
    path = tmp_path_factory.getbasetemp() / "fuzz.exr"
    compression = data.draw(st.sampled_from([openexr.NO_COMPRESSION, openexr.ZIP_COMPRESSION, openexr.PIZ_COMPRESSION]))
    header = {"compression": compression, "type": openexr.scanlineimage}
    openexr.File(header, {"Z": METRES.astype(np.float32)}).write(str(path))
    one_or_one_message(path, data.draw(spoilt(path.read_bytes())))


def one_or_one_message(path: Path, content: bytes) -> None:
    """Read it: a depth map of two dimensions, or a UserError that names the file; nothing else is raised."""
    path.write_bytes(content)
    try:
        depth = read_depth(path)
    except UserError as error:
        message = str(error)
    else:
        message = f"{path} was read"
        assert depth.ndim == 2
        assert depth.dtype == np.float64
    assert str(path) in message
