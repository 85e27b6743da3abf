"""Valid files of every format, damaged: a scene whose cameras are right, or one message that names the place.

BENCH_FUZZ: how many damaged scenes for each format (`make fuzz` tries 2000).
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import generated_scene as truth
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from spoilt import EXAMPLES

from bench.registry import datasets
from bench.types import MultiViewScene, UserError

#: Damage that changes what a camera or photo means without a trace cannot be told; none of these mutations does.
Mutation = Callable[[Path, random.Random], None]
TEXT = (".txt", ".camera", ".json")
WORDS = ["nan", "inf", "-inf", "1e400", "abc", "", "0x1f", "1,5", "--", "9" * 40]


def some_file(folder: Path, rng: random.Random, *suffixes: str) -> Path | None:
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix in suffixes)
    files = sorted(path for path in found if not path.name.startswith("."))
    return rng.choice(files) if files else None


# ------------------------------------------------------------------------------------------------------------------ photos


def photo_removed(folder: Path, rng: random.Random) -> None:
    if path := some_file(folder, rng, ".png"):
        path.unlink()


def photo_cut_short(folder: Path, rng: random.Random) -> None:
    if path := some_file(folder, rng, ".png"):
        path.write_bytes(path.read_bytes()[: rng.randint(0, path.stat().st_size)])


def photo_damaged(folder: Path, rng: random.Random) -> None:
    if path := some_file(folder, rng, ".png"):
        content = bytearray(path.read_bytes())
        for _ in range(rng.randint(1, 20)):
            if content:
                content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content)


def photo_turned(folder: Path, rng: random.Random) -> None:
    with contextlib.suppress(OSError, SyntaxError, ValueError):  # an earlier mutation left no picture
        if path := some_file(folder, rng, ".png"):
            with Image.open(path) as image:
                turned = image.transpose(Image.Transpose.ROTATE_90)
            turned.save(path)


def photo_of_another_mode(folder: Path, rng: random.Random) -> None:
    mode = rng.choice(["1", "L", "P", "RGBA", "LA", "I;16"])
    with contextlib.suppress(OSError, SyntaxError, ValueError):  # an earlier mutation left no picture
        if path := some_file(folder, rng, ".png"):
            with Image.open(path) as image:
                changed = image.convert("L" if mode in ("I;16", "LA") else "RGB").convert(mode)
            changed.save(path)


def hidden_files(folder: Path, rng: random.Random) -> None:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    (folder / ".DS_Store").write_bytes(b"Bud1")


# ------------------------------------------------------------------------------------------------------------------- texts


def edited(folder: Path, rng: random.Random, edit: Callable[[str], str | bytes], *suffixes: str) -> None:
    if path := some_file(folder, rng, *(suffixes or TEXT)):
        content = edit(path.read_text(encoding="utf-8", errors="replace"))
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def other_encoding(folder: Path, rng: random.Random) -> None:
    encoding = rng.choice(["utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
    edited(folder, rng, lambda text: text.encode(encoding, errors="replace"))


def windows_lines(folder: Path, rng: random.Random) -> None:
    edited(folder, rng, lambda text: text.replace("\n", "\r\n"))


def nul_inserted(folder: Path, rng: random.Random) -> None:
    def edit(text: str) -> str:
        at = rng.randrange(len(text) + 1)
        return text[:at] + "\0" + text[at:]

    edited(folder, rng, edit)


def words_cut_off(folder: Path, rng: random.Random) -> None:
    """The file ends between two words (a number cut in its digits is another number, which nobody can tell)."""

    def edit(text: str) -> str:
        places = [at for at, letter in enumerate(text) if letter.isspace()]
        return text[: rng.choice(places)] if places else ""

    edited(folder, rng, edit)


def word_replaced(folder: Path, rng: random.Random) -> None:
    """A word of one line (without a line's end a photo takes another one's time, which nobody can tell)."""

    def edit(text: str) -> str:
        places = [match.span() for match in re.finditer(r"\S+", text)]
        start, end = rng.choice(places) if places else (0, 0)
        return text[:start] + rng.choice(WORDS) + text[end:]

    edited(folder, rng, edit, ".txt", ".camera")


def line_removed_or_doubled(folder: Path, rng: random.Random) -> None:
    def edit(text: str) -> str:
        lines = text.split("\n")
        at = rng.randrange(len(lines))
        return "\n".join(lines[:at] + [lines[at]] * rng.choice([0, 2]) + lines[at + 1 :])

    edited(folder, rng, edit, ".txt", ".camera")


def file_emptied_or_removed(folder: Path, rng: random.Random) -> None:
    if path := some_file(folder, rng, *TEXT, ".bin", ".npy", ".npz", ".ply"):
        path.unlink() if rng.random() < 0.3 else path.write_bytes(b"")


# ------------------------------------------------------------------------------------------------------------------ binary


def bytes_cut_off(folder: Path, rng: random.Random) -> None:
    if path := some_file(folder, rng, ".bin", ".npy", ".npz", ".ply"):
        path.write_bytes(path.read_bytes()[: rng.randint(0, path.stat().st_size)])


def bytes_added(folder: Path, rng: random.Random) -> None:
    if path := some_file(folder, rng, ".bin", ".npy", ".npz"):
        path.write_bytes(path.read_bytes() + rng.randbytes(rng.randint(1, 64)))


def count_changed(folder: Path, rng: random.Random) -> None:
    if path := some_file(folder, rng, ".bin"):
        count = rng.choice([0, 1, 7, 2**31, 2**63, 2**64 - 1])
        path.write_bytes(count.to_bytes(8, "little") + path.read_bytes()[8:])


# ------------------------------------------------------------------------------------------------------------- transforms


def json_edited(folder: Path, rng: random.Random, edit: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """edit: changes the file's object, or one of its frames."""
    if path := some_file(folder, rng, ".json"):
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
            edit(content, rng.choice(content["frames"]))
            path.write_text(json.dumps(content))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            return  # an earlier mutation left no such file


