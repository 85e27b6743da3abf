"""Text files as people have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.machine import text
from bench.machine.text import path_inside, plain_path, read_json, read_text

WORDS = "fx 500\r\nKüche é\n"


@pytest.mark.parametrize(
    "content",
    [WORDS.encode(), WORDS.encode("utf-8-sig"), WORDS.encode("utf-16"), WORDS.encode("latin-1")],
    ids=["UTF-8", "UTF-8 with a mark", "UTF-16", "Latin-1"],
)
def test_text_of_any_encoding_is_the_same(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    assert read_text(tmp_path / "a.txt") == WORDS


def test_what_is_no_text_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_bytes(b"fx\0\0")
    with pytest.raises(UserError, match=r"a\.txt: holds NUL characters"):
        read_text(tmp_path / "a.txt")
    with pytest.raises(UserError, match=r"none\.txt: cannot be read \(No such file"):
        read_text(tmp_path / "none.txt")
    monkeypatch.setattr(text, "MOST_BYTES", 3)
    with pytest.raises(UserError, match=r"a\.txt: too large for a text file: 4 bytes"):
        read_text(tmp_path / "a.txt")


@pytest.mark.parametrize("content", ["", "{", "[" * 100_000, "1" * 10_000, "nul"])
def test_what_is_no_json_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match=r"a\.json: not a list of cameras"):
        read_json(tmp_path / "a.json", "list of cameras")


def test_json_with_a_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1, 2]}', encoding="utf-8-sig")
    assert read_json(tmp_path / "a.json", "file") == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a\\b/c.png", "a/b/c.png"),
        ("./a//b", "a/b"),
        ("a/../b", "b"),
        ("../a", "../a"),
        ("a/../../b", "../b"),
        ("/a", "a"),
        ("Cafe\u0301", "Caf\u00e9"),
    ],
)
def test_paths_made_comparable(name: str, plain: str) -> None:
    assert plain_path(name) == plain


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "a/../../secret.png",
        "..\\secret.png",
        "/etc/passwd",
        "\\\\server\\share\\a.png",
        "C:\\a.png",
        "C:a.png",
        "link/../../secret.png/../../../x",
        "x" * 5000,
    ],
)
def test_a_name_leads_out_of_its_folder_by_no_way(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"")
    folder = tmp_path / "scene"
    folder.mkdir()
    assert path_inside(folder, name) is None
    assert path_inside(folder, str(tmp_path / "secret.png")) is None
    assert path_inside(folder, str(folder / ".." / "secret.png")) is None


def test_names_in_a_folder_are_found_as_people_write_them(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("images/a.png", "images/..b.png", "images/u\u0308.png"):
        (tmp_path / name).write_bytes(b"")
    written = {
        "images/a.png": (
            "images/a.png",
            "./images/a.png",
            "images\\a.png",
            "images/x/../a.png",
            str(tmp_path / "images/a.png"),
        ),
        "images/..b.png": ("images/..b.png",),
        "images/u\u0308.png": ("images/u\u0308.png",),
        "images/none.png": ("images/none.png",),
    }
    for path, names in written.items():
        for name in names:
            assert path_inside(tmp_path, name) == tmp_path / path, name
    assert path_inside(tmp_path, str(tmp_path / "images/a.png")) == tmp_path / "images/a.png"


def test_a_link_does_not_turn_a_name_upwards(tmp_path: Path) -> None:
    """For the system `link/..` is the folder above what the link leads to; here it is the folder that holds the link."""
    far = tmp_path / "far" / "away"
    far.mkdir(parents=True)
    (tmp_path / "far" / "secret.png").write_bytes(b"")
    scene = tmp_path / "scene"
    scene.mkdir()
    (scene / "link").symlink_to(far)
    found = path_inside(scene, "link/../secret.png")
    assert found == scene / "secret.png"
    assert not found.exists()
