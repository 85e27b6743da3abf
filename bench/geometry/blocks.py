"""The blocks of the published tables, and a prediction set against the truth: what each block reads and how it is
aligned."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from bench.core.errors import UserError
from bench.core.protocols import GeometryProtocol
from bench.core.scenes import Array, MonocularSample, Prediction
from bench.geometry.align import Alignment, align_depth, align_least_squares, align_points
from bench.geometry.camera import points_from_depth
from bench.geometry.resample import masked_nearest, take
from bench.metrics.depth import norms


@dataclass(frozen=True)
class Block:
    """A block of the tables: which predicted fields it can be measured on (the first one present is taken) and how they
    are aligned.

    scale, shift: whether the alignment has one. metric: the block exists only where the truth is in metres.
    """

    name: str
    fields: tuple[str, ...]
    scale: bool = True
    shift: bool = False
    metric: bool = False

    @property
    def quantity(self) -> Literal["points", "depth", "disparity"]:
        if self.fields[0].startswith("points"):
            return "points"
        return "disparity" if self.fields[0].startswith("disparity") else "depth"


DEPTH_BLOCKS = (
    Block("depth_metric", ("depth_metric",), scale=False, metric=True),
    Block("depth_scale_invariant", ("depth_scale_invariant", "depth_metric")),
    Block("depth_affine_invariant", ("depth_affine_invariant", "depth_scale_invariant", "depth_metric"), shift=True),
    Block("disparity_affine_invariant", ("disparity_affine_invariant", "depth_scale_invariant", "depth_metric"), shift=True),
)
POINT_BLOCKS = (
    Block("points_metric", ("points_metric",), scale=False, shift=True, metric=True),
    Block("points_scale_invariant", ("points_scale_invariant", "points_metric")),
    Block("points_affine_invariant", ("points_affine_invariant", "points_scale_invariant", "points_metric"), shift=True),
)
LOCAL_POINTS = Block("local_points", ("points_metric", "points_scale_invariant", "points_affine_invariant"), shift=True)


class Unmeasurable(Exception):
    """A block that cannot be measured; the message goes into the row, with this status."""

    def __init__(self, reason: str, status: Literal["invalid", "unavailable"] = "invalid") -> None:
        super().__init__(reason)
        self.status: Literal["invalid", "unavailable"] = status


class Comparison:
    """One prediction and the truth at its valid pixels, float64; what several blocks need is computed once.

    valid: (N,) flat indices of the pixels of known depth. depth (N,), points (N, 3), norm (N,): the truth there. samples:
    positions into those N, where alignments are fitted. Raises UserError where a size or kind is wrong.
    """

    def __init__(self, sample: MonocularSample, prediction: Prediction, protocol: GeometryProtocol) -> None:
        _check_sample(sample)
        _check_prediction(sample, prediction)
        self.sample, self.prediction, self.protocol = sample, prediction, protocol
        known = np.isfinite(sample.depth) & (sample.depth > 0)
        self.mask = known
        self.valid = np.flatnonzero(known)
        self.depth = sample.depth.ravel()[self.valid].astype(np.float64)
        self.points = take(points_from_depth(sample.depth, sample.intrinsics), self.valid)
        self.norm = norms(self.points)
        self.samples = np.arange(len(self.valid))
        if protocol.alignment_size is not None:
            index, found = masked_nearest(known, protocol.alignment_size, protocol.alignment_size)
            self.samples = np.searchsorted(self.valid, index[found])
        self._chosen: dict[tuple[str, bool], Array] = {}
        self._fits: dict[str, Alignment] = {}

    def field(self, block: Block) -> str | None:
        """The predicted field that a block is measured on, None where the block does not apply."""
        if block.metric and not self.sample.metric:
            return None
        return next((name for name in block.fields if getattr(self.prediction, name) is not None), None)

    def values(self, block: Block) -> Array:
        """The whole predicted map, (H, W) or (H, W, 3) float64: points, depth, or disparity (the inverse of a predicted
        depth)."""
        name = self.field(block)
        assert name is not None, f"{block.name} does not apply"
        return _inverted(np.asarray(getattr(self.prediction, name), np.float64), name, block)

    def chosen(self, block: Block) -> Array:
        """The predicted values (N,) or (N, 3) at the valid pixels. Raises Unmeasurable where there is none, or one is
        not finite."""
        name = self.field(block)
        assert name is not None, f"{block.name} does not apply"
        if self.valid.size == 0:
            raise Unmeasurable("the sample has no pixel of known depth")
        key = name, block.quantity == "disparity"
        if key not in self._chosen:
            found = take(np.asarray(getattr(self.prediction, name)), self.valid).astype(np.float64)
            self._chosen[key] = _inverted(found, name, block)
        found = self._chosen[key]
        if not np.isfinite(found.sum()):  # a cheap look first; a sum of finite values may overflow, so count before judging
            bad = np.count_nonzero(~np.isfinite(found).reshape(len(found), -1).all(axis=1))
            if bad:
                raise Unmeasurable(f"the predicted {block.quantity} is not finite at {bad} of {len(found)} valid pixels")
        return found

    def aligned(self, block: Block, values: Array, least_disparity: float | None = None) -> Array:
        """Predicted values, at any pixels, brought to the truth's points or depth by the block's alignment.

        least_disparity: where aligned disparities are clamped before they are inverted; by default at the farthest true
        depth, so that those near or below zero do not blow up. Raises Unmeasurable where the alignment is degenerate.
        """
        if block.quantity == "depth" and not block.scale:
            return values
        if block.name not in self._fits:
            self._fits[block.name] = self._fit(block, self.chosen(block))
        result = self._fits[block.name].apply(values)
        if block.quantity == "disparity":
            result = 1 / np.maximum(result, 1 / self.depth.max() if least_disparity is None else least_disparity)
        return result

    def _fit(self, block: Block, chosen: Array) -> Alignment:
        at, method = self.samples, self.protocol.alignment
        if block.quantity == "disparity":
            return checked(align_least_squares(chosen, 1 / self.depth, None, shift=True))
        if block.quantity == "depth":
            weight = 1 / self.depth[at]
            return checked(align_depth(chosen[at], self.depth[at], weight, shift=block.shift, method=method))
        shift: Literal["xyz", "none"] = "xyz" if block.shift else "none"
        weight = 1 / self.norm[at]
        return checked(align_points(chosen[at], self.points[at], weight, shift=shift, scale=block.scale, method=method))


def checked(alignment: Alignment, where: str = "") -> Alignment:
    """The alignment. Raises Unmeasurable where it is degenerate."""
    if alignment.status != "ok":
        raise Unmeasurable(f"{where}degenerate alignment: {alignment.note}")
    return alignment


def _inverted(values: Array, name: str, block: Block) -> Array:
    if block.quantity != "disparity" or name.startswith("disparity"):
        return values
    with np.errstate(divide="ignore"):
        return 1 / values


def _check_sample(sample: MonocularSample) -> None:
    name = f"{sample.dataset}/{sample.name}"
    if sample.depth.shape != sample.image.shape[:2]:
        raise UserError(f"{name}: the depth is {sample.depth.shape}, the image {sample.image.shape[:2]} pixels (H, W)")
    if sample.segmentation is not None and sample.segmentation.shape != sample.depth.shape:
        raise UserError(
            f"{name}: the segmentation is {sample.segmentation.shape}, the depth {sample.depth.shape} pixels (H, W)"
        )
    if sample.intrinsics.shape != (3, 3) or not np.isfinite(sample.intrinsics).all():
        raise UserError(f"{name}: the intrinsics must be (3, 3) and finite, not {sample.intrinsics.tolist()}")


def _check_prediction(sample: MonocularSample, prediction: Prediction) -> None:
    name = f"{sample.dataset}/{sample.name}"
    if not isinstance(prediction, Prediction):
        raise UserError(f"{name}: an estimator must return a Prediction, not {type(prediction).__name__}")
    height, width = sample.image.shape[:2]
    for item in fields(prediction):
        value = getattr(prediction, item.name)
        if value is None:
            continue
        three = item.name == "normal" or item.name.startswith("points")
        expected: tuple[int, ...] = (height, width, 3) if three else (height, width)
        if item.name == "intrinsics":
            expected = (3, 3)
        if np.shape(value) != expected:
            raise UserError(f"{name}: the predicted {item.name} has the shape {np.shape(value)}, expected {expected}")
        if np.asarray(value).dtype.kind not in "fiub":
            raise UserError(f"{name}: the predicted {item.name} holds {np.asarray(value).dtype}, expected numbers")
