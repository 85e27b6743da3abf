"""`bench data convert`: photos, depth maps and intrinsics into the geometry track's format."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench.core.errors import UserError
from bench.core.registry import datasets, find_datasets
from bench.core.text import listed


@dataclass(frozen=True)
class Conversion:
    """What `bench data convert` was asked for; intrinsics: fx,fy,cx,cy, or a file's name."""

    source: Path
    destination: Path
    depth_unit: float | None = None
    intrinsics: str | None = None
    farthest: float | None = None
    pair: str = "name"
    overwrite: bool = False


def convert_command(asked: Conversion, console: Console) -> None:
    """Convert (`bench.geometry.io.convert.convert_folder`) and say what was done and what comes next.

    Raises:
        UserError: An option is malformed, or the conversion is refused.
    """
    from bench.geometry.io.convert import convert_folder
    from bench.geometry.io.pairing import PAIRINGS

    pairing = next((known for known in PAIRINGS if known == asked.pair), None)
    if pairing is None:
        raise UserError(f"--pair {asked.pair}: one of {', '.join(PAIRINGS)}")
    done = convert_folder(
        asked.source,
        asked.destination,
        depth_unit=asked.depth_unit,
        intrinsics=None if asked.intrinsics is None else _camera(asked.intrinsics),
        farthest=asked.farthest,
        pairing=pairing,
        overwrite=asked.overwrite,
    )
    there = f"; it has {done.listed} now" if done.listed > len(done.samples) else ""
    count = f"{len(done.samples)} sample{'s' if len(done.samples) > 1 else ''}"
    lines = [f"{count} written to {asked.destination}{there}; photos and depth paired by {done.pairing}"]
    least, median, greatest = done.depths
    lines.append(f"depth: {least:.3g} to {greatest:.3g} m, median {median:.3g} m")
    if done.unused:
        lines.append(f"not used: {listed(done.unused)}")
    lines.append(_next_command(asked.destination))
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _next_command(destination: Path) -> str:
    """What runs the data set that a conversion wrote, by the name that it has."""
    folder = destination.absolute()
    find_datasets(folder.parent)
    for name in datasets:
        if datasets[name].card.folder == folder.name and "geometry" in datasets[name].tracks:
            return f"next: bench run --datasets {name} --data-root {shlex.quote(str(destination.parent))}"
    return f"no data set is named after the folder {folder.name}: rename it, with letters and digits, to run it by its name"


def _camera(text: str) -> Path | tuple[float, ...]:
    if Path(text).is_file() or text.lower().endswith((".json", ".txt")):
        return Path(text)
    try:
        camera = tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise UserError(f"--intrinsics {text}: write fx,fy,cx,cy in pixels, or name a .json or .txt file") from error
    if len(camera) != 4:
        raise UserError(f"--intrinsics {text}: four numbers are needed, fx,fy,cx,cy in pixels")
    return camera
