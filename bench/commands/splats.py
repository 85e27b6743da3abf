"""`bench export` and `bench view`: the Gaussians of a stored cell, trained again (the same cell gives the same ones)."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from bench.commands.checkpoints import checkpoints
from bench.core.cells import Weights
from bench.core.errors import Unavailable, UserError
from bench.core.residents import Residents
from bench.core.scenes import Camera
from bench.core.track import Settings
from bench.machine.files import check_writable
from bench.machine.locations import cache_root, data_root
from bench.probe.track import ProbeTrack
from bench.results.record import CellRecord
from bench.results.store import Store
from bench.run.keys import cell_key
from bench.run.request import found_device
from bench.run.verify import other_weights
from bench.splat import SH_0, Gaussians, rotation_matrix, write_ply


def export(
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
    write_ply(path, trained_again(record, root, console, checkpoints(local_weights))[0])
    return path


def view(
    prefix: str, folder: Path, root: Path | None, port: int, console: Console, local_weights: Sequence[str] = ()
) -> None:
    """Serve the Gaussians of a cell to a browser on this machine until Ctrl-C. Raises Unavailable without viser."""
    try:
        import viser
    except ImportError as error:
        raise Unavailable("bench view needs viser: pip install 'vfm3d-bench[view]'") from error
    record = find_cell(prefix, folder)
    _check_free(port)
    gaussians, cameras = trained_again(record, root, console, checkpoints(local_weights))
    rotations = rotation_matrix(gaussians.quaternions)
    axes = rotations * gaussians.scales[:, None, :]
    server = viser.ViserServer(host="127.0.0.1", port=port)
    first = cameras[0].camera_to_world
    server.scene.set_background_image(np.zeros((2, 2, 3), np.uint8))  # black, as they were trained
    server.scene.set_up_direction(-first[:3, 1])
    server.initial_camera.position = first[:3, 3]
    server.initial_camera.look_at = first[:3, 3] + first[:3, 2] * _middle_depth(gaussians, cameras[0])
    server.initial_camera.up = -first[:3, 1]
    server.initial_camera.fov = 2 * math.atan(cameras[0].height / (2 * cameras[0].intrinsics[1, 1]))
    server.scene.add_gaussian_splats(
        "/splats",
        centers=gaussians.means.numpy(),
        covariances=(axes @ axes.transpose(1, 2)).numpy(),
        rgbs=np.clip(gaussians.spherical_harmonics[:, 0].numpy() * SH_0 + 0.5, 0, 1),
        opacities=gaussians.opacities[:, None].numpy(),
    )
    console.print(f"{record.cell.label}: open http://127.0.0.1:{port} (colours without view dependence); Ctrl-C ends it")
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


def find_cell(prefix: str, folder: Path) -> CellRecord:
    """The stored cell whose key begins with `prefix`. Raises UserError where there is none or more than one."""
    found = [record for record in Store(folder, create=False).records() if record.key.startswith(prefix)]
    if len(found) != 1:
        raise UserError(
            f"{folder}: {len(found)} cells have a key that begins with {prefix!r}; keys stand in rows.csv, column key"
        )
    return found[0]


def _middle_depth(gaussians: Gaussians, camera: Camera) -> float:
    """The median depth of the Gaussians in front of the camera: what the viewer's orbit turns about."""
    _, depths = camera.project(gaussians.means.double().numpy())
    return float(np.median(depths[depths > 0])) if (depths > 0).any() else 1.0


def trained_again(
    record: CellRecord, root: Path | None, console: Console, local_weights: tuple[tuple[str, Path], ...] = ()
) -> tuple[Gaussians, tuple[Camera, ...]]:
    """Run the cell again and give its Gaussians, on the CPU, and its training cameras, in the world of its initialiser.

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
        outcome = ProbeTrack().run(record.cell, settings, Residents())
    assert outcome.gaussians is not None
    return outcome.gaussians.detach().to("cpu"), outcome.cameras
