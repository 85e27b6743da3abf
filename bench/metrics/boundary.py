"""Sharpness of depth boundaries: F1 of relative depth jumps between neighbouring pixels (Depth Pro, arXiv:2410.02073,
section 4; as MoGe's evaluation weights and pools it)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

JUMPS = tuple(float(t) for t in np.linspace(0.05, 0.25, 10))  #: a boundary: the neighbour is farther by more than this share


def boundary_f1(prediction: Array, truth: Array, valid: NDArray[np.bool_], radius: int = 1) -> float:
    """F1 of relative depth jumps, averaged over the thresholds JUMPS with the threshold as the weight; in [0, 1].

    prediction, truth: (H, W) depths. valid: (H, W) bool; a pair of pixels counts where both are valid. Neighbours are
    those within `radius` pixels of a pixel that is at least `radius` pixels from the image border. The F1 of a
    threshold at which the truth or the prediction has no jump is 0. A scale of either map changes nothing. Raises
    ValueError where the shapes differ.
    """
    if prediction.shape != truth.shape or valid.shape != truth.shape:
        raise ValueError(f"shapes differ: prediction {prediction.shape}, truth {truth.shape}, valid {valid.shape}")
    levels = len(JUMPS) + 1
    joint = np.zeros((levels, levels), np.int64)  # [i, j]: pairs with i thresholds passed in the truth, j in the prediction
    for offset in _neighbours(radius):
        joint += _jump_table(prediction, truth, valid, radius, offset)
    # A pair is a jump at threshold k where it passes more than k thresholds.
    in_truth = joint.sum(axis=1)[::-1].cumsum()[::-1][1:]
    in_prediction = joint.sum(axis=0)[::-1].cumsum()[::-1][1:]
    in_both = np.array([joint[k:, k:].sum() for k in range(1, levels)])
    scores = 2 * in_both / np.maximum(in_truth + in_prediction, 1)
    return float(np.average(scores, weights=JUMPS))


def _neighbours(radius: int) -> list[tuple[int, int]]:
    span = range(-radius, radius + 1)
    return [(i, j) for i in span for j in span if 0 < i * i + j * j <= radius * radius]


def _jump_table(
    prediction: Array, truth: Array, valid: NDArray[np.bool_], radius: int, offset: tuple[int, int]
) -> NDArray[np.int64]:
    height, width = truth.shape
    here = (slice(radius, height - radius), slice(radius, width - radius))
    there = tuple(slice(radius + d, n - radius + d) for d, n in zip(offset, (height, width), strict=True))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio_truth, ratio_prediction = truth[there] / truth[here], prediction[there] / prediction[here]
        least = 1 + JUMPS[0]
        some = valid[here] & valid[there] & ((ratio_truth > least) | (ratio_prediction > least))
    levels = len(JUMPS) + 1
    thresholds = 1 + np.array(JUMPS)
    passed_truth, passed_prediction = (
        np.where(np.isnan(ratio[some]), 0, np.searchsorted(thresholds, ratio[some], side="left"))
        for ratio in (ratio_truth, ratio_prediction)
    )
    table = np.bincount(passed_truth * levels + passed_prediction, minlength=levels * levels)
    return table.reshape(levels, levels).astype(np.int64)
