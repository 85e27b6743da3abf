"""Win rates, ranks and Elo ratings, worked by hand and against a general optimiser."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from bench.stats.aggregations import ELO_MEAN, ELO_SCALE, aggregations, elo, win_rates, wins

UNITS = pd.DataFrame({"a": [3.0, 3.0, 1.0], "b": [2.0, 3.0, 2.0], "c": [1.0, math.nan, 3.0]}, index=["x", "y", "z"])


def test_wins_by_hand() -> None:
    won = wins(UNITS, higher_is_better=True)
    assert won.loc["a"].tolist() == [0, 1.5, 1]  # a over b: x, half of y; a over c: x
    assert won.loc["b"].tolist() == [1.5, 0, 1]
    assert won.loc["c"].tolist() == [1, 1, 0]
    assert wins(UNITS, higher_is_better=False).loc["c"].tolist() == [1, 1, 0]
    assert win_rates(UNITS, True).tolist() == [2.5 / 5, 2.5 / 5, 2 / 4]
    assert math.isnan(win_rates(UNITS[["a"]], True)["a"])


def test_aggregations_by_hand_over_the_units_that_all_have() -> None:
    found = aggregations(UNITS, higher_is_better=True)
    assert found["n"].tolist() == [2, 2, 2]  # y lacks c
    assert found["mean"].tolist() == [2, 2, 2]
    assert found["rank"].tolist() == [2, 2, 2]
    assert found["wins"].tolist() == [0.5, 0.5, 0.5]
    np.testing.assert_allclose(found["elo"], ELO_MEAN)
    lower = aggregations(pd.DataFrame({"good": [1.0, 2.0, 3.0], "bad": [2.0, 3.0, 4.0]}), higher_is_better=False)
    assert lower["rank"].tolist() == [1, 2]
    assert lower["wins"].tolist() == [1, 0]
    assert lower.loc["good", "elo"] > lower.loc["bad", "elo"]
    np.testing.assert_allclose(lower["elo_low"], lower["elo"])  # whichever scenes are drawn, the same wins


def test_two_models_by_the_closed_form() -> None:
    """Of two, the strengths are s and 1 / s, and the condition for the first is a cubic in s that is solved here."""
    ratings = elo(np.array([[0.0, 3.0], [1.0, 0.0]]))
    lead = (ratings[0] - ratings[1]) / ELO_SCALE
    s = math.exp(lead / 2)
    assert pytest.approx(4 * s / (s + 1 / s) + s / (s + 1), rel=1e-6) == 3.5
    assert ratings.mean() == pytest.approx(ELO_MEAN)


def test_without_the_prior_odds_of_ten_are_four_hundred_points() -> None:
    many = 1e7  # beside so many games half a game is nothing
    ratings = elo(np.array([[0.0, 10 * many], [many, 0.0]]))
    assert ratings[0] - ratings[1] == pytest.approx(400, abs=0.01)


def _likelihood(strengths: np.ndarray, won: np.ndarray) -> float:
    lead = strengths[:, None] - strengths[None, :]
    prior = 0.5 * np.logaddexp(0, -strengths) + 0.5 * np.logaddexp(0, strengths)
    return float((won * np.logaddexp(0, -lead)).sum() + prior.sum())


@given(st.lists(st.lists(st.integers(0, 6), min_size=4, max_size=4), min_size=4, max_size=4))
def test_ratings_are_the_most_likely_ones(table: list[list[int]]) -> None:
    won = np.array(table, float)
    np.fill_diagonal(won, 0)
    best = minimize(_likelihood, np.zeros(4), args=(won,), method="BFGS", options={"gtol": 1e-9}).x
    np.testing.assert_allclose(elo(won), ELO_SCALE * (best - best.mean()) + ELO_MEAN, atol=0.05)


def test_intervals_hold_the_rating_widen_with_doubt_and_repeat_themselves() -> None:
    random = np.random.default_rng(0)
    units = pd.DataFrame({name: random.normal(shift, 1, 30) for name, shift in (("a", 0.0), ("b", 0.3), ("c", 2.0))})
    found = aggregations(units, higher_is_better=True)
    assert (found["elo_low"] <= found["elo"]).all()
    assert (found["elo"] <= found["elo_high"]).all()
    assert found["elo"].idxmax() == "c"
    pd.testing.assert_frame_equal(found, aggregations(units, higher_is_better=True))
    few = aggregations(units.head(5), higher_is_better=True)
    width = lambda frame: (frame["elo_high"] - frame["elo_low"]).mean()  # noqa: E731
    assert width(few) > width(found)


@pytest.mark.parametrize("units", [UNITS[["a"]], UNITS.head(0), pd.DataFrame({"a": [1.0, None], "b": [None, 1.0]})])
def test_what_cannot_be_compared_is_empty(units: pd.DataFrame) -> None:
    assert aggregations(units, True).empty


def test_one_unit_has_no_interval() -> None:
    assert aggregations(UNITS.head(1), True)["elo_low"].isna().all()
