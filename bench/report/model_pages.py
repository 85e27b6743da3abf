"""A page for each model of a report: its card, its training data, its scores and pictures, how to run and to cite it."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from bench.core.cells import OVER_DATASETS
from bench.core.facts.training import is_disclosed, overlap, parts, sources
from bench.core.interfaces import Card
from bench.machine.files import write_text
from bench.metrics.catalogue import METRICS, RANK
from bench.report.figures.gallery import Gallery, Stored, copy_pictures, galleries
from bench.report.leaderboard.data import scene_intervals
from bench.report.page.page import Page, Part, Section, section, to_html
from bench.report.say import marks as conditions
from bench.report.say.cards import (
    card_of,
    dataset_title,
    datasets_in_order,
    is_single,
    loaded,
    registered_card,
    singles,
    title_of,
)
from bench.report.tables.beside import BLOCKS, MODES, published_means
from bench.report.tables.model import Entry, Heading, Line, Table, arrow, coverage, words_table
from bench.results.schema import PUBLISHED
from bench.stats.aggregate import SETTING

INDEX = "models.html"
TRACKS = ("probe", "geometry")
_SUITE = """@software{vfm3d_bench,
  title = {vfm3d-bench: how much 3D does a vision model know?},
  note = {version and commit stand in every row}
}"""
_METHODS = {
    "probe": """@inproceedings{chen2025feat2gs,
  title = {Feat2GS: Probing Visual Foundation Models with Gaussian Splatting},
  author = {Chen, Yue and Chen, Xingyu and Chen, Anpei and Pons-Moll, Gerard and Xiu, Yuliang},
  booktitle = {CVPR},
  year = {2025}
}""",
    "geometry": """@inproceedings{wang2025moge,
  title = {MoGe: Unlocking Accurate Monocular Geometry Estimation for Open-Domain Images with Optimal Training Supervision},
  author = {Wang, Ruicheng and Xu, Sicheng and Dai, Cassie and Xiang, Jianfeng and Deng, Yu and Tong, Xin and
    Yang, Jiaolong},
  booktitle = {CVPR},
  year = {2025}
}""",
}


def write_model_pages(stored: Sequence[Stored], rows: pd.DataFrame, means: pd.DataFrame, out: Path) -> str | None:
    """Write out/models.html and a page beside it for each network that was measured by itself.

    Args:
        stored: The cells whose pictures may be shown.
        rows: Measured rows.
        means: Of them (bench.report.say.means.table_means).
        out: The report's folder.

    Returns:
        The name of the index, None where no model was measured.
    """
    models = model_files(rows)
    if not models:
        return None
    intervals = scene_intervals(rows)
    printed = published_means()
    by_network: dict[str, list[Stored]] = {}
    for each in stored:
        if is_single(each.cell.model):
            by_network.setdefault(loaded(each.cell.model), []).append(each)
    links = []
    for model in models:
        own = [_of(model, frame) for frame in (rows, means, printed)]
        mine = by_network.get(model, [])
        page = model_page(model, own[0], own[1].merge(intervals, on=list(SETTING), how="left"), own[2], mine)
        for gallery in (gallery for each in page.sections for part in each.parts for gallery in part.galleries):
            copy_pictures(gallery, out)
        write_text(out / models[model], to_html(page, ()))
        links.append((models[model], page.title))
    about = Section(
        "about", "A page each", text=("Every network that was measured by itself, with all its sizes, layers and twins.",)
    )
    write_text(
        out / INDEX,
        to_html(Page("Models", f"{len(links)} pages, of models, controls and oracles.", (about,), links=tuple(links)), ()),
    )
    return INDEX


def model_files(rows: pd.DataFrame) -> dict[str, str]:
    """By network, the file of its page, for each that was measured by itself; rows: measured rows."""
    return {model: page_file(model) for model in singles(rows["model"].unique())}


def page_file(model: str) -> str:
    """The file of a model's page; names that differ by case alone have files that differ by more."""
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", model).strip("-")
    mark = "" if model == plain.lower() else f"-{hashlib.sha256(model.encode()).hexdigest()[:6]}"
    return f"model-{plain.lower()}{mark}.html"


