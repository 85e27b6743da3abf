"""The exact fit against a linear-programming solver, its certificate, and its equivariances."""

from __future__ import annotations

import numpy as np
import pytest
from align_oracles import SHIFTED, align, channels_of, linear_programme, problems
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.geometry.align import native as native_module


@pytest.mark.parametrize("numpy_only", [False, True])
@pytest.mark.parametrize("variant", ["depth", "none", "z", "xyz"])
def test_optimum_of_the_linear_programme(monkeypatch: pytest.MonkeyPatch, variant: str, numpy_only: bool) -> None:
    if numpy_only:
        monkeypatch.setattr(native_module, "load", lambda name: None)
    checked = 0
    for p, q, w in problems(variant, 60, 2, 90, seed=5 if numpy_only else 6):
        fit = align(p, q, w, variant)
        if fit.status != "ok":
            continue
        optimum = linear_programme(p, q, w, SHIFTED[variant])
        rounding = 1e-13 * float((np.abs(q).T @ w).sum())
        assert fit.objective == pytest.approx(optimum, rel=1e-9, abs=rounding)
        assert fit.lower_bound <= optimum * (1 + 1e-9) + rounding
        assert fit.certified
        applied = (w[:, None] * np.abs(fit.scale * p + fit.shift - q))[w > 0].sum()
        assert applied == pytest.approx(fit.objective, rel=1e-9, abs=10 * rounding)
        checked += 1
    assert checked > 40


@pytest.mark.parametrize("variant", ["depth", "z", "xyz"])
def test_the_sampled_path_of_large_problems(variant: str) -> None:
    """Against a ternary search over s with plain weighted medians: F(s) is convex, so it cannot miss."""
    for p, q, w in problems(variant, 6, 4000, 6000, seed=8):
        fit = align(p, q, w, variant)
        low, high = fit.scale - 1.0, fit.scale + 1.0
        while high - low > 1e-9:
            first, second = low + (high - low) / 3, high - (high - low) / 3
            if _best_shift(p, q, w, first, SHIFTED[variant]) < _best_shift(p, q, w, second, SHIFTED[variant]):
                high = second
            else:
                low = first
        assert fit.certified
        assert fit.objective <= _best_shift(p, q, w, 0.5 * (low + high), SHIFTED[variant]) * (1 + 1e-12)


def _best_shift(p: np.ndarray, q: np.ndarray, w: np.ndarray, scale: float, shifted: tuple[bool, ...]) -> float:
    total = 0.0
    for channel, has_shift in enumerate(shifted):
        level = q[:, channel] - scale * p[:, channel]
        order = np.argsort(level)
        mass = np.cumsum(w[order])
        t = level[order][np.searchsorted(mass, 0.5 * mass[-1])] if has_shift else 0.0
        total += float(w @ np.abs(level - t))
    return total


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    variant=st.sampled_from(["depth", "none", "z", "xyz"]),
    factor=st.sampled_from([-3.0, 1e-3, 0.5, 7.0]),
    truncation=st.sampled_from([None, 0.8]),
)
def test_equivariance(seed: int, variant: str, factor: float, truncation: float | None) -> None:
    """Scaling the prediction by k divides the scale by k; scaling the truth by k scales everything; moving either by what
    the shift can absorb moves only the shift; scaling the weights (and tau) scales the objective; the order of rows does
    not matter."""
    rng = np.random.default_rng(seed)
    n, channels = int(rng.integers(5, 30)), channels_of(variant)
    p = rng.normal(size=(n, channels))
    q = 1.3 * p + 0.4 + 0.2 * rng.standard_t(2, size=(n, channels))
    w = rng.random(n) + 0.1
    base = align(p, q, w, variant, truncation=truncation)
    close = {"rel": 1e-8, "abs": 1e-10}

    scaled = align(factor * p, q, w, variant, truncation=truncation)
    assert scaled.objective == pytest.approx(base.objective, **close)
    assert scaled.scale * factor == pytest.approx(base.scale, **close)

    truth = align(p, factor * q, w, variant, truncation=truncation and abs(factor) * truncation)
    assert truth.objective == pytest.approx(abs(factor) * base.objective, **close)
    assert truth.scale == pytest.approx(factor * base.scale, **close)

    offset = np.where(SHIFTED[variant], rng.normal(size=channels), 0.0)
    moved = align(p + offset, q, w, variant, truncation=truncation)
    assert moved.scale == pytest.approx(base.scale, **close)
    assert moved.shift.tolist() == pytest.approx((base.shift - base.scale * offset).tolist(), rel=1e-7, abs=1e-9)

    heavier = align(p, q, 4 * w, variant, truncation=truncation and 4 * truncation)
    assert heavier.objective == pytest.approx(4 * base.objective, **close)

    order = rng.permutation(n)
    shuffled = align(p[order], q[order], w[order], variant, truncation=truncation)
    assert shuffled.scale == pytest.approx(base.scale, **close)
