"""The cost of several ways to compute one thing: CPU time beside wall time, spread, peak memory, deviation.

The ways take turns within one process, so that a busy machine slows all of them and their ratio stays.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.machine.provenance import measured
from bench.native.memory import keep_freed_memory

Compute = Callable[[], Sequence[Tensor]]
_FEWEST = 3


@dataclass(frozen=True)
class Result:
    """One way (`path`) to compute one `case` of one `part` of the suite.

    cpu_ms: CPU time of all threads, median; low_ms, high_ms: its 10th and 90th percentile. wall_ms: median. reference: the
    path that the next two compare with. ratio: CPU time of the reference over this path's. deviation: the largest relative
    deviation (L2 norm) of an output from the reference's. peak_mb: memory (MiB) that one pass needs beyond what is there
    before. NaN where a number was not measured; `note` says why.
    """

    part: str
    case: str
    path: str
    reference: str
    cpu_ms: float = math.nan
    low_ms: float = math.nan
    high_ms: float = math.nan
    wall_ms: float = math.nan
    ratio: float = math.nan
    peak_mb: float = math.nan
    deviation: float = math.nan
    note: str = ""


def compare(
    part: str,
    case: str,
    paths: Mapping[str, Compute],
    repeats: int,
    *,
    slow: Collection[str] = (),
    notes: Mapping[str, str] | None = None,
) -> list[Result]:
    """A result for each path; the first is the reference, and all give the same outputs up to rounding.

    Each path runs once to warm up (its outputs are compared), once for its memory, then `repeats` times, those named in
    `slow` a fifth as often, at least three times, spread over the others: a processor that others share is slow for seconds
    on end.
    """
    reference = next(iter(paths))
    outputs = {name: [output.detach().clone() for output in compute()] for name, compute in paths.items()}
    peaks = {name: _peak(compute) for name, compute in paths.items()}
    counts = {name: min(repeats, max(_FEWEST, repeats // 5)) if name in slow else repeats for name in paths}
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in paths}
    for repeat in range(repeats):
        for name, compute in paths.items():
            if (repeat + 1) * counts[name] // repeats > repeat * counts[name] // repeats:
                samples[name].append(timed(compute))
    cpu = {name: np.asarray(values)[:, 0] for name, values in samples.items()}
    results = []
    for name, values in samples.items():
        low, median, high = map(float, np.percentile(cpu[name], [10, 50, 90]))
        results.append(
            Result(
                part,
                case,
                name,
                reference,
                cpu_ms=median,
                low_ms=low,
                high_ms=high,
                wall_ms=float(np.median(np.asarray(values)[:, 1])),
                ratio=float(np.median(cpu[reference])) / median if median else math.nan,
                peak_mb=peaks[name],
                deviation=_deviation(outputs[name], outputs[reference]),
                note=(notes or {}).get(name, ""),
            )
        )
    return results


def timed(compute: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall milliseconds of one call."""
    cpu, wall = time.process_time(), time.perf_counter()
    compute()
    return 1e3 * (time.process_time() - cpu), 1e3 * (time.perf_counter() - wall)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread within the block, and freed memory kept from then on, as where cells are run: ratios of CPU times,
    not of how well work spreads."""
    keep_freed_memory()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _peak(compute: Compute) -> float:
    """MiB by which the process grows in one pass; NaN where the system cannot tell."""
    if not Path("/proc/self/clear_refs").exists():
        return math.nan
    with measured("cpu") as before:
        pass
    with measured("cpu") as within:
        compute()
    return within.peak_memory_mb - before.peak_memory_mb


def _deviation(own: Sequence[Tensor], true: Sequence[Tensor]) -> float:
    """The largest relative L2 distance between outputs."""
    return max(
        ((one.double() - other.double()).norm() / other.double().norm().clamp(min=1e-30)).item()
        for one, other in zip(own, true, strict=True)
    )
