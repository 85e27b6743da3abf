"""`bench export`: the Gaussians of a stored cell as a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.commands.checkpoints import checkpoints
from bench.commands.splats.again import find_cell, gaussians_of, trained_again, words_of
from bench.core.residents import Residents
from bench.machine.files import check_writable
from bench.splat import write_ply, write_points


def export_command(
    text: str,
    folder: Path,
    target: Path | None,
    root: Path | None,
    console: Console,
    local_weights: Sequence[str] = (),
    points: bool = False,
) -> Path:
    """Write the Gaussians of a cell; returns the file.

    Args:
        text: The cell, as `find_cell` takes it.
        local_weights: As --checkpoint has them.
        points: Centres with RGB colours, for programs that show point clouds; else the standard 3DGS layout.

    Raises:
        UserError: As `find_cell` and `trained_again`.
    """
    record = find_cell(text, folder)
    name = f"{'-'.join(words_of(record))}{'-points' if points else ''}.ply"
    path = target / name if target is not None and target.is_dir() else target or Path(name)
    check_writable(path.parent)  # before minutes of training
    path.parent.mkdir(parents=True, exist_ok=True)
    gaussians = gaussians_of(trained_again(record, root, console, checkpoints(local_weights), Residents()))
    (write_points if points else write_ply)(path, gaussians)
    return path
