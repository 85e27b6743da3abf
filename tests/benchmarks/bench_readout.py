"""How long the readout and the rendering loss take: `python tests/benchmarks/bench_readout.py` (bench/perf/readout.py)."""

from __future__ import annotations

import argparse

from rich.console import Console

from bench.commands.perf import print_results
from bench.perf import readout
from bench.perf.timing import one_thread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=readout.SIZES, default=list(readout.SIZES))
    parser.add_argument("--channels", nargs="+", type=int, default=list(readout.CHANNELS))
    parser.add_argument("--modes", nargs="+", choices=readout.MODES, default=list(readout.MODES))
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with one_thread():
        found = list(readout.measure(options.sizes, options.channels, options.modes, options.repeats))
    print_results(found, Console())


if __name__ == "__main__":
    main()
