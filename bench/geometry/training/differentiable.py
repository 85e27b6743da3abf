"""Gradients through a solved alignment, for training losses.

At an optimum of the (truncated) L1 fit as many residuals are exactly zero as there are unknowns: one in every channel with
a shift, and one more. While the prediction moves a little these rows stay the active ones, so scale and shift are the
solution of their equations, s = (q_j - q_i) / (p_j - p_i) and t_c = q_ci - s p_ci, and its derivative is the fit's
derivative. Where several choices of active rows exist (ties) the fit has a kink there, and the gradient is that of one
side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from bench.core.errors import UserError
from bench.core.scenes import Array
from bench.geometry.align.problem import Alignment, as_float64


class TorchFit(NamedTuple):
    """scale: (G,) and shift: (G, C) of the prediction's dtype, with gradients; valid: (G,) bool. Degenerate groups have
    scale 0, shift 0 and valid False, so that they can be masked out of a loss without NaN reaching a gradient."""

    scale: torch.Tensor
    shift: torch.Tensor
    valid: torch.Tensor


def differentiable_fit(
    fits: Sequence[Alignment],
    prediction: torch.Tensor,
    truth: torch.Tensor,
    weight: torch.Tensor,
    *,
    shifted: Sequence[bool],
    scale: bool = True,
    offsets: Sequence[int] | None = None,
) -> TorchFit:
    """The given fits as functions of the prediction (and the truth) they were solved for.

    fits: G alignments of the same arguments, "exact" or "official". prediction, truth: (M, C), or (M,) for depth; weight:
    (M,). shifted: which of the C channels have a shift. scale=False: it was fixed at 1. offsets: (G + 1,) where there are
    groups, as in `align_points_groups`. Values equal the fits'; only the gradient comes from the active rows.
    """
    bounds = [0, len(prediction)] if offsets is None else [int(offset) for offset in offsets]
    if len(fits) != len(bounds) - 1:
        raise UserError(f"alignment: {len(fits)} fits for {len(bounds) - 1} groups")
    p, q = prediction.reshape(len(prediction), -1), truth.reshape(len(truth), -1)
    if p.shape != q.shape or p.shape[1] != len(shifted):
        shapes = f"prediction {tuple(p.shape)}, truth {tuple(q.shape)}, {len(shifted)} channels"
        raise UserError(f"alignment: {shapes} do not fit together")
    plain_p, plain_q, w = as_float64(p, "prediction"), as_float64(q, "truth"), as_float64(weight, "weight")
    counts = np.isfinite(plain_p).all(axis=1) & np.isfinite(plain_q).all(axis=1) & np.isfinite(w) & (w > 0)
    valid = np.array([fit.status == "ok" for fit in fits])
    first = np.zeros((len(fits), len(shifted)), int)  # a row with residual zero in each channel
    second = np.zeros((len(fits), 2), int)  # row and channel of the one more that fixes the scale
    for group in np.flatnonzero(valid).tolist():
        rows = bounds[group] + np.flatnonzero(counts[bounds[group] : bounds[group + 1]])
        first[group], second[group] = _active(fits[group], plain_p[rows], plain_q[rows], shifted, rows)
    p, q = p.double(), q.double()
    channels, flags = torch.arange(len(shifted)), torch.tensor([bool(flag) for flag in shifted])
    start_p, start_q = p[first, channels], q[first, channels]
    solved = torch.ones(len(fits), dtype=p.dtype, device=p.device)
    if scale:
        anchored, each = flags[second[:, 1]].to(p), torch.arange(len(fits))
        run = p[second[:, 0], second[:, 1]] - anchored * start_p[each, second[:, 1]]
        rise = q[second[:, 0], second[:, 1]] - anchored * start_q[each, second[:, 1]]
        usable = torch.from_numpy(valid).to(p.device) & (run != 0)
        solved = torch.where(usable, rise / torch.where(usable, run, 1.0), 0.0)
    shift = torch.where(flags.to(p.device), start_q - solved[:, None] * start_p, 0.0)
    mask = torch.from_numpy(valid).to(p.device)
    values = np.array([fit.scale for fit in fits]), np.array([fit.shift for fit in fits]).reshape(shift.shape)
    return TorchFit(
        _with_value(solved, values[0], mask).to(prediction.dtype),
        _with_value(shift, values[1], mask[:, None]).to(prediction.dtype),
        mask,
    )


def _active(fit: Alignment, p: Array, q: Array, shifted: Sequence[bool], rows: Array) -> tuple[Array, tuple[int, int]]:
    """The rows of smallest residual in each channel, and the (row, channel) that with them says the fit's scale most
    closely."""
    flags = np.array(shifted, bool)
    residual = fit.scale * p + fit.shift - q
    nearest = np.abs(residual).argmin(axis=0)
    channels = np.arange(len(flags))
    run = p - np.where(flags, p[nearest, channels], 0.0)
    rise = residual - np.where(flags, residual[nearest, channels], 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        miss = np.where(run != 0, np.abs(rise / run), np.inf)
    row, channel = np.unravel_index(int(miss.argmin()), miss.shape)
    return rows[nearest], (int(rows[row]), int(channel))


def _with_value(tensor: torch.Tensor, value: Array, mask: torch.Tensor) -> torch.Tensor:
    """The tensor's gradient with the given value; 0 without a gradient where the mask is False."""
    exact = torch.from_numpy(np.nan_to_num(value)).to(tensor)
    return torch.where(mask, exact + (tensor - tensor.detach()), 0.0)
