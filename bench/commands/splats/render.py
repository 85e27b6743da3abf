"""`bench render`: the Gaussians of a stored cell as a moving picture, seen along a way through the scene."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from bench.commands.checkpoints import checkpoints
from bench.commands.splats.again import find_cell, gaussians_of, scene_of, trained_again, words_of
from bench.commands.splats.captions import conditions_of, marks_of, name_of
from bench.core.errors import UserError
from bench.core.residents import Residents
from bench.core.scenes import Array, Camera
from bench.machine.files import check_writable
from bench.machine.pictures.video import captioned, check_ending, write_video
from bench.probe.measure.pictures import to_bytes
from bench.splat import Gaussians, interpolated, looked_at, orbit, seen_by

ORBIT, INTERPOLATE = WAYS = ("orbit", "interpolate")


def render_command(
    text: str,
    folder: Path,
    way: str,
    target: Path | None,
    count: int,
    rate: int,
    size: int,
    root: Path | None,
    console: Console,
    local_weights: Sequence[str] = (),
) -> Path:
    """Write what a camera sees of a cell's Gaussians on its way, with the cell's name and marks below; returns the file.

    Args:
        text: The cell, as `find_cell` takes it.
        way: Of WAYS: an ellipse about the training cameras, or from the first of them to the last.
        target: A .gif or .mp4 file, or its folder.
        count: Pictures.
        rate: Pictures a second.
        size: The longer side of a picture in pixels, which is more than a quick protocol is trained at.
        local_weights: As --checkpoint has them.

    Raises:
        UserError: As `find_cell`, `trained_again` and `check_ending`; for an unknown way; where the cameras have none.
    """
    if way not in WAYS:
        raise UserError(f"--path {way!r} is not one of {', '.join(WAYS)}")
    record = find_cell(text, folder)
    name = f"{'-'.join((*words_of(record), way))}.gif"
    path = target / name if target is not None and target.is_dir() else target or Path(name)
    check_ending(path)  # before minutes of training
    check_writable(path.parent)
    outcome = trained_again(record, root, console, checkpoints(local_weights), Residents())
    gaussians = gaussians_of(outcome)
    seen = [_sized(view.camera, size) for view in scene_of(outcome).train if view.camera]
    cameras = cameras_on(way, gaussians, seen, count)
    caption = ", ".join([name_of(record), conditions_of(record), *marks_of(record)])
    shown = track(cameras, "rendering", console=console, transient=True, disable=not console.is_terminal)
    write_video(path, (captioned(frame, caption) for frame in frames(gaussians, shown)), rate)
    return path


def _sized(camera: Camera, longer: int) -> Camera:
    """The camera with a picture whose longer side has so many pixels."""
    scale = longer / max(camera.width, camera.height)
    return camera.resized(max(1, round(camera.width * scale)), max(1, round(camera.height * scale)))


def cameras_on(way: str, gaussians: Gaussians, cameras: Sequence[Camera], count: int) -> list[Camera]:
    """The cameras on a way of WAYS past the Gaussians, from those of the training views."""
    if way == INTERPOLATE:
        return interpolated(cameras, count)
    return orbit(cameras, looked_at(gaussians, cameras), count)


def frames(gaussians: Gaussians, cameras: Iterable[Camera]) -> Iterator[Array]:
    """What each camera sees, (H, W, 3) uint8, rendered when it is asked for."""
    return (to_bytes(seen_by(gaussians, camera).rgb) for camera in cameras)
