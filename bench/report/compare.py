"""A run against the published numbers or another run: agreement, and which differences between models are significant."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.core.cells import NOT_APPLICABLE, OVER_DATASETS
from bench.core.errors import UserError
from bench.core.text import listed
from bench.metrics.catalogue import METRICS, headline
from bench.report.build import footer, page_marks
from bench.report.figures.drawing import Drawer
from bench.report.figures.forest import FOREST, FOREST_CAPTION, forest_plot
from bench.report.page.page import Page, Part, Section, section
from bench.report.read import Results, is_published, load_results
from bench.report.say import marks as conditions
from bench.report.say.cards import dataset_title, datasets_in_order, in_order, title_of
from bench.report.say.means import table_means
from bench.report.say.scenes import other_scenes
from bench.report.tables.beside import BLOCKS, MODES, beside_tables, headline_alignment, joined, published_means
from bench.report.tables.model import MISSING, Entry, Heading, Line, Table, arrow, number, words_line
from bench.report.tables.papers import GTA
from bench.report.tables.runs import significance_table
from bench.report.tables.thirds import thirds_table, three_hands
from bench.stats.agreement import agreement
from bench.stats.bootstrap import paired_difference
from bench.stats.significance import holm, sign_flip_test

#: titles of parts
AGREEMENT, SIGNIFICANCE, CHANGE = "Agreement", "Significance between models", "Change, scene by scene"
THIRD_PARTIES = "Paper, third party, ours"
AGREEMENT_COLUMNS = ("Metric", "Models", "Mean Δ", "Mean |Δ|", "Largest |Δ|", "Spearman [95 %]", "Kendall", "Same best")

CHANGE_COLUMNS = tuple(map(Heading, ("Mean Δ", "95 %", "Scenes", "p", "p (Holm)")))


def comparison(folder: Path, to: Path) -> Page:
    """The page that compares the results of `folder` with `to`, a results folder or `published`.

    Raises UserError for a folder without results, or where the two have no place in common.
    """
    ours = load_results([folder])
    if is_published(folder) or ours.rows.empty:
        raise UserError(f"bench compare {folder}: name a results folder first, then --to published or another folder")
    theirs = None if is_published(to) else load_results([to])
    name = "published" if theirs is None else theirs.names[0]
    sections = list(_sections(ours, theirs, name))
    if not any(each.parts for each in sections):
        reference = published_means() if theirs is None else theirs.rows
        raise UserError(
            f"{folder} and {name} have no model, data set, mode and metric in common; nothing can be compared\n"
            + "\n".join(f"{whose} holds {_held(rows)}" for whose, rows in ((folder, ours.rows), (name, reference)))
        )
    title = f"vfm3d-bench: {ours.names[0]} against {name}"
    summary = "; ".join(each.text[-1] for each in sections)
    return Page(title, f"{summary}.", tuple(sections), page_marks(ours), footer(ours))


def _held(rows: pd.DataFrame) -> str:
    """What rows are of, in words: models, data sets, modes."""
    columns = {"models": "model", "data sets": "dataset", "modes": "mode"}
    said = {noun: sorted(set(rows[column].astype(str)) - {NOT_APPLICABLE}) for noun, column in columns.items()}
    return "; ".join(f"{noun} {listed(values)}" for noun, values in said.items() if values)


def _sections(ours: Results, theirs: Results | None, name: str) -> Iterator[Section]:
    """One section a track, protocol and point map."""
    reference = published_means() if theirs is None else table_means(theirs.rows, beside=ours.rows)
    groups = ours.rows.groupby(["track", "protocol", "pointmap"], sort=True, observed=True)
    for key, rows in sorted(groups, key=lambda group: group[0][0] != "probe"):
        track, protocol, pointmap = map(str, key)
        same = reference
        other = None
        if theirs is not None:
            same = reference[(reference["protocol"] == protocol) & (reference["pointmap"] == pointmap)]
            other = theirs.rows[(theirs.rows["protocol"] == protocol) & (theirs.rows["pointmap"] == pointmap)]
        marks = conditions.marks_of_conditions(rows)
        found = joined(table_means(rows, beside=other), same)
        met = found[found["found"] == "both"]
        parts = []
        if len(met):
            note = other_scenes(rows, set(met["dataset"]) - {OVER_DATASETS}) if theirs is None else ""
            parts.append(Part(AGREEMENT, tables=tuple(agreement_tables(met, name, note))))
            parts.append(Part("Side by side", tables=tuple(beside_tables(found, "beside", name, marks))))
        if theirs is None and track == "geometry":
            parts.append(_third_parties(table_means(rows)))
        parts.append(Part(SIGNIFICANCE, tables=tuple(_significance(rows, track))))
        if other is not None:
            parts.append(Part(CHANGE, tables=tuple(_changes(rows, other, track, name))))
        title = conditions.title_of_conditions(track, protocol, pointmap)
        counts = f"{len(met)} values of {title} stand in both"
        yield section(f"{track}-{protocol}-{pointmap}", title, parts if len(met) else (), marks, (counts,))


def _third_parties(means: pd.DataFrame) -> Part:
    """What third parties re-measured, where we measured it too."""
    found = three_hands(means)
    found = found[found["ours"].notna()]
    if found.empty:
        return Part(THIRD_PARTIES)
    drawn = Drawer("compare", ())("third-parties", FOREST, FOREST_CAPTION, forest_plot, found)
    return Part(THIRD_PARTIES, tables=(thirds_table(found),), figures=(drawn,))


def agreement_tables(met: pd.DataFrame, name: str, note: str = "") -> list[Table]:
    """How ours agrees with the reference, a line a column of the papers' tables; random weights in a table of their own.
    note: what else the caption must say."""
    tables = []
    for random in (False, True):
        rows = met[(met["weights"] == "random") == random]
        if rows.empty:
            continue
        lines = []
        datasets = [*datasets_in_order(rows["dataset"]), OVER_DATASETS]
        for row in sorted(agreement(rows).to_dict("records"), key=functools.partial(_place, datasets=datasets)):
            metric = METRICS[row["metric"]]
            worst = f"{row['worst'] * metric.factor:.{metric.digits}f} ({title_of(row['worst_model'], row['track'])})"
            interval = (
                f" [{row['spearman_low']:.2f}, {row['spearman_high']:.2f}]" if math.isfinite(row["spearman_low"]) else ""
            )
            entries = (
                Entry(arrow(metric)),
                Entry(str(row["n"])),
                number(row["mean_difference"] * metric.factor, metric.digits),
                number(row["mean_absolute"] * metric.factor, metric.digits),
                Entry(worst),
                Entry(f"{row['spearman']:.2f}{interval}") if math.isfinite(row["spearman"]) else Entry(),
                number(row["kendall"]),
                Entry({True: "yes", False: "no"}.get(row["same_best"], MISSING) if row["n"] > 1 else MISSING),
            )
            block = MODES.get(row["mode"]) if row["track"] == "probe" else BLOCKS.get(row["alignment"])
            lines.append(Line(block or row["alignment"], entries, group=dataset_title(row["dataset"])))
        tables.append(
            Table(
                "agreement-random" if random else "agreement",
                f"Agreement with {name}",
                f"Δ: ours less {name}. Rank correlations are over models, for three or more.{note}",
                (tuple(Heading(text) for text in AGREEMENT_COLUMNS),),
                tuple(lines),
                "mode" if set(rows["track"]) == {"probe"} else "alignment",
                ("random weights",) if random else (),
                words=True,
            )
        )
    return tables


def _place(row: Mapping[Any, Any], datasets: Sequence[str]) -> tuple[int, int, int]:
    """Where a column of the papers' tables stands in them. datasets: in their order."""
    blocks = [*MODES, *BLOCKS]
    block = row["mode"] if row["track"] == "probe" else row["alignment"]
    known = blocks.index(block) if block in blocks else len(blocks)
    return datasets.index(row["dataset"]), known, list(METRICS).index(row["metric"])


