"""Writes small scenes in the published formats, for the tests of their readers."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

Array = np.ndarray
PARAMETERS = {"SIMPLE_PINHOLE": 0, "PINHOLE": 1, "SIMPLE_RADIAL": 2, "RADIAL": 3, "OPENCV": 4, "OPENCV_FISHEYE": 5}


@dataclass
class Posed:
    """A photo on disk: world-to-camera (4, 4)."""

    name: str
    pose: Array


def pose_at(centre: Array, target: Array) -> Array:
    """World-to-camera of an upright camera (y down is world -z)."""
    forward = np.asarray(target, float) - centre
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0, 0, 1.0))
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    pose[:3, 3] = -pose[:3, :3] @ centre
    return pose


def ring(count: int, suffix: str = ".png") -> list[Posed]:
    """Cameras on a line of unequal steps, all looking at the origin."""
    along = np.linspace(-1, 1, count) * (1 + 0.1 * np.sin(np.arange(count)))
    return [Posed(f"p{i:02d}{suffix}", pose_at(np.array([x, -4.0, 1.0]), np.zeros(3))) for i, x in enumerate(along)]


def write_photo(path: Path, width: int, height: int, seed: int = 0, mode: str = "RGB") -> Array:
    """A smooth random photo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 255, (5, 6, len(mode)), dtype=np.uint8)
    image = Image.fromarray(small, mode).resize((width, height), Image.Resampling.BICUBIC)
    image.save(path)
    return np.asarray(image)


def quaternion(pose: Array) -> Array:
    """qw, qx, qy, qz."""
    return np.roll(Rotation.from_matrix(pose[:3, :3]).as_quat(), 1)


Lens = tuple[str, int, int, tuple[float, ...]]  #: COLMAP's model, width, height, parameters


def write_colmap_binary(
    folder: Path, lenses: list[Lens], images: list[Posed], points: Array, tracks: list[list[int]]
) -> None:
    """cameras.bin, images.bin, points3D.bin; image i (from 1) has camera min(i, len(lenses))."""
    folder.mkdir(parents=True, exist_ok=True)
    cameras = struct.pack("<Q", len(lenses))
    for number, (model, width, height, parameters) in enumerate(lenses, 1):
        cameras += struct.pack("<iiQQ", number, PARAMETERS.get(model, 77), width, height) + struct.pack(
            f"<{len(parameters)}d", *parameters
        )
    (folder / "cameras.bin").write_bytes(cameras)
    entries = struct.pack("<Q", len(images))
    for number, image in enumerate(images, 1):
        entries += struct.pack("<i7di", number, *quaternion(image.pose), *image.pose[:3, 3], min(number, len(lenses)))
        entries += image.name.encode() + b"\0" + struct.pack("<Q", 2) + struct.pack("<ddqddq", 1.0, 2.0, 1, 3.0, 4.0, -1)
    (folder / "images.bin").write_bytes(entries)
    cloud = struct.pack("<Q", len(points))
    for number, (point, track) in enumerate(zip(points, tracks, strict=True), 1):
        cloud += struct.pack("<Q3d3BdQ", number, *point, 10, 20, 30, 0.5, len(track))
        cloud += b"".join(struct.pack("<ii", image, 0) for image in track)
    (folder / "points3D.bin").write_bytes(cloud)


def write_colmap_text(
    folder: Path,
    lenses: list[Lens],
    images: list[Posed],
    points: Array,
    tracks: list[list[int]],
    observations: str = "points",
) -> None:
    """The same as text; observations: "points", "empty" lines or "none" at all after an image's line."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["# Camera list with one line of data per camera:"]
    lines += [f"{n} {m} {w} {h} {' '.join(map(repr, p))}" for n, (m, w, h, p) in enumerate(lenses, 1)]
    (folder / "cameras.txt").write_text("\n".join(lines) + "\n")
    lines = ["# Image list with two lines of data per image:"]
    for number, image in enumerate(images, 1):
        numbers = " ".join(f"{value:.17g}" for value in (*quaternion(image.pose), *image.pose[:3, 3]))
        lines.append(f"{number} {numbers} {min(number, len(lenses))} {image.name}")
        lines += {"points": ["12.5 30.25 1 40.5 2.0 -1 7.5 8.5 2 9.5 1.5 -1"], "empty": [""], "none": []}[observations]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    lines = ["# 3D point list"]
    for number, (point, track) in enumerate(zip(points, tracks, strict=True), 1):
        pairs = " ".join(f"{image} 0" for image in track)
        lines.append(f"{number} {' '.join(map(repr, point.tolist()))} 10 20 30 0.5 {pairs}")
    (folder / "points3D.txt").write_text("\n".join(lines) + "\n")
