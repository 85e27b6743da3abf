"""The tables of the two papers, in their own layout, from the means of any result set: published or measured.

Every function takes means of one protocol and point map (bench.report.say.means.table_means) and gives tables, which may be
empty.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.core.cells import INSTANTSPLAT, OVER_DATASETS
from bench.metrics.catalogue import METRICS, RANK, Metric, of_kind
from bench.report.say.cards import (
    ABLATION,
    card_of,
    dataset_title,
    datasets_in_order,
    in_order,
    is_upsampled,
    loaded,
    singles,
    title_of,
)
from bench.report.say.marks import row_marks
from bench.report.tables.model import RANKED, Column, Heading, Row, Table, arrow, fill, words_table
from bench.results.reference.published import published_cards

GTA = {"G": "Geometry", "T": "Texture", "A": "All"}
FINE_TUNED = {"Gft": "G", "Tft": "T", "Aft": "A"}
POINT_BLOCKS = {
    "points_scale_invariant": "Scale-invariant point map",
    "points_affine_invariant": "Affine-invariant point map",
    "local_points": "Local point map",
    "points_metric": "Metric point map",
}
DEPTH_BLOCKS = {
    "depth_scale_invariant": "Scale-invariant depth map",
    "depth_affine_invariant": "Affine-invariant depth map",
    "disparity_affine_invariant": "Affine-invariant disparity map",
    "depth_metric": "Metric depth map",
}
NORMAL_BLOCKS = {"normals": "Of the point map", "normals_predicted": "Predicted"}
#: The columns of MoGe's ablation: group -> (alignment, what the header calls it).
SUMMARY = {
    "Point": (
        ("points_scale_invariant", "Scale-inv."),
        ("points_affine_invariant", "Affine-inv."),
        ("local_points", "Local"),
    ),
    "Depth": (("depth_scale_invariant", "Scale-inv."), ("depth_affine_invariant", "Affine-inv.")),
    "Disparity": (("disparity_affine_invariant", "Affine-inv."),),
}
DATASETS_A_TABLE = 3  #: as many stand side by side in the papers
AVERAGES = f"Average: over data sets. {RANKED}"


def model_rows(means: pd.DataFrame, group: str = "") -> list[Row]:
    """One row a model and kind of weights, in the papers' order."""
    rows = []
    track = str(means["track"].iloc[0]) if len(means) else "probe"
    groups: dict[str, list[tuple[tuple[str, ...], pd.DataFrame]]] = {}
    for (model, weights, role), part in means.groupby(["model", "weights", "role"], sort=True):
        groups.setdefault(str(model), []).append((row_marks(str(role), str(weights)), part))
    for model in in_order(groups, track):
        rows += [Row(title_of(model, track), part, marks, group) for marks, part in groups[model]]
    return rows


# ------------------------------------------------------------------------------------------------------------- the probe


def gta_tables(means: pd.DataFrame, metrics: Sequence[str]) -> list[Table]:
    """Feat2GS, the probe table: features x data sets x modes x metrics, three data sets a table.

    A data set of which only the geometry mode is known, beside 3D metrics, stands in `cloud_tables` instead.
    """
    rows = means[means["mode"].isin(list(GTA)) & means["metric"].isin(list(metrics))]
    in_3d = set(means[means["metric"].map(lambda name: _kind(name) == "3d")]["dataset"])
    datasets = [
        dataset
        for dataset in datasets_in_order(rows["dataset"])
        if dataset not in in_3d or set(rows[rows["dataset"] == dataset]["mode"]) != {"G"}
    ]
    modes = [mode for mode in GTA if mode in set(rows["mode"])]
    tables = []
    for start in range(0, len(datasets), DATASETS_A_TABLE):
        chosen = datasets[start : start + DATASETS_A_TABLE]
        part = rows[rows["dataset"].isin(chosen)]
        tables.append(
            fill(
                model_rows(part),
                [Column(METRICS[metric], dataset, mode) for dataset in chosen for mode in modes for metric in metrics],
                (
                    [Heading(dataset_title(dataset), len(modes) * len(metrics)) for dataset in chosen],
                    [Heading(GTA[mode], len(metrics)) for _ in chosen for mode in modes],
                    [Heading(arrow(METRICS[metric])) for _ in chosen for _ in modes for metric in metrics],
                ),
                name="-".join(["gta", *chosen]),
                title=f"Novel views by feature and mode: {', '.join(map(dataset_title, chosen))}",
            )
        )
    return tables


def cloud_tables(means: pd.DataFrame, metrics_2d: Sequence[str], metrics_3d: Sequence[str]) -> list[Table]:
    """Feat2GS, 2D metrics beside 3D metrics in the geometry mode; one table a data set with 3D metrics."""
    shown = [METRICS[metric] for metric in (*metrics_2d, *metrics_3d)]
    tables = []
    for dataset in datasets_in_order(means[means["metric"].isin(list(metrics_3d))]["dataset"]):
        rows = means[(means["dataset"] == dataset) & (means["mode"] == "G")]
        units = sorted({*rows[rows["metric"].isin(list(metrics_3d))]["unit"]} - {""})
        table = fill(
            model_rows(rows),
            [Column(metric, dataset, "G", _alignment_of(rows, metric)) for metric in shown],
            (
                [Heading("2D metrics", len(metrics_2d)), Heading("3D metrics", len(metrics_3d))],
                [Heading(arrow(metric)) for metric in shown],
            ),
            name=f"2d-3d-{dataset}",
            title=f"2D metrics and 3D metrics: {dataset_title(dataset)}, geometry mode",
            caption=f"3D metrics in {' and '.join(units) or 'the unit of the scene'}s.",
        )
        tables.append(table)
    return tables


