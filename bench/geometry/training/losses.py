"""MoGe's training objectives (arXiv:2410.19115, sections 3.2 and 3.3), differentiable in the prediction.

Points are (H, W, 3), camera coordinates; the truth is NaN or infinite where it is unknown or sky, and does not count there.
Each loss is a mean over what it counts (the paper's sums would depend on the photo's size); where nothing counts it is 0,
with a gradient of 0. The alignment inside is solved exactly and its gradient taken through the active rows of the optimum.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from bench.core.errors import UserError
from bench.geometry.align import align_points, align_points_groups
from bench.geometry.resample import masked_nearest
from bench.geometry.training.differentiable import differentiable_fit

TRUNCATION = 1.0  #: of each coordinate's weighted residual, in the alignments
NEAREST_SHARE = 0.1  #: of the harmonic mean of true depths: nearer points weigh no more in the local loss
ANGLES = math.radians(1), math.radians(90)  #: what angles between normals are clamped to
ANGLE_HUBER = math.radians(3)  #: below it the normal loss is quadratic
LOCAL_SCALES = (1 / 4, 1 / 16, 1 / 64)  #: radii of the local balls, as shares of the photo's diagonal
LEAST_POINTS = 32  #: a local ball with fewer points is left out


def global_loss(
    prediction: Tensor, truth: Tensor, *, size: int | None = 64, truncation: float | None = TRUNCATION
) -> Tensor:
    """L_G: mean of ||s p^ + (0, 0, t) - p||_1 / z under the optimal s and t, found on a size x size sampling (None:
    everywhere).

    A scale that is not positive counts as nothing, as in the official training code.
    """
    p, q = _valid_points(prediction, truth)
    if len(p) == 0:
        return prediction.sum() * 0
    chosen = torch.arange(len(p)) if size is None else _sampled(truth, size)
    sample_p, sample_q = p[chosen], q[chosen]
    weight = 1 / sample_q[:, 2]
    found = align_points(sample_p.detach(), sample_q, weight, shift="z", truncation=truncation)
    fit = differentiable_fit([found], sample_p, sample_q, weight, shifted=(False, False, True))
    if not fit.valid[0] or fit.scale[0] <= 0:
        return prediction.sum() * 0
    return ((fit.scale * p + fit.shift[0] - q).abs().sum(dim=1) / q[:, 2]).mean()


def local_loss(
    prediction: Tensor,
    truth: Tensor,
    focal: float,
    alpha: float,
    *,
    anchors: int = 16,
    generator: torch.Generator | None = None,
    truncation: float | None = TRUNCATION,
) -> Tensor:
    """L_S(alpha): the same inside balls about random true points, each aligned by its own s and t in R^3; the mean over
    balls.

    focal: in pixels. The ball about p_j has the radius alpha z_j sqrt(W^2 + H^2) / (2 focal): a share alpha of what the
    photo shows at that depth. Balls of fewer than LEAST_POINTS points, or whose scale is not positive, are left out.
    The alignment measures residuals in radii, so that truncation leaves out what lies a radius away; the loss measures them
    in depths, as the official training code does. The full objective sums it over LOCAL_SCALES. Raises UserError where focal
    or alpha is not positive.
    """
    if not (focal > 0 and alpha > 0):
        raise UserError(f"local loss: focal = {focal} and alpha = {alpha} must be positive")
    p, q = _valid_points(prediction, truth)
    if len(p) == 0:
        return prediction.sum() * 0
    centres = q[torch.randint(len(q), (anchors,), generator=generator).to(q.device)]
    radius = alpha * centres[:, 2] * math.hypot(*truth.shape[:2]) / (2 * focal)
    ball, row = torch.nonzero(torch.cdist(centres, q) <= radius[:, None], as_tuple=True)
    count = torch.bincount(ball, minlength=anchors)
    kept = (count >= LEAST_POINTS)[ball]
    ball, row, radius, count = ball[kept], row[kept], radius[count >= LEAST_POINTS], count[count >= LEAST_POINTS]
    if len(count) == 0:
        return prediction.sum() * 0
    ball = torch.repeat_interleave(torch.arange(len(count), device=ball.device), count)
    inside_p, inside_q = p[row], q[row]
    weight = 1 / radius[ball]
    offsets = [0, *count.cumsum(0).tolist()]
    found = align_points_groups(inside_p.detach(), inside_q, weight, offsets, shift="xyz", truncation=truncation)
    fit = differentiable_fit(found, inside_p, inside_q, weight, shifted=(True, True, True), offsets=offsets)
    usable = fit.valid & (fit.scale > 0)
    if not usable.any():
        return prediction.sum() * 0
    nearest = NEAREST_SHARE / (1 / q[:, 2]).mean()
    error = (fit.scale[ball, None] * inside_p + fit.shift[ball] - inside_q).abs().sum(dim=1)
    error = error / inside_q[:, 2].clamp_min(nearest)
    mean = torch.zeros(len(count), dtype=error.dtype, device=error.device).index_add(0, ball, error) / count
    return mean[usable].mean()


def normal_loss(prediction: Tensor, truth: Tensor) -> Tensor:
    """L_N: mean penalty of the angle in radians between predicted and true normals, the cross products at the four corners
    of every 2x2 cell.

    As in the official training code, angles are clamped to ANGLES and the penalty is Huber's of ANGLE_HUBER (the paper has
    the angle itself). A corner counts where its three true points are known. Neither scale nor shift of the prediction
    matters.
    """
    known = torch.isfinite(truth).all(dim=-1)
    angles = []
    for (predicted, _), (true, valid) in zip(
        _corner_normals(prediction, known), _corner_normals(torch.where(known[..., None], truth, 0.0), known), strict=True
    ):
        angles.append(_angle(predicted[valid], true[valid]))
    found = torch.cat(angles).clamp(*ANGLES)
    penalty = torch.where(found < ANGLE_HUBER, 0.5 * found.square() / ANGLE_HUBER, found - 0.5 * ANGLE_HUBER)
    return penalty.mean() if len(found) else prediction.sum() * 0


def mask_loss(prediction: Tensor, sky: Tensor) -> Tensor:
    """L_M: mean of (M^ - (1 - M_inf))^2. prediction: (H, W), 1 where there is a surface; sky: (H, W) bool, M_inf."""
    return (prediction - (~sky).to(prediction)).square().mean()


def _valid_points(prediction: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Predicted and true points (N, 3) where the truth is known and in front of the camera."""
    if prediction.shape != truth.shape or prediction.ndim != 3 or prediction.shape[-1] != 3:
        raise UserError(f"loss: expected two point maps (H, W, 3), not {tuple(prediction.shape)} and {tuple(truth.shape)}")
    known = _known(truth)
    return prediction[known], truth[known].to(prediction.dtype)


