"""What cells of a run took, for the first word on how long a run will take: `python -m bench.perf.costs RESULTS OUT.csv`."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from bench.core.cells import PERF
from bench.results.packs import bytes_of
from bench.results.pictures import picture_path
from bench.results.store import Store

PLACE = ("track", "protocol", "mode", "device")


def costs_of(folder: Path) -> pd.DataFrame:
    """What the finished cells of a results folder took.

    Returns:
        PLACE, `seconds` (median), `stored_mb` (mean, with pictures) and `cells`, a row for each place.
    """
    store = Store(folder, create=False)
    found = []
    for record in store.records():
        if record.status == "ok" and record.cell.track != PERF:
            pictures = sum(picture_path(folder, record.key, name).stat().st_size for name in record.pictures)
            place = (record.cell.track, record.cell.protocol, record.cell.mode, record.device)
            found.append((*place, record.seconds, (len(bytes_of(store.file(record.key))) + pictures) / 1e6))
    cells = pd.DataFrame(found, columns=[*PLACE, "seconds", "stored_mb"])
    groups = cells.groupby(list(PLACE))
    return groups.agg(
        seconds=("seconds", "median"), stored_mb=("stored_mb", "mean"), cells=("seconds", "size")
    ).reset_index()


if __name__ == "__main__":
    costs_of(Path(sys.argv[1])).round({"seconds": 2, "stored_mb": 2}).to_csv(sys.argv[2], index=False)
