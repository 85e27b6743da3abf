"""`bench view`: the Gaussians of one to four cells of one scene, with the cameras, in a browser: served, or as one file."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.commands.checkpoints import checkpoints
from bench.commands.splats.again import find_cell, gaussians_of, scene_of, trained_again
from bench.commands.splats.captions import conditions_of, marks_of, name_of, scores_of
from bench.commands.splats.clouds import MOST_CLOUDS, clouds_page, predicted
from bench.core.errors import Unavailable, UserError
from bench.core.residents import Residents
from bench.core.scenes import MultiViewScene
from bench.machine.files import check_writable, write_text
from bench.probe.track import ProbeOutcome
from bench.report.page.render import marked
from bench.report.viewer.nodes import Shown, draw, open_server
from bench.report.viewer.page import MOST_SPLATS, page
from bench.results.record import CellRecord

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
    check_viser()
    records = one_scene([find_cell(prefix, folder) for prefix in prefixes])
    track = records[0].cell.track
    if track == "geometry" and (save is None or len(records) > MOST_CLOUDS):
        raise UserError(
            f"point clouds of the geometry track are written as a page (--save), at most {MOST_CLOUDS} beside the truth"
        )
    if save is None:
        _check_free(port)  # before minutes of training
    else:
        if save.is_dir():
            raise UserError(f"--save {save} is a folder; name a file in it, such as {save / 'page.html'}")
        check_writable(save.parent)
    residents, given = Residents(), checkpoints(local_weights)
    if track == "geometry":
        document = clouds_page([predicted(each, root, console, given, residents) for each in records], records[0])
    else:
        outcomes = [trained_again(each, root, console, given, residents) for each in records]
        models, scene = [*map(shown, records, outcomes)], scene_of(outcomes[0])
        if save is None:
            _serve(models, scene, port, console, records[0])
            return
        document = viewer_page(models, scene, records[0])
    assert save is not None
    write_text(save, document)
    console.print(f"{save}", highlight=False, markup=False, soft_wrap=True)


def check_viser() -> None:
    """Raises Unavailable where viser is not installed."""
    try:
        import viser  # noqa: F401
    except ImportError as error:
        raise Unavailable("to show Gaussians takes viser: pip install 'vfm3d-bench[view]'") from error


def shown(record: CellRecord, outcome: ProbeOutcome) -> Shown:
    """A cell that was run again, as pages show it, with what the stored cell measured at each view."""
    gaussians = gaussians_of(outcome)
    return Shown(name_of(record), gaussians, len(gaussians), dict(outcome.pictures), scores_of(record))


def viewer_page(models: Sequence[Shown], scene: MultiViewScene, record: CellRecord) -> str:
    """The page that works offline. record: one of the cells shown, for what they share."""
    return page(models, scene, MOST_SPLATS, conditions_of(record), marks_of(record))


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
        f"{conditions_of(record)}{marked(marks_of(record))}: open http://127.0.0.1:{port} (colours without view dependence; "
        "the scene tree switches models); Ctrl-C ends it",
        markup=False,
        soft_wrap=True,
    )
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        server.stop()


def _check_free(port: int) -> None:
    """Raises UserError where no server can listen on the port: said before minutes of training."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(f"--port {port} cannot be used ({error.strerror}); choose another one") from error
