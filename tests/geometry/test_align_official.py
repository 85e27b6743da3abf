"""method="official": the published same-point restriction, its quirks, and where it is the optimum."""

from __future__ import annotations

import numpy as np
import pytest
from align_oracles import SHIFTED, align, channels_of, exhaustive, problems, published

from bench.geometry.align import align_depth, align_points, official


@pytest.mark.parametrize("screened", [False, True])
@pytest.mark.parametrize("variant", ["depth", "none", "z", "xyz"])
def test_a_literal_reading_of_the_published_solver(monkeypatch: pytest.MonkeyPatch, variant: str, screened: bool) -> None:
    monkeypatch.setattr(official, "_SCREENED_FROM", 2 if screened else 10**9)
    monkeypatch.setattr(official, "_ENOUGH", 1)
    checked = 0
    for p, q, w in problems(variant, 48, 3, 50, seed=41):
        fit = align(p, q, w, variant, method="official")
        if fit.status != "ok":
            continue
        scale, shift, loss = published(p, q, w, SHIFTED[variant])
        same = fit.scale == pytest.approx(scale, rel=1e-9) and fit.shift.tolist() == pytest.approx(shift.tolist(), abs=1e-9)
        if not same:  # equal losses up to rounding: another anchor may win, with the same loss
            assert _loss(p, q, w, fit.scale, fit.shift, SHIFTED[variant]) == pytest.approx(loss, rel=1e-9)
        checked += same
    assert checked > 24


def _loss(p: np.ndarray, q: np.ndarray, w: np.ndarray, scale: float, shift: np.ndarray, shifted: tuple[bool, ...]) -> float:
    """The least loss, as the published solver counts it, of the anchors that this fit passes through."""
    found = np.inf
    for k in np.flatnonzero(w > 0) if any(shifted) else (0,):
        anchored = scale * p[k] + shift - q[k]
        if np.abs(anchored[list(shifted)]).max(initial=0.0) < 1e-9:
            counted = p != np.where(shifted, p[k], 0.0)
            found = min(found, float((w[:, None] * np.abs(scale * p + shift - q))[counted].sum()))
    return found


@pytest.mark.parametrize("variant", ["depth", "depth scale", "none", "z"])
def test_it_is_the_optimum_for_one_and_two_unknowns_without_ties(variant: str) -> None:
    rng = np.random.default_rng(7)
    for n in (3, 20, 200):
        p = rng.normal(size=(n, channels_of(variant)))
        q = 1.2 * p + rng.standard_t(2, size=p.shape)
        w = rng.random(n)
        assert align(p, q, w, variant, method="official").objective == pytest.approx(
            align(p, q, w, variant).objective, rel=1e-10
        )


def test_it_is_not_the_optimum_for_a_shift_in_space() -> None:
    rng = np.random.default_rng(8)
    p = rng.normal(size=(100, 3))
    q = p + rng.normal(size=p.shape)
    restricted = align_points(p, q, np.ones(100), shift="xyz", method="official")
    best = align_points(p, q, np.ones(100), shift="xyz")
    assert restricted.objective > best.objective * 1.001
    assert best.certified
    assert not restricted.certified
    assert (np.abs(restricted.apply(p) - q).max(axis=1) < 1e-12).any()  # some point is exact in all three coordinates


@pytest.mark.parametrize("variant", ["depth", "none", "z"])
def test_truncated_it_is_the_optimum_too_without_ties(variant: str) -> None:
    rng = np.random.default_rng(12)
    for _ in range(8):
        p = rng.normal(size=(25, channels_of(variant)))
        q = 1.2 * p + rng.standard_t(1, size=p.shape)
        w = rng.random(25) + 0.2
        fit = align(p, q, w, variant, method="official", truncation=0.4)
        assert fit.objective == pytest.approx(exhaustive(p, q, w, SHIFTED[variant], 0.4), rel=1e-10)


def test_rows_equal_to_the_anchor_are_left_out_of_its_loss() -> None:
    # Anchored at the last row (1, 3), the row (1, 6) is free: the loss counts 1, but the fit costs 4; the optimum costs 3.
    p, q, w = np.array([0.0, 2, 1, 1]), np.array([2.0, 5, 6, 3]), np.ones(4)
    restricted = align_depth(p, q, w, shift=True, method="official")
    scale, shift, loss = published(p[:, None], q[:, None], w, (True,))
    assert (restricted.scale, restricted.shift[0], restricted.objective) == (scale, shift[0], 4.0)
    assert loss == 1.0
    assert align_depth(p, q, w, shift=True).objective == 3.0


def test_the_absolute_threshold_spoils_tiny_predictions() -> None:
    p, q = np.array([1e-9, 2e-9, 3e-9]), np.array([1.0, 2.0, 3.0])
    assert align_depth(p, q, np.ones(3), shift=False).scale == pytest.approx(1e9)
    assert align_depth(p, q, np.ones(3), shift=False, method="official").scale == pytest.approx(2e7)


def test_a_division_by_its_own_epsilon_is_degenerate() -> None:
    # The published code answers a scale of -2e7 here; the optimum is the constant 5.
    p, q, w = [2.0, 1.0, 0.0, 1.0], [5.0, 5.0, 5.0, 3.0], np.ones(4)
    fit = align_depth(p, q, w, shift=True, truncation=0.5, method="official")
    assert fit.status == "degenerate"
    assert "epsilon" in fit.note
    assert np.isnan(fit.scale)
    assert align_depth(p, q, w, shift=True, truncation=0.5).shift[0] == 5.0
