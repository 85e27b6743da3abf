"""`bench view`: the Gaussians of one to four cells of one scene, with the cameras, in a browser: served, or as one file."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from bench.commands.checkpoints import checkpoints
from bench.commands.splats import find_cell, trained_again
from bench.core.errors import Unavailable, UserError
from bench.core.residents import Residents
from bench.core.scenes import MultiViewScene
from bench.machine.files import check_writable, write_text
from bench.report.say.marks import condition_marks, row_marks
from bench.report.viewer.page import MOST_SPLATS, Shown, draw, open_server, page
from bench.results.record import CellRecord

if TYPE_CHECKING:
    pass

MOST_MODELS = 4


def view_command(
    prefixes: Sequence[str],
    folder: Path,
    root: Path | None,
    port: int,
    save: Path | None,
    console: Console,
    local_weights: Sequence[str] = (),
) -> None:
    """Show the Gaussians of cells: serve them to a browser on this machine until Ctrl-C, or write a page to `save`.

    Raises:
        Unavailable: Without viser.
        UserError: As `find_cell`, `one_scene` and `trained_again`; where the port or the place cannot be used.
    """
    try:
        import viser  # noqa: F401
    except ImportError as error:
        raise Unavailable("bench view needs viser: pip install 'vfm3d-bench[view]'") from error
    records = one_scene([find_cell(prefix, folder) for prefix in prefixes])
    if save is None:
        _check_free(port)  # before minutes of training
    else:
        if save.is_dir():
            raise UserError(f"--save {save} is a folder; name a file in it, such as {save / 'page.html'}")
        check_writable(save.parent)
    residents, given = Residents(), checkpoints(local_weights)
    trained = [(record, *trained_again(record, root, console, given, residents)) for record in records]
    scene = trained[0][2]
    models = [Shown(_name(record), gaussians, len(gaussians)) for record, gaussians, _ in trained]
    if save is None:
        _serve(models, scene, port, console, records[0])
        return
    write_text(save, page(models, scene, MOST_SPLATS, _conditions(records[0])))
    console.print(f"{save}", highlight=False, soft_wrap=True)


def one_scene(records: Sequence[CellRecord]) -> Sequence[CellRecord]:
    """The records, where they are of one scene in one world. Raises UserError where they cannot be shown together."""
    if len(records) > MOST_MODELS:
        raise UserError(f"bench view shows at most {MOST_MODELS} cells; {len(records)} were named")
    first = records[0].cell
    for record in records[1:]:
        if record.key == records[0].key:
            raise UserError(f"{record.cell.label} ({record.key[:12]}) was named twice")
        for field in ("track", "dataset", "scene", "pointmap", "protocol", "seed"):
            one, other = getattr(first, field), getattr(record.cell, field)
            if one != other:
                raise UserError(f"cells are shown together where they share scene and start; {field} is {one} and {other}")
    return records


def _serve(models: Sequence[Shown], scene: MultiViewScene, port: int, console: Console, record: CellRecord) -> None:
    server = open_server(port)
    draw(server, models, scene)
    console.print(
        f"{_conditions(record)}: open http://127.0.0.1:{port} (colours without view dependence; "
        "the scene tree switches models); Ctrl-C ends it",
        soft_wrap=True,
    )
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        server.stop()


def _name(record: CellRecord) -> str:
    cell = record.cell
    marks = ", ".join(row_marks(record.marks.role, record.weights))
    return f"{cell.model} {cell.mode}" + (f" ({marks})" if marks else "")


def _conditions(record: CellRecord) -> str:
    cell = record.cell
    marks = condition_marks(cell.protocol, record.marks.start, record.marks.quick)
    said = f"{cell.dataset}/{cell.scene}, point map {cell.pointmap}, protocol {cell.protocol}, seed {cell.seed}"
    return said + (f" ({', '.join(marks)})" if marks else "")


def _check_free(port: int) -> None:
    """Raises UserError where no server can listen on the port: said before minutes of training."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(f"--port {port} cannot be used ({error.strerror}); choose another one") from error
