"""The report of results folders: a pure function of what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import pandas as pd

from bench.files import write_text
from bench.metrics.catalogue import CATALOGUE, METRICS
from bench.protocols import GEOMETRY_PROTOCOLS, PROBE_PROTOCOLS
from bench.report import figures, tables
from bench.report.gallery import Gallery, galleries
from bench.report.render import latex_document, to_csv, to_markdown
from bench.report.tables import Table
from bench.stats.aggregate import per_dataset
from bench.stats.correlate import correlation_matrix, correlations
from bench.store import CellRecord, Store, rows_of
from bench.types import UserError

FORMATS = ("html", "md", "latex", "csv")
GTA = (("G", "Geometry"), ("T", "Texture"), ("A", "All"), ("instantsplat", "InstantSplat"))
FINE_TUNED = (("Gft", "Geometry*"), ("Tft", "Texture*"), ("Aft", "All*"))
BLOCKS = {
    "points_scale_invariant": "Scale-invariant point map",
    "points_affine_invariant": "Affine-invariant point map",
    "local_points": "Local point map",
    "depth_scale_invariant": "Scale-invariant depth map",
    "depth_affine_invariant": "Affine-invariant depth map",
    "disparity_affine_invariant": "Affine-invariant disparity map",
    "points_metric": "Metric point map",
    "depth_metric": "Metric depth map",
}


@dataclass(frozen=True)
class Figure:
    """A figure of the page: inline SVG, and the name under which its files lie in figures/."""

    name: str
    svg: str
    caption: str


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    anchor: str
    title: str
    marks: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    galleries: tuple[Gallery, ...] = ()


def build_report(folders: Sequence[Path], out: Path, formats: Sequence[str] = FORMATS) -> Path:
    """Write the report of the results folders into `out` and return its first file.

    Raises UserError for a folder without results or an unknown format.
    """
    for name in formats:
        if name not in FORMATS:
            raise UserError(f"--format {name}: there are {', '.join(FORMATS)}")
    stored = [(record, folder) for folder in folders for record in Store(folder, create=False).records()]
    if not stored:
        raise UserError(f"{folders[0]} holds no finished cell yet; run `bench run --out {folders[0]}` first")
    rows = rows_of(record for record, _ in stored)
    sections = [*_probe_sections(rows, stored, out), *_geometry_sections(rows, stored, out), _cost(rows), *_gaps(rows)]
    every_table = [table for section in sections for table in section.tables]
    title = f"vfm3d-bench: {', '.join(folder.resolve().name for folder in folders)}"
    written = []
    if "html" in formats:
        written.append(out / "index.html")
        write_text(written[-1], _html(title, sections, stored))
    if "md" in formats:
        written.append(out / "report.md")
        write_text(written[-1], _markdown(title, sections, stored))
    if "latex" in formats:
        written.append(out / "tables.tex")
        write_text(written[-1], latex_document(every_table))
    if "csv" in formats:
        for table in every_table:
            write_text(out / "tables" / f"{table.name}.csv", to_csv(table))
        written.append(out / "tables")
    return written[0]


# --------------------------------------------------------------------------------------------------------------- sections


def _probe_sections(rows: pd.DataFrame, stored: Sequence[tuple[CellRecord, Path]], out: Path) -> list[Section]:
    """One section a data set, protocol and point map: numbers of different conditions never share a table."""
    sections = []
    probe = rows[rows["track"] == "probe"]
    for key, part in probe.groupby(["dataset", "protocol", "pointmap"], sort=True):
        dataset, protocol, pointmap = map(str, key)
        means = per_dataset(part)
        anchor = f"probe-{dataset}-{protocol}-{pointmap}"
        marks = _condition_marks(protocol, pointmap)
        metrics_2d = [m.name for m in CATALOGUE if m.kind == "2d" and m.name in set(part["metric"])]
        metrics_3d = [m.name for m in CATALOGUE if m.kind == "3d" and m.name in set(part["metric"])]
        unit = next(iter(part[part["metric"] == "distance"]["unit"]), "")
        made = [
            tables.probe_table(means, dataset, GTA[:3], "Novel views by feature and mode", metrics_2d),
            tables.probe_table(means, dataset, FINE_TUNED, "Novel views, fine-tuned features", metrics_2d),
            tables.instantsplat_table(means, dataset, metrics_2d),
            tables.pose_table(means, dataset),
        ]
        drawn: list[Figure] = []
        if metrics_3d:
            made.append(tables.cloud_table(means, dataset, metrics_2d, metrics_3d, unit))
            drawn += _correlation_figures(part, anchor, metrics_2d, metrics_3d, out)
            made += _correlation_table(part, metrics_2d, metrics_3d)
        drawn += _bars(means, anchor, out)
        members = [(record, folder) for record, folder in stored if _belongs(record, dataset, protocol, pointmap)]
        sections.append(
            Section(
                anchor,
                f"{dataset}: probe",
                marks,
                (f"{protocol}; point map {pointmap}; {part['scene'].nunique()} scenes.",),
                tuple(replace(table, name=f"{anchor}-{table.name}", marks=marks) for table in tables.non_empty(made)),
                tuple(drawn),
                tuple(galleries(members, out)),
            )
        )
    return sections


def _geometry_sections(rows: pd.DataFrame, stored: Sequence[tuple[CellRecord, Path]], out: Path) -> list[Section]:
    """One section a protocol: MoGe's tables run over data sets."""
    sections = []
    geometry = rows[rows["track"] == "geometry"]
    for protocol, part in geometry.groupby("protocol", sort=True):
        means = pd.concat([per_dataset(part), _fov_medians(part)], ignore_index=True)
        marks = _condition_marks(str(protocol), "-")
        made = [tables.geometry_table(means, block, title) for block, title in BLOCKS.items()]
        made += [tables.field_of_view_table(means), tables.boundary_table(means)]
        members = [(record, folder) for record, folder in stored if _belongs(record, None, str(protocol), "-")]
        anchor = f"geometry-{protocol}"
        counts = ", ".join(f"{name} ({group['scene'].nunique()})" for name, group in part.groupby("dataset"))
        sections.append(
            Section(
                anchor,
                "Monocular geometry",
                marks,
                (f"{protocol}; samples: {counts}.",),
                tuple(replace(table, name=f"{anchor}-{table.name}", marks=marks) for table in tables.non_empty(made)),
                (),
                tuple(galleries(members, out)),
            )
        )
    return sections