def variants_table(means: pd.DataFrame, metrics: Sequence[str]) -> Table:
    """Feat2GS, upsampled (+) and fine-tuned (*) features beside the plain ones, means over the data sets."""
    rows = means[(means["dataset"] == OVER_DATASETS) & means["metric"].isin(list(metrics)) & (means["track"] == "probe")]
    tuned = rows[rows["mode"].isin(list(FINE_TUNED))].assign(mode=lambda frame: frame["mode"].map(FINE_TUNED))
    plain = rows[rows["mode"].isin(list(GTA))]
    varied = {*tuned["model"], *(loaded(model) for model in plain["model"] if is_upsampled(model))}
    lines = []
    for model in in_order(varied, "probe"):
        own = plain[(plain["model"] == model) | plain["model"].str.startswith(f"{model}@")]
        lines += model_rows(own)
        lines += [Row(f"{row.label}*", row.means, row.marks) for row in model_rows(tuned[tuned["model"] == model])]
    modes = [mode for mode in GTA if mode in {*plain["mode"], *tuned["mode"]}]
    title = _all_title(means)
    return fill(
        lines,
        [Column(METRICS[metric], OVER_DATASETS, mode) for mode in modes for metric in metrics],
        (
            [Heading(title, len(modes) * len(metrics))],
            [Heading(GTA[mode], len(metrics)) for mode in modes],
            [Heading(arrow(METRICS[metric])) for _ in modes for metric in metrics],
        ),
        name="variants",
        title="Upsampled (+) and fine-tuned (*) features",
    )


def instantsplat_table(means: pd.DataFrame, metrics: Sequence[str]) -> Table:
    """Feat2GS, the baseline without features beside the geometry mode of every feature, means over the data sets."""
    rows = means[(means["dataset"] == OVER_DATASETS) & means["metric"].isin(list(metrics))]
    baseline = rows[rows["mode"] == INSTANTSPLAT]
    frozen, tuned = rows[rows["mode"] == "G"], rows[rows["mode"] == "Gft"]
    lines = model_rows(baseline.assign(mode="-"))
    for model in in_order([*frozen["model"], *tuned["model"]], "probe") if len(baseline) else []:
        own = model_rows(frozen[frozen["model"] == model].assign(mode="-"))
        own += [Row(f"{r.label}*", r.means, r.marks) for r in model_rows(tuned[tuned["model"] == model].assign(mode="-"))]
        lines += [Row(f"Feat2GS w/ {row.label}", row.means, row.marks) for row in own]
    return fill(
        lines,
        [Column(METRICS[metric], OVER_DATASETS) for metric in metrics],
        (
            [Heading(_all_title(means), len(metrics))],
            [Heading(arrow(METRICS[metric])) for metric in metrics],
        ),
        name=INSTANTSPLAT,
        title="InstantSplat beside the geometry mode",
        caption="InstantSplat optimises every attribute freely and sees no feature. * fine-tuned feature.",
        corner="method",
    )


# ------------------------------------------------------------------------------------------------------------- geometry


def points_table(means: pd.DataFrame) -> Table:
    """MoGe, point maps: methods x data sets x (Rel, delta), a block for each alignment, with Average and Rank."""
    return _over_datasets(means, POINT_BLOCKS, of_kind("depth"), "points", "Point map estimation", f"Percent. {AVERAGES}")


def depth_table(means: pd.DataFrame) -> Table:
    """MoGe, depth and disparity maps: the same layout."""
    return _over_datasets(means, DEPTH_BLOCKS, of_kind("depth"), "depth", "Depth map estimation", f"Percent. {AVERAGES}")


def field_of_view_table(means: pd.DataFrame) -> Table:
    """MoGe, field of view: mean and median absolute error in degrees."""
    caption = f"Absolute error of the horizontal field of view in degrees, over centred crops. {AVERAGES}"
    return _over_datasets(means, {"fov_crops": ""}, of_kind("fov"), "fov", "Field of view estimation", caption)


def boundary_table(means: pd.DataFrame) -> Table:
    """MoGe, boundaries: F1 of relative depth jumps on the data sets with sharp depth."""
    caption = f"F1 of relative depth jumps within a radius of one pixel, in percent. {AVERAGES}"
    return _over_datasets(means, {"boundary": ""}, of_kind("boundary"), "boundary", "Boundaries", caption)


