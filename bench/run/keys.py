"""Keys: what decides a cell's numbers, and what a cell must say of itself."""

from __future__ import annotations

import functools
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.core import version
from bench.core.cells import NOT_APPLICABLE, Cell, Marks, Role, Weights
from bench.core.lookup import dataset_of, model_classes, protocol_of
from bench.core.registry import datasets, pointmaps
from bench.core.track import Settings
from bench.machine.digests import json_digest
from bench.machine.provenance import class_identity
from bench.machine.source import source_digest
from bench.machine.weights import content, identity
from bench.run.tracks import track_of


def cell_key(cell: Cell, settings: Settings) -> str:
    """What identifies a cell's numbers.

    Args:
        cell: The cell.
        settings: Of the run.

    Returns:
        sha256 of everything that determines them: the cell, its protocol, the cards, code and weights of its models, the
        scene's data and the code that reads it, the device, the version of the numerics, and what pins the code of others
        that it runs besides.

    Raises:
        UserError: Naming what of the data cannot be read.
    """
    weights = weights_identities(cell, settings)
    revisions = track_of(cell).revisions(cell)
    models = [{**class_identity(cls), "weights": weights[name]} for name, cls in model_classes(cell)]
    return json_digest(
        {
            "cell": asdict(cell),
            "protocol": asdict(protocol_of(cell)),
            "models": models,
            "pointmap": _initialiser_identity(cell, settings) or None,
            "data": fingerprint(cell.track, cell.dataset, cell.scene, settings.data_root),
            "reader": source_digest(type(dataset_of(cell))),
            "device": settings.device,
            "numerics": version.NUMERICS_VERSION,
            **({"revisions": dict(revisions)} if revisions else {}),
        }
    )


def preparation_key(preparation: Cell, made: str, device: str) -> str:
    """What identifies the cost of a preparation: what was made, and on which device."""
    return json_digest({"cell": asdict(preparation), "made": made, "device": device})


def weights_of(cell: Cell, weights: Weights) -> Weights:
    """What a row says of its weights: "random" if any part's are, else "pretrained" if any part has some, else "none"."""
    kinds = {cls(weights).weights for _, cls in model_classes(cell)}
    return "random" if "random" in kinds else "pretrained" if "pretrained" in kinds else "none"


def weights_identities(cell: Cell, settings: Settings) -> dict[str, str]:
    """What identifies the weights of each of a cell's models, by name (bench.machine.weights.identity)."""
    return {name: identity(cls(settings.weights, settings.checkpoint(name))) for name, cls in model_classes(cell)}


def initialiser_weights(cell: Cell, settings: Settings) -> str:
    """What identifies the weights of a cell's initialiser (bench.machine.weights.content); "" where it has none."""
    return str(_initialiser_identity(cell, settings).get("weights", ""))


def marks_of(cell: Cell) -> Marks:
    """What a cell must say of itself: from the cards of its models, its initialiser and its protocol."""
    roles = {cls.card.role for _, cls in model_classes(cell)}
    joined: Role = "oracle" if "oracle" in roles else "control" if roles & {"control", "floor"} else "model"
    return Marks(
        role="floor" if roles == {"floor"} else joined,
        start=NOT_APPLICABLE if cell.pointmap == NOT_APPLICABLE else pointmaps[cell.pointmap].start,
        quick=protocol_of(cell).quick,
    )


@functools.cache
def fingerprint(track: Any, dataset: str, scene: str, root: Path | None) -> str:
    """The digest of a scene's data. Raises UserError naming what cannot be read."""
    return datasets[dataset]().fingerprint(root, scene, track)


def _initialiser_identity(cell: Cell, settings: Settings) -> dict[str, Any]:
    """What identifies a cell's initialiser, with its weights where it has some; {} where the cell has no initialiser."""
    if cell.pointmap == NOT_APPLICABLE:
        return {}
    cls = pointmaps[cell.pointmap]
    weights = {"weights": content(cls, settings.checkpoint(cell.pointmap))} if cls.card.weights else {}
    return {**class_identity(cls), **weights}
