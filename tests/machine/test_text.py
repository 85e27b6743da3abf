"""Text files as people have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.machine import text
from bench.machine.text import plain_path, read_json, read_text

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
