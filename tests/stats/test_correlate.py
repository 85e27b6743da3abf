"""Correlations against scipy, their intervals by simulation, and the outlier of the DTU table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.results.reference.published import published_rows
from bench.stats.agreement import agreement, join_tables
from bench.stats.correlate import (
    METHODS,
    Method,
    coefficient,
    correlation,
    correlation_matrix,
    correlations,
    leave_one_out,
    oriented,
)


@pytest.fixture
def dtu() -> pd.DataFrame:
    rows = published_rows("feat2gs_dtu")
    return rows.pivot_table(index="model", columns="metric", values="value", sort=False)


def test_three_models_by_hand() -> None:
    x, y = pd.Series([1.0, 2.0, 3.0]), pd.Series([1.0, 3.0, 2.0])
    assert correlation(x, y, "pearson")["r"] == pytest.approx(0.5)
    assert correlation(x, y, "spearman")["r"] == pytest.approx(0.5)
    assert correlation(x, y, "kendall")["r"] == pytest.approx(1 / 3)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(5, 20), st.sampled_from(METHODS))
def test_correlation_properties(seed: int, n: int, method: Method) -> None:
    x, y = (pd.Series(values) for values in np.random.default_rng(seed).normal(size=(2, n)).round(1))
    found = correlation(x, y, method)
    assert found["low"] <= found["high"]
    assert found["low"] >= -1 - 1e-12
    assert found["high"] <= 1 + 1e-12
    assert correlation(y, x, method)["r"] == pytest.approx(found["r"], abs=1e-12)
    assert correlation(-x, 3 * y + 2, method)["r"] == pytest.approx(-found["r"], abs=1e-9)
    if method != "pearson":  # only the order counts
        assert correlation(np.exp(x), y, method)["r"] == pytest.approx(found["r"], abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_intervals_cover_the_truth_as_often_as_they_say(method: Method) -> None:
    """95 % intervals of a bivariate normal sample of 25 cover the population's value in 95 % of 300 draws, give or take."""
    rho = 0.6
    truth = {"pearson": rho, "spearman": 6 / np.pi * np.arcsin(rho / 2), "kendall": 2 / np.pi * np.arcsin(rho)}[method]
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        sample = generator.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=25)
        found = correlation(pd.Series(sample[:, 0]), pd.Series(sample[:, 1]), method)
        hits += found["low"] <= truth <= found["high"]
    assert 0.9 <= hits / 300 <= 0.985


def test_what_cannot_be_correlated_gives_no_number() -> None:
    constant, two, missing = [1.0, 1, 1, 1], [1.0, 2, np.nan, np.nan], [1.0, np.nan, 3, 4]
    line = pd.Series([1.0, 2, 3, 5])
    for values in (constant, two):
        found = correlation(line, pd.Series(values))
        assert np.isnan([found["r"], found["p"], found["low"], found["high"]]).all()
    assert correlation(line, pd.Series(missing))["n"] == 3
    assert np.isnan(correlation(line, pd.Series(missing))["low"])
    with np.errstate(all="raise"):
        assert correlation(line, line)["r"] == pytest.approx(1)


def test_the_matrix_of_the_dtu_table(dtu: pd.DataFrame) -> None:
    for method, reference in (("pearson", np.corrcoef(dtu.T)), ("spearman", stats.spearmanr(dtu).statistic)):
        matrix = correlation_matrix(dtu, method)  # type: ignore[arg-type]
        np.testing.assert_allclose(matrix.to_numpy(), reference, atol=1e-12)
    signs = {"psnr": True, "ssim": True, **dict.fromkeys(["lpips", "accuracy", "completeness", "distance"], False)}
    assert (correlation_matrix(oriented(dtu, signs)) > 0.96).all(axis=None)


def test_one_outlier_makes_the_dtu_correlations(dtu: pd.DataFrame) -> None:
    """Feat2GS: 3D metrics follow 2D metrics, completeness least. Both hold; that every |r| is near 1 is IUVRGB's
    doing."""
    two, three = ["psnr", "ssim", "lpips"], ["accuracy", "completeness", "distance"]
    table = correlations(dtu, two, three).set_index(["method", "y", "x"])
    pearson = table.loc["pearson"]
    assert (pearson["r"].abs() > 0.96).all()
    assert (pearson["most_influential"] == "iuvrgb").all()
    assert pearson.loc[("completeness", "psnr"), "r"] == pytest.approx(-0.985, abs=5e-4)
    assert pearson.loc[("completeness", "psnr"), "r_without"] == pytest.approx(-0.566, abs=5e-4)
    assert pearson.loc[("accuracy", "psnr"), "r_without"] == pytest.approx(-0.907, abs=5e-4)
    strength = table["r"].abs().groupby(["method", "y"]).mean().unstack("y")
    assert (strength.idxmin(axis=1) == "completeness").all()
    spearman = table.loc["spearman"]  # ranks do not see how far the outlier is
    assert (spearman["most_influential"] != "iuvrgb").all()
    expected = dtu.drop("iuvrgb")["psnr"].corr(dtu.drop("iuvrgb")["completeness"])
    alone = leave_one_out(dtu, ["psnr"], ["completeness"], ["pearson"]).set_index("left_out")
    assert alone.loc["iuvrgb", "r"] == pytest.approx(expected, abs=1e-12)
    assert len(alone) == 11
    assert (table["r_min"] <= table["r_without"]).all()
    assert (table["r_without"] <= table["r_max"]).all()


