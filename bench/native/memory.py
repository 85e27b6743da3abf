"""How this process handles memory that was freed."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt(3)


def keep_freed_memory() -> bool:
    """Have the C library keep freed memory, up to 1 GiB a block, for what is allocated next. False where it cannot.

    By default glibc gives large blocks back to the system, which clears every page anew when it hands them out again: time
    that the rasterizer's buffers and a step's tensors cost in every pass. The process goes on holding about what it once
    needed, until `bench.machine.provenance.measured`, before it measures, gives back what is unused.
    """
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    # Older versions refuse more than 32 MiB.
    blocks = library.mallopt(_MMAP_THRESHOLD, 1 << 30) or library.mallopt(_MMAP_THRESHOLD, 32 << 20)
    return bool(blocks and library.mallopt(_TRIM_THRESHOLD, 1 << 30))
