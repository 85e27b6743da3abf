"""From the names in a cell to the classes that plug-ins registered under them."""

from __future__ import annotations

from bench.core.cells import NO_MODEL, Cell
from bench.core.interfaces import Dataset, FeatureProvider, GeometryEstimator
from bench.core.names import ModelName
from bench.core.protocols import GEOMETRY_PROTOCOLS, PROBE_PROTOCOLS, GeometryProtocol, ProbeProtocol
from bench.core.registry import datasets, estimators, features


def model_classes(cell: Cell) -> list[tuple[str, type[FeatureProvider]]] | list[tuple[str, type[GeometryEstimator]]]:
    """Names and classes behind a cell's model: the parts of a concatenation, none for InstantSplat."""
    if cell.track == "geometry":
        return [(cell.model, estimators[cell.model])]
    return [] if cell.model == NO_MODEL else feature_classes(cell.model)


def feature_classes(model: str) -> list[tuple[str, type[FeatureProvider]]]:
    """The name (less what is done to its features) and the class of each part of a features' name."""
    names = [str(part.model) for part in ModelName.parse(model).parts]
    return [(name, features[name]) for name in names]


def dataset_of(cell: Cell) -> Dataset:
    """The data set that a cell's scene is of."""
    return datasets[cell.dataset]()


def protocol_of(cell: Cell) -> ProbeProtocol | GeometryProtocol:
    """The protocol that a cell is run under."""
    return PROBE_PROTOCOLS.get(cell.protocol) or GEOMETRY_PROTOCOLS[cell.protocol]
