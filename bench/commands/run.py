"""`bench run`: from the options to the rows and the report."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bench.commands.checkpoints import checkpoints
from bench.core.cells import NO_MODEL, Cell, Weights
from bench.core.errors import UserError
from bench.core.interfaces import Model, PointmapInitialiser
from bench.core.lookup import dataset_of
from bench.core.track import Settings
from bench.machine.files import check_writable
from bench.machine.locations import cache_root, data_root
from bench.machine.requirements import check
from bench.machine.weights import fetch
from bench.results.store import Store
from bench.run.engines import local, ray
from bench.run.engines.base import MapGroups
from bench.run.keys import fingerprint
from bench.run.plan import Plan, Selection, keep_available, keep_readable, make_plan, with_notes
from bench.run.runner import Run
from bench.run.worker import Report

INTERRUPTED = 130
SEEDS = 2**32  #: what every generator takes
Result = TypeVar("Result")


@dataclass(frozen=True)
class Options:
    """What the command line said, unchecked."""

    models: tuple[str, ...]
    datasets: tuple[str, ...]
    scenes: tuple[str, ...]
    modes: tuple[str, ...]
    pointmap: str
    protocols: tuple[str, ...]
    seeds: tuple[str, ...]
    device: str
    weights: str
    data_root: Path | None
    jobs: int
    engine: str
    checkpoints: tuple[str, ...]
    plugins: tuple[str, ...]
    out: Path
    report: Path | None
    dry_run: bool


def run_command(options: Options, console: Console, errors: Console) -> int:
    """Run the plan and write the report; returns the exit code. Raises UserError for a user's mistake."""
    for option in ("models", "datasets", "scenes", "modes", "seeds"):
        if not getattr(options, option):
            raise UserError(f"--{option}: name at least one")
    if options.report is not None:
        check_writable(options.report)
    device = choose_device(options.device)
    weights = _choice("--weights", options.weights, ("pretrained", "random"))
    engine = _choice("--engine", options.engine, ("local", "ray"))
    selection = Selection(
        models=options.models,
        datasets=options.datasets,
        scenes=options.scenes,
        modes=options.modes,
        pointmap=options.pointmap,
        protocols=options.protocols,
        seeds=_seeds(options.seeds),
        weights=cast(Weights, weights),
        data_root=data_root(options.data_root),
        on_gpu=device == "cuda",
    )
    local_weights = checkpoints(options.checkpoints)
    if local_weights and weights == "random":
        raise UserError("--checkpoint names weights and --weights random asks for none: give one of them")
    plan = make_plan(selection)
    with console.status("reading what the scenes hold"):
        plan = keep_readable(
            plan, selection, lambda cell: fingerprint(cell.track, cell.dataset, cell.scene, selection.data_root)
        )
        plan = with_notes(plan, lambda cell: dataset_of(cell).scene_note(selection.data_root, cell.scene))
    plan = _that_runs_here(plan, selection, device, {name for name, _ in local_weights}, options.dry_run)
    _print_plan(plan, console)
    if options.dry_run:
        return 0
    jobs = options.jobs or (1 if device == "cuda" else os.cpu_count() or 1)
    run = Run(
        out=options.out,
        settings=Settings(selection.data_root, cache_root(), device, selection.weights, local_weights),
        plugins=options.plugins,
        jobs=jobs,
        threads=max(1, (os.cpu_count() or 1) // jobs),
    )
    map_groups: MapGroups = local.map_groups
    if engine == "ray":
        map_groups = functools.partial(ray.map_groups, gpus=1 if device == "cuda" else 0)
    try:
        failures = _execute(run, map_groups, plan, console)
    except KeyboardInterrupt:
        Store(options.out).compact()
        errors.print("interrupted; the finished cells are kept: the same command goes on from here", soft_wrap=True)
        return INTERRUPTED
    rows = Store(options.out).compact()
    console.print(f"rows: {options.out / 'rows.csv'} ({rows})", highlight=False, soft_wrap=True)
    _print_failures(failures, errors)
    if options.report is not None:
        from bench.report.build import build_report

        index = build_report([options.out], options.report)
        console.print(f"report: {index}", highlight=False, soft_wrap=True)
    return 1 if failures else 0


def choose_device(asked: str) -> Literal["cpu", "cuda"]:
    """ "auto" is the GPU where there is one. Raises UserError for a device that this machine lacks."""
    import torch

    _choice("--device", asked, ("auto", "cpu", "cuda"))
    if asked == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: PyTorch sees no CUDA device on this machine; use --device cpu")
    return "cuda" if asked != "cpu" and torch.cuda.is_available() else "cpu"


def _choice(option: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise UserError(f"{option} {value}: must be one of {', '.join(allowed)}")
    return value


def _seeds(texts: Sequence[str]) -> tuple[int, ...]:
    for text in texts:
        if not text.isdecimal():
            raise UserError(f"--seeds: {text!r} is not a whole number")
        if int(text) >= SEEDS:
            raise UserError(f"--seeds: {text} is too large; seeds are below {SEEDS}")
    return tuple(dict.fromkeys(int(text) for text in texts))


def _that_runs_here(plan: Plan, selection: Selection, device: str, local: set[str], dry_run: bool) -> Plan:
    """The plan less what this machine cannot run: packages, memory, and weights, which are fetched unless dry_run.

    local: the models whose weights are local files. Raises Unavailable where something lacks that the user named.
    """

    def weights_of(model: type[Model]) -> Weights:
        return "pretrained" if issubclass(model, PointmapInitialiser) else selection.weights

    def check_machine(name: str, model: type[Model]) -> None:
        check(name, model, weights_of(model), device)

    def fetch_weights(name: str, model: type[Model]) -> None:
        # A local file stands in for a model's weights, not for those of the initialiser of the same name.
        if weights_of(model) == "pretrained" and (name not in local or issubclass(model, PointmapInitialiser)):
            fetch(model, name)

    plan = keep_available(plan, selection, check_machine)
    return plan if dry_run else keep_available(plan, selection, fetch_weights)


def _execute(run: Run, map_groups: MapGroups, plan: Plan, console: Console) -> list[Report]:
    """Run what is due under a progress bar; returns the cells that did not end well."""
    with console.status("looking at what is stored"):
        due = run.due(plan.cells)
    stored = len(plan.cells) - len(due)
    if stored:
        console.print(f"{stored} of {len(plan.cells)} cells are stored already", highlight=False)
    failures: list[Report] = []
    with _progress(console) as progress:
        extraction = progress.add_task("features", total=None)
        for cell in _closing(run.extract(due, map_groups)):
            progress.update(extraction, description=escape(f"features of {cell.model}, {cell.dataset}/{cell.scene}"))
        progress.remove_task(extraction)
        task = progress.add_task("cells", total=len(due))
        for report in _closing(run.execute(due, map_groups)):
            if report.status != "ok":
                failures.append(report)
            progress.update(task, advance=1, description=escape(f"{report.cell.label} ({report.seconds:.1f} s)"))
    return failures


def _closing(results: Iterator[Result]) -> Iterator[Result]:
    """Pass results on and close the source however the loop ends, so that no worker outlives it."""
    try:
        yield from results
    finally:
        results.close()  # type: ignore[attr-defined]


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def _print_plan(plan: Plan, console: Console) -> None:
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell in plan.cells:
        groups.setdefault((cell.track, cell.dataset, cell.pointmap, cell.protocol), []).append(cell)
    console.print(f"[bold]{len(plan.cells)} cells[/]", highlight=False)
    for (track, dataset, pointmap, protocol), cells in groups.items():
        scenes, models = len({cell.scene for cell in cells}), len({cell.model for cell in cells} - {NO_MODEL})
        parts = [f"{track} on {dataset}", protocol, _counted(scenes, "scene"), _counted(models, "model")]
        if track == "probe":
            parts += [f"point map {pointmap}", "modes " + " ".join(dict.fromkeys(cell.mode for cell in cells))]
        console.print(f"{len(cells):>5}  {escape(', '.join(parts))}", highlight=False, soft_wrap=True)
    for left_out in plan.left_out:
        console.print(
            f"[yellow]left out[/] {escape(left_out.what)}: {escape(left_out.reason)}", highlight=False, soft_wrap=True
        )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _print_failures(failures: Sequence[Report], errors: Console) -> None:
    by_reason: dict[tuple[str, str], list[Cell]] = {}
    for failure in failures:
        by_reason.setdefault((failure.status, failure.error), []).append(failure.cell)
    for (status, reason), cells in by_reason.items():
        others = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
        errors.print(f"[red]{status}[/] {escape(cells[0].label)}{others}: {escape(reason)}", highlight=False, soft_wrap=True)
