"""Depth maps from files, as numbers in the unit in which they are stored: the one place where the suite decodes them.

Never turned: a depth map lies as its file stores it, like the photo that it belongs to. No file decides how much memory is
taken: sizes are read from headers and bounded first.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import UserError
from bench.machine.files import unreadable
from bench.machine.pictures.images import EXTRA, MOST_PIXELS, open_picture, orientation_of, too_large, turned

Array = NDArray[Any]

#: Depth maps by their file's extension.
DEPTH_EXTENSIONS = frozenset({".png", ".tif", ".tiff", ".exr", ".pfm", ".npy", ".npz"})
_RANGE = "16-bit whole or floating-point numbers"


def read_depth(path: Path) -> Array:
    """A depth map as its file stores it: unscaled, unturned.

    PNG: one channel of 16 bits. TIFF: one channel of at least 16 bits, or floating point. OpenEXR: one channel, or one
    named Z or V, or equal R, G and B (package OpenEXR). PFM: one channel. .npy: numbers (H, W), an axis of length 1 before
    or after them is dropped. .npz: one such array.

    Args:
        path: A file of one of DEPTH_EXTENSIONS.

    Returns:
        (H, W) float64; NaN and infinities as stored.

    Raises:
        UserError: The file cannot be read, has no single channel of enough bits, or has more than MOST_PIXELS.
    """
    suffix = path.suffix.lower()
    if suffix not in DEPTH_EXTENSIONS:
        raise UserError(f"{path}: depth maps are read from {', '.join(sorted(DEPTH_EXTENSIONS))} files")
    if suffix in {".npy", ".npz"}:
        stored = read_numpy(path)
    elif suffix == ".exr":
        stored = _from_exr(path)
    else:
        stored = _from_picture(path)
    if stored.ndim == 3 and 1 in (stored.shape[0], stored.shape[-1]):
        stored = stored[..., 0] if stored.shape[-1] == 1 else stored[0]
    if stored.ndim != 2 or not stored.size:
        raise UserError(f"{path}: expected a depth map (H, W), found an array of shape {stored.shape}")
    if stored.dtype.kind not in "fiu" or stored.dtype.itemsize < 2:
        raise UserError(f"{path}: depth must be stored as {_RANGE}, this file holds {stored.dtype}")
    with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN
        return stored.astype(np.float64)


def read_valid(path: Path) -> Array:
    """A .npy file (H, W) that says where a depth map holds a measurement, as DIODE has it: anything but 0 is one.

    Returns:
        (H, W) bool.

    Raises:
        UserError: The file cannot be read, is no array of numbers (H, W), or has more than MOST_PIXELS.
    """
    stored = read_numpy(path)
    if stored.ndim == 3 and stored.shape[-1] == 1:
        stored = stored[..., 0]
    if stored.ndim != 2 or stored.dtype.kind not in "fiub":
        raise UserError(f"{path}: expected a mask (H, W), found {stored.dtype} of shape {stored.shape}")
    return np.nan_to_num(stored.astype(np.float64)) != 0


# ---------------------------------------------------------------------------------------------------------------- pictures


def _from_picture(path: Path) -> Array:
    from PIL import UnidentifiedImageError

    suffix = path.suffix.lower()
    if suffix == ".pfm":
        with open_picture(path, ("PPM",)) as image:
            _only_modes(path, image.mode, {"F"}, "a PFM depth map must have one channel")
            return np.array(image)
    if suffix == ".png":
        with open_picture(path, ("PNG",)) as image:
            _only_modes(path, image.mode, {"I;16", "I;16B", "I"}, "a depth PNG must have one channel of 16 bits")
            return np.array(image)
    try:
        with open_picture(path, ("TIFF",)) as image:
            orientation = orientation_of(image)
            _only_modes(path, image.mode, {"I;16", "I;16B", "I", "F"}, f"a depth TIFF must have one channel of {_RANGE}")
            return np.array(turned(image, image.format, orientation, upright=False))
    except UserError as error:
        if not isinstance(error.__cause__, UnidentifiedImageError):
            raise
        return _from_wide_tiff(path)  # numbers of 64 bits or of half precision


def _only_modes(path: Path, mode: str, modes: set[str], rule: str) -> None:
    if mode not in modes:
        raise UserError(f"{path}: {rule}, this one is of mode {mode}")


def _from_wide_tiff(path: Path) -> Array:
    try:
        import tifffile
    except ImportError as error:
        raise UserError(f"{path}: TIFF files of this kind are read by the package tifffile: {EXTRA}") from error
    try:
        with tifffile.TiffFile(path) as file:
            if len(file.pages) != 1:
                raise UserError(f"{path}: holds {len(file.pages)} pictures; save the depth map as a file of its own")
            page = file.pages.first
            _bounded(path, tuple(page.shape))
            return np.asarray(page.asarray())
    except UserError:
        raise
    except Exception as error:  # decoders raise whatever a broken file leads them to
        raise _unreadable(path, error) from error


def _from_exr(path: Path) -> Array:
    try:
        import OpenEXR
    except ImportError as error:
        raise UserError(f"{path}: OpenEXR files are read by the package OpenEXR: {EXTRA}, or save it as .npy") from error
    try:
        with OpenEXR.File(str(path), separate_channels=True, header_only=True) as file:
            if len(file.parts) != 1:
                raise UserError(f"{path}: holds {len(file.parts)} parts; save the depth map as a file of its own")
            least, most = file.header()["dataWindow"]
            _bounded(path, tuple(int(side) for side in np.asarray(most) - np.asarray(least) + 1))
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = {name: np.asarray(channel.pixels) for name, channel in file.channels().items()}
    except UserError:
        raise
    except Exception as error:  # decoders raise whatever a broken file leads them to
        raise _unreadable(path, error) from error
    return _depth_channel(path, channels)


def _depth_channel(path: Path, channels: dict[str, Array]) -> Array:
    if len(channels) == 1:
        return next(iter(channels.values()))
    named = [name for name in channels if name.rpartition(".")[2] in {"Z", "V"}]
    if len(named) == 1:
        return channels[named[0]]
    colours = [channels[name] for name in ("R", "G", "B") if name in channels]
    if set(channels) <= {"R", "G", "B", "A"} and len(colours) == 3 and _all_equal(colours):
        return colours[0]
    raise UserError(f"{path}: which of its channels is depth? It has {', '.join(sorted(channels))}; save one, named Z")


def _all_equal(layers: list[Array]) -> bool:
    return all(np.array_equal(layers[0], layer, equal_nan=True) for layer in layers[1:])


# ------------------------------------------------------------------------------------------------------------------- numpy


def read_numpy(path: Path) -> Array:
    """The array of a .npy file, or the only one of a .npz file; never unpickled.

    Raises:
        UserError: The file cannot be read, holds no real numbers or booleans, several arrays, or more than MOST_PIXELS.
    """
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as stream:
                return _array(path, stream)
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(names) != 1:
                raise UserError(f"{path}: holds {len(names)} arrays ({', '.join(names[:5])}); save the depth map alone")
            with archive.open(names[0]) as stream:
                return _array(path, stream)
    except UserError:
        raise
    except Exception as error:  # broken archives and headers raise much besides ValueError
        raise _unreadable(path, error) from error


def _array(path: Path, stream: IO[bytes]) -> Array:
    """An array, its header's size checked before its numbers are read."""
    start = stream.read(8)  # magic string and version of the format
    if start[:6] != b"\x93NUMPY" or len(start) < 8:
        raise ValueError("it is no numpy array")
    read_header = np.lib.format.read_array_header_1_0 if start[6] == 1 else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(stream)
    _bounded(path, shape)
    if min(shape, default=0) < 0:
        raise ValueError(f"its header gives the shape {shape}")
    if dtype.kind not in "fiub":
        raise UserError(f"{path}: holds {dtype}; a depth map or mask is an array of real numbers")
    count = int(np.prod(shape, dtype=np.int64))
    content = stream.read(count * dtype.itemsize)
    if len(content) < count * dtype.itemsize:
        raise ValueError(f"it ends after {len(content)} of {count * dtype.itemsize} bytes")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def _bounded(path: Path, shape: tuple[int, ...]) -> None:
    """Refuses a size before memory is taken for it."""
    count = 1
    for side in shape:
        count *= max(int(side), 0)
    if count > MOST_PIXELS:
        raise too_large(path, " x ".join(str(side) for side in shape))


def _unreadable(path: Path, error: Exception) -> UserError:
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path}: not a readable depth map: there is no such file")
    if isinstance(error, OSError) and error.errno:  # of the system, not of what the file holds
        return unreadable(path, error)
    reason = str(error) or type(error).__name__
    return UserError(f"{path}: not a readable depth map ({reason[:200]}); replace the file")