def _headlines(rows: pd.DataFrame, track: str) -> list[tuple[str, str, str, str]]:
    """What models are compared in: (metric, mode, alignment, title)."""
    metric = headline(track).name
    if track == "probe":
        return [(metric, mode, "-", f"mode {mode} ({name.lower()})") for mode, name in GTA.items()]
    alignment = headline_alignment(rows)
    return [] if alignment is None else [(metric, "-", alignment, BLOCKS[alignment].lower())]


def _significance(rows: pd.DataFrame, track: str) -> Iterator[Table]:
    for metric, mode, alignment, what in _headlines(rows, track):
        units = conditions.scenes_by_model(rows, metric, mode, alignment)
        if len(units):
            yield significance_table(
                units, metric, f"significance-{mode.lower().strip('-') or metric}", f"{METRICS[metric].label}, {what}"
            )


def _changes(ours: pd.DataFrame, theirs: pd.DataFrame, track: str, name: str) -> Iterator[Table]:
    """Each model against itself in the other run, over the scenes that both have."""
    for metric, mode, alignment, what in _headlines(ours, track):
        mine, other = (conditions.scenes_by_model(rows, metric, mode, alignment) for rows in (ours, theirs))
        if mine.empty or other.empty:
            continue
        order = in_order(mine.columns.get_level_values("model"), track)
        shared = sorted(mine.columns.intersection(other.columns), key=lambda column: (order.index(column[0]), column[1]))
        if not shared:
            continue
        found = [paired_difference(mine[column], other[column]) for column in shared]
        p = [sign_flip_test(mine[column] - other[column]) for column in shared]
        lines: list[Line] = []
        for (model, weights, role), row, raw, adjusted in zip(map(tuple, shared), found, p, holm(p), strict=True):
            scale, digits = METRICS[metric].factor, METRICS[metric].digits
            interval = f"[{row['low'] * scale:+.{digits}f}, {row['high'] * scale:+.{digits}f}]" if row["n"] > 1 else ""
            texts = [
                f"{row['difference'] * scale:+.{digits}f}",
                interval,
                f"{row['n']:.0f}",
                f"{raw:.3g}",
                f"{adjusted:.3g}",
            ]
            lines.append(words_line(title_of(model, track), texts, conditions.row_marks(role, weights)))
        title = f"{arrow(METRICS[metric])}, {what}: ours less {name}"
        name_of_file = f"change-{mode.lower().strip('-') or metric}"
        yield Table(name_of_file, title, "", (CHANGE_COLUMNS,), tuple(lines), "model", words=True)
