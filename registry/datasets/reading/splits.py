"""Which views train and which test, where a data set does not say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.machine.text import read_json
from bench.types import Array, UserError


@dataclass(frozen=True)
class Split:
    """Names of the training and of the held-out views of a scene."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def spread_split(
    names: Sequence[str], positions: Array, train: int, test: int, held_out: Sequence[str] | None = None
) -> Split:
    """Training views spread over the scene, test views as far from them as there are.

    Farthest-first traversal: it starts at the view farthest from the mean position; each next one is the view farthest from
    all that were chosen. The first `train` views train, the next `test` views test. Ties go to the earlier view, so the
    outcome is deterministic; each half is given in the order of `names`.

    positions: (N, D) camera centres, or the rank in the sequence (N, 1) where the cameras are unknown. held_out: where the
    data set names the views that may test, those; they never train. A scene of fewer views gives fewer of both, but at least
    one of each.
    """
    positions = np.asarray(positions, np.float64)
    may_test = np.array([held_out is None or name in held_out for name in names])
    may_train = np.ones(len(names), bool) if held_out is None else ~may_test
    share = max(1, min(train, len(names) - 1))
    chosen: list[int] = []
    distance = np.linalg.norm(positions - positions.mean(axis=0), axis=1)
    for allowed, count in ((may_train, share), (may_test, test)):
        start = len(chosen)
        while len(chosen) - start < count:
            left = allowed & ~np.isin(np.arange(len(names)), chosen)
            if not left.any():
                break
            found = int(np.argmax(np.where(left, distance, -1.0)))
            away = np.linalg.norm(positions - positions[found], axis=1)
            distance = away if not chosen else np.minimum(distance, away)
            chosen.append(found)
        if allowed is may_train:
            share = len(chosen)
    return Split(tuple(names[i] for i in sorted(chosen[:share])), tuple(names[i] for i in sorted(chosen[share:])))


def read_split_file(path: Path) -> dict[str, dict[str, Split]]:
    """A `dataset_split.json` of the Feat2GS release: {dataset in lower case: {scene: Split}}.

    Raises UserError for a file that is not {dataset: {scene: {"train": [stem, ...], "test": [stem, ...]}}}.
    """
    shape = '{dataset: {scene: {"train": [stem, …], "test": [stem, …]}}}'
    content = read_json(path, f"split file of the form {shape}")
    try:
        return {
            dataset.lower(): {
                scene: Split(*(tuple(str(stem) for stem in _names(views, half)) for half in ("train", "test")))
                for scene, views in scenes.items()
            }
            for dataset, scenes in content.items()
        }
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise UserError(f"{path}: not a split file of the form {shape} ({type(error).__name__}: {error})") from error


def _names(views: dict[str, list[str]], half: str) -> list[str]:
    if not isinstance(views[half], list):
        raise TypeError(f"{half} is no list")
    return views[half]
