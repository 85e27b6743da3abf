"""What is left out of a scene is said: by `bench data check`, before a run, and in its rows."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import generated_scene as truth
import pytest
from rich.console import Console

from bench.commands.data.check import CANNOT_RUN, check_command
from bench.core.cells import INSTANTSPLAT, NO_MODEL, Cell, Measurement
from bench.core.residents import Residents
from bench.core.track import Settings
from bench.probe import track
from bench.run.planning.plan import make_plan, with_notes
from bench.run.request import Request
from bench.types import Unavailable, UserError
from registry.datasets.nerf import NeRF


def checked(root: Path, *names: str, scenes: tuple[str, ...] = (), details: bool = False) -> tuple[int, list[str]]:
    output = io.StringIO()
    code = check_command(names, scenes, details, root, Console(file=output, width=60))
    return code, output.getvalue().splitlines()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One scene that is whole, one that lacks a photo, one that cannot run."""
    for name in ("whole", "lacking", "broken"):
        truth.write(truth.FORMATS["nerfstudio"], tmp_path / name)
        (tmp_path / "data/nerf").mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "nerf/s").rename(tmp_path / "data/nerf" / name)
    (tmp_path / "data/nerf/lacking/images/p01.png").unlink()
    (tmp_path / "data/nerf/broken/transforms.json").write_text("{")
    return tmp_path / "data"


def test_one_line_per_data_set_and_one_per_scene_with_something_to_say(root: Path) -> None:
    code, lines = checked(root, "nerf")
    assert code == CANNOT_RUN == 2
    assert lines[0] == "nerf: 3 scenes, 1 cannot run"
    assert lines[1].startswith(f"  broken: cannot run: {root}/nerf/broken/transforms.json: not a transforms file")
    assert lines[2].startswith(
        "  lacking: 1 of 6 photos left out: images/p01.png (images/p01.png: transforms.json: the photo"
    )
    assert len(lines) == 3


def test_details_of_a_scene(root: Path) -> None:
    code, lines = checked(root, "nerf", scenes=("lacking",))
    assert code == 0
    assert [line.strip() for line in lines if "left out" not in line] == [
        "nerf: 1 scene, can run",
        "lacking: can run",
        "format: transforms.json",
        "photos: 5 of 6 can be used; 3 train, 2 test",
        "cameras: 5 poses, 1 calibrations, at 48x36",
        "points: 40, tracks in 0 of 5 views",
        "ground truth: depth, masks; unit of length: scene",
        "not used: applied_scale",
    ]
    assert any(line.strip().startswith("left out: images/p01.png: transforms.json: the photo") for line in lines)


def test_what_was_asked_for_and_is_not_there_is_an_error(root: Path) -> None:
    with pytest.raises(UserError, match="there is no scene or sample elsewhere"):
        checked(root, "nerf", scenes=("elsewhere",))
    with pytest.raises(Unavailable, match="colmap is not on disk"):
        checked(root, "colmap")
    code, lines = checked(root, scenes=("whole",))
    assert code == 0
    assert lines[0] == "nerf: 1 scene, can run"
    assert "colmap" in lines[-1]


def test_a_run_says_beforehand_which_photos_a_scene_does_without(root: Path) -> None:
    selection = Request(models=("rgb",), modes=("G",), datasets=("nerf",), scenes=("whole", "lacking"), data_root=root)
    (said,) = with_notes(make_plan(selection), lambda cell: NeRF().scene_note(root, cell.scene)).left_out
    assert said.what == "photos of nerf/lacking"
    assert said.reason.startswith("1 of 6 photos left out: images/p01.png (")


def test_the_rows_say_it_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = (Measurement("psnr", 20.0), Measurement("lpips", float("nan"), status="unavailable", note="no weights"))
    outcome = SimpleNamespace(measurements=measured, pictures={}, gaussians=None)
    monkeypatch.setattr(track, "run_probe", lambda *arguments: outcome)
    settings = Settings(root, root.parent / "cache", "cpu", "pretrained")
    for scene, expected in (("whole", ""), ("lacking", "1 of 6 photos left out: images/p01.png (")):
        cell = Cell("probe", "nerf", scene, NO_MODEL, INSTANTSPLAT, "sparse", "quick-v1", 0)
        psnr, lpips = track.ProbeTrack().run(cell, settings, Residents()).measurements
        assert psnr.note.startswith(expected)
        assert bool(psnr.note) == bool(expected)
        assert lpips.note == "no weights"
