"""What cells of a run took, for the first word on how long a run will take: `python -m bench.perf.costs RESULTS OUT.csv`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.core.cells import PERF
from bench.core.errors import UserError
from bench.machine.files import write_text
from bench.results.packs import bytes_of
from bench.results.pictures import picture_path
from bench.results.store import Store

PLACE = ("track", "protocol", "mode", "device")


def costs_of(folder: Path) -> pd.DataFrame:
    """What the finished cells of a results folder took.

    Returns:
        PLACE, `seconds` (median), `stored_mb` (mean, with the pictures that are there) and `cells`, a row for each place.

    Raises:
        UserError: Where the folder holds no results, or a file in it is at fault.
    """
    store = Store(folder, create=False)
    found = []
    for record in store.records():
        if record.status == "ok" and record.cell.track != PERF:
            paths = [picture_path(folder, record.key, name) for name in record.pictures]
            pictures = sum(path.stat().st_size for path in paths if path.is_file())  # a folder may travel without them
            place = (record.cell.track, record.cell.protocol, record.cell.mode, record.device)
            found.append((*place, record.seconds, (len(bytes_of(store.file(record.key))) + pictures) / 1e6))
    cells = pd.DataFrame(found, columns=[*PLACE, "seconds", "stored_mb"])
    groups = cells.groupby(list(PLACE))
    return groups.agg(
        seconds=("seconds", "median"), stored_mb=("stored_mb", "mean"), cells=("seconds", "size")
    ).reset_index()


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table that the command line names; exits with code 2 for a user's mistake."""
    parser = argparse.ArgumentParser(prog="python -m bench.perf.costs", description="Write what the cells of a run took.")
    parser.add_argument("results", type=Path, metavar="RESULTS", help="a results folder")
    parser.add_argument("out", type=Path, metavar="OUT.csv", help="the table to write")
    given = parser.parse_args(arguments)
    try:
        costs = costs_of(given.results).round({"seconds": 2, "stored_mb": 2})
        write_text(given.out, costs.to_csv(index=False))
    except UserError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
