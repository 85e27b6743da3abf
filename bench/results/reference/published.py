"""The papers' own numbers, as tidy rows: results/published/*.csv, which travel with the package.

Every average and every rank that the papers print is recomputed here from the values beside it, so that a reader knows how
far the printed tables agree with themselves; results/published/README.md says how garbled readings were settled.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from decimal import Decimal

import pandas as pd

from bench.core.cells import OVER_DATASETS
from bench.core.errors import UserError
from bench.metrics.catalogue import METRICS, RANK
from bench.results.migration import migrated
from bench.results.reference.shipped import PUBLISHED, shipped_table
from bench.results.schema import PUBLISHED_COLUMNS, as_rows
from bench.stats.rank import mean_ranks

#: The tables of numbers: file name -> title.
TABLES: dict[str, str] = {
    "feat2gs_gta": "Feat2GS: novel view synthesis from each feature in the modes G, T and A",
    "feat2gs_vggt": "Feat2GS: the same of VGGT's encoder and decoder, from the authors' benchmark sheet",
    "feat2gs_dtu": "Feat2GS: 2D metrics and 3D metrics on DTU",
    "feat2gs_variants": "Feat2GS: upsampled and fine-tuned features, all data sets",
    "feat2gs_instantsplat": "Feat2GS: against InstantSplat, all data sets",
    "moge_points": "MoGe: point map estimation",
    "moge_depth": "MoGe: depth map estimation",
    "moge_fov": "MoGe: field of view estimation",
    "moge_ablation": "MoGe: ablation",
}
#: The tables of words: file name -> title.
CARDS: dict[str, str] = {
    "models": "Feat2GS: the probed models",
    "datasets": "Feat2GS: the data sets",
    "training_data": "MoGe: the training data sets",
}
_AVERAGE_OF = "feat2gs_gta"  #: the per-data-set values behind the "All Datasets" columns


@functools.cache
def _table(name: str) -> pd.DataFrame:
    if name not in TABLES:
        raise UserError(f"no published table is named {name!r}; there are {', '.join(TABLES)}")
    text = shipped_table(PUBLISHED, name)
    flags = text["higher_is_better"].map({"true": True, "false": False})
    numbers = {column: pd.to_numeric(text[column]) for column in ("seed", "value", "seconds", "peak_memory_mb")}
    return as_rows(migrated(text.assign(higher_is_better=flags, **numbers)), PUBLISHED_COLUMNS)


def published_rows(table: str | None = None) -> pd.DataFrame:
    """The published rows (columns bench.results.schema.PUBLISHED_COLUMNS) of one table of TABLES, or of all of them.

    Shares are in [0, 1], lengths in millimetres, angles in degrees; dataset "all" holds what the papers average over their
    data sets. Raises UserError for an unknown name.
    """
    if table is not None:
        return _table(table).copy()
    return pd.concat([_table(name) for name in TABLES], ignore_index=True)


def published_cards(name: str) -> pd.DataFrame:
    """A table of words (CARDS): what the papers say of their models and data sets, every cell as text."""
    if name not in CARDS:
        raise UserError(f"no published table is named {name!r}; there are {', '.join(CARDS)}")
    return shipped_table(PUBLISHED, name)


def published_unranked() -> pd.DataFrame:
    """The places (alignment, model, dataset) whose values a paper prints without ranking them: not_ranked.csv."""
    return shipped_table(PUBLISHED, "not_ranked")


def published_scenes() -> dict[str, tuple[str, ...]]:
    """Data set -> the scenes that the probe's printed values are means over (results/published/scenes.csv)."""
    table = shipped_table(PUBLISHED, "scenes")
    return {name: tuple(scenes.split()) for name, scenes in zip(table["dataset"], table["scenes"], strict=True)}


def disagreements() -> pd.DataFrame:
    """The printed averages and ranks that the recomputation does not give, as results/published/disagreements.csv lists
    them."""
    return shipped_table(PUBLISHED, "disagreements")


# -------------------------------------------------------------------------------------------------------- recomputation


def recompute() -> pd.DataFrame:
    """Every printed average, "All Datasets" mean and rank beside what the per-data-set values give.

    Columns: table, alignment, model, mode, metric, printed, recomputed, difference (printed - recomputed), low and high
    (what the values allow, each being known to its last printed digit and ties being broken either way), and explanation:
    "" where printed and recomputed agree to the last digit, else why they may differ, or "unexplained".
    Averages and ranks are those of the papers: plain means over data sets; mean rank over data sets and metrics, ties
    sharing the average rank.
    """
    found = [*_all_datasets(), *_averages(), *_ranks()]
    columns = [
        "table",
        "alignment",
        "model",
        "mode",
        "metric",
        "printed",
        "recomputed",
        "difference",
        "low",
        "high",
        "explanation",
    ]
    return pd.DataFrame(found, columns=columns)


