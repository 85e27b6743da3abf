"""Which scenes numbers are over: those of the papers, or others."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from bench.core.text import listed
from bench.report.say.cards import dataset_title, datasets_in_order
from bench.results.reference.published import published_scenes


def other_scenes(rows: pd.DataFrame, datasets: Collection[str]) -> str:
    """Of which data sets our means are over other scenes than the published ones, in words; "" where of none.

    Of the probe's data sets the published scenes are known by name. Of the geometry track's they are not: it is said which
    samples ours are over.

    Args:
        rows: Measured rows of one track.
        datasets: Those that have published values.
    """
    said = []
    for dataset in datasets_in_order(datasets):
        own = rows[rows["dataset"] == dataset]
        ours, theirs = sorted(set(own["scene"])), published_scenes().get(dataset, ())
        if (own["track"] == "geometry").any():
            count = f"{len(ours)} sample{'s' if len(ours) > 1 else ''}"
            said.append(
                f" {dataset_title(dataset)}: ours over {count} ({listed(ours)}); whether the published ones are over these "
                "is not known, since no paper lists its samples."
            )
        elif theirs and {scene.casefold() for scene in ours} != {scene.casefold() for scene in theirs}:
            said.append(f" {dataset_title(dataset)}: ours over {listed(ours)}, published over {listed(theirs)}.")
    return "".join(said)


def own_scenes(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Data set -> the scenes of measured rows that no published value is over, where a data set has several of them."""
    found = {}
    for dataset in datasets_in_order(rows["dataset"]):
        known = {scene.casefold() for scene in published_scenes().get(dataset, ())}
        scenes = sorted(scene for scene in set(rows[rows["dataset"] == dataset]["scene"]) if scene.casefold() not in known)
        if len(scenes) > 1 or (scenes and known):
            found[dataset] = scenes
    return found
