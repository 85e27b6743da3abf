"""Moving pictures: what is written can be read again, and nothing is left of what cannot be written."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from bench.core.errors import Unavailable, UserError
from bench.core.scenes import Array
from bench.machine.pictures import video
from bench.machine.pictures.video import ENDINGS, captioned, write_video

COUNT, HEIGHT, WIDTH = 7, 41, 53


def frames() -> Iterator[Array]:
    """A bright square that wanders over a dark slope."""
    for number in range(COUNT):
        frame = np.repeat(np.linspace(0, 90, WIDTH)[None, :, None], HEIGHT, axis=0).repeat(3, axis=2).astype(np.uint8)
        frame[5:20, 4 * number : 4 * number + 10] = 220, 120, 40
        yield frame


def test_a_gif_holds_every_picture_in_its_time_and_repeats(tmp_path: Path) -> None:
    write_video(tmp_path / "a.GIF", frames(), 20)
    with Image.open(tmp_path / "a.GIF") as picture:
        assert (picture.n_frames, picture.info["loop"], picture.size) == (COUNT, 0, (WIDTH, HEIGHT))  # type: ignore[attr-defined]
        for number, frame in enumerate(frames()):
            picture.seek(number)
            assert picture.info["duration"] == 50
            assert np.abs(np.asarray(picture.convert("RGB")).astype(int) - frame).mean() < 3


def test_an_mp4_holds_every_picture_in_its_time(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", frames(), 20)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].average_rate == 20
        found = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [frame.shape for frame in found] == [(HEIGHT + 1, WIDTH + 1, 3)] * COUNT  # odd sizes are made even
    for frame, written in zip(found, frames(), strict=True):
        assert np.abs(frame[:-1, :-1].astype(int) - written).mean() < 6


def test_nothing_is_left_where_a_picture_cannot_be_made(tmp_path: Path) -> None:
    def broken() -> Iterator[Array]:
        yield from list(frames())[:2]
        raise UserError("no more")

    with pytest.raises(UserError, match="no more"):
        write_video(tmp_path / "a.gif", broken(), 20)
    with pytest.raises(UserError, match=r"ends in \.gif or \.mp4, not in \.webm"):
        write_video(tmp_path / "a.webm", frames(), 20)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_pictures_are_no_file(tmp_path: Path, ending: str) -> None:
    with pytest.raises(UserError, match="there is no picture to write"):
        write_video(tmp_path / f"a{ending}", iter(()), 20)
    assert list(tmp_path.iterdir()) == []


def test_a_gif_that_would_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "_MOST_GIF_PIXELS", 3 * HEIGHT * WIDTH)
    write_video(tmp_path / "a.gif", list(frames())[:3], 20)
    with pytest.raises(UserError, match=r"at most 6,519 pixels in all; write an \.mp4"):
        write_video(tmp_path / "b.gif", frames(), 20)
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_what_the_encoder_refuses_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot write these pictures as H\.264"):
        write_video(tmp_path / "a.mp4", [np.zeros((2, 20_000, 3), np.uint8)], 20)  # H.264 ends at 16,384
    assert list(tmp_path.iterdir()) == []


def test_what_mp4_takes_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(Unavailable, match=r"vfm3d-bench\[video\]"):
        write_video(tmp_path / "a.mp4", frames(), 20)


def test_a_caption_stands_below_and_takes_the_lines_it_needs() -> None:
    frame = next(frames())
    short, long = captioned(frame, "aliked G"), captioned(frame, "aliked G, quick protocol, simulated point map")
    for picture in (short, long):
        np.testing.assert_array_equal(picture[:HEIGHT], frame)
        strip = picture[HEIGHT:]
        assert strip.max() == 255
        assert strip.min() < 64
        assert strip[:, [0, -1]].min() == 255  # no letter is cut at the sides
    assert len(long) > len(short) > HEIGHT + 10
