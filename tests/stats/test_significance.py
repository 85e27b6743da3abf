"""Intervals and tests against enumeration, statsmodels and their own definition."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from bench.stats.bootstrap import complete_units, mean_intervals, paired_difference, resampled_means
from bench.stats.significance import EXACT_UNITS, benjamini_hochberg, compare_pairs, holm, sign_flip_test

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@settings(max_examples=10)
@given(p_values)
def test_corrections_agree_with_statsmodels(p: list[float]) -> None:
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], atol=1e-12)
    np.testing.assert_allclose(benjamini_hochberg(p), multipletests(p, method="fdr_bh")[1], atol=1e-12)


def test_corrections_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert benjamini_hochberg([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.04, 0.04])


def test_a_missing_p_value_is_no_test() -> None:
    for adjust in (holm, benjamini_hochberg):
        np.testing.assert_allclose(adjust([0.01, np.nan, 0.03]), [0.02, np.nan, 0.03])
        assert np.isnan(adjust([np.nan])).all()
        assert adjust([]).shape == (0,)


def test_the_sign_flip_test_by_enumeration() -> None:
    differences = [1.0, 2.0, -0.5, 3.0]
    sums = [sum(s * d for s, d in zip(signs, differences, strict=True)) for signs in itertools.product([1, -1], repeat=4)]
    expected = sum(abs(total) >= 5.5 for total in sums) / 16
    assert sign_flip_test(differences) == expected == 4 / 16
    assert sign_flip_test([1.0, 1.0, 1.0]) == 2 / 8
    assert sign_flip_test([0.0, 0.0]) == 1
    assert sign_flip_test([1.0, np.nan, 1.0, 1.0]) == 2 / 8
    assert np.isnan(sign_flip_test([np.nan]))


def test_monte_carlo_continues_the_exact_test_and_agrees_with_scipy() -> None:
    differences = np.random.default_rng(3).normal(0.35, 1, size=EXACT_UNITS + 6)
    ours = sign_flip_test(differences, resamples=20_000)
    reference = stats.permutation_test(
        (differences, np.zeros_like(differences)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    ).pvalue
    assert ours == pytest.approx(reference, abs=0.015)  # four standard errors of the difference
    assert ours == sign_flip_test(differences, resamples=20_000)
    assert sign_flip_test(np.full(40, 5.0), resamples=999) == 1 / 1000


def test_under_the_null_hypothesis_small_p_values_are_as_rare_as_they_say() -> None:
    generator = np.random.default_rng(0)
    p = np.array([sign_flip_test(generator.normal(size=8)) for _ in range(400)])
    assert np.mean(p <= 0.05) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 400)
    assert stats.kstest(p, "uniform").pvalue > 1e-4


def test_the_bootstrap_interval_of_a_mean_approaches_the_normal_one() -> None:
    values = np.random.default_rng(5).normal(10, 2, size=200)
    table = mean_intervals(pd.DataFrame({"a": values}), resamples=4000)
    reach = 1.96 * values.std() / np.sqrt(200)
    assert table.loc["a", "low"] == pytest.approx(values.mean() - reach, abs=0.05)
    assert table.loc["a", "high"] == pytest.approx(values.mean() + reach, abs=0.05)
    assert table.loc["a", ["n_units", "n_total"]].tolist() == [200, 200]


def test_pairing_removes_what_scenes_have_in_common() -> None:
    generator = np.random.default_rng(0)
    scenes = generator.normal(20, 5, size=20)
    a, b = pd.Series(scenes + 0.3), pd.Series(scenes + generator.normal(0, 0.1, 20))
    result = paired_difference(a, b)
    assert 0.15 < result["low"] < result["difference"] < result["high"] < 0.45


def test_too_few_units_give_no_interval() -> None:
    result = paired_difference(pd.Series([1.0, np.nan]), pd.Series([0.5, 2.0]))
    assert result["difference"] == 0.5
    assert result["n"] == 1
    assert np.isnan([result["low"], result["high"]]).all()
    table = mean_intervals(pd.DataFrame({"a": [1.0, np.nan], "b": [np.nan, np.nan]}))
    assert table["n_units"].tolist() == [1, 0]
    assert np.isnan(table.loc["b", "mean"])
    assert table[["low", "high"]].isna().all(axis=None)


def test_complete_units_count_what_is_left_out() -> None:
    units = pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": [1.0, 2.0, 3.0], "none": [np.nan] * 3})
    complete, left_out = complete_units(units)
    assert list(complete.columns) == ["a", "b"]
    assert (len(complete), left_out) == (2, 1)
    assert np.isnan(resampled_means(np.empty((0, 2)), 3, 0)).all()


def test_pairs_of_three_models() -> None:
    generator = np.random.default_rng(2)
    scenes = generator.normal(20, 5, size=12)
    noise = generator.normal(0, 0.2, size=(12, 3))
    units = pd.DataFrame(scenes[:, None] + noise + [1.0, 0.0, 0.0], columns=list("abc"))
    units.loc[0, "c"] = np.nan
    table = compare_pairs(units).set_index(["first", "second"])
    assert list(table.index) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert table["n"].tolist() == [12, 11, 11]
    assert table["n_left_out"].tolist() == [0, 1, 1]
    assert (table.loc[("a", "b")][["low", "difference"]] > 0.5).all()
    assert table.loc[("a", "b"), "p"] == 2 / 2**12
    assert table.loc[("a", "b"), "p_adjusted"] == pytest.approx(6 / 2**12)
    assert table.loc[("b", "c"), "p_adjusted"] > 0.05
    assert (table["p_adjusted"] >= table["p"]).all()
    assert (
        compare_pairs(units, correction="benjamini-hochberg")["p_adjusted"].to_numpy() <= table["p_adjusted"].to_numpy()
    ).all()
    assert compare_pairs(units[["a"]]).empty
