"""The exact L1 alignment against HiGHS, statsmodels' QuantReg, the published same-point solver and its own NumPy version.

Run `python tests/benchmarks/bench_align.py` (bench/perf/align.py measures); `--sizes 1000 4096` shortens it,
`--fuzz SECONDS` compares with independent answers on random problems instead.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console

from bench.commands.perf import print_results
from bench.native import without_kernels
from bench.perf import align as perf
from bench.perf.timing import one_thread
from bench.types import Array

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "geometry"))
from align_oracles import SHIFTED, align, exhaustive, linear_programme, problems


def quantreg(p: Array, q: Array, w: Array, variant: str) -> float:
    """The objective that statsmodels' median regression reaches on the weighted rows (it iterates to a tolerance)."""
    from statsmodels.regression.quantile_regression import QuantReg

    n, channels = p.shape
    which = np.repeat(np.arange(channels), n)
    columns = [p.T.ravel(), *((which == channel).astype(float) for channel in np.flatnonzero(SHIFTED[variant]))]
    weights, design = np.tile(w, channels), np.stack(columns, axis=1)
    found = QuantReg(q.T.ravel() * weights, design * weights[:, None]).fit(q=0.5).params
    return float((weights * np.abs(design @ found - q.T.ravel())).sum())


#: With the number of points above which they take too long.
OTHERS: dict[str, tuple[perf.Solver, int]] = {
    "QuantReg": (quantreg, 16_384),
    "HiGHS": (lambda p, q, w, variant: linear_programme(p, q, w, SHIFTED[variant]), 4_096),
}


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
            with without_kernels() if numpy_only else contextlib.nullcontext():
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
    parser.add_argument("--sizes", type=int, nargs="+", default=perf.SIZES)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--fuzz", type=float, metavar="SECONDS", help="compare with independent answers instead")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.fuzz:
        print(fuzz(options.fuzz, options.seed))
        return
    with one_thread():
        print_results(list(perf.measure(options.sizes, repeats=options.repeats, others=OTHERS)), Console())


if __name__ == "__main__":
    main()
