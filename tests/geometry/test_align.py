"""The alignment library's defined answers: bad rows, degenerate data, scales of every size, groups, baselines."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from align_oracles import SHIFTED, align, channels_of, problems

from bench.geometry.align import align_depth, align_least_squares, align_median, align_points, align_points_groups
from bench.geometry.align import native as native_module
from bench.native import missing
from bench.types import UserError

VARIANTS = ("depth", "depth scale", "none", "z", "xyz")


@pytest.fixture(params=["native", "numpy"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "native" and missing("align"):
        pytest.skip(missing("align"))
    if request.param == "numpy":
        monkeypatch.setattr(native_module, "load", lambda name: None)
    return request.param


def scene(n: int = 200, channels: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A plausible prediction: truth = 1.7 * prediction + (0.2, -0.1, 0.5) with noise and a tenth of outliers."""
    rng = np.random.default_rng(seed)
    truth = np.stack([rng.normal(size=n), rng.normal(size=n), rng.uniform(1, 9, n)], axis=1)[:, -channels:]
    outliers = (rng.random((n, 1)) < 0.1) * rng.normal(size=truth.shape)
    noise = 0.02 * truth[:, -1:] * rng.standard_t(3, size=truth.shape) + outliers
    prediction = (truth + noise - np.array([0.2, -0.1, 0.5])[-channels:]) / 1.7
    return prediction, truth, 1 / truth[:, -1]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("truncation", [None, 0.5])
@pytest.mark.parametrize("method", ["exact", "official"])
def test_rows_that_do_not_count_change_nothing(kernel: str, variant: str, truncation: float | None, method: str) -> None:
    p, q, w = scene(60, channels_of(variant))
    plain = align(p, q, w, variant, truncation=truncation, method=method)
    bad_p, bad_q, bad_w = np.repeat(p, 2, axis=0), np.repeat(q, 2, axis=0), np.repeat(w, 2)
    bad_p[1::12, 0], bad_p[3::12, -1], bad_q[5::12, -1], bad_q[7::12, 0] = np.nan, np.inf, -np.inf, np.nan
    bad_w[9::12], bad_w[11::12] = 0.0, np.nan
    dirty = align(bad_p, bad_q, bad_w, variant, truncation=truncation, method=method)
    assert dirty.rows == plain.rows == 60
    assert dirty.scale == plain.scale
    np.testing.assert_array_equal(dirty.shift, plain.shift)
    assert dirty.status == "ok"


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("truncation", [None, 1.0])
@pytest.mark.parametrize("method", ["exact", "official"])
def test_data_that_does_not_determine_the_scale(kernel: str, variant: str, truncation: float | None, method: str) -> None:
    p, q, w = scene(20, channels_of(variant))
    shifted = variant in ("depth", "z", "xyz")
    cases = {"no row": (p[:0], q[:0], w[:0]), "no row has": (p, q, w * 0)}
    if variant in ("depth", "xyz"):
        cases |= {"one point": (p[:1], q[:1], w[:1]), "constant": (p * 0 + 3.7, q, w)}
    else:
        cases |= {"zero" if not shifted else "constant": (p * 0, q, w)}
    for word, case in cases.items():
        fit = align(*case, variant, truncation=truncation, method=method)
        assert fit.status == "degenerate"
        assert word in fit.note
        assert np.isnan(fit.scale)
        assert np.isnan(fit.shift).all()
        assert np.isnan(fit.objective)
        assert not fit.certified
        assert np.isnan(fit.apply(case[0])).all()


def test_one_point_determines_a_scale_where_no_shift_absorbs_it(kernel: str) -> None:
    assert align_depth([2.0], [3.0], [1.0], shift=False).scale == 1.5
    fit = align_points([[1.0, 2.0, 3.0]], [[2.0, 4.0, 7.0]], [1.0], shift="z")
    assert (fit.scale, fit.shift.tolist(), fit.objective) == (2.0, [0.0, 0.0, 1.0], 0.0)


@pytest.mark.parametrize("method", ["exact", "official"])
@pytest.mark.parametrize("variant", ["depth", "z", "xyz"])
def test_constant_truth_is_fitted_by_scale_zero_and_said_so(kernel: str, variant: str, method: str) -> None:
    p, q, w = scene(50, channels_of(variant))
    q = np.zeros_like(q)
    q[:, -1] = 5.0
    fit = align(p, q, w, variant, method=method)
    assert fit.scale == pytest.approx(0.0, abs=1e-15)
    assert fit.shift[-1] == pytest.approx(5.0)
    assert fit.note == "the scale is zero"
    assert fit.status == "ok"


