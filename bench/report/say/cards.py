"""How models and data sets are called in tables, in which order they stand, and what is known of them."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import pandas as pd

from bench.core.cells import NO_MODEL
from bench.core.errors import UserError
from bench.core.interfaces import Card, DatasetCard
from bench.results.published import published_cards

#: The papers' order of methods; what is not named here follows in alphabetical order.
PROBED = ("dust3r", "mast3r", "midas", "dinov2", "dino", "sam", "clip", "radio", "mae", "sd", "iuvrgb")
METHODS = {
    "perspective-fields": "Perspective Fields",
    "wildcamera": "WildCamera",
    "leres": "LeReS",
    "zoedepth": "ZoeDepth",
    "dust3r": "DUSt3R",
    "metric3d-v2": "Metric3D V2",
    "unidepth": "UniDepth",
    "marigold": "Marigold",
    "geowizard": "GeoWizard",
    "midas-3.1": "MiDaS V3.1",
    "depth-anything-v1": "DA V1",
    "depth-anything-v2": "DA V2",
    "moge": "MoGe",
}
#: The rows of MoGe's ablation, in its order.
ABLATION = {
    "moge@si-log-depth": "SI-Log depth",
    "moge@affine-invariant-depth": "Affine-inv. depth",
    "moge@roe-scale-invariant": "ROE scale-inv.",
    "moge@l2-affine-invariant": "L2 affine-inv.",
    "moge@median-affine-invariant": "Med. affine-inv.",
    "moge@roe-affine-invariant": "ROE affine-inv.",
    "moge@full-without-truncation": "Full w/o trunc.",
    "moge@full-without-local-loss": "Full w/o L_S",
    "moge@full": "Full",
}
_GEOMETRY_DATASETS = {
    "nyuv2": "NYUv2",
    "kitti": "KITTI",
    "eth3d": "ETH3D",
    "ibims1": "iBims-1",
    "gso": "GSO",
    "sintel": "Sintel",
    "ddad": "DDAD",
    "diode": "DIODE",
}
#: The control feature of Feat2GS, which the paper's table of models leaves out.
_IUVRGB = Card("IUVRGB", channels=6, supervision="None", note="image index, pixel coordinates and colour")


@functools.cache
def card_of(model: str) -> Card:
    """What is known of a single model: the probe paper's table, else its registered class, else its name alone."""
    table = {str(row["name"]): row for row in published_cards("models").to_dict("records")}
    if model in table:
        row = table[model]
        return Card(row["title"], row["arch"], int(row["channels"]), 1, row["supervision"], row["domain"], row["data"])
    if model == "iuvrgb":
        return _IUVRGB
    return registered_card(model) or Card(METHODS.get(model) or ABLATION.get(model) or model)


def registered_card(model: str) -> Card | None:
    """The card of the class that is registered under this name; the plug-ins are imported for it."""
    from bench.core.registry import estimators, features

    for registry in (features, estimators):
        try:
            return registry[model].card
        except UserError:
            continue
    return None


def title_of(model: str, track: str = "probe") -> str:
    """How tables call a model: DINOv2, DINOv2+ (upsampled), RADIO + IUVRGB (joined), InstantSplat (no model)."""
    if model == NO_MODEL:
        return "InstantSplat"
    if model in ABLATION:
        return ABLATION[model]
    if track == "geometry" and model in METHODS:
        return METHODS[model]
    parts = model.split("+")
    if {*PROBED[:-1]} == {*parts}:
        return "all ten joined"
    return " + ".join(_part_title(part) for part in parts)


def _part_title(part: str) -> str:
    name, _, variant = part.partition("@")
    return card_of(name).name + {"": "", "featup": "+"}.get(variant, f" ({variant})")


def in_order(models: Iterable[str], track: str) -> list[str]:
    """The papers' order, others alphabetically, joined features after single ones, InstantSplat last."""
    order = list(PROBED) if track == "probe" else [*METHODS, *ABLATION]
    known = {name: place for place, name in enumerate(order)}

    def place(model: str) -> tuple[bool, int, int, str, str]:
        name, _, variant = model.partition("@")
        found = known.get(model, known.get(name, len(known)))
        return model == NO_MODEL, model.count("+"), found, name, variant

    return sorted(dict.fromkeys(models), key=place)


def dataset_card(dataset: str) -> DatasetCard:
    """The card of a registered data set, else its name alone."""
    from bench.core.registry import datasets

    return datasets[dataset].card if dataset in datasets else DatasetCard(dataset)


def dataset_title(dataset: str) -> str:
    """How tables call a data set: LLFF, NYUv2, Tanks and Temples; "all" is an average over data sets."""
    if dataset == "all":
        return "All data sets"
    return _datasets().get(dataset) or dataset_card(dataset).name


@functools.cache
def _datasets() -> dict[str, str]:
    """The papers' data sets in their order, with their titles."""
    rows = published_cards("datasets").to_dict("records")
    return {**{str(row["name"]): str(row["title"]) for row in rows}, **_GEOMETRY_DATASETS}


def datasets_in_order(datasets: Iterable[str]) -> list[str]:
    """The papers' order, then alphabetically, without the averages."""
    known = {name: place for place, name in enumerate(_datasets())}
    return sorted(set(datasets) - {"all"}, key=lambda name: (known.get(name, len(known)), name))


def domains(models: Iterable[str]) -> pd.DataFrame:
    """The single models with the kind of supervision that their cards name: columns model, supervision, domain."""
    single = [model for model in models if "+" not in model and model != NO_MODEL]
    rows = [
        (model, card_of(model.partition("@")[0]).supervision, card_of(model.partition("@")[0]).domain) for model in single
    ]
    return pd.DataFrame(rows, columns=["model", "supervision", "domain"])
