"""One large file from a publisher: with progress, resumable, and fetched once where several processes want it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Any

_SILENCE = 60.0  #: seconds without a byte until a download counts as broken off


def download(url: str, path: Path) -> None:
    """Fetch a file that is not there yet, with progress. What an interrupted download left beside it (*.part) is completed,
    where the publisher's file is still the same one and its server can continue; else it is fetched anew. Of several
    processes that want the file one fetches it and the others wait. Raises OSError where it does not arrive whole.
    """
    from rich.progress import wrap_file

    answer = _ask(url, {})
    version = answer.headers["ETag"] or answer.headers["Last-Modified"] or ""
    size = int(answer.headers["Content-Length"] or 0)
    if not size:
        raise ConnectionError(f"{url}: the server does not say how large the file is")
    part = path.with_name(f"{path.name}.{hashlib.sha256(version.encode()).hexdigest()[:8]}.part")
    with part.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the system frees it with the process: nothing stale stays behind
        if path.is_file():  # another process has fetched it meanwhile
            answer.close()
            part.unlink(missing_ok=True)
            return
        held = file.seek(0, os.SEEK_END)
        if 0 < held < size and version:
            answer.close()
            answer = _ask_for_the_rest(url, held, version)
        if held > size or not version or (held < size and answer.status != HTTPStatus.PARTIAL_CONTENT):
            held = 0
            file.truncate(0)
        with answer, wrap_file(answer, size - held, description=path.name) as source:
            if held < size:
                shutil.copyfileobj(source, file)
        file.flush()
        arrived = os.fstat(file.fileno()).st_size
        if arrived != size:
            raise ConnectionError(f"it broke off after {arrived} of {size} bytes; the same command goes on from there")
        part.replace(path)


def _ask_for_the_rest(url: str, held: int, version: str) -> Any:
    """The file from byte `held` on; all of it where that is not to be had."""
    try:
        return _ask(url, {"Range": f"bytes={held}-", "If-Range": version})
    except urllib.error.HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        error.close()
        return _ask(url, {})


def _ask(url: str, headers: dict[str, str]) -> Any:
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_SILENCE)
