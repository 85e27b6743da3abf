"""What a probe's settings tell apart: the same networks trained and untrained, under several protocols and scales.

    python -m bench.perf.selectivity FOLDER [--part candidates|seeds|signs|variants|scale] …

A cell here is one probe of one scene. Its row is appended to FOLDER/cells.csv as it ends; cells that stand there are not run
again. Everything is the embedded data and networks whose weights travel in packages (extra `small`).
"""

from __future__ import annotations

import argparse
import csv
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch

from bench.core.cells import Weights
from bench.core.names import ModelName
from bench.core.protocols import PROBE_PROTOCOLS, ProbeProtocol
from bench.core.registry import datasets, features, pointmaps
from bench.core.scenes import Initialisation
from bench.probe.features.composite import build_provider, load_provider, scene_features
from bench.probe.features.map import FeatureMap
from bench.probe.modes import mode_named
from bench.probe.probe import run_probe
from bench.probe.settings import ProbeSettings
from bench.probe.views import ProbeScene, feature_input, probe_scene

COLUMNS = ("protocol", "scene", "model", "weights", "mode", "seed", *(MEASURED := (
    "psnr", "ssim", "train_psnr", "distance", "rotation_initial", "rotation_refined", "seconds"
)))  # fmt: skip
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


@dataclass(frozen=True, eq=False)
class Study:
    """Where a study finds its scenes, and where it writes.

    Attributes:
        protocols: By name.
        dataset, pointmap: Registered names.
        out: The CSV.
        cache: The folder of raw features.
        data_root: None for embedded scenes.
    """

    protocols: Mapping[str, ProbeProtocol]
    out: Path
    cache: Path
    dataset: str = "procedural"
    pointmap: str = "simulated"
    data_root: Path | None = None

    def run(self, cells: Sequence[Probed]) -> Iterator[Probed]:
        """Run the cells that the CSV lacks, in an order that shares scenes and features; yields each as it ends."""
        done = self._done()
        for cell in sorted(cells, key=lambda each: (each.protocol, each.scene, each.model, each.weights)):
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
        known = self._features(cell.scene, cell.protocol, cell.model, cell.weights)
        began = time.process_time()
        settings = ProbeSettings(mode_named(cell.mode), protocol, cell.seed, holds_scales=_holds_scales(cell.model))
        found = run_probe(scene, start, known, settings).measurements
        seconds = time.process_time() - began
        values = {
            column: float(np.mean([row.value for row in found if (row.metric, row.alignment) == wanted]))
            for column, wanted in _ROWS.items()
        }
        return {**values, "seconds": seconds}

    @lru_cache(maxsize=1)  # noqa: B019 (a study lives as long as its process)
    def _scene(self, name: str, protocol: str) -> ProbeScene:
        return probe_scene(datasets[self.dataset]().load_scene(self.data_root, name), self.protocols[protocol])

    @lru_cache(maxsize=4)  # noqa: B019
    def _start(self, name: str, protocol: str, seed: int) -> Initialisation:
        initialiser = pointmaps[self.pointmap]()
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
    models: Sequence[tuple[str, Literal["pretrained", "random"]]],
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


def differences(cells: pd.DataFrame, value: str = "psnr") -> pd.DataFrame:
    """What training adds, by protocol, mode and network.

    Args:
        cells: Rows of `cells.csv`.
        value: The column that is compared.

    Returns:
        trained, untrained: means over the scenes and seeds that both have; difference; seed_deviation: standard deviation
        over the seeds of one scene and one network, pooled (NaN where there is one seed); selectivity: difference over
        seed_deviation; cells: how many pairs.
    """
    wide = cells.pivot_table(value, ["protocol", "mode", "model", "scene", "seed"], "weights")
    pairs = wide.reindex(columns=["pretrained", "random"]).dropna()
    by = ["protocol", "mode", "model"]
    variance = pairs.groupby([*by, "scene"]).var(ddof=1).mean(axis=1).groupby(by).mean()
    means = pairs.groupby(by).mean()
    difference = means["pretrained"] - means["random"]
    deviation = variance**0.5
    return pd.DataFrame(
        {
            "trained": means["pretrained"],
            "untrained": means["random"],
            "difference": difference,
            "seed_deviation": deviation,
            "selectivity": difference / deviation,
            "cells": pairs.groupby(by).size(),
        }
    ).reset_index()