@pytest.mark.parametrize("method", ["exact", "official"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_negative_scale_is_the_optimum_and_said_so(kernel: str, variant: str, method: str) -> None:
    p, q, w = scene(80, channels_of(variant))
    straight, mirrored = (align(sign * p, q, w, variant, method=method) for sign in (1, -1))
    assert mirrored.scale == pytest.approx(-straight.scale, rel=1e-12)
    assert mirrored.objective == pytest.approx(straight.objective, rel=1e-12)
    assert (straight.note, mirrored.note) == ("", "the scale is negative")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("truncation", [None, 0.5])
@pytest.mark.parametrize("size", [1e-6, 1e4])
def test_scales_of_every_size(kernel: str, variant: str, truncation: float | None, size: float) -> None:
    p, q, w = scene(70, channels_of(variant))
    plain, scaled = (align(factor * p, q, w, variant, truncation=truncation) for factor in (1.0, size))
    assert scaled.certified
    assert scaled.scale * size == pytest.approx(plain.scale, rel=1e-9)
    assert scaled.objective == pytest.approx(plain.objective, rel=1e-9)


@pytest.mark.parametrize("variant", ["depth", "xyz"])
@pytest.mark.parametrize("truncation", [None, 0.5])
def test_huge_offsets_cost_no_digits(kernel: str, variant: str, truncation: float | None) -> None:
    p, q, w = scene(70, channels_of(variant))
    p, q = np.round(p * 2**20) / 2**20, np.round(q * 2**20) / 2**20  # so that adding 1e5 is exact
    plain, moved = (align(p + offset, q - offset, w, variant, truncation=truncation) for offset in (0.0, 1e5))
    assert moved.scale == pytest.approx(plain.scale, rel=1e-13)
    assert moved.objective == pytest.approx(plain.objective, rel=1e-12)
    np.testing.assert_allclose(moved.apply(p + 1e5) + 1e5, plain.apply(p), atol=1e-9)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_of_any_float_type_and_arrays_give_the_same_fit(kernel: str, kind: torch.dtype) -> None:
    p, q, w = (torch.from_numpy(a).to(kind) for a in scene(100))
    from_tensor = align_points(p.requires_grad_(), q, w, shift="xyz")
    from_array = align_points(*(a.detach().double().numpy() for a in (p, q, w)), shift="xyz")
    assert from_tensor.scale == from_array.scale
    assert from_tensor.certified
    applied = from_tensor.apply(p)
    assert applied.dtype == kind
    assert applied.shape == p.shape


def test_float16_that_overflows_when_squared_does_not_here(kernel: str) -> None:
    p = np.array([100, 2000, 30000, 60000], np.float16)
    fit = align_depth(p, 2 * p.astype(np.float64) + 7, np.ones(4, np.float16), shift=True)
    assert fit.scale == pytest.approx(2.0, rel=1e-12)
    assert fit.shift[0] == pytest.approx(7.0, rel=1e-9)


def test_absurd_numbers_never_give_a_silent_answer(kernel: str) -> None:
    p, q, w = scene(30)
    huge = p.copy()
    huge[::2] = 1e200
    fit = align_points(huge, q, w, shift="xyz")
    assert fit.rows == 15  # beyond 1e100 a number counts as infinite
    assert fit.certified


@pytest.mark.parametrize("method", ["exact", "official"])
@pytest.mark.parametrize("truncation", [None, 0.3])
def test_shift_only_is_a_weighted_median_per_coordinate(kernel: str, method: str, truncation: float | None) -> None:
    p, q, w = scene(41)
    fit = align_points(p, q, w, shift="xyz", scale=False, truncation=truncation, method=method)
    assert fit.scale == 1.0
    assert fit.certified
    for c in range(3):
        values = [np.minimum(w * np.abs(q[:, c] - p[:, c] - t), truncation or np.inf).sum() for t in q[:, c] - p[:, c]]
        reached = np.minimum(w * np.abs(q[:, c] - p[:, c] - fit.shift[c]), truncation or np.inf).sum()
        assert reached == pytest.approx(min(values), rel=1e-12)
    alone = align_points(p[:1], q[:1], w[:1], shift="xyz", scale=False, method=method)
    np.testing.assert_allclose(alone.apply(p[:1]), q[:1], atol=1e-15)


def test_groups_are_the_single_fits(kernel: str) -> None:
    rng = np.random.default_rng(3)
    p, q, w = scene(900)
    p[rng.integers(0, 900, 40), 1] = np.nan
    w[rng.integers(0, 900, 40)] = 0
    offsets = np.concatenate([[0, 0], np.sort(rng.integers(0, 900, 40)), [900]])
    for options in ({"shift": "xyz"}, {"shift": "z", "truncation": 0.5}, {"shift": "xyz", "scale": False}):
        fits = align_points_groups(p, q, w, offsets, **options)
        assert len(fits) == len(offsets) - 1
        assert fits[0].status == "degenerate"
        for fit, start, stop in zip(fits, offsets, offsets[1:], strict=False):
            single = align_points(p[start:stop], q[start:stop], w[start:stop], **options)
            for mine, other in zip(dataclasses.astuple(fit), dataclasses.astuple(single), strict=True):
                np.testing.assert_array_equal(mine, other)


@pytest.mark.skipif(bool(missing("align")), reason=missing("align") or "built")
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("truncation", [None, 0.7])
def test_numpy_gives_the_native_answers(monkeypatch: pytest.MonkeyPatch, variant: str, truncation: float | None) -> None:
    count = 24 if truncation else 60
    cases = [*problems(variant, count, 2, 40, seed=11), scene(5000 if truncation is None else 300, channels_of(variant))]
    compiled = [align(*case, variant, truncation=truncation) for case in cases]
    monkeypatch.setattr(native_module, "load", lambda name: None)
    for case, mine in zip(cases, compiled, strict=True):
        other = align(*case, variant, truncation=truncation)
        assert (mine.status, mine.certified, mine.rows, mine.note) == (
            other.status,
            other.certified,
            other.rows,
            other.note,
        ) or (mine.objective < 1e-12 or {mine.note, other.note} != {""})
        np.testing.assert_allclose(mine.objective, other.objective, rtol=1e-9, atol=1e-13)
    assert mine.scale == pytest.approx(other.scale, rel=1e-9)  # the last one is generic: its optimum is unique
    np.testing.assert_allclose(mine.shift, other.shift, rtol=1e-8)


def test_bad_input_gets_one_clear_message() -> None:
    p, q, w = scene(10)
    with pytest.raises(UserError, match=r"prediction has shape \(10,\), expected \(N, 3\)"):
        align_points(p[:, 0], q, w, shift="z")
    with pytest.raises(UserError, match="truth has shape"):
        align_points(p, q[:5], w, shift="z")
    with pytest.raises(UserError, match="weight has shape"):
        align_points(p, q, w[:5], shift="z")
    with pytest.raises(UserError, match="negative"):
        align_points(p, q, -w, shift="z")
    with pytest.raises(UserError, match="truncation"):
        align_points(p, q, w, shift="z", truncation=0.0)
    with pytest.raises(UserError, match="method"):
        align_points(p, q, w, shift="z", method="best")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="shift must be"):
        align_points(p, q, w, shift="y")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="offsets"):
        align_points_groups(p, q, w, [0, 7, 5, 10], shift="z")
    with pytest.raises(UserError, match="numbers"):
        align_depth(["a", "b"], [1.0, 2.0], None, shift=True)


