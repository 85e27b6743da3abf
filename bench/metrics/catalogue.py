"""Every metric that a row may carry: its label, direction, unit and how tables print it. Defined once, used everywhere.

A new metric is one entry here, and the code that measures it: tables, charts, the leaderboard and the ranks follow from
the entry.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal["2d", "3d", "pose", "depth", "fov", "boundary", "normal", "other"]
#: Kinds that answer a track's question: shown first, compared with other tables. The others describe how it was answered.
ANSWERS: tuple[Kind, ...] = ("2d", "3d", "depth", "fov", "boundary", "normal")
#: The metrics of normals that are shares: name -> degrees below which a pixel counts, those of Fouhey, Gupta and Hebert
#: (ICCV 2013, section 5).
NORMALS_WITHIN = {"normal_within_11": 11.25, "normal_within_22": 22.5, "normal_within_30": 30.0}


@dataclass(frozen=True)
class Metric:
    """A metric's card.

    Attributes:
        name: As rows store it.
        label: What a table's column is called; `title`: the same where no heading above it says the rest.
        unit: As rows store it ("" for none, "scene" for the data set's own unit of length).
        higher_is_better: None where a metric has no direction: nothing is best then, and nothing is ranked.
        kind: "2d" and "3d" are what the correlation matrices set against each other; tables show one kind each.
        factor: What a stored value is multiplied by when it is printed: 100 for a share in percent.
        digits: Decimals of a printed value.
        three_digits: Printed with at most three digits in all (4.86, 16.9, 100), as MoGe's tables do, instead of `digits`.
        bare_fraction: Printed as .7442, the way Feat2GS prints what lies in [0, 1].
        headline: It stands for its track where one number has to; one metric a track.
        ranked: It takes part in the mean rank of its track's tables.
        printed_in_papers: Otherwise tables show it only where some row has a value.
        shown_first: The leaderboard opens with it.
        median_of: The metric whose median over views it is; "" where rows carry it themselves.
        lowest, highest: What a stored value can be; `bench verify` names others.
    """

    name: str
    label: str
    track: Literal["probe", "geometry"]
    unit: str
    higher_is_better: bool | None
    kind: Kind
    description: str
    factor: float = 1.0
    digits: int = 3
    three_digits: bool = False
    bare_fraction: bool = False
    headline: bool = False
    ranked: bool = False
    printed_in_papers: bool = True
    shown_first: bool = True
    median_of: str = ""
    long_label: str = ""
    lowest: float = 0.0
    highest: float = math.inf

    @property
    def title(self) -> str:
        """The label where it stands alone."""
        return self.long_label or self.label

    @property
    def printed_unit(self) -> str:
        """The unit of a printed value: dB, %, °; "" for a plain number and for the data set's own unit."""
        words = {"scene": "", "share": "", "extent": "", "degree": "°"}
        return "%" if self.factor == 100 else words.get(self.unit, self.unit)

    def allows(self, value: float) -> bool:
        """True where a value can be one of this metric's; NaN, which stands for none, always can."""
        return math.isnan(value) or self.lowest <= value <= self.highest

    def printed(self, value: float) -> str:
        """A stored value as tables print it.

        Args:
            value: In the unit of the rows; finite.

        Returns:
            The text without a unit.

        Example:
            >>> METRICS["ssim"].printed(0.74421), METRICS["rel"].printed(0.169)
            ('.7442', '16.9')
        """
        scaled = value * self.factor
        if self.three_digits:
            texts = [f"{scaled:.{digits}f}" for digits in (2, 1, 0)]
            return next((text for text in texts if sum(map(str.isdigit, text)) <= 3), texts[-1])
        text = f"{scaled:.{self.digits}f}"
        return text.removeprefix("0") if self.bare_fraction and text.startswith("0.") else text

    def told(self, value: float) -> str:
        """A stored value with its unit, for sentences: "23.81 dB", "16.9 %"; "–" where it is not finite."""
        return _with_unit(self.printed(value), self.printed_unit) if math.isfinite(value) else "–"

    def told_difference(self, value: float) -> str:
        """A difference of stored values with sign and unit, with the decimals of a printed value: "+0.31 dB"."""
        digits = 1 if self.three_digits else self.digits
        return _with_unit(f"{value * self.factor:+.{digits}f}", self.printed_unit)


def _with_unit(text: str, unit: str) -> str:
    return text + ("" if unit == "°" else " ") + unit if unit else text


CATALOGUE = (
    Metric(
        "psnr",
        "PSNR",
        "probe",
        "dB",
        True,
        "2d",
        "peak signal-to-noise ratio of the masked held-out pair",
        digits=2,
        headline=True,
        highest=200.0,
    ),
    Metric(
        "ssim",
        "SSIM",
        "probe",
        "",
        True,
        "2d",
        "structural similarity, 11x11 Gaussian window, sigma 1.5",
        digits=4,
        bare_fraction=True,
        lowest=-1.0,
        highest=1.0,
    ),
    Metric(
        "lpips",
        "LPIPS",
        "probe",
        "",
        False,
        "2d",
        "LPIPS-VGG fed with [0, 1] images, as the paper does",
        digits=4,
        bare_fraction=True,
        highest=10.0,
    ),
    Metric(
        "lpips_rescaled",
        "LPIPS [-1,1]",
        "probe",
        "",
        False,
        "2d",
        "LPIPS-VGG fed with [-1, 1] images, as it was trained",
        digits=4,
        bare_fraction=True,
        printed_in_papers=False,
        shown_first=False,
        highest=10.0,
    ),
    Metric(
        "haarpsi",
        "HaarPSI",
        "probe",
        "",
        True,
        "2d",
        "Haar wavelet perceptual similarity; needs no weights",
        digits=4,
        bare_fraction=True,
        printed_in_papers=False,
        highest=1.0,
    ),
    Metric("accuracy", "Acc.", "probe", "scene", False, "3d", "mean nearest distance from Gaussian centres to ground truth"),
    Metric(
        "completeness", "Comp.", "probe", "scene", False, "3d", "mean nearest distance from ground truth to Gaussian centres"
    ),
    Metric(
        "distance", "Dist.", "probe", "scene", False, "3d", "mean distance of corresponding pairs after similarity alignment"
    ),
    Metric(
        "pose_rotation_error",
        "rotation",
        "probe",
        "degree",
        False,
        "pose",
        "mean angle between estimated and true cameras",
        shown_first=False,
        highest=180.0,
    ),
    Metric(
        "pose_translation_error",
        "translation",
        "probe",
        "extent",
        False,
        "pose",
        "mean camera offset over the scene's extent",
        digits=4,
        shown_first=False,
    ),
    *(
        Metric(
            f"pose_auc_{degrees}",
            f"AUC@{degrees}",
            "probe",
            "share",
            True,
            "pose",
            f"relative poses of all pairs of training cameras: area under the curve of those right within {degrees} degrees",
            factor=100.0,
            digits=1,
            printed_in_papers=False,
            shown_first=False,
            highest=1.0,
        )
        for degrees in (5, 15, 30)
    ),
    Metric(
        "view_angle",
        "viewpoint angle",
        "probe",
        "degree",
        None,
        "other",
        "angle of a held-out view to the nearest training view, seen from the scene's middle",
        digits=1,
        printed_in_papers=False,
        shown_first=False,
        highest=180.0,
    ),
    Metric(
        "view_distance",
        "viewpoint distance",
        "probe",
        "extent",
        None,
        "other",
        "distance of a held-out camera to the nearest training camera, over the scene's extent",
        digits=3,
        printed_in_papers=False,
        shown_first=False,
    ),
    Metric(
        "train_psnr",
        "training PSNR",
        "probe",
        "dB",
        True,
        "other",
        "PSNR of the training views",
        digits=2,
        shown_first=False,
        highest=200.0,
    ),
    Metric(
        "visible_share",
        "compared",
        "probe",
        "",
        None,
        "other",
        "share of a held-out view's pixels that is compared",
        digits=2,
        shown_first=False,
        highest=1.0,
    ),
    Metric("gaussians", "Gaussians", "probe", "", None, "other", "number of Gaussians", digits=0, shown_first=False),
    Metric(
        "rel",
        "Rel",
        "geometry",
        "share",
        False,
        "depth",
        "mean relative error",
        factor=100.0,
        digits=2,
        three_digits=True,
        ranked=True,
        headline=True,
    ),
    Metric(
        "delta",
        "δ",
        "geometry",
        "share",
        True,
        "depth",
        "share of pixels within the threshold: a ratio below 1.25, of points an error below a quarter of their distance",
        factor=100.0,
        digits=1,
        three_digits=True,
        ranked=True,
        highest=1.0,
    ),
    Metric(
        "fov_x_error",
        "Mean",
        "geometry",
        "degree",
        False,
        "fov",
        "mean absolute error of the horizontal field of view",
        digits=2,
        three_digits=True,
        ranked=True,
        long_label="FOV mean",
        highest=180.0,
    ),
    Metric(
        "fov_x_error_median",
        "Med.",
        "geometry",
        "degree",
        False,
        "fov",
        "median of the same",
        digits=2,
        three_digits=True,
        ranked=True,
        long_label="FOV median",
        median_of="fov_x_error",
        highest=180.0,
    ),
    Metric(
        "fov_x_deviation",
        "Deviation",
        "geometry",
        "degree",
        None,
        "fov",
        "predicted less true field of view",
        digits=2,
        three_digits=True,
        printed_in_papers=False,
        shown_first=False,
        lowest=-180.0,
        highest=180.0,
    ),
    Metric(
        "boundary_f1",
        "F1",
        "geometry",
        "share",
        True,
        "boundary",
        "F1 of relative depth jumps",
        factor=100.0,
        digits=1,
        three_digits=True,
        ranked=True,
        highest=1.0,
    ),
    Metric(
        "normal_error",
        "Mean",
        "geometry",
        "degree",
        False,
        "normal",
        "mean angle between predicted and true surface normals, over the pixels of a photo",
        digits=1,
        ranked=True,
        long_label="normals, mean",
        highest=180.0,
    ),
    Metric(
        "normal_error_median",
        "Med.",
        "geometry",
        "degree",
        False,
        "normal",
        "median of the same, over the pixels of a photo",
        digits=1,
        ranked=True,
        long_label="normals, median",
        highest=180.0,
    ),
    *(
        Metric(
            name,
            f"<{degrees:g}°",
            "geometry",
            "share",
            True,
            "normal",
            f"share of pixels whose normal is off by less than {degrees:g} degrees",
            factor=100.0,
            digits=1,
            ranked=True,
            long_label=f"normals within {degrees:g}°",
            highest=1.0,
        )
        for name, degrees in NORMALS_WITHIN.items()
    ),
)
METRICS = {metric.name: metric for metric in CATALOGUE}
#: The mean rank over data sets and ranked metrics, which is computed from the others and stands in no measured row.
RANK = Metric("rank", "Rank", "geometry", "", False, "other", "mean rank over data sets and metrics", digits=2)


def metric_named(name: str) -> Metric:
    """The catalogue's metric, or the mean rank.

    Raises:
        KeyError: The catalogue has no metric of this name.
    """
    return RANK if name == RANK.name else METRICS[name]


def headline(track: str) -> Metric:
    """The metric that stands for a track ("probe", "geometry") where one number has to."""
    return next(metric for metric in CATALOGUE if metric.track == track and metric.headline)


def of_kind(*kinds: Kind) -> list[Metric]:
    """The metrics of some kinds that the papers' tables have columns for, in the catalogue's order."""
    return [metric for metric in CATALOGUE if metric.kind in kinds and metric.printed_in_papers]
