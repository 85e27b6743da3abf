"""Photos and masks against files written byte by byte and values worked out by hand."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from picture_bytes import exif, png, tiff
from PIL import Image, ImageFile
from spoilt import EXAMPLES, spoilt

from bench.core.errors import UserError
from bench.machine.pictures.images import (
    MOST_PIXELS,
    photo_orientation,
    photo_size,
    pictures_in,
    read_labels,
    read_mask,
    read_photo,
)

GREY = np.array([[0, 10, 200], [255, 128, 77]], np.uint8)
COLOUR = np.array([[[255, 0, 0], [0, 255, 0], [10, 20, 30]], [[0, 0, 255], [255, 255, 255], [200, 100, 50]]], np.uint8)
WIDE = GREY.astype(np.uint16) * 257  # the same grey with 16 bits
ON_GREY = np.repeat(GREY[..., None], 3, 2)
TRNS = b"tRNS"


def stored(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def twelve_bits(values: np.ndarray) -> bytes:
    """Rows of 12-bit samples, the upper bits first, each row filled to whole bytes."""
    rows = []
    for row in values.tolist():
        bits = "".join(f"{value:012b}" for value in row)
        bits += "0" * (-len(bits) % 8)
        rows.append(bytes(int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)))
    return b"".join(rows)


SHARES = (GREY / np.float32(255)).astype("<f4")
OPAQUE = {
    "8-bit grey PNG": (png(GREY, 0), ON_GREY),
    "16-bit grey PNG": (png(WIDE, 0, 16), ON_GREY),
    "16-bit RGB PNG": (png(COLOUR.astype(int) * 257, 2, 16), COLOUR),
    "palette PNG": (
        png(np.array([[0, 1, 2]]), 3, chunks=[(b"PLTE", bytes([9, 8, 7, 255, 0, 0, 0, 0, 255]))]),
        np.array([[[9, 8, 7], [255, 0, 0], [0, 0, 255]]]),
    ),
    "bilevel PNG": (saved(Image.fromarray(GREY > 100), "PNG"), np.where(ON_GREY > 100, 255, 0)),
    "16-bit grey TIFF": (tiff(WIDE.astype("<u2").tobytes(), 3, 2, [16]), ON_GREY),
    "16-bit grey TIFF, big-endian": (tiff(WIDE.astype(">u2").tobytes(), 3, 2, [16], order=">"), ON_GREY),
    "12-bit grey TIFF": (tiff(twelve_bits(GREY.astype(int) * 16 + 5), 3, 2, [12]), ON_GREY),
    "16-bit RGB TIFF": (tiff((COLOUR.astype("<u2") * 257).tobytes(), 3, 2, [16] * 3, 2), COLOUR),
    "16-bit RGB TIFF, big-endian": (
        tiff((COLOUR.astype(">u2") * 257).astype(">u2").tobytes(), 3, 2, [16] * 3, 2, order=">"),
        COLOUR,
    ),
    "floating-point TIFF in [0, 1]": (tiff(SHARES.tobytes(), 3, 2, [32], 1, 3), ON_GREY),
    "8-bit TIFF, white is 0": (tiff(GREY.tobytes(), 3, 2, [8], 0), 255 - ON_GREY),
    "CMYK TIFF": (
        tiff(bytes([0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255]), 3, 1, [8] * 4, 5),
        np.array([[[255, 255, 255], [0, 255, 255], [0, 0, 0]]]),
    ),
    "BMP": (saved(Image.fromarray(COLOUR), "BMP"), COLOUR),
    "lossless WebP": (saved(Image.fromarray(COLOUR), "WEBP", lossless=True), COLOUR),
}


@pytest.mark.parametrize("name", OPAQUE)
def test_opaque_photos_of_every_kind_have_their_true_values(tmp_path: Path, name: str) -> None:
    content, truth = OPAQUE[name]
    path = stored(tmp_path, "photo.png", content)  # the content decides, not the extension
    photo, alpha = read_photo(path, upright=True)
    assert photo.dtype == np.uint8
    assert alpha is None
    np.testing.assert_array_equal(photo, truth)
    assert photo_size(path) == (truth.shape[1], truth.shape[0])


ALPHA = np.array([[255, 128, 0], [51, 255, 0]], np.uint8)
FADED = np.rint(COLOUR * (ALPHA[..., None] / 255)).astype(np.uint8)
FADED_GREY = np.rint(ON_GREY * (ALPHA[..., None] / 255)).astype(np.uint8)
TRANSPARENT = {
    "RGBA PNG": (png(np.dstack([COLOUR, ALPHA]), 6), FADED, ALPHA),
    "16-bit RGBA PNG": (png(np.dstack([COLOUR, ALPHA]).astype(int) * 257, 6, 16), FADED, ALPHA),
    "grey and alpha PNG": (png(np.dstack([GREY, ALPHA]), 4), FADED_GREY, ALPHA),
    "16-bit grey and alpha PNG": (png(np.dstack([GREY, ALPHA]).astype(int) * 257, 4, 16), FADED_GREY, ALPHA),
    "RGB PNG with one transparent colour": (
        png(COLOUR, 2, chunks=[(TRNS, bytes([0, 255, 0, 255, 0, 255]))]),
        np.where((COLOUR == 255).all(-1)[..., None], 0, COLOUR),
        np.where((COLOUR == 255).all(-1), 0, 255),
    ),
    "palette PNG with alpha": (
        png(np.array([[0, 1]]), 3, chunks=[(b"PLTE", bytes([200, 100, 50, 255, 0, 0])), (TRNS, bytes([51, 255]))]),
        np.array([[[40, 20, 10], [255, 0, 0]]]),
        np.array([[51, 255]]),
    ),
    "RGBA TIFF": (tiff(np.dstack([COLOUR, ALPHA]).tobytes(), 3, 2, [8] * 4, 2, extra_samples=2), FADED, ALPHA),
    "opaque RGBA PNG": (png(np.dstack([COLOUR, np.full_like(ALPHA, 255)]), 6), COLOUR, np.full_like(ALPHA, 255)),
}


@pytest.mark.parametrize("name", TRANSPARENT)
def test_transparent_photos_stand_on_black_and_keep_their_alpha(tmp_path: Path, name: str) -> None:
    content, truth, truth_alpha = TRANSPARENT[name]
    photo, alpha = read_photo(stored(tmp_path, "photo.png", content), upright=False)
    np.testing.assert_array_equal(photo, truth)
    assert alpha is not None
    np.testing.assert_array_equal(alpha, truth_alpha)


REFUSED = {
    "16-bit PNG with one transparent grey": (png(WIDE, 0, 16, [(TRNS, b"\0\0")]), "one transparent colour"),
    "16-bit RGB PNG with one transparent colour": (
        png(COLOUR.astype(int) * 257, 2, 16, [(TRNS, bytes(6))]),
        "one transparent colour",
    ),
    "32-bit whole numbers": (tiff(GREY.astype("<u4").tobytes(), 3, 2, [32]), "whose white is not known"),
    "signed 16 bits": (tiff(GREY.astype("<i2").tobytes(), 3, 2, [16], 1, 2), "signed numbers, whose white is not known"),
    "signed 8 bits": (tiff(GREY.tobytes(), 3, 2, [8], 1, 2), "signed numbers, whose white is not known"),
    "16-bit channels apart": (
        tiff(np.moveaxis(COLOUR.astype("<u2") * 257, -1, 0).tobytes(), 3, 2, [16] * 3, 2, planar=2),
        "one after the other",
    ),
    "16 bits, white is 0": (tiff(WIDE.astype("<u2").tobytes(), 3, 2, [16], 0), "WhiteIsZero"),
    "floats, white is 0": (tiff(SHARES.tobytes(), 3, 2, [32], 0, 3), "WhiteIsZero"),
    "floats above 1": (tiff(GREY.astype("<f4").tobytes(), 3, 2, [32], 1, 3), r"must lie in \[0, 1\].* 0 to 255"),
    "floats that are none": (tiff(np.full(6, np.nan, "<f4").tobytes(), 3, 2, [32], 1, 3), r"must lie in \[0, 1\]"),
    "a fourth channel": (
        tiff(np.dstack([COLOUR, ALPHA]).tobytes(), 3, 2, [8] * 4, 2, extra_samples=0),
        "a channel of unknown meaning",
    ),
    "two pages": (
        saved(Image.fromarray(COLOUR), "TIFF", save_all=True, append_images=[Image.fromarray(COLOUR)]),
        "holds 2 pictures",
    ),
    "an animation": (
        saved(Image.fromarray(COLOUR), "WEBP", save_all=True, append_images=[Image.fromarray(255 - COLOUR)]),
        "holds 2 pictures",
    ),
    "text": (b"not a picture", "not a readable image"),
    "nothing": (b"", "not a readable image"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "its content is not JPEG"),
    "200 megapixels": (png(GREY, 0, size=(12288, 16384)), "too large: 201326592 pixels, the limit is"),
    "a bomb": (png(GREY, 0, size=(2**31 - 1, 2**31 - 1)), "too large"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_truly_is_refused_by_name(tmp_path: Path, name: str) -> None:
    content, message = REFUSED[name]
    path = stored(tmp_path, "photo.png", content)
    with pytest.raises(UserError, match=message) as raised:
        read_photo(path, upright=True)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "AVIF"])
def test_a_truncated_photo_is_refused_by_name(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as some models' packages do
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    content = saved(noise, form)
    for share in (0.1, 0.5, 0.9):
        path = stored(tmp_path, "cut.png", content[: int(share * len(content))])
        with pytest.raises(UserError, match=r"cut\.png: not a readable image"):
            read_photo(path, upright=True)
    assert ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_lab_picture_has_its_colours_and_no_alpha(tmp_path: Path) -> None:
    """L* = 53.2, a* = 80.1, b* = 67.2 is sRGB's red (CIE 1976, D50-adapted values differ by a few units)."""
    content = tiff(bytes([round(53.2 * 2.55), 80, 67] * 6), 3, 2, [8] * 3, 8)
    photo, alpha = read_photo(stored(tmp_path, "lab.tif", content), upright=True)
    assert alpha is None
    np.testing.assert_allclose(photo, np.full((2, 3, 3), (255, 0, 0)), atol=25)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.png: not a readable image: there is no such file"):
        read_photo(tmp_path / "none.png", upright=True)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match=r"folder\.png: cannot be read \(Is a directory\)"):
        read_photo(tmp_path / "folder.png", upright=True)


