"""Numbers as colours: the ends of a map, clamping, and pixels without a value."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps

from bench.metrics.colours import NOTHING, coloured, finite_range


def test_the_ends_of_the_span_are_the_ends_of_the_map_and_gaps_are_grey() -> None:
    picture = coloured(np.array([[1.0, 3.0, 2.0], [-9.0, np.nan, np.inf]]), (1.0, 3.0), "inferno")
    first, last = (np.array(colormaps["inferno"](end, bytes=True)[:3]) for end in (0.0, 1.0))
    assert (picture.shape, picture.dtype) == ((2, 3, 3), np.uint8)
    np.testing.assert_array_equal(picture[0, :2], [first, last])
    np.testing.assert_array_equal(picture[1], [first, [NOTHING] * 3, [NOTHING] * 3])


def test_a_span_without_width_is_no_error() -> None:
    assert coloured(np.ones((2, 2)), (1.0, 1.0), "Spectral").shape == (2, 2, 3)


def test_range_leaves_out_the_outermost_percents_and_what_is_not_finite() -> None:
    values = np.concatenate([np.arange(101.0), [np.nan, np.inf, -np.inf]])
    assert finite_range(values) == (1.0, 99.0)
    low, high = finite_range(np.full((3, 3), np.nan))
    assert low < high
