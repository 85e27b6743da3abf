"""Named plans whose outcome is known: a paper's table, or a check of this installation, with values and a tolerance."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.core.cells import PERF
from bench.core.errors import UserError
from bench.results.reference.published import published_rows
from bench.results.reference.reproduced import PLACE, expected_values
from bench.run.request import Request
from bench.stats.aggregate import per_dataset

_FEAT2GS = ("dust3r", "mast3r", "midas", "dinov2", "dino", "sam", "clip", "radio", "mae", "sd", "iuvrgb")
_FEAT2GS_SETS = ("llff", "dl3dv", "casual", "mipnerf360", "mvimgnet", "tanks")
_MOGE_SETS = ("nyuv2", "kitti", "eth3d", "ibims1", "gso", "sintel", "ddad", "diode")


@dataclass(frozen=True)
class Reproduction:
    """A plan with a known outcome.

    Attributes:
        about: What it reproduces, and who printed it.
        request: What is run; where data lie and the results go is the user's.
        expected: Gives the columns PLACE and value: data set means.
        relative, absolute: A measured value is within tolerance where it differs by at most one of them.
        needs: Data, weights, hardware and time.
    """

    name: str
    about: str
    request: Request
    expected: Callable[[], pd.DataFrame]
    relative: float
    absolute: float
    needs: str


def _printed(table: str) -> pd.DataFrame:
    """A paper's table: what it prints of single data sets, without averages and ranks."""
    rows = published_rows(table)
    rows = rows[(rows["dataset"] != "all") & rows["value"].notna() & (rows["metric"] != "rank")]
    return rows[[*PLACE, "value"]].reset_index(drop=True)


_LIST = (
    Reproduction(
        "embedded",
        "features that need no weights on one procedural scene: does this installation compute what ours does?",
        Request(models=("iuvrgb", "daisy"), scenes=("room",), modes=("G", "T"), protocols=("quick-v2",), device="cpu"),
        functools.partial(expected_values, "embedded"),
        relative=0.03,  # processors round otherwise, and an optimisation carries that on
        absolute=1e-4,
        needs="nothing; a minute or two on two CPU cores",
    ),
    Reproduction(
        "feat2gs-gta",
        "Feat2GS (arXiv:2412.09606), the table of all features, six data sets and the modes G, T, A",
        Request(models=_FEAT2GS, datasets=_FEAT2GS_SETS, modes=("G", "T", "A"), pointmap="dust3r", protocols=("paper-v1",)),
        functools.partial(_printed, "feat2gs_gta"),
        relative=0.02,
        absolute=0.0,
        needs="the Feat2GS release, weights of eleven models (some non-commercial), a GPU; hours: see `bench plan`",
    ),
    Reproduction(
        "feat2gs-dtu",
        "Feat2GS (arXiv:2412.09606), 2D and 3D metrics on DTU",
        Request(models=_FEAT2GS, datasets=("dtu",), modes=("G",), protocols=("paper-v1",)),
        functools.partial(_printed, "feat2gs_dtu"),
        relative=0.03,
        absolute=0.0,
        needs="the Feat2GS release (DTU), weights of eleven models, a GPU",
    ),
    Reproduction(
        "moge-points",
        "MoGe (arXiv:2410.19115), the table of point maps",
        Request(models=("moge", "unidepth", "dust3r", "leres"), datasets=_MOGE_SETS, protocols=("moge-v1",)),
        functools.partial(_printed, "moge_points"),
        relative=0.03,
        absolute=0.002,
        needs="the evaluation data of the MoGe release (about 40 GB), weights of four models, a GPU",
    ),
    Reproduction(
        "moge-depth",
        "MoGe (arXiv:2410.19115), the table of depth maps",
        Request(
            models=("moge", "unidepth", "metric3d-v2", "marigold", "depth-anything-v1", "depth-anything-v2", "zoedepth"),
            datasets=_MOGE_SETS,
            protocols=("moge-v1",),
        ),
        functools.partial(_printed, "moge_depth"),
        relative=0.03,
        absolute=0.002,
        needs="the evaluation data of the MoGe release (about 40 GB), weights of seven models, a GPU",
    ),
)
REPRODUCTIONS = {each.name: each for each in _LIST}


def reproduction_named(name: str) -> Reproduction:
    """Raises UserError for an unknown name."""
    if name not in REPRODUCTIONS:
        raise UserError(f"no reproduction is named {name!r}; there are {', '.join(REPRODUCTIONS)}")
    return REPRODUCTIONS[name]


def measured_means(rows: pd.DataFrame) -> pd.DataFrame:
    """Data set means of rows as expected values are given: the columns PLACE and value, failures without a value."""
    means = per_dataset(rows[rows["track"] != PERF])
    complete = means["n_ok"] == means["n_total"]
    return means.assign(value=means["value"].where(complete))[[*PLACE, "value"]]


def verdicts(rows: pd.DataFrame, expected: pd.DataFrame, relative: float, absolute: float) -> pd.DataFrame:
    """What was expected against what was measured.

    Args:
        rows: Tidy rows of the run.
        expected: PLACE and value.
        relative, absolute: Tolerances; the wider one holds.

    Returns:
        PLACE, expected, measured, difference and verdict: "within", "outside" or "missing" (not measured, or of a part of
        the scenes only). One row an expected value.
    """
    # The papers' rows name no alignment where this suite names the one of its 3D metrics.
    means = measured_means(rows).assign(alignment=lambda frame: frame["alignment"].replace("similarity", "-"))
    wanted = expected.assign(alignment=expected["alignment"].replace("similarity", "-"))
    found = wanted.rename(columns={"value": "expected"}).merge(
        means.rename(columns={"value": "measured"}), on=list(PLACE), how="left"
    )
    difference = found["measured"] - found["expected"]
    limit = np.maximum(relative * found["expected"].abs(), absolute)
    verdict = np.where(difference.abs() <= limit, "within", "outside")
    return found.assign(difference=difference, verdict=np.where(difference.isna(), "missing", verdict))
