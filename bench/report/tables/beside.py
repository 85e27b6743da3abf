"""Our numbers beside a reference (the published ones, or another run): the difference, value by value."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import pandas as pd

from bench.core.cells import INSTANTSPLAT, OVER_DATASETS
from bench.metrics.catalogue import ANSWERS, METRICS, Metric, headline
from bench.report.say.cards import dataset_title, datasets_in_order, in_order, title_of
from bench.report.say.marks import row_marks
from bench.report.say.means import table_means
from bench.report.tables.model import Entry, Heading, Line, Table, arrow, coverage
from bench.report.tables.papers import DEPTH_BLOCKS, GTA, POINT_BLOCKS
from bench.results.reference.published import published_rows
from bench.results.schema import PUBLISHED
from bench.stats.agreement import MATCH, join_tables

MODES = {**GTA, "Gft": "Geometry*", "Tft": "Texture*", "Aft": "All*", INSTANTSPLAT: "InstantSplat"}
BLOCKS = {
    **POINT_BLOCKS,
    **DEPTH_BLOCKS,
    "fov_crops": "Field of view",
    "boundary": "Boundaries",
    "normals": "Normals of the point map",
    "normals_predicted": "Predicted normals",
}
_COUNTED = ("n_ok", "n_total", "note", "role", "below")
_3D_ALIGNMENT = "similarity"  #: what our rows say of 3D metrics; the papers' rows name no alignment


@functools.cache
def published_means() -> pd.DataFrame:
    """The means of every published row, per-data-set values and the averages that the papers print."""
    return table_means(published_rows())


def headline_alignment(rows: pd.DataFrame) -> str | None:
    """The alignment under which most models have a relative error; the earlier of the papers' order where it is several."""
    standing = rows[(rows["metric"] == headline("geometry").name) & (rows["status"] == "ok")]
    counts = standing.groupby("alignment", observed=True)["model"].nunique()
    known = [block for block in BLOCKS if block in counts.index]
    return max(known, key=lambda block: (counts[block], -known.index(block))) if known else None


def joined(ours: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """Both tables' values side by side (bench.stats.agreement.join_tables), one row a place that either has, with our
    `weights`, n_ok, n_total and note, and the reference's as n_ok_reference and so on.

    ours, reference: means of one protocol and point map each; published means may come whole. Averages over data sets are
    compared only where both are over the same data sets. Another run's rows meet ours of the same kind of weights; published
    rows meet them all.
    """
    both = [_comparable(ours), _comparable(reference)]
    if _datasets(both[0]) != _datasets(both[1]):
        both = [table[table["dataset"] != OVER_DATASETS] for table in both]
    mine, theirs = both
    printed_only = bool((theirs["protocol"] == PUBLISHED).all())
    parts = [
        _joined(
            part, (theirs if printed_only else theirs[theirs["weights"] == weights]).drop_duplicates(list(MATCH))
        ).assign(weights=weights)
        for weights, part in mine.groupby("weights", sort=True)
    ]
    return pd.concat(parts, ignore_index=True) if parts else _joined(mine, mine).assign(weights="")


def _joined(mine: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    counted = [table[[*MATCH, *_COUNTED]] for table in (mine, theirs)]
    found = join_tables(mine, theirs).merge(counted[0], on=list(MATCH), how="left")
    return found.merge(counted[1], on=list(MATCH), how="left", suffixes=("", "_reference"))


def _comparable(means: pd.DataFrame) -> pd.DataFrame:
    kinds = means["metric"].map(lambda name: METRICS[name].kind if name in METRICS else "")
    chosen = means[kinds.isin(ANSWERS) & means["value"].notna()]
    return chosen.assign(alignment=chosen["alignment"].replace(_3D_ALIGNMENT, "-"))


def _datasets(means: pd.DataFrame) -> dict[str, frozenset[str]]:
    groups = means[means["dataset"] != OVER_DATASETS].groupby("track")["dataset"]
    return {str(track): frozenset(values) for track, values in groups}


def beside_tables(found: pd.DataFrame, name: str, reference: str, marks: tuple[str, ...] = ()) -> list[Table]:
    """Ours, the reference and the difference for every place that both have: one table a track and data set, one block a
    mode or alignment. found: `joined`. reference: what its columns are called. Empty where nothing meets."""
    met = found[found["found"] == "both"]
    tables = []
    for track in sorted(set(met["track"])):
        part = met[met["track"] == track]
        for dataset in [*datasets_in_order(part["dataset"]), *({OVER_DATASETS} & set(part["dataset"]))]:
            table = _beside(part[part["dataset"] == dataset], track, dataset, name, reference)
            tables.append(replace(table, marks=marks))
    return tables


def _beside(found: pd.DataFrame, track: str, dataset: str, name: str, reference: str) -> Table:
    metrics = [METRICS[metric] for metric in METRICS if metric in set(found["metric"])]
    blocks = MODES if track == "probe" else BLOCKS
    column = "mode" if track == "probe" else "alignment"
    places: dict[tuple[str, str, str], dict[str, dict[Any, Any]]] = {}
    for row in found.to_dict("records"):
        places.setdefault((row[column], row["model"], row["weights"]), {})[row["metric"]] = row
    order, known = in_order(found["model"], track), list(blocks)
    lines = []
    for block, model, weights in sorted(
        places, key=lambda at: (known.index(at[0]) if at[0] in blocks else len(known), at[0], order.index(at[1]), at[2])
    ):
        values = places[block, model, weights]
        entries = [entry for metric in metrics for entry in _both(values.get(metric.name), metric)]
        role = next(iter(values.values()))["role"]
        lines.append(Line(title_of(model, track), tuple(entries), row_marks(role, weights), blocks.get(block, block)))
    return Table(
        f"{name}-{track}-{dataset}",
        f"Beside {reference}: {dataset_title(dataset)}",
        f"Δ: ours less {reference}. What only one of them has is left out here.",
        (
            tuple(Heading(arrow(metric), 3) for metric in metrics),
            tuple(Heading(text) for _ in metrics for text in ("ours", reference, "Δ")),
        ),
        tuple(lines),
        "feature" if track == "probe" else "method",
    )


def _both(row: dict[Any, Any] | None, metric: Metric) -> list[Entry]:
    """Ours, the reference's value and their difference."""
    if row is None:
        return [Entry()] * 3
    texts = [metric.printed(row["ours"]), metric.printed(row["reference"])]
    notes = [coverage(row), coverage({**row, **{name: row[f"{name}_reference"] for name in _COUNTED}})]
    difference = _difference(row["difference"] * metric.factor, texts)
    return [Entry(texts[0], row["ours"], note=notes[0]), Entry(texts[1], row["reference"], note=notes[1]), difference]


def _difference(difference: float, texts: list[str]) -> Entry:
    """The difference with as many decimals as the coarser of the two printed values."""
    digits = min(len(text.partition(".")[2]) for text in texts)
    text = f"{difference:+.{digits}f}"
    return Entry(text if float(text) else text[1:], difference)
