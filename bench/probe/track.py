"""The probe track: a scene, the features of a model, Gaussians read out of them, and how well they show held-out views."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import torch

from bench.core.cells import EXTRACTION, NO_MODEL, NOT_APPLICABLE, PERF, Cell, Measurement
from bench.core.interfaces import FeatureInput, FeatureProvider
from bench.core.lookup import dataset_of, feature_classes
from bench.core.protocols import PROBE_PROTOCOLS
from bench.core.registry import pointmaps
from bench.core.residents import Residents
from bench.core.scenes import Camera, Initialisation, MultiViewScene, View
from bench.core.track import Outcome, Prepared, Settings
from bench.machine.provenance import Cost
from bench.machine.weights import identity
from bench.metrics.image import LPIPS_BACKBONE
from bench.probe.border import checked_initialisation
from bench.probe.features.composite import (
    build_provider,
    load_provider,
    parse_features,
    patch_features,
    revisions_of,
    scene_features,
)
from bench.probe.modes import mode_named
from bench.probe.probe import run_probe
from bench.probe.settings import ProbeSettings
from bench.probe.views import ProbeScene, feature_input, photos_to_start_from, probe_scene

if TYPE_CHECKING:
    from bench.probe.features.map import FeatureMap
    from bench.splat import Gaussians

NETWORK, SCENE, POINT_MAP = "network", "scene", "point map"  #: kinds of residents


@dataclass(frozen=True, eq=False)
class ProbeOutcome(Outcome):
    """An outcome with what can be looked at.

    Attributes:
        gaussians: In the initialiser's world.
        scene: The views on the probe's grid, their cameras the initialiser's, before refinement.
    """

    gaussians: Gaussians | None = None
    scene: MultiViewScene | None = None


class ProbeTrack:
    """The probe track (bench.core.track.CellTrack). Patch features are made before the cells that read them, model by model,
    and kept on disk, so that no probe holds a network."""

    weights: Mapping[str, str] = {"LPIPS (VGG-16, 0.55 GB)": LPIPS_BACKBONE}

    def group(self, cell: Cell) -> tuple[str, ...]:
        return (cell.track, cell.dataset, cell.scene, cell.model, cell.protocol)

    def preparations(self, cell: Cell) -> Iterator[Cell]:
        for part in () if cell.model == NO_MODEL else parse_features(cell.model):
            own = replace(cell, track=PERF, model=part, mode=EXTRACTION, pointmap=NOT_APPLICABLE, seed=0)
            if not any(cls.per_pixel for _, cls in feature_classes(part)):
                yield own

    def prepare(self, preparation: Cell, settings: Settings, residents: Residents) -> Prepared:
        photos = _photos(_scenes(preparation, settings, residents).prepared, settings)
        provider = _OnDemand(preparation.model, settings, residents)
        found = patch_features(preparation.model, provider, photos, load=_loading_cost, cache=settings.cache / "features")
        cost = found.cost
        return Prepared(
            found.key,
            (
                Measurement("loading_seconds", cost.loading_seconds, unit="s", higher_is_better=False),
                Measurement("extraction_seconds", cost.extraction_seconds, unit="s", higher_is_better=False),
                Measurement("extraction_memory", cost.peak_memory_mb, unit="MB", higher_is_better=False),
            ),
            cost.loading_seconds + cost.extraction_seconds,
            cost.peak_memory_mb,
            cost.device,
            cost.provenance,
        )

    def revisions(self, cell: Cell) -> dict[str, str]:
        return {} if cell.model == NO_MODEL else revisions_of(cell.model)

    def run(self, cell: Cell, settings: Settings, residents: Residents) -> ProbeOutcome:
        scenes = _scenes(cell, settings, residents)
        initialisation = _initialisation(cell, scenes, settings, residents)
        found = None if cell.model == NO_MODEL else _feature_map(cell, scenes, settings, residents)
        protocol = PROBE_PROTOCOLS[cell.protocol]
        how = ProbeSettings(mode_named(cell.mode), protocol, cell.seed, settings.torch_device, _holds_scales(cell))
        outcome = run_probe(scenes, initialisation, found, how)
        source = scenes.prepared.source
        said = source.note if source else ""  # photos that the scene did without
        measurements = tuple(replace(measured, note=measured.note or said) for measured in outcome.measurements)
        return ProbeOutcome(measurements, outcome.pictures, outcome.gaussians, _in_its_world(scenes.grid, initialisation))


def _scenes(cell: Cell, settings: Settings, residents: Residents) -> ProbeScene:
    def build() -> ProbeScene:
        return probe_scene(_loaded(cell, settings), PROBE_PROTOCOLS[cell.protocol])

    return residents.get(SCENE, (cell.dataset, cell.scene, cell.protocol, settings.data_root), build)


def _loaded(cell: Cell, settings: Settings) -> MultiViewScene:
    return dataset_of(cell).load_scene(settings.data_root, cell.scene)


def _initialisation(cell: Cell, scenes: ProbeScene, settings: Settings, residents: Residents) -> Initialisation:
    def build() -> Initialisation:
        initialiser = pointmaps[cell.pointmap](checkpoint=settings.checkpoint(cell.pointmap))
        initialiser.load(settings.torch_device)
        protocol, least = PROBE_PROTOCOLS[cell.protocol], initialiser.photo_side
        seen = photos_to_start_from(scenes, protocol, least, lambda: _loaded(cell, settings))
        return checked_initialisation(cell.pointmap, initialiser.initialise(seen, cell.seed), seen)

    return residents.get(POINT_MAP, (replace(cell, model=NO_MODEL, mode=NOT_APPLICABLE), settings), build)


def _in_its_world(grid: MultiViewScene, initialisation: Initialisation) -> MultiViewScene:
    """The photos with the initialiser's cameras, without the truth."""

    def posed(views: Sequence[View], cameras: Sequence[Camera]) -> tuple[View, ...]:
        sized = (
            camera.resized(view.image.shape[1], view.image.shape[0]) for view, camera in zip(views, cameras, strict=True)
        )
        return tuple(View(view.name, view.image, camera) for view, camera in zip(views, sized, strict=True))

    return replace(
        grid,
        train=posed(grid.train, initialisation.cameras),
        test=posed(grid.test, initialisation.test_cameras),
    )


