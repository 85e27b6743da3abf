"""Which models, and which initialisers of the probe, were trained on the data set that they are scored on: what tables, the
leaderboard and filters say of it."""

from __future__ import annotations

import functools

import pandas as pd

from bench.core.cells import INSTANTSPLAT, NOT_APPLICABLE, OVER_DATASETS
from bench.core.facts.training import Overlap, is_disclosed, overlap
from bench.report.say.cards import (
    card_of,
    dataset_title,
    datasets_in_order,
    network,
    parts_of,
    registered_card,
)
from bench.report.say.registered import registered_initialiser

#: What means are averages over: the data sets that rows of these have.
_TABLE = ["track", "protocol", "pointmap", "alignment"]


def trained_on(model: str, weights: str) -> tuple[str, ...]:
    """What the networks behind a model's name were trained on, each word once (the vocabulary of bench.core.facts.training).

    Args:
        model: A name, which may join several networks.
        weights: The column of its rows: random weights were trained on nothing, nor was an untrained part.
    """
    if weights == "random" or model == INSTANTSPLAT:
        return ()
    networks = [network(part) for part in parts_of(model) if not part.untrained]
    return tuple(dict.fromkeys(name for each in networks for name in card_of(each).data))


def initialiser_trained_on(pointmap: str) -> tuple[str, ...]:
    """What the initialiser of a row's point map was trained on; its weights are trained ones, whatever the model's are."""
    card = registered_initialiser(pointmap)
    return () if card is None else card.data


def is_initialiser_known(pointmap: str) -> bool:
    """Whether all that an initialiser was trained on is known; True where nothing was trained, as in the geometry track."""
    card = registered_initialiser(pointmap)
    return pointmap == NOT_APPLICABLE or (card is not None and (is_disclosed(card.data) or not card.weights))


def is_known(model: str) -> bool:
    """Whether all that the networks behind a name were trained on is known; True where nothing was trained."""
    return all(_is_known(network(part)) for part in parts_of(model) if not part.untrained)


def _is_known(single: str) -> bool:
    data, registered = card_of(single).data, registered_card(single)
    return is_disclosed(data) or (not data and registered is not None and not registered.weights)


def weighty(data: tuple[str, ...], dataset: str) -> Overlap | None:
    """The overlap that results must be marked with: a likeness of unlabelled photos is none, and is told elsewhere."""
    found = overlap(data, dataset)
    return None if found is None or found.kind == "alike" else found


def with_overlap(means: pd.DataFrame) -> pd.DataFrame:
    """Means with the column `overlap`: in words, how the training data of a model, and of the initialiser that its Gaussians
    start from, meets the data set; "" where nothing is known.

    A mean over data sets names those of its table that they were trained on.
    """
    datasets = means[means["dataset"] != OVER_DATASETS].groupby(_TABLE, dropna=False)["dataset"].agg(frozenset)
    keys = zip(*(means[name] for name in ("model", "weights", "dataset", *_TABLE)), strict=True)
    said = []
    for model, weights, dataset, *table in keys:
        scored = datasets.get(tuple(table), frozenset()) if dataset == OVER_DATASETS else dataset
        said.append(_overlap(model, weights, table[_TABLE.index("pointmap")], scored))
    return means.assign(overlap=pd.Series(said, index=means.index, dtype=object))


def without_overlap(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows less those of models and initialisers that were trained on the data set that the row is of."""
    keys = zip(rows["model"], rows["weights"], rows["pointmap"], rows["dataset"], strict=True)
    seen = pd.Series([bool(_overlap(*map(str, key))) for key in keys], index=rows.index, dtype=bool)
    return rows[~seen].reset_index(drop=True)


@functools.cache
def _overlap(model: str, weights: str, pointmap: str, datasets: str | frozenset[str]) -> str:
    """datasets: one data set, or those that a mean is over."""
    own, initialiser = _said(trained_on(model, weights), datasets), _said(initialiser_trained_on(pointmap), datasets)
    card = registered_initialiser(pointmap)
    started = f"starts from point maps of {card.name}, {initialiser}" if card is not None and initialiser else ""
    return "; ".join(filter(None, [own, started]))


def _said(data: tuple[str, ...], datasets: str | frozenset[str]) -> str:
    """How training data meets a data set, or how many of several."""
    if isinstance(datasets, str):
        found = weighty(data, datasets)
        return "" if found is None else str(found)
    seen = [dataset_title(name) for name in datasets_in_order(datasets) if weighty(data, name)]
    if not seen:
        return ""
    return f"trained on {len(seen)} of its {len(datasets)} data sets, or what was made from them: {', '.join(seen)}"
