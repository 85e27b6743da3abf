"""How long the rasterizers take: `python tests/benchmarks/bench_raster.py` (bench/perf/raster.py)."""

from __future__ import annotations

import argparse

from rich.console import Console

from bench.commands.perf import print_results
from bench.perf import raster
from bench.perf.timing import one_thread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, default=len(raster.SIZES), help="how many of the sizes, smallest first")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    with one_thread():
        found = list(raster.measure(raster.SIZES[: options.sizes], threads=options.threads, repeats=options.repeats))
    print_results(found, Console())


if __name__ == "__main__":
    main()
