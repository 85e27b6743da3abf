"""The command `bench`: parse, call, print. Exit codes: 0 done, 1 some cells failed, 2 a user's mistake, 130 interrupted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from bench.commands.options import (
    DataRoot,
    LocalWeights,
    Plugins,
    SameWeights,
    console,
    errors,
    load_plugins,
    whole_numbers,
)
from bench.commands.places import data_app, weights_app
from bench.commands.results.app import results_app
from bench.commands.splats.app import splats_app
from bench.core.absent import INSTALL, LIBRARY, is_absent
from bench.core.errors import UserError
from bench.core.names import names_in
from bench.core.version import VERSION

app = typer.Typer(
    help="How much 3D does a vision model know? Probes of frozen features and evaluation of monocular geometry.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(results_app)
app.add_typer(splats_app)
app.add_typer(data_app, name="data")
app.add_typer(weights_app, name="weights")


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False
) -> None:
    if version:
        console.print(f"vfm3d-bench {VERSION}", highlight=False)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Entry point: user mistakes become one line on standard error and exit code 2."""
    try:
        app()
    except UserError as error:
        errors.print(f"[bold red]error[/]: {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except ModuleNotFoundError as error:
        if not is_absent():
            raise
        needed = "PyTorch" if error.name == LIBRARY else error.name
        errors.print(f"[bold red]error[/]: this needs {needed}, which is not installed: {INSTALL}", soft_wrap=True)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:  # permissions, a full or failing disk, where no command has more to say of it
        if error.filename is None:
            raise
        errors.print(f"[bold red]error[/]: {escape(str(error.filename))}: {error.strerror}", highlight=False, soft_wrap=True)
        sys.exit(2)


Models = Annotated[
    str,
    typer.Option(help="Names, a+b for a concatenation, name@untrained, name:*, `all`, or `embedded` (no download)."),
]
Datasets = Annotated[str, typer.Option(help="Names, or `all`.")]
Scenes = Annotated[
    list[str], typer.Option(help="Scene (or sample) names, `all`, or `auto`: the data set's own choice. Repeatable.")
]
Modes = Annotated[str, typer.Option(help="Of G,T,A,Gft,Tft,Aft,instantsplat, `all`, or `auto`: without the fine-tuned.")]
Pointmap = Annotated[str, typer.Option(help="Initialiser, or `auto`: the data set's own choice.")]
Protocol = Annotated[
    str, typer.Option(help="Of `bench list protocols`; `auto`: the published one on a GPU, a quick one on a CPU.")
]
Seeds = Annotated[str, typer.Option(help="Whole numbers, comma-separated.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Weights = Annotated[str, typer.Option(help="pretrained, or random: the real architecture, marked in every row.")]


def _named_folder(text: str | Path) -> Path:
    """The folder that an option names. Raises UserError for none: the current folder would take its place."""
    if not str(text).strip():
        raise UserError("--out: name a folder; it is empty (is a variable of the shell not set?)")
    return Path(text)


@app.command()
def run(
    models: Models = "embedded",
    datasets: Datasets = "procedural",
    scenes: Scenes = ["auto"],  # noqa: B006  (typer copies it)
    modes: Modes = "auto",
    pointmap: Pointmap = "auto",
    protocol: Protocol = "auto",
    seeds: Seeds = "0",
    device: Device = "auto",
    weights: Weights = "pretrained",
    checkpoint: LocalWeights = None,
    data_root: DataRoot = None,
    jobs: Annotated[
        int,
        typer.Option(
            help="Cells at a time; 0: one a core on a CPU, one on a GPU. On SLURM: tasks; 0: of about an hour.", min=0
        ),
    ] = 0,
    engine: Annotated[str, typer.Option(help="local, ray or slurm.")] = "local",
    slurm: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE, an option of sbatch (partition=gpu, time=4:00:00, exclusive); repeatable."),
    ] = None,
    cell_timeout: Annotated[
        float | None,
        typer.Option(help="Seconds after which a cell is ended and recorded as failed; by default its protocol's."),
    ] = None,
    memory: Annotated[
        float | None, typer.Option(help="MB that a worker process may take; by default 90 % of the machine's.")
    ] = None,
    plugin: Plugins = None,
    plan_file: Annotated[
        Path | None, typer.Option("--plan", help="Run the cells of this file (`bench plan`), not those selected above.")
    ] = None,
    shard: Annotated[str | None, typer.Option(help="I/N: the I-th of N parts of the plan file.")] = None,
    out: Annotated[Path, typer.Option(help="Results folder.", parser=_named_folder)] = Path("results/run"),
    report: Annotated[Path | None, typer.Option("--report", help="By default reports/<name of --out>.")] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Stop after the rows.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cells and stop.")] = False,
) -> None:
    """Run every selected cell that is not yet stored, then write the report. Repeat the command to resume."""
    from bench.commands.checkpoints import checkpoints
    from bench.commands.plan import cells_of
    from bench.commands.run import run_command
    from bench.commands.submit import submit_command
    from bench.run.request import request_of

    load_plugins(plugin)
    request = request_of(
        models=models,
        datasets=datasets,
        scenes=scenes,
        modes=modes,
        pointmap=pointmap,
        protocol=protocol,
        seeds=whole_numbers("--seeds", seeds),
        device=device,
        weights=weights,
        data_root=data_root,
        plugins=tuple(plugin or ()),
        checkpoints=checkpoints(checkpoint or ()),
        jobs=jobs,
        engine=engine,
        slurm=tuple((name, value) for name, _, value in (each.partition("=") for each in slurm or ())),
        cell_timeout=cell_timeout,
        memory_mb=memory,
        out=out,
    )
    planned = None
    if plan_file is not None:
        request, planned = cells_of(plan_file, shard, request)
        load_plugins(list(request.plugins))
    elif shard is not None:
        raise UserError("--shard is a part of a plan file: name it with --plan")
    if engine == "slurm":
        submit_command(request, planned, dry_run, console)
        return
    written = None if no_report or shard else report or Path("reports") / out.name
    raise typer.Exit(run_command(request, written, dry_run, console, errors, planned))


@app.command()
def plan(
    models: Models = "embedded",
    datasets: Datasets = "procedural",
    scenes: Scenes = ["auto"],  # noqa: B006  (typer copies it)
    modes: Modes = "auto",
    pointmap: Pointmap = "auto",
    protocol: Protocol = "auto",
    seeds: Seeds = "0",
    device: Device = "auto",
    weights: Weights = "pretrained",
    data_root: DataRoot = None,
    plugin: Plugins = None,
    like: Annotated[
        list[Path] | None, typer.Option("--like", help="Results folder that costs are estimated from; repeatable.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The plan file.")] = Path("plan.json"),
) -> None:
    """Write the cells of a run, with what each is expected to cost, into a file that `bench run --plan` takes."""
    from bench.commands.plan import plan_command
    from bench.run.request import request_of

    load_plugins(plugin)
    request = request_of(
        models=models,
        datasets=datasets,
        scenes=scenes,
        modes=modes,
        pointmap=pointmap,
        protocol=protocol,
        seeds=whole_numbers("--seeds", seeds),
        device=device,
        weights=weights,
        data_root=data_root,
        plugins=tuple(plugin or ()),
    )
    plan_command(request, like or [], out, console)


@app.command()
def reproduce(
    name: Annotated[str, typer.Argument(help="Of `bench reproduce list`; `list` shows them.")] = "list",
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda; by default what the reproduction asks for.")] = None,
    data_root: DataRoot = None,
    jobs: Annotated[int, typer.Option(help="Cells at a time; 0: one a core on a CPU, one on a GPU.", min=0)] = 0,
    out: Annotated[Path | None, typer.Option(help="Results folder; by default results/reproduce-<name>.")] = None,
) -> None:
    """Run a plan whose outcome is known and say of every value whether it came out; exit code 1 where one did not."""
    from bench.commands.reproduce import list_command, reproduce_command

    load_plugins(None)
    if name == "list":
        list_command(console)
        return
    folder = out or Path("results") / f"reproduce-{name}"
    raise typer.Exit(reproduce_command(name, folder, data_root, device, jobs, console, errors))


@app.command()
def report(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Results folders, by default results/run; `published`: the papers' tables."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Report folder; by default reports/<name of the first folder>.")] = None,
    formats: Annotated[str, typer.Option("--format", help="Of html,md,latex,csv.")] = "html,md,latex,csv",
    no_overlap: Annotated[
        bool,
        typer.Option("--no-overlap", help="Leave out scores on data sets that the model or its initialiser was trained on."),
    ] = False,
    viewer: Annotated[
        bool,
        typer.Option(
            "--viewer", help="Run cells of one scene and of one photo again and add pages to turn them (extra `view`)."
        ),
    ] = False,
    checkpoint: SameWeights = None,
    data_root: DataRoot = None,
    plugin: Plugins = None,
) -> None:
    """Write the report of one or more results folders; trains and downloads nothing, but for --viewer."""
    from bench.report.build import build_report

    chosen = folders or [Path("results/run")]
    target = out or Path("reports") / chosen[0].resolve().name
    pages = []
    if viewer:
        from bench.commands.splats.viewer import add_viewer

        load_plugins(plugin)
        pages += add_viewer(chosen, target, console, data_root, checkpoint or ())
    index = build_report(chosen, target, names_in(formats), no_overlap, pages)
    console.print(f"report: {index}", highlight=False, soft_wrap=True, markup=False)


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(help="models, estimators, datasets, pointmaps, protocols or metrics.")],
    plugin: Plugins = None,
    as_json: Annotated[bool, typer.Option("--json", help="All that the cards say, for programs.")] = False,
) -> None:
    """Show what is registered."""
    from bench.commands.listing import list_command, listing_json

    load_plugins(plugin)
    if as_json:
        print(listing_json(kind))
    else:
        list_command(kind, console)


@app.command()
def show(name: Annotated[str, typer.Argument(help="Anything that `bench list` names.")], plugin: Plugins = None) -> None:
    """Show one model, data set, initialiser or protocol in full."""
    from bench.commands.listing import show_command

    load_plugins(plugin)
    show_command(name, console)


@app.command()
def doctor() -> None:
    """Say what this machine has: device, kernels, optional packages, data and cache folders."""
    from bench.commands.doctor import doctor_command

    doctor_command(console)


@app.command()
def perf(
    out: Annotated[Path, typer.Option(help="Results folder.")] = Path("results/perf"),
    full: Annotated[bool, typer.Option("--full", help="All sizes, and whole cells: many minutes.")] = False,
) -> None:
    """Measure rasterizer, readout, loss, alignment and the whole step against the plain way to do the same."""
    from bench.commands.perf import perf_command

    load_plugins(None)
    perf_command(out, full, console)


if __name__ == "__main__":
    main()
