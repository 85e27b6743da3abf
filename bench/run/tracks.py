"""What a cell does: load the scene, ask the model, measure. One function a track, and what decides their numbers.

Scenes, features and models are kept between neighbouring cells of one process, so that a model is loaded once and its
features serve every mode and seed.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import torch

from bench.core import version
from bench.core.cells import NO_MODEL, NOT_APPLICABLE, Cell, Marks, Measurement, Weights
from bench.core.interfaces import FeatureInput, FeatureProvider, GeometryEstimator, PointmapInitialiser
from bench.core.protocols import GEOMETRY_PROTOCOLS, PROBE_PROTOCOLS
from bench.core.registry import datasets, estimators, features, pointmaps
from bench.core.scenes import Array, Camera, Initialisation, MultiViewScene
from bench.machine.provenance import Cost, class_identity
from bench.machine.weights import content, identity
from bench.probe.features.cache import Extracted
from bench.probe.features.composite import build_provider, load_provider, parse_features, patch_features, scene_features
from bench.probe.views import feature_input
from bench.results.store import digest
from bench.run.plan import dataset_of, model_classes

if TYPE_CHECKING:
    from bench.probe.features.map import FeatureMap
    from bench.probe.views import ProbeScene
    from bench.splat import Gaussians

Built = TypeVar("Built")


@dataclass(frozen=True)
class Settings:
    """What every cell of a run shares, besides its name: where data and caches lie, the device, which weights.

    checkpoints: (model name, local file of weights) pairs that stand in for the publisher's.
    """

    data_root: Path | None
    cache: Path
    device: str
    weights: Weights
    checkpoints: tuple[tuple[str, Path], ...] = ()

    def checkpoint(self, model: str) -> Path | None:
        return dict(self.checkpoints).get(model)

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.device)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a cell gives: its measurements, its pictures, (H, W, 3) uint8 by name, and, of a probe, the Gaussians and the
    training cameras before refinement, both in the initialiser's world."""

    measurements: tuple[Measurement, ...]
    pictures: Mapping[str, Array]
    gaussians: Gaussians | None = None
    cameras: tuple[Camera, ...] = ()


def run(cell: Cell, settings: Settings) -> Outcome:
    """Run one cell. Raises whatever goes wrong; the runner records it."""
    return _run_probe(cell, settings) if cell.track == "probe" else _run_geometry(cell, settings)


# ------------------------------------------------------------------------------------------------------------------- keys


def cell_key(cell: Cell, settings: Settings) -> str:
    """sha256 of everything that determines a cell's numbers."""
    protocol = PROBE_PROTOCOLS.get(cell.protocol) or GEOMETRY_PROTOCOLS[cell.protocol]
    weights = weights_identities(cell, settings)
    models = [{**class_identity(cls), "weights": weights[name]} for name, cls in model_classes(cell)]
    return digest(
        {
            "cell": asdict(cell),
            "protocol": asdict(protocol),
            "models": models,
            "pointmap": _initialiser_identity(pointmaps[cell.pointmap]) if cell.pointmap != NOT_APPLICABLE else None,
            "data": fingerprint(cell.track, cell.dataset, cell.scene, settings.data_root),
            "device": settings.device,
            "numerics": version.NUMERICS_VERSION,
        }
    )


def weights_of(cell: Cell, weights: Weights) -> Weights:
    """What a row says of its weights: "random" if any part's are, else "pretrained" if any part has some, else "none"."""
    return weights if any(cls.card.weights for _, cls in model_classes(cell)) else "none"


def marks_of(cell: Cell) -> Marks:
    """What a cell must say of itself: from the cards of its models, its initialiser and its protocol."""
    roles = {cls.card.role for _, cls in model_classes(cell)}
    protocol = PROBE_PROTOCOLS.get(cell.protocol) or GEOMETRY_PROTOCOLS.get(cell.protocol)
    return Marks(
        role="oracle" if "oracle" in roles else "control" if "control" in roles else "model",
        start=NOT_APPLICABLE if cell.pointmap == NOT_APPLICABLE else pointmaps[cell.pointmap].start,
        quick=protocol is not None and protocol.quick,
    )