# ------------------------------------------------------------------------------------------------------------- the study

NETWORKS = ("aliked", "disk", "efficientnet-lite0", "xfeat")
PAIRS: list[tuple[str, Literal["pretrained", "random"]]] = [
    *((name, "pretrained") for name in NETWORKS),
    *((name, "random") for name in NETWORKS),
]
SCENES = ("courtyard", "room")
SCALED = ("aliked", "xfeat")  #: whose curves against the scale are drawn
SCALES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_CALIBRATED = replace(PROBE_PROTOCOLS["quick-v1"], feature_deviation=1.0, framing="squeeze", masked_visibility=False)
_QUICK = PROBE_PROTOCOLS["quick-v2"]


def _candidate(name: str, long_side: int, channels: int, warm_start: int, rate: float) -> ProbeProtocol:
    """quick-v1's rendering stage after a warm start of that many iterations, on features of one deviation."""
    return replace(
        _CALIBRATED,
        name=name,
        feature_long_side=long_side,
        pca_channels=channels,
        warm_start=warm_start,
        iterations=warm_start + 90,
        warm_start_rate=(rate, rate / 100),
    )


CANDIDATES = (
    _candidate("s128-p32", 128, 32, 300, 3.5e-2),
    _candidate("s128-p64", 128, 64, 300, 3.5e-2),
    _candidate("s256-p64", 256, 64, 300, 3.5e-2),
    _candidate("s512-p128", 512, 128, 110, 2e-2),
)
STUDIED: dict[str, ProbeProtocol] = {
    **{each.name: each for each in CANDIDATES},
    **{name: PROBE_PROTOCOLS[name] for name in ("quick-v1", "quick-v2")},
    **{f"quick-v2*{scale:g}": replace(_QUICK, feature_deviation=scale) for scale in SCALES},
}
_BOUNDS: list[tuple[str, Literal["pretrained", "random"]]] = [("iuvrgb", "pretrained"), ("oracle-xyz", "pretrained")]
PARTS = {
    "candidates": grid([each.name for each in CANDIDATES], SCENES, PAIRS, ["G"], [0]),
    "seeds": grid(["quick-v2"], SCENES, PAIRS, ["G"], [0, 1, 2]),
    "signs": grid(["quick-v2"], SCENES, [*_BOUNDS, ("aliked", "pretrained"), ("aliked", "random")], ["A", "G", "T"], [0]),
    "variants": grid(["quick-v2"], ["room"], [("aliked", "pretrained")], ["Gft", "Tft"], [0])
    + grid(["quick-v2"], ["room"], [("aliked+iuvrgb", "pretrained")], ["G", "T"], [0]),
    "scale": grid([f"quick-v2*{scale:g}" for scale in SCALES], ["room"], [p for p in PAIRS if p[0] in SCALED], ["G"], [0]),
}


def main(folder: Path, parts: Sequence[str]) -> None:
    """Run the parts; writes cells.csv and, from all its rows, summary.csv."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    study = Study(STUDIED, folder / "cells.csv", folder / "features")
    for part in parts:
        for number, cell in enumerate(study.run(PARTS[part]), start=1):
            print(f"{part} {number}/{len(PARTS[part])}: {cell}", flush=True)
    summary = differences(pd.read_csv(study.out))
    summary.to_csv(folder / "summary.csv", index=False, float_format="%.4g", lineterminator="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=PARTS, action="append")
    given = parser.parse_args()
    main(given.folder, given.part or list(PARTS))
