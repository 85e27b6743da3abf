"""`bench data …` and `bench weights …`: where data and weights lie, what is missing, how it comes there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import DataRoot, Plugins, console, errors, load_plugins
from bench.core.names import names_in

data_app = typer.Typer(help="Data sets: where they lie, what is missing.", no_args_is_help=True)
add_app = typer.Typer(help="Put data of your own where the suite finds it.", no_args_is_help=True)
data_app.add_typer(add_app, name="add")
weights_app = typer.Typer(help="Weights: what is on this machine, what each costs, fetching them.", no_args_is_help=True)


@data_app.command("where")
def data_where(data_root: DataRoot = None) -> None:
    """Say where data sets are looked for and where their publishers offer them."""
    from bench.commands.data.where import where_command

    load_plugins(None)
    where_command(data_root, console)


@data_app.command("check")
def data_check(
    names: Annotated[list[str] | None, typer.Argument(help="Data sets; by default all that are on disk.")] = None,
    scene: Annotated[list[str] | None, typer.Option(help="Only this scene or sample, in detail; may be repeated.")] = None,
    details: Annotated[bool, typer.Option(help="Format, cameras, points, what is left out or not used, per scene.")] = False,
    data_root: DataRoot = None,
) -> None:
    """Read every scene of the data sets and say what is wrong; exit code 2 where a scene cannot run."""
    from bench.commands.data.check import check_command

    load_plugins(None)
    raise typer.Exit(check_command(names, scene or (), details, data_root, console))


@data_app.command("convert")
def data_convert(
    source: Annotated[Path, typer.Argument(help="Folder with rgb/ and depth/, or with test_annotations.json.")],
    destination: Annotated[Path, typer.Argument(help="The data set's folder, e.g. <data root>/KITTI.")],
    depth_unit: Annotated[
        float | None, typer.Option(help="Metres per stored unit: 0.001 for millimetres, 0.00390625 for KITTI.")
    ] = None,
    intrinsics: Annotated[str | None, typer.Option(help="fx,fy,cx,cy in pixels, or a .json or .txt file.")] = None,
    farthest: Annotated[float | None, typer.Option(help="Metres; depth beyond is taken as unknown.")] = None,
    pair: Annotated[
        str, typer.Option(help="name, or rank: the n-th photo with the n-th depth map; each sample says so.")
    ] = "name",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace samples of the same names.")] = False,
) -> None:
    """Bring a folder of photos, depth maps and intrinsics into the geometry track's format; adds to a data set."""
    from bench.commands.data.convert import Conversion, convert_command

    convert_command(Conversion(source, destination, depth_unit, intrinsics, farthest, pair, overwrite), console)


@add_app.command("photos")
def data_add_photos(
    source: Annotated[Path, typer.Argument(help="Folder with the photos of one scene.")],
    name: Annotated[str | None, typer.Option(help="Name of the scene; by default the folder's.")] = None,
    data_root: DataRoot = None,
) -> None:
    """Copy a folder of photos into the data set `photos`; the cameras are estimated when it is run (extra `sfm`)."""
    from bench.commands.data.add import add_command

    add_command(source, name, data_root, console)


@weights_app.command("check")
def weights_check(
    models: Annotated[str, typer.Option(help="Names, or `all`.")] = "all",
    online: Annotated[
        bool, typer.Option("--online", help="Ask for sizes, agreements, and whether the hub moved on.")
    ] = False,
    plugin: Plugins = None,
) -> None:
    """Say which weights are cached, what they take, their licence, what pins them, whether an agreement is asked for."""
    from bench.commands.weights import check_command

    load_plugins(plugin)
    check_command(names_in(models), online, console)


@weights_app.command("fetch")
def weights_fetch(models: Annotated[str, typer.Option(help="Names, or `all`.")], plugin: Plugins = None) -> None:
    """Fetch the weights of the models into the publishers' caches; an interrupted download resumes."""
    from bench.commands.weights import fetch_command

    load_plugins(plugin)
    raise typer.Exit(fetch_command(names_in(models), console, errors))