def weights_identities(cell: Cell, settings: Settings) -> dict[str, str]:
    """What identifies the weights of each of a cell's models, by name (bench.machine.weights.identity)."""
    return {name: identity(cls(settings.weights, settings.checkpoint(name))) for name, cls in model_classes(cell)}


def _initialiser_identity(cls: type[PointmapInitialiser]) -> dict[str, Any]:
    return {**class_identity(cls), **({"weights": content(cls)} if cls.card.weights else {})}


@functools.cache
def fingerprint(track: Any, dataset: str, scene: str, root: Path | None) -> str:
    """The digest of a scene's data. Raises UserError naming what cannot be read."""
    return dataset_of(Cell(track, dataset, scene, NO_MODEL, NOT_APPLICABLE, NOT_APPLICABLE, NOT_APPLICABLE, 0)).fingerprint(
        root, scene, track
    )


# ------------------------------------------------------------------------------------------------------------ the probe


def _run_probe(cell: Cell, settings: Settings) -> Outcome:
    from bench.probe.modes import mode_named
    from bench.probe.probe import run_probe
    from bench.probe.settings import ProbeSettings

    protocol = PROBE_PROTOCOLS[cell.protocol]
    scenes = _scenes(cell.dataset, cell.scene, cell.protocol, settings.data_root)
    initialisation = _initialisation(
        cell.dataset, cell.scene, cell.protocol, cell.pointmap, cell.seed, settings.data_root, settings.device
    )
    features = None if cell.model == NO_MODEL else _feature_map(cell, settings)
    how = ProbeSettings(mode_named(cell.mode), protocol, cell.seed, settings.torch_device, _holds_scales(cell))
    outcome = run_probe(scenes, initialisation, features, how)
    return Outcome(outcome.measurements, outcome.pictures, outcome.gaussians, initialisation.cameras)


@functools.lru_cache(maxsize=2)
def _scenes(dataset: str, name: str, protocol: str, root: Path | None) -> ProbeScene:
    from bench.probe.views import probe_scene

    scene = datasets[dataset]().load_scene(root, name)
    return probe_scene(scene, PROBE_PROTOCOLS[protocol])


@functools.lru_cache(maxsize=2)
def _initialisation(
    dataset: str, name: str, protocol: str, pointmap: str, seed: int, root: Path | None, device: str
) -> Initialisation:
    initialiser = pointmaps[pointmap]()
    initialiser.load(torch.device(device))
    return initialiser.initialise(_scenes(dataset, name, protocol, root).prepared, seed)


def _feature_map(cell: Cell, settings: Settings) -> FeatureMap:
    """The cell's features: each part from the cache or from its model, then PCA and concatenation (Feat2GS, section 3.1)."""
    scenes = _scenes(cell.dataset, cell.scene, cell.protocol, settings.data_root)
    return scene_features(
        {part: _OnDemand(part, settings) for part in parse_features(cell.model)},
        _photos(scenes.prepared, settings),
        _photos(scenes.grid, settings),
        channels=PROBE_PROTOCOLS[cell.protocol].pca_channels,
        load=_loading_cost,
        cache=settings.cache / "features",
    )


def _holds_scales(cell: Cell) -> bool:
    """True where the cell's one provider keeps the log-scales near the initial ones."""
    classes = [features[name] for name, _ in model_classes(cell)]
    return len(classes) == 1 and classes[0].holds_scales


def reads_patch_features(cell: Cell) -> bool:
    """True where the cell's model (or a part of it) is a network over patches, whose features are worth a cache."""
    return cell.model != NO_MODEL and not all(features[name].per_pixel for name, _ in model_classes(cell))


def extract_features(cell: Cell, settings: Settings) -> Iterator[tuple[str, Extracted]]:
    """Put the patch features of a cell's model into the cache, so that the probes need no model in memory.

    Yields each part of the model's name that is a network over patches, as soon as it is there.
    """
    photos = _photos(_scenes(cell.dataset, cell.scene, cell.protocol, settings.data_root).prepared, settings)
    for part in parse_features(cell.model):
        provider = _OnDemand(part, settings)
        if not provider.per_pixel:
            yield part, patch_features(part, provider, photos, load=_loading_cost, cache=settings.cache / "features")


