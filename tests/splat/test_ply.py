"""Gaussians to PLY and back; the layout read with nothing but `struct`; malformed files."""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plyfile import PlyData

from bench.splat import SH_0, Gaussians, SplatError, read_ply, write_ply, write_points


def gaussians(count: int, degree: int, seed: int = 0) -> Gaussians:
    random = torch.Generator().manual_seed(seed)
    return Gaussians(
        means=torch.randn(count, 3, generator=random),
        quaternions=torch.randn(count, 4, generator=random),
        scales=torch.rand(count, 3, generator=random) + 1e-3,
        opacities=0.01 + 0.98 * torch.rand(count, generator=random),
        spherical_harmonics=torch.randn(count, (degree + 1) ** 2, 3, generator=random),
    )


@settings(max_examples=20)
@given(st.integers(0, 40), st.integers(0, 3), st.integers(0, 1000))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, count: int, degree: int, seed: int) -> None:
    path = tmp_path_factory.mktemp("ply") / "scene.ply"
    before = gaussians(count, degree, seed)
    write_ply(path, before)
    after = read_ply(path)
    assert [file.name for file in path.parent.iterdir()] == ["scene.ply"]
    for name in ("means", "quaternions", "spherical_harmonics"):
        assert torch.equal(getattr(before, name), getattr(after, name))
    assert torch.allclose(before.scales, after.scales, rtol=1e-6)
    assert torch.allclose(before.opacities, after.opacities, atol=1e-6)


