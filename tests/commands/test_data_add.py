from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from bench.cli import app
from bench.commands.data.add import add_command
from bench.core.errors import UserError
from bench.core.registry import datasets


def photos(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        image = np.random.default_rng(number).integers(0, 255, (24, 32, 3), np.uint8)
        Image.fromarray(image).save(folder / name)
    return folder


NAMES = [f"{number:02d}.png" for number in range(9)]


def test_added_photos_are_a_scene(tmp_path: Path) -> None:
    source, root = photos(tmp_path / "My garden!", NAMES), tmp_path / "data"
    root.mkdir()
    (source / "notes.txt").write_text("no photo")
    (source / "._00.png").write_bytes(b"not a picture")
    result = CliRunner().invoke(app, ["data", "add", "photos", str(source), "--data-root", str(root)])
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "9 photos in" in said
    assert f"bench run --datasets my-garden --pointmap colmap --data-root {root}" in said
    folder = root / "photos" / "My-garden"
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    assert all((folder / name).read_bytes() == (source / name).read_bytes() for name in NAMES)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["My-garden"]
    dataset = datasets["photos"]()
    assert dataset.scenes(root, "probe") == ["My-garden"]
    scene = dataset.load_scene(root, "My-garden")
    # Farthest-first over the order by name: training photos spread, test photos between them.
    assert [view.name for view in scene.train] == ["00", "02", "04", "08"]
    assert [view.name for view in scene.test] == ["01", "03", "06"]
    assert all(view.camera is None for view in scene.views)


def test_a_scene_is_a_data_set_by_its_own_name(tmp_path: Path) -> None:
    for name in ("Toys_1", "llff"):
        photos(tmp_path / "photos" / name, NAMES)
    found = datasets["photos"].found_under(tmp_path)
    assert sorted(found) == ["llff", "toys-1"]
    own = found["toys-1"]()
    assert own.scenes(tmp_path, "probe") == ["Toys_1"]
    assert own.load_scene(tmp_path, "Toys_1").dataset == "toys-1"
    assert own.found_under(tmp_path) == {}
    assert datasets["photos"]().scenes(tmp_path, "probe") == ["Toys_1", "llff"]


def test_a_taken_name_is_run_as_a_scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.joinpath("data").mkdir()
    add_command(photos(tmp_path / "llff", NAMES), None, tmp_path / "data", Console(soft_wrap=True))
    assert "bench run --datasets photos --scenes llff --pointmap colmap" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "name", "message"),
    [
        (["a.png", "b.png"], None, "2 photos; at least 3 are needed"),
        (["a.png", "a.jpg", "b.png"], None, "several photos are named a"),
        (["a.png", "b.png", "c.png"], "../up", "--name ../up: use letters"),
    ],
)
def test_what_is_no_scene_is_refused_and_nothing_is_written(
    tmp_path: Path, names: list[str], name: str | None, message: str
) -> None:
    root = tmp_path / "data"
    root.mkdir()
    with pytest.raises(UserError, match=re.escape(message)):
        add_command(photos(tmp_path / "new", names), name, root, Console())
    assert not list(root.iterdir())


def test_a_broken_photo_is_named_and_a_scene_is_not_replaced(tmp_path: Path) -> None:
    source, root = photos(tmp_path / "new", NAMES), tmp_path / "data"
    root.mkdir()
    (source / "03.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"03\.png"):
        add_command(source, None, root, Console())
    (source / "03.png").unlink()
    add_command(source, "toys", root, Console())
    with pytest.raises(UserError, match="is there already; choose another name"):
        add_command(source, "toys", root, Console())
    with pytest.raises(UserError, match="there is no folder"):
        add_command(tmp_path / "absent", None, root, Console())


def test_without_a_data_root_the_users_own_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.platform", "linux")
    folder = add_command(photos(tmp_path / "toys", NAMES), None, None, Console())
    assert folder == tmp_path / "home" / "vfm3d-bench" / "data" / "photos" / "toys"


def test_folders_of_photos_under_the_root_are_scenes_unless_they_hold_cameras(tmp_path: Path) -> None:
    photos(tmp_path / "plain", NAMES)
    photos(tmp_path / "photos" / "inner" / "images", NAMES)
    photos(tmp_path / "posed" / "images", NAMES)
    (tmp_path / "posed" / "transforms.json").write_text("{}")
    photos(tmp_path / ".hidden", NAMES)
    assert datasets["photos"]().scenes(tmp_path, "probe") == ["inner", "plain"]


def test_a_folders_name_is_no_markup(tmp_path: Path) -> None:
    """Rich would end in a traceback at "[/b]", and leave "[b]" out of a path."""
    root = tmp_path / "a[b]c[/]d[/b]"
    root.mkdir(parents=True)
    source = photos(root / "garden", NAMES)
    plan = [
        "plan",
        "--models",
        "rgb",
        "--scenes",
        "room",
        "--modes",
        "G",
        "--device",
        "cpu",
        "--out",
        str(root / "plan.json"),
    ]
    for words, said in (
        (["data", "add", "photos", str(source), "--data-root", str(root)], f"photos in {root / 'photos' / 'garden'}"),
        (["data", "where", "--data-root", str(root)], "data root: "),
        (plan, f"bench run --plan {root / 'plan.json'}"),
    ):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        assert said in result.output
