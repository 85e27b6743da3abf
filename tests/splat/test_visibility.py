"""Visibility against what blending must add up to, and what is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.core.scenes import Camera
from bench.splat import Gaussians, most_visible, seen_by, visibility


def camera(x: float = 0.0) -> Camera:
    pose = np.eye(4)
    pose[0, 3] = -x
    return Camera(np.array([[40.0, 0, 16], [0, 40, 12], [0, 0, 1]]), pose, 32, 24)


def cloud(count: int, seed: int = 0) -> Gaussians:
    source = torch.Generator().manual_seed(seed)
    means = torch.rand(count, 3, generator=source) * torch.tensor([1.6, 1.2, 2.0]) + torch.tensor([-0.8, -0.6, 2.0])
    return Gaussians(
        means,
        torch.nn.functional.normalize(torch.randn(count, 4, generator=source), dim=1),
        torch.rand(count, 3, generator=source) * 0.1 + 0.02,
        torch.rand(count, generator=source) * 0.8 + 0.1,
        torch.randn(count, 4, 3, generator=source),
    )


def test_weights_add_up_to_the_pictures_opacity() -> None:
    gaussians, cameras = cloud(40), (camera(), camera(0.3))
    weights = visibility(gaussians, cameras)
    assert weights.shape == (40,)
    assert (weights >= 0).all()
    covered = sum(seen_by(gaussians, each).alpha.sum().item() for each in cameras)
    assert weights.sum().item() == pytest.approx(covered, rel=1e-4)


def test_what_stands_behind_is_seen_through_what_stands_before() -> None:
    """Two discs in line that look alike: the weight of the farther one is what the near one lets through."""
    one = Gaussians(
        torch.tensor([[0.0, 0, 2], [0, 0, 4]]),
        torch.tensor([[1.0, 0, 0, 0]]).repeat(2, 1),
        torch.tensor([[0.1, 0.1, 1e-4], [0.2, 0.2, 1e-4]]),
        torch.tensor([0.5, 0.5]),
        torch.zeros(2, 1, 3),
    )
    near, far = visibility(one, [camera()])
    alone = seen_by(one.select(torch.tensor([1])), camera()).alpha
    before = seen_by(one.select(torch.tensor([0])), camera()).alpha
    assert near.item() == pytest.approx(before.sum().item(), rel=1e-4)
    assert far.item() == pytest.approx((alone * (1 - before)).sum().item(), rel=1e-4)


def test_the_hidden_go_first_and_the_order_stays() -> None:
    gaussians, cameras = cloud(30), [camera()]
    behind = replace(gaussians, means=gaussians.means * torch.tensor([1.0, 1, -1]))  # none is seen
    both = Gaussians(*(torch.cat([getattr(each, name) for each in (behind, gaussians)]) for name in vars(gaussians)))
    assert visibility(behind, cameras).eq(0).all()
    assert torch.equal(most_visible(both, cameras, 30).means, gaussians.means)
    assert most_visible(both, cameras, 60) is both
    fewer = most_visible(gaussians, cameras, 20)
    least = visibility(gaussians, cameras).topk(20).values.min()
    assert torch.equal(fewer.means, gaussians.means[visibility(gaussians, cameras) >= least])