def normals_table(means: pd.DataFrame) -> Table:
    """Surface normals of the predicted point maps, and those that models predict as such: angular errors and inliers."""
    caption = (
        "Angle to the true normal: mean and median in degrees, and the share of pixels below 11.25, 22.5 and 30 degrees in "
        f"percent, on the data sets with sharp depth, away from depth edges. {AVERAGES}"
    )
    return _over_datasets(means, NORMAL_BLOCKS, of_kind("normal"), "normals", "Surface normals", caption)


def summary_table(means: pd.DataFrame, *, name: str = "summary", title: str = "Averages over data sets") -> Table:
    """MoGe, the ablation's layout: methods x alignments x (Rel, delta), averages over data sets."""
    rows = means[means["dataset"] == OVER_DATASETS]
    blocks = [(alignment, label) for group in SUMMARY.values() for alignment, label in group]
    metrics = of_kind("depth")
    lines = model_rows(rows)
    if set(rows["model"]) <= set(ABLATION):
        lines = [Row(row.label, row.means, row.marks, _ablation_group(row)) for row in lines]
    return fill(
        lines,
        [Column(metric, OVER_DATASETS, "-", alignment) for alignment, _ in blocks for metric in metrics],
        (
            [Heading(group, len(metrics) * len(found)) for group, found in SUMMARY.items()],
            [Heading(label, len(metrics)) for _, label in blocks],
            [Heading(_superscripted(metric, alignment)) for alignment, _ in blocks for metric in metrics],
        ),
        name=name,
        title=title,
        caption="Percent, averages over data sets.",
        corner="method",
    )


def _ablation_group(row: Row) -> str:
    full = row.means["model"].iloc[0].startswith("moge@full")
    return "All losses" if full else "Global loss only"


def _over_datasets(
    means: pd.DataFrame, blocks: dict[str, str], shown: Sequence[Metric], name: str, title: str, caption: str
) -> Table:
    held = [*(metric.name for metric in shown), RANK.name]
    rows = means[means["alignment"].isin(list(blocks)) & means["metric"].isin(held)]
    datasets = datasets_in_order(rows["dataset"])
    first = next(iter(blocks))
    labels = [Heading(_superscripted(metric, first)) for metric in shown]
    lines, columns = [], [Column(metric, dataset) for dataset in datasets for metric in shown]
    columns += [*(Column(metric, OVER_DATASETS) for metric in shown), Column(RANK, OVER_DATASETS)]
    for alignment, label in blocks.items():
        lines += model_rows(rows[rows["alignment"] == alignment].assign(alignment="-"), label)
    return fill(
        lines,
        columns,
        (
            [*(Heading(dataset_title(dataset), len(shown)) for dataset in datasets), Heading("Average", len(shown) + 1)],
            [*(labels * len(datasets)), *labels, Heading(arrow(RANK))],
        ),
        name=name,
        title=title,
        caption=caption,
        corner="method",
    )


def _superscripted(metric: Metric, alignment: str) -> str:
    """Errors of points and of depth carry what they are measured on: p or d."""
    if metric.kind != "depth":
        return arrow(metric)
    text = arrow(metric)
    return text[:-1] + ("ᵖ" if "points" in alignment else "ᵈ") + text[-1]


# ---------------------------------------------------------------------------------------------------------- tables of words


def models_table(models: Sequence[str], track: str, name: str = "models") -> Table:
    """What is known of the models: architecture, channels, supervision, data, licence."""
    cards = [card_of(model) for model in singles(in_order(models, track))]
    lines = [
        (
            c.name,
            [c.arch.strip("-"), str(c.channels or ""), c.supervision.strip("-"), c.domain.strip("-"), ", ".join(c.data)],
        )
        for c in cards
    ]
    header = ("Architecture", "Channels", "Supervision", "Domain", "Data")
    return words_table(name, "Models", header, dict(lines).items(), corner="model")


def datasets_table() -> Table:
    """Feat2GS: the data sets."""
    rows = published_cards("datasets").to_dict("records")
    lines = [(r["title"], [r["scene_type"], r["complexity"], r["view_range"], r["train_views"]]) for r in rows]
    header = ("Scene type", "Complexity", "View range", "Training views")
    return words_table("datasets", "Data sets of Feat2GS", header, lines, corner="data set")


def training_data_table() -> Table:
    """MoGe: the training data sets."""
    rows = published_cards("training_data").to_dict("records")
    lines = [(r["title"], [r["domain"], _thousands(int(r["frames"])), r["type"], f"{float(r['weight']):.1%}"]) for r in rows]
    header = ("Domain", "Frames", "Type", "Weight")
    return words_table("training-data", "Training data of MoGe", header, lines, corner="data set")


def _thousands(count: int) -> str:
    return f"{count / 1e6:.1f}M" if count >= 1e6 else f"{count // 1000}K"


def _kind(metric: str) -> str:
    return METRICS[metric].kind if metric in METRICS else ""


def _alignment_of(rows: pd.DataFrame, metric: Metric) -> str:
    """The alignment that the rows of a metric name; published ones name none."""
    return str(next(iter(rows[rows["metric"] == metric.name]["alignment"]), "-"))


def _all_title(means: pd.DataFrame) -> str:
    datasets = datasets_in_order(means["dataset"])
    return dataset_title(datasets[0]) if len(datasets) == 1 else dataset_title(OVER_DATASETS)
