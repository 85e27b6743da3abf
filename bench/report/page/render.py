"""Tables as Markdown, LaTeX and CSV. (HTML is the template's business.) Pure functions from a `Table` to text."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Sequence

from bench.report.tables.model import Entry, Heading, Line, Table

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
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\to$",
    "δ": r"$\delta$",
    "Δ": r"$\Delta$",
    "ᵖ": r"$^{p}$",
    "ᵈ": r"$^{d}$",
    "–": "--",
    "−": "$-$",
    "±": r"$\pm$",
    "✗": r"$\times$",
    "·": r"$\cdot$",
    "…": r"\dots{}",
}
_MARKDOWN_SPECIAL = {"|": r"\|", "<": "&lt;", ">": "&gt;", "*": r"\*", "_": r"\_", "`": r"\`", "\n": " "}


# --------------------------------------------------------------------------------------------------------------- markdown


def to_markdown(table: Table, heading: str = "") -> str:
    """A pipe table; header levels are joined, since Markdown knows one. Best is bold, second is underlined; letters lead to
    the notes below the table. heading: what stands above it already; a title that says the same is left out."""

    def show(entry: Entry) -> str:
        text = markdown_escaped(entry.text)
        text = {"best": f"**{text}**", "second": f"<u>{text}</u>"}.get(entry.emphasis, text)
        return f"{text}<sup>{table.note_mark(entry)}</sup>" if entry.note else text

    def row(line: Line) -> str:
        return "| " + " | ".join([markdown_escaped(line.label + marked(line.marks)), *map(show, line.entries)]) + " |"

    names = _column_names(table)
    title = "" if table.title == heading else f"**{markdown_escaped(table.title)}**"
    above = f"{title}{marked(table.marks)}".strip()
    lines = [
        *([above, ""] if above else []),
        "| " + " | ".join([table.corner, *map(markdown_escaped, names)]) + " |",
        "|" + "|".join([":--", *(":--" if table.words else "--:" for _ in names)]) + "|",
    ]
    for group, members in table.groups:
        lines += [f"| **{markdown_escaped(group)}** |" + " |" * len(names)] if group else []
        lines += map(row, members)
    below = [markdown_escaped(table.caption)] if table.caption else []
    below += ["; ".join(f"<sup>{mark}</sup> {markdown_escaped(note)}" for note, mark in table.footnotes)]
    return "\n".join([*lines, "", *(f"{text}\n" for text in below if text)])


def markdown_escaped(text: str) -> str:
    return "".join(_MARKDOWN_SPECIAL.get(character, character) for character in text)


# ------------------------------------------------------------------------------------------------------------------ latex


def to_latex(table: Table) -> str:
    """A booktabs table in a table environment. Best is bold, second is underlined; letters lead to the notes."""

    def show(entry: Entry) -> str:
        text = latex_escaped(entry.text)
        text = {"best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}"}.get(entry.emphasis, text)
        return rf"{text}\textsuperscript{{{table.note_mark(entry)}}}" if entry.note else text

    width = len(_column_names(table))
    header = []
    for depth, level in enumerate(table.header):
        last = depth == len(table.header) - 1
        header.append(" & ".join([latex_escaped(table.corner) if last else "", *map(_latex_heading, level)]) + r" \\")
        if not last:
            header.append(_rules(level))
    body: list[str] = []
    for group, members in table.groups:
        if group:
            body += [r"\midrule"] if body else []
            body.append(rf"\multicolumn{{{width + 1}}}{{l}}{{\textit{{{latex_escaped(group)}}}}} \\")
        body += [
            " & ".join([latex_escaped(line.label + marked(line.marks)), *map(show, line.entries)]) + r" \\"
            for line in members
        ]
    notes = "; ".join(rf"\textsuperscript{{{mark}}} {latex_escaped(note)}" for note, mark in table.footnotes)
    caption = " ".join(
        part for part in (f"{latex_escaped(table.title + marked(table.marks))}.", latex_escaped(table.caption)) if part
    )
    return "\n".join(
        [
            r"\begin{table}[p]",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:{table.name}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{l{('l' if table.words else 'r') * width}}}",
            r"\toprule",
            *header,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
            *([rf"\par\smallskip\footnotesize {notes}"] if notes else []),
            r"\end{table}",
            "",
        ]
    )


def latex_document(tables: Sequence[Table]) -> str:
    """A document that compiles with pdflatex, with every table."""
    head = [
        r"\documentclass{article}",
        r"\usepackage[margin=1.5cm,landscape]{geometry}",
        r"\usepackage{booktabs,graphicx,textcomp}",
        r"\extrafloats{200}",
        r"\begin{document}",
        "",
    ]
    body = [f"{to_latex(table)}\\clearpage\n" if place % 4 == 3 else to_latex(table) for place, table in enumerate(tables)]
    return "\n".join([*head, *body, r"\end{document}", ""])


def latex_escaped(text: str) -> str:
    """The text with LaTeX's special characters escaped; what pdflatex cannot set becomes its nearest ASCII letters or ?."""
    return "".join(_LATEX_SPECIAL.get(character) or _plain(character) for character in text)


def _plain(character: str) -> str:
    if character.isascii():
        return character if character.isprintable() else " "
    return unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode() or "?"


def _latex_heading(heading: Heading) -> str:
    text = latex_escaped(heading.text)
    return rf"\multicolumn{{{heading.span}}}{{c}}{{{text}}}" if heading.span > 1 else text


def _rules(level: tuple[Heading, ...]) -> str:
    rules, start = [], 2
    for heading in level:
        rules.append(rf"\cmidrule(lr){{{start}-{start + heading.span - 1}}}")
        start += heading.span
    return "".join(rules)


# -------------------------------------------------------------------------------------------------------------------- csv


def to_csv(table: Table) -> str:
    """What is printed, one line a row, with the header levels joined; the last column holds the notes, by column."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = _column_names(table)
    writer.writerow([table.corner, "block", "marks", *names, "notes"])
    for line in table.lines:
        notes = [f"{name}: {entry.note}" for name, entry in zip(names, line.entries, strict=True) if entry.note]
        marks = "; ".join((*line.marks, *table.marks))
        writer.writerow([line.label, line.group, marks, *(entry.text for entry in line.entries), "; ".join(notes)])
    return text.getvalue()


def _column_names(table: Table) -> list[str]:
    """One name a column: the headings above it, outermost first."""
    levels = [[heading.text for heading in level for _ in range(heading.span)] for level in table.header]
    return [" ".join(part for part in parts if part) for parts in zip(*levels, strict=True)]


def marked(marks: Sequence[str]) -> str:
    """Marks as text: " [random weights]"."""
    return f" [{', '.join(marks)}]" if marks else ""
