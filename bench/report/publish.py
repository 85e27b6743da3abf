"""Results on their way out: the hub's evaluation-results files and a submission folder. Nothing is sent.

The hub reads `.eval_results/*.yaml` of a model's repository (huggingface.co/docs/hub/eval-results): a list of entries, each
with the benchmark's repository, a task of it, and a value. The benchmark's own `eval.yaml`, which names the tasks, is
written too.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.core.cells import INSTANTSPLAT, OVER_DATASETS, WHOLE_CELL
from bench.core.errors import UserError
from bench.core.version import VERSION
from bench.machine.files import write_text
from bench.metrics.catalogue import METRICS
from bench.report.read import load_results
from bench.report.say.cards import dataset_title, loaded, registered_card
from bench.report.say.means import table_means
from bench.results.confirmed import FILE as CONFIRMED
from bench.results.packs import PACKS, holds_cells
from bench.results.planned import PLANS
from bench.results.schema import PUBLISHED
from bench.stats.aggregate import SETTING

FRAMEWORK = "vfm3d-bench"
_RESULTS = f".eval_results/{FRAMEWORK}.yaml"  #: of a model's repository
_COPIED = ("cells", PACKS, PLANS, CONFIRMED, "rows.csv")  #: of a results folder; pictures stay at home


@dataclass(frozen=True)
class Publication:
    """What was written.

    Attributes:
        models: The hub's repositories that have a file, with the number of its values.
        left_out: Why values are in no file, each reason with how many.
        folder: The submission folder.
    """

    models: Mapping[str, int]
    left_out: Mapping[str, int]
    folder: Path


def publish(folder: Path, benchmark: str, out: Path, source: str = "") -> Publication:
    """Write the hub's files and the submission folder of a results folder.

    Args:
        folder: Results with their cells.
        benchmark: The repository of the benchmark on the hub, "owner/name", whose leaderboard takes the values.
        out: A new folder: `hub/<owner>--<name>/.eval_results/`, `benchmark/eval.yaml`, `submission/`.
        source: Where the results can be read, a URL; entries name it.

    Returns:
        What was written, and what was left out and why.

    Raises:
        UserError: For a malformed name, a folder that is there already, a folder without cells, or where no value may be
            published.
    """
    if benchmark.count("/") != 1 or not all(benchmark.split("/")):
        raise UserError(f"--benchmark {benchmark!r}: expected owner/name, a data set's repository on the hub")
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} is not empty; choose another folder by --out")
    if not holds_cells(folder):
        raise UserError(f"{folder} holds no cells: rows alone cannot be checked by others")
    results = load_results([folder])
    means, left_out = publishable(table_means(results.rows))
    entries = {name: _entries(part, benchmark, source) for name, part in means.groupby("repository", sort=True)}
    if not entries:
        reasons = "; ".join(f"{count} values: {reason}" for reason, count in left_out.items())
        raise UserError(f"{folder}: nothing may be published ({reasons})")
    for repository, found in entries.items():
        write_text(out / "hub" / str(repository).replace("/", "--") / _RESULTS, _yaml(found))
    write_text(out / "benchmark" / "eval.yaml", _yaml(_benchmark(means)))
    _submission(folder, out / "submission", entries, left_out)
    return Publication({str(name): len(found) for name, found in entries.items()}, left_out, out / "submission")


def publishable(means: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """The means that may stand on a model's page, with the column `repository`, and why the others may not.

    A value is of one data set, complete, of trained weights under a full protocol, from estimated point maps, and of a
    single network whose weights lie on the hub.
    """
    own = means[(means["protocol"] != PUBLISHED) & (means["dataset"] != OVER_DATASETS) & (means["metric"] != WHOLE_CELL)]
    repositories = {model: _repository(str(model)) for model in set(own["model"])}
    own = own.assign(repository=own["model"].map(repositories))
    tests = {
        "controls and models that read the truth": own["role"] != "model",
        "random weights, or none": own["weights"] != "pretrained",
        "quick protocols": own["quick"].fillna(False).astype(bool),
        "point maps made from the truth": ~own["start"].isin(["estimated", "-"]),
        "weights that lie in no repository of the hub, or joined features": own["repository"] == "",
        "no value, or scenes missing": own["value"].isna() | (own["n_ok"] != own["n_total"]),
    }
    left_out: dict[str, int] = {}
    kept = pd.Series(True, index=own.index)
    for reason, fails in tests.items():
        count = int((kept & fails).sum())
        left_out |= {reason: count} if count else {}
        kept &= ~fails
    return own[kept].reset_index(drop=True), left_out


def _repository(model: str) -> str:
    """ "owner/name" of the hub where a single model's weights lie; "" where there is none."""
    if model == INSTANTSPLAT or "+" in model:
        return ""
    card = registered_card(loaded(model))
    kind, _, rest = card.weights.partition(":") if card else ("", "", "")
    return "/".join(rest.split("/")[:2]) if kind == "hf" else ""


