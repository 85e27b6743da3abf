"""The exact fits in C++ (bench/native/align.cpp): many groups of rows in one call."""

from __future__ import annotations

import numpy as np

from bench.core.scenes import Array
from bench.geometry.align.problem import REASONS, Alignment, Rows, degenerate, finish
from bench.geometry.align.truncated import LIMIT
from bench.native import load


def solve_groups(
    rows: Rows, offsets: Array, shifted: tuple[bool, ...], scaled: bool, truncation: float | None
) -> list[Alignment] | None:
    """The exact fit of each group, the rows offsets[g] up to offsets[g + 1]; None where there is no native kernel."""
    library = load("align")
    if library is None:
        return None
    answers = np.empty((len(offsets) - 1, 8))  # scale, shift (3), objective, lower bound, magnitude, code
    offsets = np.ascontiguousarray(offsets, np.int64)
    flags = np.array(shifted, np.uint8)
    failed = library.align_groups(
        rows.prediction.ctypes.data,
        rows.truth.ctypes.data,
        rows.weight.ctypes.data,
        rows.weight.size,
        offsets.ctypes.data,
        len(answers),
        len(shifted),
        flags.ctypes.data,
        int(scaled),
        truncation or 0.0,
        LIMIT,
        answers.ctypes.data,
    )
    if failed:
        raise MemoryError("alignment: the native kernel ran out of memory")
    counts = np.diff(offsets)
    return [_alignment(answer, int(count), len(shifted)) for answer, count in zip(answers, counts, strict=True)]


def _alignment(answer: Array, rows: int, channels: int) -> Alignment:
    if answer[7]:
        return degenerate(REASONS[int(answer[7])], "exact", rows, channels)
    scale, objective, bound, magnitude = (float(answer[index]) for index in (0, 4, 5, 6))
    return finish(scale, answer[1 : 1 + channels].copy(), objective, bound, magnitude, "exact", rows)