def _half_unit(text: str) -> Decimal:
    """Half of one unit of the last digit of a printed number."""
    return Decimal(1).scaleb(int(Decimal(text).as_tuple().exponent)) / 2


def _average(table: str, row: pd.Series, parts: list[str]) -> tuple[object, ...]:
    mean = sum((Decimal(part) for part in parts), Decimal()) / len(parts)
    reach = sum((_half_unit(part) for part in parts), Decimal()) / len(parts)
    difference, tolerance = Decimal(row["value"]) - mean, _half_unit(row["value"])
    explanation = "" if abs(difference) <= tolerance else "unexplained"
    if explanation and abs(difference) <= tolerance + reach:
        explanation = "rounding of the printed values"
    numbers = (mean, difference, mean - reach, mean + reach)
    return (table, *row[["alignment", "model", "mode", "metric", "value"]], *map(float, numbers), explanation)


def _all_datasets() -> Iterator[tuple[object, ...]]:
    """The "All Datasets" rows whose data sets are printed too."""
    parts = shipped_table(PUBLISHED, _AVERAGE_OF).groupby(["model", "mode", "metric"])["value"].agg(list)
    for table in ("feat2gs_variants", "feat2gs_instantsplat"):
        for _, row in shipped_table(PUBLISHED, table).iterrows():
            key = (row["model"], row["mode"], row["metric"])
            if key in parts.index:
                yield _average(table, row, parts[key])
    sheet = shipped_table(PUBLISHED, "feat2gs_vggt")
    parts = sheet[sheet["dataset"] != OVER_DATASETS].groupby(["model", "mode", "metric"])["value"].agg(list)
    for _, row in sheet[sheet["dataset"] == OVER_DATASETS].iterrows():
        yield _average("feat2gs_vggt", row, parts[row["model"], row["mode"], row["metric"]])


def _averages() -> Iterator[tuple[object, ...]]:
    for table in ("moge_points", "moge_depth", "moge_fov"):
        text = shipped_table(PUBLISHED, table)
        parts = text[text["dataset"] != OVER_DATASETS].groupby(["alignment", "model", "metric"])["value"].agg(list)
        for _, row in text[(text["dataset"] == OVER_DATASETS) & (text["metric"] != RANK.name)].iterrows():
            yield _average(table, row, parts[row["alignment"], row["model"], row["metric"]])


def _ranks() -> Iterator[tuple[object, ...]]:
    unranked = published_unranked()
    for table in ("moge_points", "moge_depth", "moge_fov"):
        for alignment, block in shipped_table(PUBLISHED, table).groupby("alignment", sort=False):
            values = block[block["dataset"] != OVER_DATASETS].assign(value=lambda rows: rows["value"].astype(float))
            wide = values.pivot_table(index="model", columns=["dataset", "metric"], values="value", sort=False)
            higher = [METRICS[metric].higher_is_better is True for metric in wide.columns.get_level_values("metric")]
            ranked = wide.copy()
            for _, gap in unranked[unranked["alignment"] == alignment].iterrows():
                ranked.loc[gap["model"], gap["dataset"]] = float("nan")
            recomputed = mean_ranks(wide, higher)["rank"]
            reach = [mean_ranks(wide, higher, method)["rank"] for method in ("min", "max")]
            allowed = [mean_ranks(ranked, higher, method)["rank"] for method in ("min", "max")]
            for _, row in block[block["metric"] == RANK.name].iterrows():
                model, printed, tolerance = row["model"], float(row["value"]), float(_half_unit(row["value"])) + 1e-9
                if abs(printed - recomputed[model]) <= tolerance:
                    explanation = ""
                elif reach[0][model] - tolerance <= printed <= reach[1][model] + tolerance:
                    explanation = "ties ranked otherwise"
                elif allowed[0][model] - tolerance <= printed <= allowed[1][model] + tolerance:
                    explanation = "values left unranked (not_ranked.csv)"
                else:
                    explanation = "unexplained"
                numbers = (recomputed[model], printed - recomputed[model], allowed[0][model], allowed[1][model])
                yield (table, alignment, model, row["mode"], RANK.name, row["value"], *map(float, numbers), explanation)
