"""Commands about results that are there: compare, publish, merge, pack, verify, status."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import DataRoot, Plugins, SameWeights, console, load_plugins

results_app = typer.Typer()


@results_app.command()
def compare(
    folder: Annotated[Path, typer.Argument(help="Results folder.")],
    to: Annotated[Path, typer.Option(help="`published`, or another results folder.")] = Path("published"),
    out: Annotated[Path | None, typer.Option(help="Report folder; by default reports/<folder>-against-<to>.")] = None,
) -> None:
    """Set results beside the published numbers or another run: agreement, deviations, significance."""
    from bench.commands.results.compare import compare_command

    compare_command(folder, to, out or Path("reports") / f"{folder.resolve().name}-against-{to.resolve().name}", console)


@results_app.command()
def publish(
    folder: Annotated[Path, typer.Argument(help="Results folder with cells.")],
    benchmark: Annotated[str, typer.Option(help="The hub's repository whose leaderboard takes the values: owner/name.")],
    out: Annotated[Path | None, typer.Option(help="A new folder; by default reports/<folder>-to-publish.")] = None,
    source: Annotated[str, typer.Option(help="Where the results can be read, a URL.")] = "",
    plugin: Plugins = None,
) -> None:
    """Write the hub's evaluation-results files and a submission folder; nothing is sent."""
    from bench.commands.results.publish import publish_command

    load_plugins(plugin)
    publish_command(folder, benchmark, out or Path("reports") / f"{folder.resolve().name}-to-publish", source, console)


@results_app.command()
def merge(
    folders: Annotated[list[Path], typer.Argument(help="Results folders with cells.")],
    out: Annotated[Path, typer.Option(help="The folder that takes them; it may hold cells already.")],
) -> None:
    """Join results folders, of shards or of several machines. Cells of the same key with other numbers are named, and then
    nothing is written."""
    from bench.commands.results.merge import merge_command

    merge_command(folders, out, console)


@results_app.command()
def pack(folder: Annotated[Path, typer.Argument(help="Results folder with cells; no run may be writing into it.")]) -> None:
    """Move the files of finished cells into few, for network file systems: everything reads them as before."""
    from bench.commands.results.pack import pack_command

    pack_command(folder, console)


@results_app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="Results folder.")],
    recompute: Annotated[int, typer.Option(help="Run so many of its cells anew and compare.", min=0)] = 0,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Write down which of them another machine than theirs gave alike.")
    ] = False,
    checkpoint: SameWeights = None,
    data_root: DataRoot = None,
    plugin: Plugins = None,
) -> None:
    """Check results before they are shared: files, digests, keys, duplicates, rows; exit code 1 where something is wrong."""
    from bench.commands.results.verify import verify_command

    if recompute:
        load_plugins(plugin)
    raise typer.Exit(verify_command(folder, recompute, data_root, console, checkpoint or (), confirm))


@results_app.command()
def status(
    folder: Annotated[Path, typer.Argument(help="Results folder.")] = Path("results/run"),
    plan_file: Annotated[
        Path | None, typer.Option("--plan", help="The plan file; by default what runs have planned there.")
    ] = None,
) -> None:
    """Say how many planned cells are done, failed, running and missing; exit code 1 where one has failed."""
    from bench.commands.results.status import status_command

    raise typer.Exit(status_command(folder, plan_file, console))
