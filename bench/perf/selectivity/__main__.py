"""The command: runs cells, writes cells.csv and what is counted from it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

import bench.perf.selectivity
from bench.perf.selectivity.cells import Study
from bench.perf.selectivity.figure import draw_scale
from bench.perf.selectivity.parts import FERN, PARTS, STUDIED, sources
from bench.perf.selectivity.tables import by_scene, differences, order_against_scale, scale_curves, variance_ratio


def main(folder: Path, parts: Sequence[str], root: Path | None) -> None:
    """Run the parts; writes cells.csv and, from all its rows, what `count` says."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    study = Study(STUDIED, sources(root), folder / "cells.csv", folder / "features")
    wanted = {cell for part in parts for cell in PARTS[part]}
    cells = [cell for cell in wanted if cell.scene in study.sources]
    if len(cells) < len(wanted):
        print(f"without {len(wanted) - len(cells)} cells of {FERN}: name the folder that holds llff with --data-root")
    for number, cell in enumerate(study.run(cells), start=1):
        print(f"{number}/{len(cells)}: {cell}", flush=True)
    count(folder)


def count(folder: Path) -> None:
    """Write what the rows of cells.csv say together, a CSV each, and the figure of the scale curves."""
    cells = pd.read_csv(folder / "cells.csv")
    curves = scale_curves(cells)
    tables = {
        "summary": differences(cells),
        "order": order_against_scale(curves),
        "variance": variance_ratio(cells),
        "scenes": by_scene(cells),
    }
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False, float_format="%.4g", lineterminator="\n")
    draw_scale(curves, folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m bench.perf.selectivity",
        description=bench.perf.selectivity.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=PARTS, action="append", help="all where none is named")
    parser.add_argument("--rows-only", action="store_true", help="tables and figure of the rows that are there")
    parser.add_argument("--data-root", type=Path, help="the folder that holds llff/fern")
    given = parser.parse_args()
    if given.rows_only:
        count(given.folder)
    else:
        main(given.folder, given.part or list(PARTS), given.data_root)
