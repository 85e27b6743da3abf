"""The C interface of the kernels, declared once: a function that is called with other arguments raises, instead of reading
memory that is not its own.

It must be changed together with the `extern "C"` functions of raster.cpp, readout.cpp and align.cpp.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

_POINTER, _INT, _INT32, _INT64, _DOUBLE = (
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_int32,
    ctypes.c_int64,
    ctypes.c_double,
)
_NUMBERS, _ADDRESSES = ctypes.POINTER(_INT64), ctypes.POINTER(_POINTER)


class RasterScene(ctypes.Structure):
    """`struct Scene` of raster_scene.hpp."""

    _fields_ = (
        *((name, _POINTER) for name in ("means", "quaternions", "scales", "opacities", "harmonics")),
        *((name, _POINTER) for name in ("world_to_camera", "intrinsics")),
        ("count", _INT64),
        *((name, _INT32) for name in ("stored", "evaluated", "width", "height", "threads")),
        *((name, ctypes.c_float) for name in ("alpha_max", "near", "low_pass")),
    )


_SCENE = ctypes.POINTER(RasterScene)
_READOUT = (_NUMBERS, _POINTER, _NUMBERS, _ADDRESSES, _ADDRESSES, _POINTER, _INT64, _ADDRESSES)
_PIXELS = (_NUMBERS, _POINTER, _POINTER, _POINTER, _NUMBERS, _ADDRESSES, _ADDRESSES, _POINTER, _ADDRESSES)

#: kernel -> function -> (type of the result, types of the arguments)
SIGNATURES: Mapping[str, Mapping[str, tuple[Any, Sequence[Any]]]] = {
    "raster": {
        "raster_forward": (_POINTER, (_SCENE, *[_POINTER] * 3)),
        "raster_backward": (_INT, (_SCENE, *[_POINTER] * 10)),
        "raster_free": (None, (_POINTER,)),
    },
    "readout": {
        "readout_forward": (_INT, (*_READOUT, _INT)),
        "readout_backward": (_INT, (*_READOUT, _POINTER, _POINTER, _INT)),
        "pixels_forward": (_INT, _PIXELS),
        "pixels_backward": (_INT, (*_PIXELS, _NUMBERS, *[_POINTER] * 4)),
    },
    "align": {
        "align_groups": (
            _INT,
            (*[_POINTER] * 3, _INT64, _POINTER, _INT64, _INT32, _POINTER, _INT32, _DOUBLE, _DOUBLE, _POINTER),
        ),
    },
}


def declare(kernel: str, library: ctypes.CDLL) -> None:
    """Give every function of a library its types. Raises AttributeError where the library lacks one."""
    for name, (result, arguments) in SIGNATURES.get(kernel, {}).items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, list(arguments)


def addresses(values: Sequence[Any]) -> Any:
    """An array of pointers to the memory of tensors (`data_ptr`)."""
    return (_POINTER * len(values))(*(value.data_ptr() for value in values))


def numbers(values: Sequence[int]) -> Any:
    """An array of 64-bit integers."""
    return (_INT64 * len(values))(*values)
