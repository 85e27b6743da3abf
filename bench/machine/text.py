"""Text files as people really have them: byte order marks, Windows line ends, Latin-1 letters, any size."""

from __future__ import annotations

import codecs
import json
import unicodedata
from pathlib import Path, PureWindowsPath
from typing import Any

from bench.core.errors import UserError
from bench.machine.files import unreadable

MOST_BYTES = 2**28  #: a larger text file is refused before it is read: 256 MiB


def read_text(path: Path) -> str:
    """The text of a file: UTF-8, UTF-16 where a byte order mark says so, else Latin-1.

    Raises:
        UserError: The file cannot be read, has more than MOST_BYTES, or holds NUL characters (it is no text, or was
            damaged).
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise UserError(f"{path}: too large for a text file: {size} bytes, the limit is {MOST_BYTES}")
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    text = decoded(content)
    if "\0" in text:
        raise UserError(f"{path}: holds NUL characters; it is not a text file, or it was damaged")
    return text


def decoded(content: bytes) -> str:
    """Bytes as text, by the rule of `read_text`; no byte order mark is left."""
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def read_json(path: Path, kind: str) -> Any:
    """The content of a JSON file; kind: what the file should be, for the message.

    Raises:
        UserError: The file cannot be read, or is no JSON.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a {kind} ({type(error).__name__}: {str(error)[:200]})") from error


def plain_path(name: str) -> str:
    """A path that a file names, made comparable: either slash, no ".", ".." taken in, composed Unicode letters (NFC)."""
    parts: list[str] = []
    for part in unicodedata.normalize("NFC", name).replace("\\", "/").split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def path_inside(folder: Path, name: str) -> Path | None:
    """The path in a folder that a file of it names; what scenes of strangers name must not lead anywhere else.

    Args:
        folder: Where the name is to lie. Links in it are its owner's and are followed.
        name: A relative path with either slash, or an absolute one that lies in the folder, as some exporters write.

    Returns:
        The path, which need not exist; None where the name leads out of the folder: upwards, by a root or by a drive.
    """
    if Path(name).is_absolute():
        try:
            name = Path(name).relative_to(folder.absolute()).as_posix()
        except ValueError:
            return None
    plain = plain_path(name)
    if plain.split("/")[0] == ".." or name.startswith(("/", "\\")) or PureWindowsPath(name).drive:
        return None
    as_written = name.replace("\\", "/")  # letters that are not composed on disk; never with "..", which links mislead
    candidates = (plain,) if ".." in as_written.split("/") else (plain, as_written)
    try:
        return next((folder / each for each in candidates if (folder / each).exists()), folder / plain)
    except OSError:  # a name that no file can have
        return None
