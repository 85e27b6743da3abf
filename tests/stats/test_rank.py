"""Ranks worked by hand and against scipy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from bench.stats.rank import best_and_second, critical_difference, mean_ranks, rank_columns, rank_intervals

#: Relative error (lower is better), delta (higher is better), and a column that one model is not ranked in.
HAND = pd.DataFrame({"rel": [5.0, 5.0, 9.0], "delta": [98.0, 99.0, 99.0], "seen": [1.0, np.nan, 2.0]}, index=["a", "b", "c"])


def test_a_three_by_three_table_by_hand() -> None:
    ranks = rank_columns(HAND, [False, True, False])
    assert ranks["rel"].tolist() == [1.5, 1.5, 3.0]
    assert ranks["delta"].tolist() == [3.0, 1.5, 1.5]
    assert ranks["seen"].tolist()[::2] == [1.0, 2.0]
    assert np.isnan(ranks.loc["b", "seen"])
    result = mean_ranks(HAND, [False, True, False])
    assert result["rank"].tolist() == pytest.approx([5.5 / 3, 1.5, 6.5 / 3])
    assert result["n"].tolist() == [3, 2, 3]
    assert mean_ranks(HAND, [False, True, False], "min")["rank"].tolist() == pytest.approx([5 / 3, 1.0, 2.0])


def test_best_and_second_are_told_group_by_group_and_ties_share_them() -> None:
    values = pd.Series([3.0, 1.0, 1.0, 2.0, np.nan, 7.0, np.nan, 5.0, 5.0])
    groups = pd.Series(["a", "a", "a", "a", "a", "alone", "alone", "equal", "equal"])
    assert best_and_second(values, [groups]).tolist() == [0, 1, 1, 2, 0, 0, 0, 1, 1]
    assert best_and_second(values[:0], [groups[:0]]).empty


def test_a_direction_for_every_column_is_demanded() -> None:
    with pytest.raises(ValueError, match="3 columns but 2"):
        rank_columns(HAND, [True, False])


@settings(max_examples=50)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=9), st.booleans())
def test_ranks_follow_scipy_and_share_out_all_places(values: list[int], higher: bool) -> None:
    table = pd.DataFrame({"x": np.asarray(values, float)})
    ranks = rank_columns(table, [higher])["x"].to_numpy()
    np.testing.assert_allclose(ranks, rankdata([-value for value in values] if higher else values))
    assert ranks.sum() == pytest.approx(len(values) * (len(values) + 1) / 2)


def test_a_clear_order_has_narrow_rank_intervals_and_a_coin_toss_has_wide_ones() -> None:
    generator = np.random.default_rng(0)
    scenes = generator.normal(20, 3, size=(30, 1))
    units = pd.DataFrame(scenes + generator.normal(0, 0.5, (30, 4)) + [0, 0, 5, -5], columns=list("abcd"))
    table = rank_intervals(units, higher_is_better=True)
    assert table.loc["c", ["rank", "low", "high"]].tolist() == [1, 1, 1]
    assert table.loc["d", ["rank", "low", "high"]].tolist() == [4, 4, 4]
    for model in "ab":
        assert table.loc[model, ["low", "high"]].tolist() == [2, 3]
    pd.testing.assert_frame_equal(table, rank_intervals(units, higher_is_better=True))
    reverse = rank_intervals(units, higher_is_better=False)
    assert (reverse["rank"] == 5 - table["rank"]).all()


def test_rank_intervals_count_what_they_leave_out() -> None:
    units = pd.DataFrame({"a": [1.0, 2.0, np.nan], "b": [0.0, 1.0, 9.0], "never ran": [np.nan] * 3})
    table = rank_intervals(units, higher_is_better=True)
    assert table.loc["a", ["mean", "rank", "n_units", "n_left_out"]].tolist() == [1.5, 1, 2, 1]
    assert list(table.index) == ["a", "b", "never ran"]
    assert table.loc["never ran", ["mean", "rank", "low", "high"]].isna().all()
    single = rank_intervals(units.iloc[:1], higher_is_better=True)
    assert single["rank"].tolist()[:2] == [1, 2]
    assert single[["low", "high"]].isna().all(axis=None)


def test_the_critical_difference_of_demsars_example() -> None:
    """Demsar (2006), section 3.2.2: k = 4 classifiers, N = 14 data sets, q = 2.569 (alpha 0.05) and 2.291 (0.10)."""
    assert critical_difference(4, 14) == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), rel=1e-3)
    assert critical_difference(4, 14, alpha=0.10) == pytest.approx(1.12, abs=0.005)
