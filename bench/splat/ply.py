"""Gaussians in the PLY layout of 3D Gaussian Splatting, which viewers read.

One vertex per Gaussian: x y z, nx ny nz (zero), f_dc_0..2, f_rest_* (all coefficients of red, then green, then blue),
opacity (logit), scale_0..2 (logarithm), rot_0..3 (w x y z), all float32, binary little endian.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from bench.machine.files import write_atomically
from bench.splat.gaussians import COEFFICIENTS, SH_0, Gaussians, SplatError

_TYPES = {
    "char": "i1",
    "uchar": "u1",
    "short": "<i2",
    "ushort": "<u2",
    "int": "<i4",
    "uint": "<u4",
    "float": "<f4",
    "double": "<f8",
    "int8": "i1",
    "uint8": "u1",
    "int16": "<i2",
    "uint16": "<u2",
    "int32": "<i4",
    "uint32": "<u4",
    "float32": "<f4",
    "float64": "<f8",
}
_HEADER_LIMIT = 1 << 16  # bytes; a longer header is no PLY file of ours
_SEEN = 0.5  # of the largest opacity: a Gaussian above counts as a point of a surface
_EDGE = 1e-7  # opacities nearer than this to 0 and 1 are stored as if they were this near: a logit must be finite


def write_ply(path: Path | str, gaussians: Gaussians) -> None:
    """Write Gaussians to a PLY file, atomically: the file is whole or as it was before.

    Opacities are stored as if in [1e-7, 1 - 1e-7] and scales as if at least 1e-30, so that logits and logarithms are finite.
    Raises SplatError for NaN or infinity, UserError where the file cannot be written.
    """
    path = Path(path)
    values = gaussians.detach().to("cpu", torch.float64)
    harmonics = values.spherical_harmonics
    columns = torch.cat(
        [
            values.means,
            torch.zeros_like(values.means),
            harmonics[:, 0],
            harmonics[:, 1:].transpose(1, 2).flatten(1),
            torch.logit(values.opacities.clamp(_EDGE, 1 - _EDGE))[:, None],
            values.scales.clamp(min=1e-30).log(),
            values.quaternions,
        ],
        dim=1,
    )
    names = _names(harmonics.shape[1])
    broken = [name for name, finite in zip(names, torch.isfinite(columns).all(0).tolist(), strict=True) if not finite]
    if broken:
        raise SplatError(f"{path}: not written, the Gaussians hold NaN or infinity in {', '.join(broken)}")
    header = [f"property float {name}" for name in names]
    _write(path, len(values), header, columns.numpy().astype("<f4").tobytes())


def write_points(path: Path | str, gaussians: Gaussians) -> None:
    """Write the centres as a point cloud with 8-bit colours (x y z red green blue), which tools for points read.

    The colour is that of the harmonics' constant term: what is seen from all sides on average. Gaussians that are less
    than half as opaque as the most opaque one are left out: a short training leaves all of them translucent.

    Raises SplatError for NaN or infinity, UserError where the file cannot be written.
    """
    path = Path(path)
    values = gaussians.detach().to("cpu")
    seen = values.select(values.opacities >= _SEEN * values.opacities.amax()) if len(values) else values
    colours = 0.5 + SH_0 * seen.spherical_harmonics[:, 0]
    if not all(torch.isfinite(each).all() for each in (seen.means, colours, values.opacities)):
        raise SplatError(f"{path}: not written, the Gaussians hold NaN or infinity in x, y, z, their colours or opacities")
    points = np.empty(len(seen), [("xyz", "<f4", 3), ("rgb", "u1", 3)])
    points["xyz"] = seen.means.numpy()
    points["rgb"] = (colours.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    header = [f"property float {axis}" for axis in "xyz"] + [f"property uchar {name}" for name in ("red", "green", "blue")]
    _write(path, len(seen), header, points.tobytes())


def _write(path: Path, count: int, properties: list[str], content: bytes) -> None:
    """One element, atomically."""
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {count}", *properties, "end_header", ""]
    whole = "\n".join(header).encode("ascii") + content
    write_atomically(path, lambda temporary: temporary.write_bytes(whole))


def read_ply(path: Path | str) -> Gaussians:
    """Gaussians (float32, CPU) of a PLY file in the 3DGS layout; other properties and elements are passed over.

    Raises SplatError naming the file and what is wrong: no PLY, another format, a missing property, an odd number of
    coefficients, a file that ends early, NaN or infinity. Raises OSError where it cannot be read.
    """
    path = Path(path)
    content = path.read_bytes()
    count, layout, start = _parse_header(path, content)
    if len(content) - start < count * layout.itemsize:
        raise SplatError(
            f"{path}: ends early, {count} Gaussians need {count * layout.itemsize} bytes, {len(content) - start} are there"
        )
    vertices = np.frombuffer(content, layout, count, start)
    rest = sum(name.startswith("f_rest_") for name in layout.names or ())
    if rest % 3 or rest // 3 + 1 not in COEFFICIENTS:
        raise SplatError(f"{path}: {rest} properties f_rest_*; expected 0, 9, 24 or 45")
    names = _names(rest // 3 + 1)
    needed = [name for name in names if name not in ("nx", "ny", "nz")]
    missing = [name for name in needed if name not in (layout.names or ())]
    if missing:
        raise SplatError(f"{path}: the vertices lack {', '.join(missing)}; this is no 3DGS file")
    broken = [name for name in needed if not np.isfinite(vertices[name]).all()]
    if broken:
        raise SplatError(f"{path}: NaN or infinity in {', '.join(broken)}")

    def block(prefix: str, width: int) -> torch.Tensor:
        fields = [f"{prefix}{i}" for i in range(width)] if prefix != "xyz" else ["x", "y", "z"]
        arrays = [vertices[name].astype(np.float32) for name in fields]
        return torch.from_numpy(np.stack(arrays, axis=1) if arrays else np.zeros((count, 0), np.float32))

    higher = block("f_rest_", rest).reshape(count, 3, rest // 3).transpose(1, 2)
    return Gaussians(
        means=block("xyz", 3),
        quaternions=block("rot_", 4),
        scales=block("scale_", 3).exp(),
        opacities=torch.from_numpy(vertices["opacity"].astype(np.float32)).sigmoid(),
        spherical_harmonics=torch.cat([block("f_dc_", 3)[:, None], higher], dim=1),
    )


def _names(coefficients: int) -> list[str]:
    """The vertex properties of Gaussians with that many coefficients per channel, in the order of the file."""
    rest = [f"f_rest_{i}" for i in range(3 * (coefficients - 1))]
    return [
        *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"),
        *rest,
        *("opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
    ]


def _parse_header(path: Path, content: bytes) -> tuple[int, np.dtype[np.void], int]:
    """Number of vertices, their layout, and where their data starts."""
    head = content[:_HEADER_LIMIT]
    if not head.startswith((b"ply\n", b"ply\r\n")):
        raise SplatError(f"{path}: not a PLY file")
    end = head.find(b"end_header")
    stop = head.find(b"\n", end)
    if end < 0 or stop < 0:
        raise SplatError(f"{path}: the PLY header has no end")
    lines = [line.split() for line in head[:end].decode("ascii", errors="replace").splitlines()[1:]]
    lines = [line for line in lines if line and line[0] not in ("comment", "obj_info")]
    if not lines or lines[0][:2] != ["format", "binary_little_endian"]:
        found = " ".join(lines[0]) if lines else "nothing"
        raise SplatError(f"{path}: expected 'format binary_little_endian 1.0', found {found!r}")
    if len(lines) < 2 or lines[1][:2] != ["element", "vertex"] or len(lines[1]) != 3 or not lines[1][2].isdigit():
        raise SplatError(f"{path}: expected 'element vertex N' as the first element")
    properties: list[tuple[str, str]] = []
    for line in lines[2:]:
        if line[0] == "element":
            break
        if line[0] != "property" or len(line) != 3 or line[1] not in _TYPES or line[2] in dict(properties):
            raise SplatError(f"{path}: cannot read the header line {' '.join(line)!r}")
        properties.append((line[2], _TYPES[line[1]]))
    return int(lines[1][2]), np.dtype(properties), stop + 1
