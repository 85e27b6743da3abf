"""Depth of a whole view from the depths of some of its pixels, guided by the photo.

Found on a grid of at most 96 cells a side: the inverse depth u that minimises

    sum over points of  rho(u(point) - measured)  +  SMOOTHNESS * sum over cells of  w * |second differences of u|  +
    FLATNESS * sum over neighbours of  w * (difference of u)^2

A plane has an inverse depth that is linear in the pixels, so second differences cost nothing on planes of any slant; their
absolute value lets a surface bend at creases (as total generalised variation does: Bredies, Kunisch and Pock, 2010,
"Total Generalized Variation"); w falls where the photo changes, so that depth may break at its edges. rho levels off (Geman
and McClure, 1987): points far from what their surroundings say do not count. Solved as a sequence of weighted least squares.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import sparse
from scipy.linalg import solveh_banded

from bench.types import Array

#: From fewer points no depth is made.
LEAST_POINTS = 4
#: Cells along the long side. Finer grids were no better on the scenes of tests/benchmarks/bench_guided_depth.py.
GRID_LONG_SIDE = 96
#: Neighbours whose colours, in [0, 1], are this far apart are linked by 1/e; the weakest link there is.
CONTRAST = 0.02
LEAST_LINK = 0.01
#: Weights of the second and of the first differences; inverse depths are in units of the points' median.
SMOOTHNESS = 10.0
FLATNESS = 1e-3
#: Below this a second difference costs by its square, above by its absolute value.
CREASE = 0.003
#: How far from its surroundings a point's inverse depth may be before it counts less.
MISFIT = 0.05
ROUNDS = 4
#: No inverse depth is farther than this share outside the range of all points but the most extreme of 200.
MARGIN = 0.1
OUTERMOST = 0.005


def guided_depth(image: Array, pixels: Array, depth: Array) -> Array:
    """A depth for every pixel.

    Args:
        image: The photo, (H, W, 3) uint8.
        pixels: (N, 2), x and y of points inside the photo, (0.5, 0.5) being the centre of the first pixel; N >= 4.
        depth: (N,) positive depths there, some of which may be wrong.

    Returns:
        (H, W) float32, positive and finite, in the unit of `depth`.
    """
    height, width = image.shape[:2]
    share = min(1.0, GRID_LONG_SIDE / max(height, width))
    columns, rows = max(2, round(width * share)), max(2, round(height * share))
    grid = np.asarray(Image.fromarray(image).resize((columns, rows), Image.Resampling.BOX), np.float64) / 255
    places = np.stack([pixels[:, 0] * columns / width, pixels[:, 1] * rows / height], axis=1) - 0.5
    unit = np.median(1 / depth)
    # Neighbours along the short side are numbered one after the other: the matrix's band is then narrowest.
    if columns > rows:
        found = _solve(grid.transpose(1, 0, 2), places[:, ::-1], 1 / depth / unit).T
    else:
        found = _solve(grid, places, 1 / depth / unit)
    least, most = np.quantile(1 / depth / unit, [OUTERMOST, 1 - OUTERMOST])
    found = np.clip(found, least * (1 - MARGIN), most * (1 + MARGIN)).astype(np.float32)
    inverse = np.asarray(Image.fromarray(found).resize((width, height), Image.Resampling.BILINEAR), np.float64)
    return (1 / (inverse * unit)).astype(np.float32)


def _solve(grid: Array, places: Array, measured: Array) -> Array:
    """(A, B) the minimiser on a grid of colours (A, B, 3). places: (N, 2), second and first index; measured: (N,)."""
    at_points = _interpolation(grid.shape[:2], places)
    second, first = _second_differences(grid), _first_differences(grid)
    flat = FLATNESS * _normal(*first)
    counts, costs = np.ones(len(measured)), np.ones(len(second[1]))
    found = np.zeros(grid.shape[:2])
    for _ in range(ROUNDS):
        matrix = _normal(at_points, counts) + SMOOTHNESS * _normal(second[0], second[1] * costs) + flat
        solution = solveh_banded(_band(matrix, 2 * grid.shape[1]), at_points.T @ (counts * measured))
        counts = 1 / (1 + ((at_points @ solution - measured) / MISFIT) ** 2) ** 2
        costs = CREASE / np.maximum(np.abs(second[0] @ solution), CREASE)
        found = solution.reshape(grid.shape[:2])
    return found


def _interpolation(shape: tuple[int, int], places: Array) -> sparse.csr_array:
    """(N, A * B): values at places, bilinear between cells; at the border the outermost cell's."""
    across, down = (np.clip(places[:, axis], 0, shape[1 - axis] - 1) for axis in (0, 1))
    left, top = (np.minimum(at.astype(int), size - 2) for at, size in ((across, shape[1]), (down, shape[0])))
    right_share, bottom_share = across - left, down - top
    corners = [(row, column) for row in (0, 1) for column in (0, 1)]
    weights = [np.abs(1 - row - bottom_share) * np.abs(1 - column - right_share) for row, column in corners]
    cells = [(top + row) * shape[1] + left + column for row, column in corners]
    return _rows(cells, weights, shape[0] * shape[1])


