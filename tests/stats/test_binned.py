"""Binned means against tables worked by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench.stats.binned import bin_edges, binned_means, within_groups


def test_what_groups_differ_by_is_taken_out_and_the_level_stays() -> None:
    values = pd.Series([10.0, 12, 30, 34, np.nan])
    groups = pd.Series(["a", "a", "b", "b", "b"])
    # The groups' means are 11 and 32, their mean 21.5.
    assert within_groups(values, groups).tolist()[:4] == [20.5, 22.5, 19.5, 23.5]
    assert np.isnan(within_groups(values, groups)[4])


def test_bins_are_of_distinct_numbers() -> None:
    assert bin_edges(pd.Series([1.0, 2, 3, 4, 5, 6, 7])) == []  # seven are too few for two bins of four
    assert bin_edges(pd.Series([5.0] * 100)) == []
    assert bin_edges(pd.Series([1.0, 2, 3, 4, 5, 6, 7, 8, np.nan, 8, 8])) == [1, 4.5, 8]
    assert len(bin_edges(pd.Series(np.arange(1000.0)))) == 6


def test_means_of_bins_by_hand() -> None:
    numbers = pd.Series([0.0, 1, 2, 3, 4, 5])
    scores = pd.Series([1.0, 3, np.nan, 5, 7, 9])
    found = binned_means(numbers, scores, [0, 2, 3, 5])
    assert found["number"].tolist() == [0.5, 4]
    assert found["mean"].tolist() == [2, 7]
    assert found["n"].tolist() == [2, 3]
    assert (found["low"] >= [1, 5]).all()
    assert (found["high"] <= [3, 9]).all()
    assert (found["low"] < found["mean"]).all()
    single = binned_means(numbers[:1], scores[:1], [0, 2, 5])
    assert single[["mean", "n"]].values.tolist() == [[1, 1]]
    assert single[["low", "high"]].isna().all(axis=None)


def test_the_last_edge_belongs_to_the_last_bin() -> None:
    found = binned_means(pd.Series([2.0, 5]), pd.Series([1.0, 1]), [0, 2, 5])
    assert found["n"].tolist() == [2]
    assert found["number"].tolist() == [pytest.approx(3.5)]
