"""Photos, masks and label pictures from files: the one place where the suite decodes them.

What is read is what the file says, or one message names the file. Pillow alone would cut a picture of 16 bits a channel to
white, drop a transparent channel, turn TIFF pictures by their orientation and not JPEG ones, and decode whatever size a
header claims. Depth pictures are read by bench.machine.pictures.depths, on the same ground.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import UserError
from bench.machine.files import unreadable

if TYPE_CHECKING:
    from PIL import Image

Array = NDArray[Any]

#: Photos by their file's extension.
EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif"}
)
#: A picture with more pixels is refused before it is decoded: 8192 x 8192, about 200 MB as 8-bit RGB.
MOST_PIXELS = 2**26
#: Mean and deviation of ImageNet's photos in [0, 1], by channels: what most networks are given photos by.
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EXTRA = "pip install 'vfm3d-bench[formats]'"  #: what brings the packages for HEIC, OpenEXR and 64-bit TIFF files

#: The formats that Pillow is asked for; without a list it would try all it knows, PostScript among them.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF")
#: Files of these formats may hold further pictures; the format itself says that the first one is the photo.
_ONE_IS_THE_PHOTO = {"MPO", "HEIF"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}
#: Tags of TIFF 6.0; EXIF has the orientation too.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION, _PLANAR, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 258, 262, 274, 284, 338, 339
_INVERSE_ORIENTATION = {6: 8, 8: 6}  # the other six are their own inverses


def pictures_in(folder: Path, extensions: Collection[str] = EXTENSIONS) -> list[Path]:
    """The picture files of a folder.

    Args:
        folder: It need not exist.
        extensions: Which files count, by their lower-case extension with its dot.

    Returns:
        Their paths, sorted by name; hidden files (".DS_Store", macOS's "._NAME") are never among them.
    """
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in extensions and not path.name.startswith(".") and not path.is_dir()
    )


def photo_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels as stored (not turned by an EXIF orientation), from the file's header.

    Raises:
        UserError: The file is no readable image, or has more than MOST_PIXELS.
    """
    with open_picture(path) as image:
        width, height = image.size
        # Pillow gives the size of a TIFF picture as it is after turning, of all others as stored.
        return (height, width) if image.format == "TIFF" and orientation_of(image) >= 5 else (width, height)


def photo_orientation(path: Path) -> int:
    """The orientation (1 to 8, EXIF 2.3, tag 274) that the file states; 1, upright, where it states none.

    Raises:
        UserError: The file is no readable image, or has more than MOST_PIXELS.
    """
    with open_picture(path) as image:
        return orientation_of(image)


def read_photo(path: Path, upright: bool) -> tuple[Array, Array | None]:
    """A photo as 8-bit RGB.

    Grey, palette, CMYK and bilevel pictures become RGB; of 16 bits a channel the upper 8 are kept; grey floating-point
    pictures must lie in [0, 1]. A photo with transparency stands on black.

    Args:
        path: A file of one of EXTENSIONS.
        upright: Turn the photo as its EXIF orientation says. Calibrations (COLMAP's, transforms.json) and depth maps speak
            of the pixels as stored, so photos that have either are not turned.

    Returns:
        The photo (H, W, 3) uint8, and its alpha channel (H, W) uint8, 255 opaque, or None where it has none.

    Raises:
        UserError: The file is no readable image, has more than MOST_PIXELS, or holds values whose white is not known.
    """
    with open_picture(path) as image:
        stored = _stored_as(image)  # asked before the orientation, which a PNG file may state behind its pixels
        orientation = orientation_of(image)
        picture = turned(_eight_bits(path, image, stored), image.format, orientation, upright)
        if not _is_transparent(image):
            return np.array(picture.convert("RGB")), None
        pixels = np.array(picture.convert("RGBA"))
    colour, alpha = pixels[..., :3], pixels[..., 3]
    on_black = (colour.astype(np.uint16) * alpha[..., None] + 127) // 255  # exact: no product lies halfway
    return on_black.astype(np.uint8), alpha


def read_mask(path: Path) -> Array:
    """A mask (H, W) bool, as stored: True where the picture is brighter than half, or, where it holds 0 and 1 only, is 1.

    Raises:
        UserError: As read_photo.
    """
    colour, _ = read_photo(path, upright=False)
    brightest = colour.max(-1)
    return brightest > (0 if brightest.max() <= 1 else 127)


def read_labels(path: Path) -> tuple[Array, dict[str, str]]:
    """The numbers of a PNG of one channel, as stored, and its text fields.

    Returns:
        Values (H, W), uint8 or uint16 (of a palette picture the palette's indices), and field -> text.

    Raises:
        UserError: The file is no readable PNG, has several channels, or more than MOST_PIXELS.
    """
    with open_picture(path, ("PNG",)) as image:
        values, text = np.asarray(image), {str(key): str(value) for key, value in image.info.items()}
    if values.ndim != 2:
        raise UserError(f"{path}: expected one channel, found an image of shape {values.shape}")
    # Older releases of Pillow give 16-bit grey as 32-bit numbers.
    return values.astype(np.uint16) if values.dtype.itemsize > 1 else values.astype(np.uint8), text


@contextmanager
def open_picture(path: Path, formats: tuple[str, ...] = _FORMATS) -> Iterator[Image.Image]:
    """An opened picture, its size checked; what its decoder raises inside the block becomes a UserError too.

    Raises:
        UserError: The file cannot be read, is of another format, holds several pictures, or has more than MOST_PIXELS.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        # A stream, not the path: by its path Pillow maps an uncompressed TIFF picture with turned sides wrongly.
        with path.open("rb") as stream, _whole_pictures(), _opened(path, stream, formats) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise too_large(path, f"{width} x {height}")
            count = getattr(image, "n_frames", 1)
            if count > 1 and image.format not in _ONE_IS_THE_PHOTO:
                raise UserError(f"{path}: holds {count} pictures; save the one that is meant as a file of its own")
            yield image
    except UserError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        count_of_pixels = re.search(r"\d+", str(error))
        raise too_large(path, count_of_pixels.group() if count_of_pixels else "far more") from error
    except FileNotFoundError as error:
        raise UserError(f"{path}: not a readable image: there is no such file") from error
    except UnidentifiedImageError as error:
        reason = f"its content is not {', '.join(formats)}"
        raise UserError(f"{path}: not a readable image: {reason}; replace the file or remove it") from error
    except Exception as error:  # decoders raise whatever a broken file leads them to
        if isinstance(error, OSError) and error.errno:  # of the system; what Pillow says of a file's content has none
            raise unreadable(path, error) from error
        reason = str(error) or type(error).__name__
        raise UserError(f"{path}: not a readable image ({reason[:200]}); replace the file or remove it") from error


@contextmanager
def _whole_pictures() -> Iterator[None]:
    """Half a picture is an error, also where a model's package has told Pillow to fill what is missing with grey."""
    from PIL import ImageFile

    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def too_large(path: Path, size: str) -> UserError:
    """The refusal of a picture or depth map with more than MOST_PIXELS; size: what it has, e.g. "16384 x 12288"."""
    return UserError(f"{path}: too large: {size} pixels, the limit is {MOST_PIXELS} (8192 x 8192); make it smaller first")


def _opened(path: Path, stream: IO[bytes], formats: tuple[str, ...]) -> Image.Image:
    from PIL import Image

    head = stream.read(64)
    stream.seek(0)
    if not _is_heic(head):
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(stream, formats=formats)
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise UserError(
            f"{path}: HEIC photos are read by the package pillow-heif: {EXTRA}, or convert the photo to JPEG"
        ) from error
    image: Image.Image = HeifImageFile(stream)
    return image


def _is_heic(head: bytes) -> bool:
    """By content: phones' photos are often renamed to .jpg without being converted."""
    brands = {head[start : start + 4] for start in range(8, len(head), 4)}
    return head[4:8] == b"ftyp" and (
        head[8:12] in _HEIC_BRANDS or (head[8:12] in {b"mif1", b"msf1"} and bool(brands & _HEIC_BRANDS))
    )


def orientation_of(image: Image.Image) -> int:
    """The orientation (1 to 8) that an opened picture states, 1 where it states none; of a TIFF picture to be asked before
    it is decoded (Pillow forgets it then)."""
    if image.format == "TIFF":
        stated = _tags(image).get(_ORIENTATION, 1)
    else:
        if image.format == "PNG":
            image.load()  # Pillow would do it while it looks for EXIF, and what a broken file raises would be lost
        try:
            stated = image.getexif().get(_ORIENTATION, 1)
        except Exception:  # EXIF that no reader understands states nothing; the picture itself is whole
            return 1
    return stated if isinstance(stated, int) and 1 <= stated <= 8 else 1


def turned(picture: Image.Image, form: str | None, orientation: int, upright: bool) -> Image.Image:
    """The decoded picture upright or as stored: Pillow turns TIFF pictures while it decodes them, no others.

    Args:
        picture: What open_picture gave, decoded.
        form: The format of the file ("TIFF").
        orientation: What the file states, 1 to 8.
        upright: Turn as the orientation says; else as stored.
    """
    from PIL.Image import Transpose

    if upright == (form == "TIFF"):
        return picture
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    turn = turns.get(orientation if upright else _INVERSE_ORIENTATION.get(orientation, orientation))
    return picture if turn is None else picture.transpose(turn)


def _is_transparent(image: Image.Image) -> bool:
    return image.mode in {"LA", "La", "PA", "RGBA", "RGBa"} or "transparency" in image.info


def _eight_bits(path: Path, image: Image.Image, stored: str) -> Image.Image:
    """The picture with 8 bits a channel, in whichever mode; stored: as _stored_as. Raises UserError where its white is not
    known."""
    from PIL import Image

    tags = _tags(image)
    if 0 in tags.get(_EXTRA_SAMPLES, ()):
        raise UserError(f"{path}: has a channel of unknown meaning beside its colours; save it as RGB or as RGBA")
    if tags.get(_PLANAR) == 2 and max(tags.get(_BITS_PER_SAMPLE, (8,))) > 8:  # Pillow takes them for joined ones
        raise UserError(f"{path}: holds its channels one after the other with more than 8 bits; save it as 8-bit RGB")
    if 2 in tags.get(_SAMPLE_FORMAT, ()):
        raise UserError(f"{path}: holds signed numbers, whose white is not known; save it as 8-bit RGB")
    if "16" in stored and "transparency" in image.info:
        raise UserError(f"{path}: has 16 bits a channel and one transparent colour; save it as RGB or as RGBA")
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        if tags.get(_PHOTOMETRIC) == 0:
            raise UserError(f"{path}: is stored as a negative (WhiteIsZero) with more than 8 bits; save it as 8-bit RGB")
        if image.mode == "F":
            return Image.fromarray(_from_unit_range(path, np.asarray(image)))
        if image.mode == "I" and image.format != "PNG":
            raise UserError(f"{path}: holds 32-bit whole numbers, whose white is not known; save it as 8-bit RGB")
        bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]  # 12-bit TIFF pictures are given unscaled
        return Image.fromarray((np.asarray(image) >> (bits - 8)).astype(np.uint8))
    return image


def _stored_as(image: Image.Image) -> str:
    """How the file stores its pixels, in Pillow's words ("RGB;16B"); "" where the decoder does not say."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _tags(image: Image.Image) -> Mapping[int, Any]:
    """The tags of a TIFF picture; none of another one."""
    return getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}


def _from_unit_range(path: Path, values: Array) -> Array:
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        found = f"{values.min():g} to {values.max():g}"
        raise UserError(f"{path}: a floating-point photo must lie in [0, 1], this one holds {found}; save it as 8-bit RGB")
    return np.rint(values * 255).astype(np.uint8)
