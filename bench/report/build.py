"""The report of results folders: a pure function of what they hold."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from bench.core.errors import UserError
from bench.machine.files import write_text
from bench.report.figures.drawing import write_figure
from bench.report.figures.gallery import Stored, copy_pictures
from bench.report.leaderboard.page import write_leaderboard
from bench.report.page.page import Page, Section, to_html, to_markdown_page
from bench.report.page.render import latex_document, to_csv
from bench.report.say.cards import dataset_title, datasets_in_order
from bench.report.say.means import table_means
from bench.report.sections.cost import cost_section
from bench.report.sections.geometry import geometry_sections
from bench.report.sections.overview import overview_section
from bench.report.sections.probe import probe_sections
from bench.report.sections.shared import gap_sections, models_section, published_sections
from bench.report.tables.beside import published_means
from bench.results.schema import EXTRACTION, IDENTITY, PERF, PUBLISHED, ROW_COLUMNS
from bench.results.store import Store, read_rows, rows_of

FORMATS = ("html", "md", "latex", "csv")


@dataclass(frozen=True)
class Results:
    """What the folders hold: rows, the cells behind them where they are there, whether the papers' tables were asked for.

    extraction: rows of the track "perf" that say what making features cost.
    """

    names: tuple[str, ...]
    rows: pd.DataFrame
    stored: tuple[Stored, ...]
    published: bool = False
    extraction: pd.DataFrame = field(default_factory=functools.partial(pd.DataFrame, columns=list(ROW_COLUMNS)))


def is_published(folder: Path) -> bool:
    """True where `published` names the papers' tables: always, unless a results folder of that name lies here."""
    return folder == Path(PUBLISHED) and not (folder / "cells").is_dir()


def load_results(folders: Sequence[Path]) -> Results:
    """Read results folders; a measurement that stands in several is taken from the first. What `bench perf` measured is
    passed over: it is about a machine, not about models. Raises UserError for a folder without results."""
    measured = [folder for folder in folders if not is_published(folder)]
    stored: list[Stored] = []
    frames = []
    for folder in measured:
        if (folder / "cells").is_dir():
            records = list(Store(folder, create=False).records())
            stored += [(record, folder) for record in records if record.cell.track != PERF]
            frames.append(rows_of(records))
        else:
            frames.append(read_rows(folder))
        if (frames[-1]["track"] == PERF).all():
            raise UserError(f"{folder} holds no finished cell yet; run `bench run --out {folder}` first")
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(ROW_COLUMNS))
    names = tuple(folder.resolve().name if folder in measured else PUBLISHED for folder in folders)
    rows = rows.drop_duplicates(list(IDENTITY))
    perf = rows["track"] == PERF
    extraction = rows[perf & (rows["mode"] == EXTRACTION)]
    return Results(
        names,
        rows[~perf].reset_index(drop=True),
        tuple(stored),
        len(measured) < len(folders),
        extraction.reset_index(drop=True),
    )


def build_report(folders: Sequence[Path], out: Path, formats: Sequence[str] = FORMATS) -> Path:
    """Write the report of the results folders into `out` and return its first file. A folder `published` stands for the
    papers' own tables.

    Raises UserError for a folder without results or an unknown format.
    """
    check_formats(formats)
    results = load_results(folders)
    sections: list[Section] = []
    rows, means = results.rows, table_means(results.rows)
    if len(rows):
        sections.append(overview_section(means))
        sections += probe_sections(rows, means, results.stored, published_means())
        sections += geometry_sections(rows, means, results.stored, published_means())
        sections += [models_section(rows), cost_section(rows, means, results.extraction), *gap_sections(rows)]
    if results.published:
        sections += published_sections()
    title = f"vfm3d-bench: {', '.join(results.names)}"
    links = []
    if "html" in formats:
        links.append((write_leaderboard(results.stored, rows, means, out).name, "Leaderboard: sort, filter, search"))
    page = Page(title, summary(results), tuple(sections), page_marks(results), footer(results), tuple(links))
    return write_page(page, out, formats)


def write_page(page: Page, out: Path, formats: Sequence[str] = FORMATS) -> Path:
    """Write a page in the formats asked for, with its figures and pictures where a page shows them; returns the first file.
    Raises UserError for an unknown format, a folder that cannot be written to or a picture that is lost."""
    check_formats(formats)
    if {"html", "md"} & set(formats):
        parts = [part for section in page.sections for part in section.parts]
        for gallery in (gallery for part in parts for gallery in part.galleries):
            copy_pictures(gallery, out)
        for figure in (figure for part in parts for figure in part.figures):
            write_figure(figure, out / "figures")
    tables = [table for section in page.sections for table in section.tables]
    written = []
    if "html" in formats:
        written.append(out / "index.html")
        write_text(written[-1], to_html(page, formats))
    if "md" in formats:
        written.append(out / "report.md")
        write_text(written[-1], to_markdown_page(page))
    if "latex" in formats:
        written.append(out / "tables.tex")
        write_text(written[-1], latex_document(tables))
    if "csv" in formats:
        for table in tables:
            write_text(out / "tables" / f"{table.name}.csv", to_csv(table))
        written.append(out / "tables")
    return written[0]


def check_formats(formats: Sequence[str]) -> None:
    """Raises UserError for an unknown format, or for none."""
    for name in formats or ("",):
        if name not in FORMATS:
            raise UserError(f"--format {name}: there are {', '.join(FORMATS)}")


def summary(results: Results) -> str:
    """One sentence: how much finished, on what."""
    rows = results.rows
    said = []
    if len(rows):
        cells = rows.drop_duplicates("key")
        failed = set(rows[rows["metric"] == "cell"]["key"])
        models = set(rows["model"]) - {"-"}
        datasets = ", ".join(map(dataset_title, datasets_in_order(rows["dataset"])))
        said.append(f"{len(cells) - len(failed)} of {len(cells)} cells finished: {len(models)} models on {datasets}.")
    if results.published:
        said.append("The tables of Feat2GS and MoGe as published, regenerated from results/published.")
    return " ".join(said)


def page_marks(results: Results) -> tuple[str, ...]:
    """What holds of some row of the page."""
    marks = ("with random weights",) if (results.rows.get("weights", pd.Series()) == "random").any() else ()
    return (*marks, *((PUBLISHED,) if results.published else ()))


def footer(results: Results) -> str:
    """Which code, on which machines."""
    rows = results.rows
    versions = sorted(set(rows["code_version"]) - {""}) if len(rows) else []
    devices = {str(record.provenance.get("device_name", "")) for record, _ in results.stored} - {""}
    devices = devices or (set(rows["device"]) - {""} if len(rows) else set())
    measured = f"Measured with vfm3d-bench {', '.join(versions)} on {', '.join(sorted(devices))}." if versions else ""
    return measured or "vfm3d-bench"