def model_page(model: str, rows: pd.DataFrame, means: pd.DataFrame, printed: pd.DataFrame, stored: Sequence[Stored]) -> Page:
    """The page of one network.

    Args:
        model: Its name.
        rows, means: Measured, of this network alone; means with low and high.
        printed: Means of the published rows of this network.
        stored: Its cells.
    """
    card = card_of(model)
    registered = registered_card(model)
    own = registered or card
    datasets = datasets_in_order([*means["dataset"], *printed["dataset"]])
    first = section(
        "card",
        "Card",
        [
            Part("What is known of it", tables=(_card_table(card, own),)),
            Part("What it was trained on", (_training(card, registered),), tables=(_overlap_table(card, own, datasets),)),
        ],
    )
    sections = [first, *_scores(means, stored), *_published(printed)]
    cite = tuple(
        filter(None, [_bibtex(model, own), *(_METHODS[track] for track in TRACKS if track in set(rows["track"])), _SUITE])
    )
    last = section("use", "Run and cite", [Part("Command", code=tuple(_commands(rows))), Part("BibTeX", code=cite)])
    links = (("index.html", "The report"), (INDEX, "All models"), ("leaderboard.html", "Leaderboard"))
    return Page(title_of(model), _summary(rows), (*sections, last), links=links)


def _of(model: str, frame: pd.DataFrame) -> pd.DataFrame:
    names = [name for name in frame["model"].unique() if is_single(name) and loaded(name) == model]
    return frame[frame["model"].isin(names)].reset_index(drop=True)


def _summary(rows: pd.DataFrame) -> str:
    cells, sets = rows["key"].nunique(), ", ".join(map(dataset_title, datasets_in_order(rows["dataset"])))
    return f"{cells} cells on {sets}."


# ------------------------------------------------------------------------------------------------------------- the card


def _card_table(card: Card, own: Card) -> Table:
    pinned = f"pinned to {own.revision[:12]}" if own.revision else "not pinned"
    facts = {
        "Architecture": card.arch,
        "Parameters": f"{own.parameters:g} million" if own.parameters else "",
        "Channels": str(card.channels or ""),
        "Supervision": card.supervision,
        "Domain": card.domain,
        "Licence": own.license if own.license != "-" else "not stated",
        "Weights": f"{own.weights}, {pinned}" if own.weights else "none",
        "Paper": own.paper,
        "Note": own.note,
    }
    lines = [(name, [fact]) for name, fact in facts.items() if fact.strip("-")]
    return words_table("facts", "What is known of it", ("Value",), lines, corner="field")


def _training(card: Card, registered: Card | None) -> str:
    """What it was trained on, in sentences."""
    if not card.data:
        return "No training data is recorded." if card.weights or not registered else "Nothing."
    known = parts(card.data)
    holds = "" if known == card.data else f": {', '.join(known)}"
    rest = "" if is_disclosed(card.data) else " Not all of it is known."
    stated = "; ".join(sources(card.data))
    return f"{', '.join(card.data)}{holds}.{rest}{f' Stated in: {stated}.' if stated else ''}"


def _overlap_table(card: Card, own: Card, datasets: Sequence[str]) -> Table:
    """Every data set of the page, and whether the model knows it from its training."""
    unknown = "none known" if is_disclosed(card.data) or not own.weights else "none known; not all training data is"
    lines = [(dataset_title(name), [str(overlap(card.data, name) or unknown)]) for name in datasets]
    return words_table("overlap", "Training data and data sets", ("Overlap",), lines, corner="data set")


# ----------------------------------------------------------------------------------------------------------- the numbers


def _scores(means: pd.DataFrame, stored: Sequence[Stored]) -> Iterator[Section]:
    """A section for each protocol and point map, with intervals over scenes and pictures."""
    for key, part in means.groupby(["track", "protocol", "pointmap"], sort=True, observed=True):
        track, protocol, pointmap = map(str, key)
        marks = conditions.marks_of_conditions(part)
        members = [each for each in stored if (each.cell.track, each.cell.protocol, each.cell.pointmap) == key]
        shown: tuple[Gallery, ...] = tuple(galleries(members, marks))
        title = conditions.title_of_conditions(track, protocol, pointmap)
        yield section(
            f"{track}-{protocol}-{pointmap}".strip("-"),
            title,
            [Part("Scores", tables=(_table(part, track, "In brackets the 95 % bootstrap interval over scenes."),)),
             Part("Pictures", galleries=shown)],
            marks,
        )  # fmt: skip


