"""The leaderboard: one HTML file that opens from disk, with everything in it and no way out to the network.

The table is DataTables, read at report time from the installed package `itables`. The content security policy allows only
the scripts that are written here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from bench.core.cells import INSTANTSPLAT, OVER_DATASETS
from bench.core.errors import UserError
from bench.machine.files import write_text
from bench.report.figures.gallery import Stored
from bench.report.leaderboard.data import leaderboard_data

FILE = "leaderboard.html"
#: a transparent pixel: an image must have a source, also before one is chosen
_BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  #: characters that HTML forbids
_EXPORT = re.compile(r"export\s*\{[^{}]*?([\w$]+) as default\b[^{}]*\};?")


def write_leaderboard(
    stored: Sequence[Stored],
    rows: pd.DataFrame,
    means: pd.DataFrame,
    out: Path,
    confirmed: frozenset[str] = frozenset(),
    pages: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Write out/leaderboard.html. The same input gives the same bytes.

    Args:
        stored: The cells whose pictures may be shown.
        rows: Measured (bench.results.schema.ROW_COLUMNS), maybe none; the published ones stand beside them.
        means: Of the rows (bench.report.say.means.table_means).
        out: The report's folder.
        confirmed: The keys of cells that another machine gave alike.
        pages: By network, the file in `out` that is its page.

    Raises:
        UserError: Where a picture is lost or the installed itables cannot be used.
    """
    page = to_page({**leaderboard_data(stored, rows, means, confirmed), "pages": dict(pages)})
    write_text(out / FILE, page)
    return out / FILE


def to_page(data: dict[str, Any]) -> str:
    """The HTML of `leaderboard_data`: style, scripts, data and pictures in one text."""
    from jinja2 import Environment, PackageLoader, select_autoescape

    environment = Environment(
        loader=PackageLoader("bench.report.leaderboard"), autoescape=select_autoescape(["html", "j2"]), trim_blocks=True
    )
    scripts = [_datatables(), "\n".join(map(_template, ("leaderboard.js", "leaderboard_extras.js")))]
    return environment.get_template("leaderboard.html.j2").render(
        data=json.dumps(data, ensure_ascii=False, separators=(",", ":"), sort_keys=True).replace("<", "\\u003c"),
        css=_template("leaderboard.css"),
        blank=_BLANK,
        scripts=scripts,
        hashes=[_source_hash(script) for script in scripts],
        measured=data["measured"],
        published=data["published"],
        models=len({model for track in data["tracks"] for model in track["models"]} - {INSTANTSPLAT}),
        datasets=len({dataset for track in data["tracks"] for dataset, _ in track["datasets"]} - {OVER_DATASETS}),
    )


def _template(name: str) -> str:
    return resources.files("bench.report.leaderboard").joinpath(f"templates/{name}").read_text(encoding="utf-8")


def _source_hash(script: str) -> str:
    """What the content security policy knows an inline script by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _datatables() -> str:
    """DataTables as the installed itables ships it, its default export made global: an inline module has no importer."""
    try:
        source = resources.files("itables").joinpath("html/dt_bundle.js").read_text(encoding="utf-8")
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise UserError(f"the leaderboard needs the package itables with html/dt_bundle.js: {error}") from error
    source = source.replace("\r\n", "\n")
    found = _EXPORT.search(source)
    if found is None or "</script" in source.lower():
        raise UserError("itables' html/dt_bundle.js is not the module that the leaderboard knows; install itables 2.x")
    source = f"{source[: found.start()]}globalThis.DataTable={found[1]};{source[found.end() :]}"
    return _CONTROL.sub(lambda character: f"\\x{ord(character[0]):02x}", source)  # they stand in strings only
