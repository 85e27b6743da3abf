from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bench.geometry.align import align_points
from bench.geometry.camera import intrinsics_from_fov, points_from_depth
from bench.geometry.training.losses import LEAST_POINTS, LOCAL_SCALES, global_loss, local_loss, mask_loss, normal_loss
from bench.types import UserError

FOCAL = 24 * 0.8660254  #: pixels, of the room's camera


def room(seed: int = 0, height: int = 18, width: int = 24) -> torch.Tensor:
    """True points (H, W, 3) float64 with a hole and some sky."""
    depth = np.random.default_rng(seed).uniform(2, 5, (height, width))
    depth[0], depth[4:6, 4:6] = np.inf, np.nan
    with np.errstate(invalid="ignore"):
        points = points_from_depth(depth, intrinsics_from_fov(60, width / height))
    return torch.from_numpy(points)


def prediction(truth: torch.Tensor, noise: float = 0.1, seed: int = 1) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    known = torch.where(torch.isfinite(truth), truth, torch.ones_like(truth))
    return known + torch.from_numpy(rng.normal(0, noise, truth.shape))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def test_the_global_loss_forgives_scale_and_depth_shift_only() -> None:
    truth = room()
    right = prediction(truth, noise=0)
    assert global_loss(3 * right + torch.tensor([0, 0, 2.0]), truth) == pytest.approx(0, abs=1e-9)
    assert global_loss(right + torch.tensor([0.5, 0, 0]), truth) > 0.05
    assert global_loss(-right, truth) == 0  # a negative scale counts as nothing


def test_the_global_loss_is_the_optimum_of_the_alignment() -> None:
    truth = room()
    guess = prediction(truth)
    known = torch.isfinite(truth).all(dim=-1)
    weight = 1 / truth[known][:, 2]
    best = align_points(guess[known], truth[known], weight, shift="z")
    assert global_loss(guess, truth, size=None, truncation=None) == pytest.approx(best.objective / len(weight), rel=1e-9)
    assert global_loss(guess, truth, size=6, truncation=None) >= best.objective / len(weight)


def test_truncation_keeps_a_few_wild_points_from_moving_the_fit() -> None:
    truth = room()
    guess = prediction(truth, noise=0)
    guess[8:17, :12] += torch.tensor([0, 0, 60.0])
    rest = torch.isfinite(truth).all(dim=-1)
    rest[8:17, :12] = False

    def error_elsewhere(truncation: float | None) -> float:
        fit = align_points(
            guess[torch.isfinite(truth).all(-1)],
            truth[torch.isfinite(truth).all(-1)],
            1 / truth[torch.isfinite(truth).all(-1)][:, 2],
            shift="z",
            truncation=truncation,
        )
        return float(np.abs(fit.apply(guess[rest].numpy()) - truth[rest].numpy()).mean())

    assert error_elsewhere(1.0) < 1e-6
    assert math.isfinite(float(global_loss(guess, truth)))


def test_local_balls_are_aligned_one_by_one() -> None:
    truth = room(height=40, width=56)
    right = prediction(truth, noise=0)
    assert local_loss(0.3 * right + torch.tensor([4.0, -1, 2]), truth, FOCAL, 0.5, generator=seeded()) == pytest.approx(
        0, abs=1e-9
    )
    bent = right.clone()
    bent[..., 2] *= 1 + 0.3 * torch.sin(bent[..., 0])
    values = [float(local_loss(bent, truth, 56 * 0.866, alpha, generator=seeded())) for alpha in (1.0, 0.25)]
    assert 0 < values[1] < values[0]  # a smooth bend matters less in smaller balls


def test_balls_with_too_few_points_are_left_out() -> None:
    truth = room()
    guess = prediction(truth).requires_grad_()
    loss = local_loss(guess, truth, FOCAL, LOCAL_SCALES[-1])
    loss.backward()
    assert loss == 0
    assert guess.grad is not None
    assert (guess.grad == 0).all()
    assert LEAST_POINTS > 1
    with pytest.raises(UserError, match="must be positive"):
        local_loss(guess, truth, 0.0, 0.25)


def test_the_normal_loss_is_the_angle_between_planes() -> None:
    intrinsics = intrinsics_from_fov(60, 4 / 3)
    rays = torch.from_numpy(points_from_depth(np.ones((12, 16)), intrinsics))
    angle = math.radians(20)
    tilted = torch.tensor([math.sin(angle), 0, math.cos(angle)], dtype=torch.float64)
    front, slanted = 3 * rays, rays * (3 / (rays @ tilted))[..., None]
    one, three = math.radians(1), math.radians(3)
    assert normal_loss(slanted, front) == pytest.approx(angle - three / 2, rel=1e-6)  # linear beyond three degrees
    assert normal_loss(7 * slanted + torch.tensor([1.0, 2, 3]), slanted) == pytest.approx(one**2 / (2 * three), rel=1e-6)
    front[3, 3] = math.nan
    slanted[3, 3] = 1e3  # where the truth is unknown nothing is asked
    assert normal_loss(slanted, front) == pytest.approx(angle - three / 2, rel=1e-6)


