"""DTU and other objects as IDR and NeuS store them: `image/`, `mask/`, and projection matrices in one .npz file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from scipy.linalg import rq

from bench.core.scenes import nearest
from bench.machine.pictures.images import photo_size, pictures_in, read_mask
from bench.types import Array, UserError
from registry.datasets.formats.mvsnet import lens_of
from registry.datasets.formats.transforms import check_proportions
from registry.datasets.reading.layout import Layout
from registry.datasets.reading.photo_set import Photo, PhotoSet, ReadExtras, usable

CAMERAS = ("cameras_sphere.npz", "cameras.npz")
_MOST_BYTES = 2**28


def read_idr(folder: Path) -> PhotoSet:
    """`image/<number>.png`, `mask/<number>.png`, and `cameras_sphere.npz` (NeuS) or `cameras.npz` (IDR).

    `world_mat_<i>` (4, 4) is the projection K [R | t] into photo number i, counted from 0 as its name says. Lengths are
    those of the matrices (millimetres in DTU): `scale_mat_<i>`, which maps the unit sphere to the object, is not applied.

    Raises:
        UserError: The file is damaged, or fewer than two photos can be used.
    """
    file = next(folder / name for name in CAMERAS if (folder / name).is_file())
    matrices = _matrices(file)
    paths = pictures_in(folder / "image")

    def make(path: Path) -> Photo:
        if not path.stem.isdecimal():
            raise UserError("its name is no number, by which world_mat_<number> could be found")
        key = f"world_mat_{int(path.stem)}"
        if key not in matrices:
            raise UserError(f"{file.name} has no {key}")
        try:
            intrinsics, pose = decomposed(matrices[key])
            lens = lens_of(intrinsics, *photo_size(path))
        except UserError as error:
            raise UserError(f"{file.name}: {key} {error}") from error
        mask = _mask_file(folder, path)
        return Photo(path.stem, path, lens, pose, (mask,) if mask else (), _mask(mask) if mask else None)

    photos, left_out = usable(((path.name, path) for path in paths), make, one_size=True)
    used = {f"world_mat_{int(path.stem)}" for path in paths if path.stem.isdecimal()}
    without = sum(key.startswith("world_mat_") and "inv" not in key and key not in used for key in matrices)
    unused = (*(["scale_mat (lengths stay as they are)"] if any(key.startswith("scale_mat") for key in matrices) else []),)
    if without:
        unused += (f"{without} matrices of photos that are not there",)
    return PhotoSet(folder, f"IDR / NeuS ({file.name})", tuple(photos), (file,), left_out=left_out, unused=unused)


def decomposed(projection: Array) -> tuple[Array, Array]:
    """The calibration (3, 3), its last entry 1, and world-to-camera (4, 4) of a projection matrix K [R | t].

    Args:
        projection: (3, 4) or (4, 4), of any positive scale.

    Raises:
        UserError: It is of another shape, not finite, singular, or a reflection.
    """
    if projection.shape not in {(3, 4), (4, 4)} or projection.dtype.kind not in "fiu":
        raise UserError(f"is no 3x4 or 4x4 matrix of numbers, but {projection.dtype} {projection.shape}")
    values = projection[:3].astype(np.float64)
    if not np.isfinite(values).all():
        raise UserError("holds numbers that are not finite")
    determinant = float(np.linalg.det(values[:, :3]))
    if not np.isfinite(determinant) or abs(determinant) < 1e-12 * float(np.abs(values[:, :3]).max()) ** 3:
        raise UserError("is singular")
    if determinant < 0:
        raise UserError("is a reflection (its determinant is negative)")
    upper, rotation = rq(values[:, :3])
    signs = np.sign(np.diag(upper))
    upper, rotation = upper * signs, signs[:, None] * rotation
    pose = np.eye(4)
    pose[:3, :3] = rotation
    pose[:3, 3] = np.linalg.solve(upper, values[:, 3])
    return upper / upper[2, 2], pose


def _matrices(path: Path) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MOST_BYTES:
                raise UserError(f"{path}: its arrays take more than {_MOST_BYTES >> 20} MB; it should hold 4x4 matrices")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except UserError:
        raise
    except Exception as error:  # broken archives and headers raise much besides ValueError
        reason = str(error)[:200] or type(error).__name__
        raise UserError(f"{path}: not a readable NumPy archive ({reason}); replace it") from error


def _mask_file(folder: Path, photo: Path) -> Path | None:
    """The photo's mask, by the number that is its name; None where the scene has no masks."""
    masks = {int(path.stem): path for path in pictures_in(folder / "mask") if path.stem.isdecimal()}
    if not masks:
        return None
    if int(photo.stem) not in masks:
        raise UserError(f"its mask is missing in {folder / 'mask'}; other photos have theirs")
    return masks[int(photo.stem)]


def _mask(path: Path) -> ReadExtras:
    def read(width: int, height: int) -> tuple[Array | None, Array | None]:
        mask = read_mask(path)
        check_proportions(path, mask, width, height)
        return None, nearest(mask, height, width)

    return read


IDR = Layout(
    lambda folder: any((folder / name).is_file() for name in CAMERAS) and (folder / "image").is_dir(),
    read_idr,
)
