"""The cells of a study: one probe of one scene each, run once, one line of a CSV each."""

from __future__ import annotations

import csv
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from bench.core.cells import Weights
from bench.core.names import ModelName
from bench.core.protocols import ProbeProtocol
from bench.core.registry import datasets, features, pointmaps
from bench.core.scenes import Initialisation
from bench.probe.features.composite import build_provider, load_provider, scene_features
from bench.probe.features.map import FeatureMap
from bench.probe.modes import mode_named
from bench.probe.probe import run_probe
from bench.probe.settings import ProbeSettings
from bench.probe.views import ProbeScene, feature_input, probe_scene

MEASURED = (
    "psnr",
    "ssim",
    "train_psnr",
    "distance",
    "rotation_initial",
    "rotation_refined",
    "seconds",
    "deviation",
)
COLUMNS = ("protocol", "scene", "model", "weights", "mode", "seed", *MEASURED)
#: What a protocol's name ends with where features reach the readout in the unit that they have under the paper's protocol.
AS_PUBLISHED = "*published"
PAPER = "paper-v1"
#: column -> (metric, alignment)
_ROWS = {
    "psnr": ("psnr", "-"),
    "ssim": ("ssim", "-"),
    "train_psnr": ("train_psnr", "-"),
    "distance": ("distance", "similarity"),
    "rotation_initial": ("pose_rotation_error", "initial"),
    "rotation_refined": ("pose_rotation_error", "refined"),
}


@dataclass(frozen=True, order=True)
class Probed:
    """One cell of the study. weights: "random" for a network that was never trained."""

    protocol: str
    scene: str
    model: str
    weights: Weights
    mode: str
    seed: int


@dataclass(frozen=True)
class Source:
    """Where a scene comes from. root: None for embedded scenes."""

    dataset: str = "procedural"
    pointmap: str = "simulated"
    root: Path | None = None


@dataclass(frozen=True, eq=False)
class Study:
    """Where a study finds its scenes, and where it writes.

    Attributes:
        protocols: By name.
        sources: By scene.
        out: The CSV.
        cache: The folder of raw features.
    """

    protocols: Mapping[str, ProbeProtocol]
    sources: Mapping[str, Source]
    out: Path
    cache: Path

    def run(self, cells: Sequence[Probed]) -> Iterator[Probed]:
        """Run the cells that the CSV lacks, seed by seed, in an order that shares scenes; yields each as it ends."""
        done = self._done()
        for cell in sorted(cells, key=lambda each: (each.seed, each.scene, each.protocol, each.model, each.weights)):
            if cell not in done:
                self._append(cell, self._measure(cell))
            yield cell

    def _done(self) -> set[Probed]:
        if not self.out.is_file():
            return set()
        with self.out.open(newline="") as file:
            return {_cell_of(row) for row in csv.DictReader(file)}

    def _append(self, cell: Probed, values: Mapping[str, float]) -> None:
        new = not self.out.is_file()
        with self.out.open("a", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if new:
                writer.writerow(COLUMNS)
            own = (cell.protocol, cell.scene, cell.model, cell.weights, cell.mode, cell.seed)
            writer.writerow([*own, *(f"{values[name]:.5g}" for name in MEASURED)])

    def _measure(self, cell: Probed) -> dict[str, float]:
        protocol = self.protocols[cell.protocol]
        scene, start = self._scene(cell.scene, cell.protocol), self._start(cell.scene, cell.protocol, cell.seed)
        known = self._known(cell)
        began = time.process_time()
        settings = ProbeSettings(mode_named(cell.mode), protocol, cell.seed, holds_scales=_holds_scales(cell.model))
        found = run_probe(scene, start, known, settings).measurements
        seconds = time.process_time() - began
        values = {
            column: float(np.mean([row.value for row in found if (row.metric, row.alignment) == wanted] or [np.nan]))
            for column, wanted in _ROWS.items()
        }
        return {**values, "seconds": seconds, "deviation": protocol.feature_deviation or known.deviation}

    def _known(self, cell: Probed) -> FeatureMap:
        found = self._features(cell.scene, cell.protocol, cell.model, cell.weights)
        if not cell.protocol.endswith(AS_PUBLISHED):
            return found
        return found.with_deviation(self._features(cell.scene, PAPER, cell.model, cell.weights).deviation)

    @lru_cache(maxsize=2)  # noqa: B019 (a study lives as long as its process)
    def _scene(self, name: str, protocol: str) -> ProbeScene:
        source = self.sources[name]
        return probe_scene(datasets[source.dataset]().load_scene(source.root, name), self.protocols[protocol])

    @lru_cache(maxsize=4)  # noqa: B019
    def _start(self, name: str, protocol: str, seed: int) -> Initialisation:
        initialiser = pointmaps[self.sources[name].pointmap]()
        initialiser.load(torch.device("cpu"))
        return initialiser.initialise(self._scene(name, protocol).prepared, seed)

    @lru_cache(maxsize=1)  # noqa: B019
    def _features(self, name: str, protocol: str, model: str, weights: Weights) -> FeatureMap:
        scene = self._scene(name, protocol)
        with torch.no_grad():
            return scene_features(
                {part: build_provider(part, weights) for part in map(str, ModelName.parse(model).parts)},
                feature_input(scene.prepared.train),
                feature_input(scene.grid.train),
                channels=self.protocols[protocol].pca_channels,
                load=lambda provider: load_provider(provider, torch.device("cpu")),
                cache=self.cache,
            )


def grid(
    protocols: Sequence[str],
    scenes: Sequence[str],
    models: Sequence[tuple[str, Weights]],
    modes: Sequence[str],
    seeds: Sequence[int],
) -> list[Probed]:
    """Every combination."""
    product = itertools.product(protocols, scenes, models, modes, seeds)
    return [Probed(protocol, scene, *model, mode, seed) for protocol, scene, model, mode, seed in product]


def _cell_of(row: Mapping[str, str]) -> Probed:
    weights: Weights = "random" if row["weights"] == "random" else "pretrained"
    return Probed(row["protocol"], row["scene"], row["model"], weights, row["mode"], int(row["seed"]))


def _holds_scales(model: str) -> bool:
    return not ModelName.parse(model).is_joined and features[model].holds_scales