def _known(truth: Tensor) -> Tensor:
    return torch.isfinite(truth).all(dim=-1) & (truth[..., 2] > 0)


def _sampled(truth: Tensor, size: int) -> Tensor:
    """Positions, among the known points, of the masked nearest size x size sampling."""
    known = _known(truth).cpu().numpy()
    index, found = masked_nearest(known, size, size)
    return torch.from_numpy(np.searchsorted(np.flatnonzero(known), index[found])).to(truth.device)


def _corner_normals(points: Tensor, known: Tensor) -> list[tuple[Tensor, Tensor]]:
    """For each corner of the 2x2 cells: the unnormalised normal (H - 1, W - 1, 3) and whether its three points are known."""
    around = [(slice(None, -1), slice(None, -1)), (slice(None, -1), slice(1, None))]
    around += [(slice(1, None), slice(1, None)), (slice(1, None), slice(None, -1))]  # clockwise from the upper left
    corners, flags = [points[at] for at in around], [known[at] for at in around]
    found = []
    for k in range(4):
        before, here, after = (k - 1) % 4, k, (k + 1) % 4
        normal = torch.linalg.cross(corners[after] - corners[here], corners[before] - corners[here])
        found.append((normal, flags[before] & flags[here] & flags[after]))
    return found


def _angle(a: Tensor, b: Tensor) -> Tensor:
    """Angles in [0, pi] between vectors (N, 3), with a gradient that stays finite where they agree."""
    across = torch.linalg.cross(a, b).square().sum(dim=-1)
    smallest = torch.finfo(a.dtype).tiny
    return torch.atan2(torch.sqrt(across.clamp_min(smallest)), (a * b).sum(dim=-1))
