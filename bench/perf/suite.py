"""What `bench perf` runs, and how a result becomes a cell of the store like any other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from bench.core.cells import NOT_APPLICABLE, PERF, Cell, Measurement
from bench.machine.digests import json_digest
from bench.machine.provenance import provenance
from bench.perf import align, raster, readout, step
from bench.perf.timing import Result, one_thread
from bench.results.record import CellRecord

PROTOCOL = "perf-v1"
#: Metric -> (field of a Result, unit, higher is better).
METRICS: dict[str, tuple[str, str, bool | None]] = {
    "cpu_time": ("cpu_ms", "ms", False),
    "cpu_time_p10": ("low_ms", "ms", False),
    "cpu_time_p90": ("high_ms", "ms", False),
    "wall_time": ("wall_ms", "ms", False),
    "speedup": ("ratio", "x", True),
    "peak_memory": ("peak_mb", "MiB", False),
    "deviation": ("deviation", "", False),
}


@dataclass(frozen=True)
class Sizes:
    """Which cases are measured; the fields are what the parts' `measure` take."""

    images: tuple[tuple[int, int], ...] = raster.SIZES[:1]
    kinds: tuple[str, ...] = raster.KINDS
    threads: tuple[int, ...] = (1, 2)
    grids: tuple[str, ...] = ("37k",)
    channels: tuple[int, ...] = (256,)
    modes: tuple[str, ...] = ("A",)
    points: tuple[int, ...] = (1_000, 4_096)
    variants: tuple[str, ...] = ("depth", "xyz")
    step_image: tuple[int, int] = step.SIZE
    step_channels: int = step.CHANNELS
    patches: tuple[int, int] = step.PATCHES
    cells: tuple[str, ...] = ()
    repeats: int = 7


QUICK = Sizes()
FULL = Sizes(
    images=raster.SIZES,
    grids=tuple(readout.SIZES),
    channels=readout.CHANNELS,
    modes=readout.MODES,
    points=align.SIZES,
    variants=align.VARIANTS,
    cells=("A", "Gft"),
    repeats=9,
)


def measure(sizes: Sizes) -> Iterator[Result]:
    """Every case of every part, one after the other, torch on one thread."""
    with one_thread():
        yield from raster.measure(sizes.images, sizes.kinds, sizes.threads, sizes.repeats)
        yield from readout.measure(sizes.grids, sizes.channels, sizes.modes, sizes.repeats)
        yield from align.measure(sizes.points, sizes.variants, sizes.repeats)
        yield from step.measure(sizes.step_image, sizes.patches, sizes.step_channels, sizes.modes, sizes.repeats)
        yield from step.measure_cells(sizes.cells)


def cell_record(result: Result) -> CellRecord:
    """The result as a finished cell of the track "perf": the part is its data set, the case its scene, the path its model.

    Its key stands for what was measured on which machine by which code; measuring again replaces it.
    """
    cell = Cell(PERF, result.part, result.case, result.path, NOT_APPLICABLE, NOT_APPLICABLE, PROTOCOL, 0)
    origin = provenance("cpu")
    return CellRecord(
        key=json_digest({"cell": asdict(cell), "origin": origin}),
        cell=cell,
        status="ok",
        weights="none",
        measurements=tuple(_measurement(result, metric) for metric in METRICS),
        seconds=_at_least_zero(result.wall_ms / 1e3),
        peak_memory_mb=_at_least_zero(result.peak_mb),
        provenance=origin,
    )


def _at_least_zero(value: float) -> float:
    """A difference of two peaks may be negative; what was not measured stays NaN."""
    return 0.0 if value < 0 else value


def _measurement(result: Result, metric: str) -> Measurement:
    field, unit, higher = METRICS[metric]
    value: float = getattr(result, field)
    against = f"against {result.reference}" if metric in ("speedup", "deviation") else ""
    note = "; ".join(part for part in (against, result.note) if part)
    if math.isfinite(value):
        return Measurement(metric, value, unit=unit, higher_is_better=higher, note=note)
    missing = note or "cannot be told on this system"
    return Measurement(metric, math.nan, unit=unit, higher_is_better=higher, status="unavailable", note=missing)