def pose_spoiled(folder: Path, rng: random.Random) -> None:
    def edit(content: dict[str, Any], frame: dict[str, Any]) -> None:
        matrix = np.array(frame["transform_matrix"], float)
        kind = rng.randrange(7)
        if kind == 0:
            matrix[rng.randrange(3), rng.randrange(4)] = rng.choice([np.nan, np.inf, 1e300])
        elif kind == 1:
            matrix[:3, rng.randrange(3)] *= -1
        elif kind == 2:
            matrix[:3, :3] *= rng.choice([1e-3, 0.5, 2, 1e3])  # a scale of the camera's own space: its picture is the same
        elif kind == 3:
            matrix = matrix.T
        elif kind == 4:
            matrix = matrix[:3]
        elif kind == 5:
            matrix = matrix[:2]
        else:
            matrix[0, 0] += 0.2 * max(1, np.abs(matrix[:3, :3]).max())  # it may be scaled already
        frame["transform_matrix"] = matrix.tolist()
        if kind == 4 and rng.random() < 0.5:
            frame["transform_matrix"] = rng.choice([None, "x", {}, [[]], [[1, 2], [3]], True, [[None] * 4] * 4])

    json_edited(folder, rng, edit)


def field_spoiled(folder: Path, rng: random.Random) -> None:
    junk = [None, "x", [], {}, True, float("nan"), float("inf"), 10**400, -1, 0, 1e-9, 1e30, [["a"]]]

    def edit(content: dict[str, Any], frame: dict[str, Any]) -> None:
        names = ["fl_x", "camera_angle_x", "w", "h", "k1", "k4", "camera_model", "is_fisheye", "ply_file_path"]
        names += ["train_filenames", "test_filenames", "file_path", "mask_path", "depth_file_path", "frames"]
        name = rng.choice(names)
        target = rng.choice([content, frame])
        if name in ("is_fisheye", "camera_model", "k1", "w", "h") and not rng.randrange(2):
            target.pop(name, None)
        elif name in target or name in ("file_path", "mask_path", "depth_file_path"):
            value = rng.choice(junk)
            # A true "is_fisheye" says of the same photos that another lens took them: that is no damage.
            target[name] = None if name == "is_fisheye" else value

    json_edited(folder, rng, edit)


def normalised_intrinsics(folder: Path, rng: random.Random) -> None:
    def edit(content: dict[str, Any], frame: dict[str, Any]) -> None:
        for name, size in (("fl_x", truth.WIDTH), ("fl_y", truth.HEIGHT), ("cx", truth.WIDTH), ("cy", truth.HEIGHT)):
            if name in content and rng.random() < 0.8:
                content[name] /= size

    json_edited(folder, rng, edit)


def frames_shuffled(folder: Path, rng: random.Random) -> None:
    json_edited(folder, rng, lambda content, frame: rng.shuffle(content["frames"]))


def frame_doubled(folder: Path, rng: random.Random) -> None:
    json_edited(folder, rng, lambda content, frame: content["frames"].append(dict(frame)))


def other_slashes(folder: Path, rng: random.Random) -> None:
    def edit(content: dict[str, Any], frame: dict[str, Any]) -> None:
        frame["file_path"] = rng.choice(["/home/me/data/", "./", "C:\\data\\"]) + frame["file_path"].replace("/", "\\")

    json_edited(folder, rng, edit)


