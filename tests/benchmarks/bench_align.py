"""The exact L1 alignment against HiGHS, statsmodels' QuantReg and the published same-point solver: time and objective.

Run `python tests/benchmarks/bench_align.py`; `--sizes 1000 4096` shortens it, `--fuzz SECONDS` compares with independent
answers on random problems instead. All solvers run in one process, one after the other on the same data; what counts is
the ratio of their CPU times.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from unittest import mock

import numpy as np

from bench.geometry.align import native
from bench.native import missing
from bench.types import Array

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "geometry"))
from align_oracles import SHIFTED, align, channels_of, exhaustive, linear_programme, problems

SIZES = (1_000, 4_096, 16_384, 65_536, 300_000)
VARIANTS = ("depth", "z", "xyz")
TRUNCATED_UP_TO = 4_096
Result = TypeVar("Result")
GROWTH = {"HiGHS": 2.0}  #: the power of the number of points that its time grows with, where not about 1.2
PATIENCE = 60.0  #: seconds that a solver may be expected to take before it is skipped


@dataclass(frozen=True)
class Row:
    """One measurement. milliseconds: the best of the repeats, CPU time. ratio: over the exact fit of the same case. excess:
    of the objective over the exact one, relative. note: why a solver was skipped (numbers NaN), or "certified"."""

    variant: str
    points: int
    truncation: float | None
    solver: str
    milliseconds: float
    ratio: float
    excess: float
    note: str = ""


def scene(points: int, channels: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """Simulated: a prediction with a smooth warp, heavy-tailed noise and 3 % of flying points; weights 1 / depth."""
    rng = np.random.default_rng(seed)
    z = np.exp(rng.normal(1.5, 0.5, points))
    truth = np.stack([z * rng.uniform(-0.6, 0.6, points), z * rng.uniform(-0.45, 0.45, points), z], axis=1)
    factor = 1 + 0.08 * np.sin(3 * truth[:, 0] / z) + 0.03 * rng.standard_t(3, points)
    factor *= np.where(rng.random(points) < 0.03, rng.uniform(0.3, 3, points), 1.0)
    prediction = (truth * factor[:, None] - np.array([0.1, -0.2, 0.8])) / 1.6
    return prediction[:, -channels:], truth[:, -channels:], 1 / z


def quantreg(p: Array, q: Array, w: Array, shifted: tuple[bool, ...]) -> float:
    """The objective that statsmodels' median regression reaches on the weighted rows (it iterates to a tolerance)."""
    from statsmodels.regression.quantile_regression import QuantReg

    n, channels = p.shape
    which = np.repeat(np.arange(channels), n)
    columns = [p.T.ravel(), *((which == channel).astype(float) for channel in np.flatnonzero(shifted))]
    weights, design = np.tile(w, channels), np.stack(columns, axis=1)
    found = QuantReg(q.T.ravel() * weights, design * weights[:, None]).fit(q=0.5).params
    return float((weights * np.abs(design @ found - q.T.ravel())).sum())


def measure(sizes: Sequence[int] = SIZES, repeats: int = 5, truncation: float = 1.0) -> list[Row]:
    """Every solver on every variant and size, and the truncated fit up to 4096 points. A solver that would take more than a
    minute, going by its time at the last size and its growth, is skipped, and the row says so."""
    return list(_rows(sizes, repeats, truncation))


def _rows(sizes: Sequence[int], repeats: int, truncation: float) -> Iterator[Row]:
    for variant in VARIANTS:
        last: dict[str, tuple[int, float]] = {}
        for points in sizes:
            case = scene(points, channels_of(variant))
            yield from _untruncated(variant, points, case, repeats, last)
            if points <= TRUNCATED_UP_TO:
                yield from _truncated(variant, points, case, repeats, truncation)


def _untruncated(
    variant: str, points: int, case: tuple[Array, Array, Array], repeats: int, last: dict[str, tuple[int, float]]
) -> Iterator[Row]:
    exact, seconds = _time(lambda: align(*case, variant), repeats)
    yield Row(variant, points, None, "exact", 1e3 * seconds, 1.0, 0.0, "certified" if exact.certified else "NOT CERTIFIED")
    others: dict[str, Callable[[], float]] = {
        "exact, NumPy": lambda: _without_native(lambda: align(*case, variant).objective),
        "official": lambda: align(*case, variant, method="official").objective,
        "QuantReg": lambda: quantreg(*case, SHIFTED[variant]),
        "HiGHS": lambda: linear_programme(*case, SHIFTED[variant]),
    }
    for solver, solve in others.items():
        before = last.get(solver)
        expected = before[1] * (points / before[0]) ** GROWTH.get(solver, 1.2) if before else 0.0
        if expected > PATIENCE:
            reason = f"skipped: {before[1]:.1f} s at {before[0]} points, about {expected:.0f} s expected" if before else ""
            yield Row(variant, points, None, solver, np.nan, np.nan, np.nan, reason)
            continue
        objective, taken = _time(solve, 1 if expected > 2 else min(repeats, 3))
        last[solver] = (points, taken)
        yield Row(variant, points, None, solver, 1e3 * taken, taken / seconds, objective / exact.objective - 1)


