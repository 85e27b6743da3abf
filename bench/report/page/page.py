"""The page of a report: its parts as data, and how they become HTML and Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import resources

from bench.report.figures.drawing import Figure
from bench.report.figures.gallery import Gallery
from bench.report.page.render import markdown_escaped, marked, to_markdown
from bench.report.say.marks import MEANINGS
from bench.report.tables.model import Table, non_empty

HOW_TO_READ = (
    "Best value bold, second underlined, as printed; rows marked as random weights, control or reading the truth take no "
    "part in that, nor in ranks, and neither do values that lack a scene. – was not measured or not asked for; ✗ could not "
    "be measured; letters lead to the notes below a table."
)


@dataclass(frozen=True)
class Part:
    """Something with a heading of its own within a section. code: blocks to be copied as they are."""

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    galleries: tuple[Gallery, ...] = ()
    marks: tuple[str, ...] = ()
    code: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """A section of the page: numbers of one set of conditions, which its marks name."""

    anchor: str
    title: str
    marks: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def tables(self) -> list[Table]:
        return [table for part in self.parts for table in part.tables]


@dataclass(frozen=True)
class Page:
    """A whole report. marks: what holds somewhere on it; links: (file beside the page, what it is)."""

    title: str
    summary: str
    sections: tuple[Section, ...]
    marks: tuple[str, ...] = ()
    footer: str = ""
    links: tuple[tuple[str, str], ...] = ()

    @property
    def has_tables(self) -> bool:
        return any(section.tables for section in self.sections)

    @property
    def legend(self) -> list[tuple[str, str]]:
        """The marks that stand somewhere on the page, each with its meaning."""
        tables = [table for section in self.sections for table in section.tables]
        held = {mark for section in self.sections for mark in section.marks}
        held |= {mark for table in tables for mark in table.marks}
        held |= {mark for table in tables for line in table.lines for mark in line.marks}
        return [(mark, meaning) for mark, meaning in MEANINGS.items() if mark in held]


def section(
    anchor: str, title: str, parts: Iterable[Part], marks: tuple[str, ...] = (), text: tuple[str, ...] = ()
) -> Section:
    """A section without its empty tables and parts; every table gets the section's marks and a file name of its own."""
    kept = []
    for part in parts:
        tables = tuple(
            replace(table, name=f"{anchor}-{table.name}", marks=tuple(dict.fromkeys((*marks, *table.marks))))
            for table in non_empty(part.tables)
        )
        if tables or part.figures or part.galleries or part.code or (not part.tables and part.text):
            kept.append(replace(part, tables=tables))
    return Section(anchor, title, marks, text, tuple(kept))


def to_html(page: Page, formats: Sequence[str]) -> str:
    """The page as HTML; its style is inlined, figures and pictures are files beside it."""
    from jinja2 import Environment, PackageLoader, select_autoescape

    environment = Environment(
        loader=PackageLoader("bench.report.page"),
        autoescape=select_autoescape(["html", "j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = resources.files("bench.report.page").joinpath("templates/report.css").read_text(encoding="utf-8")
    template = environment.get_template("report.html.j2")
    return template.render(page=page, css=css, how_to_read=HOW_TO_READ, csv="csv" in formats)


def to_markdown_page(page: Page) -> str:
    """The same page as Markdown."""
    parts = [f"# {markdown_escaped(page.title)}", page.summary + marked(page.marks), HOW_TO_READ]
    parts += ["\n".join(f"- **{mark}**: {meaning}" for mark, meaning in page.legend)] if page.legend else []
    for each in page.sections:
        parts += [f"## {markdown_escaped(each.title)}{marked(each.marks)}", *each.text]
        for part in each.parts:
            parts += [f"### {markdown_escaped(part.title)}{marked(part.marks)}"] if part.title != each.title else []
            parts += [*part.text, *(f"```\n{block}\n```" for block in part.code)]
            parts += [to_markdown(table, part.title) for table in part.tables]
            for figure in part.figures:
                parts += [
                    f"![{figure.title}](figures/{figure.name}.png)",
                    f"{figure.title}. {figure.caption}{marked(figure.marks)}",
                ]
            for gallery in part.galleries:
                parts += [f"#### {gallery.title}{marked(gallery.marks)}", _markdown_gallery(gallery)]
    return "\n\n".join([*parts, page.footer, ""])


def _markdown_gallery(gallery: Gallery) -> str:
    lines = ["| | " + " | ".join(gallery.columns) + " |", "|" + "---|" * (len(gallery.columns) + 1)]
    for row in gallery.rows:
        cells = " | ".join(
            f"![{title}]({picture.url})" if picture else ""
            for title, picture in zip(gallery.columns, row.pictures, strict=True)
        )
        lines.append(f"| {markdown_escaped(row.label)}{marked(row.marks)} {row.detail} | {cells} |")
    return "\n".join(lines)
