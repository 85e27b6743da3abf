"""What is known of the models that were measured, and of what they were measured on."""

from __future__ import annotations

import pandas as pd

from bench.report.page.page import Part, Section, section
from bench.report.tables.runs import cards_table, datasets_table


def models_section(rows: pd.DataFrame) -> Section:
    """What is known of the models that were measured, and of what they were measured on."""
    parts = []
    for track, title in (("probe", "Features"), ("geometry", "Estimators")):
        models = list(rows[rows["track"] == track]["model"].unique())
        parts.append(Part(title, tables=(cards_table(models, track, title),)))
    parts.append(Part("Data sets", tables=(datasets_table(list(rows["dataset"].unique())),)))
    return section("models", "Models and data sets", parts)