def _rows(cells: Sequence[Array], weights: Sequence[Array], count: int) -> sparse.csr_array:
    """(M, count): row m holds each of the weights[k][m] at cells[k][m]."""
    number = np.tile(np.arange(len(cells[0])), len(cells))
    return sparse.csr_array(
        (np.concatenate(list(weights)), (number, np.concatenate(list(cells)))), shape=(len(cells[0]), count)
    )


def _links(grid: Array) -> tuple[Array, Array]:
    """How strongly cells are linked to the next one: (A, B - 1) along the second axis, (A - 1, B) along the first."""

    def link(colours: Array, others: Array) -> Array:
        return np.exp(-np.linalg.norm(colours - others, axis=-1) / CONTRAST) + LEAST_LINK

    return link(grid[:, 1:], grid[:, :-1]), link(grid[1:], grid[:-1])


def _first_differences(grid: Array) -> tuple[sparse.csr_array, Array]:
    """The operator (M, A * B), and the weight (M,) of each of its rows."""
    index, (across, down) = _index(grid), _links(grid)
    pairs = [(index[:, 1:], index[:, :-1], across), (index[1:], index[:-1], down)]
    operators = [_stencil([cell, before], [1, -1], index.size) for cell, before, _ in pairs]
    return sparse.vstack(operators, format="csr"), np.concatenate([link.ravel() for *_, link in pairs])


def _second_differences(grid: Array) -> tuple[sparse.csr_array, Array]:
    """As `_first_differences`: along each axis, and the mixed one, which counts twice (as in the squared Hessian)."""
    index, (across, down) = _index(grid), _links(grid)
    corner = np.minimum(np.minimum(across[1:], across[:-1]), np.minimum(down[:, 1:], down[:, :-1]))
    operators = [
        _stencil([index[:, :-2], index[:, 1:-1], index[:, 2:]], [1, -2, 1], index.size),
        _stencil([index[:-2], index[1:-1], index[2:]], [1, -2, 1], index.size),
        _stencil([index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]], [1, -1, -1, 1], index.size),
    ]
    weights = [np.minimum(across[:, 1:], across[:, :-1]), np.minimum(down[1:], down[:-1]), 2 * corner]
    return sparse.vstack(operators, format="csr"), np.concatenate([weight.ravel() for weight in weights])


def _index(grid: Array) -> Array:
    return np.arange(grid.shape[0] * grid.shape[1]).reshape(grid.shape[:2])


def _stencil(cells: Sequence[Array], factors: Sequence[float], count: int) -> sparse.csr_array:
    return _rows([cell.ravel() for cell in cells], [np.full(cells[0].size, float(factor)) for factor in factors], count)


def _normal(operator: sparse.csr_array, weight: Array) -> sparse.csr_array:
    """operator^T diag(weight) operator."""
    return operator.T @ sparse.diags_array(weight) @ operator


def _band(matrix: sparse.csr_array, width: int) -> Array:
    """(width + 1, P): the upper band of a symmetric matrix, as LAPACK stores it; the diagonal a little raised."""
    diagonals = matrix.todia()
    size = matrix.shape[0]
    band = np.zeros((width + 1, size))
    for offset, values in zip(diagonals.offsets, diagonals.data, strict=True):
        if 0 <= offset <= width:
            band[width - offset, offset : len(values)] = values[offset:]
    band[width] += 1e-9
    return band
