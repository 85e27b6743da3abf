"""Gradients through the active rows, against finite differences of the solver away from ties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from align_oracles import SHIFTED, align, channels_of

from bench.geometry.align import align_points, align_points_groups
from bench.geometry.training.differentiable import differentiable_fit
from bench.types import UserError


@pytest.mark.parametrize("truncation", [None, 1.0])
@pytest.mark.parametrize("variant", ["depth", "none", "z", "xyz"])
def test_finite_differences(variant: str, truncation: float | None) -> None:
    rng = np.random.default_rng(0)
    channels = channels_of(variant)
    p = rng.normal(size=(60, channels))
    q, w = 2 * p + 1 + 0.3 * rng.standard_t(2, size=p.shape), 3 * rng.random(60)
    weights = rng.normal(size=channels + 1)

    def value(prediction: np.ndarray, truth: np.ndarray) -> float:
        fit = align(prediction, truth, w, variant, truncation=truncation)
        return float(weights[0] * fit.scale + weights[1:] @ fit.shift)

    prediction, truth = torch.tensor(p, requires_grad=True), torch.tensor(q, requires_grad=True)
    solved = align(p, q, w, variant, truncation=truncation)
    fit = differentiable_fit([solved], prediction, truth, torch.tensor(w), shifted=SHIFTED[variant])
    assert fit.scale.item() == solved.scale
    np.testing.assert_array_equal(fit.shift[0].detach(), solved.shift)
    (weights[0] * fit.scale[0] + (torch.tensor(weights[1:]) * fit.shift[0]).sum()).backward()
    unknowns = 1 + sum(SHIFTED[variant])
    for tensor, side in ((prediction, 0), (truth, 1)):
        gradient = tensor.grad.numpy()
        assert np.count_nonzero(gradient) == unknowns
        others = [tuple(entry) for entry in rng.integers(0, [60, channels], size=(6, 2))]
        for entry in [*map(tuple, np.argwhere(gradient)), *others]:
            ends = []
            for step in (1e-6, -1e-6):
                moved = [p.copy(), q.copy()]
                moved[side][entry] += step
                ends.append(value(*moved))
            assert gradient[entry] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-7)


def test_groups_degenerate_ones_and_single_precision() -> None:
    rng = np.random.default_rng(1)
    p = torch.tensor(rng.normal(size=(90, 3)), dtype=torch.float32)
    p[30:60] = 1.0
    q, w = 3 * p + 1 + 0.1 * torch.tensor(rng.normal(size=(90, 3)), dtype=torch.float32), torch.ones(90)
    p[5, 0], w[7] = torch.nan, 0.0
    p.requires_grad_()
    offsets = [0, 30, 60, 90]
    fits = align_points_groups(p, q, w, offsets, shift="xyz")
    solved = differentiable_fit(fits, p, q, w, shifted=SHIFTED["xyz"], offsets=offsets)
    assert solved.valid.tolist() == [True, False, True]
    assert solved.scale.dtype == torch.float32
    assert solved.scale[1] == 0
    assert solved.scale[0].item() == pytest.approx(fits[0].scale, rel=1e-6)
    (solved.scale.sum() + solved.shift.sum()).backward()
    assert torch.isfinite(p.grad).all()
    assert p.grad[30:60].abs().max() == 0
    assert p.grad[7].abs().max() == 0
    assert p.grad[:30].abs().max() > 0


def test_shift_only() -> None:
    rng = np.random.default_rng(2)
    p, q = torch.tensor(rng.normal(size=(31, 3)), requires_grad=True), torch.tensor(rng.normal(size=(31, 3)))
    w = torch.ones(31)
    fit = align_points(p, q, w, shift="xyz", scale=False)
    solved = differentiable_fit([fit], p, q, w, shifted=SHIFTED["xyz"], scale=False)
    solved.shift.sum().backward()
    assert solved.scale.tolist() == [1.0]
    assert sorted(p.grad[p.grad != 0].tolist()) == pytest.approx([-1.0, -1.0, -1.0])


def test_shapes_that_do_not_fit() -> None:
    p = torch.zeros(4, 3)
    with pytest.raises(UserError, match="2 fits for 1 groups"):
        differentiable_fit([align_points(p, p, None, shift="xyz")] * 2, p, p, torch.ones(4), shifted=SHIFTED["xyz"])
    with pytest.raises(UserError, match="do not fit together"):
        differentiable_fit([align_points(p, p, None, shift="xyz")], p, p[:, :2], torch.ones(4), shifted=SHIFTED["xyz"])
