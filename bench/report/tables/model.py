"""Tables as data: what stands where, which value is best, what is missing. Rendering is another file's business.

`fill` is a pure function from means (bench.report.say.means) to a `Table`. A missing value is a dash, a mean over fewer
values than there should be carries how many it rests on, what could not be measured says why.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from bench.core.cells import OVER_DATASETS
from bench.metrics.catalogue import RANK, Metric
from bench.results.schema import PUBLISHED
from bench.stats.rank import best_and_second

Emphasis = Literal["", "best", "second"]
MISSING = "–"
FAILED = "✗"
RANKED = "Rank: mean over data sets and metrics, ties share the average rank."
NO_RANKS = "Nothing here takes part in ranks."


@dataclass(frozen=True)
class Entry:
    """One value of a table: what is printed, the number behind it, its emphasis, and what a reader must know of it.

    ranked: False where the value takes no part in best and second.
    """

    text: str = MISSING
    value: float = math.nan
    emphasis: Emphasis = ""
    note: str = ""
    ranked: bool = True


@dataclass(frozen=True)
class Heading:
    """A header cell over `span` columns."""

    text: str
    span: int = 1


@dataclass(frozen=True)
class Line:
    """A row: its label, labels that mark it (random weights, published, …), its entries, and the heading of the block of
    rows that it stands in. Best and second are told within a block."""

    label: str
    entries: tuple[Entry, ...]
    marks: tuple[str, ...] = ()
    group: str = ""


@dataclass(frozen=True)
class Table:
    """A table: header levels from the top, then lines. `name` is what its files are called; `words`: entries are text."""

    name: str
    title: str
    caption: str
    header: tuple[tuple[Heading, ...], ...]
    lines: tuple[Line, ...]
    corner: str = ""
    marks: tuple[str, ...] = ()
    words: bool = False

    @property
    def groups(self) -> list[tuple[str, list[Line]]]:
        """The lines by block, in the order of the blocks' first lines."""
        blocks: dict[str, list[Line]] = {}
        for line in self.lines:
            blocks.setdefault(line.group, []).append(line)
        return list(blocks.items())

    @property
    def notes(self) -> list[str]:
        """What the entries' footnotes say, each once, in the order of their first entries."""
        return list(dict.fromkeys(entry.note for line in self.lines for entry in line.entries if entry.note))

    @property
    def footnotes(self) -> list[tuple[str, str]]:
        """The notes with the letters that lead to them."""
        return [(note, self.note_mark(Entry(note=note))) for note in self.notes]

    def note_mark(self, entry: Entry) -> str:
        """The letters that lead from an entry to its footnote; "" where it has none."""
        place = self.notes.index(entry.note) if entry.note else -1
        text = ""
        while place >= 0:
            text = chr(ord("a") + place % 26) + text
            place = place // 26 - 1
        return text


@dataclass(frozen=True)
class Column:
    """What one column of a table holds: one metric on one data set, in one mode and alignment."""

    metric: Metric
    dataset: str
    mode: str = "-"
    alignment: str = "-"


@dataclass(frozen=True)
class Row:
    """A line still to be filled: the means that belong to it."""

    label: str
    means: pd.DataFrame
    marks: tuple[str, ...] = ()
    group: str = ""


def fill(
    rows: Sequence[Row],
    columns: Sequence[Column],
    header: Sequence[Sequence[Heading]],
    *,
    name: str,
    title: str,
    caption: str = "",
    corner: str = "feature",
) -> Table:
    """The table of `rows` x `columns`; a row without any value or failure in them is left out."""
    lines = []
    for row in rows:
        held = {(m["metric"], m["dataset"], m["mode"], m["alignment"]): m for m in row.means.to_dict("records")}
        entries = tuple(_entry(held.get((c.metric.name, c.dataset, c.mode, c.alignment)), c.metric) for c in columns)
        if any(entry.text != MISSING for entry in entries):
            lines.append(Line(row.label, entries, row.marks, row.group))
    table = Table(name, title, caption, tuple(map(tuple, header)), tuple(lines), corner)
    return without_empty_columns(emphasised(table, [column.metric.higher_is_better for column in columns]), columns)


def without_empty_columns(table: Table, columns: Sequence[Column]) -> Table:
    """The table without the metrics that have no value anywhere in it for one reason, which the caption says once.

    A column of dashes or crosses says the same in every line. A table without any value stays as it is: its crosses are all
    that it has to say.
    """
    entries: dict[Metric, list[Entry]] = {}
    for place, column in enumerate(columns):
        entries.setdefault(column.metric, []).extend(line.entries[place] for line in table.lines)
    reasons = {metric: {entry.note for entry in found if entry.note} for metric, found in entries.items()}

    def is_empty(metric: Metric) -> bool:
        found = entries[metric]
        unexplained = any(entry.text == MISSING and entry.note for entry in found)  # a mean that lacks some of its parts
        return not any(math.isfinite(entry.value) for entry in found) and len(reasons[metric]) < 2 and not unexplained

    empty = [metric for metric in entries if is_empty(metric)]
    if not empty or len(empty) == len(entries):
        return table
    held = [column.metric not in empty for column in columns]
    header = []
    for level in table.header:
        kept, start = [], 0
        for heading in level:
            span = sum(held[start : start + heading.span])
            start += heading.span
            kept += [replace(heading, span=span)] if span else []
        header.append(tuple(kept))
    kept_of = [tuple(entry for entry, keep in zip(line.entries, held, strict=True) if keep) for line in table.lines]
    lines = tuple(replace(line, entries=own) for line, own in zip(table.lines, kept_of, strict=True))
    said = [": ".join([f"{metric.label} has no value", *reasons[metric]]) + "." for metric in empty if metric != RANK]
    caption = table.caption.replace(RANKED, NO_RANKS if RANK in empty else RANKED)
    return replace(table, header=tuple(header), lines=lines, caption=" ".join(filter(None, [caption, *said])))


