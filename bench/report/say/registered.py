"""What the registered classes say of models, initialisers and data sets, without their libraries in this process.

Importing the plug-ins brings PyTorch, half a gigabyte that a report does not need. Where they are not loaded yet, a process
of its own reads their cards and ends before the report takes memory. What was not asked for then is looked up here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from bench.core.errors import UserError
from bench.core.interfaces import Card, DatasetCard
from bench.core.names import ModelName, Part
from bench.core.registry import datasets, estimators, features, is_loaded, pointmaps


@dataclass(frozen=True)
class Place:
    """Where a network stands in its family.

    Attributes:
        family: The family's title.
        network: The network's, whichever of its layers is read.
        size: Its name in the family's table; "" where there is none.
        plain: Whether the size's name alone means it.
        layer: Which is read, counted from 1; 0 where there are none to choose from.
        depth: How many there are.
        default_layer: Which one the size's name alone means.
    """

    family: str
    network: str
    size: str
    plain: bool
    layer: int
    depth: int
    default_layer: int


@dataclass(frozen=True)
class Registered:
    """What a model's class says: its card, whether its features are per pixel by nature, and where it stands in a family."""

    card: Card
    per_pixel: bool = False
    place: Place | None = None


LAYER = "layer"  #: the setting of a name that says which layer is read

_models: dict[str, Registered | None] = {}
_initialisers: dict[str, Card | None] = {}
_datasets: dict[str, DatasetCard | None] = {}


def read_cards(models: Iterable[str], data: Iterable[str], initialisers: Iterable[str]) -> None:
    """Look up models, data sets and initialisers in a process of its own, unless the plug-ins are loaded in this one.

    Args:
        models: Names of networks, registered or not.
        data: Names of data sets, likewise.
        initialisers: Names of point-map initialisers, likewise.
    """
    asked = {
        "models": sorted({str(name) for name in models} - {*_models}),
        "datasets": sorted({str(name) for name in data} - {*_datasets}),
        "initialisers": sorted({str(name) for name in initialisers} - {*_initialisers}),
    }
    if is_loaded() or not any(asked.values()):
        return
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "bench.report.say.registered"]
    ended = subprocess.run(
        command, input=json.dumps(asked), capture_output=True, text=True, encoding="utf-8", env=environment, check=False
    )
    if ended.returncode:
        return
    told = json.loads(ended.stdout.splitlines()[-1])  # a plug-in may have printed before
    _models.update({name: said and _registered(**said) for name, said in told["models"].items()})
    _initialisers.update({name: said and _card(said) for name, said in told["initialisers"].items()})
    _datasets.update({name: said and DatasetCard(**said) for name, said in told["datasets"].items()})


def registered_model(name: str) -> Registered | None:
    """What the class says that is registered under a name; None where there is none."""
    if name in _models and not is_loaded():
        return _models[name]
    for registry in (features, estimators):
        try:
            found = registry[name]
        except UserError:
            continue
        return Registered(found.card, getattr(found, "per_pixel", False), _place(name) if registry is features else None)
    return None


def _place(name: str) -> Place | None:
    """Where a feature provider stands in its family; None where it is of none, or set otherwise than in its layer."""
    part = features.current(ModelName.parse(name).parts[0])
    family: Any = features[part.base]
    sized: Any = features[str(Part(part.base, part.size))]
    layers = sized.offers().get(LAYER)
    others = [key for key, _ in part.parameters if key != LAYER]
    if others or not (family.sizes or layers):
        return None
    default = layers.default if layers else 0
    return Place(
        family=family.card.name,
        network=sized.card.name,
        size=part.size or family.default_size,
        plain=not part.parameters,
        layer=int(dict(part.parameters).get(LAYER, default)),
        depth=max(layers.values) if layers else 0,
        default_layer=default,
    )


def registered_initialiser(name: str) -> Card | None:
    """The card of the initialiser that is registered under a name; None where there is none."""
    if name in _initialisers and not is_loaded():
        return _initialisers[name]
    return pointmaps[name].card if name in pointmaps else None


def registered_dataset(name: str) -> DatasetCard | None:
    """The card of the data set that is registered under a name; None where there is none."""
    if name in _datasets and not is_loaded():
        return _datasets[name]
    return datasets[name].card if name in datasets else None


def _card(said: dict[str, Any]) -> Card:
    return Card(**{**said, "data": tuple(said["data"])})


def _registered(card: dict[str, Any], per_pixel: bool, place: dict[str, Any] | None) -> Registered:
    return Registered(_card(card), per_pixel, Place(**place) if place else None)


def _told(card: Card | DatasetCard, kind: type) -> dict[str, Any]:
    return {field.name: getattr(card, field.name) for field in fields(kind)}


def _answer() -> None:
    """Read names from the standard input, print what is registered under them."""
    asked = json.load(sys.stdin)
    found = {name: registered_model(name) for name in asked["models"]}
    starts = {name: registered_initialiser(name) for name in asked["initialisers"]}
    cards = {name: registered_dataset(name) for name in asked["datasets"]}
    models = {
        name: said
        and {"card": _told(said.card, Card), "per_pixel": said.per_pixel, "place": said.place and asdict(said.place)}
        for name, said in found.items()
    }
    told = {
        "models": models,
        "initialisers": {name: card and _told(card, Card) for name, card in starts.items()},
        "datasets": {name: card and _told(card, DatasetCard) for name, card in cards.items()},
    }
    print(json.dumps(told))


if __name__ == "__main__":
    _answer()
