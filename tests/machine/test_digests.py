"""Digests of what lies on disk: of the content, whatever a file is called, and read once a machine."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from bench.machine import digests


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "LARGE", 4)
    digests._digest.cache_clear()


def _anew(path: Path) -> str:
    """As another process would find it."""
    digests._digest.cache_clear()
    return digests.digest(path)


def test_a_large_file_is_read_once_as_long_as_it_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"first")
    expected = hashlib.sha256(b"first").hexdigest()
    assert digests.digest(path) == expected
    with monkeypatch.context() as patched:
        patched.setattr(digests, "_read", lambda path: pytest.fail(f"{path} is read again"))
        assert _anew(path) == expected
        link = tmp_path / "link"
        link.symlink_to(path)
        assert _anew(link) == expected, "a link is what it leads to"
    before = path.stat().st_mtime_ns
    path.write_bytes(b"other")  # of the same size
    os.utime(path, ns=(before + 1, before + 1))
    assert _anew(path) == hashlib.sha256(b"other").hexdigest()


def test_what_is_kept_is_not_believed_where_it_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"first")
    expected = digests.digest(path)
    (kept,) = (tmp_path / "cache" / "digests").iterdir()
    for text in ("", "not a digest", kept.read_text()[:-1], "\udcff"):
        kept.write_bytes(text.encode("utf-8", "surrogatepass"))
        assert _anew(path) == expected


def test_a_cache_that_cannot_be_written_to_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "a file" / "below it"))
    path = tmp_path / "weights.bin"
    path.write_bytes(b"first")
    assert digests.digest(path) == hashlib.sha256(b"first").hexdigest()


def test_a_small_file_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"abc")
    assert digests.digest(path) == hashlib.sha256(b"abc").hexdigest()
    assert not (tmp_path / "cache").exists()


def test_a_folder_is_the_digest_of_the_digests_that_anybody_can_form(tmp_path: Path) -> None:
    files = {"config.json": b"{}", "unet/model.bin": b"many numbers"}
    for name, content in {**files, ".git/HEAD": b"hidden"}.items():
        (tmp_path / "snapshot" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "snapshot" / name).write_bytes(content)
    each = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    expected = hashlib.sha256(json.dumps(each, sort_keys=True).encode()).hexdigest()
    assert digests.folder_digest(tmp_path / "snapshot") == expected
    assert digests.joint_digest(dict(reversed(each.items()))) == expected, "the order says nothing"
