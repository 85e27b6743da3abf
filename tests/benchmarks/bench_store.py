"""What a results folder of many cells costs: seconds of processor time and peak memory of everything that reads all of it.

python tests/benchmarks/bench_store.py [CELLS ...] [--steps scan,compact,…]

By default 1000 and 10000 cells, all steps. Each step runs in a process of its own. A cell is stored as a run stores it:
27 rows, as a probe of three held-out views has, and two small pictures. The table of bench/docs/trust.md is of this.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bench.core.cells import Cell, Marks, Measurement
from bench.machine.digests import json_digest
from bench.results.packs import cell_files
from bench.results.record import CellRecord
from bench.results.store import Store

METRICS = ("psnr", "ssim", "haarpsi", "lpips", "lpips_rescaled", "visible_share")  #: of each held-out view
CLOUD = ("accuracy", "completeness", "distance")  #: of the whole scene
POSES = ("pose_rotation_error", "pose_translation_error")  #: before and after refinement
DATASETS, SCENES, MODELS = 5, 20, 40


def cells() -> Iterator[Cell]:
    """Cells of many models, modes, scenes and seeds, without an end."""
    from bench.core.registry import features

    models = [*features][:MODELS]
    places = [(f"data-{number}", f"scene-{scene:02}") for scene in range(SCENES) for number in range(DATASETS)]
    for seed in itertools.count():
        for (dataset, scene), mode, model in itertools.product(places, "GTA", models):
            yield Cell("probe", dataset, scene, model, mode, "ground-truth", "quick-v1", seed)


def measurements(rng: np.random.Generator) -> tuple[Measurement, ...]:
    """The rows of one cell, every value of its own."""
    from bench.metrics.catalogue import METRICS as CATALOGUE

    def one(name: str, view: str, alignment: str = "-") -> Measurement:
        metric = CATALOGUE[name]
        value = 20 + 10 * rng.random() if name == "psnr" else rng.random()
        return Measurement(name, value, view, metric.unit, metric.higher_is_better, alignment)

    views = [one(name, view) for view in ("left", "right", "above") for name in METRICS]
    clouds = [one(name, "all", "similarity") for name in CLOUD]
    poses = [one(name, "train", stage) for stage in ("initial", "refined") for name in POSES]
    return *views, *clouds, *poses, one("train_psnr", "train"), one("gaussians", "all")


def fill(folder: Path, count: int) -> None:
    """Store synthetic cells and the plan that names them."""
    store, rng = Store(folder), np.random.default_rng(0)
    picture = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    provenance = {"code_version": "0.1.0", "device_name": "a processor", "weights": {}}
    marks = Marks("model", "true", True)
    keys = {}
    for number, cell in enumerate(itertools.islice(cells(), count)):
        key = json_digest(number)
        rows = measurements(rng)
        record = CellRecord(key, cell, "ok", "none", "", rows, (), 60.0, 900.0, provenance=provenance, marks=marks)
        store.save(record, {"photo.left": picture, "render.left": picture})
        keys[cell, "none"] = key
    store.plan(keys)


def _scan(folder: Path) -> None:
    keys = [file.stem for file in cell_files(folder)]
    assert len(Store(folder).finished_among(keys)) == len(keys)


def _compact(folder: Path) -> None:
    assert Store(folder).compact() % 27 == 0


def _verify(folder: Path) -> None:
    from bench.results.check import check_folder

    assert check_folder(folder).problems == ()


def _rows(folder: Path) -> None:
    from bench.results.store import read_rows

    assert len(read_rows(folder)) % 27 == 0


def _report(folder: Path) -> None:
    from bench.report.build import build_report

    build_report([folder], folder / "report")


def _leaderboard(folder: Path) -> None:
    from bench.report.leaderboard.page import write_leaderboard
    from bench.report.read import load_results
    from bench.report.say.means import table_means

    results = load_results([folder])
    write_leaderboard(results.stored, results.rows, table_means(results.rows), folder / "leaderboard")


def _pack(folder: Path) -> None:
    assert not Store(folder).pack().unfinished


STEPS: dict[str, Callable[[Path], None]] = {
    "scan": _scan,
    "compact": _compact,
    "verify": _verify,
    "rows": _rows,
    "leaderboard": _leaderboard,
    "report": _report,
    "pack": _pack,
    "scan packed": _scan,
    "verify packed": _verify,
}


def measure(name: str, folder: Path, count: int) -> None:
    """Run one step and print a line of the table: processor time, and the peak memory of this process in MB."""
    before = time.process_time()
    STEPS[name](folder)
    seconds = time.process_time() - before
    status = Path("/proc/self/status").read_text()  # getrusage gives what the parent held when this process began
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(f"| {count:>7,} | {name:<13} | {seconds:7.1f} | {peak:6.0f} |", flush=True)


def main() -> None:
    """Fill a folder for each number of cells and measure every step."""
    parser = argparse.ArgumentParser()
    parser.add_argument("cells", type=int, nargs="*", default=[1000, 10_000])
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--in-folder", type=Path, help="measure in this folder, which a run of this script has filled")
    asked = parser.parse_args()
    if asked.in_folder:
        measure(asked.steps, asked.in_folder, asked.cells[0])
        return
    print("| cells | step | seconds | peak MB |\n|---|---|---|---|")
    for count in asked.cells:
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder), count)
            for name in asked.steps.split(","):
                subprocess.run([sys.executable, __file__, str(count), "--steps", name, "--in-folder", folder], check=True)


if __name__ == "__main__":
    main()
