"""Tables as Markdown, LaTeX and CSV. (HTML is the template's business.) Pure functions from a `Table` to text."""

from __future__ import annotations

import csv
import io

from bench.report.tables import Entry, Heading, Table

_LATEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "δ": r"$\delta$",
    "–": "--",
    "✗": r"$\times$",
    "·": r"$\cdot$",
}


def to_markdown(table: Table) -> str:
    """A pipe table; header levels are joined, since Markdown knows one. Best is bold, second is underlined."""

    def show(entry: Entry) -> str:
        text = {"best": f"**{entry.text}**", "second": f"<u>{entry.text}</u>"}.get(entry.emphasis, entry.text)
        return f"{text} ({entry.note})" if entry.note else text

    names = _column_names(table)
    lines = [
        f"**{table.title}**" + _marks(table.marks),
        "",
        "| " + " | ".join([table.corner, *names]) + " |",
        "|" + "|".join([":--", *("--:" for _ in names)]) + "|",
        *("| " + " | ".join([line.label + _marks(line.marks), *map(show, line.entries)]) + " |" for line in table.lines),
    ]
    return "\n".join([*lines, *(["", table.caption] if table.caption else []), ""])


def to_latex(table: Table) -> str:
    """A booktabs table in a table environment. Best is bold, second is underlined."""

    def show(entry: Entry) -> str:
        text = _escaped(entry.text)
        return {"best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}"}.get(entry.emphasis, text)

    width = len(_column_names(table))
    header = []
    for depth, level in enumerate(table.header):
        last = depth == len(table.header) - 1
        header.append(" & ".join([_escaped(table.corner) if last else "", *map(_latex_heading, level)]) + r" \\")
        if not last:
            header.append(_rules(level))
    body = [
        " & ".join([_escaped(line.label + _marks(line.marks)), *map(show, line.entries)]) + r" \\" for line in table.lines
    ]
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{_escaped(table.title + _marks(table.marks))}. {_escaped(table.caption)}}}",
            rf"\label{{tab:{table.name}}}",
            r"\resizebox{\linewidth}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * width}}}",
            r"\toprule",
            *header,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
            "",
        ]
    )


def latex_document(tables: list[Table]) -> str:
    """A document that compiles, with every table."""
    head = r"\documentclass{article}" "\n" r"\usepackage{booktabs,graphicx,amsmath}" "\n" r"\begin{document}" "\n"
    return head + "\n".join(to_latex(table) for table in tables) + "\n" + r"\end{document}" "\n"


def to_csv(table: Table) -> str:
    """What is printed, one line a model, with the header levels joined; notes and emphasis are left out."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([table.corner, "marks", *_column_names(table)])
    for line in table.lines:
        writer.writerow([line.label, "; ".join((*line.marks, *table.marks)), *(entry.text for entry in line.entries)])
    return text.getvalue()


def _column_names(table: Table) -> list[str]:
    """One name a column: the headings above it, outermost first."""
    levels = [[heading.text for heading in level for _ in range(heading.span)] for level in table.header]
    return [" ".join(part for part in parts if part) for parts in zip(*levels, strict=True)]


def _marks(marks: tuple[str, ...]) -> str:
    return f" [{', '.join(marks)}]" if marks else ""


def _escaped(text: str) -> str:
    return "".join(_LATEX_SPECIAL.get(character, character) for character in text)


def _latex_heading(heading: Heading) -> str:
    text = _escaped(heading.text)
    return rf"\multicolumn{{{heading.span}}}{{c}}{{{text}}}" if heading.span > 1 else text


def _rules(level: tuple[Heading, ...]) -> str:
    rules, start = [], 2
    for heading in level:
        rules.append(rf"\cmidrule(lr){{{start}-{start + heading.span - 1}}}")
        start += heading.span
    return "".join(rules)
