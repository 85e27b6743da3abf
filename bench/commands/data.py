"""`bench data`: where data sets lie, what was found, what is wrong with it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.core.errors import Unavailable, UserError
from bench.core.registry import datasets
from bench.machine.locations import data_root


def print_where(root: Path | None, console: Console) -> None:
    """One line a data set: found or not, where, and where its publisher offers it."""
    folder = data_root(root)
    table = Table(title=f"data root: {folder}", title_justify="left")
    for column in ("dataset", "found", "download", "size"):
        table.add_column(column, overflow="fold")
    for name in datasets:
        dataset = datasets[name]()
        found = []
        for track in dataset.tracks:
            try:
                scenes = dataset.scenes(folder, track)
                found.append(f"{len(scenes)} {'scenes' if track == 'probe' else 'samples'}")
            except UserError as error:
                found.append("-" if isinstance(error, Unavailable) else f"[red]{escape(str(error))}[/]")
        card = dataset.card
        where = "embedded" if not card.folder and not card.url else card.url or "yours to bring"
        table.add_row(name, ", ".join(dict.fromkeys(found)), where, f"{card.size_gb:g} GB" if card.size_gb else "")
    console.print(table)
    console.print(
        "The data root is --data-root, else the environment variable BENCH_DATA, else the per-user folder.", highlight=False
    )


def print_check(names: list[str] | None, root: Path | None, console: Console) -> int:
    """Load everything that is found (or the named data sets) and print what is wrong; returns the exit code."""
    folder = data_root(root)
    problems = 0
    for name in names or list(datasets):
        dataset = datasets[name]()
        for track in dataset.tracks:
            try:
                scenes = dataset.scenes(folder, track)
            except Unavailable as error:
                if names:
                    raise
                console.print(f"[dim]{name}[/]: not on disk ({escape(str(error))})", highlight=False, soft_wrap=True)
                break
            for scene in scenes:
                try:
                    if track == "probe":
                        loaded = dataset.load_scene(folder, scene)
                        text = f"{len(loaded.train)} training and {len(loaded.test)} test views"
                    else:
                        sample = dataset.load_sample(folder, scene)
                        text = f"{sample.image.shape[1]}x{sample.image.shape[0]}"
                    console.print(f"[green]ok[/] {name}/{scene} ({track}): {text}", highlight=False, soft_wrap=True)
                except UserError as error:
                    problems += 1
                    console.print(
                        f"[red]bad[/] {name}/{scene} ({track}): {escape(str(error))}", highlight=False, soft_wrap=True
                    )
    return 1 if problems else 0


def convert(
    source: Path, destination: Path, depth_unit: float | None, intrinsics: str | None, farthest: float | None
) -> int:
    """`bench data convert`: see `bench.geometry.io.convert.convert_folder`. Raises UserError for malformed intrinsics."""
    from bench.geometry.io.convert import convert_folder

    camera: Path | tuple[float, ...] | None = None
    if intrinsics is not None and intrinsics.endswith(".json"):
        camera = Path(intrinsics)
    elif intrinsics is not None:
        try:
            camera = tuple(float(number) for number in intrinsics.split(","))
        except ValueError as error:
            raise UserError(f"--intrinsics {intrinsics}: write fx,fy,cx,cy in pixels, or name a .json file") from error
        if len(camera) != 4:
            raise UserError(f"--intrinsics {intrinsics}: four numbers are needed, fx,fy,cx,cy in pixels")
    return convert_folder(source, destination, depth_unit=depth_unit, intrinsics=camera, farthest=farthest)