def test_layout_byte_by_byte(tmp_path: Path) -> None:
    """As viewers read it: names in order, channel-major coefficients, logit, logarithm, w first."""
    one = Gaussians(
        means=torch.tensor([[1.0, 2.0, 3.0]]),
        quaternions=torch.tensor([[0.5, 0.25, 0.125, 0.0625]]),
        scales=torch.tensor([[1.0, math.e, 0.5]]),
        opacities=torch.tensor([0.75]),
        spherical_harmonics=torch.arange(12.0).view(1, 4, 3),
    )
    path = tmp_path / "one.ply"
    write_ply(str(path), one)
    header, _, data = path.read_bytes().partition(b"end_header\n")
    lines = header.decode().splitlines()
    assert lines[:3] == ["ply", "format binary_little_endian 1.0", "element vertex 1"]
    names = [line.removeprefix("property float ") for line in lines[3:]]
    expected = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", *(f"f_rest_{i}" for i in range(9))]
    assert names == [*expected, "opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    values = struct.unpack(f"<{len(names)}f", data)
    assert values[:9] == (1, 2, 3, 0, 0, 0, 0, 1, 2)
    assert values[9:18] == (3, 6, 9, 4, 7, 10, 5, 8, 11)
    assert values[18:22] == pytest.approx((math.log(3), 0, 1, math.log(0.5)), abs=1e-6)
    assert values[22:] == (0.5, 0.25, 0.125, 0.0625)


def test_foreign_file(tmp_path: Path) -> None:
    """Other types, another order of properties, comments, CRLF-free extra elements: as other programs write them."""
    order = ["opacity", *(f"rot_{i}" for i in range(4)), *(f"scale_{i}" for i in range(3)), "f_dc_0", "f_dc_1", "f_dc_2"]
    order += ["x", "y", "z"]
    vertex = np.dtype([("flag", "u1"), *((name, "<f8") for name in order)])
    data = np.zeros(2, vertex)
    data["x"], data["rot_0"], data["opacity"] = [5.0, 6.0], 1.0, [0.0, 100.0]
    header = ["ply", "format binary_little_endian 1.0", "comment by hand", "element vertex 2", "property uchar flag"]
    header += [*(f"property double {name}" for name in order), "element face 1", "property list uchar int vertex_indices"]
    path = tmp_path / "foreign.ply"
    path.write_bytes("\n".join([*header, "end_header", ""]).encode() + data.tobytes() + b"\x03" + bytes(12))
    read = read_ply(path)
    assert read.means[:, 0].tolist() == [5, 6]
    assert read.opacities.tolist() == [0.5, 1.0]
    assert read.scales.tolist() == [[1, 1, 1]] * 2
    assert read.degree == 0


def test_extreme_opacities_and_scales_stay_finite(tmp_path: Path) -> None:
    extreme = gaussians(2, 0)
    extreme.opacities[:] = torch.tensor([0.0, 1.0])
    extreme.scales[:] = 0
    write_ply(tmp_path / "e.ply", extreme)
    read = read_ply(tmp_path / "e.ply")
    assert read.opacities.tolist() == pytest.approx([0, 1], abs=2e-7)
    assert read.scales.max() < 1e-29


def test_nan_is_not_written_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "scene.ply"
    write_ply(path, gaussians(3, 1))
    before = path.read_bytes()
    broken = gaussians(3, 1)
    broken.means[1, 2] = math.nan
    with pytest.raises(SplatError, match=r"scene\.ply: not written.* z$"):
        write_ply(path, broken)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_malformed_files(tmp_path: Path) -> None:
    """Each a clear message that names the file."""
    path = tmp_path / "broken.ply"
    write_ply(path, gaussians(3, 1))
    good = path.read_bytes()
    head, mark, data = good.partition(b"end_header\n")
    nan = data[:4] + struct.pack("<f", math.nan) + data[8:]
    cases = {
        "not a PLY file": b"",
        "not a PLY file ": b"solid stl",
        "has no end": head,
        "found 'format ascii 1.0'": good.replace(b"binary_little_endian", b"ascii"),
        "expected 'element vertex N'": good.replace(b"element vertex", b"element point"),
        "expected 'element vertex N' ": good.replace(b"vertex 3", b"vertex -3"),
        "ends early": good[:-1],
        "ends early, 99999999999 ": good.replace(b"vertex 3", b"vertex 99999999999"),
        "vertices lack x, rot_3": good.replace(b"float x", b"float X").replace(b"rot_3", b"rot_4"),
        "properties f_rest_": good.replace(b"f_rest_8", b"h_rest_8"),
        "cannot read the header line": good.replace(b"float nx", b"float x"),
        "cannot read the header line ": good.replace(b"float nx", b"half nx"),
        "NaN or infinity in y": head + mark + nan,
    }
    for message, content in cases.items():
        path.write_bytes(content)
        with pytest.raises(SplatError, match=message.strip()) as caught:
            read_ply(path)
        assert "broken.ply" in str(caught.value)
    with pytest.raises(FileNotFoundError):
        read_ply(tmp_path / "none.ply")


def test_points_hold_centres_and_colours_of_what_is_seen(tmp_path: Path) -> None:
    """Read with plyfile: a grey of 0.5, a red, and one Gaussian that lets most of the light through and is left out."""
    harmonics = torch.tensor([[0.0, 0.0, 0.0], [0.5 / SH_0, -0.5 / SH_0, -2.0], [0.0, 0.0, 0.0]])[:, None]
    splats = Gaussians(
        torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.25], [9.0, 9.0, 9.0]]),
        torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(3, 1),
        torch.full((3, 3), 0.1),
        torch.tensor([0.9, 0.6, 0.4]),
        harmonics,
    )
    write_points(tmp_path / "points.ply", splats)
    vertices = PlyData.read(tmp_path / "points.ply")["vertex"].data
    assert [tuple(vertex) for vertex in vertices] == [(1.0, 2.0, 3.0, 128, 128, 128), (-1.0, 0.5, 0.25, 255, 0, 0)]
    assert vertices.dtype.names == ("x", "y", "z", "red", "green", "blue")
    write_points(tmp_path / "faint.ply", replace(splats, opacities=splats.opacities / 10))  # of a short training
    assert [tuple(vertex) for vertex in PlyData.read(tmp_path / "faint.ply")["vertex"].data] == [*map(tuple, vertices)]
    with pytest.raises(SplatError, match="NaN or infinity"):
        write_points(tmp_path / "points.ply", replace(splats, means=splats.means * math.nan))
