"""Downloads that break off, change, are killed or are wanted by several: from a server on this machine."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bench.machine.downloads import download


class _Publisher(BaseHTTPRequestHandler):
    """Serves `content` with ranges under `version`; breaks off after `patience` bytes of an answer.

    refuses: answers every range with 416. half_way, go_on: what is set half-way through the content, and then waited for.
    """

    content, version, patience, ranges, refuses = b"", '"1"', 1 << 30, True, False
    asked: list[str | None]
    half_way: threading.Event | None = None
    go_on: threading.Event | None = None

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.asked.append(wanted)
        first = 0
        if wanted and self.refuses:
            self.send_error(416)
            return
        if wanted and self.ranges and self.headers["If-Range"] == self.version:
            first = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])  # type: ignore[index]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(self.content) - 1}/{len(self.content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(self.content) - first))
        self.send_header("ETag", self.version)
        self.end_headers()
        rest = self.content[first : first + self.patience]
        self.wfile.write(rest[: len(rest) // 2])
        if self.half_way and self.go_on:
            self.wfile.flush()
            self.half_way.set()
            self.go_on.wait(30)
        self.wfile.write(rest[len(rest) // 2 :])

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def publisher() -> Iterator[tuple[type[_Publisher], str]]:
    handler = type("Handler", (_Publisher,), {"asked": [], "content": bytes(range(256)) * 4000})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield handler, f"http://127.0.0.1:{server.server_address[1]}/file.pth"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_download_that_broke_off_goes_on_where_it_stopped(tmp_path: Path, publisher: tuple[type[_Publisher], str]) -> None:
    handler, url = publisher
    path = tmp_path / "file.pth"
    handler.patience = 300_000
    with pytest.raises(ConnectionError, match="broke off after 300000 of 1024000 bytes"):
        download(url, path)
    assert not path.exists(), "half a file is not taken for a whole one"
    handler.patience = 1 << 30
    download(url, path)
    assert path.read_bytes() == handler.content
    assert handler.asked == [None, None, "bytes=300000-"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_download_that_was_killed_at_its_very_end_is_taken_as_it_is(
    tmp_path: Path, publisher: tuple[type[_Publisher], str]
) -> None:
    handler, url = publisher
    path = tmp_path / "file.pth"
    handler.patience = 1
    with pytest.raises(ConnectionError):
        download(url, path)
    (part,) = tmp_path.iterdir()
    part.write_bytes(handler.content)
    handler.asked.clear()
    download(url, path)
    assert path.read_bytes() == handler.content
    assert handler.asked == [None]


@pytest.mark.parametrize("change", [{"version": '"2"', "content": b"another file"}, {"ranges": False}])
def test_a_download_starts_again_where_it_cannot_go_on(
    tmp_path: Path, publisher: tuple[type[_Publisher], str], change: dict[str, Any]
) -> None:
    handler, url = publisher
    path = tmp_path / "file.pth"
    handler.patience = 1000
    with pytest.raises(ConnectionError):
        download(url, path)
    for name, value in {**change, "patience": 1 << 30}.items():
        setattr(handler, name, value)
    download(url, path)
    assert path.read_bytes() == handler.content


def test_a_part_that_is_too_large_is_started_anew(tmp_path: Path, publisher: tuple[type[_Publisher], str]) -> None:
    handler, url = publisher
    path = tmp_path / "file.pth"
    handler.patience = 1
    with pytest.raises(ConnectionError):
        download(url, path)
    (part,) = tmp_path.iterdir()
    part.write_bytes(handler.content + b"what a second writer added")
    handler.patience = 1 << 30
    download(url, path)
    assert path.read_bytes() == handler.content
    assert list(tmp_path.iterdir()) == [path]


def test_a_range_that_the_server_refuses_is_asked_for_as_a_whole(
    tmp_path: Path, publisher: tuple[type[_Publisher], str]
) -> None:
    handler, url = publisher
    path = tmp_path / "file.pth"
    handler.patience = 1000
    with pytest.raises(ConnectionError):
        download(url, path)
    handler.patience, handler.refuses = 1 << 30, True
    download(url, path)
    assert path.read_bytes() == handler.content
    assert handler.asked == [None, None, "bytes=1000-", None]


def test_two_processes_that_want_one_file_share_it(tmp_path: Path, publisher: tuple[type[_Publisher], str]) -> None:
    """The first is half-way when the second, a process of its own, comes; the second waits and takes the finished file."""
    handler, url = publisher
    path = tmp_path / "file.pth"
    handler.half_way, handler.go_on = threading.Event(), threading.Event()
    code = (
        "import sys, pathlib; from bench.machine.downloads import download; download(sys.argv[1], pathlib.Path(sys.argv[2]))"
    )
    first = threading.Thread(target=download, args=(url, path))
    first.start()
    assert handler.half_way.wait(30)
    deadline = time.monotonic() + 30
    while not any(part.stat().st_size for part in tmp_path.iterdir()):  # sent is not yet written
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (part,) = tmp_path.iterdir()
    with subprocess.Popen([sys.executable, "-c", code, url, str(path)]) as second:
        deadline = time.monotonic() + 120
        while len(handler.asked) < 2:
            assert second.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert not path.exists()
        handler.go_on.set()
        assert second.wait(30) == 0
    first.join(30)
    assert path.read_bytes() == handler.content
    assert list(tmp_path.iterdir()) == [path], part


def test_many_at_once_all_end_with_the_file(tmp_path: Path, publisher: tuple[type[_Publisher], str]) -> None:
    handler, url = publisher
    path = tmp_path / "file.pth"
    with ThreadPoolExecutor(6) as pool:
        assert [*pool.map(lambda _: download(url, path), range(6))] == [None] * 6
    assert path.read_bytes() == handler.content
    assert list(tmp_path.iterdir()) == [path]


# ---------------------------------------------------------------------------------------------------------- the command