def forget_models() -> None:
    """Free the model that is kept between neighbouring cells."""
    _loaded_provider.clear()
    _loaded_estimator.clear()


def forget_other_models(cell: Cell, settings: Settings) -> None:
    """Free the networks that this cell does not use: they would count towards its memory."""
    parts = () if cell.track == "geometry" or cell.model == NO_MODEL else parse_features(cell.model)
    _loaded_provider.keep([(part, settings) for part in parts])
    _loaded_estimator.keep([(cell.model, settings)] if cell.track == "geometry" else [])


class _Latest(Generic[Built]):
    """What `build` gave last, by its arguments. It is freed before the next is built: one network is in memory at a time."""

    def __init__(self, build: Callable[..., Built]) -> None:
        self._build = build
        self._held: tuple[tuple[Any, ...], Built] | None = None

    def __call__(self, *key: Any) -> Built:
        if self._held is None or self._held[0] != key:
            self.clear()
            self._held = key, self._build(*key)
        return self._held[1]

    @property
    def holds(self) -> bool:
        return self._held is not None

    def keep(self, keys: Collection[tuple[Any, ...]]) -> None:
        """Free what is held unless it was built from one of these arguments."""
        if self._held is not None and self._held[0] not in keys:
            self.clear()

    def clear(self) -> None:
        if self._held is not None:
            self._held = None
            gc.collect()  # networks hold references in circles


def _photos(scene: MultiViewScene, settings: Settings) -> FeatureInput:
    seen = feature_input(scene.train)
    device = settings.torch_device
    return FeatureInput(seen.images.to(device), None if seen.points is None else seen.points.to(device))


class _OnDemand(FeatureProvider):
    """A provider whose network is built when its features are not in the cache, and shared with the next scenes."""

    def __init__(self, part: str, settings: Settings) -> None:
        self._part, self._settings = part, settings
        unloaded = _build(part, settings)
        self.card = unloaded.card  # type: ignore[misc]
        self.per_pixel = unloaded.per_pixel  # type: ignore[misc]
        name = part.partition("@")[0]
        self._weights_digest = identity(features[name](settings.weights, settings.checkpoint(name)))

    @property
    def weights_digest(self) -> str:
        return self._weights_digest

    def loading_cost(self) -> Cost:
        """What loading the network took; it is loaded where it is not in memory yet."""
        return _loaded_provider(self._part, self._settings)[1]

    def extract(self, images: torch.Tensor) -> torch.Tensor:
        return self.extract_scene(FeatureInput(images))

    def extract_scene(self, scene: FeatureInput) -> torch.Tensor:
        with torch.no_grad():
            provider, _ = _loaded_provider(self._part, self._settings)
            return provider.extract_scene(scene).float()


def _loading_cost(provider: FeatureProvider) -> Cost:
    return cast(_OnDemand, provider).loading_cost()


def _build(part: str, settings: Settings) -> FeatureProvider:
    return build_provider(part, settings.weights, settings.checkpoint(part.partition("@")[0]))


@_Latest
def _loaded_provider(part: str, settings: Settings) -> tuple[FeatureProvider, Cost]:
    provider = _build(part, settings)
    return provider, load_provider(provider, settings.torch_device)


# ----------------------------------------------------------------------------------------------------------- geometry


def _run_geometry(cell: Cell, settings: Settings) -> Outcome:
    from bench.geometry.evaluate import evaluate_estimator
    from bench.geometry.pictures import sample_pictures

    sample = dataset_of(cell).load_sample(settings.data_root, cell.scene)
    estimator = _loaded_estimator(cell.model, settings)
    protocol = GEOMETRY_PROTOCOLS[cell.protocol]
    with torch.no_grad():
        prediction, measurements = evaluate_estimator(estimator, sample, protocol)
    return Outcome(tuple(measurements), sample_pictures(sample, prediction, protocol))


@_Latest
def _loaded_estimator(name: str, settings: Settings) -> GeometryEstimator:
    estimator = estimators[name](settings.weights, settings.checkpoint(name))
    estimator.load(settings.torch_device)
    return estimator
