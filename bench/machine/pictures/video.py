"""Moving pictures as files: GIF by Pillow, MP4 (H.264) by PyAV, which is an extra."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import Unavailable, UserError
from bench.machine.files import write_atomically

Array = NDArray[Any]
ENDINGS = (".gif", ".mp4")
_MOST_GIF_PIXELS = 2**29  #: of all pictures of a GIF together, which Pillow keeps in memory, a byte a pixel
_QUALITY = 18  #: constant rate factor of H.264, 0 (no loss) to 51; below 20 hardly anybody sees a loss


def check_ending(path: Path) -> None:
    """Look at what is to be written, before anything is computed for it.

    Raises:
        UserError: For another ending than ENDINGS.
        Unavailable: Where it takes a package that is not here.
    """
    if path.suffix.lower() not in ENDINGS:
        raise UserError(f"{path}: a moving picture ends in {' or '.join(ENDINGS)}, not in {path.suffix or 'nothing'}")
    if path.suffix.lower() == ".mp4":
        try:
            import av  # noqa: F401
        except ImportError as error:
            raise Unavailable("to write MP4 takes PyAV: pip install 'vfm3d-bench[video]'; a .gif takes nothing") from error


def write_video(path: Path, frames: Iterable[Array], rate: int) -> None:
    """Write pictures (H, W, 3) uint8 as a GIF that repeats or an MP4.

    A GIF has at most 256 colours a picture and times of whole hundredths of a second, and is kept in memory until it is
    whole. An MP4 is written picture by picture; its height and width are even: an odd one repeats its last row or column.

    Args:
        path: Its ending says which.
        frames: At least one, all of one size.
        rate: Pictures a second.

    Raises:
        UserError, Unavailable: As `check_ending`; where there is no picture, or too many for a GIF; where the file cannot be
            written. Then there is none.
    """
    check_ending(path)
    coming = iter(frames)
    first = next(coming, None)
    if first is None:
        raise UserError(f"{path}: there is no picture to write")
    write = _write_gif if path.suffix.lower() == ".gif" else _write_mp4
    write_atomically(path, lambda temporary: write(temporary, chain([first], coming), rate))


def captioned(frame: Array, text: str) -> Array:
    """A picture (H, W, 3) uint8 above a strip that says something, in as many lines as it takes: (H + h, W, 3)."""
    from PIL import Image, ImageDraw, ImageFont

    width = frame.shape[1]
    font = ImageFont.load_default(size=max(10, min(16, width // 30)))
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        lines[-1:] = [longer] if font.getlength(longer) <= width - 8 or not lines[-1] else [lines[-1], word]
    top, bottom = font.getbbox("Ag")[1::2]
    line = int(bottom - top) + 5
    strip = Image.new("RGB", (width, line * len(lines) + 5), "white")
    ImageDraw.Draw(strip).multiline_text((4, 4 - top), "\n".join(lines), fill="black", font=font, spacing=5)
    return np.concatenate([frame, np.asarray(strip)])


def _write_gif(path: Path, frames: Iterable[Array], rate: int) -> None:
    from PIL import Image

    def bounded() -> Iterator[Image.Image]:
        pixels = 0
        for frame in frames:
            pixels += frame.shape[0] * frame.shape[1]
            if pixels > _MOST_GIF_PIXELS:
                raise UserError(
                    f"a GIF is written of at most {_MOST_GIF_PIXELS:,} pixels in all; "
                    "write an .mp4, or fewer or smaller pictures"
                )
            yield Image.fromarray(np.ascontiguousarray(frame))

    pictures = bounded()
    first = next(pictures)
    first.save(path, "GIF", save_all=True, append_images=pictures, duration=round(100 / rate) * 10, loop=0)


def _write_mp4(path: Path, frames: Iterable[Array], rate: int) -> None:
    import av

    try:
        with av.open(str(path), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=Fraction(rate), options={"crf": str(_QUALITY)})
            stream.pix_fmt = "yuv420p"
            for number, frame in enumerate(frames):
                even = np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge")
                if not number:
                    stream.height, stream.width = even.shape[:2]
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")))
            container.mux(stream.encode())
    except (av.FFmpegError, av.codec.codec.UnknownCodecError) as error:
        if isinstance(error, OSError):  # of the file, not of the pictures
            raise
        raise UserError(f"PyAV cannot write these pictures as H.264 ({error}); write smaller ones, or a .gif") from error
