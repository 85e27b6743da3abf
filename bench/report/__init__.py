"""Reports of results folders: tables, figures, pages, the leaderboard. `bench.report(folder)` writes one.

The room and the function of the front door share a name, so the module itself can be called.
"""

from __future__ import annotations

import sys
from os import PathLike
from pathlib import Path
from types import ModuleType

from bench.core.names import Names, names_in

FORMATS = ("html", "md", "latex", "csv")


class _Report(ModuleType):
    def __call__(
        self,
        *folders: str | PathLike[str],
        out: str | PathLike[str] | None = None,
        formats: Names = FORMATS,
    ) -> Path:
        """Write the report of results folders; trains and downloads nothing.

        Args:
            folders: Results folders, by default results/run; "published" stands for the papers' own tables.
            out: The report's folder; by default reports/<name of the first folder>.
            formats: Of html, md, latex, csv, as one text with commas or as a sequence.

        Returns:
            The first file written: index.html, where html is asked for.

        Raises:
            bench.core.errors.UserError: For a folder without results or an unknown format.
        """
        from bench.report.build import build_report

        chosen = [Path(folder) for folder in folders or ("results/run",)]
        return build_report(chosen, Path(out) if out else Path("reports") / chosen[0].resolve().name, names_in(formats))


sys.modules[__name__].__class__ = _Report