def test_the_normal_loss_does_not_ask_beyond_a_right_angle_nor_below_one_degree() -> None:
    rays = torch.from_numpy(points_from_depth(np.ones((12, 16)), intrinsics_from_fov(60, 4 / 3)))
    front = 3 * rays
    mirrored = (front * torch.tensor([-1.0, 1, 1])).requires_grad_()  # normals of the other side: 180 degrees
    value = normal_loss(mirrored, front)
    assert float(value) == pytest.approx(math.radians(90) - math.radians(1.5), rel=1e-6)
    assert not torch.autograd.grad(value, mirrored)[0].any()
    same = front.clone().requires_grad_()
    assert not torch.autograd.grad(normal_loss(same, front), same)[0].any()


def test_local_balls_leave_out_what_lies_a_radius_away() -> None:
    """A tenth of the points of a ball thrown a radius away does not move its alignment; measured in depths it would."""
    truth = room(height=40, width=56)
    right = prediction(truth, noise=0)
    thrown = right.clone()
    known = torch.isfinite(truth).all(dim=-1)
    chosen = known & (torch.rand(known.shape, generator=seeded()) < 0.1)
    alpha, focal = 0.5, 56 * 0.866
    radius = alpha * truth[..., 2] * math.hypot(40, 56) / (2 * focal)
    thrown[chosen] += 1.5 * radius[chosen][:, None]
    loss = float(local_loss(thrown, truth, focal, alpha, generator=seeded()))
    share = float((chosen & known).sum() / known.sum())
    # Fitted by the other nine tenths exactly, the rest is off by 1.5 radii in each of three coordinates.
    expected = 3 * 1.5 * alpha * math.hypot(40, 56) / (2 * focal) * share
    assert loss == pytest.approx(expected, rel=0.25)


def test_the_mask_loss_worked_by_hand() -> None:
    predicted = torch.tensor([[1.0, 0.5], [0.0, 0.25]])
    sky = torch.tensor([[False, False], [True, True]])
    assert mask_loss(predicted, sky) == pytest.approx((0 + 0.25 + 0 + 0.0625) / 4)


@pytest.mark.parametrize(
    "loss",
    [
        lambda p, q: global_loss(p, q),
        lambda p, q: global_loss(p, q, size=8, truncation=None),
        lambda p, q: local_loss(p, q, FOCAL, 0.5, anchors=3, generator=torch.Generator().manual_seed(1)),
        lambda p, q: local_loss(p, q, FOCAL, 0.4, anchors=3, generator=seeded(), truncation=None),
        normal_loss,
        lambda p, q: mask_loss(p[..., 0], torch.isinf(q[..., 0])),
    ],
    ids=["global", "global-sampled", "local", "local-untruncated", "normal", "mask"],
)
def test_gradients_agree_with_finite_differences(loss) -> None:
    """In random directions: one number each, so that a kink met by one coordinate cannot hide the rest.

    Where all rows of a ball weigh the same, the median of an even number of them is not unique, and the local loss may jump
    between two alignments that are equally good: the balls chosen here have one.
    """
    truth = room()
    guess = prediction(truth).requires_grad_()
    value = loss(guess, truth)
    assert value > 0
    (gradient,) = torch.autograd.grad(value, guess)
    assert torch.isfinite(gradient).all()
    rng = np.random.default_rng(3)
    step = 1e-7
    for _ in range(5):
        direction = torch.from_numpy(rng.normal(size=guess.shape))
        ahead, behind = (loss(guess.detach() + sign * step * direction, truth) for sign in (1, -1))
        assert float((gradient * direction).sum()) == pytest.approx(float(ahead - behind) / (2 * step), rel=1e-4, abs=1e-7)


def test_a_photo_without_truth_has_no_loss_and_no_gradient() -> None:
    truth = torch.full((6, 8, 3), math.nan)
    for loss in (global_loss, normal_loss, lambda p, q: local_loss(p, q, 8.0, 0.25)):
        guess = torch.rand(6, 8, 3, requires_grad=True)
        value = loss(guess, truth)
        value.backward()
        assert value == 0
        assert guess.grad is not None
        assert (guess.grad == 0).all()
    with pytest.raises(UserError, match="expected two point maps"):
        global_loss(torch.rand(6, 8, 3), truth[:5])