def test_the_limit_is_where_it_is_said_to_be(tmp_path: Path) -> None:
    """Headers alone: 8192 x 8192 is taken as far as its missing pixels, one row more is not."""
    assert MOST_PIXELS == 8192 * 8192
    assert photo_size(stored(tmp_path, "most.png", png(GREY, 0, size=(8192, 8192)))) == (8192, 8192)
    with pytest.raises(UserError, match="too large"):
        photo_size(stored(tmp_path, "more.png", png(GREY, 0, size=(8193, 8192))))


# What each orientation means (EXIF 2.3, tag 274): which side of the scene the first row and the first column show. A picture
# whose upright pixels are TRUTH is stored as:
TRUTH = np.array([[10, 20, 30], [40, 50, 60]], np.uint8)
STORED = {
    1: [[10, 20, 30], [40, 50, 60]],
    2: [[30, 20, 10], [60, 50, 40]],
    3: [[60, 50, 40], [30, 20, 10]],
    4: [[40, 50, 60], [10, 20, 30]],
    5: [[10, 40], [20, 50], [30, 60]],
    6: [[30, 60], [20, 50], [10, 40]],
    7: [[60, 30], [50, 20], [40, 10]],
    8: [[40, 10], [50, 20], [60, 30]],
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["png", "png 16", "tiff", "tiff 16"])
def test_a_turned_photo_is_upright_or_as_stored_as_asked(tmp_path: Path, kind: str, orientation: int) -> None:
    pixels = np.array(STORED[orientation], np.uint8)
    height, width = pixels.shape
    wide = kind.endswith("16")
    values = pixels.astype("<u2") * 257 if wide else pixels
    if kind.startswith("png"):
        content = png(values, 0, 16 if wide else 8, [(b"eXIf", exif(orientation))])
    else:
        content = tiff(values.astype("<u2" if wide else np.uint8).tobytes(), width, height, [16 if wide else 8],
                       orientation=orientation)  # fmt: skip
    path = stored(tmp_path, "photo.png", content)
    np.testing.assert_array_equal(read_photo(path, upright=True)[0][..., 0], TRUTH)
    np.testing.assert_array_equal(read_photo(path, upright=False)[0][..., 0], pixels)
    assert photo_orientation(path) == orientation
    assert photo_size(path) == (width, height)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("block", [b"", b"II*\0", b"garbage", exif(9), exif(0), exif(6)[:12]])