def test_spearman_over_oriented_metrics_is_what_the_authors_script_gives(dtu: pd.DataFrame) -> None:
    """The paper's matrix, by the authors' rule: Spearman's rho, metrics negated where lower is better (executed with numpy
    on the printed table). "Completeness follows least" is plain in it and invisible in Pearson's r."""
    signs = {"psnr": True, "ssim": True, **dict.fromkeys(["lpips", "accuracy", "completeness", "distance"], False)}
    matrix = correlation_matrix(oriented(dtu, signs), "spearman").loc["psnr"]
    assert (
        matrix.round(3).to_dict() | {"accuracy": 0.955, "completeness": 0.795, "distance": 0.964}
        == matrix.round(3).to_dict()
    )
    pearson = correlation(oriented(dtu, signs)["psnr"], oriented(dtu, signs)["completeness"])
    assert pearson["r"] == pytest.approx(0.985, abs=5e-4)
    assert pearson["low"] < 0.4 < 0.99 < pearson["high"]  # draws without the one outlier lack its correlation


@pytest.mark.parametrize("method", METHODS)
def test_resampled_coefficients_are_scipys(method: Method) -> None:
    """The interval's ends are order statistics of scipy's own coefficients over the same draws."""
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=(2, 9)).round(1)
    draws = np.random.default_rng(0).integers(0, 9, size=(200, 9))
    test = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}[method]
    expected = [test(x[d], y[d])[0] for d in draws if np.ptp(x[d]) > 0 and np.ptp(y[d]) > 0]
    found = correlation(pd.Series(x), pd.Series(y), method, resamples=200)
    assert [found["low"], found["high"]] == pytest.approx(list(np.quantile(expected, [0.025, 0.975])), abs=1e-9)
    assert coefficient(pd.Series(x), pd.Series(y), method) == pytest.approx(found["r"])


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.sampled_from(METHODS))
def test_leaving_one_out_is_what_a_table_without_that_row_gives(seed: int, n: int, method: Method) -> None:
    """Also with ties, constant columns and rows that lack a value, which take no part."""
    generator = np.random.default_rng(seed)
    table = pd.DataFrame(generator.integers(0, 3, size=(n, 2)) + 0.1, columns=["x", "y"])
    table = table.mask(generator.random((n, 2)) < 0.1)
    found = leave_one_out(table, ["x"], ["y"], [method])
    expected = [coefficient(rest["x"], rest["y"], method) for rest in (table.drop(place) for place in table.index)]
    assert list(found["left_out"]) == list(table.index)
    np.testing.assert_allclose(found["r"], expected, atol=1e-9)


def published_like(values: dict[str, float]) -> pd.DataFrame:
    shared = {"track": "probe", "dataset": "llff", "mode": "G", "alignment": "-", "metric": "psnr"}
    return pd.DataFrame(
        [{**shared, "model": model, "value": value, "higher_is_better": True} for model, value in values.items()]
    )


def test_agreement_by_hand() -> None:
    ours = published_like({"a": 21.0, "b": 19.5, "c": 17.0, "new": 30.0})
    joined = join_tables(ours, published_like({"a": 20.0, "b": 19.0, "c": 18.0, "old": 15.0}))
    by_model = joined.set_index("model")
    assert by_model["found"].to_dict() == {
        "a": "both",
        "b": "both",
        "c": "both",
        "new": "ours only",
        "old": "reference only",
    }
    assert by_model.loc[["a", "b", "c"], "difference"].tolist() == [1.0, 0.5, -1.0]
    assert by_model.loc["a", "relative"] == pytest.approx(0.05)
    result = agreement(joined).iloc[0]
    assert (result["n"], result["n_ours"], result["n_reference"]) == (3, 4, 4)
    assert result["mean_difference"] == pytest.approx(0.5 / 3)
    assert result["mean_absolute"] == pytest.approx(2.5 / 3)
    assert (result["worst"], result["worst_model"]) == (1.0, "a")
    assert result["spearman"] == result["kendall"] == pytest.approx(1)
    assert result["same_best"]


def test_agreement_sees_another_order_and_another_best() -> None:
    result = agreement(join_tables(published_like({"a": 1, "b": 2, "c": 3}), published_like({"a": 3, "b": 2, "c": 1}))).iloc[
        0
    ]
    assert result["spearman"] == result["kendall"] == pytest.approx(-1)
    assert not result["same_best"]


def test_tables_without_a_common_model_do_not_agree_or_disagree() -> None:
    result = agreement(join_tables(published_like({"a": 1}), published_like({"b": 1}))).iloc[0]
    assert result["n"] == 0
    assert np.isnan(result["spearman"])
    assert result["same_best"] is pd.NA
    with pytest.raises(ValueError, match="ours: two values"):
        join_tables(pd.concat([published_like({"a": 1})] * 2), published_like({"a": 1}))


def test_the_published_table_agrees_with_itself() -> None:
    rows = published_rows("feat2gs_gta")
    result = agreement(join_tables(rows, rows))
    assert len(result) == 6 * 3 * 3
    assert (result["n"] == 11).all()
    assert (result["worst"] == 0).all()
    assert result["spearman"].to_numpy() == pytest.approx(np.ones(54))
    assert result["same_best"].all()
