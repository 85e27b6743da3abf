"""The field-of-view block: the error of the horizontal field of view, on the whole photo and on crops that vary it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np

from bench.core.cells import Measurement
from bench.core.protocols import GeometryProtocol
from bench.core.scenes import MonocularSample, Prediction
from bench.geometry.camera import field_of_view


def fov_rows(sample: MonocularSample, prediction: Prediction, block: str = "fov") -> list[Measurement]:
    """`fov_x_error` (absolute) and `fov_x_deviation` (predicted less true) in degrees; nothing where no intrinsics are
    predicted."""
    if prediction.intrinsics is None:
        return []
    deviation, note = float("nan"), ""
    intrinsics = np.asarray(prediction.intrinsics, np.float64)
    if np.isfinite(intrinsics).all() and intrinsics[0, 0] > 0:
        deviation = field_of_view(intrinsics)[0] - field_of_view(sample.intrinsics)[0]
    else:
        note = f"the predicted intrinsics {intrinsics.tolist()} are not finite with a positive focal length"
    status: Literal["ok", "invalid"] = "invalid" if note else "ok"
    return [
        Measurement("fov_x_error", abs(deviation), sample.name, "degree", False, block, status, note),
        Measurement("fov_x_deviation", deviation, sample.name, "degree", None, block, status, note),
    ]


def fov_crops(sample: MonocularSample, protocol: GeometryProtocol) -> Iterator[tuple[float, MonocularSample]]:
    """The views that the FOV table is measured on: the protocol's centred crops of a sample, each with its share of the
    sides.

    Nothing for a data set that the protocol does not name, or a photo whose vertical field of view is below the
    protocol's minimum. (The paper does not publish its crops; these are the protocol's own, and versioned with it.)
    """
    if sample.dataset not in protocol.fov_datasets or field_of_view(sample.intrinsics)[1] < protocol.fov_minimum:
        return
    for share in protocol.fov_crops:
        yield share, crop_centre(sample, share)


def crop_centre(sample: MonocularSample, share: float) -> MonocularSample:
    """The sample cut to a centred window of that share of its width and height, with the intrinsics that belong to it."""
    height, width = sample.depth.shape
    rows, columns = round(height * share), round(width * share)
    top, left = (height - rows) // 2, (width - columns) // 2
    window = (slice(top, top + rows), slice(left, left + columns))
    to_pixels, offset = np.diag([width, height, 1.0]), np.array([[0, 0, left], [0, 0, top], [0, 0, 0]])
    intrinsics = np.diag([1 / columns, 1 / rows, 1.0]) @ (to_pixels @ sample.intrinsics - offset)
    return replace(
        sample,
        name=f"{sample.name}@{share:g}",
        image=sample.image[window],
        depth=sample.depth[window],
        intrinsics=intrinsics,
        segmentation=None if sample.segmentation is None else sample.segmentation[window],
    )