def _published(printed: pd.DataFrame) -> Iterator[Section]:
    for track in TRACKS:
        part = printed[printed["track"] == track]
        if len(part):
            table = _table(part, track, "As printed; the papers give no intervals.")
            yield section(f"published-{track}", f"Published: {track}", [Part("Scores", tables=(table,))], (PUBLISHED,))


def _table(means: pd.DataFrame, track: str, caption: str) -> Table:
    """Data sets x metrics, a block a mode or alignment; the poses' stages are left to the report's own table."""
    if track == "probe":
        means = means[means["alignment"].isin(["-", "similarity"])]
    valued = set(means.loc[means["value"].notna(), "metric"])
    held = [metric for metric in (*METRICS.values(), RANK) if metric.name in valued]
    column, blocks = ("mode", MODES) if track == "probe" else ("alignment", BLOCKS)
    datasets = datasets_in_order(means["dataset"])
    order = [*datasets, OVER_DATASETS] if len(datasets) != 1 else datasets  # an average over one says nothing more
    places: dict[tuple[str, str, str, str], dict[str, Entry]] = {}
    said: dict[tuple[str, str, str, str], tuple[str, ...]] = {}
    for row in means.to_dict("records"):
        at = (str(row[column]), str(row["model"]), str(row["weights"]), str(row["dataset"]))
        metric = next((metric for metric in held if metric.name == row["metric"]), None)
        if metric is None or row["dataset"] not in order or not math.isfinite(row["value"]):
            continue
        bounds = [float(row.get(name, math.nan)) for name in ("low", "high")]
        interval = f" [{', '.join(map(metric.printed, bounds))}]" if all(map(math.isfinite, bounds)) else ""
        note = "; ".join(filter(None, [coverage(row), str(row["overlap"])]))
        places.setdefault(at, {})[metric.name] = Entry(metric.printed(row["value"]) + interval, row["value"], note=note)
        said[at] = conditions.row_marks(str(row["role"]), str(row["weights"]))
    lines = [
        Line(
            f"{dataset_title(at[3])}, {title_of(at[1], track)}",
            tuple(places[at].get(metric.name, Entry()) for metric in held),
            said[at],
            blocks.get(at[0], at[0]),
        )
        for at in sorted(
            places, key=lambda at: (list(blocks).index(at[0]) if at[0] in blocks else 99, at[1], at[2], order.index(at[3]))
        )
    ]
    header = (tuple(Heading(arrow(metric)) for metric in held),)
    return Table("scores", "Scores", caption, header, tuple(lines), "data set")


# ------------------------------------------------------------------------------------------------------ running and citing


def _commands(rows: pd.DataFrame) -> Iterator[str]:
    """The commands that measure the rows anew, one for each set of conditions."""
    for key, part in rows.groupby(["track", "protocol", "pointmap", "weights"], sort=True, observed=True):
        track, protocol, pointmap, weights = map(str, key)
        options = {
            "--models": ",".join(sorted(set(map(str, part["model"])))),
            "--datasets": ",".join(datasets_in_order(part["dataset"])),
            "--modes": ",".join(mode for mode in MODES if mode in set(part["mode"])) if track == "probe" else "",
            "--pointmap": pointmap.strip("-"),
            "--protocol": protocol,
            "--seeds": ",".join(str(seed) for seed in sorted(set(part["seed"].dropna()))),
            "--weights": weights if weights == "random" and "untrained" not in " ".join(map(str, part["model"])) else "",
        }
        yield " ".join(["bench run", *(f"{name} {value}" for name, value in options.items() if value)])


def _bibtex(model: str, card: Card) -> str:
    """An entry with what the card knows: where the paper is. Titles and authors are not on it, so none are made up."""
    name = re.sub(r"[^a-z0-9]+", "_", model.lower()).strip("_")
    kind, _, rest = card.paper.partition(":")
    if kind == "arXiv":
        return f"@misc{{{name}, note = {{{card.name}}}, eprint = {{{rest}}}, archiveprefix = {{arXiv}}}}"
    if kind == "doi":
        return f"@misc{{{name}, note = {{{card.name}}}, doi = {{{rest}}}}}"
    return f"@misc{{{name}, note = {{{card.name}: {card.paper}}}}}" if card.paper else ""
