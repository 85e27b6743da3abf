"""Tables that travel with the package: CSV files of results/published and results/reproduced."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.core.errors import UserError

PUBLISHED, REPRODUCED = "published", "reproduced"  #: the folders of a checkout


def shipped_table(folder: str, name: str) -> pd.DataFrame:
    """A CSV file with every cell as the text that stands in it.

    Args:
        folder: PUBLISHED or REPRODUCED.
        name: Of the file, without its ending.

    Raises:
        UserError: Where the file did not come with this installation.
    """
    package = Path(__file__).parents[2]
    installed = package / f"{folder}_tables"
    path = (installed if installed.is_dir() else package.parent / "results" / folder) / f"{name}.csv"
    if not path.is_file():
        raise UserError(f"{path} is missing: the {folder} tables did not come with this installation; install it again")
    return pd.read_csv(path, dtype=str, keep_default_na=False)
