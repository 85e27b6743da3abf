"""The pictures of a results folder: where they lie, and whether one may be opened.

    DIR/pictures/<key>/<name>.png

A folder may come from a stranger: a picture is opened or copied only once its name, its place, its type and its size are
known to be harmless.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from bench.core.errors import UserError
from bench.machine.files import unreadable

if TYPE_CHECKING:
    from PIL import Image

MOST_SIDE = 16_384  #: pixels
MOST_PIXELS = 2**25
MOST_BYTES = 128 * 2**20
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FOREIGN = '/\\:*?"<>|%'  #: never in a file's name; written as %XX


def file_name(name: str) -> str:
    """The file of a picture: a name, whatever it holds, as one harmless name of a file."""
    written = "".join(map(_harmless, name))
    return f"{'%2E' + written[1:] if written.startswith('.') else written}.png"


def _harmless(letter: str) -> str:
    return quote(letter, safe="", errors="replace") if letter in _FOREIGN or not letter.isprintable() else letter


def picture_path(folder: Path, key: str, name: str) -> Path:
    """Where a picture of a results folder lies."""
    return folder / "pictures" / key / file_name(name)


def checked_picture(folder: Path, key: str, name: str) -> tuple[Path, tuple[int, int]]:
    """A picture that may be opened and copied, as far as its header says.

    Args:
        folder: The results folder.
        key: Of the cell.
        name: Of the picture.

    Returns:
        Its path, and (width, height) in pixels.

    Raises:
        UserError: Naming the file where it is missing, lies outside of the folder or is a link, is no PNG or too large.
    """
    path = picture_path(folder, key, name)
    if any(place.is_symlink() for place in (path, path.parent, path.parent.parent)):
        raise UserError(f"{path} is a link; a results folder holds its own files")
    if not path.is_file():
        raise UserError(f"{path} is missing: the results folder was changed; run the cell again")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{path} lies outside of {folder}")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(24)
    except OSError as error:
        raise unreadable(path, error) from error
    if size > MOST_BYTES:
        raise UserError(f"{path} has {size:,} bytes; a picture has at most {MOST_BYTES:,}")
    if len(head) < 24 or head[:8] != _SIGNATURE or head[12:16] != b"IHDR":
        raise UserError(f"{path} is not a PNG picture")
    width, height = struct.unpack(">II", head[16:24])
    if not (0 < width <= MOST_SIDE and 0 < height <= MOST_SIDE and width * height <= MOST_PIXELS):
        raise UserError(f"{path} says that it has {width} x {height} pixels; at most {MOST_PIXELS:,} are shown")
    return path, (width, height)


def opened(path: Path) -> Image.Image:
    """A picture that `checked_picture` has passed, in RGB. Raises UserError naming a file that is damaged."""
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, OSError) and error.errno:  # of the system; what Pillow says of a file's content has none
            raise unreadable(path, error) from error
        raise UserError(f"{path} is a damaged picture ({error}); run the cell again") from error


def picture_digest(path: Path) -> str:
    """sha256 of a picture's file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
