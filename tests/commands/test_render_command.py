"""`bench render`: what the moving picture shows, what it says, and what is refused before anything is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from bench.commands.splats import render
from bench.commands.splats.render import render_command
from bench.core.cells import Cell, Marks
from bench.core.errors import UserError
from bench.core.scenes import Array, Camera, MultiViewScene, View
from bench.machine.digests import json_digest
from bench.machine.pictures.video import captioned
from bench.probe.measure.pictures import to_bytes
from bench.probe.track import ProbeOutcome
from bench.results.record import CellRecord
from bench.results.store import Store
from bench.splat import Gaussians, seen_by

WIDTH, HEIGHT, COUNT = 64, 48, 9
CELL = Cell("probe", "procedural", "room", "aliked", "G", "simulated", "quick-v1", 0)
CAPTION = (
    "aliked G (random weights), procedural/room, point map simulated, protocol quick-v1, seed 0, "
    "quick protocol, simulated point map"
)


def view(name: str, x: float) -> View:
    pose = np.eye(4)
    pose[0, 3] = -x
    camera = Camera(np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]]), pose, WIDTH, HEIGHT)
    return View(name, np.zeros((HEIGHT, WIDTH, 3), np.uint8), camera)


def blobs() -> Gaussians:
    source = torch.Generator().manual_seed(0)
    return Gaussians(
        torch.rand(80, 3, generator=source) * 3 + torch.tensor([-1.5, -1.5, 3]),
        torch.tensor([[1.0, 0, 0, 0]]).repeat(80, 1),
        torch.full((80, 3), 0.15),
        torch.full((80,), 0.8),
        torch.rand(80, 1, 3, generator=source) * 3 - 1.5,
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stored probe; training it again gives the blobs above, and two cameras."""
    marks = Marks(start="simulated", quick=True)
    Store(tmp_path / "run").save(CellRecord(json_digest("a"), CELL, "ok", "random", marks=marks), {})
    scene = MultiViewScene("procedural", "room", (view("a", 0), view("b", 0.8)), (view("c", 0.4),))
    outcome = ProbeOutcome((), {}, blobs(), scene)
    monkeypatch.setattr(render, "trained_again", lambda *_: outcome)
    return tmp_path


def rendered(folder: Path, way: str, out: Path, size: int = WIDTH) -> Path:
    return render_command("room/aliked/G", folder / "run", way, out, COUNT, 20, size, None, Console(quiet=True))


def pictures(path: Path) -> list[Array]:
    """Every picture, as often as its time holds it: equal neighbours are one picture of a GIF."""
    with Image.open(path) as moving:
        found = []
        for number in range(moving.n_frames):  # type: ignore[attr-defined]
            moving.seek(number)
            found += [np.asarray(moving.convert("RGB")).astype(int)] * round(moving.info["duration"] / 50)
    return found


def test_interpolation_ends_at_the_training_views_and_the_strip_says_what_is_seen(folder: Path) -> None:
    found = pictures(rendered(folder, "interpolate", folder / "a.gif"))
    assert len(found) == COUNT
    for picture, each in ((found[0], view("a", 0)), (found[-1], view("b", 0.8))):
        assert each.camera is not None
        expected = captioned(to_bytes(seen_by(blobs(), each.camera).rgb), CAPTION)
        assert np.abs(picture - expected).mean() < 3  # of 255: a GIF has 256 colours
    assert np.abs(found[0] - found[-1])[:HEIGHT].mean() > 10


def test_an_orbit_is_named_after_the_cell_where_a_folder_is_given(folder: Path) -> None:
    path = rendered(folder, "orbit", folder, 2 * WIDTH)
    assert path == folder / "procedural-room-aliked-G-orbit.gif"
    found = pictures(path)
    assert len(found) == COUNT
    assert found[0].shape[1] == 2 * WIDTH


def test_what_cannot_be_written_is_told_before_it_is_trained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "trained_again", None)
    with pytest.raises(UserError, match=r"ends in \.gif or \.mp4, not in \.webm"):
        rendered(folder, "orbit", folder / "a.webm")
    with pytest.raises(UserError, match="'spiral' is not one of orbit, interpolate"):
        rendered(folder, "spiral", folder / "a.gif")
    (folder / "file").write_text("")
    with pytest.raises(UserError, match="file is a file; choose another folder"):
        rendered(folder, "orbit", folder / "file" / "a.gif")
    assert not (folder / "a.gif").exists()
