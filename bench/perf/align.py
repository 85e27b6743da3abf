"""The exact L1 alignment against its NumPy version and the published same-point solver."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.core.scenes import Array
from bench.geometry.align import Alignment, align_depth, align_points
from bench.native import without_kernels
from bench.perf.timing import Compute, Result, compare

SIZES = (1_000, 4_096, 16_384, 65_536, 300_000)
VARIANTS = ("depth", "z", "xyz")
TRUNCATION = 1.0
TRUNCATED_UP_TO = 4_096
OFFICIAL_UP_TO = 4_096  #: points; its cost grows with their square
#: From prediction, truth (N, C), weight (N,) and a variant to the objective reached.
Solver = Callable[[Array, Array, Array, str], float]


def scene(points: int, channels: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """Simulated: a prediction with a smooth warp, heavy-tailed noise and 3 % of flying points; weights 1 / depth."""
    rng = np.random.default_rng(seed)
    z = np.exp(rng.normal(1.5, 0.5, points))
    truth = np.stack([z * rng.uniform(-0.6, 0.6, points), z * rng.uniform(-0.45, 0.45, points), z], axis=1)
    factor = 1 + 0.08 * np.sin(3 * truth[:, 0] / z) + 0.03 * rng.standard_t(3, points)
    factor *= np.where(rng.random(points) < 0.03, rng.uniform(0.3, 3, points), 1.0)
    prediction = (truth * factor[:, None] - np.array([0.1, -0.2, 0.8])) / 1.6
    return prediction[:, -channels:], truth[:, -channels:], 1 / z


def measure(
    sizes: Sequence[int] = SIZES,
    variants: Sequence[str] = VARIANTS,
    repeats: int = 5,
    others: Mapping[str, tuple[Solver, int]] | None = None,
) -> Iterator[Result]:
    """Every solver on every variant (depth: scale and shift; z, xyz: the shift of points) and size, and the truncated fit up
    to TRUNCATED_UP_TO points; the notes hold the objectives. The reference is the NumPy version of the exact fit.

    others: name -> (more solvers of the untruncated fit, the number of points above which they are left out).
    """
    solvers = {"official": (_official, OFFICIAL_UP_TO), **(others or {})}
    for variant in variants:
        for points in sizes:
            case = (*scene(points, 1 if variant == "depth" else 3), variant)
            solve: dict[str, Callable[[], Alignment | float]] = {
                "exact, NumPy": partial(_without_native, *case),
                "exact": partial(_fit, *case),
            }
            solve |= {name: partial(solver, *case) for name, (solver, limit) in solvers.items() if points <= limit}
            named = f"{variant}, {points} points"
            yield from _compared(named, solve, repeats)
            for name in solvers.keys() - solve.keys():
                yield Result("alignment", named, name, "exact, NumPy", note=f"left out above {solvers[name][1]} points")
            if points <= TRUNCATED_UP_TO:
                truncated = {
                    "exact, NumPy": partial(_without_native, *case, TRUNCATION),
                    "exact": partial(_fit, *case, TRUNCATION),
                }
                yield from _compared(f"{named}, truncated at {TRUNCATION:g}", truncated, repeats)


def _compared(case: str, solvers: Mapping[str, Callable[[], Alignment | float]], repeats: int) -> list[Result]:
    """The solvers give an Alignment or the objective alone."""
    last: dict[str, Alignment | float] = {}

    def keeping(name: str) -> Compute:
        def run() -> list[Tensor]:
            last[name] = solvers[name]()
            return [torch.tensor([_objective(last[name])], dtype=torch.float64)]

        return run

    results = compare("alignment", case, {name: keeping(name) for name in solvers}, repeats, slow=set(solvers) - {"exact"})
    return [replace(result, note=_told(last[result.path])) for result in results]


def _objective(found: Alignment | float) -> float:
    return found.objective if isinstance(found, Alignment) else found


def _told(found: Alignment | float) -> str:
    certified = "" if not isinstance(found, Alignment) else ", certified" if found.certified else ", NOT CERTIFIED"
    return f"objective {_objective(found):.9g}{certified}"


def _fit(
    prediction: Array, truth: Array, weight: Array, variant: str, truncation: float | None = None, **options: Any
) -> Alignment:
    if variant == "depth":
        return align_depth(prediction[:, 0], truth[:, 0], weight, shift=True, truncation=truncation, **options)
    return align_points(prediction, truth, weight, shift=variant, truncation=truncation, **options)  # type: ignore[arg-type]


def _without_native(
    prediction: Array, truth: Array, weight: Array, variant: str, truncation: float | None = None
) -> Alignment:
    with without_kernels():
        return _fit(prediction, truth, weight, variant, truncation)


def _official(prediction: Array, truth: Array, weight: Array, variant: str) -> float:
    return _fit(prediction, truth, weight, variant, method="official").objective
