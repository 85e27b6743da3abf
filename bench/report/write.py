"""Writing a page as files: HTML, Markdown, LaTeX, CSV, with the figures and pictures that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.core.errors import UserError
from bench.machine.files import write_text
from bench.report import FORMATS
from bench.report.figures.drawing import write_figure
from bench.report.figures.gallery import copy_pictures
from bench.report.page.page import Page, to_html, to_markdown_page
from bench.report.page.render import latex_document, to_csv


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
