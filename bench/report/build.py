"""The report of results folders: a pure function of what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.core.cells import INSTANTSPLAT, WHOLE_CELL
from bench.core.text import counted
from bench.report.leaderboard.page import write_leaderboard
from bench.report.model_pages import model_files, write_model_pages
from bench.report.page.page import Page, Section
from bench.report.read import Results, load_results
from bench.report.say.cards import dataset_title, datasets_in_order
from bench.report.say.means import table_means
from bench.report.say.overlap import without_overlap
from bench.report.sections.cost import cost_section
from bench.report.sections.differences import differences_section
from bench.report.sections.gaps import gap_sections
from bench.report.sections.geometry import geometry_sections
from bench.report.sections.models import models_section
from bench.report.sections.overview import overview_section
from bench.report.sections.probe import probe_sections
from bench.report.sections.published import published_sections
from bench.report.tables.beside import published_means
from bench.report.write import FORMATS, check_formats, write_page
from bench.results.schema import PUBLISHED


def build_report(
    folders: Sequence[Path],
    out: Path,
    formats: Sequence[str] = FORMATS,
    no_overlap: bool = False,
    beside: Sequence[tuple[str, str]] = (),
) -> Path:
    """Write the report of results folders.

    Args:
        folders: Results folders; `published` stands for the papers' own tables.
        out: The report's folder.
        formats: Of html, md, latex, csv.
        no_overlap: Whether scores on data sets that the model or its initialiser was trained on are left out, which the
            summary counts.
        beside: (file in `out`, what it is) of pages that exist already and are linked.

    Returns:
        The first file written.

    Raises:
        UserError: For a folder without results or an unknown format.
    """
    check_formats(formats)
    results = load_results(folders)
    if no_overlap:
        results = _without_overlap(results)
    sections: list[Section] = []
    rows, means = results.rows, table_means(results.rows)
    if len(rows):
        sections.append(overview_section(rows, means))
        sections += probe_sections(rows, means, results.stored, published_means())
        sections += geometry_sections(rows, means, results.stored, published_means())
        sections += [models_section(rows), differences_section(rows)]
        sections += [cost_section(rows, means, results.extraction), *gap_sections(rows)]
    if results.published:
        sections += published_sections()
    title = f"vfm3d-bench: {', '.join(results.names)}"
    links = [*beside]
    if "html" in formats:
        board = write_leaderboard(results.stored, rows, means, out, results.confirmed, model_files(rows))
        links.append((board.name, "Leaderboard: sort, filter, search"))
        if models := write_model_pages(results.stored, rows, means, out):
            links.append((models, "Models: a page each"))
    page = Page(title, summary(results), tuple(sections), page_marks(results), footer(results), tuple(links))
    return write_page(page, out, formats)


def _without_overlap(results: Results) -> Results:
    rows = without_overlap(results.rows)
    kept = set(rows["key"])
    stored = tuple(member for member in results.stored if member.key in kept)
    count = len(results.rows) - len(rows)
    left_out = f"{count} values of models or initialisers that were trained on the data set that they are scored on"
    return replace(results, rows=rows, stored=stored, remarks=(*results.remarks, left_out))


def summary(results: Results) -> str:
    """One sentence: how much finished, on what."""
    rows = results.rows
    said = []
    if len(rows):
        cells = rows.drop_duplicates("key")
        failed = set(rows[rows["metric"] == WHOLE_CELL]["key"])
        datasets = ", ".join(map(dataset_title, datasets_in_order(rows["dataset"])))
        said.append(f"{len(cells) - len(failed)} of {len(cells)} cells finished: {_contenders(rows)} on {datasets}.")
    if results.published:
        said.append("The tables of Feat2GS and MoGe as published, regenerated from results/published.")
    return " ".join(said)


def _contenders(rows: pd.DataFrame) -> str:
    """ "3 models, 2 networks with random weights, 4 controls, 1 oracle"."""
    own = rows[rows["model"] != INSTANTSPLAT].drop_duplicates(["model", "weights", "role"])
    random = (own["role"] == "model") & (own["weights"] == "random")
    trained, untrained = own[(own["role"] == "model") & ~random]["model"].nunique(), own[random]["model"].nunique()
    said = [
        *([counted(trained, "model")] if trained or not untrained else []),
        *([f"{counted(untrained, 'network')} with random weights"] if untrained else []),
        *(
            counted(own[own["role"].isin(roles)]["model"].nunique(), name)
            for name, roles in {"control": ["control", "floor"], "oracle": ["oracle"]}.items()
            if own["role"].isin(roles).any()
        ),
    ]
    return ", ".join(said)


def page_marks(results: Results) -> tuple[str, ...]:
    """What holds of some row of the page."""
    marks = ("with random weights",) if (results.rows.get("weights", pd.Series()) == "random").any() else ()
    return (*marks, *((PUBLISHED,) if results.published else ()))


def footer(results: Results) -> str:
    """Which code, on which machines, and which stored cells the page is not of."""
    rows = results.rows
    versions = sorted(set(rows["code_version"]) - {""}) if len(rows) else []
    devices = {*results.machines} or (set(rows["device"]) - {""} if len(rows) else set())
    measured = f"Measured with vfm3d-bench {', '.join(versions)} on {', '.join(sorted(devices))}." if versions else ""
    return " ".join([measured or "vfm3d-bench", *(f"Not shown: {remark}." for remark in results.remarks)])