def _feature_map(cell: Cell, scenes: ProbeScene, settings: Settings, residents: Residents) -> FeatureMap:
    """The cell's features: each part from the cache or from its model, then PCA and concatenation (Feat2GS, section 3.1)."""
    return scene_features(
        {part: _OnDemand(part, settings, residents) for part in parse_features(cell.model)},
        _photos(scenes.prepared, settings),
        _photos(scenes.grid, settings),
        channels=PROBE_PROTOCOLS[cell.protocol].pca_channels,
        load=_loading_cost,
        cache=settings.cache / "features",
    )


def _holds_scales(cell: Cell) -> bool:
    """True where the cell's one provider keeps the log-scales near the initial ones."""
    classes = [] if cell.model == NO_MODEL else feature_classes(cell.model)
    return len(classes) == 1 and classes[0][1].holds_scales


def _photos(scene: MultiViewScene, settings: Settings) -> FeatureInput:
    seen = feature_input(scene.train)
    device = settings.torch_device
    return FeatureInput(seen.images.to(device), None if seen.points is None else seen.points.to(device))


class _OnDemand(FeatureProvider):
    """A provider whose network is built when its features are not in the cache, and shared with the next scenes."""

    def __init__(self, part: str, settings: Settings, residents: Residents) -> None:
        self._part, self._settings, self._residents = part, settings, residents
        ((name, cls),) = feature_classes(part)
        self._checkpoint = settings.checkpoint(name)
        unloaded = self._build()
        self.card = unloaded.card  # type: ignore[misc]
        self.per_pixel = unloaded.per_pixel  # type: ignore[misc]
        self._weights_digest = identity(cls(settings.weights, self._checkpoint))

    @property
    def weights_digest(self) -> str:
        return self._weights_digest

    def loading_cost(self) -> Cost:
        """What loading the network took; it is loaded where it is not in memory yet."""
        return self._loaded()[1]

    def extract(self, images: torch.Tensor) -> torch.Tensor:
        return self.extract_scene(FeatureInput(images))

    def extract_scene(self, scene: FeatureInput) -> torch.Tensor:
        with torch.no_grad():
            return self._loaded()[0].extract_scene(scene).float()

    def _loaded(self) -> tuple[FeatureProvider, Cost]:
        def build() -> tuple[FeatureProvider, Cost]:
            provider = self._build()
            return provider, load_provider(provider, self._settings.torch_device)

        return self._residents.get(NETWORK, (self._part, self._settings), build)

    def _build(self) -> FeatureProvider:
        return build_provider(self._part, self._settings.weights, self._checkpoint)


def _loading_cost(provider: FeatureProvider) -> Cost:
    return cast(_OnDemand, provider).loading_cost()
