"""The truncated fit: against exhaustive search it is never certified and wrong, by branch and bound or by enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from align_oracles import SHIFTED, align, channels_of, exhaustive, problems

from bench.geometry.align import align_points, align_points_groups, truncated
from bench.geometry.align import native as native_module
from bench.geometry.align.problem import prepare


def check(p: np.ndarray, q: np.ndarray, w: np.ndarray, variant: str, truncation: float) -> bool:
    fit = align(p, q, w, variant, truncation=truncation)
    if fit.status != "ok":
        return False
    optimum = exhaustive(p, q, w, SHIFTED[variant], truncation)
    rounding = 1e-13 * float((np.abs(q).T @ w).sum())
    assert fit.objective >= optimum * (1 - 1e-12) - rounding
    assert fit.lower_bound <= optimum * (1 + 1e-12) + rounding
    assert fit.certified
    assert fit.objective == pytest.approx(optimum, rel=1.1e-9, abs=rounding)
    return True


@pytest.mark.parametrize("truncation", [0.3, 1.0])
@pytest.mark.parametrize(("variant", "low", "high"), [("none", 2, 40), ("depth", 2, 70), ("z", 2, 40), ("xyz", 2, 26)])
def test_global_optimum(variant: str, low: int, high: int, truncation: float) -> None:
    assert sum([check(*case, variant, truncation) for case in problems(variant, 36, low, high, seed=21)]) > 20


@pytest.mark.parametrize("variant", ["depth", "z", "xyz"])
def test_global_optimum_by_branch_and_bound_in_numpy(monkeypatch: pytest.MonkeyPatch, variant: str) -> None:
    monkeypatch.setattr(native_module, "load", lambda name: None)
    monkeypatch.setattr(truncated, "_SMALL", 0.0)
    high = 12 if variant == "xyz" else 24
    assert sum([check(*case, variant, 1.0) for case in problems(variant, 12, 4, high, seed=22)]) > 6


def test_many_equal_predictions() -> None:
    """Where one value of the prediction has more rows than any fit has inliers, the objective falls towards infinite
    scales."""
    rng = np.random.default_rng(2)
    p = np.round(rng.random((75, 1)) * 4)
    p[:40] = 2.0
    q = rng.normal(size=(75, 1))
    q[:40] *= 1e-3
    assert check(p, q, np.full(75, 3.0), "depth", 0.5)


def test_outliers_do_not_move_the_truncated_fit() -> None:
    rng = np.random.default_rng(4)
    p = rng.normal(size=(1000, 3))
    q = 2 * p + np.array([1.0, -1.0, 3.0]) + 1e-3 * rng.normal(size=p.shape)
    q[:600] += 50 + 10 * rng.random((600, 3))
    plain, robust = (align_points(p, q, np.ones(1000), shift="xyz", truncation=t) for t in (None, 0.1))
    assert robust.certified
    assert robust.scale == pytest.approx(2.0, abs=1e-3)
    np.testing.assert_allclose(robust.shift, [1.0, -1.0, 3.0], atol=1e-3)
    assert np.abs(plain.shift - [1.0, -1.0, 3.0]).max() > 0.01


@pytest.mark.parametrize(("variant", "points"), [("depth", 100), ("xyz", 40)])
def test_a_spent_limit_leaves_an_honest_bound(variant: str, points: int) -> None:
    rng = np.random.default_rng(9)
    p = rng.normal(size=(points, channels_of(variant)))
    q = 1.5 * p + rng.standard_t(1, size=p.shape)
    problem = prepare(p.T, q.T, np.ones(points), SHIFTED[variant])
    optimum = exhaustive(p, q, np.ones(points), SHIFTED[variant], 0.5)
    fit = truncated.solve_truncated(problem, 0.5, limit=truncated._BOX_COST * 3.0)
    assert not fit.certified
    assert fit.lower_bound < optimum <= fit.objective * (1 + 1e-12)


def test_a_large_truncation_changes_nothing() -> None:
    for p, q, w in problems("xyz", 6, 30, 60, seed=30):
        plain = align_points(p, q, w, shift="xyz")
        capped = align_points(p, q, w, shift="xyz", truncation=1e6)
        assert capped.objective == pytest.approx(plain.objective, rel=1e-9)


def test_truncated_groups_keep_the_order() -> None:
    rng = np.random.default_rng(1)
    p = rng.normal(size=(120, 3))
    scales = np.repeat([1.0, 2.0, 3.0], 40)[:, None]
    fits = align_points_groups(p, scales * p + 1, np.ones(120), [0, 40, 80, 120], shift="xyz", truncation=1.0)
    assert [fit.scale for fit in fits] == pytest.approx([1.0, 2.0, 3.0])
