"""The geometry track: a photo, what an estimator predicts for it, and how far that is from the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from bench.core.cells import Cell
from bench.core.interfaces import GeometryEstimator
from bench.core.lookup import dataset_of
from bench.core.protocols import GEOMETRY_PROTOCOLS
from bench.core.registry import estimators
from bench.core.residents import Residents
from bench.core.scenes import MonocularSample, Prediction
from bench.core.track import Outcome, Prepared, Settings
from bench.geometry.evaluate import evaluate_estimator
from bench.geometry.pictures import sample_pictures

NETWORK = "network"  #: kind of resident


@dataclass(frozen=True, eq=False)
class GeometryOutcome(Outcome):
    """An outcome with what can be looked at.

    Attributes:
        sample: The photo and its truth.
        prediction: As the estimator gives it, before it is aligned.
    """

    sample: MonocularSample | None = None
    prediction: Prediction | None = None


class GeometryTrack:
    """The geometry track (bench.core.track.CellTrack). A process serves one estimator and all samples of a data set."""

    weights: Mapping[str, str] = {}

    def group(self, cell: Cell) -> tuple[str, ...]:
        return (cell.track, cell.dataset, cell.model, cell.protocol)

    def preparations(self, cell: Cell) -> tuple[Cell, ...]:
        return ()

    def prepare(self, preparation: Cell, settings: Settings, residents: Residents) -> Prepared:
        raise NotImplementedError("nothing is prepared for the geometry track")

    def revisions(self, cell: Cell) -> dict[str, str]:
        return {}

    def run(self, cell: Cell, settings: Settings, residents: Residents) -> GeometryOutcome:
        def build() -> GeometryEstimator:
            estimator = estimators[cell.model](settings.weights, settings.checkpoint(cell.model))
            estimator.load(settings.torch_device)
            return estimator

        sample = dataset_of(cell).load_sample(settings.data_root, cell.scene)
        protocol = GEOMETRY_PROTOCOLS[cell.protocol]
        with torch.no_grad():
            estimator = residents.get(NETWORK, (cell.model, settings), build)
            prediction, measurements = evaluate_estimator(estimator, sample, protocol)
        return GeometryOutcome(tuple(measurements), sample_pictures(sample, prediction, protocol), sample, prediction)