def _entry(mean: Mapping[Any, Any] | None, metric: Metric) -> Entry:
    """mean: a row of the means, or None where there is none."""
    if mean is None:
        return Entry()
    value = float(mean["value"])
    note = coverage(mean)
    if math.isfinite(value):
        ranked = mean.get("ranked", True) is not False
        kept_out = not ranked and mean.get("protocol") == PUBLISHED
        said = filter(None, ["not ranked in the paper" if kept_out else note, str(mean.get("overlap", ""))])
        return Entry(metric.printed(value), value, "", "; ".join(said), ranked)
    if mean["status"] == "partial":  # a mean over data sets of which some are missing: nothing failed here
        return Entry(note=note)
    return Entry(FAILED, note=str(mean["note"]) or note or "no value")


def coverage(mean: Mapping[Any, Any]) -> str:
    """On how many values a mean rests, and of an average, which data sets lack some; which are below the floor; "" where it
    lacks none and none is.

    mean: a row of bench.report.say.means.table_means.
    """
    return "; ".join(filter(None, [_lacking(mean), str(mean.get("below") or "")]))


def _lacking(mean: Mapping[Any, Any]) -> str:
    ok, total = int(mean["n_ok"]), int(mean["n_total"])
    if ok == total:
        return ""
    if mean["dataset"] != OVER_DATASETS:
        return f"{ok} of {total} scenes"
    what = "values" if mean["metric"] == RANK.name else "data sets"
    return f"{ok} of {total} {what} complete" + (f" ({mean['note']})" if mean["note"] else "")


def emphasised(table: Table, higher_is_better: Sequence[bool | None]) -> Table:
    """The table with the best and the second best of each column marked, block by block, as printed (the rule is
    bench.stats.rank.best_and_second's); a column without a direction has none."""
    signs = [{True: -1.0, False: 1.0}.get(higher) for higher in higher_is_better]  # type: ignore[arg-type]
    places = [
        (index, line.group, column, sign * float(entry.text))
        for index, line in enumerate(table.lines)
        for column, (entry, sign) in enumerate(zip(line.entries, signs, strict=True))
        if sign is not None and math.isfinite(entry.value) and entry.ranked
    ]
    frame = pd.DataFrame(places, columns=["line", "group", "column", "value"])
    best = best_and_second(frame["value"], [frame["group"], frame["column"]])
    found = dict(zip(zip(frame["line"], frame["column"], strict=True), best, strict=True))
    words: tuple[Emphasis, ...] = ("", "best", "second")
    lines = tuple(
        replace(
            line,
            entries=tuple(
                replace(entry, emphasis=words[found.get((index, column), 0)]) for column, entry in enumerate(line.entries)
            ),
        )
        for index, line in enumerate(table.lines)
    )
    return replace(table, lines=lines)


def words_table(
    name: str,
    title: str,
    header: Sequence[str],
    lines: Iterable[tuple[str, Sequence[str | Entry]]],
    *,
    caption: str = "",
    corner: str = "",
) -> Table:
    """A table of text: `lines` are (label, entries); "" is shown as missing, a column without any text not at all."""
    given = list(lines)
    held = [place for place in range(len(header)) if any(entries[place] for _, entries in given)] or [0]
    made = tuple(words_line(label, [entries[place] for place in held]) for label, entries in given)
    return Table(name, title, caption, (tuple(Heading(header[place]) for place in held),), made, corner, words=True)


def words_line(label: str, entries: Sequence[str | Entry], marks: tuple[str, ...] = (), group: str = "") -> Line:
    """A line of a table of text; "" is shown as missing."""
    return Line(label, tuple(e if isinstance(e, Entry) else Entry(e or MISSING) for e in entries), marks, group)


def arrow(metric: Metric) -> str:
    """The metric's label with the direction that is better."""
    return metric.label + {True: "↑", False: "↓", None: ""}[metric.higher_is_better]


def number(value: float, digits: int = 2) -> Entry:
    """A computed number that no metric of the catalogue describes; missing where it is not finite."""
    return Entry(f"{value:.{digits}f}", float(value)) if math.isfinite(value) else Entry()


def non_empty(tables: Iterable[Table]) -> list[Table]:
    """Those that have at least one value."""
    return [table for table in tables if any(entry.text != MISSING for line in table.lines for entry in line.entries)]