# ------------------------------------------------------------------------------------------------------------------ arrays


def array_spoiled(folder: Path, rng: random.Random) -> None:
    if path := some_file(folder, rng, ".npy", ".npz"):
        try:
            arrays = np.load(path)
            if path.suffix == ".npz":
                content = dict(arrays)
                name = rng.choice([name for name in content if "inv" not in name])
                content[name] = spoiled(content[name], rng, mirror=name.startswith("world"))
                if rng.random() < 0.2:
                    del content[name]
                np.savez(path, **content)
            else:
                # A depth map that lacks a row is one of another size, which is no damage that shows; poses that lack one
                # with photos that lack another belong to one another by LLFF's own rule.
                kinds = (0, 2, 3, 4) if path.name == "poses_bounds.npy" else (0, 3, 4)
                np.save(path, spoiled(arrays, rng, mirror=False, kinds=kinds), allow_pickle=True)
        except (ValueError, EOFError, OSError, IndexError, TypeError, zipfile.BadZipFile):
            return  # an earlier mutation left no such file


def spoiled(array: np.ndarray, rng: random.Random, mirror: bool, kinds: Sequence[int] = range(6)) -> Any:
    kind = rng.choice(kinds)
    changed = array.astype(float)
    if kind == 0:
        changed[rng.randrange(len(changed))] = rng.choice([np.nan, np.inf])
    elif kind == 1:
        return changed[:-1]
    elif kind == 2:
        return changed[:, :-1]
    elif kind == 3:
        return changed.astype(object)
    elif kind == 4:
        return changed.astype(complex)
    elif mirror:
        return changed @ np.diag([-1.0, 1, 1, 1])
    return changed


ALWAYS: list[Mutation] = [photo_removed, photo_cut_short, photo_damaged, photo_turned, photo_of_another_mode, hidden_files]
ALWAYS += [other_encoding, windows_lines, nul_inserted, words_cut_off, file_emptied_or_removed]
IN_WORDS: list[Mutation] = [word_replaced, line_removed_or_doubled]
IN_BYTES: list[Mutation] = [bytes_cut_off, bytes_added, count_changed, array_spoiled]
IN_JSON: list[Mutation] = [pose_spoiled, field_spoiled, frames_shuffled, frame_doubled, other_slashes]
MUTATIONS = {
    "COLMAP binary": ALWAYS + IN_BYTES,
    "COLMAP text": ALWAYS + IN_WORDS,
    "nerfstudio": [*ALWAYS, *IN_JSON, normalised_intrinsics, bytes_cut_off],
    "instant-ngp": ALWAYS + IN_JSON,
    "Blender": ALWAYS + IN_JSON,
    "LLFF": ALWAYS + IN_BYTES,
    "MVSNet": ALWAYS + IN_WORDS + IN_BYTES,
    "IDR": ALWAYS + IN_BYTES,
    "Strecha": ALWAYS + IN_WORDS,
    "RGB-D": ALWAYS + IN_WORDS,
    "TUM": ALWAYS + IN_WORDS,
}


@pytest.fixture(scope="module")
def whole() -> Iterator[dict[str, Path]]:
    """The data root of an undamaged scene of each format."""
    with tempfile.TemporaryDirectory() as folder:
        roots = {}
        for number, (name, form) in enumerate(truth.FORMATS.items()):
            roots[name] = Path(folder) / str(number)
            truth.write(form, roots[name])
        yield roots


def read(form: truth.Format, root: Path) -> tuple[MultiViewScene | None, str]:
    """The scene, or the message with which it is refused."""
    try:
        return datasets[form.dataset]().load_scene(root, "s"), ""
    except UserError as error:
        return None, str(error)


@pytest.mark.parametrize("name", truth.FORMATS)
def test_damaged_files_give_right_cameras_or_one_message_that_names_them(name: str, whole: dict[str, Path]) -> None:
    form, outcomes = truth.FORMATS[name], {"read": 0, "told": 0}

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.sampled_from(MUTATIONS[name]), min_size=1, max_size=3), st.randoms(use_true_random=False))
    def property_holds(mutations: list[Mutation], rng: random.Random) -> None:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "data"
            shutil.copytree(whole[name], root)
            for mutate in mutations:
                mutate(root / form.place, rng)
            scene, message = read(form, root)
            if scene is None:
                assert str(root) in message
                outcomes["told"] += 1
                return
            assert truth.reprojection_error(form, scene) < 1e-6
            assert scene.source is not None
            outcomes["told" if scene.source.left_out else "read"] += 1

    property_holds()
    if EXAMPLES >= 50:
        assert min(outcomes.values()) > 0, outcomes  # some damage is harmless, some is not: both were met
