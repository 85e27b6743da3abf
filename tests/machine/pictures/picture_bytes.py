"""Picture files written byte by byte, so that a reader is checked against the formats and not against Pillow's writer."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np


def png(
    values: np.ndarray,
    colour_type: int,
    depth: int = 8,
    chunks: Sequence[tuple[bytes, bytes]] = (),
    size: tuple[int, int] | None = None,
) -> bytes:
    """A PNG (W3C, third edition) of values (H, W) or (H, W, C); depth: 8 or 16 bits a sample; chunks: before the pixels."""
    height, width = size or values.shape[:2]
    samples = values.astype(">u2" if depth == 16 else np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(
    content: bytes,
    width: int,
    height: int,
    bits: Sequence[int],
    photometric: int = 1,
    sample_format: int = 1,
    order: str = "<",
    **extra: int,
) -> bytes:
    """A TIFF 6.0 file of one uncompressed strip; extra: orientation (tag 274), planar (284), extra_samples
    (338)."""
    tags: dict[int, tuple[int, Sequence[int]]] = {
        256: (3, [width]),
        257: (3, [height]),
        258: (3, list(bits)),
        259: (3, [1]),
        262: (3, [photometric]),
        273: (4, [0]),
        277: (3, [len(bits)]),
        278: (3, [height]),
        279: (4, [len(content)]),
        339: (3, [sample_format] * len(bits)),
    }
    numbers = {"orientation": 274, "planar": 284, "extra_samples": 338}
    tags |= {numbers[name]: (3, [value]) for name, value in extra.items()}
    entries_at = 8 + len(content) + len(content) % 2
    beyond_at = entries_at + 2 + 12 * len(tags) + 4
    entries, beyond = b"", b""
    for tag in sorted(tags):
        kind, values = tags[tag]
        values = [8] if tag == 273 else values
        packed = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            field = struct.pack(f"{order}I", beyond_at + len(beyond))
            beyond += packed
        else:
            field = packed.ljust(4, b"\0")
        entries += struct.pack(f"{order}HHI", tag, kind, len(values)) + field
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, entries_at)
    body = content + b"\0" * (len(content) % 2)
    return head + body + struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", 0) + beyond


def exif(orientation: int) -> bytes:
    """An EXIF block (TIFF structure) that states an orientation and nothing else."""
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)