def _truncated(
    variant: str, points: int, case: tuple[Array, Array, Array], repeats: int, truncation: float
) -> Iterator[Row]:
    exact, seconds = _time(lambda: align(*case, variant, truncation=truncation), repeats)
    note = "certified" if exact.certified else "NOT CERTIFIED"
    yield Row(variant, points, truncation, "exact", 1e3 * seconds, 1.0, 0.0, note)
    other, taken = _time(lambda: _without_native(lambda: align(*case, variant, truncation=truncation).objective), 1)
    yield Row(variant, points, truncation, "exact, NumPy", 1e3 * taken, taken / seconds, other / exact.objective - 1)


def _without_native(solve: Callable[[], Result]) -> Result:
    with mock.patch.object(native, "load", return_value=None):
        return solve()


def _time(solve: Callable[[], Result], repeats: int) -> tuple[Result, float]:
    """The result, and the least CPU seconds of the repeats."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        result = solve()
        times.append(time.process_time() - start)
    return result, min(times)


def fuzz(seconds: float, seed: int) -> str:
    """Random problems against HiGHS and exhaustive search, natively and in NumPy in turns. Raises AssertionError with the
    problem's number at the first answer above the optimum, below it, or certified and wrong."""
    counts = {"linear programmes": 0, "exhaustive searches": 0, "not certified": 0}
    worst, start = 0.0, time.monotonic()
    for number in itertools.count(seed):
        if time.monotonic() - start > seconds:
            break
        variant, truncation = ("depth", "none", "z", "xyz")[number % 4], (None, None, 0.3, 1.0)[number // 4 % 4]
        high = 120 if truncation is None else {"depth": 80, "none": 40, "z": 68, "xyz": 42}[variant]
        numpy_only = number // 16 % 4 == 0
        for p, q, w in problems(variant, 6, 2, high, seed=number):
            with mock.patch.object(native, "load", return_value=None) if numpy_only else contextlib.nullcontext():
                fit = align(p, q, w, variant, truncation=truncation)
            if fit.status != "ok":
                continue
            rounding = 1e-13 * float((np.abs(q).T @ w).sum())
            if truncation is None:
                optimum = linear_programme(p, q, w, SHIFTED[variant])
            else:
                optimum = exhaustive(p, q, w, SHIFTED[variant], truncation)
            counts["linear programmes" if truncation is None else "exhaustive searches"] += 1
            about = f"problem {number}: {variant}, truncation {truncation}, {len(p)} rows: {fit}, optimum {optimum}"
            assert fit.objective >= optimum * (1 - 1e-9) - rounding, f"below the optimum: {about}"
            assert fit.lower_bound <= optimum * (1 + 1e-9) + rounding, f"a bound above the optimum: {about}"
            if fit.certified:
                worst = max(worst, (fit.objective - optimum - rounding) / max(optimum, rounding))
                assert fit.objective <= optimum * (1 + 1.1e-9) + rounding, f"certified and wrong: {about}"
            counts["not certified"] += not fit.certified
            assert fit.certified or truncation is not None, f"not certified: {about}"
    return f"{counts}; largest relative excess of a certified fit {worst:.1e}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--fuzz", type=float, metavar="SECONDS", help="compare with independent answers instead")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"native kernel: {missing('align') or 'yes'}")
    if options.fuzz:
        print(fuzz(options.fuzz, options.seed))
        return
    print(f"{'variant':8}{'points':>8} {'tau':>5}  {'solver':14}{'ms':>12}{'ratio':>10}{'excess':>11}")
    for row in _rows(options.sizes, options.repeats, truncation=1.0):
        tau = "-" if row.truncation is None else f"{row.truncation:g}"
        numbers = f"{row.milliseconds:12.2f}{row.ratio:10.1f}{row.excess:11.1e}" if np.isfinite(row.ratio) else " " * 33
        print(f"{row.variant:8}{row.points:8} {tau:>5}  {row.solver:14}{numbers}  {row.note}", flush=True)


if __name__ == "__main__":
    main()