def task_id(row: Mapping[Any, Any]) -> str:
    """The benchmark's task that a mean is a value of: track, data set, mode or alignment, metric."""
    block = [str(row[name]) for name in ("mode", "alignment") if row[name] != "-"]
    return "-".join([str(row["track"]), str(row["dataset"]), *block, str(row["metric"])])


def _entries(means: pd.DataFrame, benchmark: str, source: str) -> list[dict[str, Any]]:
    found = []
    for row in means.sort_values(list(SETTING), kind="stable").to_dict("records"):
        metric = METRICS[row["metric"]]
        entry: dict[str, Any] = {
            "dataset": {"id": benchmark, "task_id": task_id(row)},
            "value": round(float(row["value"]) * metric.factor, 6),
            "notes": _notes(row, metric.printed_unit or str(row["unit"])),
        }
        if source:
            entry["source"] = {"url": source, "name": f"{FRAMEWORK} {VERSION}: rows, cells, provenance"}
        found.append(entry)
    return found


def _notes(row: Mapping[Any, Any], unit: str) -> str:
    """What a value must say of itself."""
    what = "scenes" if row["track"] == "probe" else "samples"
    said = [
        f"{row['model']}, protocol {row['protocol']}",
        f"point map {row['pointmap']}" if row["pointmap"] != "-" else "",
        f"in {unit}" if unit else "",
        f"mean over {int(row['n_total'])} {what}",
        str(row["overlap"]),
    ]
    return "; ".join(filter(None, said))


def _benchmark(means: pd.DataFrame) -> dict[str, Any]:
    """The benchmark's eval.yaml: its tasks."""
    tasks = sorted({(task_id(row), str(row["dataset"])) for row in means.to_dict("records")})
    names = ", ".join(sorted({dataset_title(dataset) for _, dataset in tasks}))
    return {
        "name": FRAMEWORK,
        "description": f"How much 3D a vision model knows: probe (Feat2GS) and geometry (MoGe) tracks, on {names}.",
        "evaluation_framework": FRAMEWORK,
        "tasks": [{"id": name, "config": dataset, "split": "test"} for name, dataset in tasks],
    }


def _submission(folder: Path, to: Path, entries: Mapping[Any, Sequence[Any]], left_out: Mapping[str, int]) -> None:
    """The cells and rows, and what a maintainer reads first."""
    to.mkdir(parents=True, exist_ok=True)
    for name in _COPIED:
        if (folder / name).is_dir():
            shutil.copytree(folder / name, to / name, ignore=shutil.ignore_patterns(".*"))
        elif (folder / name).is_file():
            shutil.copy2(folder / name, to / name)
    values = "\n".join(f"- {name}: {len(found)} values" for name, found in entries.items())
    without = "\n".join(f"- {count} values: {reason}" for reason, count in left_out.items()) or "- none"
    write_text(
        to / "README.md",
        f"# Submission of {folder.resolve().name}\n\nMade by `bench publish` of {FRAMEWORK} {VERSION}. Check it by "
        f"`bench verify . --recompute 3 --confirm` on another machine.\n\n## On the hub\n\n{values}\n\n"
        f"## In the rows, not on the hub\n\n{without}\n",
    )


def _yaml(content: Any) -> str:
    import yaml

    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000))
