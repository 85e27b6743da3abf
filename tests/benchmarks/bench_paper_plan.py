"""What the papers' tables would cost, on paper: cells, hours and SLURM arrays, without any of the data or the weights.

python tests/benchmarks/bench_paper_plan.py

Feat2GS, table 2: ten models, the thirty scenes of six data sets, three modes. MoGe, zero-shot geometry: those of its
estimators that the suite has, one cell a photo. The seconds are those that `bench plan` takes where no like cell is stored,
a twentieth of the protocol's time limit: no measurement.
"""

from __future__ import annotations

from bench.core.cells import NOT_APPLICABLE, Cell
from bench.core.registry import estimators
from bench.results.reference.published import published_rows, published_scenes
from bench.run.machines.submit import arrays_of
from bench.run.planning.planfile import estimated
from bench.run.request import Request

MODELS = ("dust3r", "mast3r", "midas", "dinov2", "dino", "sam", "clip", "radio", "mae", "sd")
#: Photos of each data set, about as many as MoGe's evaluation has.
PHOTOS = {"nyuv2": 654, "kitti": 652, "eth3d": 454, "ibims1": 100, "gso": 1030, "sintel": 1064, "ddad": 1000, "diode": 771}


def feat2gs() -> list[Cell]:
    scenes = {name: found for name, found in published_scenes().items() if name != "dtu"}
    return [
        Cell("probe", name, scene, model, mode, "dust3r", "paper-v1", 0)
        for name, found in scenes.items()
        for scene in found
        for model in MODELS
        for mode in ("G", "T", "A")
    ]


def moge() -> list[Cell]:
    rows = published_rows()
    printed = set(rows.loc[rows["track"] == "geometry", "model"])
    return [
        Cell("geometry", name, f"{number:04d}", model, NOT_APPLICABLE, NOT_APPLICABLE, "moge-v1", 0)
        for model in sorted(printed & set(estimators))
        for name, count in PHOTOS.items()
        for number in range(count)
    ]


if __name__ == "__main__":
    for title, cells in (("Feat2GS, table 2", feat2gs()), ("MoGe", moge())):
        planned = estimated(cells, "cuda")
        models = len({cell.model for cell in cells})
        hours = sum(estimate.seconds for _, estimate in planned) / 3600
        print(f"{title}: {len(cells)} cells of {models} models, {hours:.0f} GPU hours")
        for array in arrays_of(planned, Request(device="cuda", engine="slurm")):
            own = array.plan
            print(
                f"  array of {array.tasks} tasks of {array.need}: {len(own.cells)} cells, {own.seconds / 3600:.0f} hours, "
                f"longest task {array.seconds / 3600:.1f} hours, --time={array.options['time']}"
            )
