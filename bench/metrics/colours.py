"""Numbers as colours: how depth maps and errors become pictures."""

from __future__ import annotations

import numpy as np

from bench.core.scenes import Array

NOTHING = 24  #: the grey of pixels without a value


def finite_range(values: Array) -> tuple[float, float]:
    """What colours span: from the 1st to the 99th percentile of the finite values; (1, 2) where there are none."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 1.0, 2.0
    low, high = np.percentile(finite, (1.0, 99.0))
    return float(low), float(high)


def coloured(values: Array, span: tuple[float, float], colours: str) -> Array:
    """(h, w, 3) uint8 of values (h, w): matplotlib's map `colours` from span[0] to span[1], clamped; dark grey where a value
    is NaN or infinite."""
    from matplotlib import colormaps

    low, high = span
    finite = np.isfinite(values)
    shares = np.clip((np.where(finite, values, low) - low) / max(high - low, 1e-12), 0, 1)
    return np.where(finite[..., None], colormaps[colours](shares, bytes=True)[..., :3], NOTHING).astype(np.uint8)