@pytest.mark.parametrize("variant", ["depth", "z", "xyz"])
def test_least_squares_is_the_normal_equations(variant: str) -> None:
    p, q, w = scene(60, channels_of(variant))
    shifted = SHIFTED[variant]
    columns = np.concatenate([p[:, c] for c in range(len(shifted))])[:, None]
    for c in np.flatnonzero(shifted):
        columns = np.hstack([columns, (np.arange(columns.shape[0]) // 60 == c)[:, None].astype(float)])
    root = np.sqrt(np.tile(w, len(shifted)))
    solution, residual, *_ = np.linalg.lstsq(columns * root[:, None], q.T.ravel() * root)
    fit = align_least_squares(p[:, 0], q[:, 0], w) if variant == "depth" else align_least_squares(p, q, w, shift=variant)
    assert fit.scale == pytest.approx(solution[0], rel=1e-12)
    np.testing.assert_allclose(fit.shift[list(shifted)], solution[1:], rtol=1e-10)
    assert fit.objective == pytest.approx(float(residual[0]), rel=1e-10)
    constant = np.ones(60) if variant == "depth" else np.ones((60, 3))
    assert variant == "z" or align_least_squares(constant, q[:, 0] if variant == "depth" else q, w).status == "degenerate"


def test_median_by_hand() -> None:
    # medians 2 and 10; mean spreads (1 + 0 + 1) / 3 and (4 + 0 + 8) / 3
    fit = align_median([1.0, 2.0, 3.0], [6.0, 10.0, 18.0])
    assert fit.scale == pytest.approx(6.0)
    assert fit.shift[0] == pytest.approx(-2.0)
    assert align_median([2.0, 2.0, 2.0], [6.0, 10.0, 18.0]).status == "degenerate"
    points = align_median([[1.0, 0, 1], [0, 1, 2], [0, 0, 3]], [[2.0, 0, 3], [0, 2, 5], [0, 0, 7]], shift="z")
    assert points.scale == pytest.approx(2.0)
    assert points.shift.tolist() == pytest.approx([0.0, 0.0, 1.0])
