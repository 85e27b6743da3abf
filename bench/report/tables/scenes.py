"""Tables that a researcher reads for scenes and models of their own: scene by scene, and among the published rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from bench.metrics.catalogue import METRICS, Metric
from bench.report.say.cards import dataset_title, datasets_in_order
from bench.report.say.means import table_means
from bench.report.say.scenes import other_scenes, own_scenes
from bench.report.tables.beside import BLOCKS
from bench.report.tables.model import Column, Heading, Row, Table, arrow, fill
from bench.report.tables.papers import GTA, model_rows
from bench.results.schema import PUBLISHED

MOST_SCENES = 12  #: of a data set; more are no table that anybody reads, and stand in the rows
_3D_ALIGNMENT = "similarity"  #: what our rows say of 3D metrics; the papers' rows name no alignment


def scene_tables(rows: pd.DataFrame, metrics: Sequence[str]) -> Iterator[Table]:
    """One table a data set whose scenes are no paper's: each scene with its models, modes beside each other.

    A data set of one scene has none, since its means say the same.

    Args:
        rows: Measured rows of the probe under one protocol and point map.
        metrics: Their names.
    """
    for dataset, scenes in own_scenes(rows).items():
        own = rows[rows["dataset"] == dataset]
        lines: list[Row] = []
        for scene in scenes[:MOST_SCENES]:
            lines += model_rows(table_means(own[own["scene"] == scene]), scene)
        more = f" {len(scenes) - MOST_SCENES} more scenes stand in the rows." if len(scenes) > MOST_SCENES else ""
        modes = [mode for mode in GTA if mode in set(own["mode"])]
        yield fill(
            lines,
            [Column(METRICS[metric], dataset, mode) for mode in modes for metric in metrics],
            (
                [Heading(GTA[mode], len(metrics)) for mode in modes],
                [Heading(arrow(METRICS[metric])) for _ in modes for metric in metrics],
            ),
            name=f"scenes-{dataset}",
            title=f"Scene by scene: {dataset_title(dataset)}",
            caption=f"Scenes that no published value is over, each by itself; best and second are a scene's own.{more}",
        )


def among_published(
    rows: pd.DataFrame, means: pd.DataFrame, published: pd.DataFrame, metrics: Sequence[Metric]
) -> Iterator[Table]:
    """One table a data set where a model that no paper has was measured: what was measured here, and the published rows
    below, each ranked among themselves. The caption says where the scenes are others.

    Args:
        rows: Measured rows of one track, protocol and point map.
        means: Of these.
        published: Means of the published rows.
        metrics: The columns.
    """
    track = str(rows["track"].iloc[0])
    theirs = published[(published["track"] == track) & (published["protocol"] == PUBLISHED)]
    theirs = theirs[theirs["value"].notna()]
    blocks, column = (GTA, "mode") if track == "probe" else (BLOCKS, "alignment")
    ours = means[means["value"].notna()]
    ours = ours.assign(alignment=ours["alignment"].replace(_3D_ALIGNMENT, "-"))
    for dataset in datasets_in_order(set(ours["dataset"]) & set(theirs["dataset"]) & set(rows["dataset"])):
        here, there = (table[table["dataset"] == dataset] for table in (ours, theirs))
        places = [
            (block, metric)
            for block in blocks
            for metric in metrics
            if all(((part[column] == block) & (part["metric"] == metric.name)).any() for part in (here, there))
        ]
        if not places or set(here["model"]) <= set(there["model"]):
            continue
        shown = [block for block in blocks if block in {block for block, _ in places}]
        yield fill(
            [*model_rows(here, "measured here"), *model_rows(there, "published")],
            [
                Column(metric, dataset, block if track == "probe" else "-", "-" if track == "probe" else block)
                for block, metric in places
            ],
            (
                [Heading(blocks[block], sum(each == block for each, _ in places)) for block in shown],
                [Heading(arrow(metric)) for _, metric in places],
            ),
            name=f"among-{dataset}",
            title=f"Among the published rows: {dataset_title(dataset)}",
            caption="What was measured here stands above what the papers print; best and second are marked in each part by "
            f"itself, since protocols differ.{other_scenes(rows, [dataset])}",
            corner="feature" if track == "probe" else "method",
        )
