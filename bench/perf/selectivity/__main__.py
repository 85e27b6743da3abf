"""The command: runs cells, writes cells.csv and what is counted from it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

import bench.perf.selectivity
from bench.perf.selectivity.cells import Study
from bench.perf.selectivity.parts import FERN, PARTS, STUDIED, sources
from bench.perf.selectivity.tables import differences


def main(folder: Path, parts: Sequence[str], root: Path | None) -> None:
    """Run the parts; writes cells.csv and, from all its rows, summary.csv."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    study = Study(STUDIED, sources(root), folder / "cells.csv", folder / "features")
    wanted = {cell for part in parts for cell in PARTS[part]}
    cells = [cell for cell in wanted if cell.scene in study.sources]
    if len(cells) < len(wanted):
        print(f"without {len(wanted) - len(cells)} cells of {FERN}: name the folder that holds llff with --data-root")
    for number, cell in enumerate(study.run(cells), start=1):
        print(f"{number}/{len(cells)}: {cell}", flush=True)
    summary = differences(pd.read_csv(study.out))
    summary.to_csv(folder / "summary.csv", index=False, float_format="%.4g", lineterminator="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m bench.perf.selectivity",
        description=bench.perf.selectivity.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=PARTS, action="append", help="all where none is named")
    parser.add_argument("--data-root", type=Path, help="the folder that holds llff/fern")
    given = parser.parse_args()
    main(given.folder, given.part or list(PARTS), given.data_root)
