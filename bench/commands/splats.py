"""`bench export`: the Gaussians of a stored cell, trained again (the same cell gives the same ones)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.commands.checkpoints import checkpoints
from bench.core.cells import Weights
from bench.core.errors import UserError
from bench.core.residents import Residents
from bench.core.scenes import MultiViewScene
from bench.core.track import Settings
from bench.machine.files import check_writable
from bench.machine.locations import cache_root, data_root
from bench.probe.track import ProbeTrack
from bench.results.record import CellRecord
from bench.results.store import Store
from bench.run.keys import cell_key
from bench.run.request import found_device
from bench.run.verify import other_weights
from bench.splat import Gaussians, write_ply


def export_command(
    prefix: str,
    folder: Path,
    target: Path | None,
    root: Path | None,
    console: Console,
    local_weights: Sequence[str] = (),
) -> Path:
    """Write the Gaussians of a cell in the standard 3DGS layout; returns the file. local_weights: as --checkpoint has them.

    Raises UserError as `find_cell` and `trained_again`.
    """
    record = find_cell(prefix, folder)
    name = f"{record.cell.dataset}-{record.cell.scene}-{record.cell.model}-{record.cell.mode}.ply"
    path = target / name if target is not None and target.is_dir() else target or Path(name)
    check_writable(path.parent)  # before minutes of training
    path.parent.mkdir(parents=True, exist_ok=True)
    write_ply(path, trained_again(record, root, console, checkpoints(local_weights), Residents())[0])
    return path


def find_cell(prefix: str, folder: Path) -> CellRecord:
    """The stored cell whose key begins with `prefix`. Raises UserError where there is none or more than one."""
    found = [record for record in Store(folder, create=False).records() if record.key.startswith(prefix)]
    if len(found) != 1:
        raise UserError(
            f"{folder}: {len(found)} cells have a key that begins with {prefix!r}; keys stand in rows.csv, column key"
        )
    return found[0]


def trained_again(
    record: CellRecord,
    root: Path | None,
    console: Console,
    local_weights: tuple[tuple[str, Path], ...],
    residents: Residents,
) -> tuple[Gaussians, MultiViewScene]:
    """Run the cell again and give its Gaussians, on the CPU, and its views, both in the world of its initialiser.

    Says so where the Gaussians may not be the stored cell's own.

    Raises UserError where the cell is of the geometry track, or was run with weights that are not here.
    """
    if record.cell.track != "probe":
        raise UserError(f"{record.cell.label} is a cell of the {record.cell.track} track; only probes make Gaussians")
    weights: Weights = "random" if record.weights == "random" else "pretrained"
    settings = Settings(data_root(root), cache_root(), found_device("auto"), weights, local_weights)
    if lack := other_weights(record, settings):
        raise UserError(f"{record.cell.label} ({record.key[:12]}): {lack}")
    if cell_key(record.cell, settings) != record.key:
        console.print(
            f"[yellow]note[/] {record.cell.label} was run by other code, on other data or another device: "
            "these Gaussians may differ from what its rows measured",
            soft_wrap=True,
        )
    with console.status(f"training {record.cell.label} again"):
        outcome = ProbeTrack().run(record.cell, settings, residents)
    assert outcome.gaussians is not None
    assert outcome.scene is not None
    return outcome.gaussians.detach().to("cpu"), outcome.scene
