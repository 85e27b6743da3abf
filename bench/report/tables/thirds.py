"""Paper, third party, ours: the same value from three hands, with a verdict within a stated tolerance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.metrics.catalogue import METRICS
from bench.report.say.cards import dataset_title, datasets_in_order, in_order, title_of
from bench.report.tables.beside import BLOCKS, published_means
from bench.report.tables.model import MISSING, Entry, Heading, Line, Table
from bench.results.reference.reproduced import PLACE, not_reproducible, reproduced_values

COLUMNS = ("Metric", "Paper", "Third party", "Ours", "Third party / paper", "Ours / paper", "Verdict")
_TITLES = {**BLOCKS, "fov": "Field of view, whole photos"}


def three_hands(ours: pd.DataFrame | None = None) -> pd.DataFrame:
    """Every value that a third party measured, beside the paper's and ours.

    Args:
        ours: Means of measured rows of one protocol (bench.report.say.means.table_means); only rows with pretrained weights
            and no missing scene are taken. None: paper and third party alone.

    Returns:
        PLACE, by, paper, third, ours (NaN where there is none), tolerance, note and verdict.
    """
    third = reproduced_values().rename(columns={"value": "third"})
    found = third.merge(_values(published_means(), "paper"), on=list(PLACE), how="left")
    own = None if ours is None else ours[(ours["weights"] == "pretrained") & (ours["n_ok"] == ours["n_total"])]
    found = found.assign(ours=math.nan) if own is None else found.merge(_values(own, "ours"), on=list(PLACE), how="left")
    return found.assign(verdict=[verdict(row) for row in found.to_dict("records")])


def _values(means: pd.DataFrame, name: str) -> pd.DataFrame:
    return means[[*PLACE, "value"]].drop_duplicates(list(PLACE)).rename(columns={"value": name})


def verdict(row: Mapping[Any, Any]) -> str:
    """Whose values agree, within the relative tolerance of the row.

    Args:
        row: paper, third, ours (NaN where there is none), tolerance and model.
    """
    reason = not_reproducible().get(str(row["model"]))
    if reason:
        return f"not reproducible: {reason}"

    def near(first: str, second: str) -> bool | None:
        if not (math.isfinite(row[first]) and math.isfinite(row[second])):
            return None
        return bool(abs(row[first] - row[second]) <= row["tolerance"] * abs(row[second]))

    said = {
        "the third party reproduces the paper": near("third", "paper"),
        "ours agrees with the paper": near("ours", "paper"),
        "ours agrees with the third party": near("ours", "third"),
    }
    said_not = {text: text.replace("reproduces", "misses").replace("agrees with", "misses") for text in said}
    words = [text if holds else said_not[text] for text, holds in said.items() if holds is not None]
    return "; ".join(words) or "nothing to compare with"


def thirds_table(found: pd.DataFrame) -> Table:
    """The table of `three_hands`; empty where the frame is."""
    order, datasets = in_order(found["model"], "geometry"), datasets_in_order(found["dataset"])
    rows = found.to_dict("records")
    rows.sort(key=lambda r: (r["alignment"], order.index(r["model"]), datasets.index(r["dataset"]), r["metric"]))
    lines = []
    for row in rows:
        metric = METRICS[row["metric"]]
        texts = [metric.told(row[name]) for name in ("paper", "third", "ours")]
        shares = [row[name] / row["paper"] - 1 for name in ("third", "ours")]
        ratios = [f"{share:+.1%}" if math.isfinite(share) else MISSING for share in shares]
        entries = tuple(map(Entry, (metric.title, *texts, *ratios, row["verdict"])))
        label = f"{title_of(row['model'], 'geometry')}, {dataset_title(row['dataset'])} ({row['by']})"
        lines.append(Line(label, entries, group=_TITLES.get(row["alignment"], row["alignment"])))
    tolerances = ", ".join(f"{tolerance:.0%}" for tolerance in sorted(set(found["tolerance"])))
    sources = "; ".join(dict.fromkeys(found["source"]))
    return Table(
        "third-parties",
        "Paper, third party, ours",
        f"Agreement within {tolerances} of the other value. Source: {sources}.",
        (tuple(map(Heading, COLUMNS)),),
        tuple(lines),
        "value",
        words=True,
    )
