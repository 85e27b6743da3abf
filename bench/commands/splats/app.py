"""Commands about the Gaussians of cells: export, view, render."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import DataRoot, Plugins, SameWeights, console, load_plugins

splats_app = typer.Typer()


Cell = Annotated[
    str, typer.Argument(help="Words of a cell, as room/aliked/G, or the first digits of its key (rows.csv, column key).")
]
Source = Annotated[Path, typer.Option("--from", help="Results folder.")]


@splats_app.command()
def export(
    cell: Cell,
    source: Source = Path("results/run"),
    to: Annotated[
        Path | None, typer.Option(help="PLY file, or its folder; by default <data set>-<scene>-<model>-<mode>.ply here.")
    ] = None,
    points: Annotated[
        bool, typer.Option("--points", help="A point cloud with RGB colours, for programs that know no Gaussians.")
    ] = False,
    checkpoint: SameWeights = None,
    data_root: DataRoot = None,
    plugin: Plugins = None,
) -> None:
    """Write the Gaussians of a probe cell as a PLY file, in the standard 3DGS layout or as coloured points."""
    from bench.commands.splats.export import export_command

    load_plugins(plugin)
    written = export_command(cell, source, to, data_root, console, checkpoint or (), points)
    console.print(f"{written}", highlight=False, markup=False, soft_wrap=True)


@splats_app.command()
def view(
    cells: Annotated[
        list[str],
        typer.Argument(
            help="One to four probes, or with --save one to three cells of the geometry track (as point clouds), that "
            "differ in model or mode alone: words as room/aliked/G, or first digits of keys."
        ),
    ],
    source: Source = Path("results/run"),
    save: Annotated[
        Path | None, typer.Option(help="Write one HTML file that works offline to this place, in place of serving a page.")
    ] = None,
    port: Annotated[int, typer.Option(help="Of the page on this machine.", min=1, max=65535)] = 8080,
    checkpoint: SameWeights = None,
    data_root: DataRoot = None,
    plugin: Plugins = None,
) -> None:
    """Show the Gaussians of probes with the cameras, or point clouds of the geometry track, in a browser (extra `view`)."""
    from bench.commands.splats.view import view_command

    load_plugins(plugin)
    view_command(cells, source, data_root, port, save, console, checkpoint or ())


@splats_app.command()
def render(
    cell: Cell,
    source: Source = Path("results/run"),
    way: Annotated[
        str,
        typer.Option(
            "--path", help="orbit: around what the training cameras see; interpolate: from the first of them to the last."
        ),
    ] = "orbit",
    out: Annotated[
        Path | None,
        typer.Option(help="A .gif or .mp4 file (extra `video`), or its folder; by default <its words>-<path>.gif here."),
    ] = None,
    frames: Annotated[int, typer.Option(help="Pictures.", min=2, max=10_000)] = 60,
    rate: Annotated[int, typer.Option(help="Pictures a second.", min=1, max=60)] = 20,
    size: Annotated[int, typer.Option(help="The longer side of a picture in pixels.", min=64, max=4096)] = 512,
    checkpoint: SameWeights = None,
    data_root: DataRoot = None,
    plugin: Plugins = None,
) -> None:
    """Write the Gaussians of a probe cell as a moving picture, seen from a camera on its way through the scene."""
    from bench.commands.splats.render import render_command

    load_plugins(plugin)
    written = render_command(cell, source, way, out, frames, rate, size, data_root, console, checkpoint or ())
    console.print(f"{written}", highlight=False, markup=False, soft_wrap=True)