def test_exif_that_says_nothing_turns_nothing(tmp_path: Path, block: bytes) -> None:
    path = stored(tmp_path, "photo.png", png(TRUTH, 0, chunks=[(b"eXIf", block)]))
    np.testing.assert_array_equal(read_photo(path, upright=True)[0][..., 0], TRUTH)


def test_of_a_multi_picture_jpeg_the_first_is_the_photo(tmp_path: Path) -> None:
    flat = Image.new("RGB", (16, 16), (200, 100, 50))
    path = stored(tmp_path, "phone.jpg", saved(flat, "MPO", save_all=True, append_images=[Image.new("RGB", (16, 16))]))
    np.testing.assert_allclose(read_photo(path, upright=True)[0], np.full((16, 16, 3), (200, 100, 50)), atol=3)


def test_a_cmyk_jpeg_has_its_colours(tmp_path: Path) -> None:
    path = stored(tmp_path, "print.jpg", saved(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", quality=95))
    np.testing.assert_allclose(read_photo(path, upright=True)[0], np.full((16, 16, 3), (0, 255, 255)), atol=4)


@pytest.mark.parametrize("form", ["HEIF", "AVIF"])
def test_phones_formats_are_read_whatever_their_extension(tmp_path: Path, form: str) -> None:
    flat = np.full((64, 48, 3), (180, 90, 40), np.uint8)
    if form == "HEIF":
        pillow_heif = pytest.importorskip("pillow_heif")
        stream = io.BytesIO()
        pillow_heif.from_bytes(mode="RGB", size=(48, 64), data=flat.tobytes()).save(stream, quality=95)
        content = stream.getvalue()
    else:
        content = saved(Image.fromarray(flat), "AVIF", quality=95)
    for name in ("IMG_1.HEIC", "IMG_1.jpg"):
        path = stored(tmp_path, name, content)
        np.testing.assert_allclose(read_photo(path, upright=True)[0], flat, atol=6)
        assert photo_size(path) == (48, 64)


def test_without_its_package_a_heic_photo_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = stored(tmp_path, "IMG_1.HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(UserError, match=r"IMG_1\.HEIC: HEIC photos are read by the package pillow-heif: pip install"):
        photo_size(path)


def test_masks(tmp_path: Path) -> None:
    wanted = np.array([[True, False], [False, True]])
    high, low = np.where(wanted, 255, 0), np.where(wanted, 1, 0)
    for name, content in {
        "grey": png(high, 0),
        "16 bits": png(high * 257, 0, 16),
        "colour": png(np.dstack([high] * 3), 2),
        "0 and 1": png(low, 0),
        "soft": png(np.where(wanted, 130, 120), 0),
        "bilevel": saved(Image.fromarray(wanted), "PNG"),
        "alpha": png(np.dstack([np.full((2, 2), 255)] * 3 + [high]), 6),
    }.items():
        mask = read_mask(stored(tmp_path, "mask.png", content))
        assert mask.dtype == bool
        np.testing.assert_array_equal(mask, wanted, err_msg=name)
    assert not read_mask(stored(tmp_path, "mask.png", png(np.zeros((2, 2)), 0))).any()


def test_labels_keep_their_numbers_and_texts(tmp_path: Path) -> None:
    values, text = read_labels(stored(tmp_path, "a.png", png(WIDE, 0, 16, [(b"tEXt", b"near\x000.5")])))
    np.testing.assert_array_equal(values, WIDE)
    assert values.dtype == np.uint16
    assert text["near"] == "0.5"
    values, _ = read_labels(stored(tmp_path, "b.png", png(np.array([[0, 1]]), 3, chunks=[(b"PLTE", bytes(6))])))
    np.testing.assert_array_equal(values, [[0, 1]])
    with pytest.raises(UserError, match="expected one channel"):
        read_labels(stored(tmp_path, "c.png", png(COLOUR, 2)))
    with pytest.raises(UserError, match="its content is not PNG"):
        read_labels(stored(tmp_path, "d.png", saved(Image.fromarray(GREY), "JPEG")))


def test_hidden_files_are_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    for name in ("b.JPG", "a.png", "._a.png", ".hidden.png", "notes.txt", "c.HEIC"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in pictures_in(tmp_path)] == ["a.png", "b.JPG", "c.HEIC"]
    assert pictures_in(tmp_path / "none") == []


SEEDS = [
    *(content for content, _ in OPAQUE.values()),
    *(content for content, *_ in TRANSPARENT.values()),
    saved(Image.fromarray(COLOUR), "JPEG", exif=b"Exif\0\0" + exif(6)),
    saved(Image.fromarray(np.tile(COLOUR, (8, 8, 1))), "AVIF"),
]


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of broken EXIF blocks
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_spoilt_photo_is_a_photo_or_one_message(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = data.draw(spoilt(data.draw(st.sampled_from(SEEDS))))
    photo_or_one_message(stored(tmp_path_factory.getbasetemp(), "fuzz.png", content), data.draw(st.booleans()))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of broken EXIF blocks
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_spoilt_heic_photo_is_one_or_one_message(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    pillow_heif.from_bytes(mode="RGB", size=(16, 16), data=bytes(range(256)) * 3).save(stream, quality=95)
    content = data.draw(spoilt(stream.getvalue()))
    photo_or_one_message(stored(tmp_path_factory.getbasetemp(), "fuzz.heic", content), data.draw(st.booleans()))


def photo_or_one_message(path: Path, upright: bool) -> None:
    """Read it: an 8-bit RGB photo of a bounded size, or a UserError that names the file; nothing else is raised."""
    try:
        photo, _ = read_photo(path, upright)
    except UserError as error:
        message = str(error)
    else:
        message = f"{path} was read"
        assert photo.dtype == np.uint8
        assert photo.ndim == 3
        assert photo.shape[0] * photo.shape[1] <= MOST_PIXELS
    assert str(path) in message