def _fov_medians(rows: pd.DataFrame) -> pd.DataFrame:
    crops = rows[(rows["metric"] == "fov_x_error") & (rows["alignment"] == "fov_crops")]
    return per_dataset(crops, "median").assign(metric="fov_x_error_median")


def _condition_marks(protocol: str, pointmap: str) -> tuple[str, ...]:
    """What every table and picture of these conditions must say of itself."""
    named = PROBE_PROTOCOLS.get(protocol) or GEOMETRY_PROTOCOLS.get(protocol)
    marks = ["quick protocol"] if named is not None and named.quick else []
    if pointmap in ("ground-truth", "simulated"):
        marks.append("point map from ground truth" if pointmap == "ground-truth" else "simulated point map")
    return tuple(marks)


def _belongs(record: CellRecord, dataset: str | None, protocol: str, pointmap: str) -> bool:
    cell = record.cell
    return cell.protocol == protocol and cell.pointmap == pointmap and (dataset is None or cell.dataset == dataset)


def _models_by_metric(rows: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Models x metrics in the geometry mode, means over scenes; the table that correlations are taken over."""
    means = per_dataset(rows[rows["mode"] == "G"])
    wide = means.pivot_table(index="model", columns="metric", values="value", aggfunc="first")
    return wide.reindex(columns=[metric for metric in metrics if metric in wide])


def _correlation_figures(
    rows: pd.DataFrame, anchor: str, first: Sequence[str], second: Sequence[str], out: Path
) -> list[Figure]:
    table = _models_by_metric(rows, [*first, *second]).dropna(axis=1, how="all")
    first = [metric for metric in first if metric in table]
    second = [metric for metric in second if metric in table]
    if len(table) < 3 or not first or not second:
        return []
    name = f"{anchor}-correlation"
    heat = figures.correlation_heat_map(correlation_matrix(table), len(first), "Pearson correlation over features")
    scatter = figures.scatter_2d_3d(
        table, first[0], second[-1], f"{METRICS[first[0]].label} against {METRICS[second[-1]].label}"
    )
    return [
        Figure(
            name, figures.save(heat, out / "figures", name), f"2D against 3D metrics over {len(table)} features, mode G."
        ),
        Figure(f"{name}-scatter", figures.save(scatter, out / "figures", f"{name}-scatter"), "One dot a feature."),
    ]


def _correlation_table(rows: pd.DataFrame, first: Sequence[str], second: Sequence[str]) -> list[Table]:
    table = _models_by_metric(rows, [*first, *second]).dropna(axis=1, how="all")
    found = correlations(table, [m for m in first if m in table], [m for m in second if m in table])
    return [tables.leverage_table(found)] if len(found) and len(table) >= 3 else []


def _bars(means: pd.DataFrame, anchor: str, out: Path) -> list[Figure]:
    if means[(means["metric"] == "psnr") & means["value"].notna()].empty:
        return []
    modes = [mode for mode, _ in GTA[:3] if mode in set(means["mode"])]
    if not modes:
        return []
    name = f"{anchor}-modes"
    figure = figures.mode_bars(means, modes, "psnr", "PSNR of held-out views by mode")
    return [Figure(name, figures.save(figure, out / "figures", name), "Whiskers: standard deviation over scenes.")]


def _cost(rows: pd.DataFrame) -> Section:
    cells = rows.drop_duplicates("key")
    return Section(
        "cost", "Cost", text=("Seconds and peak memory of a cell, means over cells.",), tables=(tables.cost_table(cells),)
    )


def _gaps(rows: pd.DataFrame) -> list[Section]:
    """What could not be measured, and why: shown, never averaged away."""
    bad = rows[rows["status"] != "ok"]
    if bad.empty:
        return []
    return [
        Section("gaps", "Gaps and failures", text=(f"{len(bad)} of {len(rows)} values.",), tables=(tables.gap_table(bad),))
    ]


# ---------------------------------------------------------------------------------------------------------------- writing


def _summary(stored: Sequence[tuple[CellRecord, Path]]) -> str:
    total = len(stored)
    ok = sum(record.status == "ok" for record, _ in stored)
    models = {record.cell.model for record, _ in stored} - {"-"}
    datasets = {record.cell.dataset for record, _ in stored}
    return f"{ok} of {total} cells finished: {len(models)} models on {', '.join(sorted(datasets))}."


def _page_marks(stored: Sequence[tuple[CellRecord, Path]]) -> tuple[str, ...]:
    return ("with random weights",) if any(record.weights == "random" for record, _ in stored) else ()


def _footer(stored: Sequence[tuple[CellRecord, Path]]) -> str:
    versions = sorted({str(record.provenance.get("code_version", "")) for record, _ in stored})
    devices = sorted({str(record.provenance.get("device_name", "")) for record, _ in stored})
    return f"vfm3d-bench {', '.join(versions)} on {', '.join(devices)}."


def _html(title: str, sections: Sequence[Section], stored: Sequence[tuple[CellRecord, Path]]) -> str:
    from jinja2 import Environment, PackageLoader, select_autoescape

    environment = Environment(
        loader=PackageLoader("bench.report"), autoescape=select_autoescape(["html", "j2"]), trim_blocks=True
    )
    css = resources.files("bench.report").joinpath("templates/report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(
        title=title,
        css=css,
        sections=sections,
        summary=_summary(stored),
        page_marks=_page_marks(stored),
        footer=_footer(stored),
    )


def _markdown(title: str, sections: Sequence[Section], stored: Sequence[tuple[CellRecord, Path]]) -> str:
    parts = [f"# {title}", _summary(stored)]
    for section in sections:
        marks = f" [{', '.join(section.marks)}]" if section.marks else ""
        parts += [f"## {section.title}{marks}", *section.text, *map(to_markdown, section.tables)]
        parts += [f"![{figure.caption}](figures/{figure.name}.png)" for figure in section.figures]
        for gallery in section.galleries:
            parts += [f"### {gallery.title}", _markdown_gallery(gallery)]
    return "\n\n".join([*parts, _footer(stored), ""])


def _markdown_gallery(gallery: Gallery) -> str:
    lines = ["| | " + " | ".join(gallery.columns) + " |", "|" + "---|" * (len(gallery.columns) + 1)]
    for row in gallery.rows:
        marks = f" [{', '.join(row.marks)}]" if row.marks else ""
        cells = " | ".join(
            f"![{title}]({path})" if path else "" for title, path in zip(gallery.columns, row.pictures, strict=True)
        )
        lines.append(f"| {row.label}{marks} {row.detail} | {cells} |")
    return "\n".join(lines)
