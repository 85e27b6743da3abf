"""How models and data sets are called in tables, in which order they stand, and what is known of them."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import pandas as pd

from bench.core.cells import INSTANTSPLAT
from bench.core.interfaces import Card, DatasetCard
from bench.core.names import UNTRAINED, ModelName, Part
from bench.report.say.registered import read_cards, registered_dataset, registered_model
from bench.results.reference.published import published_cards, published_rows

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
#: What the papers print and neither their tables of models nor this suite's registries hold.
_PRINTED_ONLY = {
    "iuvrgb": Card("IUVRGB", channels=6, supervision="None", note="image index, pixel coordinates and colour"),
    "perspective-fields": Card("Perspective Fields", data=("360Cities",), paper="arXiv:2212.03239"),
    "wildcamera": Card("WildCamera", data=("WildCamera-Mix",), paper="arXiv:2306.10988"),
    "midas-3.1": Card("MiDaS V3.1", data=("MiDaS-3.1-Mix",), paper="arXiv:2307.14460"),
}


RANDOM = "@random weights"  #: appended to a model's name in charts, where a row carries no mark


@functools.cache
def card_of(model: str) -> Card:
    """What is known of a single model: the probe paper's table, else its registered class, else its name alone."""
    table = {str(row["name"]): row for row in published_cards("models").to_dict("records")}
    if model in table:
        row = table[model]
        return Card(row["title"], row["arch"], int(row["channels"]), 1, row["supervision"], row["domain"], (row["data"],))
    if model in _PRINTED_ONLY:
        return _PRINTED_ONLY[model]
    return registered_card(model) or Card(METHODS.get(model) or ABLATION.get(model) or model)


def registered_card(model: str) -> Card | None:
    """The card of the class that is registered under this name."""
    found = registered_model(model)
    return found.card if found else None


def read_cards_of(models: Iterable[str], data: Iterable[str], initialisers: Iterable[str]) -> None:
    """Look up all that a report will ask of these models, data sets and initialisers, and of the published ones, at once
    (bench.report.say.registered.read_cards)."""
    published = published_rows()
    names = {*map(str, models), *map(str, published["model"].unique())}
    parts = [part for name in names for part in parts_of(name)]
    read_cards(
        {*names, *map(str, parts), *map(network, parts)},
        {*map(str, data), *map(str, published["dataset"].unique())},
        {*map(str, initialisers), *map(str, published["pointmap"].unique())},
    )


def title_of(model: str, track: str = "probe") -> str:
    """How tables call a model: DINOv2, DINOv2+ (upsampled), RADIO + IUVRGB (joined), InstantSplat (no model)."""
    if model == INSTANTSPLAT:
        return "InstantSplat"
    if model in ABLATION:
        return ABLATION[model]
    if track == "geometry" and model in METHODS:
        return METHODS[model]
    parts = _parsed(model).parts
    random = " (random weights)" if model.endswith(RANDOM) and not _parsed(model).untrained else ""
    if {*PROBED[:-1]} == {*map(str, parts)}:
        return f"all ten joined{random}"
    return " + ".join(map(_part_title, parts)) + random


def named(model: str, weights: str) -> str:
    """The name that a chart goes by: random weights are not the model that the row names."""
    return model + (RANDOM if weights == "random" else "")


@functools.cache
def _parsed(model: str) -> ModelName:
    return ModelName.parse(model.removesuffix(RANDOM))


def _part_title(part: Part) -> str:
    said = ["+" if variant == "featup" else f" ({variant})" for variant in part.variants]
    return "".join([card_of(network(part)).name, *said])


def network(part: Part) -> str:
    """The network of a part, size and layer included, whether it was trained or not."""
    return str(part.without(UNTRAINED).model)


def parts_of(model: str) -> tuple[Part, ...]:
    """What a name joins; nothing for InstantSplat."""
    return () if model == INSTANTSPLAT else _parsed(model).parts


def loaded(model: str) -> str:
    """The network behind the name of a single model, size and layer included: "dino@jbu" -> "dino"."""
    return network(_parsed(model).parts[0])


def singles(models: Iterable[str]) -> list[str]:
    """The networks behind names that join nothing, each once, in their order; without InstantSplat."""
    return list(dict.fromkeys(loaded(model) for model in models if is_single(model)))


def without_upsampling(model: str) -> str:
    """The name without what is done to features: "dino@featup" -> "dino", "sam@jbu@untrained" -> "sam@untrained"."""
    random = RANDOM if model.endswith(RANDOM) else ""
    return str(ModelName(tuple(part.model for part in _parsed(model).parts))) + random


def is_upsampled(model: str) -> bool:
    """True for one model whose features are upsampled: "dino@jbu", "dino@featup"."""
    return is_single(model) and bool(_parsed(model).parts[0].without(UNTRAINED).variants)


def is_single(model: str) -> bool:
    """True for one model, whatever its size, layer and upsampler; False for InstantSplat and for joined features."""
    return model != INSTANTSPLAT and not is_joined(model)


def is_joined(model: str) -> bool:
    """True where features are joined: "dino+iuvrgb"."""
    return model != INSTANTSPLAT and _parsed(model).is_joined


def in_order(models: Iterable[str], track: str) -> list[str]:
    """The papers' order, others alphabetically, joined features after single ones, InstantSplat last."""
    order = list(PROBED) if track == "probe" else [*METHODS, *ABLATION]
    known = {name: place for place, name in enumerate(order)}

    def place(model: str) -> tuple[bool, int, int, str]:
        if model == INSTANTSPLAT:
            return True, 0, 0, ""
        name = _parsed(model)
        found = known.get(model, known.get(name.bases[0], len(known)))
        return False, len(name.parts), found, model

    return sorted(dict.fromkeys(models), key=place)


def dataset_card(dataset: str) -> DatasetCard:
    """The card of a registered data set, else its name alone."""
    return registered_dataset(dataset) or DatasetCard(dataset)


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
    single = [model for model in models if is_single(model)]
    rows = [(model, card_of(loaded(model)).supervision, card_of(loaded(model)).domain) for model in single]
    return pd.DataFrame(rows, columns=["model", "supervision", "domain"])
