"""Which models were trained on the data set that they are scored on: what tables, the leaderboard and filters say of it."""

from __future__ import annotations

import functools

import pandas as pd

from bench.core.cells import INSTANTSPLAT, OVER_DATASETS
from bench.core.facts.training import Overlap, is_disclosed, overlap
from bench.report.say.cards import card_of, dataset_title, datasets_in_order, network, parts_of, registered_card

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
    """Means with the column `overlap`: in words, how a model's training data meets the data set; "" where nothing is known.

    A mean over data sets names those of its table that the model was trained on.
    """
    datasets = means[means["dataset"] != OVER_DATASETS].groupby(_TABLE, dropna=False)["dataset"].agg(frozenset)
    keys = zip(*(means[name] for name in ("model", "weights", "dataset", *_TABLE)), strict=True)
    said = [
        _mean_overlap(model, weights, datasets.get(tuple(table), frozenset()))
        if dataset == OVER_DATASETS
        else _overlap(model, weights, dataset)
        for model, weights, dataset, *table in keys
    ]
    return means.assign(overlap=pd.Series(said, index=means.index, dtype=object))


def without_overlap(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows less those of models that were trained on the data set that the row is of."""
    keys = zip(rows["model"], rows["weights"], rows["dataset"], strict=True)
    seen = pd.Series([bool(_overlap(*map(str, key))) for key in keys], index=rows.index, dtype=bool)
    return rows[~seen].reset_index(drop=True)


@functools.cache
def _overlap(model: str, weights: str, dataset: str) -> str:
    found = weighty(trained_on(model, weights), dataset)
    return "" if found is None else str(found)


@functools.cache
def _mean_overlap(model: str, weights: str, datasets: frozenset[str]) -> str:
    seen = [dataset_title(name) for name in datasets_in_order(datasets) if _overlap(model, weights, name)]
    return (
        f"trained on {len(seen)} of its {len(datasets)} data sets, or what was made from them: {', '.join(seen)}"
        if seen
        else ""
    )
